"""What moved since the last report: totals that a report keeps, and the next one compares with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.core.model import Fold, Section
from sentinel.probes import Kind
from sentinel.reports.figures import Figure, Period
from sentinel.reports.figures.measure import (
    SINCE_WATCH_BEGAN,
    FigureSource,
    find_sources,
    fold_now,
    list_unmeasured,
    measure_now,
    read_number,
    read_rows,
    share,
)
from sentinel.store import CheckView, Reader, ReportRow
from sentinel.store.document import read_instant, read_object, write

BASELINE = "progress_baseline"
MAX_REPORTS = 50
"""Reports that are looked through for what stood around a period, the newest."""
NO_EARLIER = "no earlier value to compare with"
SECTIONS = (Section.DELIVERY, Section.ASSIGNMENT, Section.WORK, Section.COMPLETED, Section.CREATED)
Marks = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What figures stood at when the last report was made. `at` is None where nothing is known;
    `first` when there was no report yet and counters began at zero at that instant.
    """

    at: datetime | None
    totals: Marks = field(default_factory=dict)
    first: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Where one figure stands: certain and possible part, the whole of a share, and one by one."""

    certain: float
    possible: float = 0.0
    whole: float | None = None
    each: Mapping[str, float] = field(default_factory=dict)

    def write(self) -> dict[str, Any]:
        """As a report keeps it."""
        document: dict[str, Any] = {"certain": self.certain, "possible": self.possible}
        if self.whole is not None:
            document["whole"] = self.whole
        return document | ({"each": dict(self.each)} if self.each else {})


def mark_now(source: FigureSource) -> Mark | None:
    """Where a figure stands now; None when its check does not measure it."""
    impact, check = source.impact, source.check
    certain = fold_now(check, impact.certain, impact.fold)
    if certain is None:
        return None
    possible = fold_now(check, impact.possible, impact.fold) or 0.0
    whole = fold_now(check, impact.whole) if impact.whole else None
    return Mark(certain, possible, whole, read_each(source))


def read_each(source: FigureSource) -> dict[str, float]:
    """The certain part by the values of the label that is told one by one."""
    impact, found = source.impact, dict[str, float]()
    for term in impact.certain if impact.each else ():
        for labels, value in read_rows(source.check, term.measurement):
            name = labels.get(impact.each)
            if name is not None and term.fits(labels):
                found[name] = found.get(name, 0.0) + value
    return found


def collect_totals(
    kinds: Mapping[str, Kind], checks: Sequence[CheckView]
) -> dict[str, dict[str, Any]]:
    """Every figure that the next report will compare with."""
    sources = (each for section in SECTIONS for each in find_sources(kinds, checks, section))
    totals = {}
    for source in sources:
        mark = mark_now(source) if source.impact.fold is Fold.GAIN else None
        if mark is not None:
            totals[source.key] = mark.write()
    return totals


def make_baseline(store: Reader, kinds: Mapping[str, Kind], now: datetime) -> str:
    """What all figures stood at when the watch began, for the first report."""
    return write({"generated": now, "totals": collect_totals(kinds, store.checks())})


def read_earlier(store: Reader, report: str, began: datetime | None) -> Earlier:
    """Totals of the last report of that name; before the first one those of the baseline, else
    counters began at zero when the watch `began`.
    """
    last = next(iter(store.reports(report, limit=1)), None)
    if last is not None:
        return _read_report(last)
    return _read_baseline(store) or Earlier(began, first=True)


def read_around(store: Reader, report: str, period: Period) -> tuple[Earlier, Earlier | None]:
    """Totals that reports of that name kept around a period: the last ones from before it, else the
    first ones in it; and the first ones from after it, None where what stands now is the first.
    Nothing is known of a period that ended before any of them.
    """
    kept = [_read_report(each) for each in store.reports(report, limit=MAX_REPORTS)]
    baseline = _read_baseline(store) if len(kept) < MAX_REPORTS else None
    found = {each.at: each for each in (*kept, baseline) if each is not None and each.at}
    before = [found[at] for at in sorted(found) if at <= period.began]
    within = [found[at] for at in sorted(found) if period.began < at < period.ended]
    after = [found[at] for at in sorted(found) if at >= period.ended]
    return next(iter([*before[-1:], *within]), Earlier(None)), next(iter(after), None)


def _read_report(row: ReportRow) -> Earlier:
    at = _instant(row.facts.get("generated")) or row.at
    return Earlier(at, _read_totals(row.facts.get("totals")))


def _read_baseline(store: Reader) -> Earlier | None:
    kept = read_object(store.meta(BASELINE))
    if not kept:
        return None
    return Earlier(_instant(kept.get("generated")), _read_totals(kept.get("totals")))


def measure_section(
    kinds: Mapping[str, Kind], checks: Sequence[CheckView], section: Section, earlier: Earlier
) -> list[Figure]:
    """The figures of a section: what moved since the last report, and what stands now."""
    sources = find_sources(kinds, checks, section)
    measured = [measure_since(source, earlier) for source in sources]
    return measured + list_unmeasured(kinds, checks, section)


def measure_since(source: FigureSource, earlier: Earlier) -> Figure:
    """One figure since the last report, or as it is now when it is no total."""
    if source.impact.fold is not Fold.GAIN:
        return measure_now(source)
    now = mark_now(source)
    if now is None:
        return source.missing()
    before, over = _find_before(source, earlier)
    if before is None:
        return source.missing(NO_EARLIER)
    certain, possible = now.certain - before.certain, now.possible - before.possible
    if certain < 0 or possible < 0:
        return source.missing("a total went back")
    if source.impact.whole:
        whole = None if now.whole is None else now.whole - (before.whole or 0.0)
        return share(source, (certain, certain + possible), whole, over)
    return source.figure(certain, certain + possible, over)


def _find_before(source: FigureSource, earlier: Earlier) -> tuple[Mark | None, str]:
    """What to take the difference from, and over what that is."""
    kept = earlier.totals.get(source.key)
    if kept is not None:
        return _read_mark(kept), "since the last report"
    if not source.from_zero:
        return None, ""
    return Mark(0.0), "since the watch began" if earlier.first else SINCE_WATCH_BEGAN


def earlier_each(source: FigureSource, earlier: Earlier) -> Mapping[str, float]:
    """What each stood at when the last report was made; those it did not know are not in it."""
    kept = earlier.totals.get(source.key)
    return _read_mark(kept).each if kept is not None else {}


def _read_mark(kept: Mapping[str, Any]) -> Mark:
    each = kept.get("each")
    numbers = {}
    for name, value in each.items() if isinstance(each, Mapping) else ():
        if (number := read_number(value)) is not None:
            numbers[str(name)] = number
    return Mark(
        read_number(kept.get("certain")) or 0.0,
        read_number(kept.get("possible")) or 0.0,
        read_number(kept.get("whole")),
        numbers,
    )


def _read_totals(value: Any) -> Marks:
    """Totals as a report keeps them; those of another version mean nothing here."""
    if not isinstance(value, Mapping):
        return {}
    return {
        str(key): item
        for key, item in value.items()
        if isinstance(item, Mapping) and read_number(item.get("certain")) is not None
    }


def _instant(value: Any) -> datetime | None:
    try:
        return read_instant(value) if isinstance(value, str) else None
    except ValueError:
        return None
