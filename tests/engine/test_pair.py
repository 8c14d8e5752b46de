"""Two models on one document: alone at the ends of every setting, and never another answer for a draft."""

from __future__ import annotations

import inspect
import json
import math
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.ngram.recall import N_CERTAINTIES, Shares
from warmline_engine.decoding.ngram.suffix_match import LONGEST
from warmline_engine.decoding.speculative.model_drafts import N_CELLS
from warmline_engine.decoding.speculative.speculation import Speculation
from warmline_engine.decoding.two_models.switching import SwitchRule
from warmline_engine.decoding.two_models.threshold import STEP_BITS, Threshold
from warmline_engine.errors import ModelError
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.model_pair import PairedSession, paired
from warmline_engine.session.query import Answer, CompletionQuery
from warmline_engine.session.session import Session
from warmline_lab.data import tokenizer as own

pytestmark = pytest.mark.slow

TEXT = inspect.getsource(textwrap.wrap)
PLACES = range(40, len(TEXT), len(TEXT) // 12)


def ask(offset: int, n_alternatives: int = 1, max_tokens: int = 20) -> CompletionQuery:
    return CompletionQuery(offset, "", max_tokens, True, n_alternatives, None, lambda: False)


def alone(model: LoadedModel, offset: int, n_alternatives: int = 1) -> list[Decoded]:
    return Session(model, TEXT, offset, 4096).complete(ask(offset, n_alternatives)).items


def by_both(
    base: LoadedModel, small: LoadedModel, rule: SwitchRule | None, offset: int, n: int = 1
) -> Answer:
    session = PairedSession(paired(base, small, rule and Threshold(rule)), TEXT, offset, 4096)
    answer = session.complete(ask(offset, n))
    session.check()
    return answer


def texts(items: list[Decoded]) -> list[str]:
    return [item.text for item in items]


def test_drafts_of_the_small_model_change_no_answer(
    model: LoadedModel, small_model: LoadedModel
) -> None:
    """Against the base model alone. One that drafts for itself is always right and the other nearly never."""
    half = Shares(np.full((LONGEST, N_CERTAINTIES), 0.5))
    for base in (model, replace(model, recall=half)):
        expected = {offset: texts(alone(base, offset, 2)) for offset in PLACES[::3]}
        for small in (small_model, model, replace(small_model, recall=half)):
            for offset, by_base in expected.items():
                found = by_both(base, small, None, offset, 2)
                assert texts(found.items) == by_base
                assert found.n_by_base == 0


def test_a_small_model_that_is_right_saves_passes(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model drafts for itself, at a low price, and has been right so far."""
    passes = dict[int, int]()
    read = Speculation._read

    def count(self: Speculation, new: list[int]) -> object:
        passes[id(self._sequence)] = passes.get(id(self._sequence), 0) + 1
        return read(self, new)

    monkeypatch.setattr(Speculation, "_read", count)
    pair = paired(model, model)
    pair.draft_stats.size_ratio = 0.05
    for cell in range(N_CELLS):
        for _ in range(400):
            pair.draft_stats.rates.note(cell, is_taken=True)
    monkeypatch.setattr(
        "warmline_engine.decoding.speculative.drafts.DraftCostModel.note_pass", lambda *_: None
    )
    offset = PLACES[3]
    session = PairedSession(pair, TEXT, offset, 4096)
    answer = session.complete(ask(offset))
    by_base = passes[id(session.base.windows.full.sequence)]
    assert texts(answer.items) == texts(alone(model, offset))
    assert by_base <= 1 + math.ceil(answer.n_generated / 2)


def test_a_threshold_that_nothing_reaches_is_the_small_model_alone(
    model: LoadedModel, small_model: LoadedModel
) -> None:
    for offset in PLACES:
        found = by_both(model, small_model, SwitchRule(math.inf), offset, 3)
        assert texts(found.items) == texts(alone(small_model, offset, 3))
        assert found.n_by_base == 0


def test_a_threshold_that_everything_reaches_is_the_base_model_alone(
    model: LoadedModel, small_model: LoadedModel
) -> None:
    for offset in PLACES:
        found = by_both(model, small_model, SwitchRule(-1.0), offset)
        assert texts(found.items) == texts(alone(model, offset))
        assert found.n_by_base >= found.n_generated > 0


def test_models_that_are_the_same_switch_without_a_trace(model: LoadedModel) -> None:
    for offset in PLACES:
        found = by_both(model, model, SwitchRule(2.0, 2, 1), offset, 2)
        assert texts(found.items) == texts(alone(model, offset, 2))


EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 30), st.sampled_from(["", "x", "\n", "if a:\n"])),
    max_size=5,
)


@settings(max_examples=examples(20), deadline=None)
@given(edits=EDITS, offset=st.integers(0, 300), entropy_threshold=st.floats(0, 9))
def test_both_follow_every_edit(
    edits: list[tuple[int, int, str]], offset: int, entropy_threshold: float
) -> None:
    """After edits, cursors and completions both say what sessions do that read the text for the first time."""
    model, small = MODELS
    rule = SwitchRule(entropy_threshold, 2, 1)
    session = PairedSession(paired(model, small, Threshold(rule)), TEXT[:400], 0, 4096)
    for start, n, new in edits:
        begin = min(start, len(session.text))
        end = min(begin + n, len(session.text))
        session.edit_all([(begin, end, new)])
        session.move_cursor(begin)
        session.complete(ask(begin, max_tokens=4))
        assert session.small.text == session.base.text
    # at a line's start nothing is begun that a completion would take out, which makes what follows stale
    offset = session.text.rfind("\n", 0, offset) + 1
    session.move_cursor(offset)
    while session.encode_some(256):
        pass
    while session.refresh_some(256):
        pass
    cold = PairedSession(paired(model, small, Threshold(rule)), session.text, offset, 4096)
    found, expected = (s.complete(ask(offset, max_tokens=8)) for s in (session, cold))
    assert texts(found.items) == texts(expected.items)
    assert found.n_by_base == expected.n_by_base
    session.check()


@pytest.fixture(autouse=True)
def _models(model: LoadedModel, small_model: LoadedModel) -> None:  # pyright: ignore[reportUnusedFunction]
    MODELS[:] = [model, small_model]


MODELS = list[LoadedModel]()


def test_nobody_waits_for_a_partner_that_has_not_read_the_file(
    model: LoadedModel, small_model: LoadedModel
) -> None:
    rule = SwitchRule(-1.0)  # which the base model would be switched to at once
    session = PairedSession(paired(model, small_model, Threshold(rule)), TEXT * 8, 0, 8192)
    session.base.encode_some(8)
    assert session.complete(ask(0)).n_by_base == 0
    assert session.base.n_encoded == 8
    while session.encode_some(512):
        pass
    assert session.complete(ask(0)).n_by_base > 0


def test_other_tokens_are_refused(
    model: LoadedModel, small_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(small_folder, folder, dirs_exist_ok=True)
    own.save(own.train([inspect.getsource(json)], 480), folder)
    other = loaded_model.load(str(folder), device="cpu", dtype="float32")
    with pytest.raises(ModelError, match="different tokenizers"):
        paired(model, other)


def test_the_memory_for_caches_is_shared(model: LoadedModel, small_model: LoadedModel) -> None:
    pair = paired(model, small_model)
    budget = model.arena.budget_bytes
    parts = pair.base.arena.budget_bytes, pair.small.arena.budget_bytes
    assert sum(parts) in (budget, budget - 1)
    assert parts[0] == pytest.approx(3 * parts[1], rel=0.01)
    session = PairedSession(pair, TEXT, 40, 4096)
    session.encode_some(64)
    session.complete(ask(40))
    assert session.n_bytes > 0
    session.drop_cache()
    assert session.n_bytes == 0
    assert (pair.base.arena.used_bytes, pair.small.arena.used_bytes) == (0, 0)


def test_a_goal_moves_the_threshold_with_each_answer(
    model: LoadedModel, small_model: LoadedModel
) -> None:
    threshold = Threshold(SwitchRule(0.0, 1, 1), share=0.25)
    session = PairedSession(paired(model, small_model, threshold), TEXT, 0, 4096)
    while session.encode_some(512):
        pass
    answer = session.complete(ask(0))
    assert answer.n_by_base == answer.n_generated
    assert threshold.rule.entropy_threshold == pytest.approx(STEP_BITS * 0.75)
    cancelled = session.complete(replace(ask(0), is_cancelled=lambda: True))
    assert (cancelled.stop, threshold.rule.entropy_threshold) == (
        "cancelled",
        pytest.approx(STEP_BITS * 0.75),
    )
