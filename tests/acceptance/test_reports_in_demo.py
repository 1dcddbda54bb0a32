"""Recovery reports of a demo that was broken: their numbers are those of the chaos ledger."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any

import pytest

from sentinel.cli import main
from sentinel.demo.ledger import Record, read_ledgers
from sentinel.store.sqlite import SqliteStore
from tests.acceptance.conftest import RUNS, DemoRun

Facts = Mapping[str, Any]


def report_on(run: DemoRun, component: str, began: float) -> Facts:
    """The recovery report of a component's first incident since an instant."""
    store = SqliteStore(run.state, writable=False)
    since = datetime.fromtimestamp(began, UTC)
    found = [each for each in store.incidents(limit=1000) if each.component == component]
    incident = min((e for e in found if e.opened >= since), key=lambda each: each.opened)
    store.close()
    shown = io.StringIO()
    with redirect_stdout(shown):
        words = ["report", "recovery", "--incident", incident.id, "--json"]
        assert main(["--state", str(run.state), *words]) == 0
    facts: Facts = json.loads(shown.getvalue())
    return facts


def _lost(facts: Facts, tell: Callable[[str], Record], _ledgers: list[Record]) -> None:
    """Exactly so many messages, in impact and in data loss."""
    count = tell("trimmed")["lost"]
    for part in ("impact", "losses"):
        name = "messages lost before they were read"
        (figure,) = (each for each in facts[part] if each["name"] == name)
        assert (figure["low"], figure["high"]) == (count, count)
    assert [(each["low"], each["high"]) for each in facts["lost"]] == [(count, count)]
    assert any(f"{name} {count}" in line for line in facts["summary"])


def _stuck(facts: Facts, tell: Callable[[str], Record], _ledgers: list[Record]) -> None:
    """Every flow that was made to stand still, by its name, and no other."""
    flows = {f"flow {flow}" for flow in tell("stuck")["flows"]}
    told = {each["subject"] for each in facts["faults"] if each["key"] == "overdue"}
    assert told == flows


def _crashed(facts: Facts, tell: Callable[[str], Record], _ledgers: list[Record]) -> None:
    """Killed once, restarted once; down for less than the run, and nothing else was hurt by it."""
    (act,) = facts["actions"]
    assert (act["component"], act["action"]) == (tell("begin")["params"]["component"], "restart")
    spent = facts["incident"]["spent"]
    assert spent["down"] == pytest.approx(facts["incident"]["recovery"]["low"], abs=0.01)
    assert act["recovered_in"] is not None


REPORTED = {
    "lose-messages": ("messaging", _lost),
    "stuck-flow": ("flows", _stuck),
    "crash-agent": ("agent-2", _crashed),
}


@pytest.mark.parametrize("scenario", REPORTED)
def test_numbers_are_those_of_the_ledger(demo_runs: dict[str, DemoRun], scenario: str) -> None:
    """What was done to the platform and what the report says of it are one."""
    run = demo_runs[next(name for name, (_, chaos) in RUNS.items() if scenario in chaos)]
    ledgers = read_ledgers(run.folder / "latest")

    def tell(phase: str) -> Record:
        lines = (each for each in ledgers if each.get("scenario") == scenario)
        return next(each for each in lines if each.get("phase") == phase)

    component, check = REPORTED[scenario]
    check(report_on(run, component, tell("begin")["t"]), tell, ledgers)
