"""From what was read of a group to faults: how many, who holds them, up to ten ids as samples, and
the commands that would cure it.

Commands are text for people; nothing here runs them. Names are quoted as redis-cli reads them,
because a name comes from the platform. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.bus.delivery import Id, format_id
from sentinel.core.bus.finding import (
    count_noun,
    describe_place,
    name_some,
    subject_of,
)
from sentinel.core.bus.naming import quote
from sentinel.core.bus.pending import NO_ENTRIES, ConsumerRoster, ConsumerView, PendingRow
from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import Bounds, format_duration

MAX_SAMPLES = 10
ORDER = (
    "payload_missing",
    "poison",
    "dead_consumer",
    "overdue",
    "unknown_consumers",
    "ghost_consumers",
    "too_many_consumers",
)
"""The faults of a group, worst first."""


@dataclass(frozen=True, slots=True)
class PendingLimits:
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
class PendingStanding:
    """One group on one stream now. Ages in seconds; the oldest entry is at least so old when that is
    not `timed`.

    `rows` are what was read, oldest first; `poison_ids` the entries found delivered too often;
    `gone` bounds the ids whose payload is gone; `owned` the oldest entries of dead consumers;
    `coverage` the share of pending entries whose delivery count was looked at, `scanned` how many
    in this run.
    """

    stream: str
    group: str
    pending: int = 0
    consumers: int = 0
    overdue: Bounds = NO_ENTRIES
    oldest: float | None = None
    timed: bool = True
    missing: Bounds = NO_ENTRIES
    poison: Bounds = NO_ENTRIES
    redelivered: Bounds = NO_ENTRIES
    poison_ids: Mapping[Id, int] = field(default_factory=dict)
    rows: Sequence[PendingRow] = ()
    bound: Id = (0, 0)
    gone: Id = (0, 0)
    scanned: int = 0
    coverage: float = 1.0
    roster: ConsumerRoster | None = None
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
class PendingCase:
    """A fault of one group, with at most ten entries or consumers that show it."""

    fault: Fault
    samples: Sequence[Mapping[str, Any]] = ()

    @property
    def count(self) -> Bounds:
        """How many entries or consumers it concerns."""
        return self.fault.count or NO_ENTRIES

    @property
    def place_in_list(self) -> tuple[int, int]:
        """For sorting: the worst kind first, among equals the most entries."""
        return ORDER.index(self.fault.key), -self.count.lo

    def describe(self) -> dict[str, Any]:
        """For the evidence."""
        fault = self.fault
        return {
            "fault": fault.key,
            **fault.subject,
            "count": self.count.lo,
            "exact": self.count.exact,
            "text": fault.text,
            "samples": list(self.samples),
            "cure": list(fault.cure),
            "guidance": fault.guidance,
        }


def find_cases(standings: Iterable[PendingStanding], limits: PendingLimits) -> list[PendingCase]:
    """Everything wrong with these groups, the worst kind first, in it the most entries."""
    found: list[PendingCase] = []
    for standing in standings:
        if not standing.calm:
            found += _find_of_group(standing, limits)
    return sorted(found, key=lambda case: case.place_in_list)


def _find_of_group(standing: PendingStanding, limits: PendingLimits) -> list[PendingCase]:
    roster = standing.roster
    found: list[PendingCase | None] = []
    if standing.pending:
        found = [
            _find_missing(standing),
            _find_poison(standing, limits),
            _find_overdue(standing, limits),
        ]
    if roster is not None:
        found += [_find_dead(standing, each, roster, limits) for each in roster.dead]
        found += [_find_unknown(standing, roster), _find_ghosts(standing, roster, limits)]
    return [case for case in found if case is not None]


# -- entries --------------------------------------------------------------------------------------


def _find_missing(standing: PendingStanding) -> PendingCase | None:
    if not standing.missing.lo:
        return None
    rows = [row for row in standing.rows if row.id < standing.gone][:MAX_SAMPLES]
    return _make_case(
        "payload_missing",
        standing,
        standing.missing,
        f"{standing.missing} pending whose payload is gone: trimmed before it was acknowledged",
        _describe_rows(rows),
        cure=_acknowledge(standing, [row.id for row in rows]),
        guidance=(
            "nothing can process these entries: note their ids, recover the work elsewhere"
            " (bus_crosscheck names the tasks), then acknowledge them"
        ),
    )


def _find_poison(standing: PendingStanding, limits: PendingLimits) -> PendingCase | None:
    if not standing.poison.lo:
        return None
    ids = sorted(standing.poison_ids)[:MAX_SAMPLES]
    holders = {row.id: row.consumer for row in standing.rows}
    text = f"{standing.poison} delivered more than {limits.poison_after} times"
    if not standing.poison.exact:
        text += f", counts of {standing.coverage:.0%} of the pending were read"
    return _make_case(
        "poison",
        standing,
        standing.poison,
        text,
        [_describe_poison(entry, holders, standing) for entry in ids],
        cure=tuple(_show_entry(standing, entry) for entry in ids),
        guidance=(
            "look at these entries; publish the fields of each to"
            f" {quote(limits.dead_letter)}, then acknowledge it (XACK), or mend the handler"
        ),
    )


def _describe_poison(
    entry: Id, holders: Mapping[Id, str], standing: PendingStanding
) -> dict[str, Any]:
    return {
        "id": format_id(entry),
        "consumer": holders.get(entry, ""),
        "deliveries": standing.poison_ids[entry],
    }


def _find_overdue(standing: PendingStanding, limits: PendingLimits) -> PendingCase | None:
    overdue = standing.overdue
    if overdue.lo <= limits.max_overdue:
        return None
    rows = [row for row in standing.rows if row.id < standing.bound][:MAX_SAMPLES]
    holder = rows[0].consumer if rows else ""
    tolerated = f"; tolerated: {limits.max_overdue:,}" if limits.max_overdue else ""
    return _make_case(
        "overdue",
        standing,
        overdue,
        f"{overdue} not acknowledged {format_duration(limits.deadline)} after publishing,"
        f" oldest {_say_age(standing)}{tolerated}",
        _describe_rows(rows),
        cure=_claim(standing, [row.id for row in rows], standing.roster, limits),
        guidance=_explain_claim(standing.roster),
        parameters=subject_of(standing.stream, standing.group, consumer=holder or None),
    )


def _say_age(standing: PendingStanding) -> str:
    """How old the oldest entry is, and whether that is a lower bound."""
    age = format_duration(standing.oldest)
    return age if standing.timed else f"at least {age} (ids of this stream are no times)"


# -- consumers ------------------------------------------------------------------------------------


def _find_dead(
    standing: PendingStanding, consumer: ConsumerView, roster: ConsumerRoster, limits: PendingLimits
) -> PendingCase:
    ids = standing.owned.get(consumer.name, ())[:MAX_SAMPLES]
    quiet = f"{format_duration(consumer.quiet)} after its {consumer.since}"
    subject = subject_of(standing.stream, standing.group, consumer=consumer.name)
    return _make_case(
        "dead_consumer",
        standing,
        Bounds(consumer.pending, consumer.pending),
        f"consumer {quote(consumer.name)} holds {consumer.pending:,} and is silent, {quiet};"
        f" tolerated: {format_duration(limits.dead_after)}",
        [{"id": format_id(entry), "consumer": consumer.name} for entry in ids],
        cure=_claim(standing, ids, roster, limits) or (_list_held(standing, consumer.name),),
        guidance=_explain_claim(roster)
        + "; delete the dead consumer (XGROUP DELCONSUMER) only when it holds nothing",
        subject=subject,
        parameters=subject,
    )


def _find_unknown(standing: PendingStanding, roster: ConsumerRoster) -> PendingCase | None:
    if not roster.unknown:
        return None
    strangers = sorted(roster.unknown, key=lambda each: (-each.pending, each.name))
    held = sum(each.pending for each in strangers)
    holders = [each.name for each in strangers if each.pending][:MAX_SAMPLES]
    return _make_case(
        "unknown_consumers",
        standing,
        Bounds(len(strangers), len(strangers)),
        f"{_say_consumers(strangers, 'match', 'matches')} no known name and hold {held:,}:"
        f" {name_some([each.name for each in strangers])}",
        _describe_consumers(strangers),
        cure=(_list_consumers(standing), *(_list_held(standing, name) for name in holders)),
        guidance=(
            "stop them, or add their names to known_consumers; claim what they hold, and delete"
            " one (XGROUP DELCONSUMER) only when it holds nothing"
        ),
    )


def _find_ghosts(
    standing: PendingStanding, roster: ConsumerRoster, limits: PendingLimits
) -> PendingCase | None:
    ghosts = roster.ghosts[::-1]
    if len(ghosts) <= limits.max_ghosts:
        return None
    names = [each.name for each in ghosts]
    return _make_case(
        "ghost_consumers",
        standing,
        Bounds(len(ghosts), len(ghosts)),
        f"{_say_consumers(ghosts, 'hold', 'holds')} nothing, {ghosts[0].since} more than"
        f" {format_duration(limits.ghost_after)} ago: {name_some(names)};"
        f" tolerated: {limits.max_ghosts:,}",
        _describe_consumers(ghosts),
        cure=(
            _list_consumers(standing),
            *(_delete_consumer(standing, name) for name in names[:MAX_SAMPLES]),
        ),
        guidance=(
            "give consumers stable names; delete each only while its pending is 0: what it holds"
            " would be gone"
        ),
    )


def find_crowded(stream: str, group: str, consumers: int, most: int) -> PendingCase:
    """A group with more consumers than can be listed, which is at `most`."""
    standing = PendingStanding(stream, group, consumers=consumers)
    return _make_case(
        "too_many_consumers",
        standing,
        Bounds(consumers, consumers),
        f"{consumers:,} consumers, more than the {most:,} that can be listed",
        guidance="names leak: give consumers stable names, delete those that hold nothing",
    )


def find_absent_groups(names: Iterable[str], standings: Iterable[PendingStanding]) -> list[Fault]:
    """Groups that are named without a wildcard, and no stream has them."""
    present = {each.group for each in standings}
    remedy = "start its consumer, or correct groups.include"
    return [
        Fault(
            "group_missing",
            {"group": name},
            Status.UNKNOWN,
            f"group {quote(name)}: no stream has it",
            guidance=remedy,
            parameters={"group": name},
        )
        for name in names
        if name not in present
    ]


# -- commands and words ---------------------------------------------------------------------------


def _make_case(
    key: str,
    standing: PendingStanding,
    count: Bounds,
    text: str,
    samples: Sequence[Mapping[str, Any]] = (),
    *,
    cure: tuple[str, ...] = (),
    guidance: str = "",
    subject: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> PendingCase:
    place = subject_of(standing.stream, standing.group)
    fault = Fault(
        key,
        subject or place,
        Status.DEGRADED,
        f"{describe_place(standing.stream, standing.group)}: {text}",
        count=count,
        cure=cure,
        guidance=guidance,
        parameters=parameters or place,
    )
    return PendingCase(fault, samples)


def _say_consumers(found: Sequence[ConsumerView], many: str, one: str) -> str:
    return f"{count_noun(len(found), 'consumer')} {one if len(found) == 1 else many}"


def _place(standing: PendingStanding) -> str:
    return f"{quote(standing.stream)} {quote(standing.group)}"


def _claim(
    standing: PendingStanding,
    ids: Sequence[Id],
    roster: ConsumerRoster | None,
    limits: PendingLimits,
) -> tuple[str, ...]:
    """Give entries to a consumer that lives; never with an idle time below what a handler may need.
    Without entries or a living consumer there is no such command.
    """
    if not ids or roster is None or not roster.alive:
        return ()
    min_idle = int(limits.min_idle * 1000)
    return (f"XCLAIM {_place(standing)} {quote(roster.alive)} {min_idle} {_join(ids)}",)


def _explain_claim(roster: ConsumerRoster | None) -> str:
    if roster is not None and roster.alive:
        return f"give what is held to {quote(roster.alive)}, which lives: the printed XCLAIM"
    return "no living consumer is known: start one, then give it what is held (XCLAIM)"


def _acknowledge(standing: PendingStanding, ids: Sequence[Id]) -> tuple[str, ...]:
    return (f"XACK {_place(standing)} {_join(ids)}",) if ids else ()


def _show_entry(standing: PendingStanding, entry: Id) -> str:
    return f"XRANGE {quote(standing.stream)} {format_id(entry)} {format_id(entry)}"


def _list_consumers(standing: PendingStanding) -> str:
    return f"XINFO CONSUMERS {_place(standing)}"


def _list_held(standing: PendingStanding, name: str) -> str:
    return f"XPENDING {_place(standing)} - + {MAX_SAMPLES} {quote(name)}"


def _delete_consumer(standing: PendingStanding, name: str) -> str:
    return f"XGROUP DELCONSUMER {_place(standing)} {quote(name)}"


def _join(ids: Iterable[Id]) -> str:
    return " ".join(map(format_id, ids))


def _describe_rows(rows: Iterable[PendingRow]) -> list[dict[str, Any]]:
    return [
        {
            "id": format_id(row.id),
            "consumer": row.consumer,
            "idle_seconds": row.idle,
            "deliveries": row.deliveries,
        }
        for row in rows
    ]


def _describe_consumers(views: Sequence[ConsumerView]) -> list[dict[str, Any]]:
    return [
        {"consumer": each.name, "pending": each.pending, "quiet_seconds": each.quiet}
        for each in views[:MAX_SAMPLES]
    ]
