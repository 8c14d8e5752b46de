"""Ranks and measures by hand; what is asked and what is hidden."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.letters import Letters
from warmline_engine.retrieval.rank import fuse_scores
from warmline_engine.retrieval.source.split import split
from warmline_lab.retrieval import rankers as ways
from warmline_lab.retrieval import retrieval_quality as quality

TEXT = '''class Box:
    def get(self, key):
        """Looks a key up.

        And more."""
        return self.items[key]

async def bare(): return 1
'''
STORE = "def open_store(path):\n    return path\n"
USES = "from .store import open_store\n\nx = 1\ny = open_store(x)\nz = [open_store(y)]\n"


def test_measures_by_hand() -> None:
    row = quality.row("t", "m", "all", [1, 2, 10, None])
    assert (row.n, row.mrr) == (4, round((1 + 0.5 + 0.1) / 4, 4))
    assert (row.recall_1, row.recall_5, row.recall_10) == (0.25, 0.5, 0.75)
    assert math.isnan(quality.row("t", "m", "all", []).mrr)


def test_every_function_loses_its_docstring() -> None:
    found = {one.docstring: one.code for one in quality.functions(TEXT)}
    assert found == {
        "Looks a key up.": "def get(self, key):\n    return self.items[key]\n",
        "": "async def bare(): return 1\n",
    }


_part = st.lists(st.sampled_from("abcd"), min_size=1, max_size=6)
_documents = st.lists(st.lists(_part, min_size=1, max_size=3), min_size=1, max_size=6)


def _slow_rank(documents: list[list[list[str]]], wanted: list[str], owner: int) -> int | None:
    parts = [Counter(part) for document in documents for part in document]
    mean = sum(part.total() for part in parts) / len(parts)

    def score(words: list[str]) -> float:
        part, total = Counter(words), 0.0
        for word in set(wanted):
            having = sum(other[word] > 0 for other in parts)
            idf = max(math.log((len(parts) - having + 0.5) / (having + 0.5)), 1e-6)
            total += idf * part[word] * 2.2 / (part[word] + 1.2 * (0.25 + 0.75 * len(words) / mean))
        return total

    scores = [round(max(map(score, document)), 9) for document in documents]
    if not scores[owner]:
        return None
    ranks = [k for k, s in enumerate(sorted(scores, reverse=True), 1) if s == scores[owner]]
    return math.ceil(sum(ranks) / len(ranks))


@given(_documents, _part, st.data())
def test_ranks_are_those_of_bm25_by_hand(
    documents: list[list[list[str]]], wanted: list[str], data: st.DataObject
) -> None:
    owner = data.draw(st.integers(0, len(documents) - 1))
    index = ways.Bm25(documents)
    assert index.rank(wanted, owner) == _slow_rank(documents, wanted, owner)


def test_a_rank_by_hand() -> None:
    index = ways.Bm25([[["a", "b"]], [["a", "c"], ["d", "d"]], [["e", "e"]], [["f", "g"]]])
    assert index.rank(["d"], 1) == 1
    assert index.rank(["a", "d"], 0) == 2
    assert index.rank(["a"], 0) == index.rank(["a"], 1) == 2
    assert index.rank(["a"], 2) is None


_scores = st.lists(st.integers(0, 4), min_size=1, max_size=9)


@given(_scores)
def test_ranks_of_all_are_the_rank_of_each(scores: list[int]) -> None:
    drawn = np.array(scores, np.float64)
    for text, found in enumerate(ways.ranks_of(drawn)):
        having = [k for k, s in enumerate(sorted(scores, reverse=True), 1) if s == scores[text]]
        assert found == ways.rank_of(drawn, text) == math.ceil(sum(having) / len(having))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9))
def test_fused_by_hand(pairs: list[tuple[int, int]]) -> None:
    both = [np.array(column, np.float64) for column in zip(*pairs, strict=True)]
    expected = [
        sum(1 / (60 + ways.rank_of(scores, k)) for scores in both if scores[k])
        for k in range(len(pairs))
    ]
    assert np.allclose(ways.fused(both), expected)


def test_scores_are_added_as_the_index_does() -> None:
    by_words, cosines = [3.0, 0.0, 1.5], [0.1, 0.9, 0.8]
    order = fuse_scores(list(enumerate(by_words)), list(enumerate(cosines)))
    totals = ways.added(np.array(by_words), np.array(cosines) + 1)
    assert [text for text, _ in order] == np.argsort(-totals).tolist() == [2, 1, 0]


def test_blocks_are_aggregated_as_said() -> None:
    codes = ["def a(x):\n" + "    x = quiz(x)\n" * 80, "def b(y):\n    return y\n"]
    found = ways.rankers_for(codes, Letters())
    (asked,) = Letters().encode(["quiz"])
    blocks = [Letters().encode([b.text for b in split(code, "python").blocks]) for code in codes]
    assert len(blocks[0]) > 1
    nearest = [1 + max(float(one @ asked) for one in of) for of in blocks]
    assert np.allclose(found[ways.NEAREST]("quiz"), nearest)
    sums = [sum(of) for of in blocks]
    means = [1 + float(total @ asked) / float(np.linalg.norm(total)) for total in sums]
    assert np.allclose(found[ways.MEAN]("quiz"), means, atol=1e-6)


def test_uses_stand_behind_imports_and_know_their_file() -> None:
    files = {"p/__init__.py": "", "p/store.py": STORE, "p/use.py": USES}
    found = list(quality._uses(files, "p/use.py"))  # pyright: ignore[reportPrivateUsage]
    assert found == [
        ("first use", "open_store", "p/store.py", USES.index("y = open")),
        ("second use", "open_store", "p/store.py", USES.index("z = [")),
    ]


def test_a_package_is_measured() -> None:
    files = {"p/__init__.py": "", "p/store.py": STORE, "p/use.py": USES}
    rows = {
        (row.subset, row.method): row
        for row in quality.from_uses([quality.ranks_of_uses(files, Letters())])
    }
    assert rows["first use", "all but vectors"].recall_1 == 1
    # one other file defines something, so whatever ranks all finds it
    assert rows["first use", "vectors"].recall_5 == 1
    assert rows["first use", "names"].n == 1
    said = [row for row in quality.from_docstrings([TEXT], Letters()) if row.subset == "all"]
    assert len(said) == 4 + 3 + 4
    report = quality.report([*rows.values(), *said], "command")
    assert report.count("\n| ") == len(rows) + len(said) + 1
