"""The engine client against engines that are away, broken, foreign or die."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from tests.support.engine_client import A, B, Client, dies_of
from tests.support.fake_engine import (
    READY,
    WITHIN_S,
    fake_engine,
    fake_remote_engine,
)
from warmline_lsp.engine import socket_paths
from warmline_lsp.engine.engine_process import meet
from warmline_lsp.engine.supervisor import N_CRASHES
from warmline_lsp.errors import EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.remote_address import TOKEN_VARIABLE

pytestmark = pytest.mark.usefixtures("runtime")


async def test_documents_are_opened_one_at_a_time() -> None:
    async with fake_engine() as engine, Client(A, B) as client:
        waiting: list[int] = []

        def react(frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
            if isinstance(frame, wire.AskStatus):
                waiting.append(frame.id)
            else:
                engine.usual(frame, writer)

        engine.react = react
        await engine.until(lambda: waiting)
        assert [frame.document for frame in engine.of(wire.Open)] == [A]
        assert not client.engine.is_ready
        engine.say(wire.Status(waiting[0], "ready", "", "", (), 0, 0))
        await engine.until(lambda: len(waiting) == 2)
        assert [frame.document for frame in engine.of(wire.Open)] == [A, B]
        engine.say(wire.Status(waiting[1], "ready", "", "", (), 0, 0))
        await client.until_state("ready")


async def test_a_document_the_engine_dies_of_twice_is_left_out_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fake_engine() as engine:
        engine.react = dies_of(engine, B)
        async with Client(A, B) as client:
            await client.until_state("ready")
            assert client.engine.quarantined == {B}
            assert (client.engine.has(A), client.engine.has(B)) == (True, False)
            assert client.pauses == [1, 2]
            assert "b b.py is excluded" in caplog.text
            assert await client.engine.complete(wire.Complete(0, B, 1, 0)) is None


async def test_who_was_not_worked_on_is_not_blamed() -> None:
    async with fake_engine() as engine, Client(A, B) as client:
        await client.until_state("ready")
        for _ in range(3):
            asked = asyncio.ensure_future(client.engine.complete(wire.Complete(0, B, 1, 0)))
            await engine.next(wire.Complete, len(engine.of(wire.Complete)))
            n_before = len(client.states)
            engine.writers[-1].close()
            assert await asked is None
            await client.until(lambda n=n_before: len(client.states) > n)
            await client.until_state("ready")
            if client.engine.quarantined:
                break
        assert client.engine.quarantined == {B}
        assert client.engine.has(A)


async def test_an_encoded_edit_is_no_suspicion() -> None:
    async with fake_engine() as engine, Client(A) as client:
        await client.until_open(A)
        for version in (2, 3, 4):
            n_lives = engine.n_connections
            client.engine.send(wire.Edit(A, version, ()))
            await engine.next(wire.Edit, version - 2)
            engine.say(wire.Encoded(A, version, 1, 1, 1, 1.0))
            await client.engine.ask_status()
            engine.writers[-1].close()
            await engine.until(lambda n=n_lives: engine.n_connections > n)
            await client.until_state("ready")
        assert not client.engine.quarantined


async def test_pauses_double_and_five_deaths_are_the_end() -> None:
    async with Client() as client:
        await client.until_state("failed")
        assert client.pauses == [1, 2, 4, 8]
        assert f"stopped {N_CRASHES} times" in client.engine.state.message
        assert "exited right after its start with code 1" in client.engine.state.message


async def test_a_remote_engine_is_tried_for_ever_and_no_document_is_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "a token of this test alone")
    async with (
        fake_remote_engine() as (engine, settings),
        Client(A, B, settings=settings) as client,
    ):
        engine.react = dies_of(engine, B)
        await engine.until(lambda: engine.n_connections > N_CRASHES + 3)
        assert client.pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
        assert client.engine.quarantined == set()
        engine.react = engine.usual
        await client.until_state("ready")
        assert client.engine.has(B)


def _say(*frames: wire.Frame) -> bytes:
    return b"".join(map(wire.pack, frames))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "unexpected answer from the engine"),
        (struct.pack("<I", 2**32 - 1), "unexpected answer from the engine"),
        (struct.pack("<I", 3) + b"\xc1\xc1\xc1", "unexpected answer from the engine"),
        (
            _say(wire.Failure(None, "wrong_version", "protocol 1")),
            "refused the connection: protocol 1",
        ),
        (
            _say(wire.Failure(None, "wrong_token", "no such token")),
            "refused the connection: no such token",
        ),
        (_say(READY), "unexpected answer from the engine: ModelReady"),
        (_say(wire.Welcome(1, "0", 1)), "uses protocol version 1"),
        (b"", "unexpected answer from the engine"),
    ],
    ids=["http", "huge", "noise", "version", "token", "order", "other", "gone"],
)
async def test_an_engine_that_is_none_is_told_and_left(said: bytes, words: str) -> None:
    async with fake_engine() as engine:

        def react(frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            writer.close()

        engine.react = react
        with pytest.raises(EngineUnavailable, match=words):
            await meet(Settings(), "test", lambda *_: ["false"])


async def test_who_stops_before_the_welcome_leaves_no_connection() -> None:
    async with fake_engine() as engine:
        engine.react = lambda frame, writer: None
        async with Client():
            await engine.next(wire.Hello)
        await engine.until(lambda: not engine.writers)


async def test_who_stops_while_another_starts_the_engine_does_not_keep_the_lock() -> None:
    lock = FileLock(socket_paths.socket_path(Settings().engine_options()).with_suffix(".lock"))
    lock.acquire()
    async with Client():
        # by now it asks for the lock again and again; if it does not yet, all is well too
        await asyncio.sleep(0.1)
    lock.release()
    async with asyncio.timeout(WITHIN_S):
        while True:
            await asyncio.sleep(0.1)
            with contextlib.suppress(Timeout), lock.acquire(timeout=0):
                break


async def test_noise_in_the_middle_ends_one_life_only() -> None:
    async with fake_engine() as engine, Client(A) as client:
        await client.until_state("ready")
        engine.writers[-1].write(struct.pack("<I", 5) + b"noise")
        await engine.until(lambda: engine.n_connections == 2)
        await client.until_state("ready")
        assert client.engine.has(A)


ENGINE = """
import asyncio, sys
from pathlib import Path
from warmline_protocol import wire

async def serve(reader, writer):
    await wire.read(reader)
    writer.write(wire.pack(wire.Welcome(wire.PROTOCOL_VERSION, "script", 1)))
    await reader.read()
    writer.close()
    left.set()

async def main():
    global left
    left = asyncio.Event()
    path = Path(sys.argv[1])
    with path.with_suffix(".starts").open("a") as starts:
        starts.write("x")
    async with await asyncio.start_unix_server(serve, path):
        await left.wait()

asyncio.run(main())
"""


async def test_two_windows_that_start_at_once_start_one_engine_over_a_dead_socket(
    runtime: Path,
) -> None:
    script = runtime / "engine.py"
    script.write_text(textwrap.dedent(ENGINE))
    path = socket_paths.socket_path(Settings().engine_options())
    dead = await asyncio.start_unix_server(lambda r, w: None, path)
    dead.close()
    await dead.wait_closed()
    assert path.exists()

    def command(settings: Settings, path: Path) -> list[str]:
        return [sys.executable, str(script), str(path)]

    async with asyncio.timeout(WITHIN_S):
        windows = await asyncio.gather(*(meet(Settings(), "test", command) for _ in range(3)))
    assert path.with_suffix(".starts").read_text() == "x"
    for window in windows:
        _, writer = window.streams
        writer.close()
        await writer.wait_closed()
