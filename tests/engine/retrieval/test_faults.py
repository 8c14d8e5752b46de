"""What may go wrong with the database: killed, damaged, locked, full, two at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from warmline_engine.errors import IndexBusy, IndexFull
from warmline_engine.retrieval.index import database
from warmline_engine.retrieval.index.build import build
from warmline_engine.retrieval.index.index import UNSAVED, Index
from warmline_engine.retrieval.source.files import Rules
from warmline_protocol.folders import cache_folder, index_path

pytestmark = pytest.mark.slow

N_FILES = 400


def text(k: int) -> str:
    return f"def found_{k}(first):\n" + f"    return first + {k}\n" * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    for k in range(N_FILES):
        (folder / f"m{k}.py").write_text(text(k))
        os.utime(folder / f"m{k}.py", (1, 1))
    return folder


def check(path: Path, n_files: int) -> None:
    """The database is sound and what it finds is what it holds."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    index = Index(path, pytest.fail)
    stamps = index.stamps()
    assert len(stamps) == n_files
    for k in range(N_FILES):
        hits = index.search([f"found_{k}"], 5)
        paths = {chunk.path for chunk in index.chunks(id for id, _ in hits).values()}
        assert paths == ({f"m{k}.py"} & stamps.keys())
    index.close()


BUILD_SLOWLY = """
import sys
from pathlib import Path
from warmline_engine.retrieval.index import build, index
from warmline_engine.retrieval.source import files
build.BATCH_FILES = 20
def tell(progress):
    print(progress.n_done, flush=True)
build.build(index.Index(Path(sys.argv[1])), files.Rules(Path(sys.argv[2]), ()), tell)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
@pytest.mark.parametrize("n_done", [20, 160])
def test_killed_while_indexing(root: Path, tmp_path: Path, n_done: int) -> None:
    path = tmp_path / "index.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD_SLOWLY, str(path), str(root)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    while int(process.stdout.readline()) < n_done:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    index = Index(path, pytest.fail)
    n_files, _ = index.counts()
    assert n_done <= n_files < N_FILES
    check(path, n_files)
    assert build(index, Rules(root, ())).n_put == N_FILES - n_files
    index.close()
    check(path, N_FILES)


def _build(path: str, root: str) -> None:
    index = Index(Path(path))
    build(index, Rules(Path(root), ()))
    index.close()


def test_two_processes_at_once(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_build, args=(str(path), str(root))) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(600)
    assert [process.exitcode for process in both] == [0, 0]
    check(path, N_FILES)


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "no database":
        content[:100] = b"\xff" * 100
    elif how == "pages":
        # all but the first pages, which hold the tables' names
        for start in range(4096 * 2, len(content), 4096):
            content[start : start + 64] = b"\xff" * 64
    elif how == "cut":
        del content[len(content) // 3 :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["no database", "pages", "cut"])
def test_a_damaged_database_is_built_anew_and_that_is_said_once(
    root: Path, tmp_path: Path, how: str
) -> None:
    path, reported = tmp_path / "index.sqlite", list[str]()
    _build(str(path), str(root))
    damage(path, how)
    index = Index(path, reported.append)
    for _ in range(3):
        build(index, Rules(root, ()))
        index.search(["found_7"], 5)
        index.of_file("m7.py")
    index.remove(["m7.py"])
    build(index, Rules(root, ()))
    index.close()
    assert len(reported) == 1
    assert "damaged" in reported[0]
    check(path, N_FILES)


def test_a_table_that_is_gone(root: Path, tmp_path: Path) -> None:
    path, reported = tmp_path / "index.sqlite", list[str]()
    _build(str(path), str(root))
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE chunks")
    connection.commit()
    connection.close()
    index = Index(path, reported.append)
    assert index.of_file("m7.py") == []
    build(index, Rules(root, ()))
    index.close()
    assert len(reported) == 1
    check(path, N_FILES)


def test_another_version_is_begun_anew_without_a_word(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    _build(str(path), str(root))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    path.with_name(f"{path.name}.seal").unlink()  # that version would have sealed its own
    index = Index(path, pytest.fail)
    assert index.counts() == (0, 0)
    build(index, Rules(root, ()))
    index.close()
    check(path, N_FILES)


def test_begun_anew_by_another_process(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = Index(path, pytest.fail)
    build(index, Rules(root, ()))
    for name in tmp_path.glob("index.sqlite*"):
        name.unlink()
    _build(str(path), str(root))
    (root / "m3.py").write_text(text(1000))
    build(index, Rules(root, ()))
    index.close()
    again = Index(path, pytest.fail)
    assert again.named("found_1000")
    again.close()


def test_locked(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.05)
    path = tmp_path / "index.sqlite"
    _build(str(path), str(root))
    other = sqlite3.connect(path, isolation_level=None)
    index = Index(path, pytest.fail)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexBusy, match="another process"):
        index.put([("a.py", "python", "def late(): pass\n", UNSAVED)])
    # who only reads does not wait
    assert index.search(["found_7"], 5)
    other.execute("ROLLBACK")
    other.close()
    assert index.put([("a.py", "python", "def late(): pass\n", UNSAVED)]) == 1
    index.close()


def test_a_full_disk(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = Index(path, pytest.fail)
    index.put([("m0.py", "python", text(0), UNSAVED)])

    def limit(connection: sqlite3.Connection, n_pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {n_pages}")

    index._database.run(lambda c: limit(c, 40))  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(IndexFull, match="free some space"):
        build(index, Rules(root, ()))
    # what was there is there, and whole
    assert index.search(["found_0"], 5)
    n_files, _ = index.counts()
    index._database.run(lambda c: limit(c, 1_000_000))  # pyright: ignore[reportPrivateUsage]
    assert build(index, Rules(root, ())).n_put == N_FILES - n_files
    index.close()
    check(path, N_FILES)


def test_a_file_that_vanishes_while_it_is_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Rules.walk

    def walk(self: Rules) -> list[object]:
        seen = list(whole(self))
        for k in range(10):
            (root / f"m{k}.py").unlink(missing_ok=True)
        return seen  # pyright: ignore[reportReturnType]

    monkeypatch.setattr(Rules, "walk", walk)
    path = tmp_path / "index.sqlite"
    index = Index(path, pytest.fail)
    build(index, Rules(root, ()))
    index.close()
    check(path, N_FILES - 10)


def test_the_index_lies_in_the_users_cache_for_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    one, other = index_path(tmp_path / "a"), index_path(tmp_path / "b")
    assert one != other
    assert one.parent == other.parent == cache_folder() / "index"
    if os.name != "nt":
        assert one.parent.stat().st_mode & 0o077 == 0
