"""What both ends of a remote engine agree on, and what the engine's end refuses."""

from __future__ import annotations

import asyncio
import os
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.engine_peer import (
    TEXT,
    TOKEN,
    WITHIN_S,
    close_peers,
    command,
    connected,
    greeted,
    port_in,
)
from tests.support.examples import examples
from warmline_engine.process.connections.listener import make_listener
from warmline_engine.process.service import without_files
from warmline_protocol import wire
from warmline_protocol.remote_address import (
    TOKEN_VARIABLE,
    Address,
    RemoteError,
    beyond_loopback,
    given_token,
    make_token,
    parse_address,
)

pytestmark = pytest.mark.slow

__all__ = ["close_peers"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:7411", Address("127.0.0.1", 7411)),
        ("localhost:0", Address("localhost", 0)),
        ("tls://gpu.example.org:443", Address("gpu.example.org", 443, True)),
        ("[::1]:7411", Address("::1", 7411)),
        ("tls://[2001:db8::1]:65535", Address("2001:db8::1", 65535, True)),
    ],
)
def test_an_address_is_read_and_written(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":1", "host:65536", "host:-1", "http://host:1", "user@host:1", "host:1/x", "::1:7411",
     "tls://", "a b:1", "host:1:2", "host:１"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RemoteError, match="expected host:port"):
        parse_address(text)


@given(st.text(max_size=30))
@example("tls://[::]:1")
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        address = parse_address(text)
    except RemoteError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("number", "is_private"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False),
        ("10.0.0.1", False), ("192.168.1.1", False), ("fe80::1%eth0", False), ("8.8.8.8", False),
    ],
)  # fmt: skip
def test_loopback_alone_is_private(number: str, is_private: bool) -> None:
    assert (beyond_loopback([number]) == []) == is_private


def test_a_token_is_made_once_and_for_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    path = tmp_path / "config" / "token"
    assert given_token(path) == ""
    made = make_token(path)
    assert given_token(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(RemoteError, match="cannot write a token"):
        make_token(path)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert given_token(path) == TOKEN


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes on Windows")
def test_a_token_that_others_may_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o640)
    with pytest.raises(RemoteError, match="chmod 600"):
        given_token(path)


@pytest.mark.parametrize(
    "token", ["short", "x" * 15, "sixteen characters\n and two lines", "é" * 20]
)
def test_a_token_of_no_use_is_refused(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with pytest.raises(RemoteError, match="at least 16 printable"):
        given_token(tmp_path / "none")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1"])
def test_plain_beyond_loopback_is_refused_before_anything_listens(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with pytest.raises(RemoteError, match=r"ssh -L 7411:127\.0\.0\.1:7411"):
        make_listener(f"{host}:7411", None, None, None)


def test_a_certificate_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(RemoteError, match="expected a certificate"):
        make_listener("0.0.0.0:0", tmp_path / "cert.pem", None, None)


def test_a_token_is_made_where_there_is_none_and_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    for token in ("", TOKEN):  # what the environment says goes before the file
        monkeypatch.setenv(TOKEN_VARIABLE, token)
        listener = make_listener("127.0.0.1:0", None, None, path)
        assert listener.token == (token or path.read_text().strip())
        assert listener.token_place == (TOKEN_VARIABLE if token else str(path))
        assert TOKEN_VARIABLE not in os.environ
        for bound in listener.sockets:
            bound.close()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    listener = make_listener("127.0.0.1:0", None, None, tmp_path / "token")
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(RemoteError, match="cannot listen"):
        make_listener(f"127.0.0.1:{port}", None, None, tmp_path / "token")
    for bound in listener.sockets:
        bound.close()


def test_the_command_says_what_to_do() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "warmline_engine.process.service", "--listen", "0.0.0.0:7411"],
        env={**os.environ, TOKEN_VARIABLE: TOKEN}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 2
    assert "ssh -L" in found.stderr


async def refused(port: int, first: wire.Frame) -> str:
    """The code that a first frame is answered with; the connection is closed behind it."""
    peer = await connected(port, first)
    async with asyncio.timeout(WITHIN_S):
        # the first thing that is said, and the last
        answer = await wire.read(peer.reader)
        assert await peer.reader.read() == b""
    assert isinstance(answer, wire.Failure)
    return answer.code


def test_globs_of_remote_clients_apply() -> None:
    frame = wire.Open("d", "python", 1, TEXT, 3, "/etc", "passwd", ("*.key",))
    assert without_files(frame) == wire.Open("d", "python", 1, TEXT, 3, "", "", ("*.key",))


@pytest.fixture(scope="module")
def shared_port(model_folder: Path) -> Iterator[int]:
    """An engine that the tests of a module share; it must be alive at the end."""
    process = subprocess.Popen(
        command(model_folder), stderr=subprocess.PIPE, env={**os.environ, TOKEN_VARIABLE: TOKEN}
    )
    assert process.stderr is not None
    while b"listening on" not in (line := process.stderr.readline()):
        assert line, "the engine ended"
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    yield port_in(line)
    assert process.poll() is None, "the engine died"
    process.terminate()
    process.wait(WITHIN_S)
    drain.join(WITHIN_S)
    process.stderr.close()


async def test_who_has_no_token_is_told_nothing_else(shared_port: int) -> None:
    assert await refused(shared_port, wire.Hello(wire.PROTOCOL_VERSION)) == "wrong_token"
    assert (
        await refused(shared_port, wire.Hello(wire.PROTOCOL_VERSION, TOKEN[:-1])) == "wrong_token"
    )
    assert await refused(shared_port, wire.Hello(99, "guess")) == "wrong_token"
    assert await refused(shared_port, wire.Hello(99, TOKEN)) == "wrong_version"
    assert await refused(shared_port, wire.Open("d", "python", 1, TEXT)) == "no_hello"
    too_long = wire.Hello(wire.PROTOCOL_VERSION, TOKEN, "x" * wire.MAX_HELLO_BYTES)
    assert await refused(shared_port, too_long) == "frame_too_long"
    await greeted(shared_port)


async def test_it_serves_text_and_reads_no_files(shared_port: int, tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(TEXT)
    peer = await greeted(shared_port)
    peer.send(wire.Open("d", "python", 1, TEXT, None, str(tmp_path), "d.py"))
    peer.send(wire.Complete(1, "d", 1, 40))
    assert (await peer.until(wire.Completion)).n_generated > 0
    peer.send(wire.AskContext(2, "d"))
    assert (await peer.until(wire.Context)).state == "off"
    peer.send(wire.FilesChanged(str(tmp_path), ("greet.py",)))
    assert (await peer.until(wire.Failure)).code == "forbidden_remotely"


async def test_nobody_ends_it_from_afar(shared_port: int) -> None:
    peer = await greeted(shared_port)
    peer.send(wire.Quit())
    assert (await peer.until(wire.Failure)).code == "forbidden_remotely"
    await greeted(shared_port)


tokens = st.sampled_from(["", TOKEN, TOKEN[:-1], "\0", "é"])
hellos = st.builds(wire.Hello, st.integers(-(2**63), 2**63 - 1), tokens, st.text(max_size=9))
framed = st.binary(max_size=80).map(lambda body: struct.pack("<I", len(body)) + body)
firsts = st.one_of(st.binary(max_size=80), framed, hellos.map(wire.pack))


@given(st.lists(st.tuples(firsts, st.integers(0, 200), st.integers(0, 7)), max_size=8))
@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_nothing_that_comes_first_ends_it(
    shared_port: int, noise: list[tuple[bytes, int, int]]
) -> None:
    """Each with a bit turned, behind which the line is cut."""

    async def run() -> None:
        for payload, at, bit in noise:
            turned = bytearray(payload)
            if at < len(turned):
                turned[at] ^= 1 << bit
            reader, writer = await asyncio.open_connection("127.0.0.1", shared_port)
            writer.write(bytes(turned))
            writer.write_eof()
            async with asyncio.timeout(WITHIN_S):
                answer = await reader.read()
            # a welcome is for who has the token
            assert b"\xa2op\xa7Welcome" not in answer or TOKEN.encode() in turned
            writer.close()
            await writer.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", shared_port)
        writer.write(wire.pack(wire.Hello(wire.PROTOCOL_VERSION, TOKEN)))
        async with asyncio.timeout(WITHIN_S):
            assert isinstance(await wire.read(reader), wire.Welcome)
        writer.close()
        await writer.wait_closed()

    asyncio.run(run())
