"""Which workspace a document belongs to."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.syntax import grammars
from warmline_lsp.documents.uris import path_of, same_uri
from warmline_lsp.documents.workspace import SUFFIXES, InWorkspace, locate, project_of


def test_the_innermost_folder_counts() -> None:
    folders = ["file:///a", "file:///a/b%20c", "file:///other"]
    assert locate("file:///a/b%20c/d/e.py", folders) == InWorkspace("/a/b c", "d/e.py")
    assert locate("file:///a/b/e.py", folders) == InWorkspace("/a", "b/e.py")
    assert locate("file:///ab/e.py", folders) is None
    assert locate("untitled:Untitled-1", folders) is None
    assert locate("file:///a", folders) is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file://host/share/a%20b.py", "//host/share/a b.py"),
        ("file://Host/share/a.py", "//host/share/a.py"),
        ("file://localhost/a.py", "/a.py"),
        ("file:/a.py", "/a.py"),
        ("file:///a#b?c.py", "/a#b?c.py"),
        ("file:///a%23b%3Fc.py", "/a#b?c.py"),
        ("FILE:///a.py", "/a.py"),
        ("untitled:a.py", None),
        ("file", None),
    ],
)
def test_the_file_of_a_uri(uri: str, path: str | None) -> None:
    found = path_of(uri)
    assert (found and str(found)) == path


def test_a_share_is_a_workspace_of_its_own() -> None:
    folders = ["file://host/share/one", "file:///share/one"]
    assert locate("file://host/share/one/a.py", folders) == InWorkspace("//host/share/one", "a.py")
    assert locate("file:///share/one/a.py", folders) == InWorkspace("/share/one", "a.py")
    assert locate("file://other/share/one/a.py", folders) is None
    assert locate("file:///share/one/../two/a.py", folders) is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("file:///a%20b", "file:///a%2520b"),
        ("file:///a/b", "file:///a/B"),
        ("file://host/a", "file:///a"),
        ("file:///host/a", "file://host/a"),
        ("untitled:a", "file:a"),
        ("file:///%ff", "file:///%fe"),
    ],
)
def test_other_uris_are_told_apart(a: str, b: str) -> None:
    assert same_uri(a) != same_uri(b)


@given(st.text(max_size=20))
def test_any_text_has_a_spelling(text: str) -> None:
    assert same_uri(text) == same_uri(text)
    for uri in (f"file://{text}", f"file:///{quote(text)}"):
        assert same_uri(uri) == same_uri(uri.replace("file", "FILE", 1))
        path_of(uri)
    assert same_uri(f"file:///{quote(text)}") == same_uri(f"file:///{quote(text, safe='')}")


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
