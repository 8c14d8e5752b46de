"""Which kernels run on a device: the twins, except where a GPU has passed `make gpu-check`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from . import reference
from .view import View

# written by `make gpu-check`; without it no GPU has run the Triton kernels, and they are off
VERIFIED = Path(__file__).with_name("verified.json")


class Kernels(Protocol):
    """What `reference` and `triton_kernels` have in common."""

    def attention(
        self, queries: Tensor, keys: Tensor, values: Tensor, view: View, window: int | None = None
    ) -> Tensor: ...

    def rotate(
        self, unrotated: Tensor, rotated: Tensor, slots: Tensor, cos: Tensor, sin: Tensor
    ) -> None: ...

    def store(
        self,
        keys: Tensor,
        values: Tensor,
        slots: Tensor | slice,
        cos: Tensor,
        sin: Tensor,
        rows: tuple[Tensor, Tensor, Tensor],
    ) -> None: ...

    def gated(self, joined: Tensor) -> Tensor: ...


def kernels_for(device: torch.device, verified: Path = VERIFIED) -> Kernels:
    """The Triton kernels on a CUDA device where they are verified, else the twins."""
    if device.type != "cuda" or not _is_verified(verified):
        return cast(Kernels, reference)
    if importlib.util.find_spec("triton") is None:
        return cast(Kernels, reference)
    from . import triton_kernels

    return cast(Kernels, triton_kernels)


def is_fast(kernels: Kernels) -> bool:
    """Whether these are a GPU's own."""
    return kernels is not cast(Kernels, reference)


def _is_verified(path: Path) -> bool:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"device", "commit", "date"} <= record.keys()
