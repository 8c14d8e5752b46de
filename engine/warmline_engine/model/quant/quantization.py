"""Weights stored as small whole numbers with a scale for each group of a row: `weight ≈ code · scale`.

On disk a matrix `NAME` [rows, columns] is two tensors: `NAME.codes`, int8 [rows, columns], or uint8
[rows, columns / 2] where two codes of four bits share a byte, the first in the low half, 8 added to each; and
`NAME.scales`, float16 [rows, columns / group]. Vectors are stored as they are. config.json says so under
`quantization_config`: {"quant_method": "warmline", "bits": 4, "group_size": 16}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from warmline_engine.errors import ConfigError
from warmline_engine.model.hub.reading import shown

MAX_GROUP = 1 << 16
METHOD = "warmline"
CODES, SCALES = ".codes", ".scales"
_SMALLEST = 2.0**-24  # float16's; a group of zeros has a scale too


@dataclass(frozen=True)
class Scheme:
    """How many bits a code has, and how many weights of a row share a scale."""

    bits: int
    group_size: int

    @property
    def stored_dtypes(self) -> dict[str, str]:
        """The dtype of a stored tensor in safetensors' names, by the end of its name."""
        return {CODES: "U8" if self.bits == 4 else "I8", SCALES: "F16"}

    @classmethod
    def of(cls, config: dict[str, Any]) -> Scheme | None:
        """The scheme in a config.json; None if its weights are not quantized.

        Raises: ConfigError, if the scheme is not supported.
        """
        declared = config.get("quantization_config")
        if declared is None:
            return None
        if not isinstance(declared, dict) or declared.get("quant_method") != METHOD:
            method = declared.get("quant_method") if isinstance(declared, dict) else declared
            raise ConfigError(
                f"config.json: quantization {shown(method)} is not supported; supported: plain weights and "
                f"{METHOD!r}; use the model's bf16 version"
            )
        bits, group_size = declared.get("bits"), declared.get("group_size")
        if bits not in (4, 8) or isinstance(bits, bool):
            raise ConfigError(f"config.json: bits of a quantization are 4 or 8, got {shown(bits)}")
        if not isinstance(group_size, int) or not 2 <= group_size <= MAX_GROUP or group_size % 2:
            raise ConfigError(
                f"config.json: group_size of a quantization is an even number, got {shown(group_size)}; "
                f"at most {MAX_GROUP}"
            )
        return cls(bits, group_size)

    def describe(self) -> dict[str, object]:
        """The entry of config.json that `of` reads."""
        return {"quant_method": METHOD, "bits": self.bits, "group_size": self.group_size}

    def tensor_shapes(self, name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The stored tensors of a weight.

        Raises: ConfigError, if its rows cannot be divided into groups.
        """
        if len(shape) != 2:
            return {name: shape}
        rows, columns = shape
        if columns % self.group_size:
            raise ConfigError(
                f"{name} has {columns} columns, which groups of {self.group_size} do not divide"
            )
        n_codes = columns // 2 if self.bits == 4 else columns
        return {name + CODES: (rows, n_codes), name + SCALES: (rows, columns // self.group_size)}

    def stored(self, name: str, weight: Tensor) -> dict[str, Tensor]:
        """The tensors to store for a weight: a matrix packed, a vector in bf16."""
        if weight.ndim != 2:
            return {name: weight.bfloat16()}
        packed = pack(weight, self)
        return {name + CODES: packed.codes, name + SCALES: packed.scales}


@dataclass(frozen=True)
class Packed:
    """A matrix as it is stored."""

    scheme: Scheme
    codes: Tensor
    scales: Tensor

    def unpacked(self) -> Tensor:
        """The matrix. Shape: [rows, columns] float32."""
        codes = self.codes
        if self.scheme.bits == 4:
            codes = torch.stack((codes & 15, codes >> 4), -1).flatten(1).to(torch.int8) - 8
        groups = codes.float().unflatten(1, (-1, self.scheme.group_size))
        return (groups * self.scales.float()[:, :, None]).flatten(1)


def pack(weight: Tensor, scheme: Scheme) -> Packed:
    """The codes and scales of a matrix. Shape: weight [rows, columns]."""
    codes, scales = _codes(weight.float(), scheme)
    flat = codes.flatten(1).to(torch.int8)
    if scheme.bits == 4:
        low, high = (flat + 8).to(torch.uint8).unflatten(1, (-1, 2)).unbind(-1)
        flat = low | (high << 4)
    return Packed(scheme, flat, scales[:, :, 0].half())


def rounded(weight: Tensor, scheme: Scheme) -> Tensor:
    """A matrix after packing and unpacking: for quantization-aware training."""
    codes, scales = _codes(weight.float(), scheme)
    return (codes * scales).flatten(1)


def _codes(weight: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Codes [rows, groups, size] and scales [rows, groups, 1], both float32.

    The weight furthest from zero has the lowest code, since no highest one is of the same size; then each
    scale becomes the best for its codes by least squares. On a trained model of 4.7 million parameters, groups
    of 16 with four bits, this costs 0.7 % in bits a byte, the largest weight over 7 costs 1.0 %, and a search
    over seven scales does no better.
    """
    groups = weight.unflatten(1, (-1, scheme.group_size))
    lowest = -(2 ** (scheme.bits - 1))
    first = _stored(groups.gather(2, groups.abs().argmax(2, keepdim=True)) / lowest)
    codes = (groups / first).round_().clamp_(lowest, -lowest - 1)
    scales = _stored((groups * codes).sum(2, keepdim=True) / (codes * codes).sum(2, keepdim=True))
    return (groups / scales).round_().clamp_(lowest, -lowest - 1), scales


def _stored(scales: Tensor) -> Tensor:
    """Rounded to float16, and never 0."""
    kept = scales.nan_to_num().half().float()
    return torch.where(kept == 0, _SMALLEST, kept)
