"""Since when is a flow in its status? By its columns as far as they can be believed, else by when
sentinel saw it (measurement.md §5, §11.11). Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.core.flows.clock import TimeScreen
from sentinel.core.flows.stuck import PLAIN, FlowMemory, FlowSight
from sentinel.core.moment.skew import TOLERANCE, find_arrival_offset


@dataclass(frozen=True, slots=True)
class StatusStanding:
    """In its status since `since` at the latest. By its times it may be so since `earliest`, which
    is the same where they are settled. `role`: the time that tells; `is_skewed`: as it is read it
    can't be.
    """

    since: float
    earliest: float
    role: str = ""
    is_skewed: bool = False


def find_standing(
    sight: FlowSight,
    memory: FlowMemory,
    initial: str,
    now: float,
    *,
    trust_changed: bool,
    screen: TimeScreen = PLAIN,
) -> StatusStanding:
    """Exact where a column tells it and for the initial status; else the earliest of the known
    upper bounds.

    A time ahead of the clock, and one before the look at which the flow was not yet in its status,
    is of another zone or clock: then what sentinel saw is all that is known.
    """
    own = min(memory.since, now)
    role, at = _find_time(sight, initial, trust_changed=trust_changed)
    if at is None:
        return StatusStanding(own, own)
    least = float("-inf") if memory.entered is None else memory.entered - TOLERANCE
    readings = screen.read(role, at)
    possible = [each for each in readings if least <= each <= now]
    is_skewed = _is_skewed(at, memory, now) and not screen.is_open(role)
    if not possible:
        # Of a flow that was seen to come its beginning is known all the same.
        known = own if memory.entered is not None or role == "changed" else float("-inf")
        near = at <= now + TOLERANCE and bool(readings)
        return StatusStanding(own, own if near else known, role, is_skewed)
    if role == "entered":
        return StatusStanding(possible[-1], possible[0], role, is_skewed)
    return StatusStanding(min(own, possible[-1]), min(own, possible[0]), role, is_skewed)


def _is_skewed(at: float, memory: FlowMemory, now: float) -> bool:
    """Whether a time is ahead, or looks like another zone beside what was seen."""
    if at > now + TOLERANCE:
        return True
    known = memory.entered
    return known is not None and find_arrival_offset(at, known, now) is not None


def _find_time(sight: FlowSight, initial: str, *, trust_changed: bool) -> tuple[str, float | None]:
    if sight.entered is not None:
        return "entered", sight.entered
    if sight.status == initial:
        return "created", sight.created
    return "changed", sight.changed if trust_changed else None
