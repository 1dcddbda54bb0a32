"""Each fault of each kind has an alert that fires on it, and on nothing else."""

from __future__ import annotations

from pathlib import Path

from sentinel.app.ruling import group_rules
from sentinel.rules import Alert, RuleGroup
from tests.promtool import Bench, Scene, find_unmissed
from tools.rules import load_demo

GROUPS = {group.name: group for group in group_rules(load_demo())["faults"]}


STANDS, BEGAN = "sentinel_faults", "sentinel_fault_last_begun_timestamp_seconds"


def stage(group: RuleGroup) -> Bench:
    """A check with every fault of its kind; on the healthy platform another kind has them. No
    scrape has seen a sudden one stand: it began in the third second of the epoch.
    """
    kind = group.name.removeprefix("sentinel-faults-")
    fires, healthy = {}, {f'sentinel_check_status{{check="c",kind="{kind}"}}': "1x20"}
    for alert in group.rules:
        assert isinstance(alert, Alert)
        fault = alert.expr.partition('fault="')[2].partition('"')[0]
        is_sudden = "last_begun" in alert.expr
        labels = {"check": "c", "component": "x", "fault": fault}
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        series = {
            f"{BEGAN if is_sudden else STANDS}{{{inner}}}": "3x20",
            f'sentinel_check_status{{check="c",kind="{kind}"}}': "1x20",
        }
        fires[alert.name] = Scene(series, labels, shown="3")
        elsewhere = inner.replace('check="c"', 'check="o"')
        healthy[f"{BEGAN if is_sudden else STANDS}{{{elsewhere}}}"] = "3x20"
        healthy[f"{BEGAN}{{{inner}}}"] = "-1000x20"
    healthy['sentinel_check_status{check="o",kind="another"}'] = "1x20"
    return Bench([group], fires, healthy)


def test_each_alert_fires_and_none_can_be_missing(tmp_path: Path) -> None:
    """With all rules promtool is content; without them it misses each."""
    benches = {name: stage(group) for name, group in GROUPS.items()}
    assert sum(len(bench.alerts) for bench in benches.values()) > 200
    assert find_unmissed(benches, tmp_path) == {}
