"""Do the workers of flows live? By their heartbeats as far as these can be believed, else by whether
they are seen to change (measurement.md §11.11). Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sentinel.core.flows.stuck import Worker
from sentinel.core.moment.skew import TOLERANCE, ColumnClock, find_arrival_offset
from sentinel.core.moment.zone import wall_of


@dataclass(frozen=True, slots=True)
class _Seen:
    """A heartbeat; when it was seen first and last; when the one before it was seen last, None
    where there was none.
    """

    beat: float
    at: float
    last: float
    after: float | None


@dataclass(slots=True)
class BeatWatch:
    """The heartbeats over several looks, by worker; in memory only."""

    seen: dict[str, _Seen] = field(default_factory=dict)

    def forget_all_but(self, workers: Iterable[str]) -> None:
        """Who is registered no more."""
        here = set(workers)
        self.seen = {key: seen for key, seen in self.seen.items() if key in here}

    def look(
        self, key: str, worker: Worker, clock: ColumnClock | None, now: float, ttl: float
    ) -> Worker:
        """The worker as far as it can be told: one whose heartbeat is of another zone or clock is
        neither alive nor dead until it changes, or has not for `ttl` seconds.
        """
        if worker.age is None:
            return worker
        beat = now - worker.age
        before = self.seen.get(key)
        if before is None or abs(before.beat - beat) > 0.001:
            before = _Seen(beat, now, now, None if before is None else before.last)
        self.seen[key] = replace(before, last=now)
        own = now - before.at
        age = _settle(before, clock, now, ttl)
        if before.after is not None:
            # why: it was made between two looks, whatever it says
            is_right = before.after - TOLERANCE <= beat <= before.at + TOLERANCE
            return replace(worker, age=age if is_right and age is not None else own)
        if age is not None:
            return replace(worker, age=age)
        return replace(worker, age=own, is_unsure=own <= ttl)


def _settle(seen: _Seen, clock: ColumnClock | None, now: float, ttl: float) -> float | None:
    """Seconds since a heartbeat; None where its zone decides whether that is life. It was not made
    after it was seen.
    """
    beat = seen.beat
    read: tuple[float, ...] = (beat,)
    if clock is not None and clock.is_naive and not clock.is_certain:
        read = clock.read(wall_of(beat, clock.zone)) if clock.others else ()
    ages = [max(0.0, now - each) for each in read if each <= seen.at + TOLERANCE]
    lives = {age <= ttl for age in ages}
    if len(lives) != 1:
        return None
    if True in lives:
        return min(ages)
    return None if find_arrival_offset(beat, seen.at - ttl, seen.at) is not None else min(ages)
