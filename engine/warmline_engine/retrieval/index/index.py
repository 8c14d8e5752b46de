"""The index of a workspace: the chunks of its files, found by their words or by the name they define.

This file is longer than 300 lines because writing, removing and the checksums that detect damage must agree.
"""

from __future__ import annotations

import enum
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from warmline_engine.retrieval.source.split import split

from . import postings, vectors
from .database import DamagedRowError, Database
from .encoder import Encoder
from .postings import Postings
from .vectors import Vectors

log = logging.getLogger(__name__)
_COLUMNS = (
    "chunks.id, files.path, files.language, kind, start, line, scopes, name, text, sum "
    "FROM chunks JOIN files ON files.id = file"
)


class Kind(enum.IntEnum):
    BLOCK = 0
    SIGNATURE = 1


@dataclass(frozen=True)
class Chunk:
    """A stored chunk.

    Units: start counts code points, line counts from 0; a signature has its line only, and start 0.
    """

    id: int
    path: str
    language: str
    kind: Kind
    start: int
    line: int
    scopes: tuple[str, ...]
    name: str
    text: str


@dataclass(frozen=True)
class Stamp:
    """Shows without reading whether a file changed; an unsaved document has none."""

    size: int
    mtime_ns: int


UNSAVED = Stamp(-1, -1)  # no file on disk looks like this: what is unsaved is read anew some day


class Index:
    """Stores files and finds their chunks. For one thread; other threads and processes open the same file themselves.

    Without an encoder nothing is found by vectors, and blocks stay without vectors.
    """

    def __init__(
        self,
        path: Path,
        notify: Callable[[str], None] = log.warning,
        encoder: Encoder | None = None,
    ) -> None:
        self._database = Database(path, notify)
        self._postings = Postings()
        self._vectors = Vectors(self._database, encoder) if encoder else None

    @property
    def n_resets(self) -> int:
        """How often the database was created again since it was opened."""
        return self._database.n_resets

    def close(self) -> None:
        self._database.close()

    def note_checked(self) -> None:
        """Notes that another process has checked the file."""
        self._database.note_whole()

    def check(self) -> None:
        """Compares everything with its checksums and rebuilds a damaged index.

        Cost: nothing if the file was closed and sealed, otherwise reads all of it.
        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        if not self._database.is_sealed:
            # in one snapshot, so that a write of another process does not look like damage
            self._database.read(_check)
        self._database.note_whole()

    def put(self, files: Iterable[tuple[str, str, str, Stamp]]) -> int:
        """Puts texts as (path, language, text, stamp) in one transaction; returns how many are new.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        entries = [_Entry.of(*file) for file in files]
        known = self._database.run(lambda c: [_known(c, entry.path) for entry in entries])
        for entry, row in zip(entries, known, strict=True):
            if row is None or row[1:] != (entry.hash, entry.language):
                entry.split()  # before the transaction, which keeps others waiting
        n_put = self._database.write(lambda c: sum(_put(c, entry) for entry in entries))
        self._postings.changed(n_put)
        return n_put

    def remove(self, paths: Iterable[str]) -> None:
        """Forgets files.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        gone = list(paths)

        def action(connection: sqlite3.Connection) -> None:
            for path in gone:
                row = connection.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
                if row is not None:
                    _remove_chunks(connection, row[0])
                    connection.execute("DELETE FROM files WHERE id = ?", row)

        self._database.write(action)

    def stamps(self) -> dict[str, Stamp]:
        """The stamp of each file by path."""
        return self._database.run(
            lambda c: {
                path: Stamp(size, mtime_ns)
                for path, size, mtime_ns in c.execute("SELECT path, size, mtime_ns FROM files")
            }
        )

    def merge(self) -> None:
        """Merges postings to make searches faster, in short transactions.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        begins = True
        while self._database.write(lambda c, begins=begins: postings.merge(c, begins=begins)):
            begins = False

    def counts(self) -> tuple[int, int]:
        """How many files and chunks there are."""
        return self._database.run(
            lambda c: c.execute(
                "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM chunks)"
            ).fetchone()
        )

    def search(self, wanted: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """The blocks that contain words, best first: (id, BM25). A word that is given twice counts twice.

        Cost: looks at some MAX_POSTINGS chunks, the rarest words first.
        """
        return self._database.run(lambda c: self._postings.search(c, wanted, limit))

    def similar(self, text: str, limit: int) -> list[tuple[int, float]]:
        """The blocks whose vectors are nearest to a text's, the nearest first: (id, cosine).

        Cost: one product of all vectors with one.
        """
        return self._vectors.search(text, limit) if self._vectors else []

    def follow(self, most: int) -> int:
        """Computes vectors of blocks that have none, up to a limit; returns how many, 0 if there is nothing to do.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        return self._vectors.follow(most) if self._vectors else 0

    def chunks(self, ids: Iterable[int]) -> dict[int, Chunk]:
        """Chunks by id; deleted ones are left out."""
        numbers = list(ids)
        marks = ",".join("?" * len(numbers))
        statement = f"SELECT {_COLUMNS} WHERE chunks.id IN ({marks})"
        return self._database.run(
            lambda c: {row[0]: _chunk(row) for row in c.execute(statement, numbers)}
        )

    def named(self, name: str, paths: Sequence[str] | None = None, limit: int = 50) -> list[Chunk]:
        """The chunks that define a name, in the files of these paths, or in any."""
        marks = "" if paths is None else f"AND path IN ({','.join('?' * len(paths))})"
        condition = f"name = ? AND name != '' {marks} ORDER BY chunks.id LIMIT ?"
        return self._rows(condition, (name, *(paths or ()), limit))

    def of_file(self, path: str) -> list[Chunk]:
        """The chunks of a file in order."""
        return self._rows("path = ? ORDER BY kind, line, chunks.id", (path,))

    def _rows(self, condition: str, values: tuple[object, ...]) -> list[Chunk]:
        statement = f"SELECT {_COLUMNS} WHERE {condition}"
        return self._database.run(lambda c: [_chunk(row) for row in c.execute(statement, values)])


def content_hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass
class _Entry:
    """A file ready to be written."""

    path: str
    language: str
    stamp: Stamp
    hash: bytes
    text: str
    _rows: list[tuple[Kind, int, int, str, str, str]] | None = None

    @classmethod
    def of(cls, path: str, language: str, text: str, stamp: Stamp) -> _Entry:
        clean = text.encode("utf-8", "replace").decode()
        return cls(path, language, stamp, content_hash(clean), clean)

    def split(self) -> list[tuple[Kind, int, int, str, str, str]]:
        """The file's chunks as (kind, start, line, scopes, name, text); computed once."""
        if self._rows is not None:
            return self._rows
        parts = split(self.text, self.language)
        rows = [
            (Kind.BLOCK, b.start, b.line, _joined(b.scopes), b.name, b.text) for b in parts.blocks
        ]
        rows += [
            (Kind.SIGNATURE, 0, s.line, _joined(s.scopes), s.name, s.text) for s in parts.signatures
        ]
        self._rows = rows
        return rows


def _known(connection: sqlite3.Connection, path: str) -> tuple[int, bytes, str] | None:
    return connection.execute(
        "SELECT id, hash, language FROM files WHERE path = ?", (path,)
    ).fetchone()


def _put(connection: sqlite3.Connection, entry: _Entry) -> bool:
    """Writes a file, and those of its chunks that are new; returns whether the text is new."""
    known = _known(connection, entry.path)
    stamp = (entry.stamp.size, entry.stamp.mtime_ns)
    if known is not None and known[1:] == (entry.hash, entry.language):
        connection.execute(
            "UPDATE files SET size = ?, mtime_ns = ? WHERE id = ?", (*stamp, known[0])
        )
        return False
    if known is None:
        file = connection.execute(
            "INSERT INTO files (path, size, mtime_ns, hash, language, chunk_sums) "
            "VALUES (?, ?, ?, ?, ?, 0)",
            (entry.path, *stamp, entry.hash, entry.language),
        ).lastrowid
        assert file is not None
        kept: dict[tuple[object, ...], list[int]] = {}
    else:
        file = known[0]
        connection.execute(
            "UPDATE files SET size = ?, mtime_ns = ?, hash = ?, language = ? WHERE id = ?",
            (*stamp, entry.hash, entry.language, file),
        )
        kept = {}
        for row in connection.execute(
            "SELECT kind, scopes, name, text, id FROM chunks WHERE file = ?", (file,)
        ):
            kept.setdefault(row[:-1], []).append(row[-1])
    moved: list[tuple[int, int, int, int]] = []
    totals = 0
    for kind, start, line, scopes, name, text in entry.split():
        total = _sum(entry.path, kind, start, line, scopes, name, text)
        totals += total
        if same := kept.get((kind, scopes, name, text)):
            moved.append((start, line, total, same.pop()))
            continue
        chunk = connection.execute(
            "INSERT INTO chunks (file, kind, start, line, scopes, name, text, sum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (file, kind, start, line, scopes, name, text, total),
        ).lastrowid
        if kind == Kind.BLOCK:
            postings.add(connection, chunk, f"{name} {scopes} {entry.path}", text)
            connection.execute("INSERT INTO unencoded VALUES (?)", (chunk,))
    connection.executemany("UPDATE chunks SET start = ?, line = ?, sum = ? WHERE id = ?", moved)
    connection.execute(
        "UPDATE files SET chunk_sums = ? WHERE id = ?",
        (_of_file(entry.path, entry.hash, entry.language, totals), file),
    )
    for gone in kept.values():
        for chunk in gone:
            _remove_chunk(connection, entry.path, chunk)
    return True


def _remove_chunks(connection: sqlite3.Connection, file: int) -> None:
    (path,) = connection.execute("SELECT path FROM files WHERE id = ?", (file,)).fetchone()
    for (chunk,) in connection.execute("SELECT id FROM chunks WHERE file = ?", (file,)).fetchall():
        _remove_chunk(connection, path, chunk)


def _remove_chunk(connection: sqlite3.Connection, path: str, chunk: int) -> None:
    kind, scopes, name, text = connection.execute(
        "SELECT kind, scopes, name, text FROM chunks WHERE id = ?", (chunk,)
    ).fetchone()
    if kind == Kind.BLOCK:
        postings.remove(connection, chunk, f"{name} {scopes} {path}", text)
        connection.execute("DELETE FROM vectors WHERE chunk = ?", (chunk,))
        connection.execute("DELETE FROM unencoded WHERE chunk = ?", (chunk,))
    connection.execute("DELETE FROM chunks WHERE id = ?", (chunk,))


def _joined(scopes: tuple[str, ...]) -> str:
    return "\n".join(scopes)


def _sum(path: str, *values: object) -> int:
    """A checksum of a chunk; a file's checksum is the sum over its chunks, in any order."""
    content = "\0".join((path, *(str(v if isinstance(v, str) else int(v)) for v in values)))  # pyright: ignore
    return int.from_bytes(blake2b(content.encode(), digest_size=6).digest(), "big")


def _of_file(path: str, hash: bytes, language: str, totals: int) -> int:
    content = f"{path}\0{language}\0{totals}".encode() + hash
    return int.from_bytes(blake2b(content, digest_size=6).digest(), "big")


def _chunk(row: tuple[int, str, str, int, int, int, str, str, str, int]) -> Chunk:
    """Raises: DamagedRowError."""
    if row[9] != _sum(row[1], *row[3:9]):
        raise DamagedRowError
    scopes = tuple(row[6].split("\n")) if row[6] else ()
    return Chunk(*row[:3], Kind(row[3]), row[4], row[5], scopes, row[7], row[8])


def _check(connection: sqlite3.Connection) -> None:
    """Compares everything stored with its checksums, and the postings with the chunks.

    Cost: reads all of it once. Raises: DamagedRowError.
    """
    if connection.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
        raise DamagedRowError
    paths: dict[int, tuple[str, bytes, str, int]] = {}
    for file, *row in connection.execute("SELECT id, path, hash, language, chunk_sums FROM files"):
        paths[file] = (row[0], row[1], row[2], row[3])
    totals = dict.fromkeys(paths, 0)
    expected, blocks = postings.Totals(), set[int]()
    for id, file, total, *row in connection.execute(
        "SELECT id, file, sum, kind, start, line, scopes, name, text FROM chunks"
    ):
        path = paths[file][0]
        if total != _sum(path, *row):
            raise DamagedRowError
        totals[file] += total
        if row[0] == Kind.BLOCK:
            blocks.add(id)
            expected.add(id, f"{row[4]} {row[3]} {path}", row[5])
    if any(_of_file(*row[:3], totals[file]) != row[3] for file, row in paths.items()):
        raise DamagedRowError
    if not postings.agrees(connection, expected):
        raise DamagedRowError
    vectors.check(connection, blocks)
