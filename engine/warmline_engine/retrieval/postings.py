"""The words of blocks in FTS5: added, forgotten, searched by BM25."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from .words import words

MOST_POSTINGS = 3_000  # chunks that a query looks at: its commonest words are left out above that
MERGED_PAGES = 500  # of 4 KiB in one transaction, some 50 ms, for which others wait
COUNTS_LAST = 500  # files put until the words are counted anew: the counts only choose among words
MAX_WORDS = 1_000  # different ones of a query, the first
MOST_OF_A_WORD = 2  # how often a word of a query counts at most
FIRST_COUNTED = (
    128  # chunks that have a word are counted so far, where that is enough to leave it out
)
COUNTED_TIMES = 4  # else so many times further


def add(connection: sqlite3.Connection, chunk: int | None, names: str, text: str) -> None:
    """Makes a block found by the words of its names and of its text."""
    connection.execute(
        "INSERT INTO postings (rowid, names, body) VALUES (?, ?, ?)", (chunk, *_posted(names, text))
    )


def remove(connection: sqlite3.Connection, chunk: int, names: str, text: str) -> None:
    """Forgets a block. FTS5 keeps no text here: it must be told again what it is to forget."""
    connection.execute(
        "INSERT INTO postings (postings, rowid, names, body) VALUES ('delete', ?, ?, ?)",
        (chunk, *_posted(names, text)),
    )


def merge(connection: sqlite3.Connection, *, begins: bool) -> bool:
    """Brings together what many transactions wrote, for searches to read less; whether there is more to do."""
    before = connection.total_changes
    # a negative number of pages asks for one segment at last, a positive one goes on with that
    n_pages = -MERGED_PAGES if begins else MERGED_PAGES
    connection.execute("INSERT INTO postings (postings, rank) VALUES ('merge', ?)", (n_pages,))
    # the command itself counts as one change
    return connection.total_changes - before >= 2


class Postings:
    """Searches; remembers how many chunks have a word, since counting a common one takes milliseconds."""

    def __init__(self) -> None:
        self._counted: dict[str, _Count] = {}
        self._n_puts = 0

    def changed(self, n_files: int) -> None:
        """Notes that files were put."""
        self._n_puts += n_files
        if self._n_puts > COUNTS_LAST:
            self._counted.clear()
            self._n_puts = 0

    def search(
        self, connection: sqlite3.Connection, wanted: Sequence[str], limit: int
    ) -> list[tuple[int, float]]:
        """The blocks that words are found in, best first: (id, BM25)."""
        chosen: list[str] = []
        counts = Counter(wanted)
        for word in self._rarest(connection, set(islice(counts, MAX_WORDS))):
            chosen += [_quoted(word)] * min(MOST_OF_A_WORD, counts[word])
        if not chosen:
            return []
        found = connection.execute(
            "SELECT rowid, -rank FROM postings WHERE postings MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(chosen), limit),
        )
        return found.fetchall()

    def _rarest(self, connection: sqlite3.Connection, words: set[str]) -> list[str]:
        """The rarest words that stand in MOST_POSTINGS chunks together, one at least; others are not counted out."""
        chosen: list[str] = []
        n_postings, limit, is_last = 0, FIRST_COUNTED, False
        while words and not is_last:
            is_last = limit > MOST_POSTINGS
            counted = sorted((self._count(connection, word, limit), word) for word in words)
            for n_chunks, word in counted:
                if n_chunks >= limit and not is_last:
                    break
                n_postings += n_chunks
                if chosen and n_postings > MOST_POSTINGS:
                    return chosen
                if n_chunks:
                    chosen.append(word)
                words.discard(word)
            if chosen and n_postings + limit > MOST_POSTINGS:
                break  # any that is left stands in as many chunks
            limit = min(COUNTED_TIMES * limit, MOST_POSTINGS + 1)
        return chosen

    def _count(self, connection: sqlite3.Connection, word: str, limit: int) -> int:
        """How many chunks have a word; `limit` where that many have it at least."""
        known = self._counted.get(word)
        # none: it may have been written since
        if known is None or known.n_chunks == 0 or (known.n_chunks == known.limit < limit):
            (n_chunks,) = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM postings WHERE postings MATCH ? LIMIT ?)",
                (_quoted(word), limit),
            ).fetchone()
            known = self._counted[word] = _Count(n_chunks, limit)
        return min(known.n_chunks, limit)


@dataclass(frozen=True)
class _Count:
    """Chunks that have a word, counted up to a limit."""

    n_chunks: int
    limit: int


def _posted(names: str, text: str) -> tuple[str, str]:
    return " ".join(words(names)), " ".join(words(text))


def _quoted(word: str) -> str:
    doubled = word.replace('"', '""')
    return f'"{doubled}"'
