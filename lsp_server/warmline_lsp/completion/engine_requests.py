"""Sends completion requests to the engine and counts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from warmline_protocol import wire

from .query import SuggestionQuery, Target
from .usage_statistics import UsageStatistics


class Engine(Protocol):
    """The part of an engine client that completions need."""

    @property
    def is_ready(self) -> bool: ...

    async def complete(self, frame: wire.Complete) -> wire.Completion | None: ...


@dataclass(frozen=True)
class Found:
    """Completions, best first. Provisional ones are a small model's, and the base model may know better."""

    items: tuple[wire.Item, ...] = ()
    is_provisional: bool = False


NOTHING_FOUND = Found()


class EngineRequests:
    """Turns queries into frames and answers into completions."""

    def __init__(
        self, engine: Engine, statistics: UsageStatistics, trace: Callable[..., None]
    ) -> None:
        self.engine = engine
        self._statistics = statistics
        self._trace = trace

    async def fetch(
        self,
        query: SuggestionQuery,
        target: Target,
        wait_s: float,
        purpose: str,
        force_base: bool = False,
    ) -> Found:
        """The engine's completions at a target, requested after a wait; `purpose` is for the trace."""
        if wait_s:
            await asyncio.sleep(wait_s)
        self._statistics.n_engine_requests += 1
        document = query.document
        self._trace(f"engine.{purpose}", uri=document.uri, version=document.version)
        answer = await self.engine.complete(_frame(query, target, force_base))
        return Found(answer.items, answer.is_provisional) if answer else NOTHING_FOUND


def _frame(query: SuggestionQuery, target: Target, force_base: bool) -> wire.Complete:
    settings, document = query.settings, query.document
    return wire.Complete(
        id=0,
        document=document.uri,
        version=document.version,
        offset=target.offset,
        virtual_text=target.virtual_text,
        n_replaced=target.n_replaced,
        max_tokens=settings.max_tokens,
        multi_line=settings.multi_line,
        n_alternatives=1 if query.is_automatic else settings.alternatives,
        deadline_ms=settings.deadline_ms,
        # a user who requests a completion wants to see something
        shows_unsure=settings.show_unsure or not query.is_automatic,
        alternatives_by=settings.alternatives_by,
        contrast=settings.contrast,
        force_base=force_base,
        max_lines=settings.max_lines,
        inside_comments=settings.inside_comments,
        inside_strings=settings.inside_strings,
    )
