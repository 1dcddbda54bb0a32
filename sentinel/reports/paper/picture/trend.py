"""A figure over time as a curve, with its largest and its last value in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from sentinel.core.quantity import format_duration
from sentinel.reports.paper.picture import svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900.0, 150.0, 92.0, 12.0, 22.0, 22.0


def draw_trend(trend: Mapping[str, Any]) -> Markup:
    """The curve of one trend; a target is a bold line with its name."""
    points = [(svg.read_at(each["at"]), float(each["value"])) for each in trend["points"]]
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return Markup("")
    return _draw_curve(points, trend)


def _draw_curve(points: Sequence[tuple[datetime, float]], trend: Mapping[str, Any]) -> Markup:
    title, unit, target = f"{trend['name']} ({trend['check']})", trend["unit"], trend["target"]
    top = max([value for _, value in points] + ([target] if target is not None else []))
    low = min(0.0, *(value for _, value in points))
    plot = _Plot(points[0][0], points[-1][0], low, top if top > low else low + 1.0)
    peak = max(points, key=lambda point: point[1])
    words = (
        f"{len(points)} points; at most {_show(peak[1], unit)} at {peak[0]:%H:%M:%S} UTC,"
        f" at the end {_show(points[-1][1], unit)}"
    )
    parts = [
        svg.text(LEFT, 13, title, bold=True, most=70),
        svg.text(WIDTH - RIGHT, 13, words, anchor="end", soft=True, most=100),
        *plot.draw_axes(unit),
        svg.path(((plot.x(at), plot.y(value)) for at, value in points)),
        svg.dot(plot.x(peak[0]), plot.y(peak[1]), "accent", f"at most {_show(peak[1], unit)}"),
    ]
    if target is not None:
        y = plot.y(target)
        told = f"{trend['target_name']}: {_show(target, unit)}"
        parts.append(svg.line(LEFT, y, WIDTH - RIGHT, y, bold=True))
        parts.append(svg.text(LEFT + 6, y + 12 if y < TOP + 14 else y - 4, told))
    return svg.draw(WIDTH, HEIGHT, title, words, parts)


class _Plot:
    """Where an instant and a value are on paper."""

    def __init__(self, began: datetime, ended: datetime, low: float, top: float) -> None:
        self._began, self._ended, self._low, self._top = began, ended, low, top

    def x(self, at: datetime) -> float:
        share = (at - self._began) / (self._ended - self._began)
        return LEFT + share * (WIDTH - RIGHT - LEFT)

    def y(self, value: float) -> float:
        share = (value - self._low) / (self._top - self._low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    def draw_axes(self, unit: str) -> list[Markup]:
        parts = []
        for share in (0.0, 0.5, 1.0):
            value = self._low + share * (self._top - self._low)
            parts.append(svg.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value)))
            label = _show(value, unit)
            parts.append(svg.text(LEFT - 8, self.y(value) + 4, label, anchor="end", soft=True))
        seconds = (self._ended - self._began).total_seconds()
        for at in svg.list_ticks(self._began, self._ended):
            name = svg.name_tick(at, seconds)
            parts.append(svg.text(self.x(at), HEIGHT - 6, name, anchor="middle", soft=True))
        return parts


def _show(value: float, unit: str) -> str:
    if unit == "seconds":
        return "0 s" if value == 0 else format_duration(value)
    if unit == "ratio":
        return f"{100 * value:.4g} %"
    return f"{value:,.4g}"
