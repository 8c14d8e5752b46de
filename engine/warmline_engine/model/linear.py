"""Products with weights, in whichever number format the machine is fast in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from warmline_kernels.cpu import has_bfloat16, is_emulated

# from so many rows on, weights are worth converting for one product: at 16 rows both take 15 ms for 9,728 by 896
# weights, at 512 rows 92 and 503 ms (two cores with AVX2 alone)
MANY_ROWS = 20
# up to so many rows a product with 8-bit weights is the faster one: half the bytes are read, and without bf16
# instructions torch's own bf16 product costs as much for each row as for the first (2.6 against 8.6 ms at 8 rows)
FEW_ROWS, FEW_ROWS_EMULATED = 4, 40
ALIGNED = 32  # inputs that torch's 8-bit product takes at a time


@dataclass(frozen=True)
class Int8:
    """Weights as whole numbers in -127..127, with a scale for each output. Shapes: codes [out, in], scales [out]."""

    codes: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Int8 | None:
        """The nearest such weights; None where torch has no product with them for this machine and shape."""
        is_known = hasattr(torch.ops.aten, "_weight_int8pack_mm") and weight.dtype == torch.bfloat16
        if not is_known or weight.device.type != "cpu" or weight.shape[1] % ALIGNED:
            return None
        codes = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(len(weight), dtype=torch.float32)
        # some rows at a time: in float32 the whole would be twice the weights once more
        for start in range(0, len(weight), 4096):
            some = weight[start : start + 4096].float()
            scale = (some.abs().amax(1) / 127).clamp(min=1e-12)
            scales[start : start + 4096] = scale
            codes[start : start + 4096] = (some / scale[:, None]).round().to(torch.int8)
        return cls(codes, scales.to(weight.dtype))

    def product(self, x: Tensor) -> Tensor:
        """x Wᵀ. Shapes: x [n, in] bf16 → [n, out] bf16."""
        return torch.ops.aten._weight_int8pack_mm(x.contiguous(), self.codes, self.scales)


@dataclass(frozen=True)
class Linear:
    """x Wᵀ + b; `few` is a copy of the weights for products of few rows."""

    weight: Tensor  # [out, in]
    bias: Tensor | None
    few: Int8 | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Shapes: x [n, in] → [n, out]."""
        if self.few is not None and len(x) <= _few_rows():
            product = self.few.product(x)
            return product if self.bias is None else product + self.bias
        return linear(x, self.weight, self.bias)


def _few_rows() -> int:
    return FEW_ROWS if has_bfloat16() else FEW_ROWS_EMULATED


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, of the weights as they are. Shapes: x [n, in], weight [out, in], bias [out] → [n, out]."""
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
