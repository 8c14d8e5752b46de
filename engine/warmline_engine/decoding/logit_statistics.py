"""How uncertain the distribution of given logits is."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from warmline_kernels.choose import Kernels, kernels_for


@dataclass(frozen=True)
class Statistics:
    """The entropy in bits, and the sum of squared probabilities."""

    entropy_bits: float
    squares: float


def statistics_of(logits: Tensor) -> Statistics:
    """Of raw logits. Shape: [V]."""
    _, nats, squares, *_ = kernels_on(logits.device).statistics(logits).tolist()
    return Statistics(nats / math.log(2), squares)


@functools.cache
def kernels_on(device: torch.device) -> Kernels:
    """The kernels of a device, chosen once because each token uses them."""
    return kernels_for(device)
