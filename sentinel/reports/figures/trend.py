"""How figures went over a period: curves with so many points that a page can show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sentinel.core.objective import Slice, judge_slices
from sentinel.probes import Kind
from sentinel.reports.figures import Period, TrendFact, TrendPoint
from sentinel.store import LOOK_DURATION, CheckView, Reader, Sample

MAX_POINTS = 120
MAX_READ = 5000
"""Readings of one check that a curve is made of, the latest."""
BUDGET_POINTS = 40
"""Each of them adds up a whole window."""
MIN_POINTS = 2
"""Fewer are no curve."""


def list_trends(
    store: Reader, kinds: Mapping[str, Kind], checks: Sequence[CheckView], period: Period
) -> list[TrendFact]:
    """A curve of each figure that its kind declares as a trend, for each check that measured it."""
    found = []
    for kind in kinds.values():
        own = [check.name for check in checks if check.kind == kind.name]
        for impact in kind.impact:
            if not impact.trend or not own:
                continue
            term = impact.certain[0]
            samples = store.samples(since=period.began, measurement=term.measurement)
            for name in own:
                points = thin([each for each in samples if each.check == name], period)
                if len(points) >= MIN_POINTS:
                    found.append(TrendFact(impact.name, name, impact.unit, points))
    return found


def find_durations(store: Reader, check: str, period: Period) -> TrendFact | None:
    """How long the looks of a check took, as far as it was rolled up; None where there is no curve
    yet.
    """
    samples = store.samples(
        since=period.began, measurement=LOOK_DURATION, check=check, limit=MAX_READ
    )
    points = thin(samples, period)
    if len(points) < MIN_POINTS:
        return None
    return TrendFact("how long a look took", check, "seconds", points)


def list_budgets(store: Reader, period: Period) -> list[TrendFact]:
    """How much of each error budget was left over a period; nothing while nothing is claimed."""
    found = []
    for standing in store.objectives():
        objective = standing.objective
        since = period.began - timedelta(seconds=objective.window)
        slices = store.slices(objective.source, since=since)
        judged = [judge_slices(objective, slices, at) for at in _choose_ends(slices, period)]
        points = [
            TrendPoint(each.at, each.budget_left) for each in judged if each.budget_left is not None
        ]
        if len(points) >= MIN_POINTS:
            name = f"error budget left of {objective.title or objective.name}"
            found.append(TrendFact(name, objective.check, "ratio", points, 0.0, "used up"))
    return found


def _choose_ends(slices: Sequence[Slice], period: Period) -> list[datetime]:
    """Instants at which a slice was over: in the middle of one nobody knows how much of it was."""
    ends = sorted({each.ended for each in slices if period.began <= each.ended <= period.ended})
    return ends[:: -(-len(ends) // BUDGET_POINTS)] if ends else []


def thin(samples: Sequence[Sample], period: Period) -> list[TrendPoint]:
    """At most MAX_POINTS: of each stretch the largest value, for peaks are what people look for."""
    within = [each for each in samples if each.at <= period.ended]
    width = (period.ended - period.began) / MAX_POINTS
    best: dict[int, Sample] = {}
    for each in within:
        slot = int((each.at - period.began) / width) if width else 0
        if slot not in best or each.value > best[slot].value:
            best[slot] = each
    return [TrendPoint(each.at, each.value) for _, each in sorted(best.items())]
