"""What a person reads in the document of a run equals what the platform's own ledgers say."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from sentinel.core.fault import Status
from sentinel.demo.chaos import load_scenarios
from sentinel.demo.ledger import read_ledgers
from sentinel.store.sqlite import SqliteStore
from tests.acceptance.conftest import RUNS, DemoRun

KEYS = {
    "delivery": {
        "published",
        "acknowledged",
        "in_doubt",
        "pending",
        "lost",
        "ratio",
        "deadline_seconds",
    },
    "canary": {"sent", "ok", "late", "lost", "duplicate", "corrupt"},
    "assignment": {"total", "within_100ms", "unassigned", "p99_seconds"},
}


@pytest.mark.parametrize("name", RUNS)
def test_document_has_every_section(demo_runs: dict[str, DemoRun], name: str) -> None:
    """Each run ends with exit code 0 and one document of the promised shape."""
    run = demo_runs[name]
    assert run.code == 0, run.stderr
    assert "/metrics" in run.stderr
    document = run.document
    for section, keys in KEYS.items():
        assert set(document[section]) == keys
        assert section == "canary" or keys <= set(document["truth"][section])
    assert {"name", "kind", "component", "status", "runs", "detail"} == set(document["checks"][0])
    assert all(check["runs"] > 0 for check in document["checks"])
    assert all(Path(path).stat().st_size > 0 for path in document["reports"])
    assert len(document["reports"]) == 6
    assert document["duration_seconds"] >= float(RUNS[name][0][:-1])


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_left_behind(demo_runs: dict[str, DemoRun], name: str) -> None:
    """No process of a run outlives it."""
    folder = str(demo_runs[name].folder)
    marks = [process.info for process in psutil.process_iter(["pid", "environ", "cmdline"])]
    left = [
        info["cmdline"]
        for info in marks
        if folder in (info["environ"] or {}).get("SENTINEL_SUPERVISED", "")
    ]
    assert left == []


def test_loss_is_found_to_the_entry(demo_runs: dict[str, DemoRun]) -> None:
    """lose-messages trims exactly 25 unread entries: published, acknowledged and lost equal the
    ledgers', as points.
    """
    found, truth = (
        demo_runs["loss"].document["delivery"],
        demo_runs["loss"].document["truth"]["delivery"],
    )
    assert truth["lost"] == [25, 25]
    assert found["lost"] == [25, 25]
    assert found["published"] == truth["published"] > 200
    assert (found["acknowledged"], found["in_doubt"]) == (truth["acknowledged"], 0)
    assert found["pending"] == truth["pending"] == 0
    _assert_overlap(found["ratio"], truth["ratio"])


@pytest.mark.parametrize("name", ["crash", "bus", "database", "agents", "calm"])
def test_delivery_equals_the_ledgers(demo_runs: dict[str, DemoRun], name: str) -> None:
    """Whatever else breaks: published is exact, acknowledged and lost intervals contain the truth."""
    found, truth = (
        demo_runs[name].document["delivery"],
        demo_runs[name].document["truth"]["delivery"],
    )
    assert found["published"] == truth["published"]
    assert (
        found["acknowledged"] <= truth["acknowledged"] <= found["acknowledged"] + found["in_doubt"]
    )
    assert found["lost"][0] <= truth["lost"][0] <= found["lost"][1]


@pytest.mark.parametrize("name", ["loss", "crash", "bus", "faults", "agents", "calm"])
def test_assignment_equals_the_ledgers(demo_runs: dict[str, DemoRun], name: str) -> None:
    """Every task is counted once, with the same share in time and the same p99."""
    found, truth = (
        demo_runs[name].document["assignment"],
        demo_runs[name].document["truth"]["assignment"],
    )
    assert found["total"] == truth["total"] > 100
    assert found["within_100ms"] == truth["within_100ms"]
    assert found["unassigned"] == truth["unassigned"]
    assert found["p99_seconds"] == pytest.approx(truth["p99_seconds"], abs=1e-3)


def _assert_overlap(found: list[float], truth: list[float]) -> None:
    assert found[0] <= truth[1] + 1e-9
    assert truth[0] <= found[1] + 1e-9


def test_crashed_agent_is_restarted_once(demo_runs: dict[str, DemoRun]) -> None:
    """crash-agent: noticed, restarted in one attempt, verified, and nothing published is lost by
    it.
    """
    run = demo_runs["loss"]
    (restart,) = run.restarts("agent-2")
    assert restart["attempt"] == 1
    assert restart["outcome"] == "done"
    assert restart["verdict"] == "recovered"
    assert "SIGKILL" in restart["reason"]
    assert restart["recovered_in_seconds"] is not None
    assert run.incidents("agent-2")[0]["recovered"] is not None


def test_frozen_agent_is_not_restarted(demo_runs: dict[str, DemoRun]) -> None:
    """lose-messages freezes agent-4: its process lives, so it is degraded and left alone."""
    assert demo_runs["loss"].restarts("agent-4") == []


def test_crash_loop_is_capped_and_escalated(demo_runs: dict[str, DemoRun]) -> None:
    """crash-loop: three attempts, then exhausted; never a fourth."""
    run = demo_runs["crash"]
    assert [restart["attempt"] for restart in run.restarts("agent-3")] == [1, 2, 3]
    assert any(incident["exhausted"] for incident in run.incidents("agent-3"))


def test_stopped_assigner_is_reported_within_ten_seconds(demo_runs: dict[str, DemoRun]) -> None:
    """slow-assigner: the assignment component is bad within 10 s of the fault, and nothing is
    restarted for it.
    """
    run = demo_runs["crash"]
    (incident, *_) = reversed(run.incidents("assignment"))
    began = _chaos(run, "slow-assigner")
    assert _epoch(incident["opened"]) - began < 10
    assert run.restarts("orchestrator") == []


@pytest.mark.parametrize(("name", "component"), [("bus", "bus"), ("database", "database")])
def test_server_away_is_seen_and_survived(
    demo_runs: dict[str, DemoRun], name: str, component: str
) -> None:
    """redis-down, postgres-down: an incident of that server, no restart of anybody, health again by
    itself.
    """
    run = demo_runs[name]
    assert run.incidents(component)
    assert run.incidents(component)[0]["recovered"] is not None
    assert run.document["restarts"] == []
    statuses = {check["name"]: check["status"] for check in run.document["checks"]}
    servers = (
        "bus-server",
        "bus-port",
        "database-health",
        "api-health",
        "agent-1.process",
        "orchestrator.process",
    )
    assert {statuses[name] for name in servers} == {"up"}


def test_tenant_leak_is_found(demo_runs: dict[str, DemoRun]) -> None:
    """tenant-leak: the tenants component goes down, and recovers when the hole is closed."""
    (incident,) = demo_runs["faults"].incidents("tenants")
    assert re.search("lets every row pass|tenant", incident["summary"])  # catalogue, or a try
    assert incident["recovered"] is not None


def test_stuck_flows_are_found(demo_runs: dict[str, DemoRun]) -> None:
    """stuck-flow: seven flows are too long in "initialized", and exactly seven are named."""
    (incident,) = demo_runs["faults"].incidents("flows")
    assert re.match(r"flow \S+ .*; and 6 more$", incident["summary"])


@pytest.mark.parametrize("scenario", sorted(load_scenarios()))
def test_every_scenario_is_reported_as_it_says(
    demo_runs: dict[str, DemoRun], scenario: str
) -> None:
    """The scenario says what must be reported: the status, by the kind, in time, restarted or not."""
    run = next(demo_runs[name] for name, (_, chaos) in RUNS.items() if scenario in chaos)
    store = SqliteStore(run.state, writable=False)
    began = datetime.fromtimestamp(_chaos(run, scenario), UTC)
    for expected in load_scenarios()[scenario].expect:
        checks = [
            c.name
            for c in store.checks()
            if (c.kind, c.component) == (expected.kind, expected.component)
        ]
        assert checks, expected
        changes = [t for name in checks for t in store.transitions(since=began, subject=name)]
        wanted = Status(expected.status)
        if wanted is Status.UP:
            assert [change for change in changes if change.after is not Status.UP] == []
        else:
            seen = [(t.at - began).total_seconds() for t in changes if t.after.rank >= wanted.rank]
            assert seen, (expected, changes)
            assert min(seen) <= expected.within
        assert bool(run.restarts(expected.component)) is expected.restart
    store.close()


def test_a_calm_run_finds_nothing_else(demo_runs: dict[str, DemoRun]) -> None:
    """Three poison messages end as dead letters, as designed: the one incident is about these, no
    restart, and every check is up but the one that tells of them.
    """
    run = demo_runs["calm"]
    document = run.document
    (incident,) = document["incidents"]
    assert (incident["component"], incident["blocked_by"]) == ("messaging", "")
    assert "came to dead-letters" in incident["summary"]
    assert document["restarts"] == []
    others = [
        check["status"]
        for check in document["checks"]
        if check["name"] not in {"load.process", "bus-ledger"}
    ]
    assert set(others) == {"up"}
    assert (
        document["canary"]["lost"]
        == document["canary"]["duplicate"]
        == document["canary"]["corrupt"]
        == 0
    )


def test_commands_read_the_state_of_a_run(demo_runs: dict[str, DemoRun]) -> None:
    """status, incident and report work on the state that a run left, with the promised exit codes."""
    state = str(demo_runs["loss"].state)

    def sentinel(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sentinel", "--state", state, *words]
        return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)

    status = sentinel("status")
    assert status.returncode == 3
    assert "was stopped" in status.stdout
    shown = sentinel("incident", "show")
    assert shown.returncode == 0
    assert "timeline" in shown.stdout
    report = sentinel("report", "recovery")
    assert report.returncode == 0
    assert "Recovery" in report.stdout
    assert sentinel("incident", "show", "nonsense").returncode == 64


def _chaos(run: DemoRun, scenario: str) -> float:
    """Epoch seconds at which a scenario began, from the chaos ledger."""
    for record in read_ledgers(run.folder / "latest"):
        facts: Any = record
        if facts.get("scenario") == scenario and facts.get("phase") == "begin":
            return float(facts["t"])
    raise AssertionError(f"{scenario} did not begin")


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
