"""How a session decodes: the text around the cursor has its say through recall, and drafts change nothing."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from warmline_engine.decoding.ngram.recall import N_CERTAINTIES, Shares
from warmline_engine.decoding.ngram.suffix_match import LONGEST
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED, Drafter
from warmline_engine.decoding.speculative.speculation import Speculation
from warmline_engine.session import completion
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.query import CompletionQuery
from warmline_engine.session.session import Session

TEXT = "total = first + second\nprint(total)\n\ntotal = \n"
CURSOR = TEXT.index("= \n") + 1
NEARLY_ALL = Shares(np.full((LONGEST, N_CERTAINTIES), 0.98))
NONE = Shares(np.zeros((LONGEST, N_CERTAINTIES)))


def offered(model: LoadedModel, virtual_text: str = "") -> str:
    session = Session(model, TEXT, CURSOR, 512)
    answer = session.complete(
        CompletionQuery(CURSOR, virtual_text, 16, False, 1, None, lambda: False)
    )
    session.check()
    return answer.items[0].text


def test_what_stands_in_the_text_is_offered(model: LoadedModel) -> None:
    assert offered(replace(model, recall=NEARLY_ALL)).rstrip() == " first + second"


def test_what_is_assumed_counts_as_said(model: LoadedModel) -> None:
    assert offered(replace(model, recall=NEARLY_ALL), " first").rstrip() == " + second"


def test_shares_of_nothing_are_no_recall(model: LoadedModel) -> None:
    assert offered(replace(model, recall=NONE)) == offered(replace(model, recall=None))


def no_drafts(*_: object) -> Drafter:
    return lambda generated: NOTHING_DRAFTED


def n_passes(model: LoadedModel, session: Session, documents: list[int]) -> int:
    """Passes that a completion takes, the first one aside."""
    before = session.n_encoded
    asked = CompletionQuery(
        session.cursor, "", 16, False, 1, None, lambda: False, documents=documents
    )
    with pytest.MonkeyPatch.context() as patch:
        passes: list[int] = []
        read = Speculation.logits

        def count(self: Speculation, tokens: Sequence[int]) -> Any:
            logits = read(self, tokens)
            passes.append(self.n_passes)
            return logits

        patch.setattr(Speculation, "logits", count)
        session.complete(asked)
    assert session.n_encoded > before
    return passes[-1]


@pytest.mark.parametrize("source", ["deleted", "documents"])
def test_what_is_beside_the_text_is_drafted(source: str, model: LoadedModel) -> None:
    """A model that is sure of what it was told once: its own answer, put where drafts come from, takes fewer passes."""
    text = "def measure(width):\n    return 1\n\n"
    plain = Session(model, text, len(text), 512)
    answer = plain.complete(
        CompletionQuery(len(text), "", 16, False, 1, None, lambda: False)
    ).items[0]
    assert len(answer.tokens) > 6
    alone = n_passes(model, Session(model, text, len(text), 512), [])
    before, own = text[-12:], model.tokenizer.encode
    if source == "documents":
        session = Session(model, text, len(text), 512)
        fewer = n_passes(model, session, [*own(before).ids, *answer.tokens])
    else:
        session = Session(model, text + answer.text, len(text), 512)
        session.edit(len(text), len(text) + len(answer.text), "")
        fewer = n_passes(model, session, [])
    assert fewer < alone


def test_drafts_change_no_token(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, at places all over a file that repeats itself, with recall so that drafts are often right."""
    text = inspect.getsource(textwrap.wrap) * 2
    model = replace(model, recall=Shares(np.full((LONGEST, N_CERTAINTIES), 0.6)))
    places = range(40, len(text), len(text) // 20)

    def all_texts() -> list[str]:
        session = Session(model, text, 0, 4096)
        return [
            session.complete(CompletionQuery(p, "", 24, True, 2, None, lambda: False)).items[0].text
            for p in places
        ]

    drafted = all_texts()
    monkeypatch.setattr(completion, "PromptLookup", no_drafts)
    assert all_texts() == drafted
