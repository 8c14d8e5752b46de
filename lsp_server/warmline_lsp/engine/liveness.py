"""Notices an engine that hangs.

While an answer is due and nothing comes, the engine's event loop is probed: it answers even while the model computes.
One that answers may still have a worker that never finishes, which only a much longer silence shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from warmline_protocol import wire


@dataclass(frozen=True)
class Limits:
    """How long the engine may take. Units: seconds."""

    silent_s: float = 10.0  # while an answer is due, before it is probed
    between_probes_s: float = 15.0
    after_failed_probe_s: float = 2.0
    n_failed_probes: int = 3  # one after the other: it hangs
    working_s: float = 600.0  # without a frame while an answer is due: its worker hangs
    loading_s: float = 1800.0  # the same while a model is fetched or loaded
    request_s: float = 120.0  # beyond a request's own deadline: it is given up
    frame_s: float = 60.0  # for the rest of a frame whose first byte has arrived


class Watch:
    """Watches one connection to an engine."""

    def __init__(
        self,
        limits: Limits,
        probe: Callable[[], Awaitable[bool]],
        is_loading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._probe = probe
        self._is_loading = is_loading
        self._clock = clock
        self._sleep = sleep
        self._silent_since: float | None = None  # None while no answer is due
        self._is_due = asyncio.Event()

    def asked(self) -> None:
        """Notes that an answer is due."""
        if self._silent_since is None:
            self._silent_since = self._clock()
            self._is_due.set()

    def heard(self, is_more_due: bool) -> None:
        """Notes that a frame came."""
        self._silent_since = self._clock() if is_more_due else None

    async def until_hung(self) -> str:
        """Returns when the engine hangs, with the reason."""
        while True:
            await self._is_due.wait()
            since = self._silent_since
            if since is None:
                self._is_due.clear()
                continue
            silent_s = self._clock() - since
            if silent_s < self._limits.silent_s:
                await self._sleep(self._limits.silent_s - silent_s)
                continue
            limits = self._limits
            if silent_s > (limits.loading_s if self._is_loading() else limits.working_s):
                return "does not finish its work"
            if await self._has_failed_probes(since):
                return "does not answer"
            await self._sleep(limits.between_probes_s)

    async def _has_failed_probes(self, since: float) -> bool:
        for _ in range(self._limits.n_failed_probes):
            if await self._probe() or self._silent_since != since:
                return False
            await self._sleep(self._limits.after_failed_probe_s)
        return self._silent_since == since


class Frame:
    """One frame of a stream. The wait for its first byte is unlimited, the wait for the rest is not."""

    def __init__(self, stream: wire.ByteReader, within_s: float) -> None:
        self._stream = stream
        self._within_s = within_s
        self._has_started = False

    async def readexactly(self, n: int, /) -> bytes:
        """The next bytes.

        Raises: asyncio.IncompleteReadError; TimeoutError, when the rest of the frame does not come.
        """
        first = b""
        if not self._has_started:
            first = await self._stream.readexactly(1)
            self._has_started = True
        async with asyncio.timeout(self._within_s):
            return first + await self._stream.readexactly(n - len(first))
