"""The SQLite file: connections, migrations, transactions, and what a damaged one becomes.

Three connections: results are synced lazily (a killed process loses nothing, a power cut the last
moments); the journal is synced in full before any action; readers never wait for a writer.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from sentinel.clock import read_moment_now, utcnow
from sentinel.core.moment import write_moment
from sentinel.errors import StateError
from sentinel.store.audit import move_heads_aside
from sentinel.store.document import decode
from sentinel.store.folder import FILE
from sentinel.store.identity import Identity
from sentinel.store.pages import (
    DamagedPages,
    SchemaModel,
    check_header,
    check_pages,
    check_schema,
    make_model,
)
from sentinel.store.reading import RowReader
from sentinel.store.salvage import JOURNAL_LOST, inspect
from sentinel.store.table import TABLES, make_seal, replace

SCHEMA_VERSION = 5
SEALED_SINCE = 4
KEPT_ASIDE = 5
"""Damaged files that are kept; a disk that damages one after the other must not fill up with them."""
WAL_LIMIT = 8 << 20
"""Bytes that the write-ahead log keeps after it was worked off."""
_MIGRATIONS = {
    n: Path(__file__).with_name(name)
    for n, name in (
        (1, "schema.sql"),
        (2, "schema_2.sql"),
        (3, "schema_3.sql"),
        (4, "schema_4.sql"),
        (5, "schema_5.sql"),
    )
}
_INCREMENTAL = 2
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_OF_THE_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}
"""What another look may not find: no reason to call a file damaged."""
_UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)
"""Errors of what was to be written, not of the disk: writing it again would fail again."""


class Database:
    """One file. Safe to use from several threads; each write is one transaction.

    `owner` is the daemon that holds the lock of the state folder: only it looks for damage and sets
    aside what is damaged; a command beside a running daemon never does.
    """

    def __init__(self, folder: Path, *, writable: bool, owner: bool) -> None:
        self.path, self.owner = folder / FILE, owner
        self.moved_aside: list[Path] = []
        """A file that was damaged, under its new name."""
        self.stride = 200
        """Rows of the next step of retention."""
        self._writing, self._reading = threading.RLock(), threading.RLock()
        self.identity = Identity(self.path)
        self.rows = RowReader(self)
        self._open(writable=writable)

    # -- open and close ---------------------------------------------------------------------------

    def _open(self, *, writable: bool) -> None:
        self.connections: list[sqlite3.Connection] = []
        self.identity.approach(writable=writable, owner=self.owner, schema=SCHEMA_VERSION)
        try:
            if self.owner:
                check_header(self.path)
            self.results = self._connect("NORMAL")
            self._check_version(writable=writable)
            if writable:
                self._migrate()
            if self.owner:
                self._inspect()
                self._compact()
            self.journal = self._connect("FULL")
            self._reader = self._connect("NORMAL")
            self.identity.meet(self.results, owner=self.owner)
        except sqlite3.DatabaseError as error:
            self.close()
            if not self.owner or not is_corrupt(error):
                raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error
            self._begin_anew()
        except StateError:
            self.close()
            raise

    def _begin_anew(self) -> None:
        """A file that can't be mended goes aside as a whole; what it had recorded is in there."""
        stamp = f"{utcnow():%Y%m%dT%H%M%S%f}"
        self._move_aside(stamp)
        # Killed before the loss is written down, the next start finds that a state is missing.
        self.identity = Identity(self.path)
        self._open(writable=True)
        with self.transaction() as db:
            replace(db, "meta", (JOURNAL_LOST, write_moment(read_moment_now())))
        self.identity.accept(self.results)
        move_heads_aside(self.path.parent, stamp)

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=5
        )
        self.connections.append(connection)
        if not self.path.stat().st_size:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    def close(self) -> None:
        """Let go of the file."""
        with self._writing, self._reading:
            for connection in self.connections:
                connection.close()

    def _check_version(self, *, writable: bool) -> None:
        (version,) = self.results.execute("PRAGMA user_version").fetchone()
        if self.owner and version != SCHEMA_VERSION and self._is_ours_by_now():
            raise DamagedPages(f"malformed: schema {version} in the header")
        if not writable and version < SCHEMA_VERSION:
            written = (
                f"was written by an older sentinel (schema {version})"
                if version
                else "has nothing in it yet"
            )
            guidance = "`sentinel run` brings it up to date when it starts"
            raise StateError(f"{self.path} {written}", guidance)
        if version < 0:
            if self.owner:
                raise DamagedPages(f"malformed: schema {version} in the header")
            text = f"{self.path} has a damaged header (schema {version})"
            raise StateError(text, "the daemon moves it aside at its next start")
        if version > SCHEMA_VERSION:
            raise StateError(
                f"{self.path} was written by a newer sentinel (schema {version}, this one knows"
                f" {SCHEMA_VERSION})",
                "upgrade sentinel, or give it another `state:` folder",
            )

    def _is_ours_by_now(self) -> bool:
        """Whether everything but the header says that this version wrote it."""
        mark = self.identity.read()
        if mark is None or mark.schema != SCHEMA_VERSION:
            return False
        try:
            check_schema(self.results, _model(), exactly=True)
        except DamagedPages:
            return False
        return True

    def _migrate(self) -> None:
        (version,) = self.results.execute("PRAGMA user_version").fetchone()
        if version >= SCHEMA_VERSION:
            return
        # All steps or none: a state that can't be brought up to date is left as it was.
        db, steps = self.results, range(version + 1, SCHEMA_VERSION + 1)
        try:
            script = ";".join(_MIGRATIONS[number].read_text() for number in steps)
            script = script if version else _model().script
            db.executescript(f"BEGIN IMMEDIATE;{script}")
            if 0 < version < SEALED_SINCE:
                _seal_all(db)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")
        except BaseException:
            _roll_back(db)
            raise

    def _inspect(self) -> None:
        """Raises DatabaseError for what can't be mended row by row."""
        check_schema(self.results, _model())
        try:
            check_pages(self.results)
            whole = True
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            whole = False
        try:
            self._mend(whole=whole)
        except sqlite3.DatabaseError as error:
            _roll_back(self.results)
            if _code_of(error) in _OF_THE_DISK:
                raise
            raise DamagedPages(f"malformed: {error}") from error

    def _mend(self, *, whole: bool) -> None:
        db = self.results
        db.execute("BEGIN IMMEDIATE")
        if not whole:
            db.execute("REINDEX")
        inspect(db, everything=not whole)
        db.execute("COMMIT")
        if not whole:
            check_pages(db)

    def _compact(self) -> None:
        """A file of an older sentinel gives no page back: once, it is written anew, if there is
        room for it.
        """
        (mode,) = self.results.execute("PRAGMA auto_vacuum").fetchone()
        size = self.path.stat().st_size
        if mode == _INCREMENTAL or shutil.disk_usage(self.path.parent).free < 3 * size:
            return
        self.results.execute("PRAGMA auto_vacuum = INCREMENTAL")
        with suppress(sqlite3.OperationalError):  # no room after all, or somebody reads just now
            self.results.execute("VACUUM")

    def _move_aside(self, stamp: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                self.moved_aside.append(file.rename(file.with_name(f"{file.name}.corrupt-{stamp}")))
        kept = sorted({file.name.rpartition("-")[2] for file in self._find_aside()})[-KEPT_ASIDE:]
        for file in self._find_aside():
            if file.name.rpartition("-")[2] not in kept:
                file.unlink(missing_ok=True)

    def _find_aside(self) -> list[Path]:
        return list(self.path.parent.glob("*.corrupt-*"))

    # -- read and write ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction of results: synced lazily."""
        with self._transaction(self.results) as db:
            yield db

    @contextmanager
    def act(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is synced in full before what it announces is done, and that a state
        which comes back older would lack: it is counted beside the database, too.
        """
        with self._writing:
            with self._transaction(self.journal) as db:
                yield db
                generation = self.identity.count(db)
            self.identity.advance(self.journal, generation)

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        with self._writing:
            try:
                self.identity.check_place()
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except _UNSTORABLE as error:
                _roll_back(connection)
                raise ValueError(f"can't be stored: {error}") from error
            except sqlite3.Error as error:
                _roll_back(connection)
                raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error
            except BaseException:
                _roll_back(connection)
                raise

    def give_back(self, spare: int, most: int) -> int:
        """Free pages beyond `spare` go back to the file system, at most so many; how many did. The
        file shrinks at its next checkpoint.
        """
        with self._writing:
            try:
                self.identity.check_place()
                (free,) = self.results.execute("PRAGMA freelist_count").fetchone()
                if free <= spare:
                    return 0
                # A script: `execute` ends a statement without columns at its first page.
                count = min(free - spare, most)
                self.results.executescript(f"PRAGMA incremental_vacuum({count});")
                (left,) = self.results.execute("PRAGMA freelist_count").fetchone()
            except sqlite3.Error as error:
                raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error
            return int(free - left)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as they are. What is no text comes as bytes."""
        with self._reading:
            try:
                return self._reader.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if hasattr(error, "sqlite_errorcode"):
                    raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error
                return self._query_bytes(sql, parameters)
            except sqlite3.Error as error:
                raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error

    def _query_bytes(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._reader.text_factory = decode
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error
        finally:
            self._reader.text_factory = str


def is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """By SQLite's code, never by its words; the low byte is the kind, the rest details."""
    return isinstance(error, DamagedPages) or _code_of(error) in _CORRUPT


def _code_of(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _guidance_for(error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.DatabaseError) and is_corrupt(error):
        return "the file is damaged: the daemon moves it aside at its next start"
    return "look at the disk and the rights of the state folder"


@cache
def _model() -> SchemaModel:
    return make_model(";".join(path.read_text() for path in _MIGRATIONS.values()))


def _seal_all(db: sqlite3.Connection) -> None:
    """What an older sentinel wrote is taken as it is; a text that is none gets no seal."""
    db.text_factory = decode
    try:
        for table in TABLES.values():
            rows = db.execute(table.select).fetchall()
            seals = [(_seal_or_none(table.name, row), number) for number, _, *row in rows]
            db.executemany(f"UPDATE {table.name} SET seal = ? WHERE rowid = ?", seals)  # noqa: S608 - ours
    finally:
        db.text_factory = str


def _seal_or_none(table: str, row: Sequence[Any]) -> int | None:
    with suppress(TypeError):
        return make_seal(table, row)
    return None
