"""From what was read of a group to faults: how many, up to ten ids, and the command that would cure
it.

The commands are text for people; nothing here runs them. Names are quoted as redis-cli reads them,
because a name comes from the platform. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.bus.delivery import Id, format_id
from sentinel.core.bus.naming import quote
from sentinel.core.bus.pending import NO_ENTRIES, ConsumerView, Count, PendingRow, Roster
from sentinel.core.quantity import format_duration

MAX_SAMPLES = 10
HEIR = "<live-consumer>"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is tolerated. Times in seconds; `min_idle` is the longest time a handler works on one
    entry.
    """

    deadline: float
    max_overdue: int
    poison_after: int
    min_idle: float
    dead_after: float
    ghost_after: float
    max_ghosts: int
    dead_letter: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One group on one stream now. `overdue` is None when ids are no times; ages in seconds.

    `rows` are what was read, oldest first; `poison_ids` the entries found delivered too often;
    `gone` bounds the ids whose payload is gone; `owned` the oldest entries of dead consumers;
    `coverage` the share of pending entries whose delivery count was looked at, `scanned` how many
    in this run.
    """

    stream: str
    group: str
    pending: int = 0
    consumers: int = 0
    overdue: Count | None = NO_ENTRIES
    oldest: float | None = None
    missing: Count = NO_ENTRIES
    poison: Count = NO_ENTRIES
    redelivered: Count = NO_ENTRIES
    poison_ids: Mapping[Id, int] = field(default_factory=dict)
    rows: Sequence[PendingRow] = ()
    bound: Id = (0, 0)
    gone: Id = (0, 0)
    scanned: int = 0
    coverage: float = 1.0
    roster: Roster | None = None
    owned: Mapping[str, Sequence[Id]] = field(default_factory=dict)

    @property
    def calm(self) -> bool:
        """Whether there is nothing that could be wrong."""
        roster = self.roster
        return not (
            self.pending
            or (roster is not None and (roster.dead or roster.unknown or roster.ghosts))
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """One class of fault of one group. `samples` ≤ 10 documents, `cure` the command that would mend
    those.
    """

    kind: str
    stream: str
    group: str
    count: Count
    text: str
    samples: Sequence[Mapping[str, Any]]
    cure: str

    def describe(self) -> dict[str, Any]:
        """For the evidence."""
        return {
            "fault": self.kind,
            "stream": self.stream,
            "group": self.group,
            "count": self.count.n,
            "exact": self.count.exact,
            "text": self.text,
            "samples": list(self.samples),
            "cure": self.cure,
        }


def find_faults(standing: Standing, limits: Limits) -> list[Fault]:
    """Everything wrong with one group, worst first."""
    roster = standing.roster
    found: list[Fault | None] = []
    if standing.pending:
        found += [
            _find_missing(standing),
            _find_poison(standing, limits),
            _find_overdue(standing, limits),
        ]
    if roster is not None:
        found += [_find_dead(standing, each, roster, limits) for each in roster.dead]
        found += [_find_unknown(standing, roster), _find_ghosts(standing, roster, limits)]
    return [fault for fault in found if fault is not None]


def _find_missing(standing: Standing) -> Fault | None:
    if not standing.missing.n:
        return None
    rows = [row for row in standing.rows if row.id < standing.gone][:MAX_SAMPLES]
    text = f"{standing.missing} pending whose payload is gone: trimmed before it was acknowledged"
    cure = (
        f"nothing can process them: recover them elsewhere, then XACK {_place(standing)}"
        f" {_join(rows)}"
    )
    return _fault("payload_missing", standing, standing.missing, text, _describe_rows(rows), cure)


def _find_poison(standing: Standing, limits: Limits) -> Fault | None:
    if not standing.poison.n:
        return None
    rows = {row.id: row for row in standing.rows}
    ids = sorted(standing.poison_ids)[:MAX_SAMPLES]
    samples = [
        {
            "id": format_id(entry),
            "consumer": rows[entry].consumer if entry in rows else "",
            "deliveries": count,
        }
        for entry, count in ((entry, standing.poison_ids[entry]) for entry in ids)
    ]
    text = f"{standing.poison} delivered more than {limits.poison_after} times"
    text += (
        ""
        if standing.poison.exact
        else f", counts of {standing.coverage:.0%} of the pending were read"
    )
    first = format_id(ids[0]) if ids else ""
    look = f"XRANGE {quote(standing.stream)} {first} {first}"
    joined = " ".join(map(format_id, ids))
    cure = (
        f"{look}; XADD {quote(limits.dead_letter)} * <its fields>; then XACK {_place(standing)}"
        f" {joined}"
    )
    return _fault("poison", standing, standing.poison, text, samples, cure)


def _find_overdue(standing: Standing, limits: Limits) -> Fault | None:
    if standing.overdue is None or standing.overdue.n <= limits.max_overdue:
        return None
    rows = [row for row in standing.rows if row.id < standing.bound][:MAX_SAMPLES]
    age = format_duration(standing.oldest)
    text = (
        f"{standing.overdue} not acknowledged {format_duration(limits.deadline)} after publishing,"
        f" oldest {age}"
    )
    cure = _claim(standing, [row.id for row in rows], standing.roster, limits)
    return _fault("overdue", standing, standing.overdue, text, _describe_rows(rows), cure)


def _find_dead(standing: Standing, consumer: ConsumerView, roster: Roster, limits: Limits) -> Fault:
    ids = standing.owned.get(consumer.name, ())[:MAX_SAMPLES]
    quiet = f"{format_duration(consumer.quiet)} after its {consumer.since}"
    text = f"consumer {quote(consumer.name)} holds {consumer.pending:,} and is silent, {quiet}"
    cure = _claim(standing, ids, roster, limits)
    cure += (
        f"; XGROUP DELCONSUMER {_place(standing)} {quote(consumer.name)} only when it holds nothing"
    )
    samples = [{"id": format_id(entry), "consumer": consumer.name} for entry in ids]
    return _fault("dead_consumer", standing, Count(consumer.pending), text, samples, cure)


def _find_unknown(standing: Standing, roster: Roster) -> Fault | None:
    if not roster.unknown:
        return None
    count = len(roster.unknown)
    held = sum(each.pending for each in roster.unknown)
    text = f"{count:,} consumers match no known name, they hold {held:,}"
    holder = max(roster.unknown, key=lambda each: each.pending)
    delete = (
        f"XGROUP DELCONSUMER {_place(standing)} {quote(holder.name)} only when it holds nothing"
    )
    list_held = (
        f"XPENDING {_place(standing)} - + {MAX_SAMPLES} {quote(holder.name)}, claim what it lists; "
        if held
        else ""
    )
    cure = f"stop it, or add its name to known_consumers; {list_held}{delete}"
    return _fault(
        "unknown_consumers", standing, Count(count), text, _describe_consumers(roster.unknown), cure
    )


def _find_ghosts(standing: Standing, roster: Roster, limits: Limits) -> Fault | None:
    count = len(roster.ghosts)
    if count <= limits.max_ghosts:
        return None
    since = roster.ghosts[-1].since
    text = (
        f"{count:,} consumers hold nothing, {since} more than"
        f" {format_duration(limits.ghost_after)} ago"
    )
    name = quote(roster.ghosts[-1].name)
    cure = (
        f"XGROUP DELCONSUMER {_place(standing)} {name}, and so on, each only while its pending is 0"
    )
    return _fault(
        "ghost_consumers",
        standing,
        Count(count),
        text,
        _describe_consumers(roster.ghosts[::-1]),
        cure,
    )


def _fault(
    kind: str,
    standing: Standing,
    count: Count,
    text: str,
    samples: Sequence[Mapping[str, Any]],
    cure: str,
) -> Fault:
    return Fault(kind, standing.stream, standing.group, count, text, samples, cure)


def _place(standing: Standing) -> str:
    return f"{quote(standing.stream)} {quote(standing.group)}"


def _claim(standing: Standing, ids: Sequence[Id], roster: Roster | None, limits: Limits) -> str:
    """Give entries to a consumer that lives; never with an idle time below what a handler may need."""
    heir = quote(roster.alive) if roster is not None and roster.alive else HEIR
    words = " ".join(map(format_id, ids)) or "<ids>"
    return f"XCLAIM {_place(standing)} {heir} {int(limits.min_idle * 1000)} {words}"


def _join(rows: Iterable[PendingRow]) -> str:
    return " ".join(format_id(row.id) for row in rows)


def _describe_rows(rows: Iterable[PendingRow]) -> list[dict[str, Any]]:
    return [
        {
            "id": format_id(r.id),
            "consumer": r.consumer,
            "idle_seconds": r.idle,
            "deliveries": r.deliveries,
        }
        for r in rows
    ]


def _describe_consumers(views: Sequence[ConsumerView]) -> list[dict[str, Any]]:
    return [
        {"consumer": v.name, "pending": v.pending, "quiet_seconds": v.quiet}
        for v in views[:MAX_SAMPLES]
    ]
