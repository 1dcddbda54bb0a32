"""Tests of rules by promtool: a sick platform on which each alert fires, and a healthy one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sentinel.rules import Alert, RecordingRule, RuleGroup
from tests.conftest import require_tool

SLACK = 120.0
"""Seconds after the hold of an alert at which it is asked for."""
_TEMPLATE = re.compile(r"\{\{ ([^}]+) \}\}")


@dataclass(frozen=True)
class Scene:
    """What makes one alert fire: series with their values a minute, the labels of the alert, and
    `shown`: what its templates of the value become.
    """

    series: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    shown: str = "1"
    at: float | None = None

    def expect(self, alert: Alert) -> dict[str, Any]:
        """The alert as promtool is to find it."""

        def show(match: re.Match[str]) -> str:
            word = match[1]
            return self.labels[word.partition(".")[2]] if "$labels." in word else self.shown

        texts = {key: _TEMPLATE.sub(show, text) for key, text in alert.annotations.items()}
        return {"exp_labels": {**self.labels, **alert.all_labels}, "exp_annotations": texts}


@dataclass(frozen=True)
class Bench:
    """Rules with what they are tried on. `fires` by alert, `records` by expression."""

    groups: Sequence[RuleGroup]
    fires: Mapping[str, Scene]
    healthy: Mapping[str, str]
    records: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    at: float = 3600.0
    every: str = "1m"
    """How often rules are evaluated."""
    always: frozenset[str] = frozenset()
    """Alerts that fire on a healthy platform, too."""

    @property
    def alerts(self) -> list[Alert]:
        """Every alert of the groups."""
        return [rule for group in self.groups for rule in group.rules if isinstance(rule, Alert)]

    def write(
        self,
        folder: Path,
        name: str,
        groups: Sequence[RuleGroup],
        tests_of: Sequence[Mapping[str, Any]] | None = None,
    ) -> Path:
        """Rules and the tests of this bench, or others, as files; the path of the tests."""
        rules, tests = folder / f"{name}.rules.yml", folder / f"{name}.test.yml"
        rules.write_text(_dump({"groups": [group.document() for group in groups]}))
        document = {
            "rule_files": [rules.name],
            "evaluation_interval": self.every,
            "tests": tests_of or self._tests(),
        }
        tests.write_text(_dump(document))
        return tests

    def _tests(self) -> list[dict[str, Any]]:
        sick = {k: v for scene in self.fires.values() for k, v in scene.series.items()}
        firing = [self._ask(alert, [self.fires[alert.name].expect(alert)]) for alert in self.alerts]
        silent = [self._ask(alert, []) for alert in self.alerts if alert.name not in self.always]
        asked = [
            {"expr": expr, "eval_time": f"{self.at:.0f}s", "exp_samples": list(samples)}
            for expr, samples in self.records.items()
        ]
        return [
            {**_entry("sick", sick, firing), "promql_expr_test": asked},
            _entry("healthy", self.healthy, silent),
        ]

    def _ask(self, alert: Alert, expected: list[dict[str, Any]]) -> dict[str, Any]:
        at = self.fires[alert.name].at or alert.hold + SLACK
        return {"eval_time": f"{at:.0f}s", "alertname": alert.name, "exp_alerts": expected}


def _entry(name: str, series: Mapping[str, str], asked: list[dict[str, Any]]) -> dict[str, Any]:
    given = [{"series": key, "values": values} for key, values in series.items()]
    return {"name": name, "interval": "1m", "input_series": given, "alert_rule_test": asked}


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, sort_keys=False, width=1000, Dumper=yaml.CSafeDumper)


def run_promtool(files: Sequence[Path]) -> dict[str, str]:
    """What promtool says of each file of tests: "" where all of them pass."""
    argv = [require_tool("promtool"), "test", "rules", *map(str, files)]
    # What fails is said on stderr, of which file on stdout.
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    said = re.split(r"^Unit Testing:  ", done.stdout + "\n", flags=re.M)[1:]
    found = dict(part.split("\n", 1) for part in said)
    if len(found) != len(files):
        raise AssertionError(done.stdout)
    return {name: "" if text.strip() == "SUCCESS" else text for name, text in found.items()}


def find_survivors(bench: Bench, folder: Path) -> tuple[str, list[str]]:
    """What fails with all rules, and the rules without which nothing fails: one at a time, for
    alerts are made of records.
    """
    rules = [rule for group in bench.groups for rule in group.rules]
    whole = bench.write(folder, "whole", bench.groups)
    mutants = {
        str(bench.write(folder, f"without-{n}", _leave_out(bench.groups, rule))): rule.name
        for n, rule in enumerate(rules)
    }
    verdicts = run_promtool([whole, *map(Path, mutants)])
    return verdicts[str(whole)], [name for path, name in mutants.items() if not verdicts[path]]


def find_unmissed(benches: Mapping[str, Bench], folder: Path) -> dict[str, list[str] | str]:
    """What fails with all rules, and the alerts that no test misses; nothing of what is well.

    Where no alert is made of another rule, to take all of them away at once is to take away each:
    each is asked for by its name.
    """
    whole = {name: each.write(folder, name, each.groups) for name, each in benches.items()}
    none = {
        name: each.write(folder, f"{name}-empty", [RuleGroup("empty", [])])
        for name, each in benches.items()
    }
    verdicts = run_promtool([*whole.values(), *none.values()])
    found: dict[str, list[str] | str] = {}
    for name, bench in benches.items():
        found[name] = verdicts[str(whole[name])]
        said = re.findall(r"alertname: ?(\w+)", verdicts[str(none[name])])
        found[f"{name}-empty"] = [each.name for each in bench.alerts if each.name not in said]
    return {name: each for name, each in found.items() if each}


def _leave_out(groups: Sequence[RuleGroup], rule: Alert | RecordingRule) -> list[RuleGroup]:
    return [
        RuleGroup(group.name, [each for each in group.rules if each is not rule])
        for group in groups
    ]
