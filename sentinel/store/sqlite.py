"""The embedded store: one SQLite file in the state folder, write-ahead log, schema migrations.

Two connections: results are synced lazily (a killed process loses nothing, a power cut the last
moments); the journal of attempts is synced in full before any action.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sentinel.clock import read_moment_now, utcnow
from sentinel.core.fault import StandingFault, Status
from sentinel.core.health import Health
from sentinel.core.model import Attempt, Incident, Transition
from sentinel.core.moment import write_moment
from sentinel.core.order import Answer, Order
from sentinel.errors import ActionRefused, StateError
from sentinel.store import (
    NO_FENCE,
    AuditRow,
    Changes,
    CheckView,
    ComponentView,
    Fence,
    Gap,
    ProcessRow,
    ReportRow,
    Sample,
    TimelineEntry,
)
from sentinel.store.audit import (
    AuditVerdict,
    append_row,
    move_heads_aside,
    read_heads,
    remember_head,
    verify,
)
from sentinel.store.document import (
    clean_text,
    read,
    read_instant,
    read_plain,
    write,
    write_instant,
)
from sentinel.store.faults import end_faults, move_faults, read_faults, write_faults
from sentinel.store.runbook import RunbookRun, write_run
from sentinel.store.shards import beat, find_refusal, take_shards

if TYPE_CHECKING:
    from sentinel.store.plans import CleaningLedger

T = TypeVar("T")

SCHEMA_VERSION = 3
FILE = "sentinel.db"
_MIGRATIONS = {
    n: Path(__file__).with_name(name)
    for n, name in ((1, "schema.sql"), (2, "schema_2.sql"), (3, "schema_3.sql"))
}


def lock_state(folder: Path) -> int:
    """Take the state folder for one daemon; the descriptor holds the lock until it is closed."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"{folder / 'lock'} can't be opened: {error.strerror}", "look at its rights"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ActionRefused(
            f"another sentinel runs on the state folder {folder}",
            "stop it, or give this one its own `state:`",
        ) from error
    return descriptor


def prepare_folder(folder: Path) -> None:
    """Make the state folder, or say why it can't be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StateError(
            f"the state folder {folder} can't be written: {error.strerror}",
            "make it writable, or change `state:`",
        ) from error
    if folder.stat().st_mode & 0o002:
        raise StateError(f"the state folder {folder} is world-writable", f"chmod o-w {folder}")


class SqliteStore:
    """The Store protocol on SQLite. Safe to use from several threads; each call is one transaction.

    `owner` is the daemon that holds the lock of the state folder: only it checks the pages and
    moves a corrupt file aside; a command beside a running daemon never does.
    """

    def __init__(self, folder: Path, *, writable: bool = True, owner: bool = False) -> None:
        self.path = folder / FILE
        self.moved_aside: list[Path] = []
        """A file that was damaged, under its new name: what it had recorded is in there, and
        nowhere else.
        """
        self._owner = owner
        self._lock = threading.RLock()
        if not writable and not self.path.exists():
            raise StateError(
                f"no sentinel has run on {folder} yet",
                "start one with `sentinel run`, or name its folder",
            )
        self._open(writable=writable)

    def _open(self, *, writable: bool) -> None:
        self._connections: list[sqlite3.Connection] = []
        try:
            self._db = self._connect("NORMAL")
            _check_version(self._db, self.path, writable=writable)
            if writable:
                self._migrate()
            if self._owner:
                _check_pages(self._db)
            self._journal = self._connect("FULL")
        except sqlite3.DatabaseError as error:
            self._close_connections()
            if not self._owner or not _is_corrupt(error):
                raise StateError(f"{self.path}: {error}", _guidance_for(error)) from error
            self._move_aside()
            self._open(writable=True)
            self.commit(Changes(meta={"journal_lost": write_moment(read_moment_now())}))
        except StateError:
            self._close_connections()
            raise

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=5
        )
        self._connections.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    def _close_connections(self) -> None:
        for connection in self._connections:
            connection.close()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version >= SCHEMA_VERSION:
            return
        # All steps or none: a state that can't be brought up to date is left as it was.
        steps = range(version + 1, SCHEMA_VERSION + 1)
        script = ";".join(_MIGRATIONS[number].read_text() for number in steps)
        self._db.executescript(f"BEGIN;{script};PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")

    def _move_aside(self) -> None:
        stamp = f"{utcnow():%Y%m%dT%H%M%S}"
        for suffix in ("", "-wal", "-shm"):
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                self.moved_aside.append(file.rename(file.with_name(f"{file.name}.corrupt-{stamp}")))
        move_heads_aside(self.path.parent, stamp)

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._close_connections()

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except _UNSTORABLE as error:
                _roll_back(connection)
                raise ValueError(f"can't be stored: {error}") from error
            except sqlite3.Error as error:
                _roll_back(connection)
                raise StateError(
                    f"{self.path}: {error}", "look at the disk of the state folder"
                ) from error
            except BaseException:
                _roll_back(connection)
                raise

    def _all(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise StateError(f"{self.path}: {error}") from error

    # -- the engine writes ---------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Remember everything, or nothing."""
        with self._transaction(self._db) as db:
            _write_views(db, changes)
            _write_history(db, changes)
            _write_incidents(db, changes)
            if changes.clock_step:
                move_faults(db, changes.clock_step)
            write_faults(db, changes.faults)

    def claim_attempt(self, attempt: Attempt, fence: Fence = NO_FENCE) -> None:
        """Journal an intent with full sync before the act. ActionRefused: its number is taken, or
        the fence objects.
        """
        with self._transaction(self._journal) as db:
            refusal = find_refusal(db, attempt, fence)
            if refusal:
                raise ActionRefused(refusal)
            cursor = db.execute(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    attempt.incident,
                    attempt.n,
                    attempt.component,
                    write_instant(attempt.intended),
                    write(attempt),
                ),
            )
            if cursor.rowcount != 1:
                raise ActionRefused(f"attempt {attempt.n} of {attempt.incident} is already claimed")

    def join(self, member: str, at: datetime) -> int:
        """Take all shards under a new epoch; every earlier member is fenced. Returns the epoch."""
        with self._transaction(self._journal) as db:
            return take_shards(db, member, write_instant(at))

    def newest_epoch(self, member: str, at: datetime) -> int:
        """Sign of life of a member; the epoch of whoever joined last."""
        with self._transaction(self._db) as db:
            return beat(db, member, write_instant(at))

    def set_watermarks(self, watermarks: Mapping[int, str]) -> None:
        """Note how far shards were worked through when they were given up."""
        with self._transaction(self._db) as db:
            db.executemany(
                "UPDATE shard SET watermark = ? WHERE n = ?",
                [(w, n) for n, w in watermarks.items()],
            )

    def replace_configuration(self, checks: Sequence[str], components: Sequence[str]) -> None:
        """Forget the views of checks and components that the configuration no longer has; keep
        their order.
        """
        with self._transaction(self._db) as db:
            for table, names in (("check_view", checks), ("component_view", components)):
                keep = {name: position for position, name in enumerate(names)}
                for (name,) in db.execute(f"SELECT name FROM {table}").fetchall():  # noqa: S608 - two literals
                    if name not in keep:
                        db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))  # noqa: S608
            end_faults(db, checks, utcnow())
            positions = {name: i for names in (checks, components) for i, name in enumerate(names)}
            db.execute(
                "INSERT OR REPLACE INTO meta VALUES ('positions', ?)", (json.dumps(positions),)
            )

    def add_order(self, order: Order, at: datetime) -> bool:
        """Put an order; False when its key is already known."""
        with self._transaction(self._db) as db:
            return _write_order(db, order, at)

    def take_orders(self) -> list[Order]:
        """Orders not done yet, oldest first."""
        rows = self._all(
            "SELECT kind, key, subject, payload FROM orders WHERE done IS NULL ORDER BY rowid"
        )
        return [
            Order(kind, key, subject, json.loads(payload)) for kind, key, subject, payload in rows
        ]

    def finish_order(self, key: str, answer: Answer, at: datetime) -> None:
        """Note what became of an order."""
        with self._transaction(self._db) as db:
            db.execute(
                "UPDATE orders SET outcome = ?, done = ? WHERE key = ?",
                (write(answer), write_instant(at), key),
            )

    def order_keys(self, kind: str) -> list[str]:
        """Keys of every order of a kind that is still remembered, oldest first."""
        return [
            key for (key,) in self._all("SELECT key FROM orders WHERE kind = ? ORDER BY at", kind)
        ]

    def order_outcome(self, key: str) -> Answer | None:
        """What became of an order, or None while it waits."""
        rows = self._all("SELECT outcome FROM orders WHERE key = ?", key)
        return _read_answer(rows[0][0]) if rows and rows[0][0] is not None else None

    def add_audit(self, at: datetime, actor: str, action: str, subject: str, detail: str) -> None:
        """Append to the audit log; the hash chains it to the line before."""
        with self._transaction(self._journal) as db:
            head = append_row(
                db, (write_instant(at), *map(clean_text, (actor, action, subject, detail)))
            )
        remember_head(self.path.parent, head)

    def verify_audit(self, noted: tuple[int, str] | None = None) -> AuditVerdict:
        """Walk the chain of the audit log, and compare with the remembered heads and one that a
        person noted.
        """
        heads = read_heads(self.path.parent)
        if noted is not None:
            heads.setdefault(noted[0], set()).add(noted[1])
        rows = self._all(
            "SELECT id, at, actor, action, subject, detail, hash FROM audit ORDER BY id"
        )
        return verify(
            [(n, at, who, what, on, text, digest) for n, at, who, what, on, text, digest in rows],
            heads,
        )

    @property
    def cleaning(self) -> CleaningLedger:
        """What housekeeping remembers."""
        # Read when it is asked for: it knows all of the bus, and most commands ask for none of it.
        from sentinel.store.plans import CleaningLedger  # noqa: PLC0415

        return CleaningLedger(lambda: self._transaction(self._journal), self._all)

    def add_report(
        self, kind: str, at: datetime, paths: Sequence[str], facts: Mapping[str, Any]
    ) -> int:
        """Remember a rendered report; its id."""
        with self._transaction(self._db) as db:
            row = (kind, write_instant(at), write(list(paths)), write(facts))
            return int(
                db.execute("INSERT INTO report VALUES (NULL, ?, ?, ?, ?)", row).lastrowid or 0
            )

    def save_run(self, run: RunbookRun) -> None:
        """Keep a run of a runbook with full sync: a step is written down before it is done."""
        with self._transaction(self._journal) as db:
            write_run(db, run)

    def runs(self, run_id: str | None = None, limit: int = 100) -> list[RunbookRun]:
        """Runs of runbooks, newest first; with `run_id` only that one."""
        sql = (
            "SELECT document FROM runbook_run WHERE (? IS NULL OR id = ?) ORDER BY began DESC"
            " LIMIT ?"
        )
        return [read(RunbookRun, document) for (document,) in self._all(sql, run_id, run_id, limit)]

    def forget(self, before: datetime) -> None:
        """Drop what is older than the retention; open incidents, their timeline and attempts stay."""
        limit = write_instant(before)
        with self._transaction(self._db) as db:
            closed = "SELECT id FROM incident WHERE state = 'closed' AND opened < ?"
            db.execute(f"DELETE FROM event WHERE incident IN ({closed})", (limit,))  # noqa: S608 - a literal
            db.execute(f"DELETE FROM attempt WHERE incident IN ({closed})", (limit,))  # noqa: S608
            db.execute(
                "DELETE FROM attempt WHERE incident NOT IN (SELECT id FROM incident) AND"
                " intended < ?",
                (limit,),
            )
            db.execute("DELETE FROM incident WHERE state = 'closed' AND opened < ?", (limit,))
            for table, column in (
                ("transition", "at"),
                ("sample", "at"),
                ("fault", "ended"),
                ("gap", "ended"),
                ("runbook_run", "began"),
                ("orders", "done"),
                ("cleaning", "at"),
                ("clean_plan", "made"),
            ):
                db.execute(f"DELETE FROM {table} WHERE {column} < ?", (limit,))  # noqa: S608 - literals

    # -- the engine reads at start ---------------------------------------------------------------

    def healths(self) -> dict[str, Health]:
        """What was believed of every check."""
        return {
            name: read(Health, document)
            for name, document in self._all("SELECT name, document FROM health")
        }

    def probe_states(self) -> dict[str, Any]:
        """What every kind with a memory had dumped."""
        rows = self._all("SELECT name, document FROM probe_state")
        return {name: read_plain(document) for name, document in rows}

    def processes(self) -> list[ProcessRow]:
        """The last known process of every supervised component."""
        return [
            read(ProcessRow, document) for (document,) in self._all("SELECT document FROM process")
        ]

    # -- everybody reads -------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """A single remembered word."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    def checks(self) -> list[CheckView]:
        """Every check of the running configuration, in its order."""
        return self._views(CheckView, "SELECT name, document FROM check_view")

    def components(self) -> list[ComponentView]:
        """Every component of the running configuration, in dependency order."""
        return self._views(ComponentView, "SELECT name, document FROM component_view")

    def _views(self, kind: type[T], sql: str) -> list[T]:
        positions = json.loads(self.meta("positions") or "{}")
        rows = sorted(self._all(sql), key=lambda row: (positions.get(row[0], 1 << 30), row[0]))
        return [read(kind, document) for _, document in rows]

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Newest first."""
        where = "WHERE state <> 'closed'" if open_only else ""
        sql = f"SELECT document FROM incident {where} ORDER BY opened DESC LIMIT ?"  # noqa: S608 - two literals
        return [read(Incident, document) for (document,) in self._all(sql, limit)]

    def incident(self, incident_id: str) -> Incident | None:
        """One incident by id."""
        rows = self._all("SELECT document FROM incident WHERE id = ?", incident_id)
        return read(Incident, rows[0][0]) if rows else None

    def timeline(self, incident_id: str) -> list[TimelineEntry]:
        """What happened in an incident, oldest first."""
        sql = (
            "SELECT incident, at, kind, text, evidence FROM event WHERE incident = ? ORDER BY"
            " at, id"
        )
        rows = self._all(sql, incident_id)
        return [
            TimelineEntry(i, read_instant(at), kind, text, json.loads(ev))
            for i, at, kind, text, ev in rows
        ]

    def attempts(
        self,
        *,
        incident: str | None = None,
        component: str | None = None,
        since: datetime | None = None,
        limit: int = -1,
    ) -> list[Attempt]:
        """Journaled attempts, oldest first; with `limit` only the newest."""
        given = {
            "incident =": incident,
            "component =": component,
            "intended >=": write_instant(since) if since else None,
        }
        where = " AND ".join(f"{column} ?" for column, value in given.items() if value is not None)
        sql = f"SELECT document FROM attempt WHERE {where or 'TRUE'} ORDER BY intended DESC, n DESC LIMIT ?"  # noqa: S608 - literals
        rows = self._all(sql, *(value for value in given.values() if value is not None), limit)
        return [read(Attempt, document) for (document,) in reversed(rows)]

    def faults(
        self, check: str | None = None, *, since: datetime | None = None, limit: int = -1
    ) -> list[StandingFault]:
        """Faults that stand now, and with `since` those too that ended after it; by check."""
        return read_faults(self._all, check, since, limit)

    def transitions(self, *, since: datetime, subject: str | None = None) -> list[Transition]:
        """Changes of hard status since an instant, oldest first."""
        sql = """SELECT subject, scope, before, after, at, reason FROM transition
                 WHERE at >= ? AND (? IS NULL OR subject = ?) ORDER BY at, id"""
        rows = self._all(sql, write_instant(since), subject, subject)
        return [
            Transition(s, sc, Status(b), Status(a), read_instant(at), r)
            for s, sc, b, a, at, r in rows
        ]

    def gaps(self, *, since: datetime) -> list[Gap]:
        """Times in which sentinel saw nothing, that ended after `since`, oldest first."""
        rows = self._all(
            "SELECT began, ended, reason FROM gap WHERE ended >= ? ORDER BY began",
            write_instant(since),
        )
        return [
            Gap(read_instant(began), read_instant(ended), reason) for began, ended, reason in rows
        ]

    def samples(self, *, since: datetime, measurement: str | None = None) -> list[Sample]:
        """Minute roll-ups since an instant, oldest first."""
        sql = """SELECT at, name, measurement, labels, value FROM sample
                 WHERE at >= ? AND (? IS NULL OR measurement = ?) ORDER BY at"""
        rows = self._all(sql, write_instant(since), measurement, measurement)
        return [
            Sample(read_instant(at), name, m, json.loads(labels), value)
            for at, name, m, labels, value in rows
        ]

    def reports(self, kind: str | None = None, limit: int = 20) -> list[ReportRow]:
        """Rendered reports, newest first."""
        sql = """SELECT id, kind, at, paths, facts FROM report WHERE (? IS NULL OR kind = ?)
                 ORDER BY id DESC LIMIT ?"""
        rows = self._all(sql, kind, kind, limit)
        return [
            ReportRow(i, k, read_instant(at), json.loads(p), json.loads(f))
            for i, k, at, p, f in rows
        ]

    def audit(self, limit: int = 100) -> list[AuditRow]:
        """The audit log, newest first."""
        sql = "SELECT at, actor, action, subject, detail, hash FROM audit ORDER BY id DESC LIMIT ?"
        return [AuditRow(read_instant(at), *rest) for at, *rest in self._all(sql, limit)]


_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DamagedPages(sqlite3.DatabaseError):
    """The check of the pages found damage that no statement has met yet."""


_UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)
"""Errors of what was to be written, not of the disk: writing it again would fail again."""


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _guidance_for(error: sqlite3.DatabaseError) -> str:
    if _is_corrupt(error):
        return "the file is damaged: the daemon moves it aside at its next start"
    return "look at the disk and the rights of the state folder"


def _check_version(db: sqlite3.Connection, path: Path, *, writable: bool) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not writable and version < SCHEMA_VERSION:
        written = (
            f"was written by an older sentinel (schema {version})"
            if version
            else "has nothing in it yet"
        )
        raise StateError(f"{path} {written}", "`sentinel run` brings it up to date when it starts")
    if version < 0:
        raise StateError(f"{path} has a damaged header (schema {version})", "bring a backup back")
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} was written by a newer sentinel (schema {version}, this one knows"
            f" {SCHEMA_VERSION})",
            "upgrade sentinel, or give it another `state:` folder",
        )


def _check_pages(db: sqlite3.Connection) -> None:
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise DamagedPages(f"malformed: {verdict}")


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """By SQLite's code, never by its words; the low byte is the kind, the rest details."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, DamagedPages) or code in _CORRUPT


def _write_views(db: sqlite3.Connection, changes: Changes) -> None:
    views = [("check_view", view.name, write(view)) for view in changes.checks]
    views += [("component_view", view.name, write(view)) for view in changes.components]
    for table, name, document in views:
        db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (name, document))  # noqa: S608 - literals
    documents = [("health", name, write(health)) for name, health in changes.health.items()]
    documents += [
        ("probe_state", name, write(state)) for name, state in changes.probe_state.items()
    ]
    documents += [("process", row.component, write(row)) for row in changes.processes]
    for table, name, document in documents:
        db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (name, document))  # noqa: S608 - literals
    db.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
        [(k, clean_text(v)) for k, v in changes.meta.items()],
    )


def _write_history(db: sqlite3.Connection, changes: Changes) -> None:
    db.executemany(
        "INSERT INTO transition VALUES (NULL, ?, ?, ?, ?, ?, ?)",
        [
            (write_instant(t.at), t.subject, t.scope, t.before, t.after, clean_text(t.reason))
            for t in changes.transitions
        ],
    )
    gaps = [
        (write_instant(gap.began), write_instant(gap.ended), gap.reason) for gap in changes.gaps
    ]
    db.executemany("INSERT INTO gap VALUES (?, ?, ?)", gaps)
    db.executemany(
        "INSERT INTO sample VALUES (?, ?, ?, ?, ?)",
        [
            (write_instant(s.at), s.check, s.measurement, write(s.labels), s.value)
            for s in changes.samples
            if math.isfinite(s.value)
        ],
    )


def _write_incidents(db: sqlite3.Connection, changes: Changes) -> None:
    for incident in changes.incidents:
        row = (
            incident.id,
            incident.component,
            write_instant(incident.opened),
            incident.state,
            write(incident),
        )
        db.execute("INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?, ?)", row)
    for incident_id, at, event, evidence in changes.events:
        entry = (
            incident_id,
            write_instant(at),
            event.kind,
            clean_text(event.text),
            write(evidence),
        )
        db.execute("INSERT INTO event VALUES (NULL, ?, ?, ?, ?, ?)", entry)
    for attempt in changes.attempts:
        document = (write(attempt), attempt.incident, attempt.n)
        db.execute("UPDATE attempt SET document = ? WHERE incident = ? AND n = ?", document)
    now = utcnow()
    for order in changes.orders:
        _write_order(db, order, now)


def _read_answer(text: str) -> Answer:
    """The answer as it was kept; an older sentinel kept one line of text."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    is_answer = isinstance(document, dict) and "word" in document
    return read(Answer, text) if is_answer else Answer.done(text)


def _write_order(db: sqlite3.Connection, order: Order, at: datetime) -> bool:
    row = (
        clean_text(order.key),
        write_instant(at),
        order.kind,
        clean_text(order.subject),
        write(order.payload),
    )
    sql = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, NULL, NULL) ON CONFLICT DO NOTHING"
    return db.execute(sql, row).rowcount == 1
