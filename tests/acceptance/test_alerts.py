"""Chaos calls somebody: the alert that names the fault fires in a real Prometheus, reaches a real
Alertmanager, and resolves when the fault is over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sentinel.demo.chaos import load_scenarios
from sentinel.demo.servers import free_port
from sentinel.rules.components import PASSED
from sentinel.rules.value import name_alert
from tests.acceptance.alert_watch import TOOLS, AlertWatch, Notices
from tests.acceptance.conftest import ALERTED, DemoRun, finish, start_demo
from tests.conftest import require_tool

SCENARIOS = load_scenarios()
STANDS = {"lose-messages", "crash-loop"}
"""Scenarios of which something stands until somebody acts: what was lost, what is exhausted."""


def find_alerts(notices: Notices, kind: str, component: str, status: str) -> list[dict[str, Any]]:
    """The alerts of a kind of check for a component. What sentinel heals within a second may begin
    and end between two scrapes: it is told all the same, as what came and went.
    """
    found = notices.find(status, component=component)
    names = (name_alert(kind), PASSED)
    return [each for each in found if each["labels"]["alertname"].startswith(names)]


@pytest.fixture
def notices(demo_runs: dict[str, DemoRun]) -> Notices:
    """What reached people of a run with chaos; without the programs there is nothing to see."""
    for tool in TOOLS:
        require_tool(tool)
    return demo_runs[ALERTED].notices


@pytest.mark.parametrize(
    ("alert", "component"),
    [("SentinelTenantProbeLeak", "tenants"), ("SentinelFlowsOverdue", "flows")],
)
def test_a_fault_calls_and_resolves(notices: Notices, alert: str, component: str) -> None:
    """A tenant leak and flows that stand still, in a run with other chaos beside them."""
    (fired, *_), (resolved, *_) = (
        notices.find(status, alertname=alert, component=component)
        for status in ("firing", "resolved")
    )
    assert fired["labels"]["check"] in {"tenant-isolation", "flows"}
    assert component in fired["annotations"]["summary"]
    assert "/runbooks/" in fired["annotations"]["runbook_url"]
    assert "/d/sentinel-" in fired["annotations"]["dashboard"]
    assert resolved["startsAt"] == fired["startsAt"]


def test_the_dead_man_is_fed(notices: Notices) -> None:
    """The watchdog goes to a receiver of its own, and to nobody else."""
    assert notices.find("firing", "dead-man", alertname="SentinelWatchdog")
    assert not notices.find("firing", alertname="SentinelWatchdog")


def test_nothing_of_sentinel_itself_is_wrong(notices: Notices) -> None:
    """Chaos of the platform is none of the monitor, whose state can be written all the time."""
    names = {each["labels"]["alertname"] for each in notices.find("firing")}
    assert names.isdisjoint({"SentinelStateNotWritable", "SentinelFenced", "SentinelReloadFailed"})


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_each_scenario_calls(name: str, tmp_path: Path) -> None:
    """What a correct monitor must report of a scenario calls, and resolves when it is over."""
    place = f"127.0.0.1:{free_port()}"
    watch = AlertWatch(place, tmp_path / "alerts")
    run = finish(start_demo("60s", [name], tmp_path / "demo", listen=place), tmp_path / "demo")
    notices = watch.stop()
    assert run.code in {0, 1, 2}, run.stderr
    for expected in SCENARIOS[name].expect:
        if expected.status == "up":
            continue
        fired = find_alerts(notices, expected.kind, expected.component, "firing")
        assert fired, yaml.safe_dump(notices.by_receiver)
        if name not in STANDS:
            assert find_alerts(notices, expected.kind, expected.component, "resolved")
