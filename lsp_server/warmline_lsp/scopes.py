"""Which settings are in force where: the window's, and those of each document as its folder and language have them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .settings import Settings, resolve

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 5.0

# options of each scope asked for; None is the window
Pull = Callable[[list[str | None]], Awaitable[list[object]]]


class Scopes:
    """Settings of one client, pulled from it where it can be asked.

    A document whose own settings are not known yet has none: nothing may be done with it until then.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.window = Settings()
        self._tell = tell
        self._told: set[str] = set()
        self._pull: Pull | None = None
        self._sent: object = None
        self._of: dict[str, Settings] = {}
        self._newest: dict[str | None, int] = {}
        self._n_pulls = 0
        self._known: dict[str, asyncio.Event] = {}

    def use_pull(self, pull: Pull) -> None:
        """From now on settings are asked for."""
        self._pull = pull

    def push(self, options: object) -> None:
        """Takes options that the client sent by itself; they serve where it answers nothing when asked."""
        self._sent = options
        self.window = self._resolved(options)

    def of(self, uri: str) -> Settings | None:
        """The settings of a document, None where they are still being asked for."""
        if uri in self._of:
            return self._of[uri]
        return None if self._pull and uri in self._known else self.window

    def add(self, uri: str) -> None:
        """A document is open: its settings have to be pulled."""
        self._known[uri] = asyncio.Event()

    def remove(self, uri: str) -> None:
        """A document is closed."""
        self._of.pop(uri, None)
        self._newest.pop(uri, None)
        event = self._known.pop(uri, None)
        if event is not None:
            event.set()

    async def known(self, uri: str) -> None:
        """Returns when a document's settings are known, or it is closed."""
        event = self._known.get(uri)
        if self._pull and event is not None:
            await event.wait()

    async def pull(self, scopes: list[str | None]) -> None:
        """Asks for the settings of scopes; where a later pull asked again, its answer counts."""
        if self._pull is None:
            return
        self._n_pulls += 1
        ours = self._n_pulls
        for scope in scopes:
            self._newest[scope] = ours
        answers = await self._answers(self._pull, scopes)
        for scope, answer in zip(scopes, answers, strict=True):
            if self._newest.get(scope) == ours:
                self._put(scope, self._resolved(answer if answer else self._sent))

    async def _answers(self, pull: Pull, scopes: list[str | None]) -> list[object]:
        nothing: list[object] = [None] * len(scopes)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answers = await pull(scopes)
        except TimeoutError:
            log.warning("the client did not answer workspace/configuration")
            return nothing
        return answers if len(answers) == len(scopes) else nothing

    def _put(self, scope: str | None, settings: Settings) -> None:
        if scope is None:
            self.window = settings
        elif scope in self._known:
            self._of[scope] = settings
            self._known[scope].set()

    def _resolved(self, options: object) -> Settings:
        settings, problems = resolve(options)
        for problem in problems:
            if problem not in self._told:
                self._told.add(problem)
                self._tell(problem)
        return settings
