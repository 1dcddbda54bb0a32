"""A dashboard as a resource of schema v2, Grafana 13's own: what `classic.py` makes, in the words of v2.

Grafana does the same when it loads a classic file. Panels become elements that a layout names, rows
become a layout of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.grafana.board import Board
from tools.grafana.classic import build_classic
from tools.grafana.question import list_panels

API = "dashboard.grafana.app/v2"
SOURCE = {"name": "${datasource}"}
SORTED, REFRESHED, CURSOR = "alphabeticalAsc", "onTimeRangeChanged", "Crosshair"
Document = dict[str, Any]


def build_v2(board: Board) -> Document:
    """Its manifest."""
    classic = build_classic(board)
    return {
        "apiVersion": API,
        "kind": "Dashboard",
        "metadata": {"name": board.uid},
        "spec": _translate(classic),
    }


def _translate(classic: Document) -> Document:
    return {
        "title": classic["title"],
        "description": classic["description"],
        "tags": classic["tags"],
        "editable": classic["editable"],
        "preload": False,
        "cursorSync": CURSOR,
        "timeSettings": {
            "timezone": classic["timezone"],
            "from": classic["time"]["from"],
            "to": classic["time"]["to"],
            "autoRefresh": classic["refresh"],
            "autoRefreshIntervals": ["5s", "10s", "30s", "1m", "5m", "15m"],
            "hideTimepicker": False,
            "fiscalYearStartMonth": 0,
        },
        "links": classic["links"],
        "variables": [_make_variable(each) for each in classic["templating"]["list"]],
        "annotations": [_make_annotation(each) for each in classic["annotations"]["list"]],
        "elements": {_name(each): _make_element(each) for each in list_panels(classic)},
        "layout": _make_layout(classic["panels"]),
    }


def _name(panel: Mapping[str, Any]) -> str:
    return f"panel-{panel['id']}"


def _kind(kind: str, spec: Document) -> Document:
    return {"kind": kind, "spec": spec}


def _make_query(spec: Document) -> Document:
    return {
        "kind": "DataQuery",
        "group": "prometheus",
        "version": "v0",
        "datasource": SOURCE,
        "spec": spec,
    }


def _make_variable(each: Mapping[str, Any]) -> Document:
    spec: Document = {
        "name": each["name"],
        "label": each["label"],
        "hide": "dontHide",
        "skipUrlSync": False,
        "current": each.get("current", {"text": "", "value": ""}),
    }
    if each["type"] == "textbox":
        return _kind("TextVariable", {**spec, "query": each["query"]})
    choice = {
        "regex": "",
        "options": [],
        "multi": each["multi"],
        "includeAll": each["includeAll"],
        "allowCustomValue": True,
        "refresh": REFRESHED,
    }
    if each["type"] == "datasource":
        return _kind("DatasourceVariable", {**spec, **choice, "pluginId": each["query"]})
    every = {"allValue": each["allValue"]} if "allValue" in each else {}
    asked = {"query": each["query"], "refId": "Variable"}
    query = {"query": _make_query(asked), "definition": each["definition"], "sort": SORTED}
    return _kind("QueryVariable", {**spec, **choice, **every, **query})


def _make_annotation(each: Mapping[str, Any]) -> Document:
    kept = ("titleFormat", "tagKeys", "step", "useValueForTime")
    spec = {
        "name": each["name"],
        "enable": each["enable"],
        "hide": each["hide"],
        "iconColor": each["iconColor"],
        "query": _make_query({"expr": each["expr"], "refId": "Anno"}),
        "legacyOptions": {name: each[name] for name in kept},
    }
    return _kind("AnnotationQuery", spec)


def _make_element(panel: Mapping[str, Any]) -> Document:
    changes = [
        {"kind": "Transformation", "group": each["id"], "spec": {"options": each["options"]}}
        for each in panel.get("transformations", ())
    ]
    data = {
        "queries": [_make_target(each) for each in panel["targets"]],
        "transformations": changes,
        "queryOptions": {},
    }
    shown = {"options": panel.get("options", {}), "fieldConfig": panel["fieldConfig"]}
    links = [
        {"title": each["title"], "url": each["url"], "targetBlank": each["targetBlank"]}
        for each in panel.get("links", ())
    ]
    spec = {
        "id": panel["id"],
        "title": panel["title"],
        "description": panel["description"],
        "links": links,
        "data": _kind("QueryGroup", data),
        "vizConfig": {"kind": "VizConfig", "group": panel["type"], "version": "", "spec": shown},
    }
    return _kind("Panel", spec)


def _make_target(target: Mapping[str, Any]) -> Document:
    asked = {key: value for key, value in target.items() if key not in {"refId", "datasource"}}
    spec = {"refId": target["refId"], "hidden": False, "query": _make_query(asked)}
    return _kind("PanelQuery", spec)


def _make_layout(panels: Sequence[Mapping[str, Any]]) -> Document:
    """Rows by their headings; what stands before the first heading has none."""
    rows: list[tuple[str, list[Mapping[str, Any]]]] = [("", [])]
    for panel in panels:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    made = [_make_row(title, inside) for title, inside in rows if inside]
    return _kind("RowsLayout", {"rows": made})


def _make_row(title: str, panels: Sequence[Mapping[str, Any]]) -> Document:
    top = min(panel["gridPos"]["y"] for panel in panels)
    items = [_make_item(panel, top) for panel in panels]
    grid = _kind("GridLayout", {"items": items})
    spec = {"title": title, "collapse": False, "hideHeader": not title, "layout": grid}
    return _kind("RowsLayoutRow", spec)


def _make_item(panel: Mapping[str, Any], top: int) -> Document:
    at = panel["gridPos"]
    spec = {
        "x": at["x"],
        "y": at["y"] - top,
        "width": at["w"],
        "height": at["h"],
        "element": {"kind": "ElementReference", "name": _name(panel)},
    }
    return _kind("GridLayoutItem", spec)
