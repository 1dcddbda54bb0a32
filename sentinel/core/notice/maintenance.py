"""Maintenance windows: times in which people work on a part of the platform. Nobody is told of what
begins in one, what was told before still recovers, and objectives leave these times out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from sentinel.core.schedule.crontab import Crontab

Span = tuple[datetime, datetime]
"""From, until: aware instants, `from` within, `until` not."""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """Either `begins` and `ends`, or `lasts` seconds from each time of a cron line in its zone.

    A length is time that passes: an hour is an hour, also where the clock is put forward in it.
    """

    name: str
    components: tuple[str, ...]
    """Glob patterns."""
    reason: str
    begins: datetime | None = None
    ends: datetime | None = None
    cron: Crontab | None = None
    zone: tzinfo | None = None
    lasts: float = 0.0
    by: str = ""
    """Who ordered it; "" for one of the configuration."""

    def concerns(self, component: str) -> bool:
        """Whether a component is worked upon in it."""
        return any(fnmatchcase(component, pattern) for pattern in self.components)

    def find_span(self, now: datetime) -> Span | None:
        """The time that is on now, or None."""
        found = self.find_next(now)
        return found if found is not None and found[0] <= now else None

    def find_next(self, now: datetime) -> Span | None:
        """The time that is on now, else the next one; None when none comes any more."""
        if self.begins is not None and self.ends is not None:
            return (self.begins, self.ends) if now < self.ends else None
        if self.cron is None or self.zone is None:
            return None
        length = timedelta(seconds=self.lasts)
        # What began just `lasts` ago is over.
        began = self.cron.next_after(now - length, self.zone)
        return (began, began + length) if began is not None else None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One time of a window as it was: the state keeps it, whatever becomes of the configuration.
    `ended` is None while it lasts; `until` is when it is to end.
    """

    window: str
    components: tuple[str, ...]
    reason: str
    began: datetime
    until: datetime
    ended: datetime | None = None

    def concerns(self, component: str) -> bool:
        """Whether a component was worked upon."""
        return any(fnmatchcase(component, pattern) for pattern in self.components)

    @property
    def span(self) -> Span:
        """From, until; what lasts is to end as planned."""
        return self.began, self.ended or self.until


def follow_windows(
    windows: Iterable[MaintenanceWindow], known: Iterable[Maintenance], now: datetime
) -> tuple[Maintenance, ...]:
    """What is and was on, after a look at `now`: what began is added, what is over has its end.

    A time that nobody saw, because no sentinel ran, is not added.
    """
    spans = {
        window.name: (window, span)
        for window in windows
        if (span := window.find_span(now)) is not None
    }
    found = []
    for each in known:
        window, span = spans.get(each.window, (None, None))
        if each.ended is not None:
            found.append(each)
        elif window is not None and span is not None and span[0] <= each.until:
            # The same time, or the next one that follows without a break.
            found.append(
                replace(each, components=window.components, reason=window.reason, until=span[1])
            )
            del spans[each.window]
        else:
            found.append(replace(each, ended=min(each.until, now)))
    found += [
        Maintenance(window.name, window.components, window.reason, *span)
        for window, span in spans.values()
    ]
    return tuple(found)


def find_spans(
    known: Iterable[Maintenance], component: str, since: datetime, until: datetime
) -> Sequence[Span]:
    """When a component was under maintenance within a period, in order, overlapping times as one.
    For whoever leaves these times out: uptime, objectives.
    """
    spans = sorted(each.span for each in known if each.concerns(component))
    merged: list[Span] = []
    for began, ended in spans:
        first, last = max(began, since), min(ended, until)
        if last <= first:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def was_worked_upon(
    known: Iterable[Maintenance], component: str, since: datetime, until: datetime
) -> bool:
    """Whether any instant from `since` to `until`, both within, lay in maintenance of a component:
    what happened at an instant between them that nobody knows may have happened in it.
    """
    return any(
        each.began <= until and since < each.span[1] and each.concerns(component) for each in known
    )


def find_reason(known: Iterable[Maintenance], component: str, now: datetime) -> Maintenance | None:
    """The maintenance of a component that is on now, the one that ends last; or None."""
    on = [
        each
        for each in known
        if each.ended is None and each.began <= now < each.until and each.concerns(component)
    ]
    return max(on, key=lambda each: each.until, default=None)


def last_end(known: Iterable[Maintenance], component: str, now: datetime) -> datetime | None:
    """When the latest maintenance of a component that is over by `now` has ended."""
    ends = [each.span[1] for each in known if each.concerns(component) and each.span[1] <= now]
    return max(ends, default=None)
