"""On which GPU all tests of which kernels have passed; it imports no torch, so that the doctor can tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# written by `make gpu-check`; without it no GPU has run the Triton kernels, and they are off
VERIFIED = Path(__file__).with_name("verified.json")


@dataclass(frozen=True)
class Verified:
    """A GPU that has passed, at which commit, on which day (ISO 8601), and the kernels that there were then."""

    device: str
    commit: str
    date: str
    kernels: frozenset[str]


def read(path: Path = VERIFIED) -> Verified | None:
    """What was recorded; None where nothing is, or nothing that can be read."""
    try:
        record = json.loads(path.read_text())
        kernels = frozenset(str(name) for name in record["kernels"])
        return Verified(record["device"], record["commit"], record["date"], kernels)
    except (OSError, ValueError, KeyError, TypeError):
        return None
