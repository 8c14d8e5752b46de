"""Documents that are opened again: how many frames it takes, and which are left out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.engine_client import A, B, Client, dies_of
from tests.support.fake_engine import FakeEngine, fake_engine
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.sending.failing import MAX_FAILURES, Failing
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

pytestmark = pytest.mark.usefixtures("runtime")


class Counting(Client):
    """A client that counts how many documents it has looked at."""

    def __init__(self, *documents: str) -> None:
        super().__init__(*documents)
        self.n_steps = 0
        self.version = 1
        self.engine = EngineClient(
            Settings(), self.one_by_one, self.note, command=lambda *_: ["false"], sleep=self.pause
        )

    def one_by_one(self) -> Iterator[wire.Open]:
        for name in list(self.documents):
            self.n_steps += 1
            yield wire.Open(name, "python", self.version, "x = 1\n")


@pytest.mark.parametrize("n", [100, 200, 400, 800])
async def test_the_work_of_a_replay_grows_with_the_number_of_documents(n: int) -> None:
    names = [f"file:///{k}.py" for k in range(n)]
    async with fake_engine() as engine, Counting(*names) as client:
        for life in (1, 2):
            await engine.until(lambda life=life: len(engine.of(wire.Open)) == life * n)
            await client.until_state("ready")
            assert client.n_steps <= life * 3 * n
            assert len(engine.of(wire.AskStatus)) <= life * (10 + n // 32)
            n_states = len(client.states)
            engine.writers[-1].close()
            await client.until(lambda n_states=n_states: len(client.states) > n_states)


@pytest.mark.parametrize("n_bad", [1, 2])
async def test_those_the_engine_dies_of_are_found_among_many(n_bad: int) -> None:
    names = [f"file:///{k}.py" for k in range(100)]
    bad = names[60 : 60 + n_bad]
    async with fake_engine() as engine:
        engine.react = dies_of(engine, *bad)
        async with Counting(*names) as client:
            await client.until_state("ready")
            assert client.engine.quarantined == set(bad)
            assert all(client.engine.has(name) for name in names if name not in bad)
            assert len(client.pauses) <= n_bad + 1
            assert client.n_steps < 1000


async def test_one_that_is_opened_alone_after_a_crash_is_acquitted() -> None:
    names = [f"file:///{k}.py" for k in range(8)]
    async with fake_engine() as engine:
        engine.react = dies_of(engine, names[5])
        async with Counting(*names) as client:
            await client.until_state("ready")
            assert client.engine.quarantined == {names[5]}
            # its neighbour in the batch is now worked on when the engine dies, for the first time
            asked = asyncio.ensure_future(client.engine.complete(wire.Complete(0, names[4], 1, 0)))
            await engine.next(wire.Complete)
            engine.writers[-1].close()
            assert await asked is None
            await engine.until(lambda: engine.n_connections == 4)
            await client.until_state("ready")
            assert client.engine.quarantined == {names[5]}


def fails_on(
    engine: FakeEngine, document: str
) -> Callable[[wire.Frame, asyncio.StreamWriter], None]:
    """A reaction: the engine fails on each text of a document."""

    def react(frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
        if isinstance(frame, wire.Open | wire.Edit) and frame.document == document:
            engine.say(wire.Failure(None, "out_of_sync", "KeyError", document), writer)
        else:
            engine.usual(frame, writer)

    return react


async def test_a_document_the_engine_always_fails_on_is_left_out_until_it_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fake_engine() as engine:
        engine.react = fails_on(engine, B)
        async with Counting(A, B) as client:

            def n_sent() -> int:
                return Counter(frame.document for frame in engine.of(wire.Open))[B]

            with caplog.at_level(logging.ERROR):
                await client.until(lambda: client.engine.failing == {B})
            await client.until_state("ready")
            assert n_sent() == MAX_FAILURES
            assert client.pauses == [0.5, 1, 2]
            assert "b b.py is excluded until it changes" in caplog.text
            assert client.engine.has(A)
            # the same version stays out, whoever asks
            for _ in range(100):
                client.engine.send(wire.Open(B, "python", 1, "x = 1\n"))
                await client.engine.ask_status()
            assert n_sent() == MAX_FAILURES
            # a change is tried once
            client.version = 2
            client.engine.send(wire.Open(B, "python", 2, "x = 2\n"))
            await engine.until(lambda: n_sent() == MAX_FAILURES + 1)
            await client.until(lambda: client.engine.failing == {B})
            # it works once it is opened again and the engine is well
            engine.react = engine.usual
            client.engine.send(wire.Close(B))
            client.engine.send(wire.Open(B, "python", 2, "x = 2\n"))
            assert client.engine.has(B)
            assert client.engine.failing == set()


async def test_a_document_that_is_typed_in_is_not_sent_at_each_key() -> None:
    async with fake_engine() as engine:
        engine.react = fails_on(engine, A)
        async with Client(A) as client:
            held = asyncio.Event()
            pauses: list[float] = []

            async def pause(seconds: float) -> None:
                pauses.append(seconds)
                await held.wait()

            client.engine.sleep = pause
            await client.until_state("ready")
            for version in range(2, 300):
                client.engine.send(wire.Open(A, "python", version, "x"))
                await client.engine.ask_status()
            assert len(engine.of(wire.Open)) < 10
            held.set()


async def test_a_document_out_of_step_is_sent_again_at_once() -> None:
    async with fake_engine() as engine, Client(A) as client:
        await client.until_open(A)
        engine.say(wire.Failure(None, "out_of_sync", "version 1 after version 2", A))
        # what was on its way counts for nothing
        for _ in range(50):
            engine.say(wire.Failure(None, "unknown_document", "not open", A))
        await engine.next(wire.Open, 1)
        await client.engine.ask_status()
        assert len(engine.of(wire.Open)) == 2
        assert client.pauses == []
        assert client.engine.has(A)


def test_pauses_grow_and_failures_of_long_ago_are_forgotten() -> None:
    now = [0.0]
    failing = Failing(lambda: now[0])
    assert [failing.note("d", k) for k in range(MAX_FAILURES)] == [0.0, 0.5, 1.0, 2.0, 0.0]
    assert failing.quarantined() == {"d"}
    assert not failing.may_open("d", 99)  # it pauses
    failing.resume("d")
    assert (failing.may_open("d", 4), failing.may_open("d", 5)) == (False, True)
    failing.opened("d")
    assert [failing.note("d", k) for k in range(6)] == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    failing.forget("d")
    assert failing.may_open("d", 4)
    failing.note("d", 1)
    now[0] = 1000.0
    assert failing.note("d", 1) == 0.0
