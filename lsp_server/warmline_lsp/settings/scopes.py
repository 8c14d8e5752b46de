"""Which settings are in force where: the window's, and those of each document as its folder and language have them.

Documents that are opened while a request is under way are asked for together in the next one. A document whose own
settings are not known yet has none: nothing may be done with it until then. Where the client does not answer in time,
or answers what cannot be used, the settings known so far count; a late answer is still taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, cast

from .settings import Settings, is_for_us, resolve

ANSWER_WITHIN_S = 5.0
MAX_LATE = 16  # requests without an answer that are still listened to
MAX_NOTIFIED = 200  # problems that are remembered, so that each is reported once

# the client's answer for each scope asked for, of any shape; None is the window
Pull = Callable[[list[str | None]], Awaitable[object]]
# called with the scopes whose settings have changed
Apply = Callable[[set[str | None]], Awaitable[None]]


class Scopes:
    """Settings of one client, pulled from it where it can be asked."""

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
        self._n_enabled = 0  # of those
        self._newest: dict[str | None, int] = {}
        self._n_pulls = 0
        self._known: dict[str, asyncio.Event] = {}
        self._opened: dict[str, None] = {}  # to be asked for with the next request
        self._is_asking = False
        self._late: deque[asyncio.Future[object]] = deque()
        self._listening: set[asyncio.Task[None]] = set()

    def use_pull(self, pull: Pull) -> None:
        """From now on settings are asked for."""
        self._pull = pull

    def push(self, options: object) -> None:
        """Takes options that the client sent by itself; they serve where it answers nothing when asked."""
        if options is None or is_for_us(options):
            self._sent = options
            self.window = self._resolved(options)

    def of(self, uri: str) -> Settings | None:
        """The settings of a document, None where they are still being asked for."""
        event = self._known.get(uri)
        if self._pull and event is not None and not event.is_set():
            return None
        return self._own.get(uri, self.window)

    @property
    def is_enabled_somewhere(self) -> bool:
        """Whether something is to be completed in the window or in a document."""
        return self.window.enable or self._n_enabled > 0

    def add(self, uri: str) -> None:
        """A document is open: its settings have to be asked for."""
        self._known[uri] = asyncio.Event()
        if self._pull is not None:
            self._opened[uri] = None

    def remove(self, uri: str) -> None:
        """A document is closed."""
        self._forget_own(uri)
        self._newest.pop(uri, None)
        self._opened.pop(uri, None)
        event = self._known.pop(uri, None)
        if event is not None:
            event.set()

    async def known(self, uri: str) -> None:
        """Returns when a document's settings are known, or it is closed."""
        event = self._known.get(uri)
        if self._pull and event is not None:
            await event.wait()

    async def pull_opened(self) -> None:
        """Asks for documents opened since the last request; one such request is under way at a time."""
        if self._is_asking:
            return
        self._is_asking = True
        try:
            while self._opened:
                await self.pull(list(self._opened))
        finally:
            self._is_asking = False

    async def pull(self, scopes: Iterable[str | None]) -> None:
        """Asks for the settings of scopes and applies them; where a later pull asked again, its answer counts."""
        wanted = list(dict.fromkeys(scopes))
        if self._pull is None:
            await self._apply(set(wanted))
            return
        self._n_pulls += 1
        number = self._n_pulls
        for scope in wanted:
            self._newest[scope] = number
            self._opened.pop(cast(str, scope), None)
        answer = asyncio.ensure_future(_as_coroutine(self._pull(wanted)))
        done, _ = await asyncio.wait({answer}, timeout=self._answer_within_s)
        if done:
            await self._take(answer, wanted, number)
            return
        self.notify_once(
            "the editor does not answer workspace/configuration; the settings known so far are used"
        )
        self._listen(answer, wanted, number)
        await self._fall_back(wanted, number)

    def notify_once(self, problem: str) -> None:
        """Reports a problem that was not reported before."""
        if problem not in self._notified and len(self._notified) < MAX_NOTIFIED:
            self._notified.add(problem)
            self._notify(problem)

    def _listen(
        self, answer: asyncio.Future[object], scopes: list[str | None], number: int
    ) -> None:
        """Takes an answer whenever it comes."""

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
        if answer.cancelled():  # at the end
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
                "the editor answers workspace/configuration with what is no list of one entry for each item; "
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
        """Options of a scope; those that the client sent by itself where it has none for us."""
        if options is None or options == {} or not is_for_us(options):
            return self._sent
        return options

    async def _fall_back(self, scopes: list[str | None], number: int) -> None:
        """What is known so far counts."""
        newest = self._still_newest(scopes, number)
        for scope in newest:
            if scope is not None:
                self._known[scope].set()
        await self._apply(newest)

    def _still_newest(self, scopes: list[str | None], number: int) -> set[str | None]:
        """The scopes that are open, and that no later pull has asked for."""
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


def _as_coroutine(awaited: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        return await awaited

    return wait()
