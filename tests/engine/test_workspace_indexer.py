"""What is found in a workspace that changes: on disk, in documents, and while it is being read."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from warmline_engine.retrieval import index_command
from warmline_engine.retrieval.index import build
from warmline_engine.retrieval.index.index import Index
from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.source.files import MAX_BYTES
from warmline_engine.retrieval.workspace_indexer import (
    MAX_CHANGED,
    DocumentKey,
    RetrievalQuery,
    WorkspaceIndexer,
)
from warmline_protocol.folders import index_path

pytestmark = pytest.mark.slow

WITHIN_S = 300
A, B, X, Y, Z = ((0, name) for name in "abxyz")
USE = "from shapes import area\n\nprint(area(1))\n"


class Desk:
    """Asks, and takes what is delivered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys: set[DocumentKey] = set()  # that something was delivered for
        self._found: queue.Queue[tuple[DocumentKey, list[Found]]] = queue.Queue()
        self.indexer = WorkspaceIndexer(lambda key, found: self._found.put((key, found)))
        self.indexer.start()
        self.indexer.serve(str(root), ("secret*",))

    def request(self, path: str = "use.py", text: str = USE, key: DocumentKey = A) -> None:
        place = RetrievalQuery(str(self.root), path, text, len(text), (0, len(text)))
        self.indexer.request(key, place)

    def next(self, key: DocumentKey = A) -> list[Found]:
        while True:
            owner, found = self._found.get(timeout=WITHIN_S)
            self.keys.add(owner)
            if owner == key:
                return found

    def until(self, part: str, key: DocumentKey = A) -> Found:
        """Takes what is delivered until a find has a text in it."""
        while True:
            for found in self.next(key):
                if part in found.text:
                    return found

    def until_none(self, part: str, key: DocumentKey = A) -> None:
        while any(part in found.text for found in self.next(key)):
            pass


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "work"
    root.mkdir()
    (root / "shapes.py").write_text("def area(side):\n    return side * side\n")
    (root / "secrets.py").write_text("def area(hidden):\n    pass\n")
    found = Desk(root)
    yield found
    found.indexer.close()
    found.indexer.join(WITHIN_S)
    assert not found.indexer.is_alive()


def test_a_definition_in_another_file_is_found_once_it_is_read(desk: Desk) -> None:
    desk.request()
    found = desk.until("side * side")
    assert (found.path, found.name, found.why) == ("shapes.py", "area", "imported")
    while desk.indexer.is_looking(A):
        pass
    desk.request()
    assert desk.indexer.is_looking(A)
    assert [one.path for one in desk.next()] == ["shapes.py"]  # nothing of what is excluded


def test_unsaved_text_counts_until_it_is_closed(desk: Desk) -> None:
    desk.request()
    desk.until("side * side")
    desk.request("shapes.py", "def area(width, height):\n    return width * height\n", B)
    # who looked before is told by itself
    desk.until("width * height")
    desk.indexer.forget(B, str(desk.root), "shapes.py")
    desk.until("side * side")


def test_the_disk_is_followed(desk: Desk) -> None:
    desk.request()
    desk.until("side * side")
    file = desk.root / "shapes.py"
    file.write_text("def area(edge):\n    return edge ** 2\n")
    desk.indexer.changed_on_disk(str(desk.root), ("shapes.py",))
    desk.until("edge ** 2")
    file.unlink()
    desk.indexer.changed_on_disk(str(desk.root), ("shapes.py",))
    desk.until_none("edge")
    file.write_text("def area(shown):\n    pass\n")
    desk.indexer.changed_on_disk(str(desk.root), ())
    desk.until("area(shown)")
    (desk.root / ".gitignore").write_text("shapes.py\n")
    desk.indexer.changed_on_disk(str(desk.root), ())
    desk.until_none("shown")
    (desk.root / ".gitignore").unlink()
    many = tuple(f"{k}.py" for k in range(MAX_CHANGED + 1))
    desk.indexer.changed_on_disk(str(desk.root), many)
    desk.until("area(shown)")


def place_of(desk: Desk, excluded: tuple[str, ...]) -> RetrievalQuery:
    return RetrievalQuery(str(desk.root), "use.py", USE, len(USE), (0, len(USE)), excluded)


@pytest.mark.parametrize("glob", ["shapes.py", "/shapes.py", "**/shapes.*", "{a,shapes}.py"])
def test_who_asks_is_shown_nothing_that_own_rules_exclude(desk: Desk, glob: str) -> None:
    """The index was built by the rules of another client."""
    desk.request()
    desk.until("side * side")
    desk.indexer.request(B, place_of(desk, (glob,)))
    assert "area(side)" not in "".join(one.text for one in desk.next(B))
    desk.indexer.request(B, place_of(desk, ()))
    desk.until("side * side", B)


def test_an_index_built_by_other_rules_shows_nothing_that_is_excluded(desk: Desk) -> None:
    """As by `warmline index --exclude` in a terminal, while a window is open."""
    desk.request()
    desk.until("side * side")
    index, rules = index_command.opened(desk.root, ("nothing",))
    build.build(index, rules)
    assert {path for path in index.stamps() if "secret" in path} == {"secrets.py"}
    index.close()
    desk.request(key=B)
    assert [one.path for one in desk.next(B)] == ["shapes.py"]


def test_a_file_that_is_ignored_by_now_is_not_shown(desk: Desk) -> None:
    desk.request()
    desk.until("side * side")
    # nobody is notified: the rules are read again whenever a place is looked at
    (desk.root / ".gitignore").write_text("shapes.py\n")
    desk.request(key=B)
    assert desk.next(B) == []


def test_an_open_file_in_a_folder_that_is_ignored_is_not_indexed(desk: Desk) -> None:
    (desk.root / ".gitignore").write_text("hidden/\n")
    text = "def area(inner):\n    return inner\n"
    for path in ("hidden/shapes.py", "hidden/deep/shapes.py", "secrets/shapes.py"):
        desk.request(path, text, B)
        desk.next(B)
    desk.request()
    desk.until("side * side")
    index, _ = index_command.opened(desk.root, ())
    paths = set(index.stamps())
    index.close()
    assert {path for path in paths if "/" in path} == set()


def test_a_glob_that_begins_like_an_option_is_a_glob(desk: Desk) -> None:
    desk.indexer.serve(str(desk.root), ("--json", "-x", "secret*"))
    desk.request()
    desk.until("side * side")


def test_a_workspace_that_is_none_finds_nothing_and_harms_none(desk: Desk) -> None:
    place = RetrievalQuery("/nowhere/at/all", "x.py", "x = 1\n", 0, (0, 6))
    desk.indexer.serve("/nowhere/at/all", ())
    desk.indexer.request(X, place)
    desk.indexer.request(Y, RetrievalQuery(str(desk.root), "notes.txt", "x = 1\n", 0, (0, 6)))
    desk.request("long.py", "x = 1\n" * (MAX_BYTES // 5), Z)
    desk.request()
    desk.until("side * side")
    assert desk.keys == {A}


def test_nothing_is_begun_while_a_completion_is_made(desk: Desk) -> None:
    desk.request()
    desk.until("side * side")
    while desk.indexer.is_looking(A):
        pass
    while not desk._found.empty():  # it looks again when the index is built
        desk._found.get()
    with desk.indexer.kept_quiet():
        desk.request()
        with pytest.raises(queue.Empty):
            desk._found.get(timeout=0.5)
    assert [one.path for one in desk.next()] == ["shapes.py"]


def test_a_workspace_without_documents_holds_no_file_open(desk: Desk, tmp_path: Path) -> None:
    roots = [tmp_path / f"more{k}" for k in range(16)]
    desk.request()
    desk.until("side * side")
    desk.indexer.forget(A, str(desk.root), "use.py")
    folder, n_before = Path("/proc/self/fd"), 0
    if not folder.exists():
        pytest.skip("file descriptors are counted on Linux only")
    for k, root in enumerate(roots):
        root.mkdir()
        (root / "shapes.py").write_text("def area(side):\n    return side * side\n")
        desk.root, key = root, (0, f"m{k}")
        desk.indexer.serve(str(root), ())
        desk.request(key=key)
        desk.until("side * side", key)
        desk.indexer.forget(key, str(root), "use.py")
        # the thread takes turns: after the next answer the one before is closed
        n_now = len(list(folder.iterdir()))
        n_before = n_before or n_now
        assert n_now <= n_before + 6, "the descriptors of workspaces that were closed stay open"
    desk.root = roots[-1]
    desk.indexer.serve(str(desk.root), ())
    desk.request()
    desk.until("side * side")  # a workspace comes back


KILLED = """
import sys, threading
from warmline_engine.retrieval.workspace_indexer import WorkspaceIndexer
indexer = WorkspaceIndexer(lambda key, found: None)
indexer.start()
indexer.serve(sys.argv[1], ())
while not (spaces := list(indexer._workspaces.values())) or spaces[0].builder is None:
    pass
print(spaces[0].builder.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_the_indexer_ends_with_an_engine_that_is_killed(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "large"
    root.mkdir()
    for k in range(3_000):
        (root / f"m{k}.py").write_text(f"def found_{k}(x):\n" + f"    x = x + {k}\n" * 200)
    engine = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert engine.stdout is not None
    indexer = int(engine.stdout.readline())
    engine.send_signal(signal.SIGKILL)
    engine.communicate()
    deadline = time.monotonic() + WITHIN_S
    while _is_running(indexer):
        assert time.monotonic() < deadline, "the indexer goes on without its engine"
        time.sleep(0.01)
    index = Index(index_path(root), pytest.fail)
    assert index.counts()[0] < 3_000, "it was done before: nothing was shown"
    index.close()


def _is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
