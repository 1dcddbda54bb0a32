"""Since when sentinel watches, and when it saw nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from sentinel.errors import UsageError
from sentinel.reports.figures import Period
from sentinel.store import FORGOTTEN, Gap, Reader, unobserved_since
from sentinel.store.document import read_instant


def watch_began(store: Reader) -> datetime | None:
    """When sentinel began to watch, as far as the store knows."""
    try:
        at = read_instant(store.meta("watching_since") or store.meta("started") or "")
    except ValueError:
        return None
    return at if at.tzinfo else None


def bound_period(began: datetime, ended: datetime | None, now: datetime) -> Period:
    """From an instant to another one, at most to now. Raises UsageError for a period without time
    in it.
    """
    last = min(ended or now, now)
    if began >= last:
        message = (
            f"the period from {began:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC is empty"
        )
        raise UsageError(message, "begin it before now, and before its end")
    return Period(began, last)


def list_gaps(
    store: Reader,
    period: Period,
    now: datetime,
    remembered: float | None = None,
    limit: int = -1,
) -> list[Gap]:
    """When sentinel saw nothing within a period: stalled, stopped, not begun yet, not running now;
    and the time of which the store has forgotten what happened. It says itself since when it has
    all; where nothing was dropped yet, nothing older than `remembered` seconds is claimed. Of more
    than `limit` gaps the newest are told one by one, and all before them is one.
    """
    found = store.gaps(since=period.began, limit=limit)
    if len(found) == limit:
        found[0] = Gap(min(period.began, found[0].began), found[0].ended, found[0].reason)
    gaps = [gap for gap in found if gap.began < period.ended]
    began, beat = watch_began(store), unobserved_since(store, now)
    if began is not None and began > period.began:
        gaps.append(Gap(period.began, began, "sentinel did not watch yet"))
    kept = _find_kept(store, now, remembered)
    if kept is not None and kept > period.began:
        gaps.append(Gap(period.began, kept, "what happened then is no longer remembered"))
    if beat is not None and beat < period.ended:
        gaps.append(Gap(max(beat, period.began), period.ended, "sentinel does not run"))
    return sorted(gaps, key=lambda gap: gap.began)


def _find_kept(store: Reader, now: datetime, remembered: float | None) -> datetime | None:
    """From when on the store has all that happened; None where it has dropped nothing, and nobody
    says how long it keeps it.
    """
    try:
        return read_instant(store.meta(FORGOTTEN) or "")
    except ValueError:
        return None if remembered is None else now - timedelta(seconds=remembered)


def last_look(store: Reader, now: datetime) -> datetime:
    """Until when somebody looked: what nobody saw is no time without work."""
    return unobserved_since(store, now) or now
