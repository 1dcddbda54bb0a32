"""The files of rules: committed as they would be written, valid, with links that lead somewhere."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from sentinel.app.ruling import group_rules, write_rules
from sentinel.app.runbooks.places import open_shelf
from sentinel.cli import main
from sentinel.core.fault import HIDING, FaultKind, Severity
from sentinel.rules import Alert
from sentinel.rules.inhibition import INHIBIT_RULES
from tests.conftest import require_tool
from tools.rules import OUTPUT, load_demo

ROOT = Path(__file__).resolve().parents[3]
FILES = write_rules(load_demo())
ALERTS = [
    rule
    for groups in group_rules(load_demo()).values()
    for group in groups
    for rule in group.rules
    if isinstance(rule, Alert)
]
PAGES = """
platform: shop
links: {runbooks: "https://wiki/books/", dashboards: "https://grafana"}
components: {api: {}}
objectives:
  - {name: reach, check: api-port, sli: up, target: 99%, window: 7d}
checks:
  - {name: api-port, kind: tcp, component: api, address: "127.0.0.1:80"}
"""


def test_committed_files_are_as_they_would_be_written() -> None:
    """`python -m tools.rules` was run after the last change."""
    committed = {str(path.relative_to(OUTPUT)) for path in OUTPUT.rglob("*.yml")}
    assert {name for name in FILES if (OUTPUT / name).read_text() != FILES[name]} == set()
    assert {name for name in committed if name.startswith(("rules/", "alertmanager/"))} == set(
        FILES
    )


def test_prometheus_and_alertmanager_take_them() -> None:
    """promtool accepts prometheus.yml with every rule, amtool the routes and inhibitions."""
    for tool, *arguments in (
        ("promtool", "check", "config", "prometheus.yml"),
        ("amtool", "check-config", "dashboards/alertmanager/alertmanager.yml"),
    ):
        argv = [require_tool(tool), *arguments]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    found = yaml.safe_load((ROOT / "prometheus.yml").read_text())
    assert found["rule_files"] == ["dashboards/rules/*.yml"]
    assert found["alerting"]


def test_every_alert_says_what_to_do() -> None:
    """A summary, a description, a dashboard, and a runbook that exists; no name is used twice."""
    books = open_shelf().books
    boards = {"overview", "bus", "canaries", "tasks", "agents", "flows", "tenants", "database"}
    boards |= {"components", "objectives", "sentinel"}
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.runbook_url.rpartition("/")[2] in books, alert.name
        board = alert.dashboard.partition("/d/sentinel-")[2].partition("?")[0]
        assert board in boards, alert.name
        assert all(alert.annotations.values()), alert.name
        assert "{{" not in alert.name


def test_inhibitions_name_alerts_that_exist() -> None:
    """What a source or a target names is an alert, a fault or a severity."""
    names = {alert.name for alert in ALERTS}
    for rule in INHIBIT_RULES:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, _, value = matcher.partition('"')
            words = set(value.rstrip('"').split("|")) - {""}
            if label.startswith("alertname"):
                assert words <= names
            if label.startswith("fault"):
                assert words <= HIDING
            if label.startswith("severity"):
                assert words <= {each.value for each in Severity}


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        (FaultKind("a", Severity.PAGE, "", ""), 60.0),
        (FaultKind("a", Severity.TICKET, "", ""), 300.0),
        (FaultKind("a", Severity.INFO, "", ""), 900.0),
        (FaultKind("a", Severity.PAGE, "", "", lasting="lost"), 0.0),
        (FaultKind("a", Severity.TICKET, "", "", sudden=True), 0.0),
        (FaultKind("a", Severity.PAGE, "", "", hold=5.0), 5.0),
    ],
    ids=["page", "ticket", "info", "lasting", "sudden", "hold"],
)
def test_how_long_a_fault_stands_before_it_calls(fault: FaultKind, after: float) -> None:
    """A blip calls nobody; what was lost, or is over in a moment, calls at once."""
    assert fault.alert_after == after


def test_command_writes_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written once, then all is as it should be; with one line changed, exit code 1 and its name."""
    configuration, output = tmp_path / "checks.yaml", tmp_path / "out"
    configuration.write_text(PAGES)
    command = ["--config", str(configuration), "rules", "--output", str(output)]
    assert main([*command, "--check"]) == 1
    assert main(command) == 0
    assert main([*command, "--check"]) == 0
    text = (output / "rules/objectives.yml").read_text()
    assert "sloth_id: shop-reach" in text
    assert "runbook_url: https://wiki/books/objective-burning" in text
    assert "dashboard: https://grafana/d/sentinel-objectives" in text
    (output / "rules/objectives.yml").write_text(text.replace("0.99", "0.9"))
    capsys.readouterr()
    assert main([*command, "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["differ"] == ["rules/objectives.yml"]
    assert main(["--config", str(configuration), "rules", "--check"]) == 64
    (tmp_path / "file").write_text("")
    bad = [*command[:-1], str(tmp_path / "file")]
    assert main(bad) == 78
    assert "can't be written" in capsys.readouterr().err


HOSTILE = r"""
platform: "a{{ b }}\n\"c\\ $x <b>"
links: {runbooks: "http://x/{{y}}", dashboards: "http://x/{{z"}
components: {api: {}}
checks:
  - {name: api, component: api, kind: tcp, address: "127.0.0.1:9"}
objectives:
  - name: reach
    check: api
    sli: up
    target: 99.9999999%
    window: 1h
    title: "{{{ $x }}\n\u202e<b> \"q\"'"
    description: "ends with {{ $labels.x }} {{{{"
    runbook: "../{{ nope"
"""


def test_what_people_wrote_is_no_template(tmp_path: Path) -> None:
    """Braces, quotes, lines and what is invisible: Prometheus takes the rules, and an alert says
    what was written.
    """
    (tmp_path / "checks.yaml").write_text(HOSTILE)
    assert main(["--config", str(tmp_path), "rules", "--output", str(tmp_path)]) == 0
    rules = [str(path) for path in (tmp_path / "rules").glob("*.yml")]
    argv = [require_tool("promtool"), "check", "rules", *rules]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "rules/objectives.yml").read_text()
    groups = yaml.safe_load(text)["groups"]
    alert = next(rule for group in groups for rule in group["rules"] if "alert" in rule)
    assert alert["annotations"]["summary"].startswith('{{"{{{"}} $x }} \\u202e<b> "q"\'')
    assert "the target is 99.9999999 %" in alert["annotations"]["description"]
    assert alert["annotations"]["description"].endswith('{{"{{"}} $labels.x }} {{"{{{{"}}')
    assert alert["annotations"]["runbook_url"].endswith("/..%2F%7B%7B%20nope")
    assert alert["labels"]["sloth_service"].startswith('a{{"{{"}} b }}')


def test_what_is_no_file_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe in place of a file differs, and is not written into: both would wait for ever."""
    (tmp_path / "checks.yaml").write_text(PAGES)
    (tmp_path / "rules").mkdir()
    os.mkfifo(tmp_path / "rules/faults.yml")
    command = ["--config", str(tmp_path), "rules", "--output", str(tmp_path)]
    assert main([*command, "--check"]) == 1
    assert main(command) == 78
    assert "faults.yml is no file" in capsys.readouterr().err
