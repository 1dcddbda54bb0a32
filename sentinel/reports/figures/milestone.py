"""Milestones as the store knows them: the last look at their evidence, and how they moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.progress.forecast import EndForecast, RemainingWork, forecast
from sentinel.core.progress.network import CriticalPath, find_critical_path
from sentinel.core.progress.plan import Plan, Reading
from sentinel.core.progress.standing import WorkStanding, WorkState, judge_plan
from sentinel.core.progress.throughput import Point, measure_pace
from sentinel.reports.figures.measure import read_number
from sentinel.reports.figures.work import DependencyFact, MilestoneFact, PathFact
from sentinel.store import Reader
from sentinel.store.document import read_instant, read_object

NAME = "progress"
"""Under this name the points of a milestone's history are kept."""
EVIDENCE = "evidence"
"""Under this word the last readings are kept: JSON, by name."""
HISTORY = timedelta(days=14)


def name_requirement(name: str) -> str:
    """Under which name the reading of a requirement is kept: milestones have names of their own."""
    return f"readiness/{name}"


@dataclass(frozen=True, slots=True)
class WorkPicture:
    """Everything that a report tells of a plan."""

    milestones: Sequence[MilestoneFact]
    dependencies: Sequence[DependencyFact]
    path: PathFact | None


def read_readings(store: Reader) -> dict[str, Reading]:
    """The last look at each evidence, by name."""
    found = {}
    for name, item in read_object(store.meta(EVIDENCE)).items():
        at = _instant(item.get("at")) if isinstance(item, dict) else None
        if at is not None:
            found[name] = Reading(
                name,
                at,
                read_number(item.get("done")),
                read_number(item.get("total")),
                str(item.get("basis", "")),
                str(item.get("why", "")),
                _instant(item.get("written")),
                _instant(item.get("overdue")),
            )
    return found


def _instant(value: Any) -> datetime | None:
    try:
        at = read_instant(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def picture_work(
    store: Reader, plan: Plan, before: Mapping[str, float], now: datetime
) -> WorkPicture:
    """How the milestones of a plan stand, what is critical, and when all is done."""
    if not plan.milestones:
        return WorkPicture((), (), None)
    readings, history = read_readings(store), _read_history(store, now)
    best = {
        name: max(done / total for _, done, total in points if total > 0)
        for name, points in history.items()
        if any(total > 0 for _, _, total in points)
    }
    standings = judge_plan(plan, readings, before, best, now)
    work = {
        name: _find_work(each, readings.get(name), history.get(name, ()))
        for name, each in standings.items()
    }
    path = find_critical_path(plan.needs, {name: each.seconds for name, each in work.items()})
    ends = forecast(plan.needs, work, plan.seed, plan.trials)
    blind = _find_blind(plan, ends.unknown)
    facts = [
        _tell(standings[name], work[name], path, ends, now, blind=name in blind)
        for name in plan.milestones
    ]
    claims = sum(each.claimed for each in standings.values())
    whole = PathFact(
        names=list(path.names),
        seconds=path.seconds,
        early=_after(now, ends.whole.low),
        likely=_after(now, ends.whole.middle),
        late=_after(now, ends.whole.high),
        seed=ends.seed,
        trials=ends.trials,
        unknown=list(path.unknown),
        claims=claims,
    )
    return WorkPicture(facts, _list_dependencies(standings), whole)


def _read_history(store: Reader, now: datetime) -> dict[str, list[tuple[datetime, float, float]]]:
    """(instant, done, total) of each milestone, oldest first."""
    points: dict[tuple[str, datetime], dict[str, float]] = {}
    for word in ("done", "total"):
        for sample in store.samples(since=now - HISTORY, measurement=word):
            if sample.check == NAME:
                key = sample.labels.get("milestone", ""), sample.at
                points.setdefault(key, {})[word] = sample.value
    found: dict[str, list[tuple[datetime, float, float]]] = {}
    for (name, at), each in sorted(points.items()):
        if len(each) == 2:
            found.setdefault(name, []).append((at, each["done"], each["total"]))
    return found


def _find_work(
    standing: WorkStanding,
    reading: Reading | None,
    history: Sequence[tuple[datetime, float, float]],
) -> RemainingWork:
    """What is left: in the unit of the evidence where its pace was seen, else in shares."""
    if standing.state.is_over:
        return RemainingWork(0.0)
    ratio = standing.ratio or 0.0
    estimate = standing.milestone.estimate
    if estimate is not None:
        estimate = estimate[0] * (1 - ratio), estimate[1] * (1 - ratio)
    if reading is None or reading.done is None or reading.total is None:
        return RemainingWork(1 - ratio, None, estimate)
    points: list[Point] = [(at, done) for at, done, _ in history if at < reading.at]
    pace = measure_pace([*points, (reading.at, reading.done)])
    return RemainingWork(reading.total - reading.done, pace, estimate)


def _tell(
    standing: WorkStanding,
    work: RemainingWork,
    path: CriticalPath,
    ends: EndForecast,
    now: datetime,
    *,
    blind: bool,
) -> MilestoneFact:
    """`blind`: nobody knows when what it waits for will be done."""
    milestone, name = standing.milestone, standing.milestone.name
    known = not standing.state.is_over and not blind
    end = ends.milestones[name]
    return MilestoneFact(
        name=name,
        title=milestone.title or name,
        track=milestone.track,
        state=standing.state.value,
        before=standing.before,
        ratio=standing.ratio,
        claimed=standing.claimed,
        basis=standing.basis,
        notes=list(standing.notes),
        needs=list(milestone.needs),
        open_needs=list(standing.open_needs),
        due=milestone.due,
        remaining=work.seconds,
        slack=path.slack[name] if standing.state is not WorkState.DONE else None,
        on_path=name in path.names,
        early=_after(now, end.low) if known else None,
        likely=_after(now, end.middle) if known else None,
        late=_after(now, end.high) if known else None,
        critical=ends.critical.get(name, 0.0),
    )


def _find_blind(plan: Plan, unknown: Sequence[str]) -> set[str]:
    """Milestones of which nobody knows how long they take, and all that wait for them."""
    found = set(unknown)
    while more := {
        name for name, needs in plan.needs.items() if name not in found and found & set(needs)
    }:
        found |= more
    return found


def _after(now: datetime, seconds: float) -> datetime | None:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _list_dependencies(standings: Mapping[str, WorkStanding]) -> list[DependencyFact]:
    """Open ones first."""
    found = [
        DependencyFact(name, need, standings[need].state.value, need not in each.open_needs)
        for name, each in standings.items()
        for need in each.milestone.needs
    ]
    return sorted(found, key=lambda each: each.resolved)
