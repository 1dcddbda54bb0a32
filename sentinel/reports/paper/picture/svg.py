"""The few elements of which pictures are made. Every text is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from markupsafe import Markup

INK, SOFT, LINE = "#1c2430", "#5b6675", "#c3cad4"
FILL = {
    "up": "#2c8a57",
    "degraded": "#b7791f",
    "down": "#c23b3b",
    "maintenance": "#7a6bb0",
    "unobserved": "#a9b2bf",
    "unknown": "#7b8694",
    "accent": "#2f6db5",
}
"""Fills for paper; a style sheet may change them by class where there is one."""
_STROKES = {"curve": (FILL["accent"], "1.8"), "ink": (INK, "2.6"), "thin": (LINE, "1.2")}
MAX_TEXT = 60
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def draw(
    width: float, height: float, title: str, desc: str, parts: Iterable[Markup], kind: str = ""
) -> Markup:
    """The whole picture; `kind` is a class of its own."""
    inside = Markup("").join(parts)
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" xmlns="http://www.w3.org/2000/svg"'
        ' font-family="sans-serif"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(kind or "picture", number(width), number(height), title, desc, inside)


def box(
    x: float, y: float, width: float, height: float, kind: str, title: str = "", radius: float = 0
) -> Markup:
    """A filled rectangle."""
    told = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup(
        '<rect class="{}" fill="{}" x="{}" y="{}" width="{}" height="{}" rx="{}">{}</rect>'
    ).format(kind, FILL.get(kind, SOFT), *map(number, (x, y, width, height, radius)), told)


def frame(x: float, y: float, width: float, height: float, *, bold: bool, dashed: bool) -> Markup:
    """An empty rectangle: bold, dashed or plain."""
    dash = Markup(' stroke-dasharray="5 3"') if dashed else Markup("")
    return Markup(
        '<rect class="frame" fill="none" stroke="{}" stroke-width="{}"{} x="{}" y="{}" width="{}"'
        ' height="{}" rx="5"/>'
    ).format(INK, "2.6" if bold else "1", dash, *map(number, (x, y, width, height)))


def ground(x: float, y: float, width: float, height: float) -> Markup:
    """Paper below a frame, so that no line shines through it."""
    return Markup(
        '<rect class="ground" fill="#fff" x="{}" y="{}" width="{}" height="{}" rx="5"/>'
    ).format(*map(number, (x, y, width, height)))


def line(x1: float, y1: float, x2: float, y2: float, *, bold: bool = False) -> Markup:
    """A straight line; a bold one is dark."""
    return Markup(
        '<line class="{}" stroke="{}" stroke-width="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>'
    ).format(
        "ink" if bold else "thin",
        INK if bold else LINE,
        "2.6" if bold else "1",
        *map(number, (x1, y1, x2, y2)),
    )


def path(points: Iterable[tuple[float, float]], kind: str = "curve") -> Markup:
    """A line through points: a `curve` of figures, or one in `ink` or `thin`."""
    words = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    stroke, width = _STROKES[kind]
    return Markup(
        '<polyline class="{}" fill="none" stroke="{}" stroke-width="{}" points="{}"/>'
    ).format(kind, stroke, width, words)


def dot(x: float, y: float, kind: str, title: str) -> Markup:
    """A small disc that says what it stands for."""
    return Markup(
        '<circle class="{}" fill="{}" cx="{}" cy="{}" r="4"><title>{}</title></circle>'
    ).format(kind, FILL.get(kind, INK), number(x), number(y), shorten(title, 200))


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 11,
    anchor: str = "start",
    soft: bool = False,
    bold: bool = False,
    most: int = MAX_TEXT,
) -> Markup:
    """Words; too many are cut, and say so."""
    return Markup(
        '<text class="{}" fill="{}" x="{}" y="{}" font-size="{}" text-anchor="{}"{}>{}</text>'
    ).format(
        "soft" if soft else "ink",
        SOFT if soft else INK,
        *map(number, (x, y, size)),
        anchor,
        Markup(' font-weight="700"') if bold else Markup(""),
        shorten(words, most),
    )


def shorten(words: str, most: int = MAX_TEXT) -> str:
    """At most so many characters on one line."""
    plain = " ".join(str(words).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def number(value: float) -> str:
    """Two decimals at most: the same bytes on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def read_at(text_: str) -> datetime:
    """An instant as facts have it."""
    return datetime.fromisoformat(text_)


def list_ticks(began: datetime, ended: datetime, most: int = 6) -> list[datetime]:
    """Round instants within a period, for an axis."""
    seconds = max((ended - began).total_seconds(), 1.0)
    step = next((each for each in _STEPS if seconds / each <= most), None)
    if step is None:
        step = 86400 * -(-int(seconds) // (86400 * most))
    at = began.replace(hour=0, minute=0, second=0, microsecond=0)
    at += timedelta(seconds=step * ((began - at).total_seconds() // step + 1))
    found = []
    while at < ended:
        found.append(at)
        at += timedelta(seconds=step)
    return found


def name_tick(at: datetime, seconds: float) -> str:
    """A tick as its axis needs it: seconds on a short one, days on a long one."""
    if seconds < 600:
        return f"{at:%H:%M:%S}"
    return f"{at:%H:%M}" if seconds <= 2 * 86400 else f"{at:%d %b}"
