"""A real engine that hangs is replaced; real servers in environments without the usual folders."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types

from tests.support.editor import Opener, editor, engine_pid, insertion

URI = "file:///project/greet.py"
TEXT = "def greet(name):\n    return 'hello ' + name\n\n\ndef main():\n    print(greet('you'))\n"

# the server with shorter limits: a stopped engine never answers, so they need not wait a minute for it
IMPATIENT = """
from warmline_lsp.engine import liveness
defaults = liveness.Limits.__init__.__defaults__
assert defaults[:2] == (10.0, 15.0), "limits were reordered"
liveness.Limits.__init__.__defaults__ = (1.0, 1.0, *defaults[2:])
from warmline_lsp.engine import engine_process
engine_process.PROBED_WITHIN_S = 3.0
from warmline_lsp.commands.cli import main
raise SystemExit(main())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.mark.slow
async def test_a_stopped_engine_is_replaced_and_has_the_documents(
    lone_window: Opener, home: dict[str, str]
) -> None:
    async with lone_window(client={"command": ("-c", IMPATIENT)}) as client:
        client.open(URI, TEXT)
        assert (await client.ask(URI, 5, 4)).items
        (path,) = Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock")
        pid = engine_pid(path)
        assert pid
        os.kill(pid, signal.SIGSTOP)
        client.change(URI, 2, insertion(0, 0, "import os\n"))
        asked = asyncio.ensure_future(client.ask(URI, 1, 4))
        await client.until_state("starting")
        await asked  # answered, with something or with nothing
        await client.until_state("ready")
        assert engine_pid(path) not in (pid, None)
        assert _is_dead(pid)
        assert (await client.ask(URI, 6, 4)).items


async def test_a_restart_ends_a_stopped_engine(lone_window: Opener, home: dict[str, str]) -> None:
    async with lone_window() as client:
        client.open(URI, TEXT)
        assert (await client.ask(URI, 5, 4)).items
        (path,) = Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock")
        pid = engine_pid(path)
        assert pid
        os.kill(pid, signal.SIGSTOP)
        command = types.ExecuteCommandParams("warmline.server.restart")
        await client.workspace_execute_command_async(command)
        await client.until_state("ready")
        assert _is_dead(pid)
        assert (await client.ask(URI, 5, 4)).items


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def test_without_usual_folders_a_real_engine_completes(
    home: dict[str, str], loud_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    temporary = Path(home["XDG_RUNTIME_DIR"]) / "tmp"  # short, and cleared by `home`
    temporary.mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path / "project")
    environment = {
        **home,
        "XDG_RUNTIME_DIR": "",
        "XDG_CACHE_HOME": "cache",
        "HF_HOME": "",
        "HOME": "/nonexistent",
        "TMPDIR": str(temporary),
    }
    async with editor(environment, {"model": str(loud_model)}) as client:
        client.open(URI, TEXT)
        assert (await client.ask(URI, 5, 4)).items
        (path,) = temporary.glob("warmline-*/*.sock")
        pid = engine_pid(path)
        assert pid
    os.kill(pid, signal.SIGTERM)
    assert not list((tmp_path / "project").iterdir())


def test_an_engine_without_a_folder_for_its_log_starts(tmp_path: Path, loud_model: Path) -> None:
    path = tmp_path / "e.sock"
    engine = subprocess.Popen(
        [sys.executable, "-m", "warmline_engine.process.service", "--socket", str(path), "--model", str(loud_model),
         "--log", "/proc/none/engine.log", "--idle-exit-minutes", "0.001"],
        env={**os.environ, "XDG_CACHE_HOME": "/proc", "HOME": "/proc", "TMPDIR": "/proc"},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    _, said = engine.communicate(timeout=600)
    assert b"listening" in said
    assert engine.returncode == 0
    assert not list(tmp_path.iterdir())
