"""By which clocks the times of flows are written, and what a time may mean (measurement.md §11.11).

A time that a row alone does not settle (several zones, a clock that was seen to be off) is no
duration: then a flow's stay is bounded by when sentinel saw it. Unix seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.moment.skew import (
    TOLERANCE,
    ColumnClock,
    Skew,
    SkewTally,
    find_arrival_offset,
)
from sentinel.core.moment.zone import wall_of

FEW = 0.01
"""Share of skewed rows beyond which no row of the table is believed alone."""
_KEPT = 400
_OFFSETS = 20
_OLD = 0.0
_AGAIN, _BY_CHANCE = 3, 0.15


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """The clocks of a table's columns of times, as far as the catalog was asked."""

    created: ColumnClock | None = None
    changed: ColumnClock | None = None
    entered: ColumnClock | None = None

    def of(self, role: str) -> ColumnClock | None:
        """The clock of `created`, `changed` or `entered`."""
        return {"created": self.created, "changed": self.changed, "entered": self.entered}[role]

    @property
    def naive(self) -> list[ColumnClock]:
        """Those that have no zone of their own."""
        clocks = (self.created, self.changed, self.entered)
        return [clock for clock in clocks if clock is not None and clock.is_naive]


@dataclass(frozen=True, slots=True)
class TimeScreen:
    """What the times of one table may mean. `offsets`: by how many seconds its clocks were seen to
    be ahead (else behind).
    """

    columns: TimeColumns = field(default_factory=TimeColumns)
    offsets: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether each time means one instant."""
        return not self.offsets and all(clock.is_certain for clock in self.columns.naive)

    def is_open(self, role: str) -> bool:
        """Whether the zone of a column is one of several, or none that anybody knows."""
        clock = self.columns.of(role)
        return clock is not None and clock.is_naive and not clock.is_certain

    def read(self, role: str, at: float) -> tuple[float, ...]:
        """All instants that a time may be, the earliest first; none where nobody knows its zone."""
        clock = self.columns.of(role)
        found = {at}
        if clock is not None and self.is_open(role):
            if not clock.others:
                return ()
            found = set(clock.read(wall_of(at, clock.zone)))
        return tuple(sorted(found | {at - off for off in self.offsets}))

    def settle(
        self, role: str, at: float | None, previous: float | None, now: float
    ) -> float | None:
        """The instant, where only one is possible for what happened between the look before
        (None: unknown when) and now. Rows may become visible late, and imported ones are old:
        only what looks like another zone is not believed.
        """
        if at is None:
            return None
        past = [each for each in self.read(role, at) if each <= now]
        if previous is not None:
            inside = [each for each in past if each >= previous - TOLERANCE]
            if inside or find_arrival_offset(at, previous, now) is not None:
                past = inside
        return past[0] if len(past) == 1 else None

    def find_skew(self, role: str, at: float, previous: float, now: float) -> float | None:
        """By how much the time of what happened between two looks is ahead (else behind); 0 where
        one of the zones of its column may be right, None for a time that is merely old: imported,
        or not kept.
        """
        read = TimeScreen(self.columns).read(role, at)
        if any(previous - TOLERANCE <= each <= now + TOLERANCE for each in read):
            return 0.0
        off = find_arrival_offset(at, previous, now)
        return off if off is not None else at - now if at > now else None


def note_skew(tally: SkewTally, off: float | None) -> None:
    """Take in one row of which it is known when it came; the newest few hundred count."""
    tally.note(Skew.FINE if off == 0.0 else Skew.OFFSET, off or _OLD)
    if tally.fine + tally.skewed > _KEPT:
        tally.fine, tally.skewed = tally.fine // 2, tally.skewed // 2
        kept = {off: n // 2 for off, n in tally.offsets.most_common(_OFFSETS) if n > 1}
        tally.offsets = Counter(kept)


def dump_tally(tally: SkewTally) -> list[Any]:
    """JSON-able: fine, skewed, `[[seconds, rows], …]`."""
    offsets = tally.offsets.most_common(_OFFSETS)
    return [tally.fine, tally.skewed, [[off, n] for off, n in offsets]]


def load_tally(document: Sequence[Any] | None) -> SkewTally:
    """Read what `dump_tally` gave; older versions have none."""
    if document is None:
        return SkewTally()
    fine, skewed, offsets = document
    return SkewTally(int(fine), int(skewed), Counter({float(off): int(n) for off, n in offsets}))


def make_screen(columns: TimeColumns, tally: SkewTally) -> TimeScreen:
    """What is believed after all that was seen. By chance some old times are off by whole quarters
    of an hour, each by another one: one offset counts when it comes again, and more often than
    that.
    """
    least = max(_AGAIN, FEW * (tally.fine + tally.skewed), _BY_CHANCE * tally.offsets.get(_OLD, 0))
    seen = (off for off, n in tally.offsets.items() if off != _OLD and n >= least)
    return TimeScreen(columns, tuple(sorted(seen)))
