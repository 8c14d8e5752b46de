"""Alternatives against a cold read: all but one of their tokens are the likeliest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.support.sessions import TEXT, ask, finish
from warmline_engine.decoding.answers.validity import ENDED
from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.hypotheses import N_EARLY
from warmline_engine.decoding.sampling import SamplingRule
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.session import Session

LINE_STARTS = [k + 1 for k, c in enumerate(TEXT) if c == "\n"]
# where nothing is healed, so that the context is the session's own tokens
PLACES = [place for place in LINE_STARTS if TEXT[place : place + 1].strip()][:6]


@pytest.mark.parametrize("offset", PLACES)
def test_alternatives_are_greedy_but_for_one_early_token(offset: int, model: LoadedModel) -> None:
    session = Session(model, TEXT, offset, 4096)
    finish(session)
    items = session.complete(ask(offset, n_alternatives=4, max_tokens=8)).items
    assert len(items) > 1
    assert len({item.text for item in items}) == len(items)
    context = session.windows.full.tokenized.ids
    for number, item in enumerate(items):
        ids = [*context, *item.tokens]
        logits = ColdRead(model.transformer, ids, slice(len(context) - 1, -1)).logits
        logits = logits.masked_fill(model.suppressed_ids, float("-inf"))
        others = [k for k, row in enumerate(logits) if int(row.argmax()) != item.tokens[k]]
        assert len(others) == (1 if number else 0)
        assert all(k < N_EARLY for k in others)
        chosen = logits.log_softmax(-1)[torch.arange(len(item.tokens)), item.tokens]
        if item.stop != "end":  # which counts the token that ended it
            assert abs(float(chosen.sum()) - item.logprob) < 1e-3
    ranked = [item.mean_logprob for item in items[1:]]
    assert ranked == sorted(ranked, reverse=True)


def test_the_sequence_carries_the_first_answer(model: LoadedModel) -> None:
    offset = PLACES[0]
    alone, among = (Session(model, TEXT, offset, 4096) for _ in range(2))
    for session, n_answers in ((alone, 1), (among, 4)):
        finish(session)
        session.complete(ask(offset, n_alternatives=n_answers, max_tokens=8))
        session.check()
    assert alone.windows.full.carried() == among.windows.full.carried()
    logits = [session.windows.full.sequence.next_logits() for session in (alone, among)]
    torch.testing.assert_close(*logits, atol=1e-4, rtol=0)


def test_no_alternative_is_begun_when_time_is_up(model: LoadedModel) -> None:
    session = Session(model, TEXT, PLACES[0], 4096)
    times = iter(range(1000))
    answer = session.complete(
        ask(PLACES[0], n_alternatives=4, deadline_ms=5000), now=lambda: float(next(times))
    )
    assert len(answer.items) == 1


@pytest.mark.parametrize("offset", [40, 100, 222, 400])
def test_a_searched_line_is_the_likeliest_of_all_that_were_decoded_whole(
    offset: int, model: LoadedModel
) -> None:
    """Against the slow twin: each way to leave the greedy line is followed to its end, none is given up."""
    options = {"max_tokens": 12, "multi_line": False}

    def answers(**more: Any) -> list[Decoded]:
        session = Session(model, TEXT, offset, 4096)
        finish(session)
        found = session.complete(ask(offset, **options, **more)).items
        session.check()
        return found

    (greedy,), everything = answers(), answers(n_alternatives=4)
    ended = [item for item in everything[1:] if item.stop in ENDED and item.text.strip()]
    expected = max([greedy, *ended], key=lambda item: item.logprob)
    (found,) = answers(n_searched=3)
    if greedy.stop not in ENDED:
        expected = greedy
    assert found.tokens == expected.tokens
    assert abs(found.logprob - expected.logprob) < 1e-3


def test_a_searched_line_is_what_the_sequence_carries(model: LoadedModel) -> None:
    offset = TEXT.index("\n", 300) - 6
    session = Session(model, TEXT, offset, 4096)
    finish(session)
    item = session.complete(ask(offset, max_tokens=12, multi_line=False, n_searched=3)).items[0]
    carried = session.windows.full.carried()
    assert carried == item.tokens[: len(carried)]
    session.edit(offset, offset, item.text)
    session.check()


def test_alternatives_may_be_drawn_at_random(model: LoadedModel) -> None:
    """The first stays the greedy one, which the sequence carries; the same ones are drawn each time."""
    offset = PLACES[0]
    greedy, *drawn = (Session(model, TEXT, offset, 4096) for _ in range(3))
    for session in (greedy, *drawn):
        finish(session)
    first = greedy.complete(ask(offset, max_tokens=8)).items[0]
    wanted = replace(ask(offset, n_alternatives=4, max_tokens=8), sampling=SamplingRule(1.5, 1.0))
    one, again = (session.complete(wanted).items for session in drawn)
    assert [item.text for item in one] == [item.text for item in again]
    assert one[0].text == first.text
    assert len({item.text for item in one}) == len(one) == 4
    ranked = [item.mean_logprob for item in one[1:]]
    assert ranked == sorted(ranked, reverse=True)
    assert drawn[0].windows.full.carried() == greedy.windows.full.carried()
    drawn[0].check()
