"""The weights of one layer of a decoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .quant.linear import Linear


@dataclass(frozen=True)
class Norm:
    weight: Tensor  # [width]
    bias: Tensor | None


@dataclass(frozen=True)
class Layer:
    """One layer's weights; projections that read the same input are one matrix."""

    norm_in: Norm
    qkv: Linear  # [(Hq + 2 Hk) · D, width]
    query_norm: Norm | None  # over a head
    key_norm: Norm | None
    out: Linear  # [width, Hq · D]
    norm_mlp: Norm
    up: Linear  # gate and up, [2 · mlp width, width]; up alone where the family has no gate
    down: Linear  # [width, mlp width]
