"""Ignore files: git's own answers about generated patterns, limits, and files that are no ignore files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.growth import assert_grows_slowly
from warmline_engine.retrieval.source.files import MAX_DEPTH, MAX_IGNORE_BYTES, Rules, read
from warmline_engine.retrieval.source.ignoring import MAX_PATTERNS, is_ignored, patterns
from warmline_protocol.globs import MAX_GLOB, Glob
from warmline_protocol.safe_open import TooLarge, read_below, read_regular

pytestmark = pytest.mark.slow

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")

_pieces = st.sampled_from(
    ["a", "b", "c", "A", "*", "**", "***", "?", "/", "/", "**/", "/**", "[ab]", "[!a]", "[^a]", "[a-c]", "[]a]",
     "[a", "]", "-", "[a-]", "[\\]a]", "[[:alpha:]]", "[[:x]", "[[:upper:]b]", "[a-\\c]", "\\*", "\\a", "\\", "\\/",
     "!", "#", " ", "\\ ", "{a,b}", ".", "\r", "//"]
)  # fmt: skip
_lines = st.lists(st.lists(_pieces, min_size=1, max_size=6).map("".join), max_size=4)
_names = st.sampled_from(
    ["a", "b", "ab", "abc", "A", "*", "c c", "a ", "[", "]", "-", "!", ".a", "{a,b}", "bcab"]
)
_paths = st.lists(st.lists(_names, min_size=1, max_size=5).map("/".join), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "a").mkdir()
    return root


def git_ignores(root: Path, paths: list[str]) -> set[str]:
    """What git itself ignores of paths; they need not be there."""
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=", "-c", "core.ignoreCase=false",
         "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=root, input="\0".join(paths), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return {path for path in done.stdout.split("\0") if path}


@needs_git
@given(_lines, _lines, _paths)
@example(["x**/b", "/a**"], [], ["xx/y/b", "xb", "a/b", "ab/c"])
@example(["a/**/b", "**/c", "b/**"], ["!/**/b"], ["a/b", "a/x/y/b", "c", "b", "b/a", "b/a/b"])
@example(["/**/**/a", "***/b", "a\\", "[[:nothing:]]"], [], ["a", "b/a", "c/b", "b"])
@settings(max_examples=examples(400), deadline=None)
def test_ignored_is_what_git_ignores(
    repository: Path, top: list[str], inner: list[str], paths: list[str]
) -> None:
    # newline="" keeps a carriage return that a pattern has
    (repository / ".gitignore").write_text("\n".join(top) + "\n", newline="")
    (repository / "a/.gitignore").write_text("\n".join(inner) + "\n", newline="")
    rules = Rules(repository, ())
    paths = [path for path in paths if path != "a"]  # a folder here
    mine = {path for path in paths if not rules.allows_whole(path)}
    assert mine == git_ignores(repository, paths)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda n: "*a" * 12 + "*b", "a"),
        (lambda n: "**/" * (n // 4 % 300) + "b", "a/"),
        (lambda n: "a/**/" * 100 + "b", "a/"),
        (lambda n: "?*" * 500, "a"),
        (lambda n: "[!b]*" * 200 + "b", "a"),
        (lambda n: "*" * 1_000 + "b", "a"),
        (lambda n: "a*" * 500, "a"),
    ],
)
def test_growth_of_matching(make: object, name: str) -> None:
    def match(n: int) -> None:
        glob = Glob(make(n))  # type: ignore[operator]
        glob.matches(name * n)
        glob.matches_or_holds(name * n + "b", only_folders=True, is_folder=False)

    assert_grows_slowly(match, lambda n: n, 256, 2)


def test_growth_of_matching_with_glob_and_name() -> None:
    """Both double: what is quadratic in them fails."""
    for piece in ("*a", "?*", "**/", "a/**/", "[!b]*", "[[:alpha:]]*"):
        assert_grows_slowly(
            lambda n, piece=piece: Glob(piece * n + "b").matches("a/" * n), lambda n: n, 5, 4
        )


@pytest.mark.parametrize(
    "line", [" ", "x ", "\\ ", "*", "[", "[[:", "[a-", "{", "{,", "**/", "!", "\\", "/", "a/"]
)
def test_growth_of_reading_lines(line: str) -> None:
    """One long line, and many short ones, up to the limits and beyond."""
    assert_grows_slowly(lambda text: patterns_or_none([text + "x"]), lambda n: line * n, 32, 4)
    assert_grows_slowly(
        lambda text: patterns_or_none(text.split("\n")), lambda n: f"{line}\n" * n, 128, 1
    )


def patterns_or_none(lines: list[str]) -> object:
    try:
        return patterns(lines)
    except Exception as error:
        return error


def test_growth_of_a_walk(tmp_path: Path) -> None:
    def make(n: int) -> Path:
        root = tmp_path / str(n)
        for k in range(n):
            (root / f"folder{k % 7}").mkdir(parents=True, exist_ok=True)
            (root / f"folder{k % 7}/{k}.py").write_text("x = 1\n")
        (root / ".gitignore").write_text("*a*a*a*a*a*b\n" * 20)
        return root

    assert_grows_slowly(lambda root: list(Rules(root, ("*a*a*b",)).walk()), make, 16, 4)


def test_growth_of_a_walk_into_depth(tmp_path: Path) -> None:
    def make(n: int) -> Path:
        root = folder = tmp_path / str(n)
        root.mkdir()
        for _ in range(n):
            folder /= "a"
            folder.mkdir()
        return root

    # below MAX_DEPTH each folder follows the ignore files of those above; deeper ones are left out
    assert_grows_slowly(lambda root: list(Rules(root, ("*b",)).walk()), make, MAX_DEPTH, 3)


def test_the_named_line_takes_few_steps() -> None:
    (pattern,) = patterns(["*a*a*a*a*a*b"])
    assert is_ignored([pattern], "a" * 200, False) is None
    assert is_ignored([pattern], "a" * 200 + "b", False) is True


@needs_posix
@pytest.mark.parametrize("where", [".gitignore", ".git/info/exclude", "inner/.gitignore"])
@pytest.mark.parametrize("kind", ["zero", "fifo", "link to itself", "folder", "link to a secret"])
def test_what_is_no_ignore_file_holds_no_rules(tmp_path: Path, where: str, kind: str) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / ".git/info").mkdir(parents=True)
    (tmp_path / "inner/a.py").write_text("x = 1\n")
    file = tmp_path / where
    make_strange(file, kind)
    assert [seen.path for seen in Rules(tmp_path, ()).walk()] == ["inner/a.py"]
    assert Rules(tmp_path, ()).seen("inner/a.py") is not None


@needs_posix
@pytest.mark.parametrize("kind", ["zero", "fifo", "link to itself", "folder", "link to a secret"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    make_strange(tmp_path / "a.py", kind)
    assert read(tmp_path, "a.py") is None
    assert [*Rules(tmp_path, ()).walk()] == []


@needs_posix
def test_a_folder_that_became_a_link_is_not_read_through(tmp_path: Path) -> None:
    """As when it is replaced between the look at it and the opening."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.py").write_text("x = 1\n")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/folder").symlink_to(tmp_path / "outside")
    assert read(tmp_path / "root", "folder/a.py") is None
    assert read(tmp_path / "outside", "a.py") == "x = 1\n"


@pytest.mark.parametrize(
    "path", ["", "/a.py", "../a.py", "b/../a.py", "./a.py", "b//a.py", "a\0.py", "b/"]
)
def test_a_path_stays_below_its_root(tmp_path: Path, path: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    assert read_below(tmp_path / "b", path, 100) is None
    assert Rules(tmp_path / "b", ()).seen(path) is None
    assert not Rules(tmp_path / "b", ()).allows_whole(path)


def test_reading_ends_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert read_below(tmp_path, "a", 100) == read_regular(tmp_path / "a", 100) == b"x" * 100
    for reads in (lambda: read_below(tmp_path, "a", 99), lambda: read_regular(tmp_path / "a", 99)):
        with pytest.raises(TooLarge):
            reads()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_a_file_without_a_size_is_read_up_to_the_limit() -> None:
    assert read_below(Path("/proc/self"), "maps", 1 << 22)
    with pytest.raises(TooLarge):
        read_below(Path("/proc/self"), "maps", 10)


@needs_posix
def test_a_named_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/zero"), tmp_path / "fifo", tmp_path):
        with pytest.raises(OSError, match="regular"):
            read_regular(path, 100)


def test_a_folder_whose_ignore_file_is_too_large_is_left_out(tmp_path: Path) -> None:
    for name in ("bytes", "lines", "pattern", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("x = 1\n")
    (tmp_path / "bytes/.gitignore").write_text("#" * (MAX_IGNORE_BYTES + 1))
    (tmp_path / "lines/.gitignore").write_text("b\n" * (MAX_PATTERNS + 1))
    (tmp_path / "pattern/.gitignore").write_text("b" * (MAX_GLOB + 1))
    (tmp_path / "kept/.gitignore").write_text("b\n" * MAX_PATTERNS)
    assert [seen.path for seen in Rules(tmp_path, ()).walk()] == ["kept/a.py"]


def make_strange(path: Path, kind: str) -> None:
    if kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    else:
        secret = path.with_name("outside.txt")
        secret.write_text("*\n")
        path.symlink_to(secret)
