"""Packs two 4-bit codes into a byte, in an order for GPUs: a run of bytes unpacks to two runs of inputs.

Codes are not interleaved, so a kernel needs no shuffles.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RUN = 128  # inputs in so many bytes as half of them: byte j has those at j, in its low half, and at RUN / 2 + j


def packed(codes: Tensor) -> Tensor:
    """The packed bytes; the last run is padded with 0. Shapes: [out, in] in 0..15 → [out, runs · RUN / 2] uint8."""
    whole = F.pad(codes.to(torch.uint8), (0, -codes.shape[1] % RUN))
    low, high = whole.unflatten(1, (-1, 2, RUN // 2)).unbind(2)
    return (low | high << 4).flatten(1)


def unpacked(codes: Tensor, n_in: int) -> Tensor:
    """The codes that were packed. Shape: [out, n_in] int8."""
    halves = codes.unflatten(1, (-1, 1, RUN // 2))
    return torch.cat((halves & 15, halves >> 4), 2).flatten(1)[:, :n_in].to(torch.int8)
