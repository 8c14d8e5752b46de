"""A session whose model has recall: the text around the cursor has its say, in each layout and with what is assumed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from warmline_engine.decoding.recall import LONGEST, N_CERTAINTIES, Shares
from warmline_engine.loaded_model import LoadedModel
from warmline_engine.session import Ask, Session

TEXT = "total = first + second\nprint(total)\n\ntotal = \n"
CURSOR = TEXT.index("= \n") + 1
NEARLY_ALL = Shares(np.full((LONGEST, N_CERTAINTIES), 0.98))
NONE = Shares(np.zeros((LONGEST, N_CERTAINTIES)))


def offered(model: LoadedModel, assumed: str = "") -> str:
    session = Session(model, TEXT, CURSOR, 512)
    answer = session.complete(Ask(CURSOR, assumed, 16, False, 1, None, lambda: False))
    session.check()
    return answer.items[0].text


def test_what_stands_in_the_text_is_offered(model: LoadedModel) -> None:
    assert offered(replace(model, recall=NEARLY_ALL)).rstrip() == " first + second"


def test_what_is_assumed_counts_as_said(model: LoadedModel) -> None:
    assert offered(replace(model, recall=NEARLY_ALL), " first").rstrip() == " + second"


def test_shares_of_nothing_are_no_recall(model: LoadedModel) -> None:
    assert offered(replace(model, recall=NONE)) == offered(replace(model, recall=None))
