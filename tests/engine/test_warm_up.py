"""A completion before the first: it happens, and leaves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warmline_engine.cache.arena import Arena
from warmline_engine.loaded_model import LoadedModel
from warmline_engine.pair import paired
from warmline_engine.session import Answer, Ask, Session
from warmline_engine.warm_up import warm_up


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    answers: list[Answer] = []
    complete = Session.complete

    def note(self: Session, ask: Ask) -> Answer:
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
    own = replace(model, payoff=type(model.payoff)())
    warm_up(own)
    assert len(answers) == 1
    assert own.payoff.pass_s is None


def test_without_room_for_a_cache_the_model_is_loaded_all_the_same(
    model: LoadedModel, answers: list[Answer]
) -> None:
    warm_up(replace(model, arena=Arena(model.arena.shape, 0)))
    assert not answers
