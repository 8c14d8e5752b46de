"""A server that writes its trace events to a file: requests to the engine, and answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.workbench.driver import WITHIN_S

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [str(ROOT / folder) for folder in ("protocol", "lsp_server", "engine", "kernels")]
_SCRIPT = """#!{python}
import json, os, sys

# use this checkout, also for the engine, instead of the installed packages
sys.path[:0] = {sources!r}
os.environ["PYTHONPATH"] = os.pathsep.join({sources!r})

from warmline_lsp.commands.cli import main
from warmline_lsp.lsp.client_messages import ClientMessages


def trace(self, event, **details):
    with open({log!r}, "a") as file:
        file.write(json.dumps({{"event": event, "server": os.getpid(), **details}}) + "\\n")


def notify(self, name, params):
    if name == "better":
        trace(self, "better", uri=params["uri"])
    notify_client(self, name, params)


notify_client = ClientMessages.notify
ClientMessages.trace, ClientMessages.notify = trace, notify
sys.exit(main())
"""


class Trace:
    """A command that runs the server, and the events of all servers that it started."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.command = folder / "warmline"
        self._log = folder / "trace.jsonl"
        self._log.touch()
        self.command.write_text(_SCRIPT.format(python=python, sources=SOURCES, log=str(self._log)))
        self.command.chmod(0o755)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def n_engine_requests(self) -> int:
        """The number of requests to the engine so far."""
        return sum(e["event"].startswith("engine.") for e in self.events())

    def count(self, event: str, source: str | None = None) -> int:
        """The number of such events so far."""
        return sum(
            e["event"] == event and (source is None or e.get("source") == source)
            for e in self.events()
        )


def engines(run: Path) -> list[int]:
    """Process ids of the engines whose socket is in a folder."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"warmline_engine.process.service" in command and os.fsencode(run) in command:
            found.append(int(process.name))
    return found


def wait_until(happened: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Waits for something that the page has no event for."""
    end = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
