"""The vectors of blocks: stored in the database as whole numbers, searched in memory by one matrix product.

A vector has a number that is never given again. What is in memory may be older than the database: numbers that are
gone there are left out of what is found, higher ones are read before each search. So other processes may write, and
nobody tells anybody.
"""

from __future__ import annotations

import sqlite3
import zlib

import numpy as np
from numpy.typing import NDArray

from .database import DamagedRowError, Database
from .encoder import Encoder, unit

BATCH = 256  # blocks encoded between two transactions
LARGEST = 127  # of the whole numbers that a vector is kept in
_N_TRIES = 2  # searches that meet what is gone, until all of that is looked for
_COLUMNS = "name, scopes, text FROM chunks WHERE id = ?"


class Vectors:
    """The vectors of one database by one encoder; vectors of another encoder are replaced. For one thread."""

    def __init__(self, database: Database, encoder: Encoder) -> None:
        self._database, self._encoder = database, encoder
        self._n_resets = database.n_resets
        self._clear()

    def follow(self, most: int = BATCH) -> int:
        """Encodes blocks without a vector, the newest first; returns how many it checked, 0 if all have one.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        if self._database.run(self._kept_fingerprint) != self._encoder.fingerprint:
            self._database.write(self._claim)
        waiting = self._database.run(lambda c: _waiting(c, most))
        if waiting:
            codes = codes_of(self._encoder.encode([text_of(*row[1:]) for row in waiting]))
            self._database.write(lambda c: self._put(c, waiting, codes))
        return len(waiting)

    def search(self, text: str, limit: int) -> list[tuple[int, float]]:
        """The blocks nearest to a text, the nearest first: (chunk, cosine)."""
        (vector,) = self._encoder.encode([text])
        return self._database.run(lambda c: self._search(c, vector, limit))

    def _clear(self) -> None:
        self._last = 0  # the highest number that was read
        self._n = 0
        # rows from _n on are room
        self._numbers = np.empty(0, np.int64)
        self._matrix = np.empty((0, self._encoder.n_dimensions), np.float32)

    def _kept_fingerprint(self, connection: sqlite3.Connection) -> str:
        row = connection.execute("SELECT fingerprint FROM encoder").fetchone()
        return row[0] if row else ""

    def _claim(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM vectors")
        connection.execute("INSERT OR IGNORE INTO unencoded SELECT id FROM chunks WHERE kind = 0")
        connection.execute("DELETE FROM encoder")
        connection.execute("INSERT INTO encoder VALUES (?)", (self._encoder.fingerprint,))

    def _put(
        self,
        connection: sqlite3.Connection,
        encoded: list[tuple[int, str, str, str]],
        codes: NDArray[np.int8],
    ) -> None:
        if self._kept_fingerprint(connection) != self._encoder.fingerprint:
            return
        for (chunk, *read), row in zip(encoded, codes, strict=True):
            # meanwhile the block may be gone, and its id another block's
            now = connection.execute(f"SELECT {_COLUMNS}", (chunk,)).fetchone()
            if now != tuple(read):
                continue
            if connection.execute("DELETE FROM unencoded WHERE chunk = ?", (chunk,)).rowcount:
                connection.execute(
                    "INSERT INTO vectors (chunk, codes, sum) VALUES (?, ?, ?)",
                    (chunk, row.tobytes(), _sum(chunk, row.tobytes())),
                )

    def _search(
        self, connection: sqlite3.Connection, vector: NDArray[np.float32], limit: int
    ) -> list[tuple[int, float]]:
        self._read(connection)
        n_tries = 0
        while True:
            scores = self._matrix[: self._n] @ vector
            best = (
                np.argpartition(-scores, limit)[:limit] if limit < self._n else np.arange(self._n)
            )
            best = best[np.lexsort((self._numbers[best], -scores[best]))]
            chunks = _chunks(connection, self._numbers[best].tolist())
            gone = [row for row, number in zip(best, self._numbers[best], strict=True)
                    if int(number) not in chunks]  # fmt: skip
            if not gone:
                return [(chunks[int(self._numbers[row])], float(scores[row])) for row in best]
            n_tries += 1
            if n_tries == _N_TRIES:
                kept = connection.execute("SELECT id FROM vectors").fetchall()
                is_kept = np.isin(self._numbers[: self._n], np.array(kept, np.int64).ravel())
                gone = np.flatnonzero(~is_kept).tolist()
            self._drop(gone)

    def _read(self, connection: sqlite3.Connection) -> None:
        """Reads what was added; all of it if the database was created again."""
        if self._database.n_resets != self._n_resets:
            self._n_resets = self._database.n_resets
            self._clear()
        if self._kept_fingerprint(connection) != self._encoder.fingerprint:
            self._clear()
            return
        added = connection.execute(
            "SELECT id, codes, chunk, sum FROM vectors WHERE id > ? AND length(codes) = ? ORDER BY id",
            (self._last, self._encoder.n_dimensions),
        ).fetchall()
        if any(total != _sum(chunk, codes) for _, codes, chunk, total in added):
            raise DamagedRowError
        if not added:
            return
        n = self._n + len(added)
        if len(self._numbers) < n:
            room = max(n, 2 * len(self._numbers))
            numbers, matrix = self._numbers[: self._n], self._matrix[: self._n]
            self._numbers = np.empty(room, np.int64)
            self._matrix = np.empty((room, self._encoder.n_dimensions), np.float32)
            self._numbers[: self._n], self._matrix[: self._n] = numbers, matrix
        codes = np.frombuffer(b"".join(row[1] for row in added), np.int8)
        self._numbers[self._n : n] = [row[0] for row in added]
        self._matrix[self._n : n] = vectors_of(codes.reshape(len(added), -1))
        self._n, self._last = n, added[-1][0]

    def _drop(self, rows: list[int]) -> None:
        """Removes rows: the last ones take their places."""
        for row in sorted(rows, reverse=True):
            self._n -= 1
            self._numbers[row] = self._numbers[self._n]
            self._matrix[row] = self._matrix[self._n]


def text_of(name: str, scopes: str, text: str) -> str:
    """The text of a block that is encoded."""
    return f"{name} {scopes}\n{text}"


def codes_of(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors as whole numbers, scaled to the full range: only the direction matters. Shapes: [n, D] → [n, D]."""
    largest = np.abs(vectors).max(1, keepdims=True, initial=0)
    return np.rint(vectors * (LARGEST / np.where(largest == 0, 1, largest))).astype(np.int8)


def vectors_of(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Unit vectors again. Shapes: [n, D] → [n, D]."""
    return unit(codes.astype(np.float32))


def check(connection: sqlite3.Connection, blocks: set[int]) -> None:
    """Compares vectors with their checksums; each block has a vector or waits for one.

    Raises: DamagedRowError.
    """
    encoded = connection.execute("SELECT chunk, codes, sum FROM vectors").fetchall()
    if any(total != _sum(chunk, codes) for chunk, codes, total in encoded):
        raise DamagedRowError
    waiting = {row[0] for row in connection.execute("SELECT chunk FROM unencoded")}
    has_vector = {row[0] for row in encoded}
    if has_vector | waiting != blocks or has_vector & waiting:
        raise DamagedRowError


def _sum(chunk: int, codes: bytes) -> int:
    return zlib.crc32(codes, chunk & 0xFFFFFFFF)


def _waiting(connection: sqlite3.Connection, most: int) -> list[tuple[int, str, str, str]]:
    return connection.execute(
        "SELECT chunk, name, scopes, text FROM unencoded JOIN chunks ON chunks.id = chunk "
        "ORDER BY chunk DESC LIMIT ?",
        (most,),
    ).fetchall()


def _chunks(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, int]:
    marks = ",".join("?" * len(numbers))
    return dict(connection.execute(f"SELECT id, chunk FROM vectors WHERE id IN ({marks})", numbers))
