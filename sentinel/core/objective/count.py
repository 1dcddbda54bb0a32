"""From counters that kinds declare to events: what each series gained since the last look.

As Prometheus counts an increase: a counter that went back began anew at zero. The very first look
at an SLI only notes where its counters stand; what was counted before is claimed by nobody. A
series that comes later began at zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sentinel.core.fault import Status
from sentinel.core.model import Row, Sli, Term
from sentinel.core.objective.value import UP, Counts

SeriesKey = tuple[str, tuple[tuple[str, str], ...]]
Marks = Mapping[SeriesKey, float]
"""Where each counter stood at the last look: measurement and labels → total."""
MAX_MARKS = 20_000
"""Series that are gone and may come back are remembered up to so many."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What is kept of a source: where its counters stood, None before the first look at them, when
    the look at them began, and all that was ever counted: what is exported goes on from there, so
    nobody sees a counter begin anew when sentinel does.
    """

    marks: Marks | None = None
    counts: Counts = field(default_factory=Counts)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """What one look added, and where the counters stand now."""

    counts: Counts
    marks: Marks


def count_gains(sli: Sli, rows: Iterable[Row], before: Marks | None) -> Count:
    """What the counters of an SLI gained; `before` is None at the very first look. Rows without
    any of its counters change nothing: the look failed.
    """
    readings = read_counters(sli, rows)
    if not readings:
        return Count(Counts(), before if before is not None else {})
    if before is None:
        return Count(Counts(), readings)
    gains = {key: _gain(before.get(key, 0.0), value) for key, value in readings.items()}
    whole = _add_up(sli.whole, gains)
    good = _add_up(sli.good, gains) if sli.good else whole - _add_up(sli.bad, gains)
    return Count(Counts(good, whole), _keep(before, readings))


def read_counters(sli: Sli, rows: Iterable[Row]) -> dict[SeriesKey, float]:
    """Where the counters of an SLI stand in the rows of a look."""
    wanted = {term.measurement for term in sli.terms}
    found = dict[SeriesKey, float]()
    for row in rows:
        for name in wanted & row.values.keys():
            value = row.values[name]
            if isinstance(value, int | float) and _fits_any(sli.terms, name, row):
                found[name, tuple(sorted(row.labels.items()))] = float(value)
    return found


def _fits_any(terms: Sequence[Term], name: str, row: Row) -> bool:
    return any(term.measurement == name and term.fits(row.labels) for term in terms)


def _gain(before: float, value: float) -> float:
    return value - before if value >= before else value


def _add_up(terms: Sequence[Term], gains: Mapping[SeriesKey, float]) -> float:
    """A series counts once, however many terms it fits."""
    return sum(
        gain
        for (name, labels), gain in gains.items()
        if any(term.measurement == name and term.fits(dict(labels)) for term in terms)
    )


def _keep(before: Marks, readings: Marks) -> Marks:
    gone = {key: value for key, value in before.items() if key not in readings}
    return {**gone, **readings} if len(gone) + len(readings) <= MAX_MARKS else readings


def count_look(sli: str, verdict: Status) -> Counts:
    """One look as an event of the SLIs `up` and `working`; a blind one is none."""
    if verdict is Status.UNKNOWN:
        return Counts()
    good = verdict is Status.UP or (sli != UP and verdict is Status.DEGRADED)
    return Counts(float(good), 1.0)
