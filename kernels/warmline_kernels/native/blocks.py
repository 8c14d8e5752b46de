"""Weights in 4 or 8 bits, in the order in which matmul.h reads them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .library import Library

BLOCK = 16  # outputs whose weights lie together
GROUP = 32  # inputs of an output that share a scale and a zero in 4 bits, and of a row in 8


class Matrix(ctypes.Structure):
    """The structure of matmul.h. Pointers are addresses: the caller keeps the tensors alive."""

    _fields_ = (
        ("blocks", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("n_out", ctypes.c_int32),
        ("n_in", ctypes.c_int32),
        ("bits", ctypes.c_int32),
    )


@dataclass(frozen=True)
class Blocks:
    """A matrix. Shapes: blocks [out / BLOCK, bytes of a block] uint8."""

    library: Library
    blocks: Tensor
    n_in: int
    bits: int

    @property
    def n_out(self) -> int:
        return len(self.blocks) * BLOCK

    @property
    def n_weights(self) -> int:
        return self.n_out * self.n_in

    @property
    def n_bytes(self) -> int:
        return self.blocks.nbytes

    def matrix(self, bias: Tensor | None = None) -> Matrix:
        """The structure for the kernels; they add a bias in bf16. Shape: bias [out]."""
        assert bias is None or (bias.dtype == torch.bfloat16 and bias.is_contiguous()), bias
        address = None if bias is None else bias.data_ptr()
        return Matrix(self.blocks.data_ptr(), address, self.n_out, self.n_in, self.bits)

    @cached_property
    def _matrix(self) -> Matrix:
        return self.matrix()

    def product(self, x: Tensor) -> Tensor:
        """x Wᵀ, rows rounded to 8 bits. Each row's result does not depend on the other rows, bit for bit.

        Shapes: x [n, in] → [n, out], of x's dtype.
        """
        assert x.shape[1] == self.n_in, (x.shape, self.n_in)
        rows = x.float().contiguous()
        out = torch.empty(len(rows), self.n_out)
        self.library.run(
            "warmline_product",
            ctypes.byref(self._matrix),
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int(len(rows)),
            ctypes.c_void_p(out.data_ptr()),
        )
        return out.to(x.dtype)


def rescore(library: Library, logits: Tensor, weight: Tensor, x: Tensor, n_highest: int) -> None:
    """Computes each row's highest logits again from the full weights, in float32.

    Shapes: logits [n, out] float32, weight [out, in] bf16, x [n, in] float32.
    Modifies: logits.
    """
    n_rows, n_out = logits.shape
    n_in = weight.shape[1]
    assert 0 < n_highest <= n_out, (n_highest, n_out)
    assert n_in % GROUP == 0, n_in
    assert x.shape == (n_rows, n_in), (x.shape, n_rows, n_in)
    assert weight.shape == (n_out, n_in), (weight.shape, n_out, n_in)
    assert all(part.is_contiguous() for part in (logits, weight, x))
    assert (logits.dtype, weight.dtype, x.dtype) == (torch.float32, torch.bfloat16, torch.float32)
    addresses = (ctypes.c_void_p(part.data_ptr()) for part in (logits, weight, x))
    library.run(
        "warmline_rescore", *addresses, *map(ctypes.c_int, (n_rows, n_out, n_in, n_highest))
    )


def n_bytes_of(n_in: int, bits: int) -> int:
    """A block's size. 8 bits: a float32 scale for each output; 4 bits: a bf16 scale and zero for each group of it."""
    heads = BLOCK * 4 if bits == 8 else BLOCK * 4 * (n_in // GROUP)
    return heads + BLOCK * n_in * bits // 8


def blocks_of_4_bits(codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """Weights `(code - 8) · scale + zero`, in order. Scales and zeros are rounded to bf16.

    Shapes: codes [out, in] in 0..15, scales and zeros [out, in / GROUP] → [out / BLOCK, bytes of a block] uint8.
    """
    n_blocks, n_groups = len(codes) // BLOCK, scales.shape[1]
    parts = codes.to(torch.uint8).view(n_blocks, BLOCK, n_groups, GROUP // 8, 2, 4)
    packed = parts[:, :, :, :, 0] | (parts[:, :, :, :, 1] << 4)
    body = packed.permute(0, 2, 3, 1, 4).reshape(n_blocks, n_groups, -1)
    numbers = torch.stack((scales, zeros)).bfloat16().view(2, n_blocks, BLOCK, n_groups)
    head = numbers.permute(1, 3, 0, 2).reshape(n_blocks, n_groups, -1).contiguous()
    return torch.cat((head.view(torch.uint8), body), 2).flatten(1)


def blocks_of_8_bits(codes: Tensor, scales: Tensor) -> Tensor:
    """Weights `code · scale`, in order.

    Shapes: codes [out, in] in -127..127, scales [out] → [out / BLOCK, bytes of a block] uint8.
    """
    n_blocks = len(codes) // BLOCK
    shifted = (codes.to(torch.int16) + 128).to(torch.uint8)
    body = shifted.view(n_blocks, BLOCK, -1, 4).permute(0, 2, 1, 3).reshape(n_blocks, -1)
    head = scales.float().contiguous().view(n_blocks, BLOCK)
    return torch.cat((head.view(torch.uint8), body), 1)
