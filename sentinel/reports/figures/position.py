"""Whether anything was taken back: how far logs were before a failure, and how far after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sentinel.core.model import Section
from sentinel.probes import Kind
from sentinel.reports.figures import Period, PositionFact
from sentinel.reports.figures.measure import LOOK_BACK, FigureSource, find_sources, fold_now
from sentinel.store import CheckView, Reader

Reading = tuple[datetime, float]


def list_positions(
    store: Reader, kinds: Mapping[str, Kind], checks: Sequence[CheckView], period: Period
) -> list[PositionFact]:
    """Every log that a check follows: at the last look before the period, and after it."""
    return [
        _compare(source, *_around(store, source, period))
        for source in find_sources(kinds, checks, Section.POSITION)
    ]


def _around(
    store: Reader, source: FigureSource, period: Period
) -> tuple[Reading | None, Reading | None]:
    """The last reading before the period, and the first one after its end; while there is none, the
    last one within it.
    """
    term = source.impact.certain[0]
    found = store.samples(since=period.began - LOOK_BACK, measurement=term.measurement)
    own = [
        (each.at, each.value)
        for each in found
        if each.check == source.check.name and term.fits(each.labels)
    ]
    now = fold_now(source.check, source.impact.certain, source.impact.fold)
    if now is not None and source.check.last_run is not None:
        own.append((source.check.last_run, now))
    own.sort()
    before = [reading for reading in own if reading[0] <= period.began]
    later = [reading for reading in own if reading[0] > period.began]
    after = next((reading for reading in later if reading[0] >= period.ended), None)
    return (before[-1] if before else None), after or (later[-1] if later else None)


def _compare(source: FigureSource, before: Reading | None, after: Reading | None) -> PositionFact:
    back = None if before is None or after is None else after[1] < before[1]
    return PositionFact(
        name=source.impact.name,
        check=source.check.name,
        unit=source.impact.unit,
        before=before[1] if before else None,
        after=after[1] if after else None,
        before_at=before[0] if before else None,
        after_at=after[0] if after else None,
        went_back=back,
        verdict=_judge(before, after, strict=source.impact.loss),
    )


def _judge(before: Reading | None, after: Reading | None, *, strict: bool) -> str:
    """`strict`: it never moves by itself, so any change is another history."""
    if before is None:
        return "not measured before it began"
    if after is None:
        return "not measured since it began"
    if strict and before[1] != after[1]:
        return "another history: what only the former one had is lost"
    if after[1] < before[1]:
        return f"went back by {before[1] - after[1]:,.0f}: what was behind it is lost"
    return "nothing up to the last look before it was taken back"
