"""Copies of weights in 8 or 4 bits on a GPU, for the kernels that are verified there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from warmline_kernels import nibbles
from warmline_kernels.choose import Kernels, is_fast, kernels_for
from warmline_kernels.native.blocks import GROUP

from .rounding import parts, quantize_int4, quantize_int8


@dataclass(frozen=True)
class OnGpu:
    """Weights for `kernels.int8_matmul`, or where there are zeros `int4_matmul`, whose arguments these are."""

    kernels: Kernels
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None
    n_in: int

    @classmethod
    def of(cls, weight: Tensor, bits: int, kernels: Kernels) -> OnGpu:
        """The weights rounded as for a CPU. Shape: weight [out, in], for 4 bits whole groups of inputs."""
        n_out, n_in = weight.shape
        codes = list[Tensor]()
        if bits == 8:
            scales = torch.empty(n_out, dtype=torch.float32, device=weight.device)
            for part in parts(weight, 1):
                some, scales[part] = quantize_int8(weight[part].float())
                codes.append(some)
            return cls(kernels, torch.cat(codes), scales, None, n_in)
        kept = torch.bfloat16
        scales, zeros = torch.empty(
            2, n_out, n_in // GROUP, dtype=kept, device=weight.device
        ).unbind()
        for part in parts(weight, 1):
            some, scales[part], zeros[part] = quantize_int4(weight[part].float())
            codes.append(nibbles.packed(some))
        return cls(kernels, torch.cat(codes), scales, zeros, n_in)

    def product(self, x: Tensor) -> Tensor:
        if self.zeros is None:
            return self.kernels.int8_matmul(x, self.codes, self.scales)
        return self.kernels.int4_matmul(x, self.codes, self.scales, self.zeros)

    @property
    def bits(self) -> int:
        return 8 if self.zeros is None else 4

    @property
    def n_weights(self) -> int:
        return len(self.codes) * self.n_in

    @property
    def n_bytes(self) -> int:
        zeros = 0 if self.zeros is None else self.zeros.nbytes
        return self.codes.nbytes + self.scales.nbytes + zeros


def on_gpu(weight: Tensor, bits: int) -> OnGpu | None:
    """None if the kernel for these bits is not verified: its reference would unpack all weights with each pass."""
    kernels = kernels_for(weight.device)
    is_served = is_fast(kernels, f"product_{bits}") and weight.dtype == torch.bfloat16
    if not is_served or (bits == 4 and weight.shape[1] % GROUP):
        return None
    return OnGpu.of(weight, bits, kernels)
