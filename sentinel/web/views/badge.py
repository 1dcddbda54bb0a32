"""Badges: how something is, as a small picture for a wiki or a README."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from markupsafe import Markup

from sentinel.core.fault import worst
from sentinel.reports.paper.picture import svg
from sentinel.store import Reader, unobserved_since
from sentinel.web.document import STALE, describe_check, read_clock
from sentinel.web.views.ask import Ask
from sentinel.web.views.checks import find_check, status_of
from sentinel.web.views.components import describe_one, find_component
from sentinel.web.views.known import Known

HEIGHT, LETTER, ROOM = 20.0, 6.6, 8.0
MAX_LETTERS = 60
_INK = {STALE: "#6a4fb0", "up": "#1f7a4a", "degraded": "#8a580d", "down": "#b62f2f"}
"""Behind white letters: each has a contrast of 4.5 at least."""


def badge_check(store: Reader, _known: Known, now: datetime, ask: Ask) -> dict[str, Any]:
    """The badge of one check."""
    view = find_check(store, ask.name)
    alive = unobserved_since(store, now) is None
    return _badge(view.name, describe_check(view, read_clock(view, now, alive=alive))["status"])


def badge_component(store: Reader, _known: Known, now: datetime, ask: Ask) -> dict[str, Any]:
    """The badge of one component."""
    view = find_component(store, ask.name)
    return _badge(view.name, describe_one(store, view, now)["status"])


def badge_platform(store: Reader, _known: Known, now: datetime, _ask: Ask) -> dict[str, Any]:
    """The badge of the platform: the worst of its components; stale when no sentinel looks."""
    status = worst([status_of(view.status) for view in store.components()]).value
    blind = unobserved_since(store, now) is not None
    return _badge(store.meta("platform") or "platform", STALE if blind else status)


def _badge(name: str, status: str) -> dict[str, Any]:
    return {"name": name, "status": status}


def draw_badge(badge: dict[str, Any]) -> Markup:
    """Name at the left, status at the right; both as letters, whatever the colours."""
    name, status = svg.shorten(badge["name"], MAX_LETTERS), str(badge["status"])
    left, right = (len(each) * LETTER + 2 * ROOM for each in (name, status))
    sides = ((0.0, left, "#3d4654", name), (left, right, _INK.get(status, "#5b6675"), status))
    parts = [
        Markup(
            '<rect x="{}" width="{}" height="{}" fill="{}"/><text x="{}" y="14" fill="#fff"'
            ' font-size="11" text-anchor="middle" textLength="{}">{}</text>'
        ).format(*map(svg.number, (x, width, HEIGHT)), fill, svg.number(x + width / 2),
                 svg.number(width - 2 * ROOM), words)
        for x, width, fill, words in sides
    ]  # fmt: skip
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" role="img"'
        ' font-family="Verdana,Geneva,sans-serif"><title>{}: {}</title>{}</svg>'
    ).format(svg.number(left + right), svg.number(HEIGHT), name, status, Markup("").join(parts))
