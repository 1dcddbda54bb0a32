"""Figures that kinds declare (`Kind.impact`), out of the rows of their checks.

A total is counted between two readings; what nobody measured stays None and says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.fault import Labels
from sentinel.core.model import Fold, Impact, Section, Term
from sentinel.probes import Kind
from sentinel.reports.figures import Figure, Period
from sentinel.reports.figures.period import watch_began
from sentinel.store import ROLLED_UP_WITHIN, CheckView, Reader, Sample

Series = tuple[tuple[str, str], ...]
LOOK_BACK = ROLLED_UP_WITHIN + timedelta(minutes=10)
"""A roll-up this much older than the period still is a baseline for it: nothing moved since."""
SINCE_WATCH_BEGAN = "all that its counter holds, not of this period alone"
BEGAN_ANEW = "; a counter began anew in it: at least"
NO_CHECK = "not measured: no check of this platform counts it"


@dataclass(frozen=True, slots=True)
class FigureSource:
    """A figure and one check that is of the kind which declares it."""

    impact: Impact
    check: CheckView
    from_zero: bool
    """Whether its totals began at zero when sentinel began to watch, as counters do."""

    @property
    def key(self) -> str:
        """Its name among the totals that a report keeps."""
        return f"{self.check.name}/{self.impact.section}/{self.impact.name}"

    def figure(self, low: float | None, high: float | None, basis: str) -> Figure:
        """The figure with this value."""
        declared = self.impact.basis
        told = f"{basis}; {declared}" if basis and declared else basis or declared
        return Figure(self.impact.name, low, high, self.impact.unit, self.check.name, told)

    def missing(self, why: str = "") -> Figure:
        """The figure of a check that could count it, and did not."""
        return Figure(
            self.impact.name,
            unit=self.impact.unit,
            check=self.check.name,
            basis=f"not measured: {why or 'this check gave no such figure at its last look'}",
        )


def find_sources(
    kinds: Mapping[str, Kind], checks: Iterable[CheckView], section: Section
) -> list[FigureSource]:
    """Every figure of a section with every check that may measure it, in the order declared."""
    found = []
    for kind in kinds.values():
        types = {each.name: each.type for each in kind.measurements}
        own = [check for check in checks if check.kind == kind.name]
        for impact in kind.impact:
            if impact.section is section:
                zero = all(types.get(term.measurement) == "counter" for term in impact.terms)
                found += [FigureSource(impact, check, zero) for check in own]
    return found


def list_unmeasured(
    kinds: Mapping[str, Kind], checks: Sequence[CheckView], section: Section
) -> list[Figure]:
    """The figures of a section for which this platform has no check."""
    present = {check.kind for check in checks}
    absent = (kind for kind in kinds.values() if kind.name not in present)
    declared = (impact for kind in absent for impact in kind.impact)
    return [
        Figure(impact.name, unit=impact.unit, basis=NO_CHECK)
        for impact in declared
        if impact.section is section
    ]


# -- now -------------------------------------------------------------------------------------------


def read_number(value: Any) -> float | None:
    """A finite number, or None: what is stored may be anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def read_rows(check: CheckView, measurement: str) -> Iterator[tuple[Labels, float]]:
    """(labels, value) of a measurement in the latest rows of a check."""
    for row in check.rows:
        value = read_number(row.get("values", {}).get(measurement))
        if value is not None:
            yield row.get("labels", {}), value


def fold_now(
    check: CheckView, terms: Sequence[Term], fold: Fold = Fold.SUM, only: Labels | None = None
) -> float | None:
    """The terms as the check gives them now; None unless it measures every one of them.

    A measurement that is there with other labels only counts as zero: a counter appears with the
    first thing that it counts.
    """
    values: list[float] = []
    for term in terms:
        rows = list(read_rows(check, term.measurement))
        if not rows and not (term.sparse and check.rows):
            return None
        wanted = Term(term.measurement, {**term.labels, **(only or {})})
        values += [value for labels, value in rows if wanted.fits(labels)]
    return max(values, default=0.0) if fold is Fold.LARGEST else math.fsum(values)


def read_total(source: FigureSource, only: Labels | None = None) -> tuple[float, float] | None:
    """[low, high] of a figure as it stands now; None where its check does not measure it."""
    impact = source.impact
    low = fold_now(source.check, impact.certain, impact.fold, only)
    if low is None:
        return None
    return low, low + (fold_now(source.check, impact.possible, impact.fold, only) or 0.0)


def measure_now(source: FigureSource) -> Figure:
    """A figure that has no past: what stands at the last look."""
    total = read_total(source)
    if total is None:
        return source.missing()
    if not source.impact.whole:
        return source.figure(*total, "at the last look")
    return share(source, total, fold_now(source.check, source.impact.whole), "at the last look")


def share(
    source: FigureSource, part: tuple[float, float], whole: float | None, over: str
) -> Figure:
    """Part ÷ whole with the whole named; nothing can be shared of nothing."""
    if whole is None:
        return source.missing()
    if whole <= 0:
        return source.missing(f"nothing to judge, {over}")
    basis = f"of {whole:,g} {over}"
    return source.figure(part[0] / whole, min(part[1] / whole, 1.0), basis)


# -- over an incident: roll-ups --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gain:
    """What totals gained between two readings; `anew`: one of them went back in between."""

    amount: float
    began: datetime
    ended: datetime
    anew: bool = False

    @property
    def basis(self) -> str:
        """The readings, for people."""
        return f"counted from {_clock(self.began)} to {_clock(self.ended)}"


def measure_incident(
    store: Reader, kinds: Mapping[str, Kind], checks: Sequence[CheckView], period: Period
) -> list[Figure]:
    """What an incident cost: each figure by check that measures it, or once as not measured."""
    sources = find_sources(kinds, checks, Section.INCIDENT)
    wanted = {term.measurement for source in sources for term in source.impact.terms}
    samples: list[Sample] = []
    for measurement in sorted(wanted):
        samples += store.samples(since=period.began - LOOK_BACK, measurement=measurement)
    began = watch_began(store)
    within = began is not None and period.began <= began
    measured = [_measure(source, samples, period, within=within) for source in sources]
    return measured + list_unmeasured(kinds, checks, Section.INCIDENT)


def _measure(
    source: FigureSource, samples: Sequence[Sample], period: Period, *, within: bool
) -> Figure:
    """`within`: the watch began in the period, so that a counter that began at zero is all of it."""
    if source.impact.fold is not Fold.GAIN:
        return measure_now(source)
    own = [sample for sample in samples if sample.check == source.check.name]
    own += _sample_now(source)
    low = _gain(source.impact.certain, own, period)
    if low is not None:
        more = _gain(source.impact.possible, own, period) if source.impact.possible else None
        high = low.amount + (more.amount if more else 0.0)
        anew = low.anew or (more is not None and more.anew)
        return source.figure(low.amount, high, low.basis + BEGAN_ANEW * anew)
    total = read_total(source)
    if total is None:
        return source.missing()
    if any(_went_back(term, own) for term in source.impact.terms):
        return source.missing("a total went back, and no reading is from before the period")
    nothing = source.from_zero and total == (0.0, 0.0)
    looked = source.check.last_run
    if within and source.from_zero and looked is not None and looked <= period.ended:
        return source.figure(*total, f"since the watch began, until {_clock(looked)}")
    return source.figure(*total, "none since the watch began" if nothing else SINCE_WATCH_BEGAN)


def _sample_now(source: FigureSource) -> list[Sample]:
    """The latest rows as one more reading."""
    check = source.check
    if check.last_run is None:
        return []
    found = []
    for name in {term.measurement for term in source.impact.terms}:
        for labels, value in read_rows(check, name):
            found.append(Sample(check.last_run, check.name, name, labels, value))
    return found


def _gain(terms: Sequence[Term], samples: Sequence[Sample], period: Period) -> Gain | None:
    """What several terms gained together; None unless each is known."""
    gains = []
    for term in terms:
        gain = gain_of(term, samples, period)
        if gain is None:
            return None
        gains.append(gain)
    if not gains:
        return None
    anew = any(gain.anew for gain in gains)
    return Gain(math.fsum(gain.amount for gain in gains), gains[0].began, gains[0].ended, anew)


def gain_of(term: Term, samples: Sequence[Sample], period: Period) -> Gain | None:
    """The gain of a term over all its series, between the readings around a period.

    None when there is no reading before it or none in it, or when a series went away. A series that
    appears in between began at zero: counters carry totals since the watch began. One that went
    back lost what it remembered, and began anew at zero, as for objectives.
    """
    readings: dict[datetime, dict[Series, float]] = {}
    for sample in samples:
        if sample.measurement == term.measurement:
            reading = readings.setdefault(sample.at, {})
            if term.fits(sample.labels):
                reading[tuple(sorted(sample.labels.items()))] = sample.value
    before = [at for at in sorted(readings) if at <= period.began]
    after = [at for at in sorted(readings) if at > period.began]
    if not before or not after:
        return None
    start, end = before[-1], next((at for at in after if at >= period.ended), after[-1])
    if readings[start].keys() - readings[end].keys():
        return None
    known, gains, anew = dict(readings[start]), list[float](), False
    for at in after[: after.index(end) + 1]:
        for series, value in readings[at].items():
            gain = value - known.get(series, 0.0)
            gains.append(gain if gain >= 0 else value)
            anew |= gain < 0
        known |= readings[at]
    return Gain(math.fsum(gains), start, end, anew)


def _went_back(term: Term, samples: Iterable[Sample]) -> bool:
    """Whether a series of it is seen to have begun anew: then it is no total since the watch began."""
    known = dict[Series, float]()
    for sample in sorted(samples, key=lambda each: each.at):
        if sample.measurement == term.measurement and term.fits(sample.labels):
            series = tuple(sorted(sample.labels.items()))
            if sample.value < known.get(series, sample.value):
                return True
            known[series] = sample.value
    return False


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
