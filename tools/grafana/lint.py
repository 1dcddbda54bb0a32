"""What a good dashboard keeps to, beyond Grafana's schema: rules after those of Grafana's own
dashboard-linter, and some that only this product can have.

A rule is a function from a dashboard's JSON to sentences, each about one place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from grafana_foundation_sdk.models import units

from tools.grafana.declared import SCRAPED, Declared, list_declared
from tools.grafana.quantity import find_word
from tools.grafana.question import (
    RANGE,
    RATE_INTERVAL,
    Filling,
    Question,
    Selector,
    list_grouping,
    list_panels,
    list_questions,
    list_selectors,
    parse_query,
)

Document = Mapping[str, Any]
Rule = Callable[[Document], Iterator[str]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
NARROWING = ("datasource", "platform", "component", "check")
RUNBOOKS = Path(__file__).resolve().parents[2] / "runbooks"
COLUMNS = 24
RATES = frozenset({"rate", "irate", "increase", "resets", "changes"})
UNITS = frozenset(
    getattr(units, name) for name in get_type_hints(units) if isinstance(getattr(units, name), str)
)
_INTERVAL = re.compile(r"\[([^\]]*)\]")
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_RUNBOOK = re.compile(r"\$\{sentinel\}/runbooks/([\w-]+)")
_FILLING = Filling(dict.fromkeys(("platform", "component", "check"), ".+"))


def find_faults(document: Document) -> list[str]:
    """Every sentence of every rule, with the name of the rule before it."""
    return [f"{name}: {text}" for name, rule in RULES.items() for text in rule(document)]


# -- the whole dashboard ---------------------------------------------------------------------------


def check_identity(document: Document) -> Iterator[str]:
    """A stable uid, the tag by which dashboards find each other, a description, not editable."""
    if not re.fullmatch(r"sentinel-[a-z]{2,31}", document.get("uid", "")):
        yield "uid is not sentinel-NAME: links and alerts name it"
    if "sentinel" not in document.get("tags", ()):
        yield "it has no tag sentinel, so no other dashboard leads to it"
    if not document.get("description"):
        yield "it has no description"
    if document.get("editable") is not False:
        yield "it is editable: what somebody edits is gone at the next provisioning"


def check_variables(document: Document) -> Iterator[str]:
    """Data source, platform, component and check can be chosen, in this order."""
    names = [each["name"] for each in document["templating"]["list"]]
    if tuple(names[: len(NARROWING)]) != NARROWING:
        yield f"variables begin with {', '.join(names)} and not with {', '.join(NARROWING)}"


def check_source(document: Document) -> Iterator[str]:
    """Whatever asks, asks the data source that was chosen."""
    asking = [each for each in document["templating"]["list"] if each["type"] == "query"]
    asking += document["annotations"]["list"]
    for panel in list_panels(document):
        asking += [panel, *panel.get("targets", ())]
    for each in asking:
        if each.get("datasource") != SOURCE:
            name = each.get("title") or each.get("name") or each.get("refId")
            yield f"{name} asks {each.get('datasource')} and not {SOURCE}"


def check_links(document: Document) -> Iterator[str]:
    """It leads to the others with choice and time, and to runbooks that are on the shelf."""
    others = [each for each in document.get("links", ()) if each["type"] == "dashboards"]
    if not any(each["includeVars"] and each["keepTime"] for each in others):
        yield "it does not lead to the other dashboards with choice and time"
    for panel in list_panels(document):
        for link in panel.get("links", ()):
            found = _RUNBOOK.fullmatch(link.get("url", ""))
            if found is None or not (RUNBOOKS / f"{found[1]}.md").is_file():
                yield f"panel “{panel['title']}” leads to {link.get('url')}, and there is no such runbook"


def check_places(document: Document) -> Iterator[str]:
    """Ids are used once, and panels stand side by side within the grid."""
    counts = Counter(panel["id"] for panel in document["panels"])
    yield from (
        f"id {number} is used {count} times" for number, count in counts.items() if count > 1
    )
    taken = dict[tuple[int, int], int]()
    for panel in document["panels"]:
        at = panel["gridPos"]
        if at["x"] + at["w"] > COLUMNS:
            yield f"panel {panel['id']} stands out of the grid"
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                other = taken.setdefault((x, y), panel["id"])
                if other != panel["id"]:
                    yield f"panel {panel['id']} lies over panel {other}"
                    return


# -- panels ----------------------------------------------------------------------------------------


def check_title(document: Document) -> Iterator[str]:
    """Each panel says what it shows, and no two the same."""
    counts = Counter(panel.get("title", "") for panel in list_panels(document))
    if counts[""]:
        yield f"{counts['']} panels have no title"
    yield from (f"“{title}” is there {count} times" for title, count in counts.items() if count > 1)


def check_description(document: Document) -> Iterator[str]:
    """Each panel says how to read it, in whole sentences."""
    for panel in list_panels(document):
        text = panel.get("description", "")
        if not text.endswith((".", "?")) or text == panel.get("title"):
            yield f"panel “{panel.get('title')}” has no description in whole sentences"


def check_unit(document: Document) -> Iterator[str]:
    """Each panel has a unit that Grafana knows, or a word behind its figure."""
    for panel in list_panels(document):
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        if unit not in UNITS and not find_word(str(unit)):
            yield f"panel “{panel.get('title')}” has the unit {unit}, which Grafana does not know"


def check_target(document: Document) -> Iterator[str]:
    """Each panel asks something; a table one moment, a line of time a range."""
    for panel in list_panels(document):
        targets = panel.get("targets", ())
        if not targets or not all(each.get("expr") for each in targets):
            yield f"panel “{panel.get('title')}” asks nothing"
        for each in targets:
            if bool(each.get("instant")) is (panel["type"] == "timeseries"):
                yield f"panel “{panel.get('title')}” asks for the wrong form of answer"


# -- queries ---------------------------------------------------------------------------------------


def check_promql(document: Document) -> Iterator[str]:
    """Each query is PromQL."""
    for question in list_questions(document):
        try:
            parse_query(_FILLING.fill(question.expr))
        except ValueError as error:
            yield f"{question.place}: {str(error).splitlines()[0]}"


def check_interval(document: Document) -> Iterator[str]:
    """Rates over time are of Grafana's interval, and figures of the range that is shown."""
    for question in list_questions(document):
        expected = RANGE if question.form == "instant" else RATE_INTERVAL
        for found in _INTERVAL.findall(question.expr):
            if found != expected:
                yield f"{question.place} looks at [{found}] and not at [{expected}]"


def check_counters(document: Document) -> Iterator[str]:
    """Counters are looked at by their growth, gauges never; what must stay 0 may be told as it is."""
    for question, selector, declared in _list_read(document):
        is_grown = selector.function in RATES
        if (
            declared.type == "counter"
            and not is_grown
            and not declared.name.endswith("failures_total")
        ):
            yield f"{question.place}: {declared.name} is a counter and stands there without rate()"
        if declared.type != "counter" and is_grown:
            yield f"{question.place}: {declared.name} is no counter, and {selector.function}() of it"


def check_narrowing(document: Document) -> Iterator[str]:
    """Each query looks at the platforms that were chosen, but for what rules have recorded."""
    for question, selector, declared in _list_read(document):
        if declared.labels is None or question.place == "variable platform":
            continue
        if "platform" not in selector.labels:
            yield f"{question.place}: {selector.name} of every platform"


def check_metrics(document: Document) -> Iterator[str]:
    """Each metric is one that the product declares."""
    for question, selector in _list_selectors(document):
        if selector.name not in list_declared():
            yield f"{question.place}: nothing declares {selector.name}"


def check_labels(document: Document) -> Iterator[str]:
    """Each label that a query looks at, aggregates by or shows is declared for one of its metrics."""
    for question in list_questions(document):
        metrics = [list_declared().get(each.name) for each in _selectors_of(question)]
        if any(each is None or each.labels is None for each in metrics):
            continue
        known = SCRAPED.union(*(each.labels for each in metrics if each and each.labels))
        for label in sorted(_labels_of(question) - known):
            yield f"{question.place}: no metric of it has the label {label}"


def check_legends(document: Document) -> Iterator[str]:
    """Lines of several series are told apart by labels that the query keeps."""
    for panel in list_panels(document):
        for target in panel.get("targets", ()):
            shown = set(_LEGEND.findall(target.get("legendFormat", "")))
            kept = _grouping_of(target.get("expr", ""))
            if panel["type"] == "timeseries" and (not target.get("legendFormat") or shown - kept):
                yield f"panel “{panel['title']}” {target['refId']} shows {sorted(shown - kept)}"


def _list_selectors(document: Document) -> Iterator[tuple[Question, Selector]]:
    for question in list_questions(document):
        yield from ((question, each) for each in _selectors_of(question))


def _list_read(document: Document) -> Iterator[tuple[Question, Selector, Declared]]:
    for question, selector in _list_selectors(document):
        declared = list_declared().get(selector.name)
        if declared is not None:
            yield question, selector, declared


def _selectors_of(question: Question) -> list[Selector]:
    """None of what is no PromQL: another rule tells that."""
    try:
        return list_selectors(parse_query(_FILLING.fill(question.expr)))
    except ValueError:
        return []


def _grouping_of(expr: str) -> set[str]:
    try:
        return list_grouping(parse_query(_FILLING.fill(expr)))
    except ValueError:
        return set()


def _labels_of(question: Question) -> set[str]:
    looked = {label for each in _selectors_of(question) for label in each.labels}
    shown = {question.label} if question.label else set()
    return looked | shown | _grouping_of(question.expr)


RULES: Mapping[str, Rule] = {
    "identity": check_identity,
    "variables": check_variables,
    "source": check_source,
    "links": check_links,
    "places": check_places,
    "title": check_title,
    "description": check_description,
    "unit": check_unit,
    "target": check_target,
    "promql": check_promql,
    "interval": check_interval,
    "counters": check_counters,
    "narrowing": check_narrowing,
    "metrics": check_metrics,
    "labels": check_labels,
    "legends": check_legends,
}
"""All of them by name."""
