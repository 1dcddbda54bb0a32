"""A timeline as a picture: a lane for each kind of event, a dot for each event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from sentinel.reports.paper.picture import svg

WIDTH, LEFT, LANE, TOP = 900.0, 150.0, 22.0, 14.0
MAX_LANES = 12
OTHER = "other"
_KINDS = {
    "opened": "down",
    "exhausted": "down",
    "relapsed": "down",
    "recovered": "up",
    "settled": "up",
    "closed": "up",
    "note": "accent",
    "attempt": "degraded",
}


def draw_timeline(facts: Mapping[str, Any]) -> Markup:
    """The timeline of a report's facts; "" where it has fewer than two moments."""
    lines: Sequence[Mapping[str, Any]] = facts["timeline"]
    moments = [(svg.read_at(each["at"]), str(each["event"]), str(each["text"])) for each in lines]
    if len(moments) < 2 or moments[0][0] == moments[-1][0]:
        return Markup("")
    lanes = _name_lanes([event for _, event, _ in moments])
    axis = _Axis(moments[0][0], moments[-1][0])
    height = TOP + LANE * len(lanes) + 24
    parts = [*axis.draw(height), *_draw_lanes(lanes)]
    for at, event, words in moments:
        lane = lanes.index(event) if event in lanes else len(lanes) - 1
        kind = _KINDS.get(event, "unknown")
        parts.append(svg.dot(axis.x(at), _middle(lane), kind, f"{at:%H:%M:%S} {event}: {words}"))
    words = f"{len(moments)} events from {axis.began:%H:%M:%S} to {axis.ended:%H:%M:%S} UTC"
    return svg.draw(WIDTH, height, "Timeline", words, parts)


def _name_lanes(events: Sequence[str]) -> list[str]:
    """Kinds of events in the order in which they came; too many share the last lane."""
    kinds = list(dict.fromkeys(events))
    return kinds if len(kinds) <= MAX_LANES else [*kinds[: MAX_LANES - 1], OTHER]


def _draw_lanes(lanes: Sequence[str]) -> list[Markup]:
    parts = []
    for i, name in enumerate(lanes):
        parts.append(svg.line(LEFT, _middle(i), WIDTH - 10, _middle(i)))
        parts.append(svg.text(LEFT - 10, _middle(i) + 4, svg.shorten(name, 22), anchor="end"))
    return parts


def _middle(lane: int) -> float:
    return TOP + LANE * lane + LANE / 2


class _Axis:
    """Time from left to right, with a little room at both ends."""

    def __init__(self, began: datetime, ended: datetime) -> None:
        room = max((ended - began) * 0.02, timedelta(milliseconds=1))
        self.began, self.ended = began, ended
        self._first, self._last = began - room, ended + room

    def x(self, at: datetime) -> float:
        share = (at - self._first) / (self._last - self._first)
        return LEFT + share * (WIDTH - 10 - LEFT)

    def draw(self, height: float) -> list[Markup]:
        seconds = (self._last - self._first).total_seconds()
        parts = []
        for at in svg.list_ticks(self._first, self._last):
            parts.append(svg.line(self.x(at), TOP, self.x(at), height - 20))
            parts.append(
                svg.text(
                    self.x(at), height - 6, svg.name_tick(at, seconds), anchor="middle", soft=True
                )
            )
        return parts
