"""Lines over time as a piece of SVG: axes, curves or stacked areas, and a legend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from tools.grafana.quantity import write_quantity

PALETTE = (
    "#1f60c4", "#b35900", "#2f7d3b", "#7b3fb5", "#b3261e", "#00737d", "#9a6700", "#8f3b6d",
    "#4a6b1e", "#5a5f66",
)  # fmt: skip
LEFT, RIGHT, TOP, BOTTOM = 62.0, 10.0, 34.0, 44.0
"""Pixels around the curves: for figures, a title, times and the legend."""
TICKS = 4
TOPS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 345600)
"""Seconds that read well as the end of an axis, from a minute on."""
MOST_POINTS = 80
_LETTER = 6.3
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line; an empty `color` is one of the palette."""

    name: str
    points: Points
    color: str = ""


@dataclass(frozen=True, slots=True)
class _Scale:
    """From seconds and figures to pixels."""

    since: float
    until: float
    bottom: float
    top: float
    width: float
    height: float

    def x(self, at: float) -> float:
        span = self.until - self.since
        return LEFT + (at - self.since) / span * (self.width - LEFT - RIGHT) if span else LEFT

    def y(self, value: float) -> float:
        room = self.height - TOP - BOTTOM
        share = (min(max(value, self.bottom), self.top) - self.bottom) / (self.top - self.bottom)
        return TOP + room * (1 - share)


def draw_chart(
    curves: Sequence[Curve],
    room: tuple[float, float],
    span: tuple[float, float],
    unit: str,
    *,
    top: float | None,
    stacked: bool,
) -> str:
    """All of it, in a `room` of so many pixels, over a `span` of seconds. It begins at 0, or
    below the least figure. Without curves there is nothing but the axes.
    """
    painted = [
        Curve(curve.name, _thin(curve.points), curve.color or PALETTE[i % len(PALETTE)])
        for i, curve in enumerate(curves)
    ]
    layers = list(_stack(painted)) if stacked else painted
    figures = [value for curve in layers for _, value in curve.points] or [0.0]
    bottom = -_round_up(-min(figures), unit) if min(figures) < 0 else 0.0
    scale = _Scale(*span, bottom, top or _round_up(max(figures), unit), *room)
    if stacked:
        floors = [Curve("", [(at, 0.0) for at, _ in layers[0].points])] if layers else []
        pairs = zip([*floors, *layers], layers, strict=False)
        drawn = [_draw_band(below, curve, scale) for below, curve in pairs]
    else:
        drawn = [_draw_line(curve, scale) for curve in layers]
    return f"{_draw_axes(scale, unit)}{''.join(drawn)}{_draw_legend(painted, *room)}"


def _thin(points: Points) -> Points:
    """No more points than somebody can see, the last one among them."""
    step = math.ceil(len(points) / MOST_POINTS)
    return list(points)[::-1][::step][::-1] if step > 1 else points


def _stack(curves: Sequence[Curve]) -> Iterator[Curve]:
    """Each on top of those before; where one has no point it adds nothing."""
    times = sorted({at for curve in curves for at, _ in curve.points})
    height = dict.fromkeys(times, 0.0)
    for curve in curves:
        for at, value in curve.points:
            height[at] += value
        yield Curve(curve.name, sorted(height.items()), curve.color)


def _round_up(value: float, unit: str) -> float:
    """The next figure that is 1, 2, 4 or 5 and zeros; of bytes a power of two, of
    time whole minutes or hours.
    """
    if value <= 0:
        return 1.0
    if unit == "s" and TOPS[0] / 2 < value <= TOPS[-1]:
        return float(next(each for each in TOPS if value <= each))
    if unit in {"bytes", "Bps"}:
        return 2.0 ** math.ceil(math.log2(value))
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * each for each in (1, 2, 4, 5, 10) if value <= size * each * (1 + 1e-9))


def _draw_axes(scale: _Scale, unit: str) -> str:
    parts = []
    for i in range(TICKS + 1):
        value = scale.bottom + (scale.top - scale.bottom) * i / TICKS
        y = scale.y(value)
        parts.append(f'<path class="g" d="M{LEFT:g} {y:.1f}H{scale.width - RIGHT:g}"/>')
        text = escape(write_quantity(value, unit))
        parts.append(f'<text class="m e" x="{LEFT - 6:g}" y="{y + 4:.1f}">{text}</text>')
    y = scale.height - BOTTOM + 16
    for i in range(TICKS + 1):
        at = scale.since + (scale.until - scale.since) * i / TICKS
        anchor = "e" if i == TICKS else "c"
        seconds = f"{at - scale.since:.0f} s"
        parts.append(f'<text class="m {anchor}" x="{scale.x(at):.1f}" y="{y:g}">{seconds}</text>')
    return "".join(parts)


def _draw_line(curve: Curve, scale: _Scale) -> str:
    """A gap in the data is one in the line; a point by itself is a dot."""
    parts = []
    for piece in _split(curve.points):
        spots = [f"{scale.x(at):.1f} {scale.y(value):.1f}" for at, value in piece]
        if len(spots) == 1:
            x, y = spots[0].split()
            parts.append(f'<circle cx="{x}" cy="{y}" r="2" fill="{curve.color}"/>')
        else:
            path = f"M{spots[0]}L{' '.join(spots[1:])}"
            parts.append(f'<path class="l" stroke="{curve.color}" d="{path}"/>')
    return "".join(parts)


def _split(points: Points) -> Iterator[Points]:
    """Pieces between which more than twice the usual distance has no point."""
    if len(points) < 2:
        yield from [points] * bool(points)
        return
    usual = min(later[0] - earlier[0] for earlier, later in pairwise(points))
    begin = 0
    for i in range(1, len(points)):
        if points[i][0] - points[i - 1][0] > 2.5 * usual:
            yield points[begin:i]
            begin = i
    yield points[begin:]


def _draw_band(below: Curve, curve: Curve, scale: _Scale) -> str:
    """What one adds to those before it."""
    spots = [f"{scale.x(at):.1f} {scale.y(value):.1f}" for at, value in curve.points]
    floor = [f"{scale.x(at):.1f} {scale.y(value):.1f}" for at, value in reversed(below.points)]
    path = f"M{' '.join(spots)} {' '.join(floor)}Z"
    line = f"M{spots[0]}L{' '.join(spots[1:] or spots)}"
    return (
        f'<path class="a" fill="{curve.color}" d="{path}"/>'
        f'<path class="l" stroke="{curve.color}" d="{line}"/>'
    )


def _draw_legend(curves: Sequence[Curve], width: float, height: float) -> str:
    """As many names as one line holds, and how many more there are."""
    parts, x, y = list[str](), 12.0, height - 10
    for i, curve in enumerate(curves):
        more = f"+ {len(curves) - i}"
        room = width - x - (40 if i + 1 < len(curves) else 0)
        if room < (len(curve.name) + 3) * _LETTER and i:
            parts.append(f'<text class="m" x="{x:.0f}" y="{y:g}">{more}</text>')
            break
        parts.append(f'<path stroke="{curve.color}" stroke-width="3" d="M{x:.0f} {y - 4:g}h12"/>')
        parts.append(f'<text class="m" x="{x + 16:.0f}" y="{y:g}">{escape(curve.name)}</text>')
        x += 16 + len(curve.name) * _LETTER + 12
    return "".join(parts)
