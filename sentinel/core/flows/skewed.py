"""Flows and workers of whom nobody can tell what their times mean: a fault for each column, and how
times without a zone are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sentinel.core.fault import Fault, Status
from sentinel.core.flows.clock import TimeScreen
from sentinel.core.flows.history import Flow
from sentinel.core.flows.stuck import Crew
from sentinel.core.moment.skew import (
    QUARTER,
    TOLERANCE,
    Basis,
    ColumnClock,
    find_arrival_offset,
    tell_cure,
    tell_skew,
)
from sentinel.core.quantity import Bounds, format_label, format_names

SKEWED = "skewed"
_LONGEST = 200
_AT_FIRST = QUARTER - 2 * TOLERANCE - 1


def find_skewed(
    label: str, flows: Sequence[Flow], screen: TimeScreen, now: float
) -> Iterator[Fault]:
    """One fault for each column by which nobody can tell whether flows are overdue."""
    for role in dict.fromkeys(flow.unsure for flow in flows):
        unsure = [flow for flow in flows if flow.unsure == role]
        clock = screen.columns.of(role) or ColumnClock(f"{label}.{role}".strip("."), Basis.TYPED)
        why = _tell(clock, _find_off(unsure, role, screen, now), now)
        n, names = len(unsure), [format_label(f.sight.id, f.sight.name) for f in unsure]
        flows_are = "1 flow is" if n == 1 else f"{n} flows are"
        yield _make(
            clock, f"{why}; whether {flows_are} overdue can't be told: {format_names(names)}", n
        )


def find_unsure_workers(crew: Crew | None) -> Iterator[Fault]:
    """Workers of whom nobody can tell whether they live."""
    if crew is None or not (names := crew.unsure):
        return
    clock = crew.clock or ColumnClock(crew.name, Basis.TYPED)
    lives = "1 worker lives" if len(names) == 1 else f"{len(names)} workers live"
    why = (
        clock.describe() if _is_open(clock) else f"times of {clock.column} look like another zone's"
    )
    text = f"{why}; whether {lives} can't be told before they change: {format_names(names)}"
    yield _make(clock, text, len(names))


def describe_clocks(screens: Sequence[TimeScreen], crew: Crew | None) -> list[str]:
    """For the evidence: of times that have no zone of their own, how they are read and why."""
    clocks = [clock for screen in screens for clock in screen.columns.naive]
    if crew is not None and crew.clock is not None and crew.clock.is_naive:
        clocks.append(crew.clock)
    return list(dict.fromkeys(clock.describe() for clock in clocks))


def _is_open(clock: ColumnClock) -> bool:
    return clock.is_naive and not clock.is_certain


def _find_off(flows: Sequence[Flow], role: str, screen: TimeScreen, now: float) -> float:
    """By how much the clock seems to be off: as rows were seen to come, else as the first of these
    is ahead.
    """
    if screen.offsets:
        return max(screen.offsets, key=abs)
    times = (getattr(flow.sight, role) for flow in flows)
    ahead = next((at for at in times if at is not None and at > now + TOLERANCE), now)
    return find_arrival_offset(ahead, now - _AT_FIRST, now) or ahead - now


def _tell(clock: ColumnClock, off: float, now: float) -> str:
    return tell_skew(clock, off, now) if off and not _is_open(clock) else clock.describe()


def _make(clock: ColumnClock, text: str, n: int) -> Fault:
    subject = {"times": clock.column[:_LONGEST]}
    return Fault(
        SKEWED, subject, Status.UNKNOWN, text, count=Bounds(n, n), guidance=tell_cure(clock)
    )
