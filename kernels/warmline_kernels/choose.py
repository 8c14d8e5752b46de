"""Which kernels run on a device: the twins, except on a GPU, where Triton's are used that `make gpu-check` has passed.

It has passed on one GPU, and there are others: so on each the kernels are held against their twins once a process.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from . import reference, verified
from .view import View, cos_sin

MOST_APART = 3e-2  # bf16 keeps 8 bits

log = logging.getLogger(__name__)


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


def kernels_for(device: torch.device, record: Path = verified.VERIFIED) -> Kernels:
    """The Triton kernels on a CUDA device where they are verified and do as their twins, else the twins."""
    if device.type != "cuda" or verified.read(record) is None:
        return cast(Kernels, reference)
    if importlib.util.find_spec("triton") is None or not agree(device):
        return cast(Kernels, reference)
    from . import triton_kernels

    return cast(Kernels, triton_kernels)


def is_fast(kernels: Kernels) -> bool:
    """Whether these are a GPU's own."""
    return kernels is not cast(Kernels, reference)


@functools.cache
def agree(device: torch.device) -> bool:
    """Whether Triton's kernels compile for a device and find there what their twins do, at a small size."""
    from . import triton_kernels

    try:
        ours, twins = (
            _some_of_each(cast(Kernels, kernels), device) for kernels in (triton_kernels, reference)
        )
        apart = [_apart(one.float(), other.float()) for one, other in zip(ours, twins, strict=True)]
    # whatever a compiler or a driver may raise: torch does the same, only slower
    except Exception as error:
        log.warning("the GPU kernels do not run here, so tokens come slower: %s", error)
        return False
    does_agree = all(each <= MOST_APART for each in apart)  # NaN does not
    if not does_agree:
        log.warning("the GPU kernels are off by %s here, so tokens come slower", apart)
    return does_agree


def _apart(one: Tensor, other: Tensor) -> float:
    """The greatest difference, of large numbers in their size."""
    return float(((one - other).abs() / (1 + other.abs())).max())


def _some_of_each(kernels: Kernels, device: torch.device) -> list[Tensor]:
    """What the kernels make of a few tokens and a hundred slots."""
    random = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device, torch.bfloat16)

    n_tokens, n_slots, size = 3, 100, 64
    frequencies = (1e4 ** (-torch.arange(0, size, 2) / size)).to(device)
    positions = torch.arange(n_slots, device=device)
    rotated_at = positions - (positions % 7 == 0).long()
    queries, keys, values = (
        drawn(n_tokens, 4, size),
        drawn(2, n_slots, size),
        drawn(2, n_slots, size),
    )
    view = View(positions[-n_tokens:], positions, rotated_at, frequencies, 1.0, size**-0.5)
    rows = drawn(3, 2, n_slots, size).unbind()
    stored = (rows[0], rows[1], rows[2])
    cos, sin = cos_sin(positions[:n_tokens], frequencies, 1.0)
    kernels.store(
        queries[:, :2], queries[:, 2:], positions[:n_tokens], cos[:, None], sin[:, None], stored
    )
    rotated = torch.zeros(1, 2, n_slots, size, dtype=torch.bfloat16, device=device)
    kernels.rotate(keys[None], rotated, positions[:n_tokens], cos, sin)
    found = kernels.attention(queries, keys, values, view)
    return [found, *stored, rotated, kernels.gated(drawn(n_tokens, 2 * size))]
