"""Windows that share an engine: it outlives the one that started it, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.editor import Opener, begun, editor, engine_pid

URI = "file:///project/greet.py"
TEXT = "def greet(name):\n    return 'hello ' + name\n\n\ndef main():\n    print(greet('you'))\n"


async def test_windows_share_an_engine_and_one_may_close(
    lone_window: Opener, home: dict[str, str]
) -> None:
    async with lone_window() as stays:
        stays.open(URI, TEXT)
        async with lone_window() as goes:
            goes.open(URI, "x = 1\n")
            assert (await goes.ask(URI, 1, 0)).items
        assert len(list(Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock"))) == 1
        assert (await stays.ask(URI, 5, 4)).items


@pytest.mark.skipif(sys.platform == "win32", reason="processes are listed by ps")
async def test_the_engine_outlives_the_server_that_started_it_and_all_its_children(
    home: dict[str, str], loud_model: Path
) -> None:
    """VS Code's client kills a server that does not end at once, and what it started, found by parent."""
    options = {"model": str(loud_model)}
    starts = await begun(home, options)
    await starts.until_state("ready")
    (path,) = Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock")
    engine = engine_pid(path)
    async with editor(home, options) as joins:
        joins.open(URI, TEXT)
        assert (await joins.ask(URI, 5, 4)).items
        server = starts._server
        assert server is not None
        kill_tree(server.pid)
        await starts.stop()
        states = len(joins.statuses)
        assert (await joins.ask(URI, 0, 4)).items
        assert {status.state for status in joins.statuses[states:]} <= {"ready"}
        assert engine_pid(path) == engine


def kill_tree(pid: int) -> None:
    """Kills a process, its children first, and theirs before."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)
    for child, parent in (map(int, line.split()) for line in listed.stdout.splitlines()):
        if parent == pid:
            kill_tree(child)
    os.kill(pid, signal.SIGKILL)
