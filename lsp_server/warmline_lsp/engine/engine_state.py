"""The engine's state, as the user sees it."""

from __future__ import annotations

from collections.abc import Callable
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


class CurrentState:
    """The present state; `on_change` gets each state that differs from the one before."""

    def __init__(self, on_change: Callable[[EngineState], None]) -> None:
        self.value = EngineState(Phase.STARTING)
        self._on_change = on_change

    def set(self, state: EngineState) -> None:
        if state != self.value:
            self.value = state
            self._on_change(state)
