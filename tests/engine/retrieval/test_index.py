"""The index against a list of chunks and BM25 by hand; edits against an index made afresh."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.retrieval.index.build import build, refresh
from warmline_engine.retrieval.index.index import UNSAVED, Index, Kind
from warmline_engine.retrieval.index.words import words
from warmline_engine.retrieval.source.files import Rules
from warmline_engine.retrieval.source.split import split

K1, B, WEIGHTS = 1.2, 0.75, (3.0, 1.0)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "index.sqlite", pytest.fail)
    yield opened
    opened.close()


def put(index: Index, files: dict[str, str]) -> int:
    return index.put((path, "python", text, UNSAVED) for path, text in files.items())


def function(name: str, used: str = "nothing") -> str:
    body = "".join(f"    step_{k} = {used}(first, {k})\n" for k in range(8))
    return f"def {name}(first):\n{body}    return first\n\n\n"


def bm25(files: dict[str, str], wanted: list[str]) -> list[tuple[float, str]]:
    """Scores of all blocks that have a wanted word: (score, text), best first."""
    rows: list[tuple[str, list[Counter[str]]]] = []
    for path, text in files.items():
        for b in split(text, "python").blocks:
            names = words(" ".join([b.name, *b.scopes, path]))
            rows.append((b.text, [Counter(names), Counter(words(b.text))]))
    lengths = [sum(sum(column.values()) for column in columns) for _, columns in rows]
    mean = sum(lengths) / len(rows)
    scores = [0.0] * len(rows)
    for word in wanted:
        having = sum(any(column[word] for column in columns) for _, columns in rows)
        idf = max(math.log((len(rows) - having + 0.5) / (having + 0.5)), 1e-6)
        for k, (_, columns) in enumerate(rows):
            f = sum(w * column[word] for w, column in zip(WEIGHTS, columns, strict=True))
            scores[k] += idf * f * (K1 + 1) / (f + K1 * (1 - B + B * lengths[k] / mean))
    found = [(score, text) for score, (text, _) in zip(scores, rows, strict=True) if score]
    return sorted(found, reverse=True)


def searched(index: Index, wanted: list[str]) -> list[tuple[float, str]]:
    hits = index.search(wanted, 100)
    chunks = index.chunks(id for id, _ in hits)
    return sorted(((score, chunks[id].text) for id, score in hits), reverse=True)


def contents(index: Index, path: str) -> list[tuple[object, ...]]:
    """A file's chunks without their ids."""
    chunks = index.of_file(path)
    return sorted((c.kind, c.start, c.line, c.scopes, c.name, c.text) for c in chunks)


NAMES = ["read_config", "writeConfig", "HTTPServer", "parse", "nothing"]
_files = st.dictionaries(
    st.sampled_from(["a.py", "b/c.py", "d.py"]),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=4).map(
        lambda pairs: "".join(function(*pair) for pair in pairs)
    ),
    min_size=1,
)
_queries = st.lists(
    st.sampled_from([*words(" ".join(NAMES)), "absent"]), min_size=1, max_size=4, unique=True
)


@given(_files, _queries)
@settings(max_examples=examples(50), deadline=None)
def test_scores_are_bm25(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str], wanted: list[str]
) -> None:
    index = Index(tmp_path_factory.mktemp("index") / "index.sqlite", pytest.fail)
    put(index, files)
    found, expected = searched(index, wanted), bm25(files, wanted)
    index.close()
    assert [score for score, _ in found] == pytest.approx([score for score, _ in expected])
    assert Counter(text for _, text in found) == Counter(text for _, text in expected)


@given(st.lists(_files, min_size=2, max_size=4), _queries, st.data())
@settings(max_examples=examples(40), deadline=None)
def test_after_edits_it_is_as_if_made_afresh(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[str, str]], wanted: list[str], data: st.DataObject
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("index")
    index, fresh = Index(folder / "a.sqlite", pytest.fail), Index(folder / "b.sqlite", pytest.fail)
    now: dict[str, str] = {}
    for files in versions:
        put(index, files)
        now |= files
        gone = data.draw(st.sets(st.sampled_from(sorted(now))))
        index.remove(gone)
        now = {path: text for path, text in now.items() if path not in gone}
    put(fresh, now)
    for path in now:
        assert contents(index, path) == contents(fresh, path)
    assert index.counts() == fresh.counts()
    ours, theirs = searched(index, wanted), searched(fresh, wanted)
    assert [score for score, _ in ours] == pytest.approx([score for score, _ in theirs])
    assert Counter(text for _, text in ours) == Counter(text for _, text in theirs)
    index.close()
    fresh.close()


def test_an_edit_keeps_the_chunks_it_does_not_touch(index: Index) -> None:
    text = function("one") + function("two") + function("three")
    put(index, {"a.py": text})
    before = {c.name: c.id for c in index.of_file("a.py") if c.kind == Kind.BLOCK}
    put(index, {"a.py": "import os\n" * 30 + text.replace("def two", "def second")})
    after = {c.name: c for c in index.of_file("a.py") if c.kind == Kind.BLOCK}
    assert after["one"].id == before["one"]
    assert after["three"].id == before["three"]
    assert after["three"].line == 30 + text[: text.index("def three")].count("\n")
    assert index.search(["second"], 5)
    assert not index.search(["two"], 5)


def test_the_same_text_is_not_put_twice(index: Index) -> None:
    assert put(index, {"a.py": function("one")}) == 1
    assert put(index, {"a.py": function("one")}) == 0


def test_a_definition_is_found_by_its_name(index: Index) -> None:
    put(index, {"a.py": function("one"), "b.py": "LIMIT = 3\n" + function("two", "one")})
    assert [(c.path, c.kind) for c in index.named("one")] == [
        ("a.py", Kind.BLOCK), ("a.py", Kind.SIGNATURE)]  # fmt: skip
    assert [c.text for c in index.named("LIMIT")] == ["LIMIT = 3\n"]


def test_odd_words_are_no_syntax(index: Index) -> None:
    put(index, {"a.py": function("near") + function("größe")})
    assert index.search(["near", "or", "not", "and", 'x"y', "größe", "*", ""], 5)


def test_a_lone_surrogate_is_put(index: Index) -> None:
    put(index, {"a.py": "x = '\ud800'\n"})
    assert [c.text for c in index.of_file("a.py") if c.kind == Kind.BLOCK] == ["x = '?'\n"]


def test_build_follows_the_disk(index: Index, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("one", "two", "three"):
        (root / f"{name}.py").write_text(function(name))
    steps: list[tuple[int, int]] = []
    done = build(index, Rules(root, ()), lambda p: steps.append((p.n_done, p.n_files)))
    assert (done.n_put, done.n_removed) == (3, 0)
    assert steps[-1] == (3, 3)
    (root / "one.py").write_text(function("changed"))
    (root / "two.py").unlink()
    (root / "three.py").write_bytes(b"\0")
    done = build(index, Rules(root, ()))
    assert (done.n_put, done.n_removed) == (1, 2)
    assert set(index.stamps()) == {"one.py"}
    assert index.named("changed")
    assert not index.named("two")


def test_what_many_transactions_wrote_is_brought_together_and_found_as_before(index: Index) -> None:
    def n_segments() -> int:
        count = "SELECT count(DISTINCT segid) FROM postings_idx"
        return index._database.run(lambda c: c.execute(count).fetchone()[0])

    for k in range(3):
        put(index, {f"{k}.py": function(f"wanted_{k}") + function("shared")})
    before = {word: index.search([word], 9) for word in ("shared", "wanted_0", "wanted_2")}
    assert n_segments() > 1
    index.merge()
    assert n_segments() == 1
    assert {word: index.search([word], 9) for word in before} == before
    index.merge()
    index.remove(["0.py"])
    assert index.search(["wanted_0"], 9) == []
    assert len(index.search(["shared"], 9)) == 2


def test_an_open_document_is_what_counts_until_it_is_closed(index: Index, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text(function("saved"))
    rules = Rules(root, ())
    put(index, {"a.py": function("unsaved"), "new.py": function("unnamed")})
    build(index, rules, open_paths={"a.py", "new.py"})
    assert index.named("unsaved")
    assert index.named("unnamed")
    assert refresh(index, rules, "a.py")
    assert not refresh(index, rules, "new.py")
    assert index.named("saved")
    assert not index.named("unsaved")
    assert not index.named("unnamed")


def test_after_a_crash_unsaved_text_gives_way_to_the_disk(index: Index, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text(function("saved"))
    put(index, {"a.py": function("unsaved")})
    build(index, Rules(root, ()))
    assert [c.name for c in index.of_file("a.py")] == ["saved", "saved"]


def test_common_words_are_left_out_of_a_query(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, {f"m{k}.py": function("common", "rare" if k == 3 else "usual") for k in range(9)})
    monkeypatch.setattr("warmline_engine.retrieval.index.postings.MAX_POSTINGS", 5)
    found = index.search(["common", "rare"], 20)
    assert [index.chunks([id])[id].path for id, _ in found] == ["m3.py"]
