"""A second version of the last tokens: what a sequence says that never had what it does not see."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sequences import TOLERANCE
from warmline_engine.cache.arena import Arena, ArenaFull
from warmline_engine.cache.chunk_cache import ChunkCache
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.cache.unbound_tail import UnboundTail
from warmline_engine.model.transformer import Transformer

TOKENS = st.lists(st.integers(0, 90), min_size=1, max_size=12)


def read(sequence: KVSequence) -> None:
    sequence.encode_pending(10**6)
    while sequence.encode_bound(10**6, ChunkCache(2**20)):
        pass


def rows_of(sequence: KVSequence) -> list[torch.Tensor]:
    rows, n = sequence._rows, sequence._slots.n_used
    held = [rows.unrotated[:, :, :n], rows.rotated[:, :, :n], rows.values[:, :, :n]]
    return [*(part.clone() for part in held), torch.tensor(sequence._slots.rotated_at.copy())]


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(context=TOKENS, chunk=TOKENS, said=TOKENS, other=TOKENS, asked=st.sets(st.integers(0, 11)))
def test_it_is_a_sequence_that_has_no_chunk(
    model: Transformer,
    arena: Arena,
    context: list[int],
    chunk: list[int],
    said: list[int],
    other: list[int],
    asked: set[int],
) -> None:
    """Asked now and then while tokens are appended, and after they were taken back for others."""
    bound, plain = KVSequence(model, arena), KVSequence(model, arena)
    for sequence in (bound, plain):
        sequence.splice(0, 0, [3, *context, 4])
        sequence.splice(1, 1, [9])  # what follows is stale, at an offset
    bound.bind([chunk])
    for sequence in (bound, plain):
        read(sequence)
        sequence.next_logits()
    n_context, row = len(bound), UnboundTail(len(bound) - 1)
    for run in (said, other):
        bound.truncate(n_context)
        plain.truncate(n_context)
        for number, token in enumerate(run):
            expected = plain.append(token)
            bound.append(token)
            if number in asked:
                before, n_fresh = rows_of(bound), bound.n_fresh
                found = bound.logits_without(row, len(bound))
                assert float((found - expected).abs().max()) < TOLERANCE
                assert all(map(torch.equal, rows_of(bound), before)), (
                    "the first version is as it was"
                )
                assert bound.n_fresh == n_fresh
                bound.check()
    for sequence in (bound, plain):
        sequence.drop_cache()


def test_only_what_is_new_is_made(model: Transformer, arena: Arena) -> None:
    sequence = KVSequence(model, arena)
    sequence.splice(0, 0, list(range(20)))
    sequence.bind([[7, 8, 9]])
    read(sequence)
    sequence.next_logits()
    row, counts = UnboundTail(19), list[int]()
    for token in (30, 31, 32, 33):
        sequence.append(token)
        if token != 31:
            before = sequence.n_encoded
            sequence.logits_without(row, len(sequence))
            counts.append(sequence.n_encoded - before)
    assert counts == [2, 2, 1]


def test_where_a_pass_fails_its_tokens_are_read_again(
    model: Transformer, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = KVSequence(model, arena)
    sequence.splice(0, 0, list(range(20)))
    sequence.bind([[7, 8, 9]])
    read(sequence)
    expected = sequence.next_logits()

    def fail(*_: object) -> None:
        raise ArenaFull(1, 0)

    with monkeypatch.context() as patch:
        patch.setattr(Transformer, "forward", fail)
        with pytest.raises(ArenaFull):
            sequence.logits_without(UnboundTail(18), 20)
    sequence.check()
    sequence.encode_pending(10)
    assert float((sequence.next_logits() - expected).abs().max()) < TOLERANCE
