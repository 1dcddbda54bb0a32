"""How a component spent a period: a bar whose height is how bad it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from sentinel.core.quantity import format_duration
from sentinel.reports.paper.picture.svg import box, draw

WIDTH, HEIGHT = 1000.0, 14.0
_RISE = {
    "up": 0.35,
    "degraded": 0.7,
    "down": 1.0,
    "maintenance": 0.22,
    "unobserved": 0.12,
    "unknown": 0.12,
}
"""Share of the height: up is low, down is full, and what nobody saw is a line."""
_STATES = ("up", "degraded", "down", "maintenance", "unobserved")


def draw_uptime(uptime: Mapping[str, Any]) -> Markup:
    """The bar of one component."""
    words = ", ".join(f"{state} {_seconds(uptime[state])}" for state in _STATES)
    parts = [
        _span(each["status"], each["offset"] * WIDTH, max(each["width"] * WIDTH, 2.0))
        for each in uptime["spans"]
    ]
    return draw(WIDTH, HEIGHT, str(uptime["component"]), words, parts, "strip")


def draw_key(state: str) -> Markup:
    """What a state looks like, for the legend."""
    return draw(24, HEIGHT, state, f"how {state} is drawn", [_span(state, 0, 24)], "key")


def _span(state: str, x: float, width: float) -> Markup:
    rise = _RISE.get(state, 0.12) * HEIGHT
    return box(x, HEIGHT - rise, width, rise, state, state)


def _seconds(value: float) -> str:
    return "0 s" if value == 0 else format_duration(value)
