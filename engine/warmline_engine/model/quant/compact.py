"""Copies of weights in 8 or 4 bits for products of few rows, by the compiled kernels or else by torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from warmline_kernels.memory import LargePages
from warmline_kernels.native import blocks
from warmline_kernels.native.blocks import Blocks
from warmline_kernels.native.library import Library, library

from .compact_gpu import on_gpu
from .rounding import parts, quantize_int4, quantize_int8

ALIGNED = 32  # inputs that torch's 8-bit product takes at a time
# inputs that share a scale and a zero; 64 and 128 are no faster, and round worse
GROUP = blocks.GROUP
BLOCK = 16  # outputs that torch's 4-bit product takes at a time
# logits of a large head that are made exact: of 12,288 tokens that leaves 0.004 nats of 0.034 lost (16: 0.013,
# 64: 0.008, 1,024: 0.001), and takes 1 ms of the 10 that 4 bits save of 150,000 tokens
N_RESCORED = 256
RUN = 32  # logits whose maximum is looked at first

_memory = LargePages()  # one thread loads models


class Compact(Protocol):
    """Weights in few bits."""

    @property
    def bits(self) -> int: ...

    def product(self, x: Tensor) -> Tensor:
        """x Wᵀ. Each row's result does not depend on the other rows, bit for bit.

        Shapes: x [n, in] → [n, out], of x's dtype.
        """
        ...

    @property
    def n_weights(self) -> int: ...

    @property
    def n_bytes(self) -> int: ...


@dataclass(frozen=True)
class Int8:
    """Weights as whole numbers in -127..127, with a scale for each output. Shapes: codes [out, in], scales [out]."""

    codes: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Int8 | None:
        """The nearest such weights; None if torch has no product for them on this machine and in this shape."""
        if not _is_served(weight, "_weight_int8pack_mm") or weight.shape[1] % ALIGNED:
            return None
        codes = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(len(weight), dtype=torch.float32)
        for part in parts(weight, 1):
            codes[part], scales[part] = quantize_int8(weight[part].float())
        return cls(codes, scales.to(weight.dtype))

    def product(self, x: Tensor) -> Tensor:
        rows = x.to(self.scales.dtype).contiguous()
        return torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scales).to(x.dtype)

    @property
    def bits(self) -> int:
        return 8

    @property
    def n_weights(self) -> int:
        return self.codes.numel()

    @property
    def n_bytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes


@dataclass(frozen=True)
class Int4:
    """Weights as `(code - 8) · scale + zero`, codes in 0..15; GROUP inputs of an output share scale and zero.

    Shapes: codes [out, in / 2] in torch's order, scales_and_zeros [in / GROUP, out, 2] bf16.
    """

    codes: Tensor
    scales_and_zeros: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Int4 | None:
        """The weights rounded by `quantize_int4`; None if torch has no product for them here and in this shape."""
        n_out, n_in = weight.shape
        is_served = _is_served(weight, "_weight_int4pack_mm_for_cpu")
        if not is_served or n_in % GROUP or n_out % BLOCK:
            return None
        codes = torch.empty(n_out, n_in // 2, dtype=torch.uint8)
        scales_and_zeros = torch.empty(n_in // GROUP, n_out, 2, dtype=torch.bfloat16)
        for part in parts(weight, 64):  # torch orders the codes of up to 64 outputs together
            some, scales, zeros = quantize_int4(weight[part].float())
            codes[part] = torch.ops.aten._convert_weight_to_int4pack_for_cpu(some, 2)
            scales_and_zeros[:, part, 0] = scales.T
            scales_and_zeros[:, part, 1] = zeros.T
        return cls(codes, scales_and_zeros)

    def product(self, x: Tensor) -> Tensor:
        rows = x.to(self.scales_and_zeros.dtype).contiguous()
        product = torch.ops.aten._weight_int4pack_mm_for_cpu
        return product(rows, self.codes, GROUP, self.scales_and_zeros).to(x.dtype)

    @property
    def bits(self) -> int:
        return 4

    @property
    def n_weights(self) -> int:
        return 2 * self.codes.numel()

    @property
    def n_bytes(self) -> int:
        return self.codes.nbytes + self.scales_and_zeros.nbytes


@dataclass(frozen=True)
class Rescored:
    """A head in 4 bits that finds the highest logits, and full weights that compute these few again.

    Shapes: rough and weight [out, in].
    """

    rough: Compact
    weight: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Rescored | None:
        """None if there is no 4-bit product on this machine for the shape."""
        rough = _compact(weight, 4)
        return None if rough is None else cls(rough, weight)

    @property
    def bits(self) -> int:
        return self.rough.bits

    def product(self, x: Tensor) -> Tensor:
        n_highest = min(N_RESCORED, len(self.weight))
        if isinstance(self.rough, Blocks):
            rows = x.float().contiguous()
            logits = self.rough.product(rows)
            blocks.rescore(self.rough.library, logits, self.weight, rows, n_highest)
            return logits.to(x.dtype)
        found = self.rough.product(x)
        highest = highest_of(found, n_highest)
        # by sums of each row's own: a matrix product would take another order where there are more rows
        exact = (self.weight[highest].float() * x[:, None].float()).sum(2)
        return found.scatter_(1, highest, exact.to(found.dtype))

    @property
    def n_weights(self) -> int:
        return self.rough.n_weights

    @property
    def n_bytes(self) -> int:
        """Without the full weights."""
        return self.rough.n_bytes


def highest_of(logits: Tensor, n: int) -> Tensor:
    """The indices of each row's n highest values, unordered. Shapes: logits [T, V] → [T, n].

    They are in the n runs with the highest maxima, so only few values have to be sorted.
    """
    if logits.shape[1] % RUN or logits.shape[1] < 4 * n * RUN:
        return logits.topk(n, sorted=False).indices
    runs = logits.unflatten(1, (-1, RUN))
    best = runs.amax(2).topk(n, sorted=False).indices
    some = runs.gather(1, best[:, :, None].expand(-1, -1, RUN))
    inside = some.flatten(1).topk(n, sorted=False).indices
    return best.gather(1, inside // RUN) * RUN + inside % RUN


def _is_served(weight: Tensor, product: str) -> bool:
    is_known = hasattr(torch.ops.aten, product)
    return is_known and weight.dtype == torch.bfloat16 and weight.device.type == "cpu"


def blocks_of(weight: Tensor, bits: int, kernels: Library) -> Blocks | None:
    """The weights for the compiled kernels; None if these do not support the shape."""
    n_out, n_in = weight.shape
    is_served = weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
    if not is_served or n_out % blocks.BLOCK or n_in % blocks.GROUP:
        return None
    n_blocks, n_bytes = n_out // blocks.BLOCK, blocks.n_bytes_of(n_in, bits)
    out = _memory.empty(n_blocks * n_bytes).view(n_blocks, n_bytes)
    begin = 0
    for part in parts(weight, blocks.BLOCK):
        made = _in_blocks(weight[part].float(), bits)
        out[begin : begin + len(made)] = made
        begin += len(made)
    return Blocks(kernels, out, n_in, bits)


def _in_blocks(weight: Tensor, bits: int) -> Tensor:
    if bits == 4:
        return blocks.blocks_of_4_bits(*quantize_int4(weight))
    return blocks.blocks_of_8_bits(*quantize_int8(weight))


def _compact(weight: Tensor, bits: int) -> Compact | None:
    if weight.device.type == "cuda":
        return on_gpu(weight, bits)
    kernels = library()
    ours = None if kernels is None else blocks_of(weight, bits, kernels)
    if ours is not None:
        return ours
    return Int4.of(weight) if bits == 4 else Int8.of(weight)


FORMATS = {"int8": 8, "int4": 4}  # bits


def compact(weight: Tensor, name: str) -> Compact | None:
    """Weights in the named format; in 8 bits if 4 are not supported for the shape, None if neither is."""
    return _compact(weight, FORMATS[name]) or _compact(weight, 8)
