"""Tasks per hour since the last report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sentinel.core.model import Section
from sentinel.probes import Kind
from sentinel.reports.figures import Figure, Throughput
from sentinel.reports.figures.agents import gained
from sentinel.reports.figures.measure import FigureSource, find_sources
from sentinel.reports.figures.totals import Earlier, earlier_each, measure_since, read_each
from sentinel.store import CheckView

MIN_SECONDS = 1.0
"""A rate over less than this says nothing."""


def measure_throughput(
    kinds: Mapping[str, Kind],
    checks: Sequence[CheckView],
    earlier: Earlier,
    now: datetime,
    target: float | None,
) -> Throughput:
    """Tasks per hour from the last report to `now`, when somebody looked last: completed ones, else
    created ones, by the first check that counts them. Two checks may count the same tasks, so they
    are not added up.
    """
    seconds = (now - earlier.at).total_seconds() if earlier.at else 0.0
    why = "no check counts tasks"
    for section, verb in ((Section.COMPLETED, "completed"), (Section.CREATED, "created")):
        for source in find_sources(kinds, checks, section):
            gained, left_out = _count_tasks(source, earlier)
            if gained is not None and seconds >= MIN_SECONDS:
                basis = f"{gained:g} tasks {verb} in {seconds:.0f} s{left_out}"
                per_hour = gained * 3600 / seconds
                ratio = per_hour / target if target else None
                return Throughput(per_hour, target, ratio, basis, source.check.name)
            why = left_out or (why if gained is None else "nobody has looked since the last report")
    return Throughput(None, target, None, f"not measured: {why}")


def _count_tasks(source: FigureSource, earlier: Earlier) -> tuple[float | None, str]:
    """(tasks, what the number leaves out), or (None, why there is none)."""
    if not source.impact.each:
        figure = measure_since(source, earlier)
        return figure.low, "" if figure.low is not None else _reason(figure)
    now, before = read_each(source), earlier_each(source, earlier)
    if not now:
        return None, ""
    gains = [gained(count, before.get(name)) for name, count in now.items()]
    known = [gain for gain in gains if gain is not None]
    if not known:
        return None, "the first report has nothing to compare with"
    missing = len(gains) - len(known)
    left_out = f"; {missing} of {len(gains)} counts have no earlier value and are left out"
    return sum(known), left_out if missing else ""


def _reason(figure: Figure) -> str:
    return figure.basis.removeprefix("not measured: ")
