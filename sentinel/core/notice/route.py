"""Which channels are told of an affair, at what time of day, and who is told when nobody answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo

from sentinel.core.fault import Severity
from sentinel.core.notice import RANKS, Affair
from sentinel.core.notice.silence import Matchers, fits

ALL_DAYS = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class DayHours:
    """Hours of some days by the wall of a zone: from `begins` on, before `ends`. Equal: all day.
    Over midnight they belong to the day on which they begin. Monday is 0.
    """

    begins: time
    ends: time
    zone: tzinfo
    days: frozenset[int] = ALL_DAYS

    def covers(self, now: datetime) -> bool:
        """Whether an aware instant is within."""
        local = now.astimezone(self.zone)
        shown, day = local.time().replace(tzinfo=None), local.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= shown < self.ends
        if self.begins == self.ends:
            return day in self.days
        if shown >= self.begins:
            return day in self.days
        return shown < self.ends and (local - timedelta(days=1)).weekday() in self.days


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """`after` seconds from the first notice without an acknowledgement, these are told, too."""

    after: float
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoticeRoute:
    """What fits goes to `channels`. The first route that fits is the last one, unless it says
    `also`.

    `remind` is the time between two reminders in seconds, 0 for none. During `quiet` only what is
    at least as severe as `loud` is told; the rest waits for its end.
    """

    channels: tuple[str, ...]
    matchers: Matchers = field(default_factory=dict)
    hours: DayHours | None = None
    also: bool = False
    escalate: tuple[EscalationStep, ...] = ()
    remind: float = 0.0
    quiet: DayHours | None = None
    loud: Severity = Severity.PAGE
    tell_close: bool = False

    @property
    def everyone(self) -> tuple[str, ...]:
        """Every channel of it, those of its escalation among them."""
        return (*self.channels, *(name for step in self.escalate for name in step.channels))

    def fits(self, affair: Affair, now: datetime) -> bool:
        """Whether it is for this affair at this time."""
        in_time = self.hours is None or self.hours.covers(now)
        return in_time and fits(self.matchers, affair.labels)

    def is_quiet(self, affair: Affair, now: datetime) -> bool:
        """Whether this affair can wait."""
        if self.quiet is None or RANKS[affair.severity] >= RANKS[self.loud]:
            return False
        return self.quiet.covers(now)


def find_routes(
    routes: Iterable[NoticeRoute], affair: Affair, now: datetime
) -> Sequence[NoticeRoute]:
    """The routes of an affair, in their order."""
    found = []
    for route in routes:
        if route.fits(affair, now):
            found.append(route)
            if not route.also:
                break
    return found
