"""Products with weights, in the number format that is fastest on the machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from warmline_kernels import cpu
from warmline_kernels.cpu import is_emulated
from warmline_kernels.native.blocks import Blocks

from .compact import Compact

# from so many rows on, weights are worth converting for one product: at 16 rows both take 15 ms for 9,728 by 896
# weights, at 512 rows 92 and 503 ms (two cores with AVX2 alone)
MANY_ROWS = 20
# Up to this many rows use the compact weights where the processor multiplies bf16. A drafted pass has no more: 8
# drafted tokens, the token they follow, the last token again. So drafts are verified by the weights that decode.
FEW_ROWS = 10
# Without bf16 instructions, our own products serve every pass. A row's result is then the same to the bit however a
# prompt is split into passes. The choice must never depend on a timing: it would make answers depend on it.
EVERY_ROW = sys.maxsize


@dataclass(frozen=True)
class Linear:
    """x Wᵀ + b; `decode_weights` is a copy of the weights for products of at most `few_rows` rows.

    Without `weight` the copy serves all products.
    """

    weight: Tensor | None  # [out, in]
    bias: Tensor | None
    decode_weights: Compact | None = None
    few_rows: int = FEW_ROWS

    def __call__(self, x: Tensor) -> Tensor:
        """Shapes: x [n, in] → [n, out]."""
        if self.decode_weights is not None and (len(x) <= self.few_rows or self.weight is None):
            product = self.decode_weights.product(x)
            return product if self.bias is None else product.add_(self.bias)
        assert self.weight is not None
        return linear(x, self.weight, self.bias)

    @property
    def n_weights(self) -> int:
        if self.weight is not None:
            return self.weight.numel()
        assert self.decode_weights is not None
        return self.decode_weights.n_weights


def compact_rows(parts: Sequence[Linear]) -> int:
    """The number of rows up to which compact weights are used: the same for all matrices of a model."""
    is_own = all(isinstance(part.decode_weights, Blocks) for part in parts)
    return EVERY_ROW if parts and is_own and not cpu.has_bfloat16() else FEW_ROWS


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b with the full weights. Shapes: x [n, in], weight [out, in], bias [out] → [n, out]."""
    if len(x) < MANY_ROWS or not is_emulated(weight):
        return F.linear(x, weight, bias)
    converted = _scratch(weight)
    converted.copy_(weight)
    product = F.linear(x.float(), converted, None if bias is None else bias.float())
    return product.to(x.dtype)


_buffer = torch.empty(0)


def _scratch(like: Tensor) -> Tensor:
    """Reused memory: new pages would cost more than the conversion. Shape: as given, float32."""
    global _buffer  # noqa: PLW0603  # one thread owns the model
    if _buffer.numel() < like.numel():
        with torch.inference_mode(False):
            _buffer = torch.empty(like.numel())
    return _buffer[: like.numel()].view(like.shape)
