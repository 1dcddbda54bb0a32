"""Objectives in reports: as targets, as evidence, and their budgets as a curve."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sentinel.app.evidence import read_evidence, read_known
from sentinel.core.objective import Counts, Objective, ObjectiveStanding, Slice, judge_slices
from sentinel.core.progress.plan import Evidence, EvidenceKind, Plan, Requirement
from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.figures import RecoveryFacts
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.recovery import recovery_facts
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at, check

OBJECTIVE = Objective("delivery", "bus-delivery", "bus", "acked", 0.99, 3600.0)
EVENTS = {"met": (999, 1000), "missed": (900, 1000), "few": (5, 5), "none": (0, 0)}


def judge(store: SqliteStore, word: str) -> ObjectiveStanding:
    """A store in which so many events were good in the last five minutes before 12:20."""
    good, total = EVENTS[word]
    part = Counts(good / 5, total / 5, 60.0)
    slices = [
        Slice(OBJECTIVE.source, at(900 + 60 * n), at(960 + 60 * n), part) for n in range(5) if total
    ]
    standing = judge_slices(OBJECTIVE, slices, at(1200))
    view = check("bus-delivery", "bus_delivery", "bus")
    store.commit(Changes(checks=[view], slices=slices, standings={"delivery": standing}))
    return standing


def told(store: SqliteStore) -> RecoveryFacts:
    return recovery_facts(store, at(1200), ReportRequest(kinds=load_kinds(), began=at(600)))


@pytest.mark.parametrize(
    ("word", "met", "ratio"),
    [("met", True, 0.999), ("missed", False, 0.9), ("few", None, None), ("none", None, None)],
)
async def test_an_objective_is_a_target_and_evidence(
    store: SqliteStore, word: str, met: bool | None, ratio: float | None
) -> None:
    """Met, missed, or not known: what has too few events is neither."""
    judge(store, word)
    (target,) = told(store).targets
    assert (target.target, target.met, target.actual.low) == (0.99, met, ratio)
    look = Evidence(EvidenceKind.OBJECTIVE, "delivery")
    plan = Plan(requirements=(Requirement("r", look),))
    store.commit(await read_evidence(plan, read_known(store, at(1200)), {}, at(1200)))
    facts = collect(store, "readiness", at(1200), ReportRequest(kinds=load_kinds(), plan=plan))
    assert facts["go"] is (met is True)
    states = {True: "passed", False: "failed", None: "insufficient data"}
    assert facts["requirements"][0]["state"] == states[met]


async def test_an_objective_that_nobody_judged(store: SqliteStore) -> None:
    """It may be new: nothing is known of it."""
    plan = Plan(requirements=(Requirement("r", Evidence(EvidenceKind.OBJECTIVE, "new")),))
    changes = await read_evidence(plan, read_known(store, at(0)), {}, at(0))
    assert "was not judged yet" in changes.meta["evidence"]


def test_a_budget_is_drawn_as_it_burned(store: SqliteStore) -> None:
    """Each point is what the objective's own judgement says of that instant."""
    judge(store, "missed")
    slices = store.slices(OBJECTIVE.source, since=at(0) - timedelta(days=1))
    trend = next(each for each in told(store).trends if "error budget" in each.name)
    assert trend.target == 0.0
    for point in trend.points:
        assert point.value == judge_slices(OBJECTIVE, slices, point.at).budget_left
    facts = collect(store, "recovery", at(1200), ReportRequest(kinds=load_kinds(), began=at(600)))
    assert "error budget left of delivery" in render("recovery", facts, ("html",)).texts["html"]


def test_nothing_is_drawn_of_what_is_not_claimed(store: SqliteStore) -> None:
    """Too few events have no budget."""
    standing = judge(store, "few")
    assert standing.budget_left is None
    assert not [each for each in told(store).trends if "error budget" in each.name]


def test_what_is_left_out_as_maintenance_is_said(store: SqliteStore) -> None:
    """Beside the figure that it is not in, in every report that tells targets."""
    standing = replace(judge(store, "met"), maintenance=600.0)
    store.commit(Changes(standings={"delivery": standing}))
    request = ReportRequest(kinds=load_kinds(), began=at(600))
    for name in ("recovery", "progress", "shift", "daily"):
        (target,) = collect(store, name, at(1200), request)["targets"]
        assert "observed, 10 min of maintenance left out;" in target["actual"]["basis"], name


@pytest.mark.parametrize(("seconds", "met"), [(59.0, None), (61.0, False)])
def test_a_moment_misses_no_target(
    incident_store: SqliteStore, seconds: float, met: bool | None
) -> None:
    """No task within the seconds since the last report is no rate an hour yet."""
    request = ReportRequest(kinds=load_kinds(), target_per_hour=1000.0, began=at(600))
    before = collect(incident_store, "progress", at(1200), request)
    incident_store.add_report("progress", at(1200), [], before)
    facts = recovery_facts(incident_store, at(1200 + seconds), request)
    target = next(each for each in facts.targets if each.name == "tasks per hour")
    assert (target.met, target.actual.low) == (met, 0.0)
    assert target.actual.basis.endswith("too short for a verdict") is (met is None)
