"""The engine as a process, spoken to in frames."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engine_peer import TEXT, WITHIN_S, Peer, close_peers
from warmline_protocol import wire

pytestmark = pytest.mark.slow

__all__ = ["close_peers"]


@asynccontextmanager
async def engine(tmp_path: Path, model: Path | str, *more: str) -> AsyncIterator[Path]:
    path = tmp_path / "engine.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "warmline_engine.process.service", "--socket", str(path), "--model", str(model),
        "--threads", "1", *more, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            while b"listening" not in (line := await process.stderr.readline()):
                assert line, "the engine ended"
        yield path
        assert process.returncode is None, "the engine died"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            await process.communicate()


async def connect(path: Path) -> Peer:
    peer = Peer(*await asyncio.open_unix_connection(path))
    peer.send(wire.Hello(wire.PROTOCOL_VERSION, client="test"))
    await peer.until(wire.Welcome)
    await peer.until(wire.ModelReady)
    return peer


async def test_an_edited_document_is_completed(shared_engine: Path) -> None:
    assert shared_engine.stat().st_mode & 0o777 == 0o600
    peer = await connect(shared_engine)
    peer.send(wire.Open("d", "python", 1, TEXT))
    peer.send(wire.Edit("d", 2, (wire.TextEdit(0, 0, "import os\n"),)))
    peer.send(wire.Complete(7, "d", 2, 40))
    answer = await peer.until(wire.Completion)
    assert (answer.id, answer.n_generated > 0) == (7, True)
    peer.send(wire.AskStatus(8))
    status = await peer.until(wire.Status)
    assert [d.document for d in status.documents] == ["d"]
    assert 0 < status.cache_bytes <= status.cache_budget_bytes


async def test_an_answer_for_another_version_is_empty(shared_engine: Path) -> None:
    peer = await connect(shared_engine)
    peer.send(wire.Open("d", "python", 5, TEXT))
    peer.send(wire.Complete(1, "d", 4, 10))
    answer = await peer.until(wire.Completion)
    assert (answer.items, answer.stop) == ((), "cancelled")


async def test_two_windows_with_one_name_do_not_mix(shared_engine: Path) -> None:
    one, other = await connect(shared_engine), await connect(shared_engine)
    one.send(wire.Open("d", "python", 1, TEXT))
    other.send(wire.Open("d", "python", 1, "x = 1\n"))
    other.send(wire.Edit("d", 2, (wire.TextEdit(6, 6, "y = 2\n"),)))
    one.send(wire.Complete(1, "d", 1, len(TEXT)))
    other.send(wire.Complete(2, "d", 2, 12))
    longer, shorter = await one.until(wire.Completion), await other.until(wire.Completion)
    assert shorter.n_tokens < longer.n_tokens
    other.writer.close()
    one.send(wire.Complete(3, "d", 1, 5))
    assert (await one.until(wire.Completion)).id == 3


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (wire.Edit("d", 2, (wire.TextEdit(5, 3, "x"),)), "out_of_sync"),
        (wire.Edit("d", 2, (wire.TextEdit(0, 10**6, "x"),)), "out_of_sync"),
        (wire.Edit("d", 1, (wire.TextEdit(0, 0, "x"),)), "out_of_sync"),
        (wire.Edit("other", 2, (wire.TextEdit(0, 0, "x"),)), "unknown_document"),
        (wire.MoveCursor("d", 1, 10**6), "out_of_sync"),
        (wire.Complete(1, "d", 1, 10**6), "out_of_sync"),
        (wire.Complete(1, "other", 1, 0), "unknown_document"),
        (wire.Welcome(1, "", 1), "unexpected_frame"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_next_is_served(
    frame: wire.Frame, code: str, shared_engine: Path
) -> None:
    peer = await connect(shared_engine)
    peer.send(wire.Open("d", "python", 1, TEXT))
    peer.send(frame)
    assert (await peer.until(wire.Failure)).code == code
    peer.send(wire.Open("d", "python", 1, TEXT))
    peer.send(wire.Complete(9, "d", 1, 10, max_tokens=2))
    assert (await peer.until(wire.Completion)).id == 9


async def test_noise_never_ends_the_engine(shared_engine: Path) -> None:
    rng = random.Random(3)
    good = wire.pack(wire.Open("d", "python", 1, TEXT))
    for _ in range(60):
        peer = Peer(*await asyncio.open_unix_connection(shared_engine))
        if rng.random() < 0.6:
            peer.send(wire.Hello(wire.PROTOCOL_VERSION))
        kind = rng.random()
        if kind < 0.3:
            peer.writer.write(rng.randbytes(rng.randrange(1, 200)))
        elif kind < 0.6:
            broken = bytearray(good)
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            peer.writer.write(bytes(broken))
        elif kind < 0.8:
            peer.writer.write(good[: rng.randrange(len(good))])
        else:
            body: Any = msgpack.packb(
                {"op": rng.choice(["Edit", "Open", "Nope"]), "x": [1, {"y": None}]}
            )
            peer.writer.write(struct.pack("<I", len(body)) + body)
        peer.writer.write_eof()
        await peer.closed()
        peer.writer.close()
    peer = await connect(shared_engine)
    peer.send(wire.Open("d", "python", 1, TEXT))
    peer.send(wire.Complete(1, "d", 1, 10, max_tokens=2))
    await peer.until(wire.Completion)


numbers = st.one_of(st.integers(-3, 60), st.integers(-(2**63), 2**63 - 1))
names = st.sampled_from(["d", "e", "", "\0", "é𝒳"])
texts = st.one_of(st.just(TEXT), st.text(max_size=40))
edits = st.lists(st.builds(wire.TextEdit, numbers, numbers, texts), max_size=3).map(tuple)
frames = st.one_of(
    st.builds(wire.Open, names, texts, numbers, texts, st.none() | numbers),
    st.builds(wire.Edit, names, numbers, edits),
    st.builds(wire.Close, names),
    st.builds(wire.MoveCursor, names, numbers, numbers),
    st.builds(
        wire.Complete, numbers, names, numbers, numbers, virtual_text=texts,
        max_tokens=st.integers(-(2**40), 2), n_alternatives=numbers, deadline_ms=st.none() | numbers,
    ),
    st.builds(wire.Cancel, numbers),
    st.builds(wire.AskStatus, numbers),
)  # fmt: skip


@given(st.binary(max_size=60) | frames.map(lambda frame: wire.pack(frame)[4:]), st.data())
def test_any_payload_is_a_frame_or_a_typed_error(payload: bytes, data: st.DataObject) -> None:
    if payload:
        broken = bytearray(payload)
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(0, 255))
        payload = bytes(broken)
    try:
        frame = wire.unpack(payload)
    except wire.WireError as error:
        assert error.code in ("malformed_frame", "unknown_op", "invalid_frame")  # noqa: PT017
    else:
        assert wire.unpack(wire.pack(frame)[4:]) == frame


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(frames, max_size=12))
def test_well_formed_nonsense_is_answered_each_time(
    shared_engine: Path, script: list[wire.ToEngine]
) -> None:
    async def run() -> None:
        peer = await connect(shared_engine)
        asked = [frame.id for frame in script if isinstance(frame, wire.Complete)]
        for frame in script:
            peer.send(frame)
        answered: list[int | None] = []
        peer.send(wire.Open("last", "python", 1, TEXT))
        peer.send(wire.Complete(77_777, "last", 1, 10, max_tokens=1))
        async with asyncio.timeout(WITHIN_S):
            while 77_777 not in answered:
                frame = await wire.read(peer.reader)
                if isinstance(frame, wire.Completion | wire.Failure) and frame.id is not None:
                    answered.append(frame.id)
        peer.writer.close()
        await peer.writer.wait_closed()
        assert sorted(answered[:-1]) == sorted(asked)  # type: ignore[type-var]

    asyncio.run(run())


async def test_an_engine_told_to_quit_goes_and_its_place_is_free(
    tmp_path: Path, model_folder: Path
) -> None:
    path = tmp_path / "quits.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "warmline_engine.process.service", "--socket", str(path), "--model",
        str(model_folder), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while b"listening" not in await process.stderr.readline():
            pass
        peer = await connect(path)
        peer.send(wire.Quit())
        await peer.closed()
        await process.communicate()
    assert process.returncode == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (wire.Hello(99), "wrong_version"),
        (wire.Hello(1, token="guess"), "wrong_token"),
        (wire.AskStatus(1), "no_hello"),
    ],
)
async def test_who_does_not_say_hello_rightly_is_told_and_let_go(
    first: wire.Frame, code: str, shared_engine: Path
) -> None:
    peer = Peer(*await asyncio.open_unix_connection(shared_engine))
    peer.send(first)
    assert (await peer.until(wire.Failure)).code == code
    await peer.closed()


async def test_an_oversized_frame_closes_its_connection_only(shared_engine: Path) -> None:
    peer = await connect(shared_engine)
    peer.writer.write(struct.pack("<I", 2**31))
    assert (await peer.until(wire.Failure)).code == "frame_too_long"
    await peer.closed()
    await connect(shared_engine)


async def test_a_model_that_cannot_load_is_a_state(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "gpt2"}')
    async with engine(tmp_path, broken) as path:
        peer = Peer(*await asyncio.open_unix_connection(path))
        peer.send(wire.Hello(wire.PROTOCOL_VERSION))
        failure = await peer.until(wire.Failure)
        assert failure.code == "model"
        assert "supported: llama" in failure.message


async def test_a_truncated_weight_file_is_a_state(tmp_path: Path, model_folder: Path) -> None:
    broken = tmp_path / "cut"
    broken.mkdir()
    for file in model_folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    os.truncate(broken / "model.safetensors", 5000)
    async with engine(tmp_path, broken) as path:
        peer = Peer(*await asyncio.open_unix_connection(path))
        peer.send(wire.Hello(wire.PROTOCOL_VERSION))
        assert "damaged or cut off" in (await peer.until(wire.Failure)).message


async def test_an_engine_whose_worker_dies_ends_with_a_reason(
    tmp_path: Path, model_folder: Path
) -> None:
    path = tmp_path / "dies.sock"
    code = """
from warmline_engine.process import served_model, service
def die(*_): raise GeneratorExit
served_model.ServedModel.status = die
service.main()
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "--socket", str(path), "--model", str(model_folder),
        "--threads", "1", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while b"listening" not in (line := await process.stderr.readline()):
            assert line, "the engine ended"
        peer = await connect(path)
        peer.send(wire.AskStatus(1))
        await peer.closed()
        _, log = await process.communicate()
    assert process.returncode == 70
    assert b"the worker ended: GeneratorExit; the engine ends" in log
    assert not path.exists()


async def test_an_idle_engine_goes(tmp_path: Path, model_folder: Path) -> None:
    path = tmp_path / "idle.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "warmline_engine.process.service", "--socket", str(path), "--model",
        str(model_folder), "--idle-exit-minutes", "0.001",
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        assert await process.wait() == 0
    assert not path.exists()
