"""Random damage to an index: it is noticed, and the index ends equal to a fresh one."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import examples
from warmline_engine.errors import RetrievalError
from warmline_engine.retrieval import index_command, search_command
from warmline_engine.retrieval.index import postings
from warmline_engine.retrieval.index.build import build
from warmline_engine.retrieval.index.index import UNSAVED, Index, Stamp
from warmline_engine.retrieval.source.files import Rules

pytestmark = pytest.mark.slow

N_SEARCHED = 4  # damages of each kind and state that a search meets
N_SEEDS = examples(15)  # of each kind of damage and state
PAGE = 4096
N_FILES = 24
WORDS = ("alpha", "beta_gamma", "deltaEpsilon", "naïve", "ключ", "日本語", "x²y")


def text(k: int) -> str:
    rng = random.Random(k)
    names = " ".join(rng.choice(WORDS) for _ in range(60))
    return f"def found_{k}(first):\n    # {names}\n    return first + {k}\n\n\nLIMIT_{k} = {k}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    for k in range(N_FILES):
        (folder / f"m{k}.py").write_text(text(k))
    return folder


@pytest.fixture(scope="module", params=["closed", "killed"])
def left(
    request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with an index as a process leaves it that closed it, or that was killed."""
    made, folder = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("left")
    index = Index(made / "index.sqlite", pytest.fail)
    build(index, Rules(root, ()))
    index.close()
    if request.param == "killed":
        index.put([("m3.py", "python", text(3) + "\n\ndef late():\n    pass\n", UNSAVED)])
    for path in made.iterdir():
        shutil.copy(path, folder)
    index.close()
    # a killed process leaves a log and no seal, a closed one a seal and no log
    assert (folder / "index.sqlite-wal").exists() == (request.param == "killed")
    return folder


@pytest.fixture(scope="module")
def fresh(root: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    index = Index(tmp_path_factory.mktemp("fresh") / "index.sqlite", pytest.fail)
    build(index, Rules(root, ()))
    found = content(index)
    index.close()
    return found


def content(index: Index) -> object:
    """All that an index holds and finds."""
    paths = [f"m{k}.py" for k in range(N_FILES)]
    chunks = {
        path: [(c.kind, c.start, c.line, c.scopes, c.name, c.text) for c in index.of_file(path)]
        for path in paths
    }
    found: dict[str, list[tuple[float, str, int]]] = {}
    for word in (*WORDS, "found_7", "late", "LIMIT_3"):
        hits = index.search([word.lower()], 50)
        kept = index.chunks(id for id, _ in hits)
        found[word] = sorted((round(s, 6), kept[id].path, kept[id].line) for id, s in hits)
    return sorted(index.stamps()), index.counts(), chunks, found


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 5))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _zero(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(-(-len(data) // PAGE)) * PAGE
    data[start : start + PAGE] = bytes(len(data[start : start + PAGE]))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _swap(data: bytearray, rng: random.Random) -> None:
    pages = [data[k : k + PAGE] for k in range(0, len(data), PAGE)]
    a, b = rng.randrange(len(pages)), rng.randrange(len(pages))
    pages[a], pages[b] = pages[b], pages[a]
    data[:] = b"".join(pages)


def _magic(data: bytearray, rng: random.Random) -> None:
    data[: rng.randrange(1, 101)] = rng.randbytes(rng.randrange(1, 101))


def _text(data: bytearray, rng: random.Random) -> None:
    """Replaces letters of a text in a page that stays valid: by other letters, or by no UTF-8."""
    places = [k for k in range(len(data) - 4) if data[k : k + 4].isalpha()]
    if places:
        place = rng.choice(places)
        data[place : place + 4] = rng.choice((b"\xff\xfe\xff\xfe", b"zzzz", b"\xc3\x28\xa0\xa1"))


def _append(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.choice((1, PAGE, 3 * PAGE)))


def _noise(data: bytearray, rng: random.Random) -> None:
    data[:] = rng.randbytes(rng.choice((0, 1, 100, PAGE, 9_000)))


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [
    _flip, _zero, _cut, _swap, _magic, _text, _append, _noise
]  # fmt: skip


# not of an open database: SQLite maps it into memory, and a process dies whose mapped file is cut
SHARED = "index.sqlite-shm"


def damage(
    folder: Path,
    how: Callable[[bytearray, random.Random], None],
    seed: int,
    names: tuple[str, ...] = (SHARED,),
) -> None:
    rng = random.Random(seed)
    name = rng.choice(("index.sqlite",) * 4 + ("index.sqlite-wal", "index.sqlite.seal", *names))
    path = folder / name
    data = bytearray(path.read_bytes() if path.exists() else b"")
    if not data:
        data += rng.randbytes(2 * PAGE)
    how(data, rng)
    path.write_bytes(data)


@pytest.mark.parametrize("how", DAMAGES, ids=lambda how: how.__name__[1:])
def test_any_damage_is_repaired(
    how: Callable[[bytearray, random.Random], None],
    root: Path,
    left: Path,
    fresh: object,
    tmp_path: Path,
) -> None:
    for seed in range(N_SEEDS):
        folder = tmp_path / str(seed)
        shutil.copytree(left, folder)
        damage(folder, how, seed)
        index = Index(folder / "index.sqlite", lambda text: None)
        index.check()
        build(index, Rules(root, ()))
        assert content(index) == fresh, (how.__name__, seed)
        index.check()
        index.close()
        again = Index(folder / "index.sqlite", pytest.fail)
        again.check()
        assert content(again) == fresh, (how.__name__, seed)
        again.close()


@pytest.mark.parametrize("how", DAMAGES, ids=lambda how: how.__name__[1:])
def test_who_does_not_check_sees_no_other_error(
    how: Callable[[bytearray, random.Random], None], left: Path, tmp_path: Path
) -> None:
    """The engine reads while its indexer checks."""
    for seed in range(N_SEEDS):
        folder = tmp_path / str(seed)
        shutil.copytree(left, folder)
        index = Index(folder / "index.sqlite", lambda text: None)
        content(index)
        damage(folder, how, seed, ())  # under an index that is open
        for action in (
            lambda index=index: content(index),
            lambda index=index: index.put(
                [("m1.py", "python", "def other(): pass\n", Stamp(1, 1))]
            ),
            lambda index=index: index.remove(["m2.py"]),
            lambda index=index: index.merge(),
            index.close,
        ):
            with contextlib.suppress(RetrievalError):  # completions do without
                action()


@pytest.mark.parametrize("how", DAMAGES, ids=lambda how: how.__name__[1:])
def test_a_search_alone_shows_only_what_is_in_the_files(
    how: Callable[[bytearray, random.Random], None],
    root: Path,
    left: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(search_command, "encoder_of", lambda model: None)

    def rows(folder: Path) -> object:
        path = folder / "index.sqlite"
        monkeypatch.setattr(index_command, "index_path", lambda root: path)
        found: list[object] = []
        for words in ("alpha", "found_7", "ключ beta", "late"):
            status = search_command.main([words, "--path", str(root), "--json", "--limit", "100"])
            shown = json.loads(capsys.readouterr().out)
            assert status == (0 if shown else 1)
            found.append(shown)
        return found

    expected = rows(tmp_path)
    for seed in range(N_SEARCHED):
        folder = tmp_path / str(seed)
        shutil.copytree(left, folder)
        damage(folder, how, seed)
        assert rows(folder) == expected, (how.__name__, seed)


def test_a_check_takes_no_write_of_another_process_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.sqlite"
    index, other = Index(path, pytest.fail), Index(path, pytest.fail)
    index.put([("a.py", "python", text(1), UNSAVED)])
    agrees, n_written = postings.agrees, 0

    def agrees_after_a_write(*arguments: Any) -> bool:
        nonlocal n_written
        other.put([(f"b{n_written}.py", "python", text(2), UNSAVED)])
        n_written += 1
        return agrees(*arguments)

    monkeypatch.setattr(postings, "agrees", agrees_after_a_write)
    index.check()
    assert n_written == 1
    assert index.counts()[0] == 2
    for each in (index, other):
        each.close()


def test_a_seal_is_gone_while_there_are_changes(tmp_path: Path) -> None:
    path, seal = tmp_path / "index.sqlite", tmp_path / "index.sqlite.seal"
    index = Index(path, pytest.fail)
    index.put([("a.py", "python", "def one(): pass\n", UNSAVED)])
    assert not seal.exists()
    index.close()
    assert seal.exists()
    one, other = Index(path, pytest.fail), Index(path, pytest.fail)
    one.put([("b.py", "python", "def two(): pass\n", UNSAVED)])
    assert not seal.exists()
    other.close()
    one.put([("c.py", "python", "def three(): pass\n", UNSAVED)])
    assert not seal.exists()
    one.close()
    assert seal.exists()
    last = Index(path, pytest.fail)
    assert last.counts()[0] == 3
    last.close()
