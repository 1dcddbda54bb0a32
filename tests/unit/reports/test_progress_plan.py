"""The progress report of a generated project: tracks, milestones, contradictions, path and forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sentinel.core.progress.plan import (
    Claim,
    Evidence,
    EvidenceKind,
    Milestone,
    Plan,
    Reading,
    Requirement,
    Track,
    Waiver,
)
from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.figures.milestone import EVIDENCE, NAME, name_requirement
from sentinel.reports.figures.totals import BASELINE
from sentinel.reports.figures.work import ProgressFacts
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.progress import progress_facts
from sentinel.store import Changes, Sample
from sentinel.store.document import write
from sentinel.store.sqlite import SqliteStore
from tests.unit.core.progress.test_network import generate, list_chains
from tests.unit.reports.conftest import agent, at, check

NOW = at(100 * 3600)
LOOK = Evidence(EvidenceKind.SQL, "database", "select 1")


def request(plan: Plan, **asked: Any) -> ReportRequest:
    return ReportRequest(kinds=load_kinds(), plan=plan, **asked)


def told(store: SqliteStore, plan: Plan, **asked: Any) -> ProgressFacts:
    return progress_facts(store, NOW, request(plan, **asked))


def observe(store: SqliteStore, done: Mapping[str, tuple[float, float]], hours: int = 10) -> None:
    """Each milestone went steadily from 0 to what is done now, over so many hours."""
    samples = []
    for name, (now, total) in done.items():
        for step in range(hours):
            moment = NOW - timedelta(hours=hours - step)
            value = now * step / hours
            samples += [
                Sample(moment, NAME, word, {"milestone": name}, number)
                for word, number in (("done", value), ("total", total))
            ]
    readings = {
        name: Reading(name, NOW, now, total, f"{now:g} of {total:g}")
        for name, (now, total) in done.items()
    }
    store.commit(Changes(samples=samples, meta={EVIDENCE: write(readings)}))


@pytest.mark.parametrize("seed", range(4))
def test_path_and_forecast_of_a_generated_project(store: SqliteStore, seed: int) -> None:
    """Steady work has one end, which is the longest chain at the paces seen; nothing else is said."""
    needs = generate(seed)
    done = {name: (float(2 + i), float(10 + 3 * i)) for i, name in enumerate(needs)}
    plan = Plan(
        tracks={"t": Track("t")},
        milestones={n: Milestone(n, "t", needs=needs[n], evidence=LOOK) for n in needs},
        seed=5,
        trials=200,
    )
    observe(store, done)
    facts = told(store, plan)
    hours = {name: (total - now) / (now / 10) for name, (now, total) in done.items()}
    longest = max(list_chains(needs), key=lambda chain: sum(hours[n] for n in chain))
    end = sum(hours[name] for name in longest)
    assert facts.path is not None
    assert facts.path.seconds == pytest.approx(end * 3600, rel=1e-6)
    assert list(facts.path.names) == list(longest)
    for moment in (facts.path.early, facts.path.likely, facts.path.late):
        assert moment is not None
        assert (moment - NOW).total_seconds() == pytest.approx(end * 3600, rel=1e-6)
    assert (facts.path.seed, facts.path.trials) == (5, 200)
    text = render("progress", collect(store, "progress", NOW, request(plan)), ("md",)).texts["md"]
    assert " → ".join(longest) in text
    assert "Simulation of 200 trials with seed 5" in text


def project() -> Plan:
    """Claims that contradict, go back, are old; a need that is open; something nobody measures."""
    return Plan(
        tracks={
            "back": Track("back", "Back end", ("agent-1",), "ada"),
            "front": Track("front", "", (), "bob"),
        },
        milestones={
            "schema": Milestone("schema", "back", evidence=LOOK),
            "rows": Milestone(
                "rows", "back", "Rows", ("schema",), LOOK, Claim(1.0, NOW), due=NOW - timedelta(1)
            ),
            "page": Milestone("page", "front", claim=Claim(0.5, NOW - timedelta(days=9))),
            "tests": Milestone("tests", "front", needs=("page", "rows"), evidence=LOOK),
        },
    )


def test_contradictions_are_said(store: SqliteStore) -> None:
    """Claimed and measured, gone back, stale, overdue, not measured: each with its milestone."""
    observe(store, {"schema": (4, 4), "rows": (2, 10)})
    best = Sample(at(0), NAME, "done", {"milestone": "rows"}, 5)
    store.commit(Changes(samples=[best, replace(best, measurement="total", value=10)]))
    facts = told(store, project(), next_update=NOW + timedelta(hours=1))
    by_name = {each.name: each for each in facts.milestones}
    assert list(by_name["rows"].notes) == [
        "contradiction: claimed 100 %, measured 20 %",
        "went back: was 50 %, is 20 %",
        "overdue for 1 d",
    ]
    assert (by_name["page"].state, by_name["page"].claimed) == ("in progress", True)
    assert list(by_name["page"].notes) == ["stale: said 9 d ago"]
    assert by_name["tests"].state == "not measured"
    assert by_name["tests"].basis == "not measured: nobody has looked yet"
    assert facts.path is not None
    assert set(facts.path.unknown) == {"page", "tests"}
    assert facts.headline.startswith("1 of 4 milestones done")
    assert [(each.milestone, each.needs) for each in facts.dependencies if not each.resolved] == [
        ("tests", "page"),
        ("tests", "rows"),
    ]
    assert any("milestone Rows: overdue" in blocker for blocker in facts.blockers)
    assert facts.sync is not None
    assert list(facts.sync.who) == ["ada", "bob"]


def test_tracks_go_from_the_last_report_to_now(store: SqliteStore) -> None:
    """Means of milestones, as intervals where one is not measured; focus and next steps."""
    plan = project()
    observe(store, {"schema": (2, 4), "rows": (0, 10)})
    store.add_report("progress", at(0), [], collect(store, "progress", NOW, request(plan)))
    observe(store, {"schema": (3, 4), "rows": (0, 10)})
    back, front = told(store, plan).tracks
    assert (back.before.low, back.now.low, back.now.high) == (0.25, 0.375, 0.375)
    assert list(back.focus) == ["schema (75 %)"]
    assert list(back.next_steps) == ["Rows, after schema"]
    assert (front.now.low, front.now.high, front.claims) == (0.25, 0.75, 1)
    assert front.now.basis == "mean of 2 milestones, 1 not measured"


def test_agents_of_a_track(store: SqliteStore) -> None:
    """Those whose name fits, with what they have done since the last report."""
    rows = [agent("agent-1", "active", 12, called="planner"), agent("agent-2", "active", 5)]
    totals = {
        "registry/completed/tasks completed": {"certain": 2, "each": {"agent-1": 2, "agent-2": 1}}
    }
    store.commit(Changes(checks=[check("registry", "registry", "bus", rows=rows)]))
    facts = {"generated": at(0).isoformat(), "totals": totals}
    store.add_report("progress", at(0), [], facts)
    track = told(store, project()).tracks[0]
    assert (list(track.agents), track.tasks_done) == (["planner"], 10)


def test_automations_and_what_they_did(store: SqliteStore) -> None:
    """Those that are configured, in words of what they did; others that left a trace, too."""
    store.add_audit(at(50), "sentinel", "clean", "trim", "12 entries")
    store.add_audit(at(60), "ada", "clean", "trim", "by hand")
    planned = (("restarts", "when a component fails"), ("trim", "every 15m"))
    found = told(store, project(), automations=planned).automations
    assert [(each.name, each.when, each.did) for each in found] == [
        ("restarts", "when a component fails", "nothing since the last report"),
        ("trim", "every 15m", "once, the last: 12 entries"),
    ]


def test_without_a_plan_nothing_is_made_up(store: SqliteStore) -> None:
    """No milestones, no path, no forecast."""
    facts = told(store, Plan())
    assert (list(facts.milestones), list(facts.tracks), facts.path) == ([], [], None)
    text = render("progress", collect(store, "progress", NOW, request(Plan())), ("md", "html"))
    assert "Milestones" not in text.texts["md"]
    assert not text.problems


HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(1)) `{{7*7}}` \x1b[31m\u202e =1+1"


@pytest.mark.parametrize("kind", ["progress", "readiness"])
def test_a_hostile_plan_is_inert(store: SqliteStore, kind: str) -> None:
    """Titles, owners, waivers and what evidence says: markup nowhere, in any format."""
    evidence = Evidence(EvidenceKind.JSON, HOSTILE, HOSTILE)
    claim = Claim(0.5, NOW, HOSTILE)
    plan = Plan(
        tracks={"t": Track("t", HOSTILE, (), HOSTILE)},
        milestones={
            "m": Milestone("m", "t", HOSTILE, (), evidence),
            "n": Milestone("n", "t", HOSTILE, ("m",), None, claim),
        },
        requirements=(Requirement(HOSTILE, evidence, Waiver(HOSTILE, HOSTILE, NOW)),),
    )
    readings = {
        "m": Reading("m", NOW, why=HOSTILE),
        name_requirement(HOSTILE): Reading("r", NOW, 0, 1, HOSTILE),
    }
    store.commit(Changes(meta={EVIDENCE: write(readings)}))
    asked = request(plan, automations=((HOSTILE, HOSTILE),))
    rendered = render(kind, collect(store, kind, NOW, asked))
    rendered.complain()
    for text in rendered.texts.values():
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "](javascript" not in rendered.texts["md"].replace("\\](", "")


@pytest.mark.parametrize("kept", ["garbage", "[]", "5", '{"m": 5}', '{"m": {"at": "2026-01-01"}}'])
def test_what_another_version_kept_is_not_known(store: SqliteStore, kept: str) -> None:
    """Readings and totals that can't be read are not there: the report comes all the same."""
    store.commit(Changes(meta={EVIDENCE: kept, BASELINE: kept}))
    plan = Plan(milestones={"m": Milestone("m", "t", evidence=LOOK)})
    (milestone,) = told(store, plan).milestones
    assert milestone.state == "not measured"
