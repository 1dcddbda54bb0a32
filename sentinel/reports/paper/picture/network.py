"""Milestones as a picture: what needs what, how far each is, and which chain is critical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from sentinel.core.component.dependencies import DependsOn, lay_out
from sentinel.reports.paper.picture import svg

BOX, HIGH, GAP, ROW, TOP = 168.0, 46.0, 44.0, 60.0, 10.0
MAX_BOXES = 60
Milestone = Mapping[str, Any]
Places = Mapping[str, tuple[float, float]]


def draw_network(facts: Mapping[str, Any]) -> Markup:
    """The milestones of a progress report from left to right: each right of all that it needs.

    The critical chain is bold; a claim and what nobody measures are dashed.
    """
    milestones: Sequence[Milestone] = facts["milestones"][:MAX_BOXES]
    if not milestones:
        return Markup("")
    places = place_boxes({each["name"]: tuple(each["needs"]) for each in milestones})
    width, height = measure_boxes(places)
    names = {each["name"]: each for each in milestones}
    parts = [
        draw_need(places, need, each["name"], bold=each["on_path"] and names[need]["on_path"])
        for each in milestones
        for need in each["needs"]
        if need in places
    ]
    parts += [part for each in milestones for part in _draw_box(each, *places[each["name"]])]
    path = facts["path"] or {}
    chain = ", ".join(path.get("names", ())) or "none"
    more = len(facts["milestones"]) - len(milestones)
    cut = f"; {more} more are not drawn" if more else ""
    words = f"{len(milestones)} milestones{cut}; critical: {chain}"
    return svg.draw(width, height, "Milestones and what they need", words, parts)


def place_boxes(needs: DependsOn) -> Places:
    """Where the upper left corner of each box is."""
    return {
        name: (10 + column * (BOX + GAP), TOP + row * ROW)
        for name, (column, row) in lay_out(needs).items()
    }


def measure_boxes(places: Places) -> tuple[float, float]:
    """Width and height of a picture that has them all."""
    width = max(x for x, _ in places.values()) + BOX + 10
    return width, max(y for _, y in places.values()) + HIGH + 10


def draw_need(places: Places, need: str, name: str, *, bold: bool) -> Markup:
    """A line to the neighbouring column; a longer one goes below the boxes that are in its way."""
    (from_x, from_y), (to_x, to_y) = places[need], places[name]
    begin, end = (from_x + BOX, from_y + HIGH / 2), (to_x, to_y + HIGH / 2)
    way = [begin, end]
    if to_x - from_x > BOX + GAP + 1:
        channel = from_y + HIGH + (ROW - HIGH) / 2
        way = [begin, (begin[0] + GAP / 2, channel), (to_x - GAP / 2, channel), end]
    return svg.path(way, "ink" if bold else "thin")


def _draw_box(milestone: Milestone, x: float, y: float) -> list[Markup]:
    ratio = milestone["ratio"]
    dashed = milestone["claimed"] or ratio is None
    share = "" if ratio is None else f", {100 * ratio:.0f} %"
    told = f"{milestone['state']}{share}{' claimed' if milestone['claimed'] else ''}"
    kind = "unknown" if milestone["claimed"] else "accent"
    return [
        svg.ground(x, y, BOX, HIGH),
        svg.box(x + 8, y + HIGH - 9, (BOX - 16) * (ratio or 0.0), 4, kind, radius=2),
        svg.frame(x, y, BOX, HIGH, bold=milestone["on_path"], dashed=dashed),
        svg.text(x + 8, y + 17, svg.shorten(milestone["title"], 24), bold=milestone["on_path"]),
        svg.text(x + 8, y + 31, told, size=9.5, soft=True),
    ]
