"""The words of blocks in FTS5: added, forgotten, searched by BM25."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from .words import words

MOST_POSTINGS = 4_000  # chunks that a query looks at: its commonest words are left out above that
COUNTS_LAST = 500  # files put until the words are counted anew: the counts only choose among words
MOST_OF_A_WORD = 3  # how often a word of a query counts at most


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


class Postings:
    """Searches; remembers how many chunks have a word, since counting a common one takes milliseconds."""

    def __init__(self) -> None:
        self._n_chunks_of: dict[str, int] = {}
        self._n_puts = 0

    def changed(self, n_files: int) -> None:
        """Notes that files were put."""
        self._n_puts += n_files
        if self._n_puts > COUNTS_LAST:
            self._n_chunks_of.clear()
            self._n_puts = 0

    def search(
        self, connection: sqlite3.Connection, wanted: Sequence[str], limit: int
    ) -> list[tuple[int, float]]:
        """The blocks that words are found in, best first: (id, BM25)."""
        counted = sorted((self._n_chunks(connection, word), word) for word in set(wanted))
        chosen: list[str] = []
        n_postings = 0
        for n_chunks, word in counted:
            n_postings += n_chunks
            if chosen and n_postings > MOST_POSTINGS:
                break
            if n_chunks:
                chosen += [_quoted(word)] * min(MOST_OF_A_WORD, wanted.count(word))
        if not chosen:
            return []
        found = connection.execute(
            "SELECT rowid, -rank FROM postings WHERE postings MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(chosen), limit),
        )
        return found.fetchall()

    def _n_chunks(self, connection: sqlite3.Connection, word: str) -> int:
        if not self._n_chunks_of.get(word):
            # a common word need not be counted to its end: it is left out anyway
            (self._n_chunks_of[word],) = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM postings WHERE postings MATCH ? LIMIT ?)",
                (_quoted(word), MOST_POSTINGS + 1),
            ).fetchone()
        return self._n_chunks_of[word]


def _posted(names: str, text: str) -> tuple[str, str]:
    return " ".join(words(names)), " ".join(words(text))


def _quoted(word: str) -> str:
    doubled = word.replace('"', '""')
    return f'"{doubled}"'
