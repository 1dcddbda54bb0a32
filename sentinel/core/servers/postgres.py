"""Judging a PostgreSQL server by what its catalogs say: the alert column of measurement.md §7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.core.quantity import format_bytes, format_duration

Record = Mapping[str, Any]
Facts = Mapping[str, Sequence[Record]]
HOLDERS = ("backend", "slot", "prepared", "standby")
COUNTERS = ("commits", "rollbacks", "deadlocks", "temp_bytes", "checksum_failures")


@dataclass(frozen=True, slots=True)
class Limits:
    """Above which a figure is a complaint. Ages in seconds, `xid_age` and `xmin_age` in
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


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is bad, and the next step against it."""

    text: str
    remedy: str


def judge(facts: Facts, limits: Limits) -> list[Complaint]:
    """All complaints, most urgent first. A question that was not answered is left out, never taken
    for good.
    """
    return [
        complaint
        for name, rule in _RULES
        for record in facts.get(name, ())
        for complaint in rule(record, limits)
    ]


def _wraparound(record: Record, limits: Limits) -> Iterator[Complaint]:
    for what in ("xid", "mxid"):
        age = record[f"{what}_age"]
        if age > limits.xid_age:
            yield Complaint(
                f"database {record['db']}: {what} age {age:.3g} of 2.1e+09",
                "VACUUM (FREEZE) the oldest tables; find what holds the horizon (xmin_age)",
            )


def _databases(record: Record, _limits: Limits) -> Iterator[Complaint]:
    if record["checksum_failures"] > 0:
        yield Complaint(
            f"{record['checksum_failures']} checksum failures in database oid {record['id']}",
            "data is corrupt on disk: restore the pages from a backup, look at the disk",
        )


def _collations(record: Record, _limits: Limits) -> Iterator[Complaint]:
    if record["mismatched"] > 0:
        yield Complaint(
            f"collation version changed under {', '.join(record['names'])}: indexes on text may be"
            " wrong",
            "REINDEX, then ALTER DATABASE … REFRESH COLLATION VERSION",
        )


def _connections(record: Record, limits: Limits) -> Iterator[Complaint]:
    if record["used"] > limits.connections_ratio * record["usable"]:
        yield Complaint(
            f"{record['used']} of {record['usable']} connections used",
            "find who holds them (pg_stat_activity by application_name), or put a pooler in front",
        )


def _locks(record: Record, limits: Limits) -> Iterator[Complaint]:
    if record["longest"] > limits.lock_wait:
        blockers = (
            ", ".join(str(pid) for pid in record["blockers"] or ()) or "none that still lives"
        )
        yield Complaint(
            f"process {record['pid']} waits {format_duration(record['longest'])} for a lock,"
            f" blocked by {blockers}",
            f"look at what pid {blockers} does; end it with pg_terminate_backend if it may end",
        )


def _activity(record: Record, limits: Limits) -> Iterator[Complaint]:
    if record["idle_age"] > limits.idle_in_transaction:
        yield Complaint(
            f"pid {record['idle_pid']} idle in transaction for"
            f" {format_duration(record['idle_age'])}",
            "end it with pg_terminate_backend; set idle_in_transaction_session_timeout",
        )
    if record["transaction_age"] > limits.transaction:
        yield Complaint(
            f"pid {record['oldest_pid']} in one transaction for"
            f" {format_duration(record['transaction_age'])}",
            "is it a forgotten session or a long report? it keeps VACUUM from working",
        )


_HOLDER_REMEDY = {
    "backend": "end the oldest transaction",
    "slot": "drop the replication slot, or mend its consumer",
    "prepared": "COMMIT PREPARED or ROLLBACK PREPARED what pg_prepared_xacts lists",
    "standby": "end the long query on the standby, or switch hot_standby_feedback off",
}


def _horizon(record: Record, limits: Limits) -> Iterator[Complaint]:
    for holder in HOLDERS:
        if record[holder] > limits.xmin_age:
            yield Complaint(
                f"a {holder} holds back VACUUM by {record[holder]:.3g} transactions",
                _HOLDER_REMEDY[holder],
            )


def _replication(record: Record, limits: Limits) -> Iterator[Complaint]:
    if record["lag"] > limits.replication_lag:
        yield Complaint(
            f"standby {record['standby']} is {format_duration(record['lag'])} behind",
            "look at the standby's load, its conflicts, and the network",
        )


def _identity(record: Record, limits: Limits) -> Iterator[Complaint]:
    delay = record["replay_delay"]
    if delay is not None and delay > limits.replication_lag:
        yield Complaint(
            f"this standby replays {format_duration(delay)} late",
            "is replay paused, or blocked by a long query?",
        )


def _slots(record: Record, limits: Limits) -> Iterator[Complaint]:
    if record["wal_status"] == "lost" or record["invalidation_reason"]:
        yield Complaint(
            f"slot {record['slot']} is lost"
            f" ({record['invalidation_reason'] or 'its WAL was removed'})",
            "rebuild its consumer, then drop the slot",
        )
    elif record["retained_bytes"] > limits.slot_retained:
        yield Complaint(
            f"slot {record['slot']} retains {format_bytes(record['retained_bytes'])} of WAL",
            "mend its consumer, or drop the slot before the disk is full",
        )


def _archiver(record: Record, limits: Limits) -> Iterator[Complaint]:
    if record["failing"] and record["since_success"] > limits.archiver_failing:
        yield Complaint(
            f"archiving fails, last success {format_duration(record['since_success'])} ago",
            "read the server's log for archive_command; WAL piles up until the disk is full",
        )


def _indexes(record: Record, _limits: Limits) -> Iterator[Complaint]:
    if record["invalid"] > 0:
        yield Complaint(
            f"{record['invalid']} invalid index{'es' * (record['invalid'] > 1)}:"
            f" {', '.join(record['names'])}",
            "REINDEX INDEX CONCURRENTLY, or drop and make it again",
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
class Totals:
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

    def see(self, system: str, timeline: int, now: datetime) -> bool:
        """Note who answers; True when it is another cluster than before."""
        before, self.system, self.timeline = (self.system, self.timeline), system, timeline
        if before[0] in {"", system} and before[1] in {0, timeline}:
            return False
        other = before[0] != system
        self.changed = now
        self.change = (
            f"another cluster answers (system {before[0]} → {system})"
            if other
            else f"timeline {before[1]} → {timeline}: a failover or a restore"
        )
        return other

    def complaint(self, now: datetime, seconds: float) -> Complaint | None:
        """The change, for `seconds` after it."""
        if self.changed is None or (now - self.changed).total_seconds() >= seconds:
            return None
        return Complaint(
            f"{self.change}, {format_duration((now - self.changed).total_seconds())} ago",
            "was it planned? data that only the old primary had is lost",
        )
