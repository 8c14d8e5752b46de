"""The words that a query takes against all of them counted out."""

from __future__ import annotations

import sqlite3
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from warmline_engine.retrieval.index import postings

COUNTS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2), st.integers(0, 40), max_size=9
)


def connected(counts: dict[str, int]) -> sqlite3.Connection:
    """Words that stand in so many chunks each."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE postings USING fts5(names, body)")
    most = max(counts.values(), default=0)
    rows = [" ".join(word for word, n in counts.items() if k < n) for k in range(most)]
    connection.executemany(
        "INSERT INTO postings (names, body) VALUES ('', ?)", [(row,) for row in rows]
    )
    return connection


def slow_choice(counts: dict[str, int], most: int) -> list[str]:
    chosen, total = list[str](), 0
    for word in sorted(counts, key=lambda word: (counts[word], word)):
        total += counts[word]
        if chosen and total > most:
            break
        if counts[word]:
            chosen.append(word)
    return chosen


@settings(deadline=None)
@given(counts=COUNTS, most=st.integers(1, 60), first=st.integers(1, 30), asked=st.integers(1, 9))
def test_the_rarest_words_are_chosen_without_counting_the_common_ones_out(
    counts: dict[str, int], most: int, first: int, asked: int
) -> None:
    connection, searcher = connected(counts), postings.Postings()
    with (
        patch.object(postings, "MAX_POSTINGS", most),
        patch.object(postings, "FIRST_COUNTED", first),
    ):
        # what was counted for another query must not change this one
        searcher._rarest(connection, set(sorted(counts)[:asked]))
        found = searcher._rarest(connection, set(counts))
    expected = slow_choice(counts, most)
    # of words that are all too common one is as good as another
    common = [word for word in expected if counts[word] > most]
    assert found == expected or (common == expected and len(found) == 1)


def test_a_common_word_is_not_counted_out() -> None:
    counts = {"common": 900, "rare": 3}
    searcher = postings.Postings()
    with patch.object(postings, "MAX_POSTINGS", 100), patch.object(postings, "FIRST_COUNTED", 10):
        assert searcher._rarest(connected(counts), set(counts)) == ["rare"]
    assert searcher._counted["common"].n_chunks <= 101
    with patch.object(postings, "MAX_POSTINGS", 12), patch.object(postings, "FIRST_COUNTED", 10):
        again = postings.Postings()
        assert again._rarest(connected(counts), set(counts)) == ["rare"]
        assert again._counted["common"].n_chunks == 10, "that it is over the rest is known by then"
