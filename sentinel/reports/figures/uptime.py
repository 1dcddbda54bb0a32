"""How long a component was up: transitions minus gaps, minus maintenance. Time that nobody observed,
or in which people worked on it, is neither up nor down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sentinel.core.fault import Status
from sentinel.core.model import Transition
from sentinel.reports.figures import Period, Span, Uptime
from sentinel.store import Gap

Stretch = tuple[datetime, datetime, str]
MAX_SPANS = 200
UNOBSERVED = "unobserved"
MAINTENANCE = "maintenance"


def measure_uptime(
    component: str,
    period: Period,
    transitions: Sequence[Transition],
    gaps: Iterable[Gap],
    now_status: Status,
    since: datetime | None,
    maintenance: Sequence[tuple[datetime, datetime]] = (),
) -> Uptime:
    """Seconds per status of one component within a period.

    `transitions` are those of the component since the period began, oldest first. The status at the
    beginning is what the first of them left; without any, `now_status`, from `since` on. Unknown
    statuses and gaps are unobserved. Time of `maintenance` (in order, none overlapping) is nothing
    else, whatever was seen in it.
    """
    stretches = _statuses(period, transitions, now_status, since)
    stretches = _overlay(stretches, _merge(gaps, period), UNOBSERVED)
    stretches = _overlay(stretches, maintenance, MAINTENANCE)
    seconds = dict.fromkeys((*Status, UNOBSERVED, MAINTENANCE), 0.0)
    for began, ended, status in stretches:
        seconds[status] += (ended - began).total_seconds()
    observed = seconds[Status.UP] + seconds[Status.DEGRADED] + seconds[Status.DOWN]
    return Uptime(
        component=component,
        up=seconds[Status.UP],
        degraded=seconds[Status.DEGRADED],
        down=seconds[Status.DOWN],
        unobserved=seconds[UNOBSERVED],
        maintenance=seconds[MAINTENANCE],
        up_ratio=seconds[Status.UP] / observed if observed else None,
        working_ratio=(observed - seconds[Status.DOWN]) / observed if observed else None,
        spans=_spans(stretches, period),
    )


def _statuses(
    period: Period, transitions: Sequence[Transition], now_status: Status, since: datetime | None
) -> list[Stretch]:
    """The status over the whole period, gaps not yet taken out."""
    inside = [change for change in transitions if period.began <= change.at < period.ended]
    later = next((change for change in transitions if change.at >= period.ended), None)
    if inside:
        status = inside[0].before
    elif later is not None:
        status = later.before
    else:
        return _constant(period, now_status, since)
    stretches, at = [], period.began
    for change in inside:
        stretches.append((at, change.at, _name(status)))
        at, status = change.at, change.after
    return [*stretches, (at, period.ended, _name(status))]


def _constant(period: Period, status: Status, since: datetime | None) -> list[Stretch]:
    """No transition is known: the present status holds from `since` on, and not a moment longer."""
    start = min(max(since or period.ended, period.began), period.ended)
    return [(period.began, start, UNOBSERVED), (start, period.ended, _name(status))]


def _name(status: Status) -> str:
    return UNOBSERVED if status is Status.UNKNOWN else status.value


def _merge(gaps: Iterable[Gap], period: Period) -> list[tuple[datetime, datetime]]:
    """The gaps within the period, overlapping ones as one."""
    merged: list[tuple[datetime, datetime]] = []
    for gap in sorted(gaps, key=lambda gap: gap.began):
        began, ended = max(gap.began, period.began), min(gap.ended, period.ended)
        if ended <= began:
            continue
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def _overlay(
    stretches: Sequence[Stretch], over: Sequence[tuple[datetime, datetime]], status: str
) -> list[Stretch]:
    """Lay times of another status over the stretches; neighbours of one status become one."""
    pieces: list[Stretch] = []
    for began, ended, was in stretches:
        at = began
        for first, last in over:
            if last <= at or first >= ended:
                continue
            pieces.append((at, max(at, first), was))
            pieces.append((max(at, first), min(ended, last), status))
            at = min(ended, last)
        pieces.append((at, ended, was))
    return _join(piece for piece in pieces if piece[1] > piece[0])


def _join(pieces: Iterable[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for began, ended, status in pieces:
        if joined and joined[-1][2] == status:
            joined[-1] = (joined[-1][0], ended, status)
        else:
            joined.append((began, ended, status))
    return joined


def _spans(stretches: Sequence[Stretch], period: Period) -> list[Span]:
    """For the bar: at most MAX_SPANS, the longest ones kept."""
    total = (period.ended - period.began).total_seconds()
    if total <= 0:
        return []
    longest = sorted(stretches, key=lambda stretch: stretch[0] - stretch[1])[:MAX_SPANS]
    return [
        Span(
            status,
            round((began - period.began).total_seconds() / total, 5),
            round((ended - began).total_seconds() / total, 5),
        )
        for began, ended, status in sorted(longest)
    ]
