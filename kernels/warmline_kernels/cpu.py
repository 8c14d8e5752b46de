"""Which number formats the CPU multiplies natively. torch emulates the others, many times slower than float32."""

from __future__ import annotations

import functools
import platform

import torch
from torch import Tensor


@functools.cache
def has_bfloat16() -> bool:
    """Whether the CPU has bf16 multiply instructions. Assumed on other processors than x86."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return torch.backends.cpu.get_cpu_capability() == "AVX512"  # an older torch: near enough


def is_emulated(numbers: Tensor) -> bool:
    """Whether products in this format are faster in float32."""
    is_bfloat16 = numbers.dtype == torch.bfloat16 and numbers.device.type == "cpu"
    return is_bfloat16 and not has_bfloat16()
