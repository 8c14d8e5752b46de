"""The GPU on which the kernels' tests have passed. Imports no torch, so that `warmline doctor` can read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# written by `make gpu-check`; without it no GPU has run the Triton kernels, and they are off
VERIFIED = Path(__file__).with_name("verified.json")
# the Triton kernels and their modules
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
    """A GPU that passed the tests: commit, date (ISO 8601), and the kernels that existed then."""

    device: str
    commit: str
    date: str
    kernels: frozenset[str]

    @property
    def missing(self) -> list[str]:
        """The kernels added since."""
        return [name for name in MODULES if name not in self.kernels]


def read(path: Path = VERIFIED) -> Verified | None:
    """The record; None if it is missing or unreadable."""
    try:
        record = json.loads(path.read_text())
        kernels = frozenset(str(name) for name in record["kernels"])
        return Verified(record["device"], record["commit"], record["date"], kernels)
    except (OSError, ValueError, KeyError, TypeError):
        return None
