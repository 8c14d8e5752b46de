"""`warmline index` and `warmline search`, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from warmline_engine.retrieval import index_command, search_command
from warmline_lsp.commands.cli import PASSED_ON, make_parser
from warmline_protocol.folders import index_path

JSON_FIELDS = {"root", "files", "chunks", "read", "removed", "encoded", "elapsed_s"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.py").write_text("def readConfig(path):\n    return path\n")
    (folder / "secrets").mkdir()
    (folder / "secrets/b.py").write_text("def readConfig(path):\n    return 'key'\n")
    return folder


def test_index_then_search(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert index_command.main([str(root), "--json"]) == 0
    reported = json.loads(capsys.readouterr().out)
    assert set(reported) == JSON_FIELDS
    assert (reported["files"], reported["read"], reported["encoded"]) == (1, 1, 1)
    assert index_command.main([str(root)]) == 0
    assert "0 read, 0 removed, 0 blocks encoded" in capsys.readouterr().out
    assert search_command.main(["config", "--path", str(root), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["path"], found["line"], found["name"]) == ("a.py", 1, "readConfig")
    assert search_command.main(["readConfig", "--path", str(root)]) == 0
    assert capsys.readouterr().out.startswith("a.py:1: readConfig (")


def test_search_sees_what_changed_and_finds_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search_command.main(["added", "--path", str(root)]) == 1
    (root / "b.py").write_text("def added(path):\n    return path\n")
    assert search_command.main(["added", "--path", str(root)]) == 0
    assert "b.py:1" in capsys.readouterr().out


def test_search_shows_nothing_that_another_index_took_in(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules of who searches count, also where another process puts a file in after the build."""
    (root / "private_x.py").write_text("def readConfig(hidden):\n    return hidden\n")
    build = search_command.build

    def built_by_another_too(*arguments: Any) -> object:
        done = build(*arguments)
        assert index_command.main([str(root), "--exclude", "nothing", "--words-only"]) == 0
        return done

    monkeypatch.setattr(search_command, "build", built_by_another_too)
    where = ["--path", str(root), "--json"]
    assert (
        search_command.main(
            ["readConfig", "--exclude", "private_*", "--exclude", "secrets/", *where]
        )
        == 0
    )
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["path"] for row in rows] == ["a.py"]
    assert search_command.main(["readConfig", *where]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row["path"] for row in rows} == {"a.py", "private_x.py"}


def test_search_finds_what_says_the_same_in_other_words(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "b.py").write_text("def mean(values):\n    return sum(values) / len(values)\n")
    assert index_command.main([str(root), "--words-only", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoded"] == 0
    # vectors that are missing are made by who searches
    assert search_command.main(["average", "of", "numbers", "--path", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found[0]["path"], found[0]["why"]) == ("b.py", "similar meaning")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x", "--limit", "0"], "1 to 100"),
        (["x", "--path", "not/there"], "is not a folder"),
    ],
)
def test_what_is_wrong_is_told(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search_command.main(arguments) == 1
    assert words in capsys.readouterr().err


def test_a_damaged_index_is_told_on_standard_error(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index_path(root).write_bytes(b"\xff" * 9_000)
    assert index_command.main([str(root)]) == 0
    out, err = capsys.readouterr()
    assert err.count("was damaged") == 1
    assert "1 read" in out


def test_both_are_commands_that_start_without_torch() -> None:
    assert {"index", "search"} <= set(PASSED_ON)
    assert "search" in make_parser().format_help()
    for name in ("index", "search"):
        code = f"import sys, {PASSED_ON[name][0]}; print('torch' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "False"
