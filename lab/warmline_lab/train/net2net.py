"""Begins a larger model with what a smaller one has learnt: the larger one says the same, and can learn more.

Each output of the smaller model appears `k` times in the larger one, and what reads it shares its weight among the
copies: unequally, by noise that adds up to nothing, so that the copies learn different things from the first step on.
Source: Chen et al. 2016, "Net2Net: accelerating learning via knowledge transfer"; for rotary heads, ours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .decoder import ModelShape

NOISE = 0.5  # of a matrix' own spread


def grown(weights: dict[str, Tensor], old: ModelShape, new: ModelShape) -> dict[str, Tensor]:
    """The weights of a model of shape `new` that computes what the one of shape `old` does.

    Raises: ValueError, when a size of `new` is not a multiple of its size in `old`, or the shapes differ elsewhere.
    """
    width, head, mlp = (
        _times(name, getattr(old, name), getattr(new, name))
        for name in ("width", "head_size", "mlp_width")
    )
    sizes = {"width": old.width, "head_size": old.head_size, "mlp_width": old.mlp_width}
    if replace(new, **sizes) != old:
        raise ValueError("only width, head_size and mlp_width can grow; the other sizes must agree")
    generator = torch.Generator().manual_seed(0)

    def shared(matrix: Tensor, k: int) -> Tensor:
        """Columns for `k` copies of each input, which add up to the column there was."""
        noise = torch.randn(k, *matrix.shape, generator=generator) * matrix.std() * NOISE / k
        noise -= noise.mean(0)
        return torch.cat(list(matrix / k + noise), 1)

    def turned(matrix: Tensor, n_heads: int, fill: float) -> Tensor:
        """Rows of queries or keys: a frequency of the old heads is every k-th of the new ones."""
        old_rows = matrix.view(n_heads, 2, old.head_size // 2, -1)
        rows = torch.randn(
            n_heads, 2, new.head_size // 2, old_rows.shape[-1], generator=generator
        ) * (fill * matrix.std())
        rows[:, :, ::head] = old_rows
        return rows.flatten(0, 2)

    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        match name.split(".")[-2]:
            case "embed_tokens":
                value = weight.repeat(1, width)
            case "norm":  # the last one: each logit is a sum over all copies
                value = weight.repeat(width) / width
            case "input_layernorm" | "post_attention_layernorm":
                value = weight.repeat(width)
            case "q_proj":  # scores are divided by the root of the head's size
                value = shared(turned(weight, old.n_heads, 1.0) * head**0.5, width)
            case "k_proj":  # nothing at the new frequencies yet: queries are there to learn from
                value = shared(turned(weight, old.n_kv_heads, 0.0), width)
            case "v_proj":
                copies = weight.view(old.n_kv_heads, old.head_size, -1).repeat(1, head, 1)
                value = shared(copies.flatten(0, 1), width)
            case "o_proj":
                by_head = weight.unflatten(1, (old.n_heads, old.head_size)).unbind(1)
                value = torch.cat([shared(part, head) for part in by_head], 1).repeat(width, 1)
            case "gate_proj" | "up_proj":
                value = shared(weight.repeat(mlp, 1), width)
            case "down_proj":
                value = shared(weight, mlp).repeat(width, 1)
            case _:
                raise ValueError(f"no rule for growing {name}")
        found[name] = value
    return found


def _times(name: str, old: int, new: int) -> int:
    if new % old:
        raise ValueError(f"{name} can grow from {old} to its multiples, not to {new}")
    return new // old
