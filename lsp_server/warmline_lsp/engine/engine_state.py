"""The engine's state, as the user sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class EngineState:
    """`fraction` is the progress of loading; None if it is unknown."""

    state: Phase
    message: str = ""
    fraction: float | None = None
