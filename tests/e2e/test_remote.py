"""A real server and a real engine that it neither starts nor ends: on loopback, as by a tunnel, and through TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.editor import WITHIN_S, editor
from tests.support.remote_engine import (
    TEXT,
    TOKEN,
    URI,
    SharedRemote,
    engines_of,
    has_ghost_text,
    remote,
    said,
    shared_remote,
)
from warmline_protocol import wire
from warmline_protocol.remote_address import TOKEN_VARIABLE


@pytest.fixture(scope="module")
def engine(loud_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedRemote]:
    """An engine without TLS; one for all tests, which leave it as it is."""
    with shared_remote(loud_model, tmp_path_factory.mktemp("engine") / "engine.log") as found:
        yield found


async def test_a_remote_engine_serves_and_survives(
    home: dict[str, str], engine: SharedRemote
) -> None:
    home = {**home, TOKEN_VARIABLE: TOKEN}
    options = {"remoteEngine": f"127.0.0.1:{engine.port}"}
    for _ in range(2):  # nor does the end of a window end it
        async with editor(home, options) as client:
            assert client.statuses[-1].model == "loud"
            assert await has_ghost_text(client)
            await client.protocol.send_request_async("warmline/restart", {})
            await client.until_state("ready")
            assert await has_ghost_text(client)
    assert engine.process.poll() is None
    assert engines_of(home) == []


async def test_nothing_of_the_workspace_is_sent_along(
    home: dict[str, str], engine: SharedRemote, tmp_path: Path
) -> None:
    from lsprotocol import types

    (tmp_path / "shapes.py").write_text("def area(side):\n    return side * side\n")
    use, text = tmp_path / "use.py", "from shapes import area\n\n\nx = "
    use.write_text(text)
    home = {**home, TOKEN_VARIABLE: TOKEN}
    folders = [types.WorkspaceFolder(tmp_path.as_uri(), "project")]
    options = {"remoteEngine": f"127.0.0.1:{engine.port}"}
    async with editor(home, options, folders=folders) as client:
        client.open(use.as_uri(), text)
        await client.ask(use.as_uri(), 3, 4)
        asked: Any = {"uri": use.as_uri()}
        context = await client.protocol.send_request_async("warmline/context", asked)
        assert (context.state, context.items) == ("off", [])
        changed = types.FileEvent(use.as_uri(), types.FileChangeType.Changed)
        client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([changed]))
        assert await has_ghost_text(client)


async def test_what_is_wrong_is_said_until_it_is_right(
    home: dict[str, str], engine: SharedRemote
) -> None:
    token_file = Path(home["XDG_RUNTIME_DIR"]) / "config/warmline/token"
    token_file.parent.mkdir(parents=True)
    home = {**home, "XDG_CONFIG_HOME": str(token_file.parent.parent)}
    options = {"remoteEngine": f"127.0.0.1:{engine.port}"}
    async with editor(home, options, "error") as client:
        assert "needs a token" in said(client)
        token_file.write_text("another token, as long")
        token_file.chmod(0o644)
        await client.until(lambda: "chmod 600" in said(client))
        token_file.chmod(0o600)
        await client.until(lambda: "wrong token for this engine" in said(client))
        token_file.write_text(TOKEN)
        await client.until_state("ready")
        assert await has_ghost_text(client)


async def test_one_that_went_is_waited_for(home: dict[str, str], loud_model: Path) -> None:
    home = {**home, TOKEN_VARIABLE: TOKEN}
    async with remote(loud_model) as engine:
        options = {"remoteEngine": f"127.0.0.1:{engine.port}"}
        async with editor(home, options) as client:
            assert await has_ghost_text(client)
            engine.process.kill()
            await client.until_state("error")
            assert "refuses connections" in said(client)
            async with remote(loud_model, port=engine.port):
                await client.until_state("ready")
                assert await has_ghost_text(client)
            await client.until_state("error")
    assert engines_of(home) == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, folder: Path, name: str) -> list[str]:
    """Arguments of an engine that is of this name."""
    issued = authority.issue_cert(name)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(folder / "cert.pem"), append=number > 0)
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]


@pytest.fixture(scope="module")
def tls_engine(
    loud_model: Path, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedRemote]:
    """An engine with a certificate for localhost; one for all tests, which leave it as it is."""
    folder = tmp_path_factory.mktemp("tls")
    arguments = certificate(authority, folder, "localhost")
    with shared_remote(loud_model, folder / "engine.log", *arguments) as found:
        yield found


async def test_through_tls(
    home: dict[str, str], tls_engine: SharedRemote, tmp_path: Path, authority: trustme.CA
) -> None:
    home = {**home, TOKEN_VARIABLE: TOKEN}
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    options = {"remoteEngineCa": str(tmp_path / "ca.pem")}
    address = f"tls://localhost:{tls_engine.port}"
    async with editor(home, options | {"remoteEngine": address}) as client:
        assert await has_ghost_text(client)
    assert tls_engine.n_accepted() > 0, "accepted connections are in its log"
    # by a name that is not its own
    address = f"tls://127.0.0.1:{tls_engine.port}"
    async with editor(home, options | {"remoteEngine": address}, "error") as client:
        assert "untrusted certificate" in said(client)
    # and without TLS
    address = f"127.0.0.1:{tls_engine.port}"
    async with editor(home, {"remoteEngine": address}, "error") as client:
        assert "without TLS" in said(client)
    assert tls_engine.process.poll() is None


@pytest.mark.parametrize("ca", ["of another", "", "no file"])
async def test_a_certificate_of_somebody_else_gets_no_token(
    ca: str, home: dict[str, str], tls_engine: SharedRemote, tmp_path: Path, authority: trustme.CA
) -> None:
    home = {**home, TOKEN_VARIABLE: TOKEN}
    if ca == "of another":
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    options = {"remoteEngineCa": ca and str(tmp_path / "ca.pem")}
    n_before = tls_engine.n_accepted()
    options["remoteEngine"] = f"tls://localhost:{tls_engine.port}"
    async with editor(home, options, "error") as client:
        expected = "cannot read certificates" if ca == "no file" else "remoteEngineCa"
        assert expected in said(client)
    assert tls_engine.n_accepted() == n_before


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1:7411", "ssh -N -L 7411:127.0.0.1:7411 192.0.2.1"),
        ("0.0.0.0:7411", "is not encrypted"),
        ("nonsense", "expected host:port"),
        ("gpu.invalid:7411", "unknown host name"),
    ],
)
async def test_an_address_that_may_not_be_used_is_said(
    address: str, expected: str, home: dict[str, str]
) -> None:
    home = {**home, TOKEN_VARIABLE: TOKEN}
    async with editor(home, {"remoteEngine": address}, "error") as client:
        assert expected in said(client)
        client.open(URI, TEXT)
        assert not (await client.ask(URI, 5, 4)).items
    assert engines_of(home) == []


def refusing(frame: wire.Frame) -> list[wire.Frame]:
    return [wire.Failure(None, "wrong_token", "no")]


def of_another_version(frame: wire.Frame) -> list[wire.Frame]:
    return [wire.Failure(None, "wrong_version", "protocol 5; this engine speaks 6")]


def welcoming_in_another_version(frame: wire.Frame) -> list[wire.Frame]:
    return [wire.Welcome(wire.PROTOCOL_VERSION + 1, "9", 1)]


def of_no_sense(frame: wire.Frame) -> list[wire.Frame]:
    return [wire.ModelReady("m", "", (), True, 100, "cpu", "float32")]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (refusing, "Set the token of the remote engine"),
        (of_another_version, "install the same version of Warmline on both"),
        (welcoming_in_another_version, "install the same version of Warmline on both"),
        (of_no_sense, "unexpected answer from the engine"),
    ],
)
async def test_text_is_not_sent_before_the_token_was_accepted(
    answers: Any, expected: str, home: dict[str, str]
) -> None:
    """Whoever is there: of several connections nothing but a Hello is seen, while a document is open and asked for."""
    home = {**home, TOKEN_VARIABLE: TOKEN}
    received = bytearray()
    n_connections, tried_again = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_connections
        n_connections += 1
        if n_connections == 3:
            tried_again.set()
        payload = await reader.read(2**16)
        received.extend(payload)
        for frame in answers(wire.unpack(payload[4:])):
            writer.write(wire.pack(frame))
        received.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, editor(home, {"remoteEngine": f"127.0.0.1:{port}"}, "error") as client:
        assert expected in said(client)
        client.open(URI, TEXT)
        assert not (await client.ask(URI, 5, 4)).items
        async with asyncio.timeout(WITHIN_S):
            await tried_again.wait()
    hello = wire.pack(wire.Hello(wire.PROTOCOL_VERSION, TOKEN, "warmline lsp"))
    assert bytes(received).replace(hello, b"") == b""
