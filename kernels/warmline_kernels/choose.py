"""Chooses the kernels of a device: the reference, or on a GPU the Triton kernels that passed `make gpu-check`.

They passed on one GPU only, so each process compares every kernel with its reference implementation once.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from . import nibbles, reference, verified
from .native.blocks import GROUP
from .verified import MODULES
from .view import AttentionMetadata, cos_sin

MAX_APART = 3e-2  # bf16 keeps 8 bits

log = logging.getLogger(__name__)


class Kernels(Protocol):
    """The functions of `reference`, or the Triton kernels that replace them."""

    def attention(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        view: AttentionMetadata,
        window: int | None = None,
    ) -> Tensor: ...

    def rotate(
        self, unrotated: Tensor, rotated: Tensor, slots: Tensor, cos: Tensor, sin: Tensor
    ) -> None: ...

    def write_kv(
        self,
        keys: Tensor,
        values: Tensor,
        slots: Tensor | slice,
        cos: Tensor,
        sin: Tensor,
        rows: tuple[Tensor, Tensor, Tensor],
    ) -> None: ...

    def swiglu(self, joined: Tensor) -> Tensor: ...

    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, scale: float, weight: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]: ...

    def int8_matmul(self, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor: ...

    def int4_matmul(self, x: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor: ...

    def statistics(self, logits: Tensor) -> Tensor: ...

    def contrasted(
        self,
        logits: Tensor,
        negative_logits: Tensor,
        numbers: Tensor,
        negative_numbers: Tensor,
        is_ratio: bool,
        strength: float,
        plausible: float,
    ) -> Tensor: ...


def kernels_for(device: torch.device, record: Path = verified.VERIFIED) -> Kernels:
    """The reference kernels; on a CUDA device, verified Triton kernels that agree with them take their place."""
    passed = verified.read(record)
    if device.type != "cuda" or passed is None or importlib.util.find_spec("triton") is None:
        return cast(Kernels, reference)
    return of_triton(passed.kernels & agreeing(device))


def of_triton(names: frozenset[str]) -> Kernels:
    """The Triton kernels of these names, and the references of the others."""
    if not names:
        return cast(Kernels, reference)
    ours = {name: _of_triton(name) if name in names else reference_of(name) for name in MODULES}
    return cast(Kernels, SimpleNamespace(**ours))


def reference_of(name: str) -> Callable[..., Any]:
    return getattr(reference, name)


def _of_triton(name: str) -> Callable[..., Any]:
    module = importlib.import_module(f"{__package__}.{MODULES[name]}")
    return getattr(module, name)


def is_fast(kernels: Kernels, *names: str) -> bool:
    """Whether the named kernels run in Triton; without names, those that a pass through the cache uses."""
    return all(
        getattr(kernels, name) is not reference_of(name)
        for name in names or ("attention", "write_kv")
    )


@functools.cache
def agreeing(device: torch.device) -> frozenset[str]:
    """The Triton kernels that compile for a device and agree there with the reference, at a small size."""
    return frozenset(name for name in MODULES if _agrees(name, device))


def _agrees(name: str, device: torch.device) -> bool:
    try:
        found, expected = (
            _found_by(function, name, device) for function in (_of_triton(name), reference_of(name))
        )
        apart = [
            _apart(one.float(), other.float()) for one, other in zip(found, expected, strict=True)
        ]
    # whatever a compiler or a driver may raise: torch does the same, only slower
    except Exception as error:
        log.warning("the GPU kernel %s does not run here, so tokens come slower: %s", name, error)
        return False
    does_agree = all(each <= MAX_APART for each in apart)  # NaN does not
    if not does_agree:
        log.warning("the GPU kernel %s is off by %s here, so tokens come slower", name, apart)
    return does_agree


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative for large numbers; equal infinities do not differ."""
    if not torch.equal(torch.isinf(one), torch.isinf(other)):
        return float("inf")
    difference = ((one - other).abs() / (1 + other.abs())).masked_fill(torch.isinf(one), 0)
    return float(difference.max())


def _found_by(kernel: Callable[..., Any], name: str, device: torch.device) -> list[Tensor]:
    """A kernel's results for a few tokens and a hundred slots, or for some thousand logits."""
    random = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device, torch.bfloat16)

    n_tokens, n_slots, size, width = 3, 100, 64, 288
    frequencies = (1e4 ** (-torch.arange(0, size, 2) / size)).to(device)
    positions = torch.arange(n_slots, device=device)
    if name == "attention":
        rotated_at = positions - (positions % 7 == 0).long()
        view = AttentionMetadata(
            positions[-n_tokens:], positions, rotated_at, frequencies, 1.0, size**-0.5
        )
        keys, values = drawn(2, n_slots, size), drawn(2, n_slots, size)
        return [kernel(drawn(n_tokens, 4, size), keys, values, view)]
    if name in ("rotate", "write_kv"):
        cos, sin = cos_sin(positions[:n_tokens], frequencies, 1.0)
        rows = drawn(3, 2, n_slots, size).unbind()
        if name == "rotate":
            kernel(rows[0][None], rows[1][None], positions[:n_tokens], cos, sin)
        else:
            keys, values = drawn(n_tokens, 2, size), drawn(n_tokens, 2, size)
            kernel(keys, values, positions[:n_tokens], cos[:, None], sin[:, None], rows)
        return list(rows)
    if name == "swiglu":
        return [kernel(drawn(n_tokens, 2 * size))]
    if name == "add_rms_norm":
        x, added = drawn(n_tokens, size), drawn(n_tokens, size)
        return [*kernel(x, added, 0.5, drawn(size), 1e-6), *kernel(x, None, 1.0, drawn(size), 1e-6)]
    if name in ("int8_matmul", "int4_matmul"):
        x = drawn(n_tokens, width) * width**-0.5
        codes = torch.randint(-8, 8, (size, width), generator=random).to(device, torch.int8)
        scales, zeros = drawn(size, width // GROUP), drawn(size, width // GROUP)
        if name == "int8_matmul":
            return [kernel(x, codes, scales[:, 0].contiguous())]
        return [kernel(x, nibbles.packed(codes + 8), scales, zeros)]
    logits, negative_logits = 2 * drawn(2, 10_000).float()
    if name == "statistics":
        found = kernel(logits)
        ids = found[5:].long()
        # equal logits may come in either order, and at 10,000 a difference by rounding does not matter
        return [found[:5], logits[ids]]
    numbers = reference.statistics(logits), reference.statistics(negative_logits)
    return [
        kernel(logits, negative_logits, *numbers, is_ratio, 0.5, 0.1) for is_ratio in (False, True)
    ]
