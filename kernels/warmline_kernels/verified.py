"""On which GPU all tests of which kernels have passed; it imports no torch, so that the doctor can tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# written by `make gpu-check`; without it no GPU has run the Triton kernels, and they are off
VERIFIED = Path(__file__).with_name("verified.json")
# the kernels of Triton that there are, by the modules that have them
MODULES = {
    "attention": "triton_kernels",
    "rotate": "triton_kernels",
    "write_kv": "triton_kernels",
    "swiglu": "triton_kernels",
    "add_rms_norm": "triton_kernels",
    "int8_matmul": "triton_products",
    "int4_matmul": "triton_products",
    "statistics": "triton_logits",
    "contrasted": "triton_logits",
}


@dataclass(frozen=True)
class Verified:
    """A GPU that has passed, at which commit, on which day (ISO 8601), and the kernels that there were then."""

    device: str
    commit: str
    date: str
    kernels: frozenset[str]

    @property
    def missing(self) -> list[str]:
        """The kernels that have come since."""
        return [name for name in MODULES if name not in self.kernels]


def read(path: Path = VERIFIED) -> Verified | None:
    """What was recorded; None where nothing is, or nothing that can be read."""
    try:
        record = json.loads(path.read_text())
        kernels = frozenset(str(name) for name in record["kernels"])
        return Verified(record["device"], record["commit"], record["date"], kernels)
    except (OSError, ValueError, KeyError, TypeError):
        return None
