"""Targets against what came of them. Each source of targets is one function of `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sentinel.reports import ReportRequest
from sentinel.reports.figures import Figure, TargetFact
from sentinel.reports.figures.period import last_look, watch_began
from sentinel.reports.figures.throughput import measure_throughput
from sentinel.reports.figures.totals import read_earlier
from sentinel.store import Reader

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
    found = measure_throughput(
        request.kinds, store.checks(), earlier, last_look(store, now), target
    )
    actual = Figure("tasks per hour", found.per_hour, found.per_hour, "", found.check, found.basis)
    met = None if found.per_hour is None else found.per_hour >= target
    return (TargetFact("tasks per hour", target, actual, met),)


SOURCES: tuple[TargetSource, ...] = (_throughput,)
"""Where targets come from, in the order in which reports tell them."""
