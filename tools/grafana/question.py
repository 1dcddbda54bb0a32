"""What a dashboard asks: every query of its panels, variables and annotations, read from its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import promql_parser as promql

LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+),\s*(?P<label>\w+)\)")
_SPECIAL = re.compile(r"[\\^$*+?.()|{}\[\]]")
RATE_INTERVAL, RANGE = "$__rate_interval", "$__range"
OPERATORS = (
    (promql.MatchOp.Equal, "="),
    (promql.MatchOp.NotEqual, "!="),
    (promql.MatchOp.Re, "=~"),
    (promql.MatchOp.NotRe, "!~"),
)
Form = Literal["instant", "range", "values"]


@dataclass(frozen=True, slots=True)
class Question:
    """One query and where it stands; `panel` is the id of its panel, 0 for variables and
    annotations, `label` the one whose values a variable offers.
    """

    place: str
    expr: str
    form: Form
    panel: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Filling:
    """What stands for Grafana's variables: a text each, and both intervals as PromQL has them."""

    values: Mapping[str, str]
    rate_interval: str = "20s"
    range: str = "1h"

    def fill(self, expr: str) -> str:
        """The query as Grafana would send it."""
        text = expr.replace(RATE_INTERVAL, self.rate_interval).replace(RANGE, self.range)
        for name, value in self.values.items():
            text = text.replace(f'"${name}"', f'"{value}"')
        return text


def join_values(values: list[str]) -> str:
    """Several values of a variable, as Grafana writes them into a regular expression."""
    escaped = [_SPECIAL.sub(lambda found: f"\\\\{found[0]}", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def list_questions(document: Mapping[str, Any]) -> Iterator[Question]:
    """All of them: variables in their order first, for the others need their values."""
    yield from _of_variables(document)
    for each in document["annotations"]["list"]:
        yield Question(f"annotation {each['name']}", each.get("expr", ""), "range")
    for panel in list_panels(document):
        yield from _of_panel(panel)


def list_panels(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Panels with data; headings have none."""
    yield from (panel for panel in document["panels"] if panel["type"] != "row")


def _of_variables(document: Mapping[str, Any]) -> Iterator[Question]:
    for each in document["templating"]["list"]:
        if each["type"] != "query":
            continue
        found = LABEL_VALUES.fullmatch(each["query"])
        selector, label = (found["selector"], found["label"]) if found else ("", "")
        yield Question(f"variable {each['name']}", selector, "values", label=label)


def _of_panel(panel: Mapping[str, Any]) -> Iterator[Question]:
    for target in panel.get("targets", ()):
        place = f"panel {panel['id']} “{panel.get('title', '')}” {target['refId']}"
        form: Form = "instant" if target.get("instant") else "range"
        yield Question(place, target.get("expr", ""), form, panel["id"])


# -- what a query is made of -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Selector:
    """Series that a query reads: name, labels that it looks at, and the function around its range,
    "" where it has no range.
    """

    name: str
    labels: frozenset[str]
    text: str
    function: str = ""


def parse_query(text: str) -> promql.Expr:
    """The tree of a query that is filled. Raises ValueError."""
    return promql.parse(text)


def list_selectors(tree: promql.Expr) -> list[Selector]:
    """Everything that a query reads."""
    found, ranges = list[Selector](), dict[int, str]()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.Call):
            for each in node.args:
                if isinstance(each, promql.MatrixSelector):
                    ranges[len(found)] = node.func.name
        if isinstance(node, promql.MatrixSelector):
            return
        if isinstance(node, promql.VectorSelector):
            found.append(_describe(node, ranges.get(len(found), "")))

    promql.walk(tree, visit)
    return found


def _describe(node: promql.VectorSelector, function: str) -> Selector:
    """Its own text, too: that of the parser does not escape what stands in quotes."""
    matchers = node.matchers.matchers
    inner = ", ".join(map(_write_matcher, matchers))
    labels = frozenset(each.name for each in matchers)
    return Selector(node.name or "", labels, f"{node.name}{{{inner}}}", function)


def _write_matcher(matcher: promql.Matcher) -> str:
    sign = next(sign for operator, sign in OPERATORS if operator == matcher.op)
    return f"{matcher.name}{sign}{json.dumps(matcher.value)}"


def list_grouping(tree: promql.Expr) -> set[str]:
    """Labels by which a query aggregates."""
    found = set[str]()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql.walk(tree, visit)
    return found
