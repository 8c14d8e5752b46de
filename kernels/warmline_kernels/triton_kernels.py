"""The kernels in Triton, with the signatures of their twins in `reference`.

A key is turned as it is loaded, by how far it stands from where it was rotated for; so nothing is
derived anew when a thousand keys shift. Unverified until `make gpu-check` has run on a GPU; in
Triton's interpreter they are tested against the twins.
"""

# pyright: reportArgumentType=false, reportCallIssue=false
# a kernel's constexpr parameters are given plain numbers, which triton's types do not say

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .view import View

BLOCK_SLOTS = 64
LEAST = -1.0e30  # below any score; finite, so that a block without a seen key makes no NaN


@triton.jit
def _turned(low, high, offsets, frequencies):
    angles = offsets.to(tl.float32)[:, None] * frequencies[None, :]
    cos, sin = tl.cos(angles), tl.sin(angles)
    return low * cos - high * sin, high * cos + low * sin


@triton.jit
def _attention(  # noqa: PLR0915 - one kernel is one function
    queries, keys, values, out,
    query_positions, key_positions, rotated_at, frequencies, key_spans, seen_spans,
    n_slots, scale, factor, window,
    queries_t, queries_h, keys_h, keys_s, values_h, values_s, out_t, out_h,
    shared: tl.constexpr, half: tl.constexpr, head_size: tl.constexpr,
    HALF: tl.constexpr, REST: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr,
    HAS_SPANS: tl.constexpr, HAS_WINDOW: tl.constexpr,
):  # fmt: skip
    t, head = tl.program_id(0), tl.program_id(1)
    kv_head = head // shared
    pairs = tl.arange(0, HALF)  # [HALF] of the rotated dimensions
    is_pair = pairs < half
    others = tl.arange(0, REST)  # [REST] of the dimensions that are not rotated
    is_other = others < head_size - 2 * half
    dims = tl.arange(0, SIZE)
    is_dim = dims < head_size

    query = queries + t * queries_t + head * queries_h
    q_low = tl.load(query + pairs, mask=is_pair, other=0.0).to(tl.float32)
    q_high = tl.load(query + half + pairs, mask=is_pair, other=0.0).to(tl.float32)
    q_rest = tl.load(query + 2 * half + others, mask=is_other, other=0.0).to(tl.float32)
    frequency = tl.load(frequencies + pairs, mask=is_pair, other=0.0)
    position = tl.load(query_positions + t)
    angle = position.to(tl.float32) * frequency
    cos, sin = tl.cos(angle) * factor, tl.sin(angle) * factor
    q_low, q_high = q_low * cos - q_high * sin, q_high * cos + q_low * sin

    greatest = tl.full((1,), LEAST, tl.float32)
    total = tl.zeros((1,), tl.float32)
    gathered = tl.zeros((SIZE,), tl.float32)
    for start in range(0, n_slots, BLOCK):
        slots = start + tl.arange(0, BLOCK)
        is_slot = slots < n_slots
        key_position = tl.load(key_positions + slots, mask=is_slot, other=1 << 30)
        turned_at = tl.load(rotated_at + slots, mask=is_slot, other=0)
        seen = is_slot & (key_position <= position)
        if HAS_WINDOW:
            seen = seen & (position - key_position < window)
        if HAS_SPANS:
            span = tl.load(key_spans + slots, mask=is_slot, other=0)
            allowed = tl.load(seen_spans + t)
            seen = seen & (((allowed >> span) & 1) == 1)
        row = keys + kv_head * keys_h + slots[:, None] * keys_s
        here = seen[:, None]
        low = tl.load(row + pairs[None, :], mask=here & is_pair[None, :], other=0.0)
        high = tl.load(row + half + pairs[None, :], mask=here & is_pair[None, :], other=0.0)
        low, high = _turned(
            low.to(tl.float32), high.to(tl.float32), key_position - turned_at, frequency
        )
        rest = tl.load(row + 2 * half + others[None, :], mask=here & is_other[None, :], other=0.0)
        scores = tl.sum(low * q_low[None, :], 1) + tl.sum(high * q_high[None, :], 1)
        scores += tl.sum(rest.to(tl.float32) * q_rest[None, :], 1)
        scores = tl.where(seen, scores * scale, LEAST)
        new_greatest = tl.maximum(greatest, tl.max(scores, 0))
        weights = tl.where(seen, tl.exp(scores - new_greatest), 0.0)
        shrink = tl.exp(greatest - new_greatest)
        value = values + kv_head * values_h + slots[:, None] * values_s + dims[None, :]
        v = tl.load(value, mask=here & is_dim[None, :], other=0.0).to(tl.float32)
        gathered = gathered * shrink + tl.sum(weights[:, None] * v, 0)
        total = total * shrink + tl.sum(weights, 0)
        greatest = new_greatest
    gathered = tl.where(total > 0, gathered / tl.where(total > 0, total, 1.0), 0.0)
    place = out + t * out_t + head * out_h + dims
    tl.store(place, gathered.to(out.dtype.element_ty), mask=is_dim)


@triton.jit
def _rotate(
    unrotated, rotated, slots, cosines, sines,
    unrotated_l, unrotated_h, unrotated_s, rotated_l, rotated_h, rotated_s,
    n_kv_heads, half: tl.constexpr, head_size: tl.constexpr, HALF: tl.constexpr, REST: tl.constexpr,
):  # fmt: skip
    k, which = tl.program_id(0), tl.program_id(1)
    layer, head = which // n_kv_heads, which % n_kv_heads
    slot = tl.load(slots + k)
    pairs, others = tl.arange(0, HALF), tl.arange(0, REST)
    is_pair, is_other = pairs < half, others < head_size - 2 * half
    cos = tl.load(cosines + k * half + pairs, mask=is_pair, other=0.0)
    sin = tl.load(sines + k * half + pairs, mask=is_pair, other=0.0)
    source = unrotated + layer * unrotated_l + head * unrotated_h + slot * unrotated_s
    target = rotated + layer * rotated_l + head * rotated_h + slot * rotated_s
    low = tl.load(source + pairs, mask=is_pair, other=0.0).to(tl.float32)
    high = tl.load(source + half + pairs, mask=is_pair, other=0.0).to(tl.float32)
    kind = rotated.dtype.element_ty
    tl.store(target + pairs, (low * cos - high * sin).to(kind), mask=is_pair)
    tl.store(target + half + pairs, (high * cos + low * sin).to(kind), mask=is_pair)
    rest = tl.load(source + 2 * half + others, mask=is_other, other=0.0)
    tl.store(target + 2 * half + others, rest, mask=is_other)


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, view: View, window: int | None = None
) -> Tensor:
    """As `reference.attention`.

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
    has_spans = view.key_spans is not None and view.seen_spans is not None
    nothing = view.key_positions
    _attention[(n_queries, n_heads)](
        queries, keys, values, out,
        view.query_positions, view.key_positions, view.rotated_at, view.inverse_frequencies,
        view.key_spans if has_spans else nothing, view.seen_spans if has_spans else nothing,
        n_slots, view.scale, view.attention_factor, window or 0,
        queries.stride(0), queries.stride(1), keys.stride(0), keys.stride(1),
        values.stride(0), values.stride(1), out.stride(0), out.stride(1),
        shared=n_heads // n_kv_heads, half=half, head_size=head_size,
        HALF=triton.next_power_of_2(half),
        REST=triton.next_power_of_2(max(1, head_size - 2 * half)),
        SIZE=triton.next_power_of_2(head_size), BLOCK=BLOCK_SLOTS,
        HAS_SPANS=has_spans, HAS_WINDOW=window is not None,
    )  # fmt: skip
    return out


def rotate(unrotated: Tensor, rotated: Tensor, slots: Tensor, cos: Tensor, sin: Tensor) -> None:
    """As `reference.rotate`.

    Shapes: unrotated and rotated [L, Hk, S, D], slots [n], cos and sin [n, R/2].
    Modifies: rotated.
    """
    if len(slots) == 0:
        return
    n_layers, n_kv_heads, _, head_size = unrotated.shape
    half = cos.shape[-1]
    _rotate[(len(slots), n_layers * n_kv_heads)](
        unrotated, rotated, slots, cos.contiguous(), sin.contiguous(),
        *unrotated.stride()[:3], *rotated.stride()[:3],
        n_kv_heads, half=half, head_size=head_size, HALF=triton.next_power_of_2(half),
        REST=triton.next_power_of_2(max(1, head_size - 2 * half)),
    )  # fmt: skip
