"""Products with weights, in whichever number format the machine is fast in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from warmline_kernels.cpu import is_emulated

# from so many rows on, weights are worth converting for one product: at 16 rows both take 15 ms for 9,728 by 896
# weights, at 512 rows 92 and 503 ms (two cores with AVX2 alone)
MANY_ROWS = 20


@dataclass(frozen=True)
class Linear:
    weight: Tensor  # [out, in]
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b. Shapes: x [n, in], weight [out, in], bias [out] → [n, out]."""
    if len(x) < MANY_ROWS or not is_emulated(weight):
        return F.linear(x, weight, bias)
    converted = _scratch(weight)
    converted.copy_(weight)
    product = F.linear(x.float(), converted, None if bias is None else bias.float())
    return product.to(x.dtype)


_buffer = torch.empty(0)


def _scratch(like: Tensor) -> Tensor:
    """Memory that is kept for this: new pages would cost more than the conversion. Shape: as given, float32."""
    global _buffer  # noqa: PLW0603  # one thread owns the model
    if _buffer.numel() < like.numel():
        with torch.inference_mode(False):
            _buffer = torch.empty(like.numel())
    return _buffer[: like.numel()].view(like.shape)
