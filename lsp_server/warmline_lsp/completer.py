"""What to ask of the engine, and when: one request a document, the newest; nothing asked that is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from warmline_engine import wire

from . import syntax
from .documents import Document, Edit
from .offers import Offer, Statistics
from .settings import Settings
from .trim import trim

FAST_TYPING_S = 0.25  # a shorter time between keys than this is typing at speed
SLOW_SHARE = 0.25  # of the debounce, for who types slowly
MOST_TEXT = 2_000_000  # characters; a longer document is not served


class Engine(Protocol):
    """What is asked of an engine client."""

    @property
    def is_ready(self) -> bool: ...

    async def complete(self, frame: wire.Complete) -> wire.Completion | None: ...


@dataclass
class _Typing:
    """What is remembered of a document between requests."""

    offer: Offer | None = None
    superseded: asyncio.Future[None] | None = None
    prefetch: asyncio.Task[None] | None = None
    edited_at: float = 0.0
    interval_s: float = 1.0  # between edits, smoothed


@dataclass(frozen=True)
class Selected:
    """An entry of the editor's own list that is selected: what is typed of it, and what it would insert."""

    typed: str
    text: str


class Completer:
    """Answers completion requests of all documents of a server."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.settings = settings
        self.statistics = Statistics()
        self._engine = engine
        self._typing: dict[str, _Typing] = {}

    def edited(self, uri: str, edits: list[Edit]) -> None:
        """Follows the edits of a document, before the next request for it."""
        typing = self._typing.setdefault(uri, _Typing())
        now = time.monotonic()
        typing.interval_s = 0.7 * typing.interval_s + 0.3 * min(2.0, now - typing.edited_at)
        typing.edited_at = now
        for edit in edits:
            before = typing.offer
            typing.offer = before.follow(edit) if before else None
            self.statistics.note(before, typing.offer, edit)
        if typing.prefetch and typing.offer is None:
            typing.prefetch.cancel()

    def closed(self, uri: str) -> None:
        """Forgets a document."""
        typing = self._typing.pop(uri, None)
        if typing is not None:
            _supersede(typing)
            if typing.prefetch:
                typing.prefetch.cancel()

    async def complete(
        self, document: Document, offset: int, automatic: bool, selected: Selected | None = None
    ) -> list[str]:
        """Texts to insert at an offset of this version, best first.

        A newer request for the document makes this one answer empty at once.
        """
        begin = time.monotonic()
        self.statistics.n_requests += 1
        typing = self._typing.setdefault(document.uri, _Typing())
        _supersede(typing)
        if not self._is_wanted(document, offset, automatic):
            return []
        assumed = ""
        if selected is not None:
            if not selected.text.startswith(selected.typed):
                return []
            assumed = selected.text[len(selected.typed) :]
        known = self._known(typing, offset)
        if known and not assumed:
            self.statistics.n_reused += 1
            return [known]
        superseded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        typing.superseded = superseded
        wait = self._debounce_s(typing) if automatic else 0.0
        texts = await _unless(superseded, self._ask(document, offset, assumed, wait, automatic))
        if not texts:
            return []
        self.statistics.latencies_ms.append((time.monotonic() - begin) * 1000)
        self.statistics.n_offered += 1
        texts = [assumed + text for text in texts]
        typing.offer = Offer(offset, texts[0])
        self._prefetch(typing, document, offset)
        return texts

    def _is_wanted(self, document: Document, offset: int, automatic: bool) -> bool:
        settings = self.settings
        if automatic and settings.mode == "onRequest":
            return False
        if not self._engine.is_ready or len(document.text) > MOST_TEXT:
            return False
        if settings.inside_comments and settings.inside_strings:
            return True
        place = syntax.place_of(document.language, document.text, offset)
        if place is None:
            return True
        return (settings.inside_comments or not place.is_comment) and (
            settings.inside_strings or not place.is_string
        )

    def _known(self, typing: _Typing, offset: int) -> str:
        """What is left of the present offer, or what was fetched to follow it."""
        offer = typing.offer
        if offer is None or offer.cursor != offset:
            return ""
        if offer.rest:
            return offer.rest
        if offer.following:
            self.statistics.n_prefetched += 1
            typing.offer = Offer(offset, offer.following)
            return offer.following
        return ""

    def _debounce_s(self, typing: _Typing) -> float:
        fast = typing.interval_s < FAST_TYPING_S
        return self.settings.debounce_ms / 1000 * (1.0 if fast else SLOW_SHARE)

    async def _ask(
        self, document: Document, offset: int, assumed: str, wait_s: float, automatic: bool
    ) -> list[str]:
        if wait_s:
            await asyncio.sleep(wait_s)
        settings = self.settings
        answer = await self._engine.complete(
            wire.Complete(
                id=0,
                document=document.uri,
                version=document.version,
                offset=offset,
                assumed=assumed,
                max_tokens=settings.max_tokens,
                multi_line=settings.multi_line,
                n_alternatives=1 if automatic else settings.alternatives,
                deadline_ms=settings.deadline_ms,
            )
        )
        return self._fitting(document, offset, assumed, answer)

    def _fitting(
        self, document: Document, offset: int, assumed: str, answer: wire.Completion | None
    ) -> list[str]:
        if answer is None:
            return []
        text = document.text[:offset] + assumed + document.text[offset:]
        at, most = offset + len(assumed), self.settings.max_lines
        fitted = [trim(document.language, text, at, item.text, most) for item in answer.items]
        return list(dict.fromkeys(text for text in fitted if text))

    def _prefetch(self, typing: _Typing, document: Document, offset: int) -> None:
        """Asks what would follow if the offer were accepted, while the user looks at it."""
        offer = typing.offer
        if offer is None:
            return

        async def fetch() -> None:
            texts = await self._ask(document, offset, offer.text, 0.05, automatic=True)
            current = typing.offer
            same = current is not None and (current.offset, current.text) == (offset, offer.text)
            if texts and same and current is not None:
                typing.offer = replace(current, following=texts[0])

        if typing.prefetch:
            typing.prefetch.cancel()
        typing.prefetch = asyncio.create_task(fetch())


def _supersede(typing: _Typing) -> None:
    if typing.superseded is not None and not typing.superseded.done():
        typing.superseded.set_result(None)
    typing.superseded = None
    if typing.prefetch and typing.offer is None:
        typing.prefetch.cancel()


async def _unless(
    superseded: asyncio.Future[None], work: Coroutine[Any, Any, list[str]]
) -> list[str]:
    """The result of the work, or nothing as soon as it is superseded; the work is then cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task, superseded), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else []
    finally:
        if not task.done():
            task.cancel()
