"""The edited cache against a cold read."""

from __future__ import annotations

import copy
import dataclasses
import random
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sequences import (
    TOLERANCE,
    apply,
    assert_equals_cold_read,
    edits,
    read_all,
    token,
)
from warmline_engine.cache import sequence as sequence_module
from warmline_engine.cache import slots
from warmline_engine.cache.arena import Arena, ArenaFull
from warmline_engine.cache.pass_runner import PassRunner
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.transformer import Transformer
from warmline_kernels import reference
from warmline_kernels.choose import Kernels
from warmline_kernels.view import AttentionMetadata


def kernels_like_reference() -> SimpleNamespace:
    """Kernels whose functions a test can replace."""
    return SimpleNamespace(
        attention=reference.attention, rotate=reference.rotate, write_kv=reference.write_kv
    )


def assert_first_layer_is_exact(sequence: KVSequence, model: Transformer) -> None:
    """Layer 0 depends on a token alone, so no edit can make it stale."""
    cold = ColdRead(model, sequence.tokens, slice(-1, None))
    keys, values = sequence.keys_and_values()
    torch.testing.assert_close(keys[0], cold.keys[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(values[0], cold.values[0], atol=1e-5, rtol=1e-5)


def test_reading_in_pieces_is_a_cold_read(sequence: KVSequence, model: Transformer) -> None:
    sequence.splice(0, 0, [k % 97 for k in range(150)])
    read_all(sequence)
    assert sequence.n_fresh == 150
    assert_equals_cold_read(sequence, model)


@pytest.fixture(params=["keys rotated", "queries turned", "no offset but 0 to 2"])
def rotation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways in which shifted keys are read: sequences as short as a test's would all go the first."""
    if request.param != "keys rotated":
        monkeypatch.setattr(sequence_module, "MAX_KEYS_ROTATED", 0)
    if request.param == "no offset but 0 to 2":
        monkeypatch.setattr(slots, "MAX_OFFSET", 2)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(start=st.lists(token, min_size=1, max_size=60), edits=edits)
def test_any_edits_then_refresh_are_a_cold_read(
    start: list[int], edits: list[tuple], model: Transformer, arena: Arena, rotation: None
) -> None:
    sequence, mirror = KVSequence(model, arena), list(start)
    sequence.splice(0, 0, start)
    sequence.encode_pending(30)
    for edit in edits:
        apply(sequence, mirror, edit)
        sequence.check()
        assert sequence.tokens == mirror
    if mirror:
        read_all(sequence)
        assert_first_layer_is_exact(sequence, model)
        while sequence.refresh(17):
            pass
        assert sequence.n_fresh == len(mirror)
        assert_equals_cold_read(sequence, model)
    sequence.drop_cache()
    assert arena.used_bytes == 0


def test_the_rows_of_untouched_tokens_never_change_a_bit(sequence: KVSequence) -> None:
    sequence.splice(0, 0, [k % 97 for k in range(100)])
    read_all(sequence)
    before = [part.clone() for part in sequence.keys_and_values()]
    sequence.splice(40, 45, [1, 2, 3])
    read_all(sequence)
    sequence.move(10, 20, 50)
    sequence.splice(0, 0, [7])
    read_all(sequence)
    order = [
        *range(10),
        *range(20, 40),
        -1,
        -1,
        -1,
        *range(45, 62),
        *range(10, 20),
        *range(62, 100),
    ]
    for old, new in zip(before, sequence.keys_and_values(), strict=True):
        for place, origin in enumerate(order):
            if origin >= 0:
                assert torch.equal(old[:, origin], new[:, place + 1])


def test_ten_thousand_edits_that_end_in_another_text(
    sequence: KVSequence, model: Transformer
) -> None:
    rng = random.Random(5)
    sequence.splice(0, 0, [rng.randrange(97) for _ in range(120)])
    read_all(sequence)
    for _ in range(10_000):
        n = len(sequence)
        start = rng.randrange(n)
        n_removed = rng.choice((0, 0, 1, 2))
        n_added = rng.choice((0, 1, 1, 2)) if n < 200 else 0
        sequence.splice(
            start, min(n, start + n_removed), [rng.randrange(97) for _ in range(n_added)]
        )
        if rng.random() < 0.1:
            sequence.encode_pending(8)
        if len(sequence) < 20:
            sequence.splice(0, 0, [rng.randrange(97) for _ in range(50)])
    sequence.check()
    read_all(sequence)
    while sequence.refresh(64):
        pass
    assert_equals_cold_read(sequence, model)


def test_a_shift_sees_the_right_distance(sequence: KVSequence, rotation: None) -> None:
    """A suffix moved by an insertion answers as if its unrotated keys had been rotated anew."""
    sequence.splice(0, 0, [k % 97 for k in range(80)])
    read_all(sequence)
    sequence.splice(5, 5, [3, 4])
    read_all(sequence)
    shifted = sequence.next_logits()
    sequence.derive_rotated()
    torch.testing.assert_close(shifted, sequence.next_logits(), atol=TOLERANCE, rtol=0)


def test_an_encode_that_fails_leaves_tokens_pending(
    sequence: KVSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence.splice(0, 0, list(range(20)))
    read_all(sequence)
    sequence.splice(8, 8, [50, 51])

    def fail(*_: object) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(PassRunner, "run", fail)
        with pytest.raises(RuntimeError):
            sequence.encode_pending(8)
    sequence.check()
    assert sequence.pending_positions().tolist() == [8, 9]


@pytest.mark.parametrize("positions", [[3, 4, 5], [20, 21, 22], [5, 20, 39]])
def test_encoding_again_that_fails_half_way_leaves_no_half_written_token(
    positions: list[int], model: Transformer, arena: Arena
) -> None:
    """Fresh and stale tokens alike: layer 0 was written anew, layer 1 was not."""
    kernels = kernels_like_reference()
    sequence = KVSequence(model, arena, PassRunner(model, cast(Kernels, kernels), None))
    sequence.splice(0, 0, [k % 97 for k in range(40)])
    read_all(sequence)
    sequence.splice(10, 12, [90, 91])
    read_all(sequence)
    n_fresh = sequence.n_fresh

    def fail_in_layer_1(
        queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *more: Any
    ) -> torch.Tensor:
        if keys.data_ptr() == sequence._rows.rotated[1].data_ptr():
            raise RuntimeError("out of memory")
        return reference.attention(queries, keys, values, *more)

    kernels.attention = fail_in_layer_1
    with pytest.raises(RuntimeError):
        sequence.encode(np.array(positions))
    kernels.attention = reference.attention
    sequence.check()
    assert sequence.pending_positions().tolist() == positions
    assert sequence.n_fresh == min(n_fresh, positions[0])
    read_all(sequence)
    while sequence.refresh(16):
        pass
    assert_equals_cold_read(sequence, model)


def test_a_rotation_that_fails_half_way_leaves_its_tokens_pending(
    model: Transformer, arena: Arena
) -> None:
    kernels = kernels_like_reference()
    sequence = KVSequence(model, arena, PassRunner(model, cast(Kernels, kernels), None))
    sequence.splice(0, 0, [k % 97 for k in range(40)])
    read_all(sequence)
    sequence.splice(30, 30, [5, 6])

    def fail_after_a_layer(unrotated: torch.Tensor, rotated: torch.Tensor, *more: Any) -> None:
        reference.rotate(unrotated[:1], rotated[:1], *more)
        raise RuntimeError("out of memory")

    kernels.rotate = fail_after_a_layer
    with pytest.raises(RuntimeError):
        read_all(sequence)
    kernels.rotate = reference.rotate
    sequence.check()
    assert sequence.pending_positions().tolist() == [30, 31, *range(32, 42)]
    read_all(sequence)
    while sequence.refresh(16):
        pass
    assert_equals_cold_read(sequence, model)


def test_memory_that_is_out_takes_nothing_from_the_budget(
    sequence: KVSequence, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence.splice(0, 0, [k % 97 for k in range(200)])
    read_all(sequence)
    before = sequence.next_logits()
    used, zeros, n_calls = arena.used_bytes, torch.zeros, 0

    def second_fails(*size: Any, **options: Any) -> torch.Tensor:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise RuntimeError("out of memory")
        return zeros(*size, **options)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "zeros", second_fails)
        with pytest.raises(RuntimeError):
            sequence._rows.reserve(1000)
    assert arena.used_bytes == used
    torch.testing.assert_close(sequence.next_logits(), before, atol=TOLERANCE, rtol=0)


def test_a_sequence_with_triton_kernels_equals_a_cold_read(
    model: Transformer, arena: Arena
) -> None:
    kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    sequence = KVSequence(model, arena, PassRunner(model, kernels, None))
    sequence.splice(0, 0, [k % 97 for k in range(20)])
    read_all(sequence)
    sequence.splice(4, 6, [90, 91, 92])
    read_all(sequence)
    sequence.move(12, 15, 2)
    while sequence.refresh(8):
        pass
    sequence.check()
    assert_equals_cold_read(sequence, model)


def test_a_spent_budget_is_an_error_that_changes_nothing(model: Transformer, arena: Arena) -> None:
    arena.budget_bytes = arena.block_bytes
    sequence = KVSequence(model, arena)
    sequence.splice(0, 0, [1] * 300)
    with pytest.raises(ArenaFull):
        sequence.encode_pending(300)
    sequence.check()
    assert (sequence.n_pending, arena.used_bytes) == (300, 0)


# ---- planted faults, each of which the comparison with a cold read must detect


def logits_with(sequence: KVSequence, model: Transformer, plant: str) -> torch.Tensor:
    table = sequence._slots
    if plant == "key one position off":
        table._position_of[table.slot_of[30]] += 1
    elif plant == "stale token taken for fresh":
        sequence.tokens[30] = (sequence.tokens[30] + 1) % 97
    elif plant == "slots swapped":
        table.slot_of[[30, 31]] = table.slot_of[[31, 30]]
        table._position_of[table.slot_of[[30, 31]]] = [30, 31]
    elif plant == "missing scale":
        unscaled = copy.copy(model)
        unscaled.config = dataclasses.replace(model.config, attention_scale=1.0)
        sequence._runner = PassRunner.of(unscaled)
    return sequence.next_logits()


@pytest.mark.parametrize(
    "plant",
    [
        "key one position off",
        "slots swapped",
        "stale token taken for fresh",
        "missing scale",
    ],
)
def test_a_planted_fault_is_detected(plant: str, sequence: KVSequence, model: Transformer) -> None:
    sequence.splice(0, 0, [(k * k) % 97 for k in range(40)])
    read_all(sequence)
    found = logits_with(sequence, model, plant)
    cold = ColdRead(model, sequence.tokens, slice(-1, None)).logits[0]
    assert float((found - cold).abs().max()) > 100 * TOLERANCE


def test_a_missing_mask_is_detected(
    model: Transformer, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a sequence, where later tokens have keys and must not be seen."""
    # only the reference makes a mask
    runner = PassRunner(model, cast(Kernels, reference), graphs=None)
    sequence = KVSequence(model, arena, runner)
    sequence.splice(0, 0, [(k * k) % 97 for k in range(40)])
    read_all(sequence)
    cold = ColdRead(model, sequence.tokens, slice(20, 21)).logits[0]
    masked = sequence.encode(np.array([20]), 1)[0]
    assert float((masked - cold).abs().max()) < TOLERANCE
    monkeypatch.setattr(AttentionMetadata, "mask", lambda *_: None)
    unmasked = sequence.encode(np.array([20]), 1)[0]
    assert float((unmasked - cold).abs().max()) > 100 * TOLERANCE
