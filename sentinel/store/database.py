"""The SQLite file: connections, migrations, transactions, and what a damaged one becomes.

Three connections: results are synced lazily (a killed process loses nothing, a power cut the last
moments); the journal is synced in full before any action; readers never wait for a writer.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sentinel.clock import read_moment_now, utcnow
from sentinel.core.moment import write_moment
from sentinel.errors import ActionRefused, StateError, StateUnwritable
from sentinel.store import scrub
from sentinel.store.audit import move_heads_aside
from sentinel.store.document import decode
from sentinel.store.folder import FILE, MAKE_ROOM, find_cause
from sentinel.store.identity import Identity
from sentinel.store.pages import (
    DamagedPages,
    check_header,
    check_pages,
    check_schema,
)
from sentinel.store.place import StatePlace
from sentinel.store.reading import RowReader
from sentinel.store.salvage import JOURNAL_LOST, inspect
from sentinel.store.schema import SCHEMA_VERSION, find_model, migrate, roll_back
from sentinel.store.scrub import Scrub
from sentinel.store.standby import copied_aside, fill
from sentinel.store.table import replace

_LOOK = "look at the disk and the rights of the state folder"
KEPT_ASIDE = 5
"""Damaged files that are kept; a disk that damages one after the other must not fill up with them."""
TRY_AGAIN = 1.0
"""Seconds after which a state is tried again that could not be written when it was opened."""
WAL_LIMIT = 8 << 20
"""Bytes of the write-ahead log at which it is worked off, and that it keeps: pages that are written
again and again meanwhile reach the file once.
"""
PAGE = 4096
"""Bytes of a page, as SQLite makes them."""
_INCREMENTAL = 2
_abandoned: list[sqlite3.Connection] = []
"""Not closed: what is in a log that was written over would go into the database."""
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
_UNWRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
"""What a disk says that takes nothing."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
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
    aside what is damaged; a command beside a running daemon never does. It takes that lock with
    `prepare`.

    For a daemon, and for who only reads, a disk that takes nothing is no reason to end: what is
    there is read into memory, and each write is refused, until the daemon finds that it can be
    written. `standby` says why.
    """

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool,
        owner: bool,
        prepare: Callable[[], None] = lambda: None,
        blocked: StateUnwritable | None = None,
    ) -> None:
        self.path, self.owner, self._prepare = folder / FILE, owner, prepare
        self.standby: StateUnwritable | None = None
        self.is_unseen = False
        """Whether it can be read by now, and could not when sentinel started: it must be anew."""
        self._is_blind, self._tried = False, 0.0
        self.moved_aside: list[Path] = []
        """A file that was damaged, under its new name."""
        self.stride = 200
        """Rows of the next step of retention."""
        self._writing, self._reading = threading.RLock(), threading.RLock()
        self.identity = Identity(self.path)
        self.place = StatePlace(self.path)
        self.scrub: Scrub | None = None
        """What is left to be looked through of a large file."""
        self.rows = RowReader(self)
        try:
            if blocked is not None:  # not even to be looked at
                raise blocked
            self._open(writable=writable)
        except StateUnwritable as error:
            if writable and not owner:
                raise
            self._stand_by(error, is_readable=blocked is None)

    # -- open and close ---------------------------------------------------------------------------

    def _open(self, *, writable: bool) -> None:
        self.connections: list[sqlite3.Connection] = []
        self._prepare()
        self.identity.approach(writable=writable, owner=self.owner, schema=SCHEMA_VERSION)
        try:
            if self.owner:
                check_header(self.path)
            self.results = self._connect("NORMAL")
            self._check_version(writable=writable)
            if writable:
                migrate(self.results)
            if self.owner:
                self._inspect()
                self._compact()
            self.journal = self._connect("FULL")
            reader = self._connect("NORMAL")
            self.identity.meet(self.results, owner=self.owner)
            self.place.settle()
            self._reader = reader
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self.close()
            told = as_damage(error)
            if not self.owner or not is_corrupt(told):
                raise self._explain(told, opening=True) from error
            self._begin_anew()
        except StateError:
            self.close()
            raise
        except OSError as error:  # the file itself can't be looked at
            self.close()
            text = f"{self.path} can't be read: {error.strerror}"
            raise StateUnwritable(text, _LOOK) from error

    def _stand_by(self, error: StateUnwritable, *, is_readable: bool) -> None:
        """Nothing can be written, and what was written is known all the same, if it can be read."""
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            if not is_readable:
                raise error
            with copied_aside(self.path) as folder:
                # As at any start: brought up to date, looked through, mended.
                Database(folder, writable=self.owner, owner=self.owner).close()
                fill(memory, folder / FILE)
        except (OSError, sqlite3.Error, StateError) as unread:
            if not self.owner:
                memory.close()
                raise error from None
            self._is_blind = True
            if unread is not error:
                text = f"{error.message}, and what is in it could not be read ({unread})"
                error = StateUnwritable(text, error.guidance)
            memory.executescript(find_model().script)
        self.connections, self._tried = [memory], time.monotonic()
        self.results = self.journal = self._reader = memory
        self.standby = error

    def _leave_standby(self) -> None:
        """Raises StateUnwritable while nothing can be written yet."""
        if self.standby is None:
            return
        if not self.owner or time.monotonic() - self._tried < TRY_AGAIN:
            raise self.standby
        memory = self.results
        try:
            self.identity = Identity(self.path)
            self._open(writable=True)
            self._refuse_unseen()
            self.standby = None
            with self._reading:
                memory.close()
        except (StateError, ActionRefused, sqlite3.Error) as error:
            self.connections, self._tried = [memory], time.monotonic()
            self.results = self.journal = self._reader = memory
            self.identity = Identity(self.path)
            self.standby = StateUnwritable(str(error), getattr(error, "guidance", "") or _LOOK)
            raise self.standby from error

    def _refuse_unseen(self) -> None:
        """What was there and could not be read is not to be written over. Raises StateError."""
        if self._is_blind and self.identity.generation:
            self.is_unseen = True
            self.close()
            raise StateError(
                f"{self.path} could not be read when sentinel started, and can be now",
                "start sentinel anew: then it goes by what is in there",
            )

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
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_LIMIT // PAGE}")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    def close(self) -> None:
        """Let go of the file."""
        with self._writing, self._reading:
            if not self._is_sound():
                _abandoned.extend(self.connections)
                return
            for connection in self.connections:
                connection.close()
            self.place.leave()

    def _is_sound(self) -> bool:
        """Whether the log may be worked off into the database, as SQLite does when it is closed."""
        try:
            self._check_place()
        except StateUnwritable:
            return True
        except StateError:
            return not self.place.is_log_hurt
        return True

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
            check_schema(self.results, find_model(), exactly=True)
        except DamagedPages:
            return False
        return True

    def _inspect(self) -> None:
        """Raises DatabaseError for what can't be mended row by row."""
        check_schema(self.results, find_model())
        size = self.path.stat().st_size
        self.scrub = Scrub() if size > scrub.WHOLE else None
        try:
            check_pages(self.results, all_of_it=self.scrub is None)
            whole = True
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            whole = False
        try:
            self._mend(whole=whole)
        except sqlite3.DatabaseError as error:
            roll_back(self.results)
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
        with self._writing:
            self._leave_standby()
            with self._transaction(self.results) as db:
                yield db

    @contextmanager
    def act(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is synced in full before what it announces is done, and that a state
        which comes back older would lack: it is counted beside the database, too.
        """
        with self._writing:
            self._leave_standby()
            with self._transaction(self.journal) as db:
                yield db
                generation = self.identity.count(db)
            self.identity.advance(self.journal, generation)

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        with self._writing:
            try:
                self._check_place()
                connection.execute("BEGIN IMMEDIATE")
                if self.owner:
                    self.identity.check(connection)
                yield connection
                connection.execute("COMMIT")
            except _UNSTORABLE as error:
                roll_back(connection)
                raise ValueError(f"can't be stored: {error}") from error
            except (sqlite3.Error, UnicodeDecodeError) as error:
                roll_back(connection)
                raise self._explain(as_damage(error)) from error
            except BaseException:
                roll_back(connection)
                raise

    def give_back(self, spare: int, most: int) -> int:
        """Free pages beyond `spare` go back to the file system, at most so many; how many did. The
        file shrinks at its next checkpoint.
        """
        with self._writing:
            self._leave_standby()
            try:
                self._check_place()
                (free,) = self.results.execute("PRAGMA freelist_count").fetchone()
                if free <= spare:
                    return 0
                # A script: `execute` ends a statement without columns at its first page.
                count = min(free - spare, most)
                self.results.executescript(f"PRAGMA incremental_vacuum({count});")
                (left,) = self.results.execute("PRAGMA freelist_count").fetchone()
            except sqlite3.Error as error:
                raise self._explain(error) from error
            return int(free - left)

    def _check_place(self) -> None:
        """Raises StateError when the files are not what they were."""
        self._mend_index()
        self.place.check()

    def _mend_index(self) -> None:
        """Raises StateUnwritable when nobody may touch it."""
        if self.place.is_cut:
            with self._writing, self._reading:
                self.place.mend()

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as they are. What is no text comes as bytes."""
        self._mend_index()
        with self._reading:
            try:
                return self._reader.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if hasattr(error, "sqlite_errorcode"):
                    raise self._explain(error) from error
                return self._query_bytes(sql, parameters)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise self._explain(as_damage(error)) from error

    def _explain(self, error: sqlite3.Error, *, opening: bool = False) -> StateError:
        """In our words. Somebody who holds the file while a daemon starts passes, too."""
        code = _code_of(error)
        cause, remedy = find_cause(self.path.parent) if code in _UNWRITABLE else ("", "")
        if cause:
            return StateUnwritable(f"{self.path}: {cause}", remedy)
        passing = code in _UNWRITABLE or (opening and self.owner and code in _BUSY)
        kind = StateUnwritable if passing else StateError
        return kind(f"{self.path}: {error}", _guidance_for(error))

    def _query_bytes(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._reader.text_factory = decode
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._explain(as_damage(error)) from error
        finally:
            self._reader.text_factory = str


def as_damage(error: sqlite3.Error | UnicodeDecodeError) -> sqlite3.Error:
    """What SQLite says of a damaged schema quotes it, and Python finds that it is no text."""
    if isinstance(error, UnicodeDecodeError):
        return DamagedPages(error.object.decode("utf-8", "replace"))
    return error


def is_corrupt(error: sqlite3.Error) -> bool:
    """By SQLite's code, never by its words; the low byte is the kind, the rest details."""
    return isinstance(error, DamagedPages) or _code_of(error) in _CORRUPT


def _code_of(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _guidance_for(error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.DatabaseError) and is_corrupt(error):
        return "the file is damaged: the daemon moves it aside at its next start"
    if _code_of(error) == sqlite3.SQLITE_FULL:
        return MAKE_ROOM
    return _LOOK
