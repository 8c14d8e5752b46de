"""One SQLite file for each workspace: its tables, access by several processes, recovery from damage.

A transaction is complete or absent (WAL). A damaged file is removed and created again, and that is logged once.

SQLite notices damage to its own structures only. So whoever closes a database seals it: a file beside it holds a digest
of the whole. A write removes the seal before it commits. A sealed file that differs from its digest is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from warmline_engine.errors import IndexBusy, IndexFull, RetrievalError

VERSION = 3  # of the tables and of the words in them: a file of another version is created again
WAIT_S = 5.0  # for another process's transaction
TOKENIZE = """tokenize="unicode61 remove_diacritics 0 tokenchars '_'\""""
_TABLES = f"""
    CREATE TABLE files (
        id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, hash BLOB NOT NULL, language TEXT NOT NULL,
        chunk_sums INTEGER NOT NULL
    );
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY, file INTEGER NOT NULL, kind INTEGER NOT NULL, start INTEGER NOT NULL,
        line INTEGER NOT NULL, scopes TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,
        sum INTEGER NOT NULL
    );
    CREATE INDEX chunks_of_file ON chunks (file);
    CREATE INDEX chunks_by_name ON chunks (name) WHERE name != '';
    CREATE VIRTUAL TABLE postings USING fts5(names, body, content='', {TOKENIZE});
    CREATE TABLE vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT, chunk INTEGER UNIQUE NOT NULL, codes BLOB NOT NULL,
        sum INTEGER NOT NULL
    );
    CREATE TABLE unencoded (chunk INTEGER PRIMARY KEY);
    CREATE TABLE encoder (fingerprint TEXT NOT NULL);
    INSERT INTO postings(postings, rank) VALUES ('rank', 'bm25(3.0, 1.0)');
"""
_T = TypeVar("_T")
_NO_DAMAGE = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_INTERRUPT,
)  # fmt: skip
# what actions raise when rows are not of the kind that was written
_BAD_ROWS = (UnicodeError, TypeError, ValueError, OverflowError, KeyError, MemoryError)


class DamagedRowError(Exception):
    """A row does not match its checksum."""


class Database:
    """A connection that replaces a damaged file by an empty one. For one thread.

    `n_resets` counts how often the file was created again, which loses all that was in it.
    """

    def __init__(self, path: Path, notify: Callable[[str], None], wait_s: float = WAIT_S) -> None:
        self.path, self.n_resets = path, 0
        self._notify, self._wait_s = notify, wait_s
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._can_seal = False  # until it is known to be whole
        self.run(lambda connection: None)

    def run(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """Runs an action, and again on an empty database if the first was damaged.

        Raises: IndexBusy, IndexFull, RetrievalError.
        """
        try:
            return action(self._opened())
        except (sqlite3.Error, DamagedRowError, *_BAD_ROWS) as error:
            if isinstance(error, sqlite3.Error) and not _is_damage(error):
                raise self._translated(error) from None
        except OSError as error:
            raise RetrievalError(f"{self.path} cannot be used: {error}") from None
        self.begin_anew()
        try:
            return action(self._opened())
        except sqlite3.Error as error:
            raise self._translated(error) from None
        except (DamagedRowError, OSError, *_BAD_ROWS) as error:
            raise RetrievalError(f"{self.path} cannot be used: {error}") from None

    def read(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """As `run`, in one snapshot: all statements see the same content."""

        def whole(connection: sqlite3.Connection) -> _T:
            connection.execute("BEGIN")
            try:
                return action(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):  # a damaged file has ended it
                    connection.execute("ROLLBACK")

        return self.run(whole)

    def write(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """As `run`, in one transaction."""

        def whole(connection: sqlite3.Connection) -> _T:
            with transaction(connection):
                # before the commit: a seal that is gone too early costs a check, one that is too old all the index
                self._seal.unlink(missing_ok=True)
                return action(connection)

        return self.run(whole)

    def close(self) -> None:
        """Closes the connection, and seals the file if no other connection can write to it."""
        if self._connection is not None and self._can_seal:
            with contextlib.suppress(sqlite3.Error, OSError):
                self._write_seal(self._connection)
        self._disconnect()

    def note_whole(self) -> None:
        """Notes that the file was checked, so that it may be sealed when it is closed."""
        self._can_seal = True

    @property
    def is_sealed(self) -> bool:
        """Whether the file is as it was when it was sealed, so that no check is needed."""
        return self._seal.exists()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _seal(self) -> Path:
        return self.path.with_name(f"{self.path.name}.seal")

    def _write_seal(self, connection: sqlite3.Connection) -> None:
        if self._seal.exists() or _identity(self.path) != self._identity:
            return
        connection.execute("PRAGMA busy_timeout = 0")
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            return
        connection.execute("BEGIN IMMEDIATE")  # no other process commits meanwhile
        try:
            if not _has_log(self.path):
                partial = self._seal.with_name(
                    f"{self._seal.name}.{os.getpid()}-{threading.get_ident()}"
                )
                partial.write_text(_digest(self.path))
                partial.replace(self._seal)
        finally:
            connection.execute("ROLLBACK")

    def _is_as_sealed(self) -> bool:
        """Whether the file matches its seal; True also if it has none, or if another process changed it since."""
        while (sealed := self._sealed()) is not None and not _has_log(self.path):
            is_same = sealed == _digest(self.path).encode()
            # while the digest was made, another process may have written: then the seal is gone or a new one
            if is_same or self._sealed() == sealed:
                return is_same
        return True

    def _sealed(self) -> bytes | None:
        try:
            return self._seal.read_bytes()
        except FileNotFoundError:
            return None

    def _opened(self) -> sqlite3.Connection:
        # a file that another process began anew is another file under the same name
        if self._connection is not None and _identity(self.path) != self._identity:
            self._disconnect()
            self.n_resets += 1
        if self._connection is None:
            self._identity = _identity(self.path)
            if self._identity is None:
                for suffix in ("-wal", "-shm", ".seal"):  # of a file that is gone
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            elif not self.path.is_file():
                raise RetrievalError(f"{self.path} is not a file; remove it")
            elif not self._is_as_sealed():
                raise DamagedRowError
            # a new file and one that agrees with its seal are whole, an unsealed one until it is checked is not
            self._can_seal = self._identity is None or self._seal.exists()
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

    def begin_anew(self) -> None:
        """Removes a damaged database; the next action creates an empty one.

        Raises: RetrievalError.
        """
        before = self._identity
        try:
            self._disconnect()
            with FileLock(f"{self.path}.lock"):
                if before is None or _identity(self.path) == before:
                    for suffix in ("", "-wal", "-shm", ".seal"):
                        self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise RetrievalError(f"{self.path} is damaged and cannot be removed: {error}") from None
        self.n_resets += 1
        if self.n_resets == 1:
            self._notify(f"the index {self.path} was damaged; rebuilding it")

    def _translated(self, error: sqlite3.Error) -> RetrievalError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return IndexBusy(f"{self.path}: another process is writing to it; try again later")
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return IndexFull(
                f"{self.path}: not enough disk space for the index; free some space ({error})"
            )
        return RetrievalError(f"{self.path} cannot be used: {error}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction; any failure undoes all of it."""
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


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is damaged: also if a table is missing, a text is not UTF-8 or an index lacks a row."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code == _SHORT_READ or code & 0xFF not in _NO_DAMAGE


_SHORT_READ = sqlite3.SQLITE_IOERR | 2 << 8  # a file that was cut


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _has_log(path: Path) -> bool:
    """Whether there are changes that are not yet in the file itself."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
