"""What is found by vectors against all vectors made afresh; edits, two at once, other encoders, damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.letters import Letters
from warmline_engine.errors import IndexFull
from warmline_engine.retrieval.index.index import UNSAVED, Index, Kind
from warmline_engine.retrieval.index.vectors import codes_of, text_of, vectors_of

TEXTS = (
    "",
    "x = 1\n",
    "def area(width, height):\n    return width * height\n",
    "def zoo(quiz):\n" + "    quiz = quiz.jazz(quiz)\n" * 60 + "\n\ndef other(b):\n    return b\n",
    "def zoo(quiz):\n"
    + "    quiz = quiz.jazz(quiz)\n" * 60
    + "\n\ndef another(b):\n    return b\n",
    "# кот\n",
)
PATHS = ("a.py", "b.py", "c.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    opened = Index(path, pytest.fail, Letters())
    yield opened
    opened.close()


def put(index: Index, files: dict[str, str]) -> None:
    index.put((path, "python", text, UNSAVED) for path, text in files.items())


def follow_all(index: Index, at_once: int) -> None:
    while index.follow(at_once):
        pass


def check(index: Index, asked: str, limit: int = 50) -> None:
    """What is found is what the blocks there, all encoded anew, say."""
    blocks = [c for path in index.stamps() for c in index.of_file(path) if c.kind == Kind.BLOCK]
    expected: dict[int, float] = {}
    for block in blocks:
        text = text_of(block.name, "\n".join(block.scopes), block.text)
        (vector,) = vectors_of(codes_of(Letters().encode([text])))
        expected[block.id] = float(vector @ Letters().encode([asked])[0])
    found = index.similar(asked, limit)
    assert len(found) == min(limit, len(expected))
    for (chunk, score), best in zip(found, sorted(expected.values(), reverse=True), strict=False):
        assert score == pytest.approx(expected[chunk], abs=1e-5)
        assert score == pytest.approx(best, abs=1e-5)


_steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from(PATHS), st.sampled_from(TEXTS)),
            st.tuples(st.just("remove"), st.sampled_from(PATHS), st.just("")),
            st.tuples(st.just("search"), st.sampled_from(["quiz", "width"]), st.just("")),
        ),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(_steps)
def test_found_by_two_that_edit_is_what_is_there(
    steps: list[tuple[int, tuple[str, str, str]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = [Index(Path(folder) / "index.sqlite", pytest.fail, Letters()) for _ in range(2)]
        for which, (what, name, text) in steps:
            index = both[which]
            if what == "put":
                put(index, {name: text})
            elif what == "remove":
                index.remove([name])
            else:
                follow_all(index, 2)
                check(index, name)
                check(index, name, 1)
        for index in both:
            follow_all(index, 100)
            check(index, "quiz")
            index.close()


def test_an_edit_encodes_what_changed_alone(path: Path) -> None:
    encoder = Letters()
    index = Index(path, pytest.fail, encoder)
    put(index, {"a.py": TEXTS[3], "b.py": TEXTS[2]})
    follow_all(index, 100)
    before = encoder.n_encoded
    put(index, {"a.py": TEXTS[4]})
    assert index.follow(100) == 1
    assert encoder.n_encoded == before + 1
    assert index.follow(100) == 0
    check(index, "another")
    index.close()


def test_many_that_are_gone_are_passed_over(index: Index) -> None:
    put(index, {f"m{k}.py": f"quiz_{'jz' * k} = 1\n" for k in range(40)})
    put(index, {"last.py": "def area(width): ...\n"})
    follow_all(index, 100)
    check(index, "quiz jz", 2)
    other = Index(index._database.path, pytest.fail)  # pyright: ignore[reportPrivateUsage]
    other.remove([f"m{k}.py" for k in range(40)])
    other.close()
    ((chunk, _),) = index.similar("quiz jz", 2)
    assert index.chunks([chunk])[chunk].path == "last.py"


def test_another_encoder_makes_them_anew(index: Index, path: Path) -> None:
    put(index, {"a.py": TEXTS[3]})
    follow_all(index, 100)
    n = len(index.similar("quiz", 50))
    other = Index(path, pytest.fail, Letters("other"))
    assert other.similar("quiz", 50) == []
    assert other.follow(1) == 1
    # vectors of two encoders are not compared
    assert index.similar("quiz", 50) == []
    follow_all(other, 100)
    assert len(other.similar("quiz", 50)) == n > 1
    other.close()


def test_what_changes_while_it_is_encoded_keeps_no_vector(index: Index, path: Path) -> None:
    put(index, {"a.py": TEXTS[2]})
    other = Index(path, pytest.fail)

    class Slow(Letters):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            # the same id is given again to another text
            other.remove(["a.py"])
            put(other, {"b.py": "quiz = 1\n"})
            return super().encode(texts)

    slow = Index(path, pytest.fail, Slow())
    assert slow.follow(10) == 1
    other.close()
    slow.close()
    assert index.similar("quiz", 5) == []
    assert index.follow(10) == 1
    check(index, "quiz")


def test_without_an_encoder_blocks_wait(path: Path) -> None:
    index = Index(path, pytest.fail)
    put(index, {"a.py": TEXTS[2]})
    assert index.follow(10) == 0
    assert index.similar("width", 5) == []
    index.close()
    later = Index(path, pytest.fail, Letters())
    assert later.follow(10) > 0
    check(later, "width")
    later.close()


@pytest.mark.parametrize("table", ["vectors", "unencoded", "encoder"])
def test_a_table_that_is_gone(path: Path, table: str) -> None:
    reported: list[str] = []
    index = Index(path, reported.append, Letters())
    put(index, {"a.py": TEXTS[2]})
    index.follow(10)
    check(index, "width")
    connection = sqlite3.connect(path)
    connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()
    assert index.follow(10) == 0
    assert index.similar("width", 5) == []
    put(index, {"b.py": TEXTS[3]})
    follow_all(index, 10)
    check(index, "quiz")
    assert len(reported) == 1
    index.close()


def test_begun_anew_by_another_process(index: Index, path: Path) -> None:
    put(index, {"a.py": TEXTS[3]})
    index.follow(100)
    check(index, "quiz")
    for name in path.parent.glob("index.sqlite*"):
        name.unlink()
    other = Index(path, pytest.fail, Letters())
    put(other, {"b.py": TEXTS[2], "c.py": TEXTS[1]})
    other.follow(100)
    other.close()
    check(index, "width")


def test_a_vector_of_another_length_is_left_out(index: Index, path: Path) -> None:
    put(index, {"a.py": TEXTS[2], "b.py": "y = 2\n"})
    index.follow(100)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE vectors SET codes = x'0102' WHERE id = 1")
    connection.commit()
    connection.close()
    assert len(index.similar("width", 5)) == 1


ENCODE_SLOWLY = """
import sys
from pathlib import Path
from tests.support.letters import Letters
from warmline_engine.retrieval.index.index import Index
index = Index(Path(sys.argv[1]), encoder=Letters())
while n := index.follow(10):
    print(n, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_killed_while_encoding(index: Index, path: Path) -> None:
    put(index, {f"m{k}.py": TEXTS[4].replace("another", f"another_{k}") for k in range(100)})
    process = subprocess.Popen(
        [sys.executable, "-c", ENCODE_SLOWLY, str(path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(3):
        assert int(process.stdout.readline()) == 10
    process.send_signal(signal.SIGKILL)
    process.communicate()
    n = len(index.similar("quiz", 1000))
    # whole transactions of ten
    assert n >= 30
    assert n % 10 == 0
    follow_all(index, 100)
    check(index, "quiz", 1000)


def test_a_full_disk_keeps_what_was_encoded(index: Index) -> None:
    put(index, {f"m{k}.py": TEXTS[3].replace("other", f"other_{k}") for k in range(200)})
    index.follow(50)
    n = len(index.similar("quiz", 1000))

    def limit(connection: sqlite3.Connection, more: int) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    database = index._database  # pyright: ignore[reportPrivateUsage]
    database.run(lambda c: limit(c, 0))
    with pytest.raises(IndexFull, match="free some space"):
        follow_all(index, 300)
    assert len(index.similar("quiz", 1000)) == n
    database.run(lambda c: limit(c, 10_000))
    follow_all(index, 300)
    check(index, "quiz")


@given(st.integers(0, 1000), st.integers(1, 200))
def test_whole_numbers_keep_the_direction(seed: int, n_dimensions: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(5, n_dimensions)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    drawn[3] = 0
    kept = vectors_of(codes_of(drawn))
    assert np.allclose((kept * drawn).sum(1), [1, 1, 1, 0, 1], atol=1e-3)
    assert not kept[3].any()
