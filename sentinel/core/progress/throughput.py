"""How fast a milestone moved: what was done in equal stretches of the time in which it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

Point = tuple[datetime, float]
MAX_STRETCHES = 20
MIN_POINTS = 3
"""Two points are a line through anything."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Work done in each stretch; `stretch` seconds long. Work that was taken back counts as none."""

    stretch: float
    done: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Work a second."""
        return sum(self.done) / (len(self.done) * self.stretch)


def measure_pace(points: Sequence[Point]) -> Pace | None:
    """The pace of (instant, work done so far), oldest first, from the first move on; None where too
    little was seen, or nothing moved.
    """
    moved = _from_first_move(points)
    if len(moved) < MIN_POINTS:
        return None
    first = moved[0][0]
    seconds = [(at - first).total_seconds() for at, _ in moved]
    count = min(MAX_STRETCHES, len(moved) - 1)
    stretch = seconds[-1] / count
    if stretch <= 0:
        return None
    totals = [value for _, value in moved]
    edges = [_interpolate(seconds, totals, i * stretch) for i in range(count + 1)]
    done = tuple(max(0.0, edges[i + 1] - edges[i]) for i in range(count))
    return Pace(stretch, done) if any(done) else None


def _from_first_move(points: Sequence[Point]) -> Sequence[Point]:
    """Work that had not begun says nothing of its pace."""
    for i in range(1, len(points)):
        if points[i][1] != points[0][1]:
            return points[i - 1 :]
    return ()


def _interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """The value at x on the straight lines between points."""
    for i in range(1, len(xs)):
        if x <= xs[i]:
            width = xs[i] - xs[i - 1]
            share = (x - xs[i - 1]) / width if width > 0 else 1.0
            return ys[i - 1] + share * (ys[i] - ys[i - 1])
    return ys[-1]
