"""Requests to the engine, each answered in time or with None."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import attrs

from warmline_protocol import wire

from .outbox import Outbox, Sent
from .pending_requests import A, PendingRequest, PendingRequests

log = logging.getLogger(__name__)

MAX_COMPLETIONS = 256  # at once


class Requester:
    def __init__(
        self,
        requests: PendingRequests,
        outbox: Outbox,
        on_request: Callable[[], None],
        within_s: float,
    ) -> None:
        """`on_request` is called for each request that is sent."""
        self._requests = requests
        self._outbox = outbox
        self._on_request = on_request
        self._within_s = within_s

    async def complete(self, frame: wire.Complete) -> wire.Completion | None:
        """Requests a completion; the frame's id is replaced. Cancelling the task cancels the request."""
        if len(self._requests.completing()) >= MAX_COMPLETIONS:
            return None
        request = self._requests.add(wire.Completion, frame.document)
        if not self._send(request, attrs.evolve(frame, id=request.id)):
            return None
        try:
            async with asyncio.timeout(self._within_s + (frame.deadline_ms or 0) / 1000):
                return await request.answer
        except TimeoutError:
            log.warning("the engine does not complete in time")
            self._outbox.write(wire.Cancel(request.id))
            return None
        except asyncio.CancelledError:
            self._outbox.write(wire.Cancel(request.id))
            raise
        finally:
            self._requests.remove(request)

    async def status(self) -> wire.Status | None:
        request = self.request_status()
        return await self._in_time(request) if request else None

    async def context(self, document: str) -> wire.Context | None:
        request = self._requests.add(wire.Context, document)
        is_sent = self._send(request, wire.AskContext(request.id, document))
        return await self._in_time(request) if is_sent else None

    def request_status(self) -> PendingRequest[wire.Status] | None:
        """Requests a status without waiting for it; None if the engine is away or does not read."""
        request = self._requests.add(wire.Status)
        return request if self._send(request, wire.AskStatus(request.id)) else None

    def _send(self, request: PendingRequest[A], frame: wire.ToEngine) -> bool:
        if self._outbox.write(frame) is not Sent.YES:
            self._requests.remove(request)
            return False
        self._on_request()
        return True

    async def _in_time(self, request: PendingRequest[A]) -> A | None:
        try:
            async with asyncio.timeout(self._within_s):
                return await request.answer
        except TimeoutError:
            return None
        finally:
            self._requests.remove(request)
