"""The torch twins against arithmetic a reader can follow, and the Triton kernels against the twins.

Without a GPU the Triton kernels run in Triton's interpreter; with one, the same tests run there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from warmline_kernels import cpu, reference
from warmline_kernels.view import EVERY_SPAN, UNSEEN, AttentionMetadata, cos_sin

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# float32 sums in another order; bf16 keeps 8 bits, and the twin rounds its weights where Triton does not
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}
RULES = (EVERY_SPAN, 0b101, 0b110)  # of the queries, in turn


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """New memory is NaN, so that what a kernel forgets to write is heard."""

    def poison(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def poisoned(*arguments: Any, **options: Any) -> Tensor:
            out = plain(*arguments, **options)
            return out.fill_(float("nan")) if out.is_floating_point() else out

        return poisoned

    monkeypatch.setattr(torch, "empty", poison(torch.empty))
    monkeypatch.setattr(torch, "empty_like", poison(torch.empty_like))
    monkeypatch.setattr(Tensor, "new_empty", poison(Tensor.new_empty))


@dataclass
class Case:
    queries: Tensor
    keys: Tensor
    values: Tensor
    view: AttentionMetadata


def make(
    n_queries: int = 3,
    n_slots: int = 64,
    heads: tuple[int, int] = (4, 2),
    head_size: int = 16,
    rotary_size: int = 16,
    n_offsets: int = 1,
    spans: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Keys in random slots; the queries are the last positions; a tenth of the slots may not be seen."""
    random = torch.Generator().manual_seed(n_slots * 7 + n_queries)
    positions = torch.randperm(n_slots, generator=random)
    keys = torch.randn(heads[1], n_slots, head_size, generator=random)
    values = torch.randn(heads[1], n_slots, head_size, generator=random)
    queries = torch.randn(n_queries, heads[0], head_size, generator=random)
    offsets = torch.randint(0, n_offsets, (n_slots,), generator=random) * 5
    unseen = torch.rand(n_slots, generator=random) < 0.1
    unseen[positions == 0] = False
    key_positions = torch.where(unseen, UNSEEN, positions)
    values[:, unseen] = 1e6  # poison: seen, it is heard
    at = torch.arange(n_slots - n_queries, n_slots).clamp(min=0)
    view = AttentionMetadata(
        query_positions=at.to(DEVICE),
        key_positions=key_positions.to(DEVICE),
        rotated_at=(positions - offsets).to(DEVICE),
        inverse_frequencies=(10000.0 ** (-torch.arange(0, rotary_size, 2) / rotary_size)).to(
            DEVICE
        ),
        attention_factor=1.25,
        scale=head_size**-0.5,
        key_spans=torch.randint(0, 3, (n_slots,), generator=random).to(DEVICE) if spans else None,
        seen_spans=torch.tensor(RULES).repeat(n_queries)[:n_queries].to(DEVICE) if spans else None,
    )
    return Case(queries.to(DEVICE, dtype), keys.to(DEVICE, dtype), values.to(DEVICE, dtype), view)


def span_is_seen(view: AttentionMetadata, query: int, slot: int) -> bool:
    if view.key_spans is None or view.seen_spans is None:
        return True
    return int(view.seen_spans[query]) >> int(view.key_spans[slot]) & 1 == 1


def plain_attention(case: Case, window: int | None) -> Tensor:
    """One query, one head, one key at a time, in double precision."""
    view, out = case.view, torch.zeros(case.queries.shape, dtype=torch.float64)
    n_queries, n_heads, _ = case.queries.shape
    shared = n_heads // case.keys.shape[0]
    frequencies = view.inverse_frequencies.double().cpu()

    def turned(vector: Tensor, position: int, factor: float) -> Tensor:
        half, vector = len(frequencies), vector.double().cpu().clone()
        cos, sin = (frequencies * position).cos() * factor, (frequencies * position).sin() * factor
        low, high = vector[:half].clone(), vector[half : 2 * half].clone()
        vector[:half], vector[half : 2 * half] = low * cos - high * sin, high * cos + low * sin
        return vector

    for t in range(n_queries):
        at = int(view.query_positions[t])
        for head in range(n_heads):
            weights, seen = [], []
            query = turned(case.queries[t, head], at, view.attention_factor)
            for slot in range(case.keys.shape[1]):
                position = int(view.key_positions[slot])
                if at < position or (window is not None and window <= at - position):
                    continue
                if not span_is_seen(view, t, slot):
                    continue
                moved = position - int(view.rotated_at[slot])
                key = turned(case.keys[head // shared, slot], moved, 1.0)
                weights.append(math.exp(float(query @ key) * view.scale))
                seen.append(case.values[head // shared, slot].double().cpu())
            if seen:
                total = sum(weights)
                out[t, head] = sum(w / total * v for w, v in zip(weights, seen, strict=True))
    return out


CASES = {
    "one slot": {"n_queries": 1, "n_slots": 1},
    "63 slots": {"n_slots": 63},
    "64 slots": {"n_slots": 64},
    "65 slots": {"n_slots": 65},
    "a query a key": {"n_queries": 40, "n_slots": 40},
    "one head": {"heads": (2, 2)},
    "seven to one": {"heads": (7, 1)},
    "partial rotary": {"head_size": 24, "rotary_size": 8},
    "two offsets": {"n_offsets": 2},
    "many offsets": {"n_offsets": 6},
    "spans and rows": {"spans": True},
    "spans and offsets": {"spans": True, "n_offsets": 3},
}


@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("name", CASES)
def test_the_twin_is_plain_attention(name: str, window: int | None) -> None:
    case = make(**CASES[name])
    found = reference.attention(case.queries, case.keys, case.values, case.view, window)
    torch.testing.assert_close(
        found.double().cpu(), plain_attention(case, window), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("has_bfloat16", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_attention_in_bf16_is_near_that_in_double_precision(
    name: str, has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: has_bfloat16)
    case = make(**CASES[name], dtype=torch.bfloat16)
    found = reference.attention(case.queries, case.keys, case.values, case.view, None)
    assert found.dtype == torch.bfloat16
    tolerance = TOLERANCE[torch.bfloat16]
    torch.testing.assert_close(
        found.double().cpu(), plain_attention(case, None), atol=tolerance, rtol=tolerance
    )


# shapes of a model: a tile of few rows or several of many, and many slots
LARGE_CASES = {
    "1000 slots": {"n_queries": 1, "n_slots": 1000, "n_offsets": 2},
    "decoding": {
        "n_queries": 1,
        "n_slots": 1000,
        "heads": (14, 2),
        "head_size": 64,
        "rotary_size": 64,
    },
    "a draft": {"n_queries": 9, "n_slots": 300, "heads": (14, 2), "n_offsets": 2, "spans": True},
    "reading": {
        "n_queries": 20,
        "n_slots": 150,
        "heads": (14, 2),
        "head_size": 32,
        "rotary_size": 32,
    },
    "reading by a rule": {
        "n_queries": 33,
        "n_slots": 130,
        "heads": (6, 2),
        "n_offsets": 3,
        "spans": True,
    },
    "a large head": {
        "n_queries": 17,
        "n_slots": 65,
        "heads": (8, 2),
        "head_size": 128,
        "rotary_size": 128,
    },
    "half rotary": {
        "n_queries": 5,
        "n_slots": 150,
        "head_size": 64,
        "rotary_size": 32,
        "n_offsets": 2,
    },
}


def allow_processors(n_processors: int, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The Triton kernels as they run on so many: with one, a split has many blocks, with 132 each has one."""
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    monkeypatch.setattr(triton_kernels, "processors_of", lambda _: n_processors)
    return triton_kernels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("n_processors", [1, 132])
@pytest.mark.parametrize("name", [*CASES, *LARGE_CASES])
def test_triton_attention_equals_the_reference(
    name: str,
    n_processors: int,
    window: int | None,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    triton_kernels = allow_processors(n_processors, monkeypatch)
    case = make(**{**CASES, **LARGE_CASES}[name], dtype=dtype)
    arguments = (case.queries, case.keys, case.values, case.view, window)
    torch.testing.assert_close(
        triton_kernels.attention(*arguments).float(),
        reference.attention(*arguments).float(),
        atol=TOLERANCE[dtype],
        rtol=TOLERANCE[dtype],
    )


@pytest.mark.parametrize("n_slots", [0, 1, 63, 64, 65, 1000, 4096, 4097, 16000, 100_001])
@pytest.mark.parametrize("n_tiles", [1, 2, 56, 1000])
@pytest.mark.parametrize("n_processors", [1, 3, 132])
def test_splits_hold_all_slots_and_none_is_empty(
    n_slots: int, n_tiles: int, n_processors: int
) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    n_splits, split_slots = triton_kernels._split(n_slots, n_tiles, n_processors)
    assert 1 <= n_splits <= triton_kernels.MAX_SPLITS
    assert split_slots % triton_kernels.BLOCK_SLOTS == 0
    assert n_slots <= n_splits * split_slots
    assert n_slots == 0 or (n_splits - 1) * split_slots < n_slots


@pytest.mark.parametrize("n_processors", [1, 132])
@pytest.mark.parametrize("moved", [64, 65, 127])
def test_one_moved_key_in_a_block_is_turned(
    moved: int, n_processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other keys stand where they were rotated for, in its block and in the others."""
    triton_kernels = allow_processors(n_processors, monkeypatch)
    case = make(n_queries=5, n_slots=200)
    at = case.view.rotated_at.clone()
    at[moved] -= 3000
    positions = case.view.key_positions.clone()
    positions[moved] = 0
    view = dataclasses.replace(case.view, key_positions=positions, rotated_at=at)
    case.values[:, moved] = 1.0  # not what poisons the slots that nobody sees
    found = triton_kernels.attention(case.queries, case.keys, case.values, view)
    expected = reference.attention(case.queries, case.keys, case.values, view)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_processors", [1, 132])
@pytest.mark.parametrize("seen", [slice(0, 1), slice(100, 101), slice(128, 192)])
def test_blocks_and_splits_that_nobody_sees_add_nothing(
    seen: slice, n_processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton_kernels = allow_processors(n_processors, monkeypatch)
    case = make(n_queries=20, n_slots=330)
    positions = torch.full((330,), UNSEEN, device=DEVICE)
    positions[seen] = torch.arange(seen.stop - seen.start, device=DEVICE)
    view = dataclasses.replace(case.view, key_positions=positions)
    found = triton_kernels.attention(case.queries, case.keys, case.values, view)
    expected = reference.attention(case.queries, case.keys, case.values, view)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("n_slots", [1, 63, 65])
def test_triton_takes_strided_keys(n_slots: int) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    case = make(n_queries=1, n_slots=n_slots)
    wide = torch.full((2, n_slots * 2 + 3, 16), 1e6, device=DEVICE)
    wide[:, : 2 * n_slots : 2] = case.keys
    keys = wide[:, : 2 * n_slots : 2]
    found = triton_kernels.attention(case.queries, keys, case.values, case.view)
    expected = reference.attention(case.queries, case.keys, case.values, case.view)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("head_size", [16, 24])
@pytest.mark.parametrize("n", [0, 1, 63, 65])
def test_triton_rotate_equals_the_reference(n: int, head_size: int) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    random = torch.Generator().manual_seed(n)
    unrotated = torch.randn(3, 2, 80, head_size, generator=random).to(DEVICE)
    slots = torch.randperm(80, generator=random)[:n].to(DEVICE)
    frequencies = (10000.0 ** (-torch.arange(0, 16, 2) / 16)).to(DEVICE)
    cos, sin = cos_sin(torch.arange(n, device=DEVICE) * 3, frequencies, 1.0)
    ours, twins = torch.zeros_like(unrotated), torch.zeros_like(unrotated)
    triton_kernels.rotate(unrotated, ours, slots, cos, sin)
    reference.rotate(unrotated, twins, slots, cos, sin)
    torch.testing.assert_close(ours, twins, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
@pytest.mark.parametrize("head_size", [16, 24])
@pytest.mark.parametrize("n", [0, 1, 5, 16, 40])
def test_triton_stores_as_the_twin(n: int, head_size: int, dtype: torch.dtype) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    random = torch.Generator().manual_seed(n)
    # heads beside each other, as one product makes them
    heads = torch.randn(n, 6, head_size, generator=random).to(DEVICE, dtype)
    keys, values = heads[:, 2:4], heads[:, 4:]
    slots = torch.randperm(80, generator=random)[:n].to(DEVICE)
    frequencies = (10000.0 ** (-torch.arange(0, 16, 2) / 16)).to(DEVICE)
    cos, sin = cos_sin(torch.arange(n, device=DEVICE)[:, None] * 3, frequencies, 1.0)
    ours, twins = (
        torch.zeros(3, 2, 80, head_size, device=DEVICE, dtype=dtype).unbind() for _ in range(2)
    )
    triton_kernels.write_kv(keys, values, slots, cos, sin, (ours[0], ours[1], ours[2]))
    reference.write_kv(keys, values, slots, cos, sin, (twins[0], twins[1], twins[2]))
    assert torch.equal(ours[0], twins[0])
    assert torch.equal(ours[2], twins[2])
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(ours[1], twins[1], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
@pytest.mark.parametrize("width", [1, 511, 512, 1000])
@pytest.mark.parametrize("n", [0, 1, 9])
def test_triton_gates_as_the_twin(n: int, width: int, dtype: torch.dtype) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    random = torch.Generator().manual_seed(width)
    joined = (8 * torch.randn(n, 2 * width, generator=random)).to(DEVICE, dtype)
    found = triton_kernels.swiglu(joined)
    assert found.dtype == dtype
    tolerance = TOLERANCE[dtype]
    expected = reference.swiglu(joined.double())
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_nothing_in_sight_is_zeros() -> None:
    """A query before every key, in the twin and in Triton."""
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    case = make(n_queries=2, n_slots=5)
    view = dataclasses.replace(case.view, query_positions=case.view.query_positions * 0 - 1)
    for attention in (reference.attention, triton_kernels.attention):
        found = attention(case.queries, case.keys, case.values, view)
        assert torch.equal(found, torch.zeros_like(case.queries))


def test_no_queries_make_no_output() -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    case = make(n_queries=1, n_slots=5)
    view = dataclasses.replace(case.view, query_positions=case.view.query_positions[:0])
    for attention in (reference.attention, triton_kernels.attention):
        found = attention(case.queries[:0], case.keys, case.values, view)
        assert found.shape == (0, *case.queries.shape[1:])


def both_attentions() -> list[Callable[..., Tensor]]:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    return [reference.attention, triton_kernels.attention]


def without(case: Case, dropped: Tensor, queries: slice) -> Case:
    """The same case for some queries, over the slots that are left when the dropped ones are taken out."""
    kept, view = ~dropped, case.view
    left = AttentionMetadata(
        query_positions=view.query_positions[queries],
        key_positions=view.key_positions[kept],
        rotated_at=view.rotated_at[kept],
        inverse_frequencies=view.inverse_frequencies,
        attention_factor=view.attention_factor,
        scale=view.scale,
    )
    return Case(case.queries[queries], case.keys[:, kept], case.values[:, kept], left)


def test_late_bound_chunks_are_seen_by_the_tail_alone() -> None:
    """Span 0 is the file, 1 a chunk in front of it, 2 the tail; only the tail's queries see the chunk."""
    case = make(n_queries=8, n_slots=40, n_offsets=2)
    at = torch.minimum(case.view.rotated_at + 5, case.view.key_positions)
    spans = torch.where(at < 10, 1, torch.where(at < 36, 0, 2))
    tail = case.view.query_positions >= 36
    rule = torch.where(tail, EVERY_SPAN, 0b001)
    view = dataclasses.replace(case.view, key_spans=spans, seen_spans=rule)
    for attention in both_attentions():
        found = attention(case.queries, case.keys, case.values, view)
        file, rest = (
            without(case, (spans != 0), slice(0, 4)),
            without(case, torch.zeros_like(tail[:1]).expand(40), slice(4, 8)),
        )
        for part, queries in ((file, slice(0, 4)), (rest, slice(4, 8))):
            expected = reference.attention(part.queries, part.keys, part.values, part.view)
            torch.testing.assert_close(found[queries], expected, atol=2e-5, rtol=0)


def test_rows_share_slots_and_have_their_own() -> None:
    """Two rows at one position: both see span 0, each its own span beside it, neither the other's."""
    case = make(n_queries=2, n_slots=65)
    view = dataclasses.replace(
        case.view,
        query_positions=case.view.query_positions * 0 + 64,
        key_spans=(torch.arange(65, device=DEVICE) % 3),
        seen_spans=torch.tensor([0b011, 0b101], device=DEVICE),
    )
    for attention in both_attentions():
        found = attention(case.queries, case.keys, case.values, view)
        for row, other in ((0, 2), (1, 1)):
            assert view.key_spans is not None
            alone = without(
                Case(case.queries, case.keys, case.values, view),
                view.key_spans == other,
                slice(row, row + 1),
            )
            expected = reference.attention(alone.queries, alone.keys, alone.values, alone.view)
            torch.testing.assert_close(found[row : row + 1], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("n_slots", [1, 64, 65, 1000])
def test_the_last_slot_alone_is_seen(n_slots: int) -> None:
    case = make(n_queries=1, n_slots=n_slots)
    positions = torch.full((n_slots,), UNSEEN, device=DEVICE)
    positions[-1] = 0
    view = dataclasses.replace(case.view, key_positions=positions)
    for attention in both_attentions():
        found = attention(case.queries, case.keys, case.values, view)
        expected = case.values[:, -1].repeat_interleave(2, dim=0)
        torch.testing.assert_close(found[0], expected, atol=0, rtol=1e-6)


def test_rotations_compose() -> None:
    vectors = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    frequencies = 10000.0 ** (-torch.arange(0, 32, 2) / 32)
    angles = [cos_sin(torch.tensor(k), frequencies, 1.0) for k in (7, 12, 19)]
    twice = reference.apply_rotary(reference.apply_rotary(vectors, *angles[0]), *angles[1])
    torch.testing.assert_close(
        twice, reference.apply_rotary(vectors, *angles[2]), atol=1e-5, rtol=0
    )
