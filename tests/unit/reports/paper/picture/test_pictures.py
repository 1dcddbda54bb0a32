"""Pictures: the same bytes for the same facts, words for who hears them, inert whatever the names.

`SENTINEL_GOLDEN=write pytest …` writes the golden files anew: look at each before it is committed.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sentinel.reports.paper.picture.dependencies import draw_dependencies
from sentinel.reports.paper.picture.network import MAX_BOXES, draw_network
from sentinel.reports.paper.picture.svg import list_ticks, name_tick
from sentinel.reports.paper.picture.timeline import MAX_LANES, draw_timeline
from sentinel.reports.paper.picture.trend import draw_trend
from sentinel.reports.paper.picture.uptime import draw_key, draw_uptime

GOLDEN = Path(__file__).with_name("golden")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = '</text><script>alert(1)</script>" onload="x'
SVG = "{http://www.w3.org/2000/svg}"


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def uptime(name: str = "agent-1") -> dict[str, Any]:
    states = (
        ("up", 0.5),
        ("unobserved", 0.1),
        ("down", 0.1),
        ("degraded", 0.1),
        ("maintenance", 0.1),
        ("up", 0.1),
    )
    spans, offset = [], 0.0
    for status, width in states:
        spans.append({"status": status, "offset": offset, "width": width})
        offset += width
    seconds = {state: 10.0 for state, _ in states}
    return {"component": name, "spans": spans, **seconds, "up": 60.0}


def timeline(text: str = "restart 1 of 3") -> dict[str, Any]:
    events = [("opened", 0), ("fault", 0), ("attempt", 5), ("recovered", 90), ("note", 300)]
    return {"timeline": [{"at": at(s), "event": e, "text": text} for e, s in events]}


def milestone(name: str, state: str, ratio: float | None, *needs: str, **more: Any) -> dict:
    plain = {"title": name, "claimed": False, "on_path": False}
    return {"name": name, "state": state, "ratio": ratio, "needs": needs, **plain, **more}


def network(title: str = "Rows copied") -> dict[str, Any]:
    milestones = [
        milestone("schema", "done", 1.0),
        milestone("page", "in progress", 0.5, claimed=True, on_path=True),
        milestone("rows", "in progress", 1 / 3, "schema", title=title),
        milestone("api", "not measured", None, "schema"),
        milestone("tests", "waiting", 0.0, "page", "rows", "api", on_path=True),
        milestone("launch", "waiting", 0.0, "tests", on_path=True),
    ]
    return {"milestones": milestones, "path": {"names": ["page", "tests", "launch"]}}


def trend(name: str = "assignment p99") -> dict[str, Any]:
    values = [0.02, 0.03, 0.25, 0.04, 0.02]
    points = [{"at": at(60 * i), "value": value} for i, value in enumerate(values)]
    return {
        "name": name,
        "check": "tasks",
        "unit": "seconds",
        "points": points,
        "target": 0.1,
        "target_name": "target",
    }


PICTURES = {
    "uptime": (draw_uptime, uptime),
    "timeline": (draw_timeline, timeline),
    "network": (draw_network, network),
    "trend": (draw_trend, trend),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was_looked_at(name: str) -> None:
    """Byte by byte."""
    draw, facts = PICTURES[name]
    drawn, file = str(draw(facts())), GOLDEN / f"{name}.svg"
    if os.environ.get("SENTINEL_GOLDEN") == "write":
        file.write_text(drawn + "\n")
    assert drawn + "\n" == file.read_text()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_what_it_shows(name: str) -> None:
    """Title and description come first, and there is no number that a machine may round otherwise."""
    draw, facts = PICTURES[name]
    drawn = str(draw(facts()))
    root = ElementTree.fromstring(drawn)
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert all(child.text for child in root[:2])
    assert root.get("role") == "img"
    assert not re.search(r"\d\.\d{3}", drawn)


@pytest.mark.parametrize("name", PICTURES)
def test_hostile_names_stay_text(name: str) -> None:
    """Neither an element nor an attribute comes out of a name."""
    draw, facts = PICTURES[name]
    root = ElementTree.fromstring(str(draw(facts(HOSTILE))))
    known = {"svg", "title", "desc", "rect", "line", "polyline", "circle", "text"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= known
    assert not any(key.startswith("on") for element in root.iter() for key in element.attrib)


def test_how_bad_it_was_is_a_height() -> None:
    """On paper without colour each state differs from the others."""
    heights = []
    for state in ("up", "degraded", "down", "maintenance", "unobserved"):
        (rect,) = ElementTree.fromstring(str(draw_key(state))).iter(f"{SVG}rect")
        heights.append(float(rect.get("height", "0")))
    assert len(set(heights)) == 5
    assert max(heights) == heights[2]


def test_what_is_too_much_for_a_page_is_said() -> None:
    """Of many lanes the last one is shared, of many milestones it is said how many are not drawn."""
    events = [{"at": at(n), "event": f"kind {n}", "text": "x"} for n in range(40)]
    drawn = str(draw_timeline({"timeline": events}))
    assert drawn.count('text-anchor="end"') == MAX_LANES
    assert ">other<" in drawn
    many = [milestone(f"m{n}", "ready", 0.0) for n in range(MAX_BOXES + 7)]
    assert "7 more are not drawn" in str(draw_network({"milestones": many, "path": None}))


def test_nothing_to_draw_is_no_picture() -> None:
    """One moment is no timeline, one point no curve, no milestone no network."""
    assert draw_timeline({"timeline": timeline()["timeline"][:1]}) == ""
    assert draw_trend({**trend(), "points": trend()["points"][:1]}) == ""
    assert draw_network({"milestones": [], "path": None}) == ""


@pytest.mark.parametrize(
    ("seconds", "first"),
    [
        (40, "12:00:10"),
        (1200, "12:05"),
        (3 * 3600, "12:30"),
        (5 * 86400, "02 Mar"),
        (400 * 86400, ""),
    ],
)
def test_ticks_are_round_and_few(seconds: float, first: str) -> None:
    """At most seven of them, whatever the length."""
    ticks = list_ticks(NOON, NOON + timedelta(seconds=seconds))
    assert 0 < len(ticks) <= 7
    assert not first or name_tick(ticks[0], seconds) == first


def test_components_and_what_they_need() -> None:
    """Each right of what it needs; what is down is bold, and is said; hostile names are text."""
    names = [
        ("bus", "down", []),
        (HOSTILE, "up", ["bus", "gone"]),
        ("far", "stale", [HOSTILE, "bus"]),
    ]
    found = [{"name": name, "status": status, "depends_on": needs} for name, status, needs in names]
    root = ElementTree.fromstring(draw_dependencies(found))
    assert root.findtext(f"{SVG}desc") == "3 components; down: bus"
    boxes = [
        float(each.attrib["x"])
        for each in root.iter(f"{SVG}rect")
        if each.attrib["class"] == "frame"
    ]
    assert boxes == sorted(boxes)
    assert len(set(boxes)) == 3
    lines = [each.attrib["class"] for each in root.iter(f"{SVG}polyline")]
    assert sorted(lines) == ["ink", "ink", "thin"]
    assert draw_dependencies([]) == ""
    many = [{"name": f"c{n}", "status": "up", "depends_on": []} for n in range(MAX_BOXES + 5)]
    assert "5 more are not drawn" in draw_dependencies(many)
