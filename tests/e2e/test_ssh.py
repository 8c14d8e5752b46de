"""A remote engine through a real ssh tunnel: where a ssh server is installed, over loopback."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.editor import WITHIN_S, editor
from tests.support.remote_engine import TOKEN, engines_of, has_ghost_text, remote, said
from warmline_protocol.remote_address import TOKEN_VARIABLE

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
RUN = Path("/run/sshd")  # which sshd wants where root starts it
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None or (IS_ROOT and not RUN.is_dir()),
    reason="no ssh server is installed",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def answers(port: int) -> None:
    """Waits until somebody listens on a port of loopback."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(WITHIN_S):
            await process.communicate()


@asynccontextmanager
async def tunnel(folder: Path, to: int) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """A port here that leads to one there, and the ssh that leads: `ssh -N -L`, by a key of its own."""
    for name in ("host", "user"):
        async with running(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)
        ) as made:
            assert await made.wait() == 0
    port, local = free_port(), free_port()
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": folder / "user.pub", "StrictModes": "no", "PasswordAuthentication": "no",
    }  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
    assert SSHD is not None
    options = ("StrictHostKeyChecking=no", f"UserKnownHostsFile={folder / 'known'}", "IdentitiesOnly=yes",
               "ExitOnForwardFailure=yes", "LogLevel=ERROR")  # fmt: skip
    said = [part for option in options for part in ("-o", option)]
    async with running(SSHD, "-D", "-e", "-f", str(folder / "sshd_config")):
        await answers(port)
        async with running(
            "ssh", "-F", "none", "-N", "-L", f"{local}:127.0.0.1:{to}", "-p", str(port), "-i", str(folder / "user"),
            *said, f"{getpass.getuser()}@127.0.0.1",
        ) as client:  # fmt: skip
            await answers(local)
            yield local, client


async def test_an_engine_serves_through_ssh_and_its_end_is_told(
    home: dict[str, str], loud_model: Path, tmp_path: Path
) -> None:
    home = {**home, TOKEN_VARIABLE: TOKEN}
    async with (
        remote(loud_model) as engine,
        tunnel(tmp_path, engine.port) as (port, ssh),
        editor(home, {"remoteEngine": f"127.0.0.1:{port}"}) as client,
    ):
        assert await has_ghost_text(client)
        assert engines_of(home) == [], "none is started here"
        ssh.terminate()
        await client.until_state("error")
        assert "refuses connections" in said(client)
        assert engine.process.returncode is None, "the engine stays"
