"""No process is started but by `warmline_protocol.processes`, and in editors by their one module for it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_protocol import processes

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("lsp_server", "engine", "kernels", "demo", "editors")
    for path in (ROOT / folder).rglob("*.py")
    if "node_modules" not in path.parts
)
# what starts processes by itself, and why
ALLOWED = {
    "protocol/warmline_protocol/processes.py": "the way to start them",
    "lsp_server/warmline_lsp/engine/detached.py": "runs by its path, without our packages; it gets a whole path",
    "kernels/warmline_kernels/native/build.py": "runs when the package is built, without our packages",
    "demo/demo.py": "the client library starts the server",
}
STARTERS = {
    "subprocess": {
        "Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput",
    },
    "os": {
        "system", "popen", "fork", "forkpty", "startfile", "posix_spawn", "posix_spawnp",
        *(f"{kind}{end}" for kind in ("exec", "spawn") for end in
          ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    },
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "multiprocessing": {"get_context", "Process", "Pool", "Manager", "set_start_method"},
    "pty": {"spawn", "fork"},
    "webbrowser": {"open", "open_new", "open_new_tab", "get"},
    "runpy": {"run_path", "run_module"},
    "ctypes": {"find_library"},
    "shutil": {"which"},
}  # fmt: skip
# of any object: an event loop's, a client library's, a pool's
METHODS = {"subprocess_exec", "subprocess_shell", "find_library"}


def starts(source: str) -> list[str]:
    """What a module starts processes with by itself, or looks for programs with."""
    found: list[str] = []
    tree = ast.parse(source)
    # `subprocess.Popen[bytes]` is a type
    types = {node.value for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    for node in ast.walk(tree):
        if node in types:
            continue
        if isinstance(node, ast.ImportFrom):
            of = STARTERS.get((node.module or "").split(".")[0], set())
            found += [alias.name for alias in node.names if alias.name in of]
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.asname and a.name.split(".")[0] in STARTERS]
        elif isinstance(node, ast.Attribute):
            *_, last = ast.unparse(node.value).split(".")
            # torch.multiprocessing too
            if node.attr in STARTERS.get(last, set()) | METHODS:
                found.append(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".start_io"):
            found += ["start_io"] if node.args else []  # a server's has none
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ProcessPoolExecutor"):
            given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mp_context")]
            if not given:
                found.append("ProcessPoolExecutor")
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.run([])", "from subprocess import Popen", "import subprocess as s",
        "import os\nos.execv('x', [])", "from os import system", "import asyncio.subprocess as s",
        "asyncio.create_subprocess_exec('x')", "import torch.multiprocessing\ntorch.multiprocessing.get_context()",
        "ProcessPoolExecutor(3)", "futures.ProcessPoolExecutor(3, initializer=f)", "ctypes.util.find_library('c')",
        "client.start_io('python')", "shutil.which('git')", "loop.subprocess_exec(f, 'x')",
    ],
)  # fmt: skip
def test_each_way_to_start_a_process_is_seen(code: str) -> None:
    assert starts(code)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_processes_are_started_in_one_place(path: Path) -> None:
    found = starts(path.read_text(encoding="utf-8"))
    assert bool(found) == (str(path.relative_to(ROOT).as_posix()) in ALLOWED), found


def test_a_python_is_never_named_without_the_safe_path() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple) and any(
                ast.unparse(item) == "sys.executable" for item in node.elts
            ):
                rest = [ast.unparse(item) for item in node.elts[1:2]]
                assert rest in (["'-P'"], ["'-I'"]), f"{path}:{node.lineno}"


def test_the_neovim_plugin_starts_programs_in_one_place() -> None:
    ways = re.compile(
        r"vim\.system\b|\bsystem(list)?\(|jobstart|termopen|io\.popen|os\.execute|\bspawn\b"
        r"|vim\.lsp\.start\b|lsp\.rpc|exepath"
    )
    found = {
        path.name for path in ROOT.glob("editors/neovim/**/*.lua") if ways.search(path.read_text())
    }
    assert found == {"process.lua"}


def listed(environment: dict[str, str]) -> list[str]:
    """The module search path of a Python in an environment, started in the current folder."""
    code = "import json, sys; print(json.dumps(sys.path))"
    return json.loads(
        processes.run(
            processes.python("-c", code), folder=".", environment=environment, capture_output=True
        ).stdout
    )


def test_what_a_python_of_ours_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "kept"
    unsafe = os.pathsep.join(["", ".", "x", str(kept), ""])
    searched = listed({**os.environ, "PYTHONPATH": unsafe, "PYTHONUSERBASE": "base"})
    assert str(kept) in searched
    inside = [one for one in searched if Path(one) != kept and not Path(one).is_absolute()]
    assert not inside
    assert not any(Path(one).is_relative_to(tmp_path) for one in searched if one != str(kept))


ENTRIES = st.lists(
    st.sampled_from(["", ".", "..", "bin", "./x", "~", "~/bin", "/usr/bin", "/opt/x", " /y", "a b"])
)


@given(ENTRIES, st.sampled_from(["PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]))
def test_only_whole_entries_are_kept_in_their_order(entries: list[str], name: str) -> None:
    made = processes.environment({name: os.pathsep.join(entries)})
    whole = [entry for entry in entries if entry.startswith("/")]
    if whole:
        assert made[name].split(os.pathsep) == whole
    else:
        assert made.get(name, "/").startswith("/"), "no empty one, which is the current folder"
    assert made["PYTHONSAFEPATH"] == "1"


def test_the_folder_we_began_in_is_no_entry_of_pythonpath(tmp_path: Path) -> None:
    code = "from warmline_protocol import processes; print(processes.environment().get('PYTHONPATH'))"
    sources = os.pathsep.join(str(ROOT / name) for name in ("engine", "lsp_server", "kernels"))
    for named in (str(tmp_path), f"{tmp_path}/", f"{tmp_path}/../{tmp_path.name}"):
        path = os.pathsep.join([sources, named])
        found = subprocess.run(
            [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        assert found.stdout.strip() == sources


def test_a_program_is_not_looked_for_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tool", "bin/tool"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n: > ran\n")
        path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ":.:bin")
    for name in ("tool", "./tool", "bin/tool", "../tool", ""):
        with pytest.raises(FileNotFoundError):
            processes.run([name])
    assert not (tmp_path / "ran").exists()
    assert processes.program("tool", str(tmp_path / "bin")) == str(tmp_path / "bin/tool")


def test_a_process_runs_where_it_keeps_no_folder_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import os; print(os.getcwd())"
    done = processes.run(processes.python("-c", code), capture_output=True)
    assert done.stdout.strip() == processes.neutral_folder() != str(tmp_path)
