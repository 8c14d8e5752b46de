"""Products with weights, in whichever number format the machine is fast in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from warmline_kernels.cpu import is_emulated

from .compact import Compact
from .threads import shortest_s

# from so many rows on, weights are worth converting for one product: at 16 rows both take 15 ms for 9,728 by 896
# weights, at 512 rows 92 and 503 ms (two cores with AVX2 alone)
MANY_ROWS = 20
# up to so many rows compact weights serve: a drafted pass has no more (8 drafted, what they follow, the last token
# again), so a draft is judged by the weights that decode without one, and compact products are the same bit for bit
FEW_ROWS = 10
ROWS_TRIED = (16, 24, 32, 48, 64)  # above it, as long as compact weights are the faster ones
N_TRIALS = 3


@dataclass(frozen=True)
class Linear:
    """x Wᵀ + b; `few` is a copy of the weights for products of at most `few_rows` rows.

    Without `weight` the copy serves all products.
    """

    weight: Tensor | None  # [out, in]
    bias: Tensor | None
    few: Compact | None = None
    few_rows: int = FEW_ROWS

    def __call__(self, x: Tensor) -> Tensor:
        """Shapes: x [n, in] → [n, out]."""
        if self.few is not None and (len(x) <= self.few_rows or self.weight is None):
            product = self.few.product(x)
            return product if self.bias is None else product.add_(self.bias)
        assert self.weight is not None
        return linear(x, self.weight, self.bias)

    @property
    def n_weights(self) -> int:
        if self.weight is not None:
            return self.weight.numel()
        assert self.few is not None
        return self.few.n_weights


def measured_few_rows(parts: Sequence[Linear]) -> int:
    """For how many rows the compact weights of these take no longer than the weights; FEW_ROWS at least.

    What stays in the processor's caches makes large weights look better than they are: give enough of them.
    Cost: each is multiplied some ten times, 0.3 s for 100 million weights on two cores.
    """
    found = FEW_ROWS
    known = [(p.few, p.weight) for p in parts if p.few is not None and p.weight is not None]
    pairs = [pair for pair in known if pair[1].device.type == "cpu"]  # a GPU does not wait
    for n_rows in ROWS_TRIED if pairs else ():
        inputs = [torch.ones(n_rows, weight.shape[1], dtype=weight.dtype) for _, weight in pairs]

        def few(inputs: list[Tensor] = inputs) -> None:
            for x, (compact, _) in zip(inputs, pairs, strict=True):
                compact.product(x)

        def many(inputs: list[Tensor] = inputs) -> None:
            for x, (_, weight) in zip(inputs, pairs, strict=True):
                linear(x, weight)

        if shortest_s(many, N_TRIALS) < shortest_s(few, N_TRIALS):
            break
        found = n_rows
    return found


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
