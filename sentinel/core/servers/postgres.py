"""Judging a PostgreSQL server by what its catalogs say: the alert column of measurement.md §7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.core.fault import Fault, Labels, Status
from sentinel.core.quantity import Bounds, format_bytes, format_duration

Record = Mapping[str, Any]
Facts = Mapping[str, Sequence[Record]]
HOLDERS = ("backend", "slot", "prepared", "standby")
WRAPAROUND = 2.1e9
"""Transactions after which ids would come back: a server refuses to write shortly before."""
COUNTERS = ("commits", "rollbacks", "deadlocks", "temp_bytes", "checksum_failures")


@dataclass(frozen=True, slots=True)
class PostgresLimits:
    """Above which a figure is a fault. Ages in seconds, `xid_age` and `xmin_age` in
    transactions.
    """

    connections_ratio: float = 0.85
    transaction: float = 3600.0
    idle_in_transaction: float = 300.0
    lock_wait: float = 30.0
    xmin_age: float = 5e7
    xid_age: float = 1.2e9
    replication_lag: float = 60.0
    slot_retained: float = 2e10
    archiver_failing: float = 900.0


def judge_postgres(facts: Facts, limits: PostgresLimits) -> list[Fault]:
    """All faults, most urgent first. A question that was not answered is left out, never taken for
    good.
    """
    return [
        fault
        for name, rule in _RULES
        for record in facts.get(name, ())
        for fault in rule(record, limits)
    ]


def quote(name: str) -> str:
    """An identifier as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _fault(
    key: str,
    subject: Labels,
    text: str,
    guidance: str,
    *,
    cure: tuple[str, ...] = (),
    count: int | None = None,
) -> Fault:
    """A fault whose sentence begins with its subject; the subject is what the runbook needs."""
    name = ", ".join(f"{label} {value}" for label, value in subject.items())
    return Fault(
        key,
        subject,
        Status.DEGRADED,
        f"{name}: {text}" if name else text,
        count=None if count is None else Bounds(count, count),
        cure=cure,
        guidance=guidance,
        parameters=subject,
    )


def _wraparound(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    for what in ("xid", "mxid"):
        age = record[f"{what}_age"]
        if age > limits.xid_age:
            yield _fault(
                f"{what}_age",
                {"database": record["db"]},
                f"{what} age {age:.3g} of {WRAPAROUND:.3g}, more than {limits.xid_age:.3g}",
                "VACUUM (FREEZE) the oldest tables; find what holds the horizon (xmin_age)",
            )


def _databases(record: Record, _limits: PostgresLimits) -> Iterator[Fault]:
    failures = record["checksum_failures"]
    if failures > 0:
        yield _fault(
            "checksum_failures",
            {"database": record["db"]},
            f"{failures:,} checksum failure{'s' * (failures != 1)}",
            "data is corrupt on disk: restore the pages from a backup, look at the disk",
            count=failures,
        )


def _collations(record: Record, _limits: PostgresLimits) -> Iterator[Fault]:
    for name in record["names"] or ():
        yield _fault(
            "collation_changed",
            {"database": name},
            "its collation version changed: indexes on text may be wrong",
            "connected to this database: rebuild its indexes, then accept the new version",
            cure=(
                f"REINDEX DATABASE CONCURRENTLY {quote(name)};",
                f"ALTER DATABASE {quote(name)} REFRESH COLLATION VERSION;",
            ),
        )


def _connections(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    used, usable = record["used"], record["usable"]
    if used > limits.connections_ratio * usable:
        yield _fault(
            "connections_short",
            {},
            f"{used} of {usable} connections used, more than {100 * limits.connections_ratio:g} %",
            "find who holds them (pg_stat_activity by application_name), or put a pooler in front",
            count=used,
        )


def _terminate(*pids: int) -> tuple[str, ...]:
    """A prepared transaction blocks as pid 0: nobody can end that."""
    return tuple(f"SELECT pg_terminate_backend({pid});" for pid in pids if pid)


def _locks(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    if record["longest"] > limits.lock_wait:
        blockers = tuple(record["blockers"] or ())
        named = ", ".join(map(str, blockers)) or "none that still lives"
        yield _fault(
            "lock_wait",
            {"process": str(record["pid"])},
            f"waits {format_duration(record['longest'])} for a lock, more than"
            f" {format_duration(limits.lock_wait)}, blocked by {named}",
            f"look at what pid {named} does; end it only if it may end",
            cure=_terminate(*blockers),
            count=record["waiters"],
        )


def _activity(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    for pid, age in _pair(record, "idle"):
        if age > limits.idle_in_transaction:
            yield _fault(
                "idle_in_transaction",
                {"process": str(pid)},
                f"idle in transaction for {format_duration(age)}, more than"
                f" {format_duration(limits.idle_in_transaction)}",
                "end it, and set idle_in_transaction_session_timeout",
                cure=_terminate(pid),
            )
    for pid, age in _pair(record, "open"):
        if age > limits.transaction:
            yield _fault(
                "long_transaction",
                {"process": str(pid)},
                f"in one transaction for {format_duration(age)}, more than"
                f" {format_duration(limits.transaction)}",
                "is it a forgotten session or a long report? it keeps VACUUM from working",
                cure=_terminate(pid),
            )


def _pair(record: Record, what: str) -> Iterator[tuple[int, float]]:
    """Sessions as (pid, age), the oldest first; a query names none as None."""
    return zip(record[f"{what}_pids"] or (), record[f"{what}_ages"] or (), strict=True)


_HOLDER_REMEDY = {
    "backend": "end the oldest transaction",
    "slot": "drop the replication slot, or mend its consumer",
    "prepared": "COMMIT PREPARED or ROLLBACK PREPARED what pg_prepared_xacts lists",
    "standby": "end the long query on the standby, or switch hot_standby_feedback off",
}


def _horizon(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    for holder in HOLDERS:
        if record[holder] > limits.xmin_age:
            yield _fault(
                "vacuum_held_back",
                {"holder": holder},
                f"holds back VACUUM by {record[holder]:.3g} transactions, more than"
                f" {limits.xmin_age:.3g}",
                _HOLDER_REMEDY[holder],
            )


def _replication(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    if record["lag"] > limits.replication_lag:
        yield _fault(
            "replication_lag",
            {"standby": record["standby"]},
            f"{format_duration(record['lag'])} behind, more than"
            f" {format_duration(limits.replication_lag)}",
            "look at the standby's load, its conflicts, and the network",
        )


def _identity(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    delay = record["replay_delay"]
    if delay is not None and delay > limits.replication_lag:
        yield _fault(
            "replay_late",
            {},
            f"this standby replays {format_duration(delay)} late, more than"
            f" {format_duration(limits.replication_lag)}",
            "is replay paused, or blocked by a long query?",
        )


def _slots(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    subject, retained = {"slot": record["slot"]}, record["retained_bytes"]
    if record["wal_status"] == "lost" or record["invalidation_reason"]:
        reason = record["invalidation_reason"] or "its WAL was removed"
        text = f"is lost ({reason})"
        yield _fault("slot_lost", subject, text, "rebuild its consumer, then drop the slot")
    elif retained > limits.slot_retained:
        yield _fault(
            "slot_retains",
            subject,
            f"retains {format_bytes(retained)} of WAL, more than"
            f" {format_bytes(limits.slot_retained)}",
            "mend its consumer, or drop the slot before the disk is full",
        )


def _archiver(record: Record, limits: PostgresLimits) -> Iterator[Fault]:
    if record["failing"] and record["since_success"] > limits.archiver_failing:
        yield _fault(
            "archiver_failing",
            {},
            f"archiving fails, last success {format_duration(record['since_success'])} ago, more"
            f" than {format_duration(limits.archiver_failing)}",
            "read the server's log for archive_command; WAL piles up until the disk is full",
        )


def _indexes(record: Record, _limits: PostgresLimits) -> Iterator[Fault]:
    for name in record["names"] or ():
        yield _fault(
            "invalid_index",
            {"index": name},
            "is invalid: it costs at each write and answers nothing",
            "build it anew, or drop it: one that a failed REINDEX left ends in _ccnew",
            cure=(f"REINDEX INDEX CONCURRENTLY {name};",),
        )


_RULES = (
    ("databases", _databases),
    ("wraparound", _wraparound),
    ("collations", _collations),
    ("connections", _connections),
    ("locks", _locks),
    ("archiver", _archiver),
    ("slots", _slots),
    ("replication", _replication),
    ("identity", _identity),
    ("activity", _activity),
    ("horizon", _horizon),
    ("indexes", _indexes),
)


@dataclass(slots=True)
class CounterTotals:
    """Counters of all databases since sentinel began to watch: they never go back.

    A counter that fell was reset (pg_stat_reset, a crash): what it shows now was counted since. A
    database seen for the first time is a baseline, and a dropped one keeps its share.
    """

    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    last: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, records: Sequence[Record]) -> None:
        """Take in the counters of one look: records with `id` and the names of COUNTERS."""
        now = {record["id"]: {name: int(record[name]) for name in COUNTERS} for record in records}
        for database, counters in now.items():
            before = self.last.get(database, counters)
            for name, value in counters.items():
                self.totals[name] += value - before[name] if value >= before[name] else value
        self.last = now

    def forget(self) -> None:
        """Another cluster answers: its counters are a new baseline."""
        self.last = {}


@dataclass(slots=True)
class Lineage:
    """Which cluster answered last: system identifier and timeline, and when they changed (aware
    UTC).
    """

    system: str = ""
    timeline: int = 0
    changed: datetime | None = None
    change: str = ""
    other: bool = False
    """Whether the last change was to another cluster, and not a failover."""

    def see(self, system: str, timeline: int, now: datetime) -> bool:
        """Note who answers; True when it is another cluster than before."""
        before, self.system, self.timeline = (self.system, self.timeline), system, timeline
        if before[0] in {"", system} and before[1] in {0, timeline}:
            return False
        self.other = before[0] != system
        self.changed = now
        self.change = (
            f"another cluster answers (system {before[0]} → {system})"
            if self.other
            else f"timeline {before[1]} → {timeline}: a failover or a restore"
        )
        return self.other

    def find_fault(self, now: datetime, seconds: float) -> Fault | None:
        """The change, for `seconds` after it."""
        if self.changed is None or (now - self.changed).total_seconds() >= seconds:
            return None
        ago = format_duration((now - self.changed).total_seconds())
        return Fault(
            "other_cluster" if self.other else "failover",
            {},
            Status.DEGRADED,
            f"{self.change}, {ago} ago; told for {format_duration(seconds)}",
            since=self.changed,
            guidance="was it planned? data that only the old primary had is lost",
        )
