"""Sentinel's own figures and those of PromQL are the same, over real expositions of one run."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentinel.core.notice.maintenance import Maintenance
from sentinel.core.objective import ObjectiveState
from sentinel.rules import Alert, Links, make_groups
from sentinel.store.sqlite import SqliteStore
from tests.objective_watch import IN_TIME, Watch
from tests.promtool import run_promtool
from tests.unit.engine.conftest import Clock

SCRAPE = 15.0
NAMES = ("events", "good", "in_deadline", "late")
POINTS = 0.0001
"""0.01 percentage points."""
GROUPS = make_groups("p", [], [IN_TIME], Links("http://r", "http://d"))["objectives"]


class Run:
    """Two hours of looks, scraped every 15 s; None where nobody answered the scrape."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder, owner=True)
        self.watch = Watch(self.store, Clock(), IN_TIME)
        self.series: dict[str, list[float | None]] = {name: [] for name in NAMES}
        self.due = 0.0
        self.began = self.watch.clock.now

    def look(self, good: int, late: int) -> None:
        """One look, what is due of writing, and of scrapes."""
        self.watch.look(good, late)
        self.watch.settle()
        self.scrape()

    def scrape(self, *, gone: bool = False) -> None:
        """Every scrape until now sees what is exported now."""
        self.watch.metrics.render()
        while self.watch.clock.now - self.began >= self.due:
            self.due += SCRAPE
            for name in NAMES:
                self.series[name].append(None if gone else self._read(name))

    def _read(self, name: str) -> float:
        read = self.watch.exported if name in NAMES[:2] else self.watch.settled
        return read(name)

    def go_away(self, seconds: float, *, killed: bool) -> None:
        """Sentinel is not there for a while; what it had not written is lost with a kill."""
        if not killed:
            self.watch.settle(last=True)
        self.watch.clock.now += seconds
        self.scrape(gone=True)
        self.watch.restart()

    @property
    def minutes(self) -> int:
        """How long it took, at the last scrape."""
        return int((len(self.series["good"]) - 1) * SCRAPE // 60)


def busy(folder: Path) -> Run:
    """More than 2,000 events: bursts, quiet times, an outage, a restart and a kill."""
    run, chance = Run(folder), random.Random(7)
    run.look(0, 0)
    for step in range(1300):
        rate = 8 if step % 200 < 60 else 1
        good = chance.choice([0, 0, rate, 2 * rate])
        late = chance.randrange(4) if 900 < step < 1000 else int(chance.random() < 0.03)
        run.look(good, late)
        if step == 500:
            run.go_away(600, killed=False)
        if step == 800:
            run.go_away(90, killed=True)
    return finish(run)


def worked_upon(folder: Path) -> Run:
    """30 bad events of 3,000; for two minutes people work, and 1,200 more are bad."""
    run = Run(folder)
    run.look(0, 0)
    for step in range(300):
        if step == 150:
            work(run)
        run.look(9 if step < 30 else 10, int(step < 30))
    return finish(run)


def work(run: Run) -> None:
    """A window from within one look until within another one."""
    began = run.watch.clock.utcnow() + timedelta(seconds=1.0)
    ended = began + timedelta(seconds=120.0)
    times = (Maintenance("w", ("assignment",), "x", began, ended),)
    run.watch.objectives.heed(lambda: times)
    for _ in range(24):
        run.look(0, 50)
    run.look(0, 0)


def sparse(folder: Path) -> Run:
    """Ten events in two hours, all of them bad."""
    run = Run(folder)
    run.look(0, 0)
    for step in range(1400):
        run.look(0, int(step % 140 == 0))
    return finish(run)


def finish(run: Run) -> Run:
    """Everything is written and scraped, and the last scrape is at a whole minute."""
    run.watch.settle(last=True)
    for _ in range(12):
        run.look(0, 0)
    while (len(run.series["good"]) - 1) * SCRAPE % 60:
        run.look(0, 0)
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the rules and of the state."""
    (tmp_path / "state").mkdir()
    return tmp_path


def ask(run: Run, folder: Path, asked: list[dict[str, Any]], alerts: list[dict[str, Any]]) -> str:
    """What promtool says of questions at the end of the run."""
    labels = 'check="tasks",component="assignment",objective="in-time"'
    raw = 'sentinel_task_assignment_settled_total{check="tasks",queue="q",outcome="%s"}'
    given = {
        f"sentinel_objective_events_total{{{labels}}}": "events",
        f"sentinel_objective_good_total{{{labels}}}": "good",
        raw % "in_deadline": "in_deadline",
        raw % "late": "late",
    }
    (folder / "rules.yml").write_text(
        yaml.safe_dump({"groups": [group.document() for group in GROUPS]}, sort_keys=False)
    )
    test = {
        "interval": f"{SCRAPE:.0f}s",
        "input_series": [
            {"series": name, "values": _write(run.series[key])} for name, key in given.items()
        ],
        "promql_expr_test": asked,
        "alert_rule_test": alerts,
    }
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return run_promtool([path])[str(path)]


def _write(values: list[float | None]) -> str:
    return " ".join("_" if value is None else f"{value:.0f}" for value in values)


def test_ratio_and_budget_agree(folder: Path) -> None:
    """Within 0.01 points, over objective counters and over those of the check itself."""
    run = busy(folder / "state")
    standing, at = run.watch.standing(), f"{run.minutes}m"
    assert standing.counts.total > 2000
    assert standing.state is ObjectiveState.MISSED
    assert standing.ratio is not None
    assert standing.budget_left is not None
    bad, select = 1 - standing.ratio, '{sloth_slo="in-time"}'
    settled = "sum(increase(sentinel_task_assignment_settled_total"
    good = f"{settled}{{outcome='in_deadline'}}[30d]))"
    shares = {
        f"max(slo:sli_error:ratio_rate30d{select})": bad,
        f"max(slo:period_error_budget_remaining:ratio{select}) * 0.01": standing.budget_left * 0.01,
        f"1 - {good} / {settled}[30d]))": bad,
    }
    asked = [
        {
            "expr": f"abs(({expr}) - ({value!r})) < bool {POINTS}",
            "eval_time": at,
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expr, value in shares.items()
    ]
    assert ask(run, folder, asked, []) == ""


def test_they_agree_over_maintenance(folder: Path) -> None:
    """What was counted in it is in neither figure: 30 of 3,000 are bad, and not 1,230 of 4,200."""
    run = worked_upon(folder / "state")
    standing = run.watch.standing()
    assert (standing.counts.bad, standing.counts.total) == (30, 3000)
    assert run.series["late"][-1] == 1230
    asked = [
        {
            "expr": f"abs(max({name}{{sloth_slo='in-time'}}) - {value}) < bool {POINTS}",
            "eval_time": f"{run.minutes}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for name, value in {
            "slo:sli_error:ratio_rate30d": 0.01,
            "slo:period_error_budget_remaining:ratio": standing.budget_left,
        }.items()
    ]
    assert ask(run, folder, asked, []) == ""


def test_ten_events_page_nobody(folder: Path) -> None:
    """All of them were bad: neither sentinel nor Prometheus calls, and neither claims a share."""
    run = sparse(folder / "state")
    standing = run.watch.standing()
    assert (standing.counts.total, standing.counts.good) == (10, 0)
    assert (standing.state, standing.alarm) == (ObjectiveState.INSUFFICIENT, None)
    burns = [
        {"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": []}
        for group in GROUPS
        for rule in group.rules
        if isinstance(rule, Alert) and rule.name.endswith("Burn")
        for minute in range(10, run.minutes, 10)
    ]
    assert len(burns) > 40
    assert ask(run, folder, [], burns) == ""
