"""Nothing of a project is executed because it is open, and no module of it takes the place of Python's."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types

from tests.support.editor import WITHIN_S, Client, engine_pid
from tests.support.poison import OURS, Poisoned
from warmline_lsp.commands.cli import PASSED_ON

ID = "Qwen/Qwen2.5-Coder-0.5B"
ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = [str(Path(sys.executable).parent / "warmline")]
SAFE = [sys.executable, "-P", "-m"]
MODULES = sorted({module for module, _ in PASSED_ON.values()} | {"warmline_lsp"})
TEXT = "import helper\n\n\ndef f(x):\n    return helper.helping_hand(x)\n"


@pytest.fixture
def poisoned(tmp_path: Path) -> Poisoned:
    made = Poisoned(tmp_path)
    (made.folder / "helper.py").write_text("def helping_hand(x):\n    return x + 1\n")
    (made.folder / "main_file.py").write_text(TEXT)
    return made


def run(
    command: list[str], poisoned: Poisoned, home: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """A command in the project, whose PATH leads there first."""
    path = os.pathsep.join(["", ".", "bin", home["PATH"]])
    return subprocess.run(
        command, cwd=poisoned.folder, env={**home, "PATH": path}, capture_output=True, text=True,
        check=False, timeout=10 * WITHIN_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_poison_works(poisoned: Poisoned, home: dict[str, str]) -> None:
    code = "import json, random, torch, warmline_lsp, os; os.system('git')"
    run([sys.executable, "-c", code], poisoned, home)
    assert set(poisoned.ran()) >= {"git", "json", "random", "torch", "warmline_lsp"}


def cwd_of(pid: int | None) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()


@pytest.mark.parametrize("command", [SCRIPT, [*SAFE, "warmline_lsp"]], ids=["script", "module"])
async def test_a_session_executes_nothing(
    command: list[str], poisoned: Poisoned, home: dict[str, str], loud_model: Path
) -> None:
    client = Client()
    client.options = {"debounceMs": 0, "threads": 1, "model": str(loud_model)}
    uri = (poisoned.folder / "main_file.py").as_uri()
    path = os.pathsep.join(["", ".", "bin", home["PATH"]])
    await client.start_io(*command, "lsp", env={**home, "PATH": path}, cwd=poisoned.folder)
    await client.initialize_async(
        types.InitializeParams(
            types.ClientCapabilities(
                workspace=types.WorkspaceClientCapabilities(configuration=True),
                experimental={"warmline": {"status": True}},
            ),
            root_uri=poisoned.folder.as_uri(),
            initialization_options=client.options,
            workspace_folders=[types.WorkspaceFolder(poisoned.folder.as_uri(), "project")],
        )
    )
    client.initialized(types.InitializedParams())
    await client.until_state("ready")
    client.open(uri, TEXT)
    assert (await client.ask(uri, 4, 11)).items
    if sys.platform == "linux":
        (socket,) = Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock")
        assert client._server is not None
        for pid in (engine_pid(socket), client._server.pid):
            assert cwd_of(pid) == Path("/"), "the project's folder is free to be removed"
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    # another window's question waits for the indexer, which the engine starts
    model = ["--model", str(loud_model)]
    where = f"{poisoned.folder / 'main_file.py'}:5:12"
    done = run([*SCRIPT, "complete", where, *model, "--json"], poisoned, home)
    assert done.returncode == 0, done.stderr
    assert "helper.py" in {item["path"] for item in json.loads(done.stdout)["context"]}
    assert not poisoned.ran()


@pytest.mark.slow
def test_no_command_executes_anything(
    poisoned: Poisoned, home: dict[str, str], loud_model: Path
) -> None:
    shutil.copytree(loud_model, poisoned.folder / "model_here")
    commands = [
        ["--version"], ["doctor"], ["cache", "show"], ["cache", "clear"], ["lsp", "--help"],
        ["models", "list"], ["models", "show", "base"], ["models", "path", "./model_here"],
        ["index", "."], ["search", "helping", "hand"],
        ["complete", "main_file.py:5:12", "--model", "./model_here"],
        ["engine", "--help"],
    ]  # fmt: skip
    module = [*SAFE, "warmline_lsp"]
    all_of_them = [
        *([*SCRIPT, *arguments] for arguments in commands),
        [*module, "doctor"],
        [*module, "models", "list"],
        [*SAFE, "warmline_lab.evaluation.command", "--help"],
    ]
    for command in all_of_them:
        done = run(command, poisoned, home)
        assert done.returncode == 0, (command, done.stdout[-500:], done.stderr[-2000:])
        assert not poisoned.ran(), command


@pytest.mark.slow
def test_modules_that_are_run_without_care_search_the_project_for_nothing_of_ours(
    tmp_path: Path, home: dict[str, str]
) -> None:
    """What `python -m` itself imports before ours begins comes from the project: only -P prevents that."""
    code = "import sys; print(list(sys.modules))"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/probe.py").write_text(code)
    probed = subprocess.run(
        [sys.executable, "-m", "probe"], cwd=tmp_path / "empty", env=home, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    of_python = {name.split(".")[0] for name in ast.literal_eval(probed.stdout)}
    poisoned = Poisoned(tmp_path, of_python | OURS)
    for module in (*MODULES, "warmline_lab.train.train"):
        done = run([sys.executable, "-m", module, "--help"], poisoned, home)
        assert done.returncode == 0, (module, done.stderr[-2000:])
        assert not poisoned.ran(), module
    for arguments in (["warmline_lsp", "doctor"], ["warmline_lsp", "models", "list"]):
        done = run([sys.executable, "-m", *arguments], poisoned, home)
        assert done.returncode == 0, (arguments, done.stderr[-2000:])
        assert not poisoned.ran(), arguments


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_execute_nothing(
    method: str, poisoned: Poisoned, home: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import math\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from warmline_protocol import processes\n"
        "if __name__ == '__main__':\n"
        f"    with ProcessPoolExecutor(1, processes.workers({method!r})) as pool:\n"
        "        print(pool.submit(math.factorial, 5).result())\n"
    )
    done = run([sys.executable, str(script)], poisoned, home)
    assert done.stdout.strip() == "120", done.stderr
    assert not poisoned.ran()


def test_a_folder_of_a_project_is_never_loaded_as_a_models_id(
    poisoned: Poisoned, home: dict[str, str], loud_model: Path
) -> None:
    shutil.copytree(loud_model, poisoned.folder / ID)
    home = {**home, "HF_HOME": str(poisoned.marks.parent / "hub")}
    path = run([*SCRIPT, "models", "path", ID], poisoned, home)
    assert (path.returncode, path.stdout) == (1, "")
    assert "is not downloaded" in path.stderr
    listed = json.loads(run([*SCRIPT, "models", "list", "--json"], poisoned, home).stdout)
    assert {one["model"]: one["folder"] for one in listed}[ID] is None
    done = run([*SCRIPT, "complete", "main_file.py:5:12", "--model", ID], poisoned, home)
    assert done.returncode == 1
    assert "check the connection" in done.stderr
    for unclear in ("", "nested/model/here", ".model", "base/"):
        wrong = run([*SCRIPT, "models", "path", unclear], poisoned, home)
        assert wrong.returncode == 1, unclear
        assert "is not an absolute path" in wrong.stderr, unclear
    found = run([*SCRIPT, "models", "path", f"./{ID}"], poisoned, home)
    assert found.stdout.strip() == str(poisoned.folder / ID)
