"""Peers that flood, that never read, or that ask for what is not theirs, against an engine as it runs.

Bounds are on bytes and on counts: how long anything takes depends on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engine_peer import TEXT, WITHIN_S, Peer, close_peers, greeted, listening
from tests.support.examples import examples
from warmline_engine.process.connections.acceptor import (
    FAILURES_PER_S,
    FREE_FAILURES,
    MAX_UNGREETED,
    Acceptor,
    FailureBudget,
)
from warmline_engine.process.connections.connection import (
    MAX_UNSENT_BYTES,
    MAX_UNSENT_NOTICE_BYTES,
    MAX_WAITING,
    Connection,
)
from warmline_engine.process.work_queue import (
    MAX_TEXTS_IN_A_ROW,
    CompletionJob,
    DocumentFrame,
    Inbox,
)
from warmline_protocol import wire

pytestmark = pytest.mark.slow

__all__ = ["close_peers"]

MEBIBYTE = 2**20


def framed(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


def resident_bytes(pid: int) -> int:
    """The most memory that a process had so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


async def welcomed(path: Path) -> tuple[Peer, int]:
    """A client whose model is ready, and the engine's process."""
    peer = Peer(*await asyncio.open_unix_connection(path))
    peer.send(wire.Hello(wire.PROTOCOL_VERSION, client="test"))
    pid = (await peer.until(wire.Welcome)).pid
    await peer.until(wire.ModelReady)
    return peer, pid


async def served(peer: Peer, request_id: int = 99) -> None:
    """A completion is answered."""
    peer.send(wire.Open("served", "python", 1, TEXT))
    peer.send(wire.Complete(request_id, "served", 1, 40, max_tokens=2))
    while (answer := await peer.until(wire.Completion)).id != request_id:
        pass
    assert answer.n_generated > 0


EMPTY_MAPS = b"\xdc" + struct.pack(">H", 4000) + b"\x80" * 4000
BEFORE_HELLO = [
    EMPTY_MAPS,
    b"\x82\xa2op\xa4Edit\xa5edits" + EMPTY_MAPS,
    b"\x82\xa2op\xa5Hello\xa7version" + EMPTY_MAPS,
    b"\x81\xc4\x02op\xa5Hello",
    b"\x81\x90\xa5Hello",
    b"\x81\xa1a" * 1300,
    b"\x91" * 4000,
    b"\xdf\xff\xff\xff\xff",
    b"Hello",
    b"",
]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_a_peer_without_a_token_gets_a_short_answer(shared_engine: Path) -> None:
    client, pid = await welcomed(shared_engine)
    before = resident_bytes(pid)
    for payload in BEFORE_HELLO:
        reader, writer = await asyncio.open_unix_connection(shared_engine)
        writer.write(framed(payload))
        async with asyncio.timeout(WITHIN_S):
            answer = await reader.read()
        writer.close()
        assert 0 < len(answer) < 400
        failure = wire.unpack(answer[4:])
        assert isinstance(failure, wire.Failure)
    await served(client)
    assert resident_bytes(pid) - before < 64 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_large_nonsense_after_hello_costs_little_and_the_next_frame_is_served(
    shared_engine: Path,
) -> None:
    client, pid = await welcomed(shared_engine)
    before = resident_bytes(pid)
    n = MEBIBYTE
    many = b"\xdd" + struct.pack(">I", n) + b"\x80" * n
    few = b"\xdd" + struct.pack(">I", 50_000) + b"\x80" * 50_000
    for payload in (
        many,
        b"\x82\xa2op\xa4Edit\xa5edits" + many,
        b"\x84\xa2op\xa4Edit\xa8document\xa1d\xa7version\x01\xa5edits" + few,
        b"\x81\xa2op" + b"\xdd\x00\x00\xff\xff" * (n // 5),
        b"\x81\xa2op\xdb" + struct.pack(">I", n) + b"\xff" * n,
    ):
        for _ in range(3):
            client.writer.write(framed(payload))
            failure = await client.until(wire.Failure)
            assert len(failure.message) < 300
    await served(client)
    assert resident_bytes(pid) - before < 128 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_a_peer_that_never_reads_is_not_read_either(shared_engine: Path) -> None:
    """Of 100,000 questions the engine would make three gigabytes of answers."""
    client, pid = await welcomed(shared_engine)
    deaf, _ = await welcomed(shared_engine)
    deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
    deaf.send(wire.Open("d" * 30_000, "python", 1, TEXT))
    before = resident_bytes(pid)
    question = wire.pack(wire.AskStatus(1))
    deaf.writer.write(question * 100_000)
    for request_id in range(20):
        await served(client, request_id)
    assert deaf.writer.transport.get_write_buffer_size() > 0, "all of it was read"
    assert resident_bytes(pid) - before < 2 * MAX_UNSENT_BYTES
    deaf.writer.transport.abort()
    await served(client)


async def test_a_refused_edit_makes_the_client_open_the_text_anew(shared_engine: Path) -> None:
    client, _ = await welcomed(shared_engine)
    for nonsense in (
        {
            "op": "Edit",
            "document": "d",
            "version": 2,
            "edits": [{"start": -1, "end": 0, "text": ""}],
        },
        {"op": "Edit", "document": "d", "version": 2, "edits": [], "more": 1},
        [1],
    ):
        client.send(wire.Open("d", "python", 1, TEXT))
        client.writer.write(framed(cast(bytes, msgpack.packb(nonsense))))
        await client.until(wire.Failure)
        client.send(wire.Edit("d", 3, (wire.TextEdit(0, 0, "x"),)))
        assert (await client.until(wire.Failure)).code == "unknown_document"


async def test_a_refused_question_is_answered_under_its_id(shared_engine: Path) -> None:
    client, _ = await welcomed(shared_engine)
    client.send(wire.Open("d", "python", 1, TEXT))
    for request_id, question in enumerate(
        (
            wire.Complete(0, "d", 1, -1),
            wire.Complete(1, "d", 1, 3, max_tokens=0),
            wire.Complete(2, "d", 1, 3, deadline_ms=-5),
        )
    ):
        client.send(question)
        failure = await client.until(wire.Failure)
        assert (failure.id, failure.code) == (request_id, "invalid_frame")


raw = st.binary(max_size=300) | st.binary(max_size=300).map(framed)


@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(raw, max_size=6), st.booleans())
def test_raw_bytes_never_end_the_engine(
    shared_engine: Path, noise: list[bytes], after_hello: bool
) -> None:
    async def run() -> None:
        reader, writer = await asyncio.open_unix_connection(shared_engine)
        if after_hello:
            writer.write(wire.pack(wire.Hello(wire.PROTOCOL_VERSION)))
        for payload in noise:
            writer.write(payload)
        writer.write_eof()
        async with asyncio.timeout(WITHIN_S):
            answer = await reader.read()
        assert len(answer) < 1000 * (len(noise) + 4)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    asyncio.run(run())


# ---- what one client may know of another


async def test_a_remote_client_learns_nothing_of_another(model_folder: Path) -> None:
    secret, text = "file:///secret-name.py", "def secret_function():\n    return 1\n" * 5
    async with listening(model_folder) as port:
        owner, other = await greeted(port), await greeted(port)
        owner.send(wire.Open(secret, "python", 1, text))
        owner.send(wire.Edit(secret, 2, (wire.TextEdit(0, len(text) // 2, ""),)))
        owner.send(wire.Complete(1, secret, 2, 10))
        await owner.until(wire.Completion)
        answers: list[wire.Frame] = []
        questions: list[wire.ToEngine] = [
            wire.AskContext(11, secret),
            wire.Complete(12, secret, 2, 10),
            wire.Edit(secret, 3, (wire.TextEdit(0, 0, "x"),)),
            wire.MoveCursor(secret, 2, 0),
            wire.Close(secret),
            wire.Cancel(1),
            wire.Open("own", "python", 1, "def se\n"),
            wire.Complete(13, "own", 1, 6),
            wire.AskContext(14, "own"),
            wire.AskStatus(15),
        ]
        for question in questions:
            other.send(question)
        async with asyncio.timeout(WITHIN_S):
            while not any(isinstance(one, wire.Status) for one in answers) or not any(
                isinstance(one, wire.Completion) for one in answers
            ):
                answers.append(await wire.read(other.reader))
        for answer in answers:
            if isinstance(answer, wire.Failure):  # it repeats the name that was asked for
                assert (answer.code, answer.document) == ("unknown_document", secret)
            else:
                assert b"secret" not in wire.pack(answer), type(answer).__name__
        (status,) = (one for one in answers if isinstance(one, wire.Status))
        assert [one.document for one in status.documents] == ["own"]
        # and what others sent did not change it
        owner.send(wire.Edit(secret, 3, (wire.TextEdit(0, 0, "x"),)))
        owner.send(wire.Complete(2, secret, 3, 10))
        answer = await owner.until(wire.Completion)
        assert (answer.id, answer.stop != "cancelled") == (2, True)


# ---- accepting


def test_failures_have_a_budget() -> None:
    now = 0.0
    budget = FailureBudget(lambda: now)
    for _ in range(FREE_FAILURES - 1):
        assert budget.delay_s() == 0
        budget.note()
    budget.note()
    assert budget.delay_s() == pytest.approx(1 / FAILURES_PER_S)
    for _ in range(9):
        budget.note()
    assert budget.delay_s() == pytest.approx(10 / FAILURES_PER_S)
    now = 10 / FAILURES_PER_S
    assert budget.delay_s() == pytest.approx(0)
    now = 1e6
    budget.note()
    assert budget.delay_s() == 0


async def test_a_flood_of_silent_peers_is_bounded_and_lets_a_client_in(tmp_path: Path) -> None:
    """The oldest of those that say nothing gives way."""
    at_work, most, greeted_peers = 0, 0, 0

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greet: Callable[[], None]
    ) -> None:
        nonlocal at_work, most, greeted_peers
        at_work, most = at_work + 1, max(most, at_work + 1)
        try:
            await reader.readexactly(1)
            greet()
            at_work, greeted_peers = at_work - 1, greeted_peers + 1
            writer.write(b"!")
            await reader.read()
            at_work += 1
        finally:
            at_work -= 1

    import socket

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    acceptor = Acceptor([listening], serve)
    acceptor.start()
    silent = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(3 * MAX_UNGREETED)]
    streams = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(2)]
    async with asyncio.timeout(WITHIN_S):
        for reader, writer in streams:
            writer.write(b"x")
            assert await reader.readexactly(1) == b"!"
        # those that gave way see the end
        assert [await reader.read() for reader, _ in silent[:MAX_UNGREETED]] == [
            b""
        ] * MAX_UNGREETED
    assert most <= MAX_UNGREETED + 1  # one that gives way is gone a moment later
    assert greeted_peers == 2
    acceptor.close()
    for _, writer in (*silent, *streams):
        writer.close()


# ---- one connection


class Transport:
    """As much of a writer and its transport as a connection needs."""

    def __init__(self) -> None:
        self.transport = self
        self.n_unsent = 0
        self.written: list[bytes] = []
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.n_unsent

    def write(self, payload: bytes) -> None:
        self.written.append(payload)

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class Loop:
    """Calls at once."""

    def call_soon_threadsafe(self, work: Callable[..., None], *arguments: Any) -> None:
        work(*arguments)


def connection() -> tuple[Connection, Transport]:
    transport = Transport()
    return Connection(cast(Any, transport), cast(Any, Loop())), transport


def test_notices_are_dropped_where_answers_are_not() -> None:
    one, transport = connection()
    transport.n_unsent = MAX_UNSENT_NOTICE_BYTES + 1
    one.send(wire.Progress("loading", 0.5))
    one.send(wire.Encoded("d", 1, 1, 1, 1, 1.0))
    assert transport.written == []
    one.send(wire.Failure(1, "code", "words"))
    assert len(transport.written) == 1
    transport.n_unsent = 0
    one.send(wire.Progress("loading", 0.5))
    assert len(transport.written) == 2


def test_a_client_that_lets_too_much_pile_up_is_cut_off() -> None:
    one, transport = connection()
    transport.n_unsent = MAX_UNSENT_BYTES
    one.send(wire.Failure(1, "code", "words"))
    assert (transport.is_aborted, transport.written) == (True, [])


def test_an_answer_that_is_too_long_becomes_a_failure() -> None:
    one, transport = connection()
    documents = (wire.DocumentStatus("d", 1, 1, 1),) * wire.MAX_VALUES
    one.send(wire.Status(3, "ready", "", "", documents, 1, 1))
    (payload,) = transport.written
    failure = wire.unpack(payload[4:])
    assert isinstance(failure, wire.Failure)
    assert (failure.id, failure.code) == (3, "frame_too_long")


def test_frames_that_wait_for_the_worker_are_bounded() -> None:
    one, _ = connection()
    given_back = [one.take_room(100) for _ in range(MAX_WAITING)]
    assert not one._has_room.is_set()
    given_back[0]()
    assert one._has_room.is_set()
    for give in given_back[1:]:
        give()
    assert (one._n_waiting, one._n_waiting_bytes) == (0, 0)
    give = one.take_room(10**9)
    assert not one._has_room.is_set()
    give()
    assert one._has_room.is_set()


# ---- the inbox is fair


class Client:
    def send(self, frame: wire.ToServer) -> None:
        pass


def test_a_flood_of_questions_delays_another_client_by_one() -> None:
    inbox, flood, other = Inbox(), Client(), Client()
    for k in range(100):
        inbox.submit(flood, wire.Complete(k, "d", 1, 0))
    inbox.submit(other, wire.Complete(1, "d", 1, 0))
    taken = [inbox.take() for _ in range(3)]
    assert [cast(CompletionJob, one).client is other for one in taken] == [False, True, False]
    assert [cast(CompletionJob, one).frame.id for one in taken] == [0, 1, 1]


def test_a_flood_of_texts_delays_the_completion_of_another_client_by_a_few() -> None:
    inbox, flood, other = Inbox(), Client(), Client()
    for k in range(100):
        inbox.submit(flood, wire.MoveCursor("d", k, 0))
    inbox.submit(flood, wire.Complete(1, "d", 100, 0))
    inbox.submit(other, wire.Complete(1, "d", 1, 0))
    taken = [inbox.take() for _ in range(103)]
    kinds = [type(one) for one in taken]
    assert kinds.index(CompletionJob) == MAX_TEXTS_IN_A_ROW
    assert cast(CompletionJob, taken[MAX_TEXTS_IN_A_ROW]).client is other
    # its own completion waits for all of its texts
    assert kinds[-2:] == [CompletionJob, type(None)]
    assert kinds.count(DocumentFrame) == 100


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60), st.data())
def test_each_client_is_served_in_order_and_gives_its_room_back_once(
    script: list[tuple[int, int]], data: st.DataObject
) -> None:
    inbox, clients = Inbox(), [Client() for _ in range(3)]
    sent: dict[int, list[wire.ToEngine]] = {k: [] for k in range(3)}
    given_back: list[int] = []
    taken: list[DocumentFrame | CompletionJob] = []

    def take() -> None:
        one = inbox.take()
        if isinstance(one, DocumentFrame | CompletionJob):
            taken.append(one)
        if isinstance(one, CompletionJob):
            inbox.answered(one)

    for number, (k, kind) in enumerate(script):
        frames = [wire.Complete(number, "d", 1, 0), wire.MoveCursor("d", number, 0)]
        frame = frames[kind % 2]
        sent[k].append(frame)
        inbox.submit(clients[k], frame, lambda number=number: given_back.append(number))
        if data.draw(st.booleans()):
            take()
    for _ in script:
        take()
    assert sorted(given_back) == list(range(len(script)))
    for k, client in enumerate(clients):
        own = [one.frame for one in taken if one.client is client]
        for kind in (wire.Complete, wire.MoveCursor):
            assert [f for f in own if isinstance(f, kind)] == [
                f for f in sent[k] if isinstance(f, kind)
            ]
        # a completion never comes before a text that was sent before it
        places = {id(frame): place for place, frame in enumerate(own)}
        for place, frame in enumerate(sent[k]):
            if isinstance(frame, wire.Complete):
                earlier = [f for f in sent[k][:place] if isinstance(f, wire.MoveCursor)]
                assert all(places[id(f)] < places[id(frame)] for f in earlier)
