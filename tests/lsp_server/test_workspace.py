"""Which workspace a document belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmline_engine.syntax import grammars
from warmline_lsp.workspace import SUFFIXES, InWorkspace, locate, project_of


def test_the_innermost_folder_counts() -> None:
    folders = ["file:///a", "file:///a/b%20c", "file:///other"]
    assert locate("file:///a/b%20c/d/e.py", folders) == InWorkspace("/a/b c", "d/e.py")
    assert locate("file:///a/b/e.py", folders) == InWorkspace("/a", "b/e.py")
    assert locate("file:///ab/e.py", folders) is None
    assert locate("untitled:Untitled-1", folders) is None
    assert locate("file:///a", folders) is None


def test_all_of_a_users_files_are_no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/one")
    assert locate("file:///home/one/x.py", ["file:///", "file:///home/one"]) is None


def test_a_project_is_what_is_under_version_control(tmp_path: Path) -> None:
    (tmp_path / "one/.git").mkdir(parents=True)
    (tmp_path / "one/two").mkdir()
    assert project_of(tmp_path / "one/two/x.py") == tmp_path / "one"
    assert project_of(tmp_path / "x.py") is None


def test_what_is_split_is_watched() -> None:
    assert {f".{suffix}" for suffix in SUFFIXES} == set(grammars._BY_SUFFIX)
