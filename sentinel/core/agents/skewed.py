"""Agents of whom nobody can tell whether they live, for their times are of another zone or clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sentinel.core.agents.census import CensusRules
from sentinel.core.fault import Fault, FaultKind, Severity, Status
from sentinel.core.moment.skew import (
    QUARTER,
    TOLERANCE,
    Basis,
    ColumnClock,
    find_arrival_offset,
    tell_cure,
    tell_skew,
)
from sentinel.core.quantity import Bounds, format_duration, format_names

SKEWED_AGENTS = FaultKind(
    "skewed",
    Severity.TICKET,
    "sentinel-blind",
    "times of another zone or clock: neither alive nor dead",
)
UNTOLD_CLOCK = ColumnClock("heartbeats", Basis.TYPED)
"""Of times that say themselves which instants they are."""
_LONGEST = 200


def find_skewed(
    unsure: Mapping[str, float],
    clock: ColumnClock,
    call: Callable[[str], str],
    rules: CensusRules,
    now: float,
) -> list[Fault]:
    """One fault for each offset. `unsure`: as of `Vitals`; `clock`: by which heartbeats are
    written; `call`: how people call an agent; `now`: Unix seconds.
    """
    groups: dict[float, list[str]] = {}
    for name, ahead in sorted(unsure.items()):
        # why: where the zone of a row is not known, neither is by how much its time is off
        off = 0.0 if clock.basis is Basis.DISAGREED else guess_offset(ahead, rules)
        groups.setdefault(off, []).append(call(name))
    return [_make(clock, off, names, rules, now) for off, names in groups.items()]


def guess_offset(ahead: float, rules: CensusRules) -> float:
    """By how much a clock is off whose beat says to be `ahead` seconds in the future (else past),
    if it was made within the time to live.
    """
    since = -min(rules.ttl, QUARTER - 2 * TOLERANCE - 1)
    found = find_arrival_offset(ahead, since, 0.0)
    return found if found is not None else float(round(ahead))


def describe_clocks(clocks: Iterable[ColumnClock]) -> list[str]:
    """For the evidence: of times that have no zone of their own, how they are read and why."""
    return list(dict.fromkeys(clock.describe() for clock in clocks))


def _make(
    clock: ColumnClock, off: float, names: list[str], rules: CensusRules, now: float
) -> Fault:
    why = clock.describe() if clock.basis is Basis.DISAGREED else tell_skew(clock, off, now)
    agents = "1 agent lives" if len(names) == 1 else f"{len(names)} agents live"
    text = (
        f"{why}; whether {agents} can't be told before they change, within"
        f" {format_duration(rules.ttl)}: {format_names(names)}"
    )
    count = Bounds(len(names), len(names))
    subject = {"times": clock.column[:_LONGEST]}
    return Fault(
        SKEWED_AGENTS.key, subject, Status.UNKNOWN, text, count=count, guidance=tell_cure(clock)
    )
