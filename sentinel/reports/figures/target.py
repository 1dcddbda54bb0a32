"""Targets against what came of them. Each source of targets is one function of `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sentinel.core.quantity import format_duration
from sentinel.reports import ReportRequest
from sentinel.reports.figures import Figure, TargetFact
from sentinel.reports.figures.period import last_look, watch_began
from sentinel.reports.figures.throughput import measure_throughput
from sentinel.reports.figures.totals import read_earlier
from sentinel.store import Reader

JUDGED_FROM = timedelta(minutes=1)
"""Over less than this a rate an hour reaches no target, and misses none."""
TargetSource = Callable[[Reader, ReportRequest, datetime], Iterable[TargetFact]]


def list_targets(store: Reader, request: ReportRequest, now: datetime) -> list[TargetFact]:
    """Everything that the configuration sets as a target."""
    return [fact for source in SOURCES for fact in source(store, request, now)]


def _throughput(store: Reader, request: ReportRequest, now: datetime) -> Iterable[TargetFact]:
    """Tasks per hour since the last progress report."""
    target = request.target_per_hour
    if target is None:
        return ()
    earlier = read_earlier(store, "progress", watch_began(store))
    looked = last_look(store, now)
    found = measure_throughput(request.kinds, store.checks(), earlier, looked, target)
    met, basis = None if found.per_hour is None else found.per_hour >= target, found.basis
    if met is not None and earlier.at is not None and looked - earlier.at < JUDGED_FROM:
        met, basis = None, f"{basis}: too short for a verdict"
    actual = Figure("tasks per hour", found.per_hour, found.per_hour, "", found.check, basis)
    return (TargetFact("tasks per hour", target, actual, met),)


def _objectives(store: Reader, _request: ReportRequest, _now: datetime) -> Iterable[TargetFact]:
    """Objectives as they stood at the last look."""
    for standing in store.objectives():
        objective, counts = standing.objective, standing.counts
        basis = (
            f"{counts.total:,.0f} events in {format_duration(objective.window)},"
            f" {100 * standing.observed:.3g} % of it observed"
        )
        if standing.maintenance:
            basis += f", {format_duration(standing.maintenance)} of maintenance left out"
        if standing.budget_left is not None:
            basis = f"{basis}; {100 * standing.budget_left:,.0f} % of the error budget left"
        else:
            basis = f"{standing.state.value.replace('_', ' ')}: {basis}"
        ratio, name = standing.ratio, objective.title or objective.name
        actual = Figure(name, ratio, ratio, "ratio", objective.check, basis)
        met = None if ratio is None else standing.is_met
        yield TargetFact(name, objective.target, actual, met, "ratio")


SOURCES: tuple[TargetSource, ...] = (_throughput, _objectives)
"""Where targets come from, in the order in which reports tell them."""
