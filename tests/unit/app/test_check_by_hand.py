"""A check that is run by hand, where no daemon runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.app import ordering
from sentinel.config import load
from sentinel.core.fault import Fault, Status
from sentinel.core.model import Check, Finding, Result
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.engine.runner import Runner
from sentinel.probes import Kind


async def test_of_two_that_are_down_the_heavier_one_is_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the daemon has it: what somebody must hear of first comes first."""
    light, heavy = (key for key in ("slow", "wrong_status"))
    faults = tuple(Fault(key, {}, Status.DOWN, key) for key in (light, heavy))
    seen = Finding(Status.DOWN, "slow; and 1 more; answered 500", faults=faults)

    async def run(_self: Runner, check: Check, _kind: Kind) -> Result:
        return Result(check.name, seen, datetime.now(UTC), 0.1, "0" * 32)

    monkeypatch.setattr(Runner, "run", run)
    (tmp_path / "sentinel.yaml").write_text(
        "resources: {web: {http: 'http://127.0.0.1:1'}}\ncomponents: {api: {resource: web}}\n"
        "checks: [{name: web, kind: http, component: api}]\n"
    )
    _, finding = await ordering.run_check(load(tmp_path), None, "web")
    assert finding.detail == "wrong_status; and 1 more; answered 500"


ASSIGNED = """
resources: {db: {postgres: "postgresql://h/d"}}
components: {work: {resource: db}}
checks: [{name: assigned, kind: task_assignment, component: work, table: tasks}]
"""


@pytest.mark.parametrize(
    ("basis", "status"),
    [
        (Basis.ASSUMED, Status.UNKNOWN),
        (Basis.DISAGREED, Status.UNKNOWN),
        (Basis.DISCOVERED, Status.UP),
        (Basis.DECLARED, Status.UP),
        (Basis.TYPED, Status.UP),
    ],
)
async def test_a_first_look_at_times_of_an_unknown_zone_is_unknown(
    basis: Basis, status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon sees rows arrive, and by them which zone it is: one look does not."""
    seen = Finding(Status.UP, "p99 0.2 s")

    async def run(self: Runner, check: Check, _kind: Kind) -> Result:
        self.states[check.name].clocks = {"created_at": ColumnClock("tasks.created_at", basis)}
        return Result(check.name, seen, datetime.now(UTC), 0.1, "0" * 32)

    monkeypatch.setattr(Runner, "run", run)
    (tmp_path / "sentinel.yaml").write_text(ASSIGNED)
    _, finding = await ordering.run_check(load(tmp_path), None, "assigned")
    assert finding.status is status
    if status is Status.UNKNOWN:
        assert "tasks.created_at is read as UTC" in finding.detail
        assert "declare `zone:` in the mapping" in finding.guidance


async def test_it_says_what_to_do(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next step is that of the fault which the line begins with, as the daemon says it."""
    fault = Fault("full", {}, Status.DEGRADED, "it is full", guidance="empty it")
    seen = Finding(fault.status, fault.text, faults=(fault,))

    async def run_once(*_: Any) -> Result:
        return Result("bin", seen, datetime.now(UTC), 0.1, "0" * 32)

    monkeypatch.setattr(ordering, "run_once", run_once)
    file = tmp_path / "sentinel.yaml"
    file.write_text(
        "components: {bin: {}}\n"
        "checks: [{name: bin, kind: process, component: bin, pattern: nothing}]\n"
    )
    _, finding = await ordering.run_check(load(file), None, "bin")
    assert (finding.detail, finding.guidance) == ("it is full", "empty it")
