"""The kernels in torch: the definition of what they compute, and the implementation for CPUs.

Caches have the layout [layers, kv heads, slots, head size], so that a head's slots are contiguous. Shape letters:
T queries, W width, V vocabulary, S slots, Hq and Hk query and key/value heads, D head size, R rotated size, L layers,
G offsets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import is_emulated
from .native.blocks import GROUP
from .nibbles import unpacked
from .view import AttentionMetadata

# torch's own attention shares keys between query heads by copying them; few queries are folded, so that those of
# a group are rows over the same keys
FEW_QUERIES = 16
# the floor of negative log-probabilities: without it an unlikely token would win by an infinite margin
MIN_LOGPROB = -100.0
ROTATED_AT_ONCE = 3500  # keys of a head; measured at 8,000 slots and heads of 32 and 64


def apply_rotary(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Applies rotary position embedding in the half-split layout; dimensions past R are unchanged.

    Shapes: vectors [..., D], cos and sin broadcast to [..., R/2] → like vectors.
    """
    half = cos.shape[-1]
    low, high = vectors[..., : 2 * half].float().chunk(2, dim=-1)
    turned = [(low * cos).addcmul_(high, sin, value=-1), (high * cos).addcmul_(low, sin)]
    if 2 * half < vectors.shape[-1]:
        rest = vectors[..., 2 * half :].float()
        turned.append(rest.expand(*turned[0].shape[:-1], rest.shape[-1]))
    return torch.cat(turned, dim=-1).to(vectors.dtype)


def rotate(unrotated: Tensor, rotated: Tensor, slots: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Computes the rotated keys of some slots again, in all layers.

    Shapes: unrotated and rotated [L, Hk, S, D], slots [n], cos and sin [n, R/2].
    Modifies: rotated.
    """
    # a few keys of a head at a time: with larger temporaries most of the time goes into new pages
    for some, some_cos, some_sin in zip(
        slots.split(ROTATED_AT_ONCE),
        cos.split(ROTATED_AT_ONCE),
        sin.split(ROTATED_AT_ONCE),
        strict=True,
    ):
        for source, target in zip(unrotated.flatten(0, 1), rotated.flatten(0, 1), strict=True):
            target.index_copy_(
                0, some, apply_rotary(source.index_select(0, some), some_cos, some_sin)
            )


def write_kv(
    keys: Tensor,
    values: Tensor,
    slots: Tensor | slice,
    cos: Tensor,
    sin: Tensor,
    rows: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Writes new keys, unrotated and rotated, and values into slots of a layer.

    Shapes: keys and values [T, Hk, D], slots [T], cos and sin [T, 1, R/2], rows three of [Hk, S, D].
    Modifies: rows, which are unrotated keys, rotated keys, values.
    """
    unrotated, rotated, stored = rows
    unrotated[:, slots] = keys.transpose(0, 1)
    rotated[:, slots] = apply_rotary(keys, cos, sin).transpose(0, 1)
    stored[:, slots] = values.transpose(0, 1)


def swiglu(joined: Tensor) -> Tensor:
    """SwiGLU of a gate and the values it multiplies. Shapes: [T, 2 · n] → [T, n]."""
    gate, up = joined.chunk(2, dim=-1)
    return F.silu(gate) * up


def add_rms_norm(
    x: Tensor, added: Tensor | None, scale: float, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """x plus `scale` times a layer's output, and the RMS norm of the sum.

    Shapes: x and added [T, W], weight [W] → two of [T, W].
    """
    if added is not None:
        x = x + added if scale == 1.0 else x + added * scale
    return x, F.rms_norm(x, weight.shape, weight, eps)


def int8_matmul(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """x Wᵀ of weights in 8 bits. Shapes: x [T, in], codes [out, in] int8, scales [out] → [T, out]."""
    return F.linear(x, (codes.float() * scales.float()[:, None]).to(x.dtype))


def int4_matmul(x: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """x Wᵀ of weights in 4 bits, `(code - 8) · scale + zero`.

    Shapes: x [T, in], codes as `nibbles.packed` makes them, scales and zeros [out, in / GROUP] → [T, out].
    """
    groups = (unpacked(codes, x.shape[1]) - 8).float().unflatten(1, (-1, GROUP))
    weight = groups * scales.float()[:, :, None] + zeros.float()[:, :, None]
    return F.linear(x, weight.flatten(1).to(x.dtype))


def statistics(logits: Tensor) -> Tensor:
    """The statistics of a distribution that decoding needs, in one reading of the logits.

    They are in one tensor, since each transfer waits for the GPU: the logarithm of the sum of exponentials, the entropy
    in nats, the sum of squared probabilities, the two highest logits, and their indices (exact in float32: a vocabulary
    has under 2^24 tokens). Shapes: logits [V], at least two of them finite → [7] float32.
    """
    total = logits.logsumexp(0)
    logprobs = logits - total
    expected = logprobs.exp()
    nats = -(expected * logprobs).nan_to_num(0.0).sum()  # what is impossible adds nothing
    two = logits.topk(2)
    return torch.stack([total, nats, expected @ expected, *two.values, *two.indices])


def contrasted(
    logits: Tensor,
    negative_logits: Tensor,
    numbers: Tensor,
    negative_numbers: Tensor,
    is_ratio: bool,
    strength: float,
    plausible: float,
) -> Tensor:
    """The scores of contrastive decoding; -inf for tokens below `plausible` times the highest probability.

    Divides probabilities by the negative ones, or subtracts these, weighted by `strength`. `numbers` are the
    `statistics` of each. Shapes: logits and negatives [V], numbers [7] → [V] float32.
    """
    expected, anyway = (
        logits - numbers[0],
        (negative_logits - negative_numbers[0]).clamp(min=MIN_LOGPROB),
    )
    scores = expected - strength * anyway
    if not is_ratio:
        scores = (expected.exp() - strength * anyway.exp()).clamp(min=0).log()
    least = plausible * (numbers[3] - numbers[0]).exp()
    return scores.masked_fill(expected.exp() < least, float("-inf"))


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    view: AttentionMetadata,
    window: int | None = None,
) -> Tensor:
    """Attention of unrotated queries over keys in unordered slots, each rotated for `view.rotated_at`.

    A query that attends to no key gives zeros.

    Shapes: queries [T, Hq, D], keys and values [Hk, S, D] → [T, Hq, D].
    """
    cos, sin = view.query_angles
    turned = apply_rotary(queries, cos, sin)  # [G, T, Hq, D]
    if turned.shape[0] == 1 and len(queries) > FEW_QUERIES:
        out = F.scaled_dot_product_attention(
            turned.transpose(1, 2),
            keys[None],
            values[None],
            attn_mask=view.mask(window),
            scale=view.scale,
            enable_gqa=queries.shape[1] != keys.shape[0],
        )[0].transpose(0, 1)
    else:
        out = _attend_by_group(turned, keys, values, view, window)
    fully_masked = view.fully_masked(window)
    return out if fully_masked is None else out.masked_fill(fully_masked[:, None, None], 0)


def _attend_by_group(
    turned: Tensor, keys: Tensor, values: Tensor, view: AttentionMetadata, window: int | None
) -> Tensor:
    dtype = values.dtype
    if is_emulated(
        values
    ):  # here few rows meet many: in bf16 up to thirty times slower, conversion included
        turned, keys, values = turned.float(), keys.float(), values.float()
    n_groups, n_queries, n_heads, head_size = turned.shape
    n_kv_heads, n_slots, _ = keys.shape
    shared = n_heads // n_kv_heads
    # [G, T, Hk, Hq/Hk, D] -> [Hk, G · T · Hq/Hk, D], so that all versions of a query read K once
    folded = turned.view(n_groups, n_queries, n_kv_heads, shared, head_size)
    folded = folded.permute(2, 0, 1, 3, 4).reshape(n_kv_heads, -1, head_size)
    bias = view.bias(window, shared)
    if n_groups == 1 and values.device.type == "cpu":
        # two matmuls would copy keys and values in bf16 first: 2.1 ms for a query and 8,000 slots, so 0.7
        out = F.scaled_dot_product_attention(
            folded[None], keys[None], values[None], attn_mask=bias, scale=view.scale
        )[0]
        return _unfolded(out, n_queries, shared).to(dtype)
    scores = torch.matmul(folded, keys.transpose(1, 2)).float()
    scores = scores.view(n_kv_heads, n_groups, n_queries * shared, n_slots)
    if n_groups == 1:
        scores = scores[:, 0]
    elif n_groups == 2:
        scores = torch.where(view.group_of == 0, scores[:, 0], scores[:, 1])
    else:
        chosen = view.group_of.expand(n_kv_heads, 1, n_queries * shared, n_slots)
        scores = scores.gather(1, chosen)[:, 0]
    scores = scores * view.scale if bias is None else torch.add(bias, scores, alpha=view.scale)
    weights = scores.softmax(dim=-1).to(values.dtype)
    return _unfolded(torch.matmul(weights, values), n_queries, shared).to(dtype)


def _unfolded(out: Tensor, n_queries: int, shared: int) -> Tensor:
    """Shapes: [Hk, T · Hq/Hk, D] → [T, Hq, D]."""
    by_query = out.unflatten(1, (n_queries, shared)).transpose(0, 1)
    return by_query.flatten(1, 2)
