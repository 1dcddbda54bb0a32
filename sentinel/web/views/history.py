"""How a check or a component was: uptime over four windows, bars to open, changes of status.

Time that nobody saw, and time that the store has forgotten, is never counted as up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinel.core.fault import Status
from sentinel.core.model import Incident, Transition
from sentinel.core.notice.maintenance import Span, find_spans
from sentinel.core.quantity import format_duration
from sentinel.reports.figures import Period, Uptime
from sentinel.reports.figures.period import list_gaps
from sentinel.reports.figures.uptime import measure_uptime
from sentinel.store import Gap, Reader
from sentinel.store.notices import read_maintenance
from sentinel.web.objectives import show_share
from sentinel.web.views.ask import Ask

Document = dict[str, Any]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAX_CHANGES = 2000
MAX_GAPS = 500
"""Of one check or component, the newest; what was before them counts as not seen."""
MAX_LISTED = 100
"""Changes of status in one table."""
_BAD = ("down", "degraded")
_STATES = ("up", "degraded", "down", "maintenance", "unobserved")
_SAID = {
    "up": "up",
    "degraded": "degraded",
    "down": "down",
    "maintenance": "maintenance",
    "unobserved": "not observed",
}


@dataclass(frozen=True, slots=True)
class UptimeWindow:
    """So far back, in so many bars of one `step`."""

    name: str
    length: timedelta
    step: timedelta
    bar: str
    """What one bar is."""


WINDOWS = {
    each.name: each
    for each in (
        UptimeWindow("24h", DAY, HOUR, "hour"),
        UptimeWindow("7d", 7 * DAY, 6 * HOUR, "six hours"),
        UptimeWindow("30d", 30 * DAY, DAY, "day"),
        UptimeWindow("90d", 90 * DAY, DAY, "day"),
    )
}
WORDS = ("window", "bar")
"""What may be asked of a history."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose history: a check or a component, how it is, since when, and whose maintenance counts."""

    name: str
    scope: str
    component: str
    status: Status
    since: datetime | None


@dataclass(frozen=True, slots=True)
class StatusPast:
    """What is known of the past of one check or component, oldest first."""

    whose: Whose
    changes: Sequence[Transition]
    instants: Sequence[datetime]
    gaps: Sequence[Gap]
    maintenance: Sequence[Span]

    def measure(self, period: Period) -> Uptime:
        """How a period was spent."""
        whose, later = self.whose, bisect_left(self.instants, period.began)
        return measure_uptime(
            whose.name,
            period,
            self.changes[later:],
            self.gaps,
            whose.status,
            whose.since,
            self.maintenance,
        )

    def within(self, period: Period) -> Sequence[Transition]:
        """Changes of a period."""
        first = bisect_left(self.instants, period.began)
        return self.changes[first : bisect_left(self.instants, period.ended)]


def read_history(
    store: Reader, whose: Whose, now: datetime, remembered: float | None, ask: Ask
) -> Document:
    """Uptime of each window, the bars of the one that is asked for, and the changes of status of the
    bar that is open, else the latest.

    Keys: `windows`, `window`, `bar_is`, `bars`, `open` (a bar with its incidents, or null),
    `uptime` (of that window, as `draw_uptime` takes it), `changes`, `unseen` (why, how long).
    """
    window = WINDOWS[ask.choose("window", tuple(WINDOWS), "24h")]
    asked = ask.read_instant("bar")
    ask.conclude()
    past = _read_past(store, whose, now, remembered)
    bars = list(_list_bars(past, window, now))
    opened = next((each for each in bars if each["began"] == asked), None)
    shown = Period(opened["began"], opened["ended"]) if opened else Period(now - 90 * DAY, now)
    whole = Period(now - window.length, now)
    return {
        "windows": [_describe_window(past, each, now) for each in WINDOWS.values()],
        "window": window.name,
        "bar_is": window.bar,
        "bars": bars,
        "open": opened and opened | {"incidents": _find_incidents(store, whose.component, shown)},
        "uptime": past.measure(whole),
        "changes": [_describe_change(each) for each in past.within(shown)[-MAX_LISTED:]][::-1],
        "changes_total": len(past.within(shown)),
        "unseen": _describe_unseen(past, whole),
    }


def _read_past(store: Reader, whose: Whose, now: datetime, remembered: float | None) -> StatusPast:
    period = Period(now - 90 * DAY - DAY, now)
    found = store.transitions(since=period.began, subject=whose.name, limit=MAX_CHANGES)
    gaps = list_gaps(store, period, now, remembered, limit=MAX_GAPS)
    if len(found) == MAX_CHANGES:
        gaps.append(Gap(period.began, found[0].at, "there were more changes than are shown here"))
    changes = [each for each in found if each.scope == whose.scope]
    return StatusPast(
        whose,
        changes,
        [each.at for each in changes],
        sorted(gaps, key=lambda gap: gap.began),
        find_spans(read_maintenance(store), whose.component, period.began, now),
    )


def _describe_window(past: StatusPast, window: UptimeWindow, now: datetime) -> Document:
    uptime = past.measure(Period(now - window.length, now))
    return {"name": window.name, **_describe_uptime(uptime)}


def _describe_uptime(uptime: Uptime) -> Document:
    """Seconds of each state, shares of what was observed, and all of it as one sentence."""
    seconds = {state: getattr(uptime, state) for state in _STATES}
    return {
        **seconds,
        "up_ratio": uptime.up_ratio,
        "up_text": show_share(uptime.up_ratio) if uptime.up_ratio is not None else "not observed",
        "working_text": show_share(uptime.working_ratio),
        "text": _say(seconds),
    }


def _say(seconds: Mapping[str, float]) -> str:
    told = [
        f"{_SAID[state]} {format_duration(value)}" for state, value in seconds.items() if value > 0
    ]
    return ", ".join(told) or "no time has passed"


def _list_bars(past: StatusPast, window: UptimeWindow, now: datetime) -> Iterator[Document]:
    """Whole hours or days of UTC; the last bar is not over."""
    step = window.step.total_seconds()
    last = datetime.fromtimestamp(now.timestamp() // step * step, UTC)
    for n in range(int(window.length / window.step) - 1, -1, -1):
        began = last - n * window.step
        ended = min(began + window.step, now)
        described = _describe_uptime(past.measure(Period(began, max(ended, began))))
        yield {
            "began": began,
            "ended": ended,
            "name": _name_bar(began, window),
            "status": _judge_bar(described),
            **described,
        }


def _name_bar(began: datetime, window: UptimeWindow) -> str:
    return f"{began:%d %b %Y}" if window.step == DAY else f"{began:%d %b %H:%M} UTC"


def _judge_bar(bar: Mapping[str, Any]) -> str:
    """The worst that was seen in it; what nobody saw only when there is nothing else."""
    for state in (*_BAD[:1], *_BAD[1:], "up", "maintenance"):
        if bar[state] > 0:
            return state
    return "unobserved"


def _describe_change(change: Transition) -> Document:
    return {
        "at": change.at,
        "before": change.before.value,
        "after": change.after.value,
        "reason": change.reason,
    }


def _describe_unseen(past: StatusPast, period: Period) -> list[Document]:
    """Why nobody saw the platform within a period: the reasons, each with how long."""
    lasted: dict[str, float] = {}
    for gap in past.gaps:
        began, ended = max(gap.began, period.began), min(gap.ended, period.ended)
        if began < ended:
            seconds = (ended - began).total_seconds()
            lasted[gap.reason] = lasted.get(gap.reason, 0.0) + seconds
    rest = past.measure(period).unobserved - sum(lasted.values())
    if rest >= 1:
        lasted["its status was not known"] = rest
    ranked = sorted(lasted.items(), key=lambda item: -item[1])[:5]
    return [{"reason": why, "text": format_duration(seconds)} for why, seconds in ranked]


def _find_incidents(store: Reader, component: str, period: Period) -> list[Document]:
    """Incidents of a component that stood in a period, among the newest."""
    found = (each for each in store.incidents(limit=MAX_LISTED) if each.component == component)
    return [
        {"id": each.id, "summary": each.summary, "opened": each.opened}
        for each in found
        if each.opened < period.ended and period.began < _ended(each, period.ended)
    ]


def _ended(incident: Incident, otherwise: datetime) -> datetime:
    return incident.recovered or incident.closed or otherwise
