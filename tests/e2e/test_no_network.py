"""The whole product with every connection beyond this machine refused, and none tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.editor import editor, home_in, insertion

URI = "file:///project/greet.py"
GUARD = Path(__file__).parent / "no_network"


def guarded(home: dict[str, str], calls: Path) -> dict[str, str]:
    path = os.pathsep.join([str(GUARD), home.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**home, "PYTHONPATH": path, "WARMLINE_TEST_CALLS": str(calls), "HF_HUB_OFFLINE": "0"}


async def test_nothing_is_called(tmp_path: Path, loud_model: Path) -> None:
    calls = tmp_path / "calls"
    (tmp_path / "run").mkdir()
    with home_in(tmp_path / "run") as home:
        environment = guarded(home, calls)
        async with editor(environment, {"model": str(loud_model)}) as client:
            client.open(URI, "def f(x):\n    return x\n")
            client.change(URI, 2, insertion(0, 0, "import os\n"))
            assert (await client.ask(URI, 2, 4)).items
    assert not calls.exists(), calls.read_text()


def test_the_guard_refuses(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    code = "import socket; socket.create_connection(('example.org', 80), 2)"
    environment = guarded(dict(os.environ), calls)
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert found.returncode
    assert "example.org" in calls.read_text()
