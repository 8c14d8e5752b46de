"""A command whose reader goes away ends quietly, wherever it was in its output."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from warmline_lsp.commands.cli import PASSED_ON, make_parser
from warmline_protocol.broken_pipe import CLOSED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX starts them"),
]

# one call of each command that prints, to standard output
CALLS = {
    "models": ["models", "list"],
    "index": ["index", "{root}", "--words-only"],
    "search": ["search", "area", "--path", "{root}"],
    "cache": ["cache", "show"],
    "doctor": ["doctor"],
}

COMMANDS = (*CALLS, "engine", "lsp", "complete")


def run(tmp_path: Path, arguments: list[str]) -> tuple[int, str]:
    """Status and standard error of a command whose output nobody reads."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "shapes.py").write_text("def area(side):\n    return side * side\n")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "warmline_lsp.commands.cli",
                *(a.format(root=root) for a in arguments),
            ],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "XDG_RUNTIME_DIR": str(tmp_path),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


def test_all_commands_are_tried() -> None:
    help_text = make_parser().format_help()
    assert {*PASSED_ON, "lsp", "complete", "cache", "doctor"} == set(COMMANDS)
    assert all(name in help_text for name in COMMANDS)


@pytest.mark.parametrize("command", CALLS)
def test_a_closed_pipe_is_no_error(command: str, tmp_path: Path) -> None:
    status, err = run(tmp_path, CALLS[command])
    assert (status, err) == (CLOSED, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_into_a_closed_pipe(command: str, tmp_path: Path) -> None:
    status, err = run(tmp_path, [command, "--help"])
    # argparse itself takes no notice where output is not buffered
    assert status in (0, CLOSED)
    assert err == ""


def test_a_command_that_was_started_by_another_module(capfd: pytest.CaptureFixture[str]) -> None:
    """The rest of what prints needs a model: each is wrapped as the others are."""
    for name in PASSED_ON:
        main = getattr(importlib.import_module(PASSED_ON[name][0]), "main")  # noqa: B009
        assert main.__wrapped__.__name__ == "main", name


@pytest.mark.parametrize("is_buffered", [True, False])
def test_output_that_fails_late_or_at_once(is_buffered: bool) -> None:
    code = (
        "from warmline_protocol.broken_pipe import ends_with_reader\n"
        "@ends_with_reader\n"
        "def main():\n"
        f"    for k in range({1 if is_buffered else 100_000}): print(k)\n"
        "    return 0\n"
        "raise SystemExit(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == CLOSED
    process.stderr.close()
