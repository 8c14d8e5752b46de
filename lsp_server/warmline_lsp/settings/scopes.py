"""Settings by scope: the window's, and each document's, which depend on its folder and language.

Documents that are opened during a request to the client are requested together in the next one. A document whose
settings are not known yet must not be used. If the client does not answer in time, or answers something unusable, the
last known settings apply; a late answer is still used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, cast

from .settings import Settings, is_for_us, resolve

ANSWER_WITHIN_S = 5.0
MAX_LATE = 16  # unanswered requests whose answer would still be used
MAX_NOTIFIED = 200  # remembered problems, so that each is reported once

# requests the settings of scopes (None: the window); the result is the client's answer, of any shape
Pull = Callable[[list[str | None]], Awaitable[object]]
# called with the scopes whose settings have changed
Apply = Callable[[set[str | None]], Awaitable[None]]


class Scopes:
    """Settings of one client, requested from it if it supports that."""

    def __init__(
        self, notify: Callable[[str], None], apply: Apply, answer_within_s: float = ANSWER_WITHIN_S
    ) -> None:
        self.window = Settings()
        self._notify = notify
        self._apply = apply
        self._answer_within_s = answer_within_s
        self._notified: set[str] = set()
        self._pull: Pull | None = None
        self._sent: object = None
        self._own: dict[str, Settings] = {}
        self._n_enabled = 0  # documents with completions on
        self._newest: dict[str | None, int] = {}
        self._n_pulls = 0
        self._known: dict[str, asyncio.Event] = {}
        self._opened: dict[str, None] = {}  # documents for the next request
        self._is_pulling = False
        self._late: deque[asyncio.Future[object]] = deque()
        self._listening: set[asyncio.Task[None]] = set()

    def use_pull(self, pull: Pull) -> None:
        """Requests settings from the client from now on."""
        self._pull = pull

    def push(self, options: object) -> None:
        """Takes options that the client sent unasked. They apply if it answers requests with nothing."""
        if options is None or is_for_us(options):
            self._sent = options
            self.window = self._resolved(options)

    def of(self, uri: str) -> Settings | None:
        """The settings of a document, None if they are not known yet."""
        event = self._known.get(uri)
        if self._pull and event is not None and not event.is_set():
            return None
        return self._own.get(uri, self.window)

    @property
    def is_enabled_somewhere(self) -> bool:
        """Whether completions are on in the window or in a document."""
        return self.window.enable or self._n_enabled > 0

    def add(self, uri: str) -> None:
        """Adds a document, whose settings are to be requested."""
        self._known[uri] = asyncio.Event()
        if self._pull is not None:
            self._opened[uri] = None

    def remove(self, uri: str) -> None:
        """Forgets a document."""
        self._forget_own(uri)
        self._newest.pop(uri, None)
        self._opened.pop(uri, None)
        event = self._known.pop(uri, None)
        if event is not None:
            event.set()

    async def known(self, uri: str) -> None:
        """Waits until a document's settings are known or it is closed."""
        event = self._known.get(uri)
        if self._pull and event is not None:
            await event.wait()

    async def pull_opened(self) -> None:
        """Requests settings of newly opened documents, with one request at a time."""
        if self._is_pulling:
            return
        self._is_pulling = True
        try:
            while self._opened:
                await self.pull(list(self._opened))
        finally:
            self._is_pulling = False

    async def pull(self, scopes: Iterable[str | None]) -> None:
        """Requests the settings of scopes and applies them. If a later pull includes a scope, its answer wins."""
        scopes = list(dict.fromkeys(scopes))
        if self._pull is None:
            await self._apply(set(scopes))
            return
        self._n_pulls += 1
        number = self._n_pulls
        for scope in scopes:
            self._newest[scope] = number
            self._opened.pop(cast(str, scope), None)
        answer = asyncio.ensure_future(_as_coroutine(self._pull(scopes)))
        done, _ = await asyncio.wait({answer}, timeout=self._answer_within_s)
        if done:
            await self._take(answer, scopes, number)
            return
        self.notify_once(
            "the editor does not answer workspace/configuration; the settings known so far are used"
        )
        self._take_later(answer, scopes, number)
        await self._fall_back(scopes, number)

    def notify_once(self, problem: str) -> None:
        """Reports a problem unless it was reported before."""
        if problem not in self._notified and len(self._notified) < MAX_NOTIFIED:
            self._notified.add(problem)
            self._notify(problem)

    def _take_later(
        self, answer: asyncio.Future[object], scopes: list[str | None], number: int
    ) -> None:
        """Uses an answer whenever it arrives."""

        async def take_late() -> None:
            await asyncio.wait({answer})
            await self._take(answer, scopes, number)

        self._late.append(answer)
        if len(self._late) > MAX_LATE:
            self._late.popleft().cancel()
        task = asyncio.ensure_future(take_late())
        self._listening.add(task)
        task.add_done_callback(self._listening.discard)

    async def _take(
        self, answer: asyncio.Future[object], scopes: list[str | None], number: int
    ) -> None:
        if answer.cancelled():  # the server is shutting down
            return
        if answer.exception() is not None:
            self.notify_once(
                "the editor refuses workspace/configuration; the settings known so far are used"
            )
            await self._fall_back(scopes, number)
            return
        found = answer.result()
        if not isinstance(found, list) or len(cast(list[object], found)) != len(scopes):
            self.notify_once(
                "the editor does not answer workspace/configuration with a list of one entry for each item; "
                "the settings known so far are used"
            )
            await self._fall_back(scopes, number)
            return
        newest = self._still_newest(scopes, number)
        for scope, options in zip(scopes, cast(list[object], found), strict=True):
            if scope in newest:
                self._put(scope, self._resolved(self._usable(options)))
        await self._apply(newest)

    def _usable(self, options: object) -> object:
        """The options of a scope; if it has none for Warmline, those that the client sent unasked."""
        if options is None or options == {} or not is_for_us(options):
            return self._sent
        return options

    async def _fall_back(self, scopes: list[str | None], number: int) -> None:
        """Applies the settings known so far."""
        newest = self._still_newest(scopes, number)
        for scope in newest:
            if scope is not None:
                self._known[scope].set()
        await self._apply(newest)

    def _still_newest(self, scopes: list[str | None], number: int) -> set[str | None]:
        """The scopes that are still open and that no later pull includes."""
        return {
            scope
            for scope in scopes
            if self._newest.get(scope) == number and (scope is None or scope in self._known)
        }

    def _put(self, scope: str | None, settings: Settings) -> None:
        if scope is None:
            self.window = settings
            return
        self._forget_own(scope)
        self._own[scope] = settings
        self._n_enabled += settings.enable
        self._known[scope].set()

    def _forget_own(self, uri: str) -> None:
        before = self._own.pop(uri, None)
        self._n_enabled -= before is not None and before.enable

    def _resolved(self, options: object) -> Settings:
        settings, problems = resolve(options)
        for problem in problems:
            self.notify_once(problem)
        return settings


def _as_coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        return await awaitable

    return wait()
