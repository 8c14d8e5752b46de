"""An engine client in a window, with its clock under the test's control."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from tests.support.fake_engine import (
    FakeEngine,
    Waiting,
)
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.engine_state import EngineState
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

A, B = "file:///a.py", "file:///b%20b.py"


class Client(Waiting):
    """An engine client, what it told, and the pauses it would have made."""

    def __init__(self, *documents: str, settings: Settings | None = None) -> None:
        super().__init__()
        self.documents = list(documents)
        self.states: list[EngineState] = []
        self.pauses: list[float] = []
        self.engine = EngineClient(
            settings or Settings(),
            self.openings,
            self.note,
            command=lambda *_: ["false"],
            sleep=self.pause,
        )

    def openings(self) -> list[wire.Open]:
        return [wire.Open(name, "python", 1, "x = 1\n") for name in self.documents]

    def note(self, state: EngineState) -> None:
        self.states.append(state)
        self.changed.set()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def __aenter__(self) -> Self:
        self.engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.stop()

    async def until_state(self, state: str) -> None:
        await self.until(lambda: self.engine.state.state == state)

    async def until_open(self, *documents: str) -> None:
        """Waits until the engine is ready and documents were sent: neither follows from the other."""
        await self.until(
            lambda: self.engine.is_ready and all(self.engine.has(name) for name in documents)
        )


def dies_of(engine: FakeEngine, *names: str) -> Any:
    """A reaction: the engine dies when it is given one of the documents."""

    def react(frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
        if isinstance(frame, wire.Open) and frame.document in names:
            writer.close()
        else:
            engine.usual(frame, writer)

    return react
