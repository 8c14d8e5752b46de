"""Chunks bound in front of a sequence, against one dense pass that keeps the attention rule by a mask."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.examples import examples
from warmline_engine.cache.arena import Arena
from warmline_engine.cache.chunk_cache import ChunkCache
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.transformer import Transformer
from warmline_kernels.reference import apply_rotary
from warmline_kernels.view import cos_sin

TOLERANCE = 1e-4
token = st.integers(0, 96)
chunk = st.lists(token, min_size=1, max_size=7)


def read_all(sequence: KVSequence, kept: ChunkCache, limit: int = 3) -> None:
    while sequence.encode_pending(64):
        pass
    while sequence.encode_bound(limit, kept):
        pass


def dense(
    model: Transformer, chunks: list[list[int]], tokens: list[int], n_seeing: int, end: int = 0
) -> tuple[Tensor, Tensor]:
    """Logits of the last tokens, and the unrotated keys of the tokens, in one pass. Shapes: [n, V], [L, T, Hk, D]."""
    n_bound, everything = sum(map(len, chunks)), [*itertools.chain(*chunks), *tokens]
    on = model.device
    at = torch.tensor([*range(end - n_bound, end), *range(len(tokens))], device=on)
    spans = [k + 1 for k, c in enumerate(chunks) for _ in c] + [0] * len(tokens)
    span = torch.tensor(spans, device=on)
    seen = span[:, None] == span[None, :]
    seen[len(everything) - n_seeing :] = True
    seen &= at[:, None] >= at[None, :]
    rope = model.config.rope
    cos, sin = cos_sin(at, rope.inverse_frequencies.to(on), rope.attention_factor)
    keys: list[Tensor] = []

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys.append(k[n_bound:])
        queries, turned, held = (
            x.transpose(0, 1)[None]
            for x in (
                apply_rotary(q, cos[:, None], sin[:, None]),
                apply_rotary(k, cos[:, None], sin[:, None]),
                v,
            )
        )
        scale = model.config.attention_scale
        out = F.scaled_dot_product_attention(
            queries, turned, held, attn_mask=seen, scale=scale, enable_gqa=True
        )
        return out[0].transpose(0, 1)

    logits = model.forward(torch.tensor(everything, device=on), attend, slice(-n_seeing, None))
    return logits, torch.stack(keys)


@pytest.fixture
def kept() -> ChunkCache:
    return ChunkCache(2**20)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(token, min_size=2, max_size=20),
    st.lists(st.lists(chunk, max_size=4), min_size=1, max_size=3),
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.lists(token, max_size=4)), max_size=3
    ),
    st.lists(token, min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 1),
)
def test_any_binding_is_one_dense_pass(
    model: Transformer,
    arena: Arena,
    tokens: list[int],
    bindings: list[list[list[int]]],
    edits: list[tuple[float, float, list[int]]],
    generated: list[int],
    is_read_first: bool,
    end: int,
) -> None:
    sequence, kept = KVSequence(model, arena), ChunkCache(2**20)
    sequence.bound_end = 1 - end  # it may be set when it is needed
    sequence.splice(0, 0, tokens)
    for chunks in bindings:  # another one takes the place of the one before
        if is_read_first:
            read_all(sequence, kept)
        sequence.bind(chunks)
        sequence.check()
    for at, share, new in edits:
        start = int(at * len(sequence))
        sequence.splice(start, min(len(sequence), start + int(share * len(sequence))), new)
        read_all(sequence, kept)
        sequence.check()
    if not len(sequence):
        sequence.splice(0, 0, [5])
    read_all(sequence, kept)
    sequence.refresh(10**6)
    n_own = len(sequence)
    sequence.bound_end = end * (n_own - 1)  # overlapping the tokens, which do not see it
    found = [sequence.next_logits()]
    found += [sequence.append(one) for one in generated]
    sequence.check()
    bound, own = bindings[-1], [*sequence.tokens[:n_own], *generated]
    logits, keys = dense(model, bound, own, 1 + len(generated), end * (n_own - 1))
    assert float((torch.stack(found) - logits).abs().max()) < TOLERANCE
    held, _ = sequence.keys_and_values()
    assert float((held - keys).abs().max()) < TOLERANCE
    # what saw chunks is not fresh; encoded again with the rest, it is what a cold read of the text gives
    assert sequence.n_fresh == (n_own - 1 if sum(map(len, bound)) else len(own))
    sequence.truncate(n_own)
    sequence.refresh(10**6)
    cold = ColdRead(model, sequence.tokens, slice(-1, None))
    assert float((sequence.keys_and_values()[0] - cold.keys).abs().max()) < TOLERANCE
    sequence.drop_cache()


def test_a_bound_chunk_is_heard(sequence: KVSequence, kept: ChunkCache) -> None:
    sequence.splice(0, 0, list(range(20)))
    read_all(sequence, kept)
    alone = sequence.next_logits()
    sequence.bind([[7, 8, 9, 10]])
    read_all(sequence, kept)
    assert float((sequence.next_logits() - alone).abs().max()) > 100 * TOLERANCE
    sequence.bind([])
    assert float((sequence.next_logits() - alone).abs().max()) < TOLERANCE


def test_no_chunk_is_encoded_twice(model: Transformer, arena: Arena, kept: ChunkCache) -> None:
    one, other = KVSequence(model, arena), KVSequence(model, arena)
    for sequence, tokens in ((one, range(30)), (other, range(40, 80))):
        sequence.splice(0, 0, list(tokens))
        read_all(sequence, kept)
    one.bind([[1, 2, 3], [4, 5, 6, 7]])
    read_all(one, kept)
    n_before = one.n_encoded + other.n_encoded
    assert (one.n_bound_encoded, other.n_bound_encoded) == (7, 0)
    other.bind([[4, 5, 6, 7], [1, 2, 3]])
    read_all(other, kept)
    one.bind([[1, 2, 3]])
    read_all(one, kept)
    assert one.n_encoded + other.n_encoded == n_before
    assert (one.n_bound_encoded, other.n_bound_encoded) == (7, 0)
    expected, _ = dense(model, [[4, 5, 6, 7], [1, 2, 3]], other.tokens, 1)
    assert float((other.next_logits() - expected[0]).abs().max()) < TOLERANCE
    # a cache that was dropped takes them from there too
    other.drop_cache()
    n_before = other.n_encoded
    read_all(other, kept)
    assert other.n_encoded == n_before + len(other)
    assert float((other.next_logits() - expected[0]).abs().max()) < TOLERANCE


def test_a_pending_chunk_is_not_seen(sequence: KVSequence, kept: ChunkCache) -> None:
    sequence.splice(0, 0, list(range(20)))
    read_all(sequence, kept)
    alone = sequence.next_logits()
    sequence.bind([[7, 8, 9, 10]])
    assert float((sequence.next_logits() - alone).abs().max()) < TOLERANCE
    assert np.array_equal(sequence.pending_positions(), [])


def test_what_is_kept_keeps_its_budget() -> None:
    def rows(n: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, 1, n, 4), torch.zeros(1, 1, n, 4)  # 32 bytes a token

    kept = ChunkCache(320)
    kept.put((1,), rows(4))
    kept.put((2,), rows(4))
    assert kept.get((1,)) is not None
    kept.put((3,), rows(4))  # the second was unused longest
    assert (kept.get((2,)), len(kept), kept.n_bytes) == (None, 2, 256)
    kept.put((4,), rows(11))
    assert (kept.get((4,)), len(kept)) == (None, 2)
    kept.put((3,), rows(2))
    assert kept.n_bytes == 192
