"""Requests that the engine has not answered yet."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from warmline_protocol import wire

Answer = wire.Completion | wire.Context | wire.Status
A = TypeVar("A", wire.Completion, wire.Context, wire.Status)


@dataclass(frozen=True, eq=False)
class PendingRequest(Generic[A]):
    """`answer` gets None if the engine fails or goes away."""

    id: int
    kind: type[A]
    document: str
    answer: asyncio.Future[A | None]


class PendingRequests:
    """A table by id. Ids are never used twice, so a late answer cannot reach another request."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._requests: dict[int, PendingRequest[Any]] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, kind: type[A], document: str = "") -> PendingRequest[A]:
        """A new request for an answer of a kind."""
        answer: asyncio.Future[A | None] = asyncio.get_running_loop().create_future()
        request = PendingRequest(next(self._ids), kind, document, answer)
        self._requests[request.id] = request
        return request

    def completing(self) -> list[str]:
        """The documents of unanswered completions, one entry for each request."""
        return [r.document for r in self._requests.values() if r.kind is wire.Completion]

    def settle(self, answer: Answer) -> str:
        """Passes an answer on, if its request still waits for it; returns the request's document."""
        request = self._requests.get(answer.id)
        if request is None or not isinstance(answer, request.kind):
            return ""
        self._finish(request, answer)
        return request.document

    def fail(self, request_id: int) -> None:
        """Answers a request with None."""
        if (request := self._requests.get(request_id)) is not None:
            self._finish(request, None)

    def remove(self, request: PendingRequest[Any]) -> None:
        """Forgets a request that nothing waits for any more."""
        self._requests.pop(request.id, None)

    def fail_all(self) -> None:
        """Answers all requests with None: the engine is gone."""
        for request in list(self._requests.values()):
            self._finish(request, None)

    def _finish(self, request: PendingRequest[Any], answer: Answer | None) -> None:
        del self._requests[request.id]
        if not request.answer.done():
            request.answer.set_result(answer)
