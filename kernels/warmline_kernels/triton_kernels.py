"""The kernels in Triton, with the signatures of the references in `reference`.

A tile's rows are queries and the heads that share a key/value head, so that keys and values are read once for all of
them. Slots are split among programs, since one query has too few rows to fill a GPU; a second kernel combines the
partial results. A key is rotated when it is loaded, by the distance from the position it was rotated for, so nothing is
recomputed when a thousand keys move. The kernels are tested against the references, in Triton's interpreter and, by
`make gpu-check`, on a GPU.

This file is longer than 300 lines because all kernels share the device functions for loading and rotating keys, which
Triton compiles from one module.
"""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportPossiblyUnboundVariable=false
# a kernel's constexpr parameters are given plain numbers, which triton's types do not say, nor that a
# reduction of one tensor is one; and what is loaded under a constexpr is used under the same

from __future__ import annotations

import functools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .view import UNSEEN, AttentionMetadata

BLOCK_SLOTS = 64
MAX_ROWS = 64  # of a tile
MAX_EXACT_ROWS = 16  # in float32, whose products no tensor core makes: registers would not suffice
MAX_SPLITS = 64  # the second kernel holds all splits of a row at once
ROTATED_SLOTS = 32  # of a program
STORED_TOKENS = 16  # of a program, at most
GATED_AT_ONCE = 512  # numbers of a program
PROGRAMS_A_PROCESSOR = 2  # what one waits for, another computes
PROCESSORS = 132  # of an H100; for the interpreter
MIN_SCORE = tl.constexpr(
    -1.0e30
)  # below any score; finite, so that a block without a seen key makes no NaN
UNSEEN_AT = tl.constexpr(UNSEEN)  # a kernel reads no plain global


@triton.jit
def _turned(low, high, offsets, frequencies):
    angles = offsets.to(tl.float32)[:, None] * frequencies[None, :]
    cos, sin = tl.cos(angles), tl.sin(angles)
    return low * cos - high * sin, high * cos + low * sin


# sizes that differ from step to step: a kernel compiled for a multiple of 16 would be compiled again
@triton.jit(do_not_specialize=["n_rows", "n_slots", "n_splits", "split_slots"])
def _attention(  # noqa: PLR0915 - one kernel is one function
    queries, keys, values, greatests, totals, sums,
    query_positions, cosines, sines, key_positions, rotated_at, frequencies, key_spans, seen_spans,
    n_rows, n_slots, n_splits, split_slots, scale, window,
    queries_t, queries_h, keys_h, keys_s, values_h, values_s,
    shared: tl.constexpr, half: tl.constexpr, head_size: tl.constexpr,
    ROWS: tl.constexpr, HALF: tl.constexpr, REST: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr,
    HAS_REST: tl.constexpr, HAS_SPANS: tl.constexpr, HAS_WINDOW: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    tile, split, kv_head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    kind = keys.dtype.element_ty
    rows = tile * ROWS + tl.arange(0, ROWS)
    is_row = rows < n_rows
    t = (rows // shared).to(tl.int64)
    pairs = tl.arange(0, HALF)  # [HALF] of the rotated dimensions
    is_pair = pairs < half
    others = tl.arange(0, REST)  # [REST] of the dimensions that are not rotated
    is_other = others < head_size - 2 * half
    dims = tl.arange(0, SIZE)
    is_dim = dims < head_size

    query = queries + (t * queries_t + (kv_head * shared + rows % shared) * queries_h)[:, None]
    row_pairs = is_row[:, None] & is_pair[None, :]
    q_low = tl.load(query + pairs[None, :], mask=row_pairs, other=0.0).to(tl.float32)
    q_high = tl.load(query + half + pairs[None, :], mask=row_pairs, other=0.0).to(tl.float32)
    at = t[:, None] * half + pairs[None, :]
    cos = tl.load(cosines + at, mask=row_pairs, other=0.0)
    sin = tl.load(sines + at, mask=row_pairs, other=0.0)
    q_low, q_high = q_low * cos - q_high * sin, q_high * cos + q_low * sin
    q_low, q_high = q_low.to(kind).to(FACTOR), q_high.to(kind).to(FACTOR)
    if HAS_REST:
        row_others = is_row[:, None] & is_other[None, :]
        q_rest = tl.load(query + 2 * half + others[None, :], mask=row_others, other=0.0).to(FACTOR)
    frequency = tl.load(frequencies + pairs, mask=is_pair, other=0.0)
    position = tl.load(query_positions + t, mask=is_row, other=0).to(tl.int32)
    if HAS_SPANS:
        allowed = tl.load(seen_spans + t, mask=is_row, other=0)

    greatest = tl.full((ROWS,), MIN_SCORE, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    gathered = tl.zeros((ROWS, SIZE), tl.float32)
    first = split * split_slots
    last = tl.minimum(first + split_slots, n_slots)
    for start in range(first, last, BLOCK):
        slots = start + tl.arange(0, BLOCK)
        is_slot = slots < last
        # keys and values are loaded whether they are seen or not: to wait for the positions takes longer
        key = keys + kv_head * keys_h + (slots.to(tl.int64) * keys_s)[:, None]
        slot_pairs = is_slot[:, None] & is_pair[None, :]
        low = tl.load(key + pairs[None, :], mask=slot_pairs, other=0.0)
        high = tl.load(key + half + pairs[None, :], mask=slot_pairs, other=0.0)
        key_position = tl.load(key_positions + slots, mask=is_slot, other=UNSEEN_AT).to(tl.int32)
        turned_at = tl.load(rotated_at + slots, mask=is_slot, other=0).to(tl.int32)
        offsets = tl.where(key_position < UNSEEN_AT, key_position - turned_at, 0)
        # sines cost more than the products, and mostly no key has moved
        if tl.max(tl.abs(offsets), 0) > 0:
            turned_low, turned_high = _turned(
                low.to(tl.float32), high.to(tl.float32), offsets, frequency
            )
            low, high = turned_low.to(kind), turned_high.to(kind)
        scores = tl.dot(q_low, tl.trans(low.to(FACTOR)), input_precision="ieee")
        scores = tl.dot(q_high, tl.trans(high.to(FACTOR)), acc=scores, input_precision="ieee")
        if HAS_REST:
            slot_others = is_slot[:, None] & is_other[None, :]
            rest = tl.load(key + 2 * half + others[None, :], mask=slot_others, other=0.0)
            scores = tl.dot(q_rest, tl.trans(rest.to(FACTOR)), acc=scores, input_precision="ieee")
        seen = key_position[None, :] <= position[:, None]
        if HAS_WINDOW:
            seen = seen & (position[:, None] - key_position[None, :] < window)
        if HAS_SPANS:
            span = tl.load(key_spans + slots, mask=is_slot, other=0)
            seen = seen & (((allowed[:, None] >> span[None, :]) & 1) == 1)
        scores = tl.where(seen, scores * scale, MIN_SCORE)
        new_greatest = tl.maximum(greatest, tl.max(scores, 1))
        weights = tl.where(seen, tl.exp2(scores - new_greatest[:, None]), 0.0)
        shrink = tl.exp2(greatest - new_greatest)
        total = total * shrink + tl.sum(weights, 1)
        value = (
            values + kv_head * values_h + (slots.to(tl.int64) * values_s)[:, None] + dims[None, :]
        )
        v = tl.load(value, mask=is_slot[:, None] & is_dim[None, :], other=0.0)
        gathered = tl.dot(
            weights.to(kind).to(FACTOR), v.to(FACTOR), acc=gathered * shrink[:, None],
            input_precision="ieee",
        )  # fmt: skip
        greatest = new_greatest
    place = (kv_head * n_rows + rows) * n_splits + split
    tl.store(greatests + place, greatest, mask=is_row)
    tl.store(totals + place, total, mask=is_row)
    tl.store(sums + place[:, None] * SIZE + dims[None, :], gathered, mask=is_row[:, None])


@triton.jit(do_not_specialize=["n_rows", "n_splits"])
def _combine(
    greatests, totals, sums, out, n_rows, n_splits, out_t, out_h,
    shared: tl.constexpr, head_size: tl.constexpr, SIZE: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    row, kv_head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    splits, dims = tl.arange(0, SPLITS), tl.arange(0, SIZE)
    is_split = splits < n_splits
    place = (kv_head * n_rows + row) * n_splits + splits
    greatest = tl.load(greatests + place, mask=is_split, other=MIN_SCORE)
    total = tl.load(totals + place, mask=is_split, other=0.0)
    found = tl.load(sums + place[:, None] * SIZE + dims[None, :], mask=is_split[:, None], other=0.0)
    share = tl.exp2(greatest - tl.max(greatest, 0))
    all_of_it = tl.sum(total * share, 0)
    gathered = tl.sum(found * share[:, None], 0) / tl.where(all_of_it > 0, all_of_it, 1.0)
    head = kv_head * shared + row % shared
    target = out + (row // shared).to(tl.int64) * out_t + head * out_h + dims
    tl.store(target, gathered.to(out.dtype.element_ty), mask=dims < head_size)


@triton.jit(do_not_specialize=["n_slots"])
def _rotate(
    unrotated, rotated, slots, cosines, sines,
    unrotated_l, unrotated_h, unrotated_s, rotated_l, rotated_h, rotated_s,
    n_slots, n_kv_heads, half: tl.constexpr, head_size: tl.constexpr,
    HALF: tl.constexpr, REST: tl.constexpr, BLOCK: tl.constexpr, HAS_REST: tl.constexpr,
):  # fmt: skip
    which = tl.program_id(1).to(tl.int64)
    layer, head = which // n_kv_heads, which % n_kv_heads
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_slot = k < n_slots
    slot = tl.load(slots + k, mask=is_slot, other=0).to(tl.int64)[:, None]
    pairs, others = tl.arange(0, HALF)[None, :], tl.arange(0, REST)[None, :]
    is_pair = is_slot[:, None] & (pairs < half)
    at = k.to(tl.int64)[:, None] * half + pairs
    cos = tl.load(cosines + at, mask=is_pair, other=0.0)
    sin = tl.load(sines + at, mask=is_pair, other=0.0)
    source = unrotated + layer * unrotated_l + head * unrotated_h + slot * unrotated_s
    target = rotated + layer * rotated_l + head * rotated_h + slot * rotated_s
    low = tl.load(source + pairs, mask=is_pair, other=0.0).to(tl.float32)
    high = tl.load(source + half + pairs, mask=is_pair, other=0.0).to(tl.float32)
    kind = rotated.dtype.element_ty
    tl.store(target + pairs, (low * cos - high * sin).to(kind), mask=is_pair)
    tl.store(target + half + pairs, (high * cos + low * sin).to(kind), mask=is_pair)
    if HAS_REST:
        is_other = is_slot[:, None] & (others < head_size - 2 * half)
        rest = tl.load(source + 2 * half + others, mask=is_other, other=0.0)
        tl.store(target + 2 * half + others, rest, mask=is_other)


@triton.jit(do_not_specialize=["n_tokens"])
def _store(
    keys, values, slots, cosines, sines, unrotated, rotated, stored,
    keys_t, keys_h, values_t, values_h, unrotated_h, unrotated_s, rotated_h, rotated_s, stored_h, stored_s,
    n_tokens, half: tl.constexpr, head_size: tl.constexpr,
    HALF: tl.constexpr, REST: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr, HAS_REST: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1).to(tl.int64)
    t = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    is_token = t < n_tokens
    slot = tl.load(slots + t, mask=is_token, other=0).to(tl.int64)[:, None]
    is_token, t = is_token[:, None], t[:, None]
    dims, pairs, others = (
        tl.arange(0, SIZE)[None, :],
        tl.arange(0, HALF)[None, :],
        tl.arange(0, REST)[None, :],
    )
    is_dim, is_pair = is_token & (dims < head_size), is_token & (pairs < half)
    value = tl.load(values + t * values_t + head * values_h + dims, mask=is_dim, other=0.0)
    tl.store(stored + head * stored_h + slot * stored_s + dims, value, mask=is_dim)
    source = keys + t * keys_t + head * keys_h
    plain = unrotated + head * unrotated_h + slot * unrotated_s
    target = rotated + head * rotated_h + slot * rotated_s
    low = tl.load(source + pairs, mask=is_pair, other=0.0)
    high = tl.load(source + half + pairs, mask=is_pair, other=0.0)
    tl.store(plain + pairs, low, mask=is_pair)
    tl.store(plain + half + pairs, high, mask=is_pair)
    cos = tl.load(cosines + t * half + pairs, mask=is_pair, other=0.0)
    sin = tl.load(sines + t * half + pairs, mask=is_pair, other=0.0)
    low, high = low.to(tl.float32), high.to(tl.float32)
    kind = rotated.dtype.element_ty
    tl.store(target + pairs, (low * cos - high * sin).to(kind), mask=is_pair)
    tl.store(target + half + pairs, (high * cos + low * sin).to(kind), mask=is_pair)
    if HAS_REST:
        is_other = is_token & (others < head_size - 2 * half)
        rest = tl.load(source + 2 * half + others, mask=is_other, other=0.0)
        tl.store(plain + 2 * half + others, rest, mask=is_other)
        tl.store(target + 2 * half + others, rest, mask=is_other)


@triton.jit
def _gated(joined, out, joined_t, out_t, width, BLOCK: tl.constexpr):
    row = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_there = at < width
    gate = tl.load(joined + row * joined_t + at, mask=is_there, other=0.0).to(tl.float32)
    up = tl.load(joined + row * joined_t + width + at, mask=is_there, other=0.0).to(tl.float32)
    product = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * out_t + at, product.to(out.dtype.element_ty), mask=is_there)


@triton.jit
def _normed(
    x, added, weight, total, out, width, x_t, added_t, scale, eps,
    WIDTH: tl.constexpr, HAS_ADDED: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDTH)
    is_there = at < width
    kind = out.dtype.element_ty
    value = tl.load(x + row * x_t + at, mask=is_there, other=0.0).to(tl.float32)
    if HAS_ADDED:
        more = tl.load(added + row * added_t + at, mask=is_there, other=0.0).to(tl.float32)
        rounded = (value + more * scale).to(kind)
        tl.store(total + row * width + at, rounded, mask=is_there)
        value = rounded.to(tl.float32)
    size = tl.sqrt(tl.sum(value * value, 0) / width + eps)
    factor = tl.load(weight + at, mask=is_there, other=0.0).to(tl.float32)
    tl.store(out + row * width + at, (value / size * factor).to(kind), mask=is_there)


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    view: AttentionMetadata,
    window: int | None = None,
) -> Tensor:
    """As `reference.attention`. The contents of slots that no query attends to must be finite.

    Shapes: queries [T, Hq, D], keys and values [Hk, S, D] → [T, Hq, D].
    """
    n_queries, n_heads, head_size = queries.shape
    n_kv_heads, n_slots, _ = keys.shape
    half = len(view.inverse_frequencies)
    # a head's dimensions must lie together; slots and heads may be strided
    queries = queries if queries.stride(2) == 1 else queries.contiguous()
    keys = keys if keys.stride(2) == 1 else keys.contiguous()
    values = values if values.stride(2) == 1 else values.contiguous()
    out = torch.empty_like(queries, memory_format=torch.contiguous_format)
    if n_queries == 0:
        return out
    shared = n_heads // n_kv_heads
    n_rows = n_queries * shared
    is_exact = keys.dtype == torch.float32
    tile_rows = min(MAX_EXACT_ROWS if is_exact else MAX_ROWS, _padded(n_rows))
    n_tiles = triton.cdiv(n_rows, tile_rows)
    n_splits, split_slots = _split(n_slots, n_tiles * n_kv_heads, processors_of(queries.device))
    size = _padded(head_size)
    found = torch.empty(
        n_kv_heads * n_rows * n_splits * (size + 2), dtype=torch.float32, device=queries.device
    )
    sums, greatests, totals = found.split(
        [n_kv_heads * n_rows * n_splits * part for part in (size, 1, 1)]
    )
    cos, sin = view.own_angles
    has_spans = view.key_spans is not None and view.seen_spans is not None
    nothing = view.key_positions
    _attention[(n_tiles, n_splits, n_kv_heads)](
        queries, keys, values, greatests, totals, sums,
        view.query_positions, cos, sin, view.key_positions, view.rotated_at, view.inverse_frequencies,
        view.key_spans if has_spans else nothing, view.seen_spans if has_spans else nothing,
        n_rows, n_slots, n_splits, split_slots, view.scale * math.log2(math.e), window or 0,
        queries.stride(0), queries.stride(1), keys.stride(0), keys.stride(1),
        values.stride(0), values.stride(1),
        shared=shared, half=half, head_size=head_size,
        ROWS=tile_rows, HALF=_padded(half), REST=_padded(head_size - 2 * half), SIZE=size,
        BLOCK=BLOCK_SLOTS, HAS_REST=2 * half < head_size, HAS_SPANS=has_spans,
        HAS_WINDOW=window is not None, FACTOR=factor_of(keys),
        # a large tile does not fit into the registers of 4
        num_warps=4 if tile_rows * size <= MAX_ROWS * 64 and not is_exact else 8,
        num_stages=1 if is_exact else 3,
    )  # fmt: skip
    _combine[(n_rows, n_kv_heads)](
        greatests, totals, sums, out, n_rows, n_splits, out.stride(0), out.stride(1),
        shared=shared, head_size=head_size, SIZE=size, SPLITS=triton.next_power_of_2(n_splits),
    )  # fmt: skip
    return out


def _padded(n: int) -> int:
    """The size of a product's side: padded to a power of two, at least 16."""
    return max(16, triton.next_power_of_2(n))


def _split(n_slots: int, n_tiles: int, n_processors: int) -> tuple[int, int]:
    """The number of splits, so that all processors have work, and the slots in each."""
    n_blocks = triton.cdiv(n_slots, BLOCK_SLOTS)
    wanted = triton.cdiv(n_processors * PROGRAMS_A_PROCESSOR, n_tiles)
    blocks = triton.cdiv(n_blocks, max(1, min(wanted, MAX_SPLITS, n_blocks)))
    return max(1, triton.cdiv(n_blocks, max(1, blocks))), blocks * BLOCK_SLOTS


@functools.cache
def processors_of(device: torch.device) -> int:
    if device.type != "cuda":
        return PROCESSORS
    return torch.cuda.get_device_properties(device).multi_processor_count


def factor_of(numbers: Tensor) -> tl.dtype:
    """The dtype of products' factors. The interpreter has no bf16 products: it multiplies rounded numbers."""
    if numbers.dtype == torch.float32 or numbers.device.type == "cpu":
        return tl.float32
    return tl.bfloat16 if numbers.dtype == torch.bfloat16 else tl.float16


def rotate(unrotated: Tensor, rotated: Tensor, slots: Tensor, cos: Tensor, sin: Tensor) -> None:
    """As `reference.rotate`.

    Shapes: unrotated and rotated [L, Hk, S, D], slots [n], cos and sin [n, R/2].
    Modifies: rotated.
    """
    if len(slots) == 0:
        return
    n_layers, n_kv_heads, _, head_size = unrotated.shape
    half = cos.shape[-1]
    _rotate[(triton.cdiv(len(slots), ROTATED_SLOTS), n_layers * n_kv_heads)](
        unrotated, rotated, slots, cos.contiguous(), sin.contiguous(),
        *unrotated.stride()[:3], *rotated.stride()[:3],
        len(slots), n_kv_heads, half=half, head_size=head_size, HALF=_padded(half),
        REST=_padded(head_size - 2 * half), BLOCK=ROTATED_SLOTS, HAS_REST=2 * half < head_size,
    )  # fmt: skip


def write_kv(
    keys: Tensor,
    values: Tensor,
    slots: Tensor | slice,
    cos: Tensor,
    sin: Tensor,
    rows: tuple[Tensor, Tensor, Tensor],
) -> None:
    """As `reference.write_kv`, of slots in a tensor.

    Shapes: keys and values [T, Hk, D], slots [T], cos and sin [T, 1, R/2], rows three of [Hk, S, D].
    Modifies: rows.
    """
    n_tokens, n_kv_heads, head_size = keys.shape
    if n_tokens == 0:
        return
    keys = keys if keys.stride(2) == 1 else keys.contiguous()
    values = values if values.stride(2) == 1 else values.contiguous()
    half = cos.shape[-1]
    block = min(STORED_TOKENS, triton.next_power_of_2(n_tokens))
    _store[(triton.cdiv(n_tokens, block), n_kv_heads)](
        keys, values, slots, cos.contiguous(), sin.contiguous(), *rows,
        *keys.stride()[:2], *values.stride()[:2], *(stride for part in rows for stride in part.stride()[:2]),
        n_tokens, half=half, head_size=head_size, HALF=_padded(half), REST=_padded(head_size - 2 * half),
        SIZE=_padded(head_size), BLOCK=block, HAS_REST=2 * half < head_size,
    )  # fmt: skip


def swiglu(joined: Tensor) -> Tensor:
    """As `reference.swiglu`, rounded once. Shapes: [T, 2 · n] → [T, n]."""
    joined = joined if joined.stride(-1) == 1 else joined.contiguous()
    n_rows, width = joined.shape[0], joined.shape[1] // 2
    out = torch.empty(n_rows, width, dtype=joined.dtype, device=joined.device)
    if n_rows:
        _gated[(triton.cdiv(width, GATED_AT_ONCE), n_rows)](
            joined, out, joined.stride(0), out.stride(0), width, BLOCK=GATED_AT_ONCE
        )
    return out


def add_rms_norm(
    x: Tensor, added: Tensor | None, scale: float, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """As `reference.add_rms_norm`; the sum is rounded once."""
    x = x if x.stride(-1) == 1 else x.contiguous()
    if added is not None and added.stride(-1) != 1:
        added = added.contiguous()
    total = x if added is None else torch.empty_like(x, memory_format=torch.contiguous_format)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    width = x.shape[1]
    if len(x):
        _normed[(len(x),)](
            x, x if added is None else added, weight, total, out, width,
            x.stride(0), 0 if added is None else added.stride(0), scale, eps,
            WIDTH=triton.next_power_of_2(width), HAS_ADDED=added is not None,
        )  # fmt: skip
    return total, out
