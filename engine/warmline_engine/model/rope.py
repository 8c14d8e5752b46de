"""Rotary position embedding: its frequencies after scaling. Turning vectors is the kernels' job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from warmline_engine.errors import ConfigError
from warmline_engine.model.hub.reading import shown

SERVED_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, eq=False)
class Rope:
    """Frequencies and the factor on cosine and sine.

    Shapes: inverse_frequencies [rotary size / 2] float32.
    """

    inverse_frequencies: Tensor
    attention_factor: float = 1.0

    @classmethod
    def from_hugging_face(cls, config: dict[str, Any], head_size: int) -> Rope:
        """Reads `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before).

        Raises: ConfigError, for a scaling whose frequencies change with length, or one unknown.
        """
        for name in ("rope_scaling", "rope_parameters"):
            if not isinstance(config.get(name), dict | None):
                raise ConfigError(f"config.json: {name} must be an object")
        parameters: dict[str, Any] = {
            "rope_theta": config.get("rope_theta", 10000.0),
            "partial_rotary_factor": config.get("partial_rotary_factor", 1.0),
            "original_max_position_embeddings": config.get("original_max_position_embeddings"),
            **(config.get("rope_scaling") or {}),
            **(config.get("rope_parameters") or {}),
        }
        kind = parameters.get("rope_type", parameters.get("type", "default"))
        if kind in ("dynamic", "longrope", "su"):
            raise ConfigError(
                f"rope scaling {shown(kind)} is not supported: its frequencies change with the length of the text, "
                f"so cached keys would become invalid; supported: {', '.join(SERVED_TYPES)}"
            )
        if kind not in SERVED_TYPES:
            raise ConfigError(
                f"rope scaling {shown(kind)} is unknown; supported: {', '.join(SERVED_TYPES)}"
            )
        share = _number(parameters, "partial_rotary_factor")
        size, theta = int(head_size * min(share, 1.0)), _number(parameters, "rope_theta")
        if share > 1 or size < 2 or size % 2 or theta <= 1:
            raise ConfigError(
                f"rope: expected a theta above 1 and an even number of rotated dimensions, got {theta:g} and "
                f"{share:g} of {head_size}"
            )
        exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
        plain = 1.0 / (theta**exponents)
        if kind == "linear":
            return cls(plain / _number(parameters, "factor"))
        if kind == "llama3":
            return cls(_llama3(plain, parameters))
        if kind == "yarn":
            return _yarn(plain, parameters, config, size)
        return cls(plain)


def _number(parameters: dict[str, Any], name: str) -> float:
    value = parameters.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(value) if isinstance(value, int | float) and abs(value) < 1e12 else 0.0
    if is_number and number > 0:  # NaN is not
        return number
    raise ConfigError(
        f"rope scaling needs a number for {name!r}, positive and finite, got {shown(value)}"
    )


def _llama3(plain: Tensor, parameters: dict[str, Any]) -> Tensor:
    """Llama 3.1's: slow frequencies divided, fast ones kept, a ramp between."""
    factor = _number(parameters, "factor")
    low, high = _number(parameters, "low_freq_factor"), _number(parameters, "high_freq_factor")
    original = _number(parameters, "original_max_position_embeddings")
    if not low < high:
        raise ConfigError("rope scaling needs a low_freq_factor below its high_freq_factor")
    wavelengths = 2 * math.pi / plain
    ramp = ((original / wavelengths - low) / (high - low)).clamp(0, 1)
    return plain / factor * (1 - ramp) + plain * ramp


def _yarn(plain: Tensor, parameters: dict[str, Any], config: dict[str, Any], size: int) -> Rope:
    """Source: Peng et al. 2023, YaRN (arXiv:2309.00071), with Hugging Face's choices of rounding."""
    factor = _number(parameters, "factor")
    if parameters.get("original_max_position_embeddings") is None:
        parameters["original_max_position_embeddings"] = config.get("max_position_embeddings")
    original = _number(parameters, "original_max_position_embeddings")
    theta = float(parameters["rope_theta"])

    def correction(turns: float) -> float:
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    def optional(name: str) -> float:
        return _number(parameters, name) if parameters.get(name) else 0.0

    low = correction(optional("beta_fast") or 32)
    high = correction(optional("beta_slow") or 1)
    if parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    high = high + 0.001 if low == high else high
    ramp = ((torch.arange(size // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    inverse = plain / factor * ramp + plain * (1 - ramp)

    def scale(coefficient: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * coefficient * math.log(factor) + 1.0

    given = optional("attention_factor")
    mscale, mscale_all = optional("mscale"), optional("mscale_all_dim")
    if not given:
        given = scale(mscale) / scale(mscale_all) if mscale and mscale_all else scale(1.0)
    return Rope(inverse, given)
