"""Requests, cancels, edits, answers, settings and deaths of the engine, in any order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.fake_engine import FakeEditor, FakeEngine, fake_engine, window
from warmline_protocol import wire

URIS = ("file:///a.py", "file:///b.py")
TEXT = "def f(x):\n    \n"

uris = st.sampled_from(URIS)
n = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("ask"), uris, st.sampled_from([(0, 9), (1, 4)]), st.booleans()),
    st.tuples(st.just("cancel"), n),
    st.tuples(st.just("type"), uris, st.sampled_from("xr(\n")),
    st.tuples(st.just("move"), uris),
    st.tuples(st.just("reopen"), uris),
    st.tuples(st.just("answer"), n, st.sampled_from(["return x", "", "(x)\n    y"])),
    st.tuples(st.just("fail"), n),
    st.tuples(st.just("die")),
    st.tuples(st.just("turns"), st.integers(1, 6)),
    st.tuples(st.just("settings"), st.booleans()),
    st.tuples(st.just("wrong")),
)


class Play:
    """Does steps in a window and an engine."""

    def __init__(self, client: FakeEditor, engine: FakeEngine) -> None:
        self.client, self.engine = client, engine
        self.version: dict[str, int] = dict.fromkeys(URIS, 1)
        self.asked: list[int] = []
        self.open_ids: list[int] = []

    def react(self, frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
        self.engine.usual(frame, writer)
        if isinstance(frame, wire.Complete):
            self.open_ids.append(frame.id)

    def ask(self, uri: str, at: tuple[int, int], is_automatic: bool) -> None:
        self.asked.append(self.client.ask(at, uri, is_automatic))

    def cancel(self, k: int) -> None:
        # an id that was answered long ago, or never given, may be cancelled too
        found = self.asked[k % len(self.asked)] if self.asked else k
        self.client.notify("$/cancelRequest", {"id": found})

    def type(self, uri: str, key: str) -> None:
        self.version[uri] += 1
        self.client.change(self.version[uri], (0, 9), key, uri)

    def move(self, uri: str) -> None:
        position = {"line": 0, "character": 3}
        self.client.notify(
            "warmline/didMoveCursor", {"textDocument": {"uri": uri}, "position": position}
        )

    def reopen(self, uri: str) -> None:
        self.client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        self.version[uri] = 1
        self.client.open(uri, TEXT)

    def answer(self, k: int, text: str) -> None:
        if self.open_ids and self.engine.writers:
            self.engine.answer(self.open_ids.pop(k % len(self.open_ids)), text)

    def fail(self, k: int) -> None:
        if self.open_ids and self.engine.writers:
            request_id = self.open_ids.pop(k % len(self.open_ids))
            self.engine.say(wire.Failure(request_id, "out_of_sync", "so it is", URIS[0]))

    def die(self) -> None:
        self.open_ids.clear()
        for writer in self.engine.writers:
            writer.close()

    def settings(self, enable: bool) -> None:
        self.client.configuration = lambda scope: {"enable": enable, "debounceMs": 5}
        self.client.notify("workspace/didChangeConfiguration", {"settings": None})

    def wrong(self) -> None:
        self.asked.append(self.client.request("textDocument/inlineCompletion", {"position": 3}))

    async def finish(self) -> None:
        """The engine answers what is open until nothing is."""
        while any(not self.client.answers[asked] for asked in self.asked):
            # one that was asked on a connection that has ended waits for the next
            while self.open_ids and self.engine.writers:
                self.answer(0, "x")
            self.client.changed.clear()
            self.engine.changed.clear()
            waits = [asyncio.ensure_future(w.changed.wait()) for w in (self.client, self.engine)]
            done, left = await asyncio.wait(waits, return_when="FIRST_COMPLETED", timeout=300)
            assert done, "a request is not answered"
            for wait in left:
                wait.cancel()


async def _play(script: list[tuple[Any, ...]]) -> None:
    async with fake_engine() as engine, window() as client:
        play = Play(client, engine)
        engine.react = play.react
        await client.ready()
        for uri in URIS:
            client.open(uri, TEXT)
        for name, *arguments in script:
            if name == "turns":
                for _ in range(arguments[0]):
                    await asyncio.sleep(0)
            else:
                getattr(play, name)(*arguments)
        await play.finish()


@pytest.mark.usefixtures("runtime")
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(steps, max_size=40))
def test_every_request_is_answered_once(script: list[tuple[Any, ...]]) -> None:
    asyncio.run(_play(script))
