"""Objectives: records in Sloth's names, weighted by events, and alerts that need events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sentinel.core.objective import Objective
from sentinel.rules import Links, RecordingRule, RuleGroup, make_groups
from tests.promtool import Bench, Scene, find_survivors, run_promtool

LINKS = Links("http://r", "http://d")
DELIVERY = Objective("delivery", "bus", "messaging", "acked_in_deadline", 0.995, 30 * 86400.0)
GONE = replace(DELIVERY, name="gone", window=3600.0)
NAMES = {"sloth_id": "p-delivery", "sloth_service": "p", "sloth_slo": "delivery"}
WHO = {"check": "bus", "component": "messaging"}
AT = 9000.0


def series(metric: str, objective: str) -> str:
    """A counter of an objective."""
    return (
        f'sentinel_objective_{metric}_total{{check="bus",component="messaging",'
        f'objective="{objective}"}}'
    )


def group(*objectives: Objective) -> list[RuleGroup]:
    """The rules of some objectives."""
    return make_groups("p", [], objectives, LINKS)["objectives"]


def burning(good: int, events: int) -> dict[str, str]:
    """Nothing for half an hour, then two hours with so many events a minute."""
    return {
        series("good", "delivery"): f"_x30 0+{good}x125",
        series("events", "delivery"): f"_x30 0+{events}x125",
    }


FIRES = {
    **{
        f"SentinelObjectiveDelivery{word}Burn": Scene(burning(900, 1000), NAMES, "10%", AT)
        for word in ("Fast", "Slow", "Day", "Week")
    },
    "SentinelObjectiveDeliveryAbsent": Scene({}, {"objective": "delivery"}, at=1200.0),
    "SentinelObjectiveInvalid": Scene(
        {series("good", "odd"): "0+2x155", series("events", "odd"): "0+1x155"},
        {**WHO, "objective": "odd"},
        "60",
        AT,
    ),
    "SentinelObjectiveNoData": Scene(
        {series("events", "idle"): "7x155"}, {**WHO, "objective": "idle"}, "0", AT
    ),
    "SentinelObjectiveMissed": Scene(
        {'sentinel_objective_state{check="bus",objective="delivery",state="missed"}': "1x155"},
        {"check": "bus", "objective": "delivery", "state": "missed"},
        at=600.0,
    ),
}
HEALTHY = {
    series("good", "delivery"): "0+998x155",
    series("events", "delivery"): "0+1000x155",
    'sentinel_objective_state{check="bus",objective="delivery",state="met"}': "1x155",
    series("events", "new"): "_x100 0+1x30",
}


def _sample(value: float, **labels: str) -> list[dict[str, Any]]:
    inner = ", ".join(f'{key}="{text}"' for key, text in {**NAMES, **labels}.items())
    return [{"labels": f"{{{inner}}}", "value": value}]


def read_records() -> dict[str, list[dict[str, Any]]]:
    """What each record says after two hours with 100 bad events of 1000 a minute."""
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
    asked = {f"slo:sli_error:ratio_rate{w}": (0.1, {"sloth_window": w}) for w in windows}
    for window, minutes in (("1h", 60), ("6h", 120), ("1d", 120), ("3d", 120)):
        labels = {"sloth_window": window}
        asked[f"slo:sli_event:increase{window}"] = (1000.0 * minutes, labels)
        asked[f"slo:sli_error:increase{window}"] = (100.0 * minutes, labels)
    asked |= {
        "slo:objective:ratio": (0.995, {}),
        "slo:error_budget:ratio": (0.005, {}),
        "slo:time_period:days": (30.0, {}),
        "slo:current_burn_rate:ratio": (20.0, {"sloth_window": "5m"}),
        "slo:period_burn_rate:ratio": (20.0, {"sloth_window": "30d"}),
        "slo:period_error_budget_remaining:ratio": (-19.0, {"sloth_window": "30d"}),
    }
    info = {"sloth_mode": "sentinel", "sloth_objective": "99.5", "sloth_spec": DELIVERY.source}
    asked["sloth_slo_info"] = (1.0, info)
    return {
        f'round({name}{{sloth_slo="delivery"}} * 10000, 10)': _sample(value * 10000, **labels)
        for name, (value, labels) in asked.items()
    }


def stage(groups: list[RuleGroup]) -> Bench:
    """The rules of one objective on two hours that burn, and on two that do not."""
    return Bench(groups, FIRES, HEALTHY, read_records(), AT, every="5m")


def test_none_of_the_rules_can_be_missing(tmp_path: Path) -> None:
    """Each record and each alert of an objective, left out alone, fails a test."""
    assert find_survivors(stage(group(DELIVERY)), tmp_path) == ("", [])


def test_burn_rates_call_by_events(tmp_path: Path) -> None:
    """Ten events call nobody, and neither do four bad ones or 0.2 %; an outage does within minutes."""
    few = {series("good", "delivery"): "0x130", series("events", "delivery"): "0x60 10x70"}
    quiet = {series("good", "delivery"): "0x60 36x70", series("events", "delivery"): "0x60 40x70"}
    fast, everyone = (
        "SentinelObjectiveDeliveryFastBurn",
        [f"SentinelObjectiveDelivery{word}Burn" for word in ("Fast", "Slow", "Day", "Week")],
    )
    outage = {
        series("good", "delivery"): "0+1000x120 120000x20",
        series("events", "delivery"): "0+1000x140",
    }
    silent = [{"eval_time": "62m", "alertname": name, "exp_alerts": []} for name in everyone]
    bench = stage(group(DELIVERY))
    alert = next(each for each in bench.alerts if each.name == fast)
    fired = {"exp_labels": {**NAMES, **alert.all_labels}}
    tests = [
        *({"interval": "1m", "input_series": _given(each), "alert_rule_test": silent} for each in (few, quiet)),
        {
            "interval": "1m",
            "input_series": _given(outage),
            "alert_rule_test": [{"eval_time": "123m", "alertname": fast, "exp_alerts": []}],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{fast}",alertstate="firing"}})',
                    "eval_time": "126m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        },
    ]  # fmt: skip
    assert fired["exp_labels"]["severity"] == "page"
    assert _run(bench, tests, tmp_path) == ""


def test_the_whole_window_is_weighted_by_events(tmp_path: Path) -> None:
    """An hour with 10 events that all failed and one with 9,990 good ones are 0.1 %, not 50 %."""
    given = {
        series("good", "delivery"): "0x60 0+333x30",
        series("events", "delivery"): "0+1x10 10x49 10+333x30",
    }
    record = 'slo:sli_error:ratio_rate30d{sloth_slo="delivery"}'
    asked = {
        "expr": f"round({record} * 1000000)",
        "eval_time": "91m",
        "exp_samples": _sample(1000, sloth_window="30d"),
    }
    test = {"interval": "1m", "input_series": _given(given), "promql_expr_test": [asked]}
    assert _run(stage(group(DELIVERY)), [test], tmp_path) == ""


def test_windows_are_no_longer_than_the_objective() -> None:
    """An objective over an hour has neither records nor alerts of a longer one."""
    records = [
        rule.name
        for each in group(GONE)
        for rule in each.rules
        if isinstance(rule, RecordingRule) and "ratio_rate" in rule.name
    ]
    assert [name.partition("ratio_rate")[2] for name in records] == ["5m", "30m", "1h"]


def test_no_objective_has_no_rules() -> None:
    """An alert on what nobody configured would never fire."""
    assert group() == []


def _given(given: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": key, "values": values} for key, values in given.items()]


def _run(bench: Bench, tests: list[dict[str, Any]], folder: Path) -> str:
    path = replace(bench, every="1m").write(folder, "own", bench.groups, tests)
    return run_promtool([path])[str(path)]
