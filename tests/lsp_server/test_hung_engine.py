"""Engines that hang are replaced, and no other process is ever killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_client import A, B, Client
from tests.support.fake_engine import READY, WITHIN_S, FakeEngine, fake_engine, fake_remote_engine
from warmline_lsp.engine import engine_process, socket_paths, supervisor
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.liveness import Limits
from warmline_lsp.engine.peer_process import kill_peer, peer_pid
from warmline_lsp.engine.sending import outbox
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.remote_address import TOKEN_VARIABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found by SO_PEERCRED"),
]

# an engine that answers as a real one does; each start adds its process id to a file
ENGINE = """
import asyncio, os, sys
from pathlib import Path
from warmline_protocol import wire

path = Path(sys.argv[1])

async def serve(reader, writer):
    try:
        while True:
            frame = await wire.read(reader)
            if isinstance(frame, wire.Hello):
                writer.write(wire.pack(wire.Welcome(wire.PROTOCOL_VERSION, "script", os.getpid())))
                writer.write(wire.pack(
                    wire.ModelReady("script", "0", (), True, 4096, "cpu", "float32")))
            elif isinstance(frame, wire.AskStatus):
                writer.write(wire.pack(wire.Status(frame.id, "ready", "", "script", (), 0, 0)))
            elif isinstance(frame, wire.Complete):
                writer.write(wire.pack(wire.Completion(
                    frame.id, (wire.Item("x", 0.0),), "end", 1, 1, 0, 1, 1.0, 1.0)))
            elif isinstance(frame, wire.Quit):
                os._exit(0)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_unix_server(serve, path)
    with path.with_suffix(".pids").open("a") as pids:
        pids.write(f"{os.getpid()}\\n")
    async with server:
        await asyncio.wait_for(server.serve_forever(), 300)

asyncio.run(main())
"""


def socket_path() -> Path:
    return socket_paths.socket_path(Settings().engine_options())


def pids() -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(line) for line in socket_path().with_suffix(".pids").read_text().split()]
    return []


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def script(runtime: Path) -> Iterator[Path]:
    path = runtime / "script.py"
    path.write_text(textwrap.dedent(ENGINE))
    yield path
    for pid in pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def client_of(script: Path, limits: Limits, *documents: str) -> Client:
    client = Client(*documents)
    client.engine = EngineClient(
        Settings(),
        client.openings,
        client.note,
        command=lambda settings, path: [sys.executable, str(script), str(path)],
        sleep=client.pause,
        limits=limits,
    )
    return client


# a stopped process never answers, so that these may be short; a busy one is tried again and again
SHORT = Limits(silent_s=0.1, between_probes_s=0.1, after_failed_probe_s=0.1)


async def test_a_stopped_engine_is_killed_and_its_documents_are_opened_in_the_next(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of(script, SHORT, A, B) as client:
        await client.until_state("ready")
        monkeypatch.setattr(engine_process, "PROBED_WITHIN_S", 1.0)
        (first,) = pids()
        os.kill(first, signal.SIGSTOP)
        assert await client.engine.complete(wire.Complete(0, A, 1, 0)) is None
        await client.until(lambda: len(pids()) >= 2)
        await client.until_state("ready")
        assert not is_running(first)
        assert client.engine.has(A)
        assert client.engine.has(B)
        assert any("does not answer" in state.message for state in client.states)
        answer = await client.engine.complete(wire.Complete(0, A, 1, 0))
        assert answer is not None
        assert answer.items


async def test_an_engine_that_is_stopped_before_it_says_welcome_is_replaced(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of(script, SHORT) as client:
        await client.until_state("ready")
    (first,) = pids()
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(engine_process, "WELCOMED_WITHIN_S", 1.0)
    async with client_of(script, SHORT) as client:
        await client.until(lambda: any("did not answer" in s.message for s in client.states))
        await client.until(lambda: not is_running(first))


@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_restart_ends_a_stopped_engine(
    script: Path, is_connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "QUIT_WITHIN_S", 1.0)
    client = client_of(script, Limits())
    async with client:
        await client.until_state("ready")
        (first,) = pids()
        os.kill(first, signal.SIGSTOP)
        if is_connected:
            await client.engine.end()
    if not is_connected:
        async with client_of(script, Limits()) as other:  # it waits for a welcome
            await other.engine.end()
    assert not is_running(first)


async def test_a_restart_ends_an_engine_that_is_well(script: Path) -> None:
    async with client_of(script, Limits()) as client:
        await client.until_state("ready")
        (first,) = pids()
        await client.engine.end()
        await client.until(lambda: len(pids()) >= 2)
        await client.until_state("ready")
        assert not is_running(first)


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[asyncio.StreamWriter]:
    _, writer = await asyncio.open_unix_connection(path)
    yield writer
    writer.close()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


async def test_a_process_that_the_engine_lies_about_is_not_killed(
    script: Path, bystander: subprocess.Popen[bytes]
) -> None:
    async with client_of(script, Limits()) as client:
        await client.until_state("ready")
        async with connected(socket_path()) as writer:
            assert peer_pid(writer) == pids()[0]
            assert not await kill_peer(writer, socket_path(), bystander.pid)
        assert bystander.poll() is None
        assert is_running(pids()[0])


async def test_a_process_that_is_no_engine_is_not_killed(runtime: Path) -> None:
    path = runtime / "other"
    code = f"import socket; s = socket.socket(1); s.bind('{runtime}/o' 'ther'); s.listen(); print(flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        async with connected(path) as writer:
            assert peer_pid(writer) == process.pid
            assert not await kill_peer(writer, path)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


async def test_this_process_is_not_killed_and_loses_its_socket() -> None:
    async with fake_engine() as engine:
        path = socket_path()
        reader, writer = await asyncio.open_unix_connection(path)
        assert peer_pid(writer) == os.getpid()
        await engine_process.replace_hung((reader, writer), path)
        assert not path.exists()
        await engine.until(lambda: engine.n_connections == 2 and not engine.writers)


async def test_the_socket_of_another_engine_is_left(script: Path) -> None:
    path = socket_path()
    async with fake_engine() as engine:
        streams = await asyncio.open_unix_connection(path)
        path.unlink()
        met = await engine_process.meet(
            Settings(), "test", lambda *_: [sys.executable, str(script), str(path)]
        )
        await engine_process.replace_hung(streams, path)
        assert is_running(met.pid)
        async with connected(path) as writer:
            assert peer_pid(writer) == met.pid
        met.streams[1].close()
        await engine.until(lambda: engine.n_connections == 1 and not engine.writers)


async def test_an_engine_that_is_busy_is_not_killed() -> None:
    async with fake_engine() as engine:
        client = Client(A)
        client.engine = EngineClient(
            Settings(), client.openings, client.note, lambda _: None,
            lambda *_: ["false"], client.pause,
            Limits(silent_s=0.01, between_probes_s=0.01, after_failed_probe_s=0.01),
        )  # fmt: skip
        async with client:
            await client.until_state("ready")
            asked = asyncio.ensure_future(client.engine.complete(wire.Complete(0, A, 1, 0)))
            request = await engine.next(wire.Complete)
            first = engine.writers[0]
            # each probe is a connection that is greeted
            await engine.until(lambda: engine.n_connections > 20)
            assert first in engine.writers
            assert not asked.done()
            engine.say(wire.Completion(request.id, (), "end", 1, 1, 0, 1, 1.0, 1.0), first)
            assert await asked is not None


async def lasting(engine: FakeEngine, limits: Limits, settings: Settings | None = None) -> Client:
    client = Client(A)
    client.engine = EngineClient(
        settings or Settings(), client.openings, client.note, lambda _: None,
        lambda *_: ["false"], client.pause, limits,
    )  # fmt: skip
    return client


async def test_half_a_frame_ends_one_life_only() -> None:
    async with fake_engine() as engine, await lasting(engine, Limits(frame_s=0.05)) as client:
        await client.until_state("ready")
        engine.writers[0].write(wire.pack(READY)[:-3])
        await engine.until(lambda: engine.n_connections == 2)
        await client.until(
            lambda: any("in the middle of a message" in s.message for s in client.states)
        )
        await client.until_state("ready")


async def test_a_request_that_is_never_answered_is_given_up() -> None:
    async with fake_engine() as engine, await lasting(engine, Limits(request_s=0.05)) as client:
        await client.until_state("ready")
        assert await client.engine.complete(wire.Complete(0, A, 1, 0)) is None
        await engine.next(wire.Cancel)
        assert await client.engine.ask_context(A) is None
        assert client.engine.n_pending == 0


async def test_a_remote_engine_that_hangs_is_left_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "a token of this test alone")
    async with (
        fake_remote_engine() as (engine, settings),
        await lasting(engine, SHORT, settings) as client,
    ):
        await client.until_state("ready")
        monkeypatch.setattr("warmline_lsp.engine.remote_engine.PROBED_WITHIN_S", 0.2)
        engine.react = lambda frame, writer: None
        assert await client.engine.complete(wire.Complete(0, A, 1, 0)) is None
        assert any("does not answer" in s.message for s in client.states)
        engine.react = engine.usual
        await client.until_state("ready")


class Deaf:
    """An engine that reads no more once its model is ready, until it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.frames: list[wire.Frame] = []
        self.changed = asyncio.Event()
        self.n_open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_open += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await wire.read(reader)
                self.frames.append(frame)
                self.changed.set()
                if isinstance(frame, wire.Hello):
                    for said in (wire.Welcome(wire.PROTOCOL_VERSION, "deaf", 1), READY):
                        writer.write(wire.pack(said))
                elif isinstance(frame, wire.AskStatus):
                    status = wire.Status(frame.id, "ready", "", "", (), 0, 0)
                    writer.write(wire.pack(status))
                if isinstance(frame, wire.MoveCursor):
                    await self.reads.wait()
        writer.close()
        self.n_open -= 1
        self.changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def deaf_engine() -> AsyncIterator[Deaf]:
    deaf = Deaf()
    server = await asyncio.start_unix_server(deaf.serve, socket_path())
    try:
        yield deaf
    finally:
        server.close()
        deaf.reads.set()
        await deaf.until(lambda: not deaf.n_open)


async def test_what_an_engine_does_not_read_is_bounded_and_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MAX_QUEUED_BYTES", 2**20)
    async with deaf_engine() as deaf, Client(A, B) as client:
        await client.until_open(A, B)
        engine = client.engine
        engine.send(wire.MoveCursor(A, 1, 0))  # from here on it reads nothing
        edit = (wire.TextEdit(0, 0, "x" * 100_000),)
        largest = 0
        for version in range(2, 200):
            engine.send(wire.Edit(A, version, edit))
            largest = max(largest, engine.n_queued_bytes)
        assert 2**20 < largest < 2**20 + 200_000
        assert not engine.has(A)
        assert engine.has(B)
        client.documents.remove(B)
        engine.send(wire.Close(B))
        engine.notify(wire.FilesChanged("/project", ("a.py",)))
        assert await engine.complete(wire.Complete(0, B, 1, 0)) is None
        n_before = len(deaf.frames)
        deaf.reads.set()
        await deaf.until(lambda: any(isinstance(f, wire.Open) for f in deaf.frames[n_before:]))
        after = deaf.frames[n_before:]
        assert wire.Close(B) in after
        assert wire.FilesChanged("/project", ()) in after
        assert engine.has(A)


async def test_an_engine_that_never_reads_again_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_QUEUED_BYTES", 2**20)
    async with (
        deaf_engine(),
        await lasting(FakeEngine(), Limits(working_s=0.1)) as client,
    ):
        await client.until_open(A)
        client.engine.send(wire.MoveCursor(A, 1, 0))
        for version in range(2, 40):
            edit = (wire.TextEdit(0, 0, "x" * 100_000),)
            client.engine.send(wire.Edit(A, version, edit))
        await client.until(lambda: any("does not read" in s.message for s in client.states))


async def test_a_full_queue_of_connections_does_not_block() -> None:
    path = socket_path()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        try:
            for connection in waiting:
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    connection.connect(str(path))
            with pytest.raises(engine_process.EngineUnavailable):
                async with asyncio.timeout(WITHIN_S):
                    await engine_process.meet(Settings(), "test", lambda *_: ["false"])
        finally:
            for connection in waiting:
                connection.close()


async def test_an_unexpected_error_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> list[str]:
        raise RuntimeError("a fault of ours")

    client = Client()
    client.engine = EngineClient(
        Settings(), client.openings, client.note, command=broken, sleep=client.pause
    )
    with caplog.at_level(logging.CRITICAL):
        async with client:
            await client.until_state("failed")
    assert "RuntimeError" in client.engine.state.message
