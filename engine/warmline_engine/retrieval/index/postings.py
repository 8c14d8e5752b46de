"""The words of blocks in FTS5: adds, removes and searches them by BM25."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from .database import TOKENIZE
from .words import words

MAX_POSTINGS = 3_000  # chunks that a query looks at: its commonest words are left out above that
MERGED_PAGES = 500  # of 4 KiB in one transaction, some 50 ms, for which others wait
COUNTS_LAST = 500  # files put until the words are counted anew: the counts only choose among words
MAX_WORDS = 1_000  # different ones of a query, the first
MAX_OF_A_WORD = 2  # how often a word of a query counts at most
FIRST_COUNTED = (
    128  # chunks that have a word are counted so far, where that is enough to leave it out
)
COUNTED_TIMES = 4  # else so many times further


def add(connection: sqlite3.Connection, chunk: int | None, names: str, text: str) -> None:
    """Adds a block under the words of its names and of its text."""
    connection.execute(
        "INSERT INTO postings (rowid, names, body) VALUES (?, ?, ?)", (chunk, *_posted(names, text))
    )


def remove(connection: sqlite3.Connection, chunk: int, names: str, text: str) -> None:
    """Removes a block. FTS5 stores no text here, so removing needs the text again."""
    connection.execute(
        "INSERT INTO postings (postings, rowid, names, body) VALUES ('delete', ?, ?, ?)",
        (chunk, *_posted(names, text)),
    )


def merge(connection: sqlite3.Connection, *, begins: bool) -> bool:
    """Merges segments so that searches read less; returns whether there is more to do."""
    before = connection.total_changes
    # a negative number of pages asks for one segment at last, a positive one goes on with that
    n_pages = -MERGED_PAGES if begins else MERGED_PAGES
    connection.execute("INSERT INTO postings (postings, rank) VALUES ('merge', ?)", (n_pages,))
    # the command itself counts as one change
    return connection.total_changes - before >= 2


Sums = tuple[int, int, int]  # of a word in a column: times, and of the blocks' numbers twice


class Totals:
    """The totals that the postings must have."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], list[int]] = {}  # by word and column
        self._others: list[tuple[int, int, Counter[str]]] = []  # with words that are not ASCII
        self.sizes: dict[int, list[int]] = {}  # words of each block by column

    def add(self, block: int, names: str, text: str) -> None:
        """Counts the words of a block."""
        self.sizes[block] = [0, 0]
        for column, part in enumerate((names, text)):
            counts = Counter(words(part))
            if all(map(str.isascii, counts)):
                self._add(block, column, counts)
            else:
                self._others.append((block, column, counts))

    def sums(self, connection: sqlite3.Connection) -> dict[tuple[str, int], Sums]:
        """By word and column, as FTS5 splits words."""
        # FTS5 knows fewer letters than Python, and folds others
        terms = _terms(connection, {w for _, _, cs in self._others for w in cs if not w.isascii()})
        for block, column, counts in self._others:
            split: Counter[str] = Counter()
            for word, count in counts.items():
                for term in terms.get(word, [word] if word.isascii() else []):
                    split[term] += count
            self._add(block, column, split)
        self._others.clear()
        return {key: (n, one, other) for key, (n, one, other) in self._sums.items()}

    def _add(self, block: int, column: int, counts: Counter[str]) -> None:
        self.sizes[block][column] += counts.total()
        square = (block % _PRIME) ** 2
        for word, count in counts.items():
            sums = self._sums.setdefault((word, column), [0, 0, 0])
            sums[0] += count
            sums[1] += count * block
            sums[2] += count * square


_PRIME = 1_000_003


def agrees(connection: sqlite3.Connection, expected: Totals) -> bool:
    """Whether the postings match the blocks.

    Modifies: temporary tables of the connection.
    """
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.posted USING fts5vocab(main, postings, 'instance')"
    )
    found = connection.execute(
        "SELECT term, col, count(*), sum(doc), sum((doc % ?1) * (doc % ?1)) FROM temp.posted "
        "GROUP BY term, col",
        (_PRIME,),
    )
    columns = {"names": 0, "body": 1}
    sums = {(term, columns[column]): (n, one, other) for term, column, n, one, other in found}
    if sums != expected.sums(connection):
        return False
    sizes = {id: b"".join(map(_varint, counts)) for id, counts in expected.sizes.items()}
    if dict(connection.execute("SELECT id, sz FROM postings_docsize")) != sizes:
        return False
    (averages,) = connection.execute("SELECT block FROM postings_data WHERE id = 1").fetchone()
    per_column = [sum(counts[column] for counts in expected.sizes.values()) for column in (0, 1)]
    whole = b"".join(map(_varint, (len(sizes), *per_column)))
    return averages == whole or not (sizes or averages)


def _terms(connection: sqlite3.Connection, wanted: set[str]) -> dict[str, list[str]]:
    """The terms that FTS5 makes of words."""
    names = dict(enumerate(sorted(wanted), 1))
    connection.execute("DROP TABLE IF EXISTS temp.spelled_terms")
    connection.execute("DROP TABLE IF EXISTS temp.spelled")
    connection.execute(f"CREATE VIRTUAL TABLE temp.spelled USING fts5(word, {TOKENIZE})")
    connection.execute(
        "CREATE VIRTUAL TABLE temp.spelled_terms USING fts5vocab(temp, spelled, 'instance')"
    )
    connection.executemany("INSERT INTO temp.spelled (rowid, word) VALUES (?, ?)", names.items())
    found: dict[str, list[str]] = {word: [] for word in wanted}
    for term, number in connection.execute("SELECT term, doc FROM temp.spelled_terms"):
        found[names[number]].append(term)
    return found


def _varint(number: int) -> bytes:
    """A whole number in SQLite's encoding."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


class Postings:
    """Searches. Caches how many chunks contain a word, since counting a common one takes milliseconds."""

    def __init__(self) -> None:
        self._counted: dict[str, _Count] = {}
        self._n_puts = 0

    def changed(self, n_files: int) -> None:
        """Drops the cached counts after files were put."""
        self._n_puts += n_files
        if self._n_puts > COUNTS_LAST:
            self._counted.clear()
            self._n_puts = 0

    def search(
        self, connection: sqlite3.Connection, wanted: Sequence[str], limit: int
    ) -> list[tuple[int, float]]:
        """The blocks that contain words, best first: (id, BM25)."""
        chosen: list[str] = []
        counts = Counter(wanted)
        for word in self._rarest(connection, set(islice(counts, MAX_WORDS))):
            chosen += [_quoted(word)] * min(MAX_OF_A_WORD, counts[word])
        if not chosen:
            return []
        found = connection.execute(
            "SELECT rowid, -rank FROM postings WHERE postings MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(chosen), limit),
        )
        return found.fetchall()

    def _rarest(self, connection: sqlite3.Connection, words: set[str]) -> list[str]:
        """The rarest words, at least one, that occur in MAX_POSTINGS chunks together."""
        chosen: list[str] = []
        n_postings, limit, is_last = 0, FIRST_COUNTED, False
        while words and not is_last:
            is_last = limit > MAX_POSTINGS
            counted = sorted((self._count(connection, word, limit), word) for word in words)
            for n_chunks, word in counted:
                if n_chunks >= limit and not is_last:
                    break
                n_postings += n_chunks
                if chosen and n_postings > MAX_POSTINGS:
                    return chosen
                if n_chunks:
                    chosen.append(word)
                words.discard(word)
            if chosen and n_postings + limit > MAX_POSTINGS:
                break  # any that is left stands in as many chunks
            limit = min(COUNTED_TIMES * limit, MAX_POSTINGS + 1)
        return chosen

    def _count(self, connection: sqlite3.Connection, word: str, limit: int) -> int:
        """How many chunks contain a word, up to `limit`."""
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
