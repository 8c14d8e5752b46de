"""A completion before the first: it happens, and leaves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from warmline_engine.cache.arena import Arena
from warmline_engine.model import thread_count
from warmline_engine.process.warm_up import _measure_threads, warm_up
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.model_pair import paired
from warmline_engine.session.query import Answer, CompletionQuery
from warmline_engine.session.session import Session
from warmline_kernels.native.library import library


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    answers: list[Answer] = []
    complete = Session.complete

    def note(self: Session, ask: CompletionQuery) -> Answer:
        answers.append(complete(self, ask))
        return answers[-1]

    monkeypatch.setattr(Session, "complete", note)
    return answers


def test_each_model_completes_once_and_nothing_is_left(
    model: LoadedModel, answers: list[Answer]
) -> None:
    pair = paired(model, model)
    warm_up(pair)
    assert [answer.n_generated > 0 for answer in answers] == [True, True]
    assert [each.arena.used_bytes for each in (pair.base, pair.small)] == [0, 0]


def test_what_passes_cost_then_is_not_learnt(model: LoadedModel, answers: list[Answer]) -> None:
    own = replace(model, draft_costs=type(model.draft_costs)())
    warm_up(own)
    assert len(answers) == 1
    assert own.draft_costs.pass_s is None


def test_without_room_for_a_cache_the_model_is_loaded_all_the_same(
    model: LoadedModel, answers: list[Answer]
) -> None:
    warm_up(replace(model, arena=Arena(model.arena.shape, 0)))
    assert not answers


@pytest.mark.skipif(library() is None, reason="the kernels are for Linux on x86-64")
@pytest.mark.parametrize(
    ("n_threads", "one_pass_s", "expected"), [(1, 0.001, None), (3, 0.001, 2), (3, 1.0, None)]
)
def test_the_threads_that_decode_are_measured_where_there_are_several(
    n_threads: int,
    one_pass_s: float,
    expected: int | None,
    model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernels = library()
    assert kernels is not None
    monkeypatch.setattr(kernels, "n_threads", None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    monkeypatch.setattr(type(model.transformer), "supports_fused", lambda _, n_rows: n_rows == 1)
    seconds = {None: one_pass_s, 1: 0.003, 2: 0.001, 3: 0.002}
    monkeypatch.setattr(thread_count, "shortest_s", lambda *_: seconds[kernels.n_threads])
    _measure_threads(model)
    assert kernels.n_threads == expected
    assert model.arena.used_bytes == 0
