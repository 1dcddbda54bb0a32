"""One bar of an uptime: how its time was spent, from the ground up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from sentinel.reports.paper.picture import svg

WIDTH, HEIGHT = 10.0, 40.0
LEAST = 5.0
"""Height of the shortest piece of what was bad: a minute in a day is to be seen."""
_ORDER = ("down", "degraded", "maintenance", "up", "unobserved")


def draw_bar(bar: Mapping[str, Any]) -> Markup:
    """A bar of `up`, `degraded`, … in seconds. What it says in words stands beside it."""
    total = sum(bar[state] for state in _ORDER)
    y, parts = HEIGHT, list[Markup]()
    for state, high in _measure(bar, total):
        y -= high
        parts.append(svg.box(0, max(y, 0), WIDTH, high, state))
    return Markup(
        '<svg class="bar" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true"'
        ' focusable="false">{}</svg>'
    ).format(svg.number(WIDTH), svg.number(HEIGHT), Markup("").join(parts))


def _measure(bar: Mapping[str, Any], total: float) -> Iterator[tuple[str, float]]:
    """Each state with its height; what was bad takes some of what was not."""
    if total <= 0:
        return
    highs = {state: HEIGHT * bar[state] / total for state in _ORDER if bar[state] > 0}
    raised = {
        state: max(high, LEAST) if state in {"down", "degraded"} else high
        for state, high in highs.items()
    }
    over = sum(raised.values()) / HEIGHT
    yield from ((state, high / over) for state, high in raised.items())
