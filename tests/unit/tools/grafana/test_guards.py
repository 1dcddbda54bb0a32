"""What guards the dashboards notices what it is for: each mistake is made once."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tools.grafana.lint import RULES, find_faults
from tools.grafana.question import Filling, join_values, list_selectors, parse_query
from tools.grafana.render import read_dashboards
from tools.grafana.schema import find_violations, make_schema

DOCUMENT = read_dashboards()["overview"]
Document = dict[str, Any]
Change = Callable[[Document], object]


def changed(change: Change) -> Document:
    """The overview with one mistake."""
    document = deepcopy(DOCUMENT)
    change(document)
    return document


def panel(document: Document, kind: str = "stat") -> Document:
    """The first panel of a type."""
    found: Document = next(each for each in document["panels"] if each["type"] == kind)
    return found


def ask(expr: str, kind: str = "stat") -> Change:
    """The first panel of a type asks this."""
    return lambda document: panel(document, kind)["targets"][0].update(expr=expr)


LINTED: dict[str, tuple[str, Change]] = {
    "uid": ("identity", lambda d: d.update(uid="Overview")),
    "tag": ("identity", lambda d: d.update(tags=[])),
    "no description": ("identity", lambda d: d.pop("description")),
    "editable": ("identity", lambda d: d.update(editable=True)),
    "no variable": ("variables", lambda d: d["templating"]["list"].pop(2)),
    "source of a panel": ("source", lambda d: panel(d)["datasource"].update(uid="prometheus")),
    "source of a target": ("source", lambda d: panel(d)["targets"][0].pop("datasource")),
    "source of a mark": ("source", lambda d: d["annotations"]["list"][0]["datasource"].clear()),
    "no way on": ("links", lambda d: d["links"].pop(0)),
    "choice is lost": ("links", lambda d: d["links"][0].update(includeVars=False)),
    "no such runbook": (
        "links",
        lambda d: panel(d)["links"][0].update(url="${sentinel}/runbooks/x"),
    ),
    "same id": ("places", lambda d: panel(d, "table").update(id=1)),
    "out of the grid": ("places", lambda d: panel(d)["gridPos"].update(x=23)),
    "one over another": ("places", lambda d: panel(d, "table")["gridPos"].update(y=0)),
    "no title": ("title", lambda d: panel(d).pop("title")),
    "same title": ("title", lambda d: panel(d).update(title="Open incidents")),
    "no sentence": ("description", lambda d: panel(d).update(description="messages")),
    "no unit": ("unit", lambda d: panel(d)["fieldConfig"]["defaults"].pop("unit")),
    "unknown unit": ("unit", lambda d: panel(d)["fieldConfig"]["defaults"].update(unit="bananas")),
    "unit without a word": (
        "unit",
        lambda d: panel(d)["fieldConfig"]["defaults"].update(unit="suffix:"),
    ),
    "no target": ("target", lambda d: panel(d).update(targets=[])),
    "no query": ("target", ask("")),
    "line of one point": (
        "target",
        lambda d: panel(d, "timeseries")["targets"][0].update(instant=True),
    ),
    "no PromQL": ("promql", ask("sum(rate(sentinel_bus_settled_total[$__range]) by")),
    "no expression": ("promql", ask('sentinel_agents{check=~"$check", source=~"["}')),
    "own interval": ("interval", ask("rate(sentinel_bus_settled_total[5m])")),
    "range as an interval": (
        "interval",
        ask("rate(sentinel_bus_settled_total[$__range])", "timeseries"),
    ),
    "counter as it is": ("counters", ask('sentinel_bus_settled_total{platform=~"$platform"}')),
    "growth of a gauge": ("counters", ask("rate(sentinel_agents[$__range])")),
    "every platform": ("narrowing", ask('sentinel_agents{check=~"$check"}')),
    "undeclared": ("metrics", ask("sentinel_bus_setled_total")),
    "undeclared of a variable": (
        "metrics",
        lambda d: d["templating"]["list"][1].update(query="label_values(sentinel_x, platform)"),
    ),
    "unknown label": ("labels", ask('sentinel_agents{platform=~"$platform", queue="a"}')),
    "unknown group": ("labels", ask('sum by (queue) (sentinel_agents{platform=~"$platform"})')),
    "no legend": ("legends", lambda d: panel(d, "timeseries")["targets"][0].pop("legendFormat")),
    "legend of nothing": (
        "legends",
        lambda d: panel(d, "timeseries")["targets"][0].update(legendFormat="{{stream}}"),
    ),
}


@pytest.mark.parametrize("mistake", LINTED)
def test_lint_notices(mistake: str) -> None:
    """The rule that is for it."""
    rule, change = LINTED[mistake]
    assert rule in {each.split(":")[0] for each in find_faults(changed(change))}


def test_every_rule_is_tried() -> None:
    """A new rule needs a mistake here."""
    assert {rule for rule, _ in LINTED.values()} == RULES.keys()


REFUSED: dict[str, Change] = {
    "type of a title": lambda d: d.update(title=3),
    "no templating": lambda d: d.pop("templating"),
    "unknown key": lambda d: d.update(colour="red"),
    "place": lambda d: panel(d)["gridPos"].update(x="left"),
    "unknown key of a panel": lambda d: panel(d).update(colour="red"),
    "unknown panel": lambda d: panel(d).update(type="graph"),
    "option of another type": lambda d: panel(d)["options"].update(showHeader=True),
    "value of an option": lambda d: panel(d)["options"].update(colorMode="loud"),
    "unknown key of a field": lambda d: panel(d)["fieldConfig"]["defaults"].update(units="s"),
    "drawing": lambda d: panel(d, "timeseries")["fieldConfig"]["defaults"]["custom"].update(
        drawStyle="dots"
    ),
    "query": lambda d: panel(d)["targets"][0].update(expr=1),
    "unknown key of a query": lambda d: panel(d)["targets"][0].update(query="up"),
    "format": lambda d: panel(d, "table")["targets"][0].update(format="csv"),
    "variable": lambda d: d["templating"]["list"][1].update(type="promql"),
    "mark": lambda d: d["annotations"]["list"][0].pop("iconColor"),
    "kind of a link": lambda d: d["links"][0].update(type="page"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_schema_refuses(mistake: str) -> None:
    """Whatever Grafana's definitions do not name."""
    assert find_violations(changed(REFUSED[mistake])) != []


def test_schema_is_closed() -> None:
    """Every object of the SDK's models is known to the last key."""
    definitions = make_schema()["definitions"]
    assert len(definitions) > 50
    for name, each in definitions.items():
        assert each["additionalProperties"] is False, name
        assert each["properties"], name


def test_several_values_are_one_expression() -> None:
    """As Grafana writes them: escaped twice, for PromQL's string and for its expression."""
    assert join_values(["a"]) == "a"
    assert join_values(["a.b", "c|d"]) == "(a\\\\.b|c\\\\|d)"
    filled = Filling({"check": join_values(["a.b", "c"])}).fill('up{check=~"$check"}')
    (selector,) = list_selectors(parse_query(filled))
    assert selector.text == 'up{check=~"(a\\\\.b|c)"}'


def test_everything_that_a_query_reads_is_seen() -> None:
    """Also on the right, in ranges, and in subqueries."""
    text = "sum(rate(a_total[5m])) / (b > 0) or max_over_time(c[1h:1m]) - on (x) d"
    found = list_selectors(parse_query(text))
    assert [(each.name, each.function) for each in found] == [
        ("a_total", "rate"),
        ("b", ""),
        ("c", ""),
        ("d", ""),
    ]
