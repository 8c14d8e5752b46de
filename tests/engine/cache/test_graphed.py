"""Passes that are captured once and replayed with other numbers, against cold reads and passes as they are.

Without a GPU what would be captured is done again instead; with one, and its kernels verified, these are CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sequences import (
    DEVICE,
    SHAPE,
    TOLERANCE,
    apply,
    assert_equals_cold_read,
    edits,
    read_all,
    token,
)
from warmline_engine.cache import cuda_graphs, pass_runner
from warmline_engine.cache import sequence as sequence_module
from warmline_engine.cache.arena import BLOCK_SLOTS, Arena, RowShape
from warmline_engine.cache.chunk_cache import ChunkCache
from warmline_engine.cache.cuda_graphs import CudaGraphRunner
from warmline_engine.cache.pass_runner import PassRunner
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.transformer import Transformer
from warmline_kernels.choose import kernels_for

PROMPT = [k % 97 for k in range(40)]


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_runner, "graphs_for", CudaGraphRunner)
    monkeypatch.setattr(cuda_graphs, "MIN_REQUESTS", 1)


def plain(model: Transformer, arena: Arena) -> KVSequence:
    return KVSequence(model, arena, PassRunner(model, kernels_for(model.device), graphs=None))


def graphs_of(sequence: KVSequence) -> dict[tuple[int, int], object]:
    graphs = sequence._runner.graphs
    assert graphs is not None
    return dict(graphs._graphs)


@pytest.mark.parametrize("n_rotated", [0, 1000])
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(start=st.lists(token, min_size=1, max_size=60), edits=edits)
def test_any_edits_then_refresh_are_a_cold_read(
    model: Transformer, arena: Arena, monkeypatch: pytest.MonkeyPatch, n_rotated: int,
    start: list[int], edits: list[tuple],
) -> None:  # fmt: skip
    monkeypatch.setattr(sequence_module, "MAX_KEYS_ROTATED", n_rotated)
    sequence, mirror = KVSequence(model, arena), list(start)
    sequence.splice(0, 0, start)
    for edit in edits:
        apply(sequence, mirror, edit)
        sequence.check()
    if mirror:
        read_all(sequence)
        sequence.refresh(len(mirror))
        assert_equals_cold_read(sequence, model)
    sequence.drop_cache()


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    chunks=st.lists(st.lists(token, min_size=1, max_size=8), max_size=4),
    inserted=st.lists(token, min_size=1, max_size=5),
    drafted=st.lists(token, min_size=1, max_size=6),
)
def test_drafts_behind_bound_chunks_are_told_the_same(
    model: Transformer,
    arena: Arena,
    chunks: list[list[int]],
    inserted: list[int],
    drafted: list[int],
) -> None:
    def drafts(make: Callable[[Transformer, Arena], KVSequence]) -> torch.Tensor:
        sequence, kept = make(model, arena), ChunkCache(2**20)
        sequence.splice(0, 0, PROMPT)
        read_all(sequence)
        sequence.bind(chunks)
        sequence.bound_end = len(PROMPT) // 2
        while sequence.encode_bound(5, kept):
            pass
        sequence.splice(20, 22, inserted)
        found = sequence.extend(drafted, sequence.pending_positions())
        sequence.drop_cache()
        return found

    assert float((drafts(KVSequence) - drafts(plain)).abs().max()) < TOLERANCE


def test_a_graph_outlives_splices_and_ends_with_its_rows(model: Transformer, arena: Arena) -> None:
    sequence = KVSequence(model, arena)
    sequence.splice(0, 0, PROMPT)
    read_all(sequence)
    sequence.append(3)
    captured = graphs_of(sequence)
    assert list(captured) == [(1, 1)]
    sequence.splice(5, 9, [1, 2])
    sequence.move(0, 4, 20)
    while sequence.encode_pending(1):
        pass
    sequence.append(4)
    assert graphs_of(sequence)[1, 1] is captured[1, 1]
    sequence.splice(0, 0, [k % 97 for k in range(BLOCK_SLOTS)])  # more than there is room for
    read_all(sequence)
    sequence.append(5)
    assert graphs_of(sequence)[1, 1] is not captured[1, 1]
    sequence.refresh(len(sequence))
    assert_equals_cold_read(sequence, model)
    sequence.drop_cache()
    assert not graphs_of(sequence)


def test_what_is_asked_for_once_is_not_captured(
    model: Transformer, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "MIN_REQUESTS", 2)
    sequence = KVSequence(model, arena)
    sequence.splice(0, 0, PROMPT)
    read_all(sequence)
    sequence.append(3)
    assert not graphs_of(sequence)
    sequence.append(3)
    assert list(graphs_of(sequence)) == [(1, 1)]


def test_where_capturing_fails_passes_go_as_they_are(
    model: Transformer,
    arena: Arena,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(CudaGraphRunner, "_captured", fail)
    sequence = KVSequence(model, arena)
    sequence.splice(0, 0, PROMPT)
    read_all(sequence)
    assert_equals_cold_read(sequence, model)
    assert "no CUDA graphs" in caplog.text
    assert len(caplog.records) == 1


def test_two_models_on_one_device_have_graphs_of_their_own(
    tmp_path: Path, model: Transformer, arena: Arena
) -> None:
    """Decoding by turns, as two models that switch do, in rows out of one memory."""
    random_checkpoint.write({**SHAPE, "hidden_size": 32, "num_hidden_layers": 2}, tmp_path, std=0.2)
    other = checkpoint.load(tmp_path, DEVICE)
    config = other.config
    shape = RowShape(config.n_layers, config.n_kv_heads, config.head_size, torch.float32, DEVICE)
    pair = KVSequence(model, arena), KVSequence(other, Arena(shape, 64 * 2**20))
    alone = plain(model, arena), plain(other, Arena(shape, 64 * 2**20))
    for sequence in (*pair, *alone):
        sequence.splice(0, 0, PROMPT)
        read_all(sequence)
    for step in range(12):
        spoken = step % 97
        if step == 6:
            for sequence in (*pair, *alone):
                sequence.splice(4, 7, [5, 6])
                read_all(sequence)
        for graphed, reference in zip(pair, alone, strict=True):
            torch.testing.assert_close(
                graphed.append(spoken), reference.append(spoken), atol=TOLERANCE, rtol=0
            )
    assert all(graphs_of(sequence) for sequence in pair)
