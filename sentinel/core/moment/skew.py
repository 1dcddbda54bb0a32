"""The one screen for times that a platform writes (measurement.md §11.11): in which zone is a
column written, and which of its times can't be what they say.

A `timestamptz` says itself which instant it is. A `timestamp` is a wall time: its zone is declared
(`zone:`), found in the catalog, or not known, and a reading that rests on nothing must not become a
figure. So rows are screened, too: a time ahead of the server's clock, an end before its beginning,
and a difference of whole hours (also of 30 and 45 minutes) tell of another zone or clock. A skewed
row is counted as skewed and is in no duration; the kind says unknown where such rows matter.

Pure: instants and differences in seconds, `now` by the clock of the server that holds the rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sentinel.core.moment.zone import name_offset, offset_at, read_wall
from sentinel.core.quantity import format_duration

TOLERANCE = 5.0
"""Seconds by which clocks of one platform may differ, and a difference from a whole quarter."""
QUARTER = 900.0
"""Seconds: all zones of the world are quarters of an hour apart."""
LEAST_OFFSET, MOST_OFFSET = 1_800.0, 93_600.0
"""Seconds: no two zones in use are nearer than half an hour, or further apart than 26 h."""


class Basis(StrEnum):
    """On what the reading of a column's times rests, the best first."""

    TYPED = "typed"
    """The column's type has a zone."""
    DECLARED = "declared"
    """`zone:` of the mapping."""
    DISCOVERED = "discovered"
    """All that the catalog tells agrees: the column's default, the zones of those who write."""
    DISAGREED = "disagreed"
    """Those who may write have several zones: a row alone does not tell in which it was written."""
    ASSUMED = "assumed"
    """The catalog tells nothing: read as UTC."""


@dataclass(frozen=True, slots=True)
class ColumnClock:
    """What is known of the clock that a column is written by. `column`: as people know it,
    `tasks.created_at`; `zone`: in which its wall times are read; `others`: zones that they may be
    in as well; `source`: on what that rests, in words.
    """

    column: str
    basis: Basis
    zone: str = "UTC"
    others: tuple[str, ...] = ()
    source: str = ""

    @property
    def is_naive(self) -> bool:
        """Whether the column holds wall times: its type has no zone."""
        return self.basis is not Basis.TYPED

    @property
    def is_certain(self) -> bool:
        """Whether a row alone tells its instant; of the catalog's word its rows may still differ."""
        return self.basis in (Basis.TYPED, Basis.DECLARED, Basis.DISCOVERED)

    def read(self, wall: datetime) -> tuple[float, ...]:
        """The instants that a naive time of this column may be, all zones that it may be in; the
        earliest first.
        """
        return tuple(sorted({at for zone in self.zones for at in read_wall(wall, zone)}))

    @property
    def zones(self) -> tuple[str, ...]:
        """The zone in which it is read, then the others that it may be in."""
        return (self.zone, *self.others)

    def describe(self) -> str:
        """`tasks.created_at is read as Asia/Tokyo (TimeZone of database app)`."""
        if not self.is_naive:
            return f"{self.column} has a zone of its own"
        is_open = self.basis is Basis.DISAGREED and self.others
        others = f", or {' or '.join(self.others)}" if is_open else ""
        return f"{self.column} is read as {self.zone}{others} ({self.source or self.basis})"


class Skew(StrEnum):
    """What the screen says of a time or of a span."""

    FINE = "fine"
    AHEAD = "ahead"
    """Later than the server's clock."""
    NEGATIVE = "negative"
    """It ended before it began."""
    OFFSET = "offset"
    """Off by whole hours, or by 30 or 45 minutes more."""


def screen_span(began: float, ended: float, now: float, shortest: float = 3_600.0) -> Skew:
    """A beginning and its end, by clocks that may be two; of whole quarters only those from
    `shortest` seconds on are suspicious, for a short wait may be as long by chance.
    """
    if began > now + TOLERANCE or ended > now + TOLERANCE:
        return Skew.AHEAD
    if ended < began:
        return Skew.NEGATIVE
    is_long = ended - began >= shortest - TOLERANCE
    return Skew.OFFSET if is_long and find_offset(ended - began) else Skew.FINE


def find_offset(seconds: float) -> float | None:
    """The difference of two zones that a difference in seconds looks like; None: like none."""
    whole = round(seconds / QUARTER) * QUARTER
    is_near = abs(seconds - whole) <= TOLERANCE
    return whole if is_near and LEAST_OFFSET <= abs(whole) <= MOST_OFFSET else None


def find_arrival_offset(at: float, since: float, now: float) -> float | None:
    """By how much a clock is ahead (else behind) that wrote `at` between two looks at `since` and
    `now`; None when it may be right, or when no difference of zones explains it.
    """
    is_possible = since - TOLERANCE <= at <= now + TOLERANCE
    return None if is_possible else find_slot_offset(at, at, since, now)


def find_slot_offset(first: float, last: float, since: float, now: float) -> float | None:
    """The difference of two zones by which a clock is ahead (else behind) that wrote times between
    `first` and `last` between two looks; None when none explains it.
    """
    lowest = math.ceil((first - now - TOLERANCE) / QUARTER)
    highest = math.floor((last - since + TOLERANCE) / QUARTER)
    fitting = [
        step
        for step in range(lowest, highest + 1)
        if LEAST_OFFSET <= abs(step) * QUARTER <= MOST_OFFSET
    ]
    # Between looks that are far apart several fit: zones of whole hours are the most frequent.
    return min(fitting, key=lambda step: (step % 4, abs(step)), default=0) * QUARTER or None


@dataclass(slots=True)
class SkewTally:
    """Rows as the screen saw them; `offsets`: how many were off by so many seconds."""

    fine: int = 0
    skewed: int = 0
    offsets: Counter[float] = field(default_factory=Counter)

    def note(self, skew: Skew, off: float = 0.0, n: int = 1) -> None:
        """Take in `n` rows; `off`: by how many seconds they are ahead of where they should be."""
        if skew is Skew.FINE:
            self.fine += n
            return
        self.skewed += n
        self.offsets[find_offset(off) or round(off)] += n

    def matters(self, share: float) -> bool:
        """Whether skewed rows are so many that they could turn a verdict which allows this share
        of bad ones.
        """
        return self.skewed > 0 and self.skewed > share * (self.fine + self.skewed)

    @property
    def off(self) -> float:
        """What most skewed rows are off by, seconds."""
        return self.offsets.most_common(1)[0][0] if self.offsets else 0.0


def suspect_zone(clock: ColumnClock, off: float, now: float) -> str:
    """The zone that times look like which are `off` seconds ahead of where they should be: by name
    where the catalog knows one, else `UTC+2`.
    """
    ahead = offset_at(clock.zone, now) * clock.is_naive + off
    named = next(_named(clock.others, ahead, now), "")
    return named or name_offset(ahead)


def _named(zones: Iterable[str], ahead: float, now: float) -> Iterator[str]:
    return (zone for zone in zones if abs(offset_at(zone, now) - ahead) < 1)


def tell_skew(clock: ColumnClock, off: float, now: float) -> str:
    """`times of tasks.created_at are 2 h ahead of the server's clock: they look like
    Europe/Athens`. Without an offset: rows of several zones meet, or an hour occurs twice.
    """
    if not off:
        return f"times of {clock.column} are of more than one zone"
    way = "ahead of" if off > 0 else "behind"
    far = format_duration(abs(off))
    text = f"times of {clock.column} are {far} {way} the server's clock"
    if find_offset(off) is None:
        return text
    return f"{text}: they look like {suspect_zone(clock, off, now)}"


def tell_cure(clock: ColumnClock) -> str:
    """What to do about times of a column that are skewed."""
    if not clock.is_naive:
        return "write times with their zone: a naive one is taken in the zone of the session"
    if clock.basis is Basis.DECLARED:
        return (
            f"correct `zone:` (it says {clock.zone}), or the clock of whoever writes {clock.column}"
        )
    return f"declare `zone:` in the mapping, or let {clock.column} be a timestamptz"
