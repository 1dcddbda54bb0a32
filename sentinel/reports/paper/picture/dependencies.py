"""Components as a picture: what needs what, and how each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from sentinel.reports.paper.picture import svg
from sentinel.reports.paper.picture.network import (
    BOX,
    HIGH,
    MAX_BOXES,
    draw_need,
    measure_boxes,
    place_boxes,
)

_LEAST = 800.0
"""Width of the smallest picture: two boxes are not to be as large as a page."""
_EDGE = 7.0
"""Width of the bar at the left of a box that bears the colour of its status."""


def draw_dependencies(components: Sequence[Mapping[str, Any]]) -> Markup:
    """Components with `name`, `status` and `depends_on`, from left to right: each right of all that
    it needs. What is down is bold, and so is each line from something that is down.
    """
    shown = components[:MAX_BOXES]
    if not shown:
        return Markup("")
    names = {each["name"] for each in shown}
    needs = {
        each["name"]: tuple(need for need in each["depends_on"] if need in names) for each in shown
    }
    places = place_boxes(needs)
    down = {each["name"] for each in shown if each["status"] == "down"}
    parts = [
        draw_need(places, need, name, bold=need in down)
        for name, needed in needs.items()
        for need in needed
    ]
    parts += [part for each in shown for part in _draw_component(each, *places[each["name"]])]
    more = len(components) - len(shown)
    words = f"{len(shown)} components; down: {', '.join(sorted(down)) or 'none'}"
    words += f"; {more} more are not drawn" if more else ""
    width, height = measure_boxes(places)
    return svg.draw(max(width, _LEAST), height, "Components and what they need", words, parts)


def _draw_component(component: Mapping[str, Any], x: float, y: float) -> list[Markup]:
    name, status = str(component["name"]), str(component["status"])
    bold = status == "down"
    return [
        svg.ground(x, y, BOX, HIGH),
        svg.box(x, y, _EDGE, HIGH, status, radius=3),
        svg.frame(x, y, BOX, HIGH, bold=bold, dashed=status in {"unknown", "stale"}),
        svg.text(x + 14, y + 19, svg.shorten(name, 22), bold=bold),
        svg.text(x + 14, y + 35, status, size=10, soft=True),
    ]
