"""The embedded store: one SQLite file in the state folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sentinel.clock import utcnow
from sentinel.core.component.health import Health
from sentinel.core.fault import StandingFault, Status
from sentinel.core.model import Attempt, Incident, Transition
from sentinel.core.objective import ObjectiveStanding, Slice, Tally
from sentinel.core.order import Answer, Order
from sentinel.errors import ActionRefused, StateUnwritable
from sentinel.store import (
    NO_FENCE,
    AuditLine,
    AuditRow,
    Changes,
    CheckView,
    ComponentView,
    DamagedRow,
    Fence,
    Gap,
    ProcessRow,
    ReportRow,
    Retention,
    RetentionStep,
    Sample,
    StateTrouble,
    TimelineEntry,
)
from sentinel.store.audit import AuditVerdict, read_heads, remember_head, verify
from sentinel.store.database import Database
from sentinel.store.document import (
    read,
    read_instant,
    read_plain,
    write,
    write_instant,
)
from sentinel.store.faults import end_faults, read_faults
from sentinel.store.folder import find_cause
from sentinel.store.identity import CURE, DOUBT
from sentinel.store.looks import LOOKS, lay_looks_over
from sentinel.store.objectives import keep_objectives, read_slices, read_standing, read_tally
from sentinel.store.retention import forget_some
from sentinel.store.runbook import RunbookRun, write_run
from sentinel.store.salvage import LOST
from sentinel.store.shards import NEWEST, beat, find_refusal, take_shards
from sentinel.store.table import TABLES, change, insert, replace
from sentinel.store.writing import read_answer, write_audit, write_changes, write_order

if TYPE_CHECKING:
    from sentinel.store.plans import CleaningLedger

T = TypeVar("T")

_AUDIT = "SELECT id, at, actor, action, subject, detail, hash FROM audit ORDER BY id"
_AUDIT_ROWS = "SELECT at, actor, action, subject, detail, hash FROM audit"
_DAMAGED = "SELECT source, count(*), max(at) FROM damaged WHERE NOT seen GROUP BY source"


class SqliteStore:
    """The Store protocol on SQLite. Safe to use from several threads; each call is one transaction.

    `owner` is the daemon that holds the lock of the state folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool = True,
        owner: bool = False,
        prepare: Callable[[], None] = lambda: None,
        blocked: StateUnwritable | None = None,
    ) -> None:
        self.database = Database(
            folder, writable=writable, owner=owner, prepare=prepare, blocked=blocked
        )
        self.path = self.database.path
        self._read = self.database.rows.read

    @property
    def standby(self) -> StateUnwritable | None:
        """Why it is read from memory and takes nothing, or None."""
        return self.database.standby

    @property
    def is_unseen(self) -> bool:
        """Whether it can be read by now, and could not when sentinel started: it must be anew."""
        return self.database.is_unseen

    @property
    def moved_aside(self) -> list[Path]:
        """A file that was damaged, under its new name: what it had recorded is in there, and
        nowhere else.
        """
        return self.database.moved_aside

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    # -- the engine writes ---------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Remember everything, or nothing."""
        with self.database.transaction() as db:
            write_changes(db, changes)
            head = write_audit(db, changes.audit)
        if head:
            remember_head(self.path.parent, head)

    def claim_attempt(self, attempt: Attempt, fence: Fence = NO_FENCE) -> None:
        """Journal an intent with full sync before the act. ActionRefused: its number is taken, or
        the fence objects.
        """
        attempts = TABLES["attempt"]
        key = (attempt.incident, attempt.n, attempt.component)
        row = attempts.sealed((*key, write_instant(attempt.intended), write(attempt)))
        with self.database.act() as db:
            refusal = find_refusal(db, attempt, fence)
            if refusal:
                raise ActionRefused(refusal)
            if db.execute(f"{attempts.insert} ON CONFLICT DO NOTHING", row).rowcount != 1:
                raise ActionRefused(f"attempt {attempt.n} of {attempt.incident} is already claimed")

    def join(self, member: str, at: datetime) -> int:
        """Take all shards under a new epoch; every earlier member is fenced. Returns the epoch."""
        with self.database.act() as db:
            return take_shards(db, member, write_instant(at))

    def newest_epoch(self, member: str, at: datetime | None = None) -> int:
        """The epoch of whoever joined last; with `at` it is a sign of life of a member, too."""
        if at is None:
            return int(self.database.query(NEWEST)[0][0])
        with self.database.transaction() as db:
            return beat(db, member, write_instant(at))

    def set_watermarks(self, watermarks: Mapping[int, str]) -> None:
        """Note how far shards were worked through when they were given up."""
        with self.database.transaction() as db:
            for number, watermark in watermarks.items():
                change(db, "shard", "n = ?", (number,), watermark=watermark)

    def replace_configuration(self, checks: Sequence[str], components: Sequence[str]) -> None:
        """Forget the views of checks and components that the configuration no longer has; keep
        their order. How a component is that was taken out, nobody sees from now on.
        """
        now = utcnow()
        gone = [view for view in self.components() if view.name not in components]
        with self.database.transaction() as db:
            unseen = [_lose_sight(view, now) for view in gone]
            write_changes(db, Changes(transitions=[t for t in unseen if t.before is not t.after]))
            for table, names in (("check_view", checks), ("component_view", components)):
                keep = {name: position for position, name in enumerate(names)}
                for (name,) in db.execute(f"SELECT name FROM {table}").fetchall():  # noqa: S608 - two literals
                    if name not in keep:
                        db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))  # noqa: S608
            end_faults(db, checks, now)
            positions = {name: i for names in (checks, components) for i, name in enumerate(names)}
            replace(db, "meta", ("positions", json.dumps(positions)))

    def add_order(self, order: Order, at: datetime) -> bool:
        """Put an order; False when its key is already known."""
        with self.database.transaction() as db:
            return write_order(db, order, at)

    def take_orders(self) -> list[Order]:
        """Orders not done yet, oldest first."""
        return self._read(
            "orders",
            lambda key, _, kind, subject, payload, *__: Order(
                kind, key, subject, read_plain(payload)
            ),
            "WHERE done IS NULL ORDER BY rowid",
        )

    def finish_order(self, key: str, answer: Answer, at: datetime) -> None:
        """Note what became of an order."""
        with self.database.transaction() as db:
            outcome, done = write(answer), write_instant(at)
            change(db, "orders", "key = ?", (key,), outcome=outcome, done=done)

    def order_keys(self, kind: str) -> list[str]:
        """Keys of every order of a kind that is still remembered, oldest first."""
        return self._read("orders", lambda key, *_: str(key), "WHERE kind = ? ORDER BY at", kind)

    def order_outcome(self, key: str) -> Answer | None:
        """What became of an order, or None while it waits."""
        outcomes = self._read("orders", lambda *row: row[5], "WHERE key = ?", key)
        return read_answer(outcomes[0]) if outcomes and outcomes[0] is not None else None

    def add_audit(self, at: datetime, actor: str, action: str, subject: str, detail: str) -> None:
        """Append to the audit log; the hash chains it to the line before."""
        with self.database.act() as db:
            head = write_audit(db, [AuditLine(at, actor, action, subject, detail)])
        remember_head(self.path.parent, head)

    def verify_audit(self, noted: tuple[int, str] | None = None) -> AuditVerdict:
        """Walk the chain of the audit log, and compare with the remembered heads and one that a
        person noted.
        """
        heads = read_heads(self.path.parent)
        if noted is not None:
            heads.setdefault(noted[0], set()).add(noted[1])
        rows = self.database.query(_AUDIT)
        return verify([(row[0], *map(_show, row[1:])) for row in rows], heads)

    @property
    def cleaning(self) -> CleaningLedger:
        """What housekeeping remembers."""
        # Read when it is asked for: it knows all of the bus, and most commands ask for none of it.
        from sentinel.store.plans import CleaningLedger  # noqa: PLC0415

        return CleaningLedger(self.database.act, self._read, self.database.query)

    def add_report(
        self, kind: str, at: datetime, paths: Sequence[str], facts: Mapping[str, Any]
    ) -> int:
        """Remember a rendered report; its id."""
        with self.database.transaction() as db:
            row = (kind, write_instant(at), write(list(paths)), write(facts))
            return insert(db, "report", row)

    def save_run(self, run: RunbookRun) -> None:
        """Keep a run of a runbook with full sync: a step is written down before it is done."""
        with self.database.act() as db:
            write_run(db, run)

    def runs(self, run_id: str | None = None, limit: int = 100) -> list[RunbookRun]:
        """Runs of runbooks, newest first; with `run_id` only that one."""
        tail = "WHERE (? IS NULL OR id = ?) ORDER BY began DESC LIMIT ?"
        return self._read(
            "runbook_run", lambda *row: read(RunbookRun, row[-1]), tail, run_id, run_id, limit
        )

    def forget(self, retention: Retention) -> RetentionStep:
        """Drop a little of what is older than the retention, in one short transaction."""
        return forget_some(self.database, retention)

    # -- the engine reads at start ---------------------------------------------------------------

    def healths(self) -> dict[str, Health]:
        """What was believed of every check."""
        return dict(self._read("health", lambda name, document: (name, read(Health, document))))

    def probe_states(self) -> dict[str, Any]:
        """What every kind with a memory had dumped."""
        return dict(self._read("probe_state", lambda name, dump: (name, read_plain(dump))))

    def tallies(self) -> dict[str, Tally]:
        """Where the counters of each source stood when it was last counted, and what was counted."""
        return dict(self._read("objective_tally", lambda name, text: (name, read_tally(text))))

    def keep_objectives(self, names: Collection[str], sources: Collection[str]) -> None:
        """Drop what is of no objective any more."""
        with self.database.transaction() as db:
            keep_objectives(db, names, sources)

    def processes(self) -> list[ProcessRow]:
        """The last known process of every supervised component."""
        return self._read("process", lambda _, document: read(ProcessRow, document))

    # -- what is wrong with the state itself -----------------------------------------------------

    def trouble(self) -> StateTrouble:
        """Whether this is the state that was here, and what of it was damaged and is unseen."""
        doubt = self.database.identity.find_doubt(self.meta(DOUBT) or "")
        rows = self.database.query(_DAMAGED)
        last = max((read_instant(at) for *_, at in rows), default=None)
        damaged = {str(name): int(n) for name, n, _ in rows}
        return StateTrouble(doubt, CURE, damaged, last, self._find_no_room())

    def _find_no_room(self) -> str:
        """For commands: a daemon knows it by what it writes."""
        if self.database.owner:
            return ""
        if self.standby is not None:
            return f"{self.standby.message}; {self.standby.guidance}"
        return "; ".join(filter(None, find_cause(self.path.parent)))

    def damaged(self, limit: int = 100) -> list[DamagedRow]:
        """Rows that were set aside, newest first."""
        sql = "SELECT at, source, why, content, lost, seen FROM damaged ORDER BY id DESC LIMIT ?"
        return [
            DamagedRow(read_instant(at), source, why, _show(content), lost, bool(seen))
            for at, source, why, content, lost, seen in self.database.query(sql, limit)
        ]

    def lost(self, component: str) -> str | None:
        """Since when the budget of a component counts as spent for a damaged row: a moment."""
        return self.meta(LOST + component)

    def look_through(self) -> int | None:
        """Some rows more of what the start left out of a large file; how many were whole so far,
        None when nothing is left.
        """
        scrub = self.database.scrub
        return scrub.rows if scrub and scrub.step(self._read, self.database.query) else None

    def accept(self, at: datetime, actor: str, reason: str) -> None:
        """At a person's word this state counts from now on, and its damage was seen."""
        self.add_audit(at, actor, "state accept", self.trouble().doubt, reason)
        with self.database.transaction() as db:
            db.execute("UPDATE damaged SET seen = 1")
            self.database.identity.accept(db)

    # -- everybody reads -------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """A single remembered word."""
        words = self._read("meta", lambda _, word: str(word), "WHERE key = ?", key)
        return words[0] if words else None

    def checks(self) -> list[CheckView]:
        """Every check of the running configuration, in its order."""
        return lay_looks_over(self._views(CheckView, "check_view"), self.meta(LOOKS))

    def components(self) -> list[ComponentView]:
        """Every component of the running configuration, in dependency order."""
        return self._views(ComponentView, "component_view")

    def _views(self, kind: type[T], table: str) -> list[T]:
        positions: dict[str, int] = read_plain(self.meta("positions") or "{}")
        rows = self._read(table, lambda name, document: (name, read(kind, document)))
        rows.sort(key=lambda row: (positions.get(row[0], 1 << 30), row[0]))
        return [view for _, view in rows]

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Newest first."""
        where = "WHERE state <> 'closed'" if open_only else ""
        tail = f"{where} ORDER BY opened DESC LIMIT ?"
        return self._read("incident", lambda *row: read(Incident, row[-1]), tail, limit)

    def incident(self, incident_id: str) -> Incident | None:
        """One incident by id."""
        build = lambda *row: read(Incident, row[-1])  # noqa: E731 - as above
        return next(iter(self._read("incident", build, "WHERE id = ?", incident_id)), None)

    def timeline(self, incident_id: str, *, most: int | None = None) -> list[TimelineEntry]:
        """What happened in an incident, oldest first; of more than `most` lines both ends."""
        head = -1 if most is None else most // 4
        tail = 0 if most is None else most - most // 4
        return self._read(
            "event",
            lambda incident, at, kind, text, evidence: TimelineEntry(
                incident, read_instant(at), kind, text, read_plain(evidence)
            ),
            _BOTH_ENDS,
            *(incident_id, head, incident_id, tail),
        )

    def count_timeline(self, incident_id: str) -> int:
        """How many lines that are."""
        question = "SELECT count(*) FROM event WHERE incident = ?"
        return int(self.database.query(question, incident_id)[0][0])

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
        tail = f"WHERE {where or 'TRUE'} ORDER BY intended DESC, n DESC LIMIT ?"
        asked = [value for value in given.values() if value is not None]
        found = self._read("attempt", lambda *row: read(Attempt, row[-1]), tail, *asked, limit)
        return found[::-1]

    def faults(
        self, check: str | None = None, *, since: datetime | None = None, limit: int = -1
    ) -> list[StandingFault]:
        """Faults that stand now, and with `since` those too that ended after it; by check."""
        return read_faults(self._read, check, since, limit)

    def transitions(
        self, *, since: datetime, subject: str | None = None, limit: int = -1
    ) -> list[Transition]:
        """Changes of hard status since an instant, oldest first; with `limit` only the newest."""
        found = self._read(
            "transition",
            lambda at, name, scope, before, after, reason: Transition(
                name, scope, Status(before), Status(after), read_instant(at), reason
            ),
            "WHERE at >= ? AND (? IS NULL OR subject = ?) ORDER BY at DESC, id DESC LIMIT ?",
            write_instant(since),
            subject,
            subject,
            limit,
        )
        return found[::-1]

    def gaps(self, *, since: datetime, limit: int = -1) -> list[Gap]:
        """Times in which sentinel saw nothing, that ended after `since`, oldest first; with `limit`
        only the newest.
        """
        found = self._read(
            "gap",
            lambda began, ended, reason: Gap(read_instant(began), read_instant(ended), reason),
            "WHERE ended >= ? ORDER BY began DESC, rowid DESC LIMIT ?",
            write_instant(since),
            limit,
        )
        return found[::-1]

    def samples(
        self,
        *,
        since: datetime,
        measurement: str | None = None,
        check: str | None = None,
        limit: int = -1,
    ) -> list[Sample]:
        """Roll-ups since an instant, oldest first; with `limit` only the newest."""
        found = self._read(
            "sample",
            lambda at, name, what, labels, value: Sample(
                read_instant(at), name, what, read_plain(labels), value
            ),
            _SAMPLES,
            write_instant(since),
            *(measurement, measurement, check, check, limit),
        )
        return found[::-1]

    def objectives(self) -> list[ObjectiveStanding]:
        """How each objective stood at the last look, by name."""
        return self._read("objective_view", lambda _, text: read_standing(text), "ORDER BY name")

    def slices(self, source: str, *, since: datetime) -> list[Slice]:
        """What was counted for the source of an objective since an instant, oldest first."""
        return read_slices(self._read, source, since)

    def reports(self, kind: str | None = None, limit: int = 20) -> list[ReportRow]:
        """Rendered reports, newest first."""
        return self.database.rows.read_numbered(
            "report",
            lambda number, name, at, paths, facts: ReportRow(
                number, name, read_instant(at), read_plain(paths), read_plain(facts)
            ),
            "WHERE (? IS NULL OR kind = ?) ORDER BY id DESC LIMIT ?",
            kind,
            kind,
            limit,
        )

    def audit(self, limit: int = 100, *, without: str = "") -> list[AuditRow]:
        """The audit log, newest first, `without` one action. `audit verify` names a row that can't
        be read.
        """
        return self._audit("action <> ? ORDER BY id DESC LIMIT ?", without, limit)

    def audit_of(self, action: str, began: datetime, ended: datetime, limit: int) -> list[AuditRow]:
        """What the audit log has of one action in a period: the newest `limit`, oldest first."""
        bounds = write_instant(began), write_instant(ended)
        tail = "action = ? AND at >= ? AND at <= ? ORDER BY id DESC LIMIT ?"
        return self._audit(tail, action, *bounds, limit)[::-1]

    def _audit(self, tail: str, *given: Any) -> list[AuditRow]:
        found = []
        for at, *rest in self.database.query(f"{_AUDIT_ROWS} WHERE {tail}", *given):
            with suppress(ValueError, TypeError):
                found.append(AuditRow(read_instant(at), *map(_show, rest)))
        return found


def _lose_sight(view: ComponentView, now: datetime) -> Transition:
    word = view.present or view.status
    before = Status(word) if word in Status.__members__.values() else Status.UNKNOWN
    why = "it was taken out of the configuration"
    return Transition(view.name, "component", before, Status.UNKNOWN, now, why)


def _show(value: Any) -> str:
    """A column of a row that has no seal: whatever damage made of it, it is shown as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


_SAMPLES = """
WHERE at >= ? AND (? IS NULL OR measurement = ?) AND (? IS NULL OR name = ?)
ORDER BY at DESC, rowid DESC LIMIT ?
"""
_BOTH_ENDS = """
WHERE id IN (SELECT id FROM (SELECT id FROM event WHERE incident = ? ORDER BY at, id LIMIT ?)
             UNION SELECT id FROM (SELECT id FROM event WHERE incident = ? ORDER BY at DESC, id DESC LIMIT ?))
ORDER BY at, id
"""
"""The first so many lines of a timeline, and the last so many."""
