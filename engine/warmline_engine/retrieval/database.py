"""One SQLite file a workspace: its tables, several processes at once, and what to do when it is damaged.

A transaction is whole or not there (WAL). A damaged file is removed and begun anew, and that is said once.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from warmline_engine.errors import IndexBusy, IndexFull, RetrievalError

VERSION = 2  # of the tables and of the words in them: another one is begun anew
WAIT_S = 5.0  # for another process's transaction
_TABLES = """
    CREATE TABLE files (
        id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, hash BLOB NOT NULL, language TEXT NOT NULL
    );
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY, file INTEGER NOT NULL, kind INTEGER NOT NULL, start INTEGER NOT NULL,
        line INTEGER NOT NULL, scopes TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL
    );
    CREATE INDEX chunks_of_file ON chunks (file);
    CREATE INDEX chunks_by_name ON chunks (name) WHERE name != '';
    CREATE VIRTUAL TABLE postings USING fts5(
        names, body, content='', tokenize="unicode61 remove_diacritics 0 tokenchars '_'"
    );
    CREATE TABLE vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT, chunk INTEGER UNIQUE NOT NULL, codes BLOB NOT NULL
    );
    CREATE TABLE unencoded (chunk INTEGER PRIMARY KEY);
    CREATE TABLE encoder (fingerprint TEXT NOT NULL);
    INSERT INTO postings(postings, rank) VALUES ('rank', 'bm25(3.0, 1.0)');
"""
_T = TypeVar("_T")


class Database:
    """A connection that begins anew when the file turns out to be damaged. For one thread.

    `n_begun` counts how often it was begun anew: what was put before is gone then.
    """

    def __init__(self, path: Path, tell: Callable[[str], None], wait_s: float = WAIT_S) -> None:
        self.path, self.n_begun = path, 0
        self._tell, self._wait_s = tell, wait_s
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self.run(lambda connection: None)

    def run(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """What an action gives, a second time on an empty database where the first was damaged.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        try:
            return action(self._opened())
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise self._translated(error) from None
        self._begin_anew()
        try:
            return action(self._opened())
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from None

    def write(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """As `run`, in one transaction."""

        def whole(connection: sqlite3.Connection) -> _T:
            with transaction(connection):
                return action(connection)

        return self.run(whole)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        # a file that another process began anew is another file under the same name
        if self._connection is not None and _identity(self.path) != self._identity:
            self.close()
            self.n_begun += 1
        if self._connection is None:
            self._connection = self._connect()
            self._identity = _identity(self.path)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._wait_s, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -16000")
            connection.execute("PRAGMA temp_store = MEMORY")
            if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
                _make_tables(connection)
            connection.execute("SELECT count(*) FROM files").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin_anew(self) -> None:
        before = self._identity
        self.close()
        with FileLock(f"{self.path}.lock"):
            if before is None or _identity(self.path) == before:
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.n_begun += 1
        if self.n_begun == 1:
            self._tell(f"the index {self.path} was damaged; it is built anew")

    def _translated(self, error: sqlite3.DatabaseError) -> RetrievalError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return IndexBusy(f"{self.path}: another process is writing it; try again later")
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return IndexFull(f"{self.path}: no room for the index, free some space ({error})")
        return RetrievalError(f"{self.path} cannot be used: {error}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that writes; undone whole when anything fails in it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # a full disk has ended the transaction already
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def _make_tables(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        # another process may have been first
        if connection.execute("PRAGMA user_version").fetchone() == (VERSION,):
            return
        for name in ("postings", "chunks", "files", "vectors", "unencoded", "encoder"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    # a table is gone though the version is right
    return code == sqlite3.SQLITE_ERROR and "no such table" in str(error)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
