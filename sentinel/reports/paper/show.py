"""Values as people read them: the filters of the templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from markupsafe import Markup, escape

from sentinel.core.quantity import format_bytes, format_duration
from sentinel.reports.figures import NOT_MEASURED
from sentinel.reports.paper.picture.network import draw_network
from sentinel.reports.paper.picture.timeline import draw_timeline
from sentinel.reports.paper.picture.trend import draw_trend
from sentinel.reports.paper.picture.uptime import draw_key, draw_uptime

FINE_FROM = 0.99
"""From here on each part of a thousandth counts."""
WHOLE_FROM = 100
"""From here on nobody reads a tenth."""
_COMMAND = re.compile(r"`([^`]+)`")


def show_commands(text: str) -> Markup:
    """HTML of a text in which `commands` stand between backticks."""
    inert = str(escape(text))
    return Markup(_COMMAND.sub(r"<code>\1</code>", inert))  # noqa: S704 - escaped just above


def show_instant(text: str | None) -> str:
    """`2026-03-01 12:00:05 UTC` of an ISO text."""
    return "–" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"


def show_end(text: str | None) -> str:
    """As `show_instant`; what lasts to the end of a day names that day, as people wrote it."""
    at = None if text is None else datetime.fromisoformat(text)
    if at is None or at.timetz().replace(tzinfo=None) != time():
        return show_instant(text)
    return f"the end of {at - timedelta(days=1):%Y-%m-%d} UTC"


def show_time(text: str | None) -> str:
    """`12:00:05.250` of an ISO text: lines of a timeline share their day."""
    if text is None:
        return "–"
    at = datetime.fromisoformat(text)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def show_count(value: float | None) -> str:
    """`1 204`, with thin spaces; an unknown count says so."""
    if value is None:
        return NOT_MEASURED
    whole = value == int(value) or value >= WHOLE_FROM
    return f"{value:,.{0 if whole else 1}f}".replace(",", "\u202f")


def show_ratio(value: float | None) -> str:
    """`99.95 %`, `87.1 %`, `4 994 %`: fine where it is nearly all; never rounded up to 100."""
    if value is None:
        return NOT_MEASURED
    if value > 10:
        return f"{show_count(round(value * 100))} %"
    text = f"{value * 100:.{3 if value >= FINE_FROM else 1}f}".rstrip("0").rstrip(".")
    return f"{'99.999' if text == '100' and value < 1 else text} %"


def show_seconds(value: float | None) -> str:
    """`1 min 30 s`, `0 s`, or a dash."""
    return "0 s" if value == 0 else format_duration(value)


def show_span(low: float | None, high: float | None) -> str:
    """How many a fault concerns: `7`, `3 – 7`, `3 or more`; a dash where nothing is counted."""
    if low is None:
        return "–"
    if high is None:
        return f"{show_count(low)} or more"
    return show_count(low) if low == high else f"{show_count(low)} – {show_count(high)}"


def show_number(value: float | None, unit: str = "") -> str:
    """A number in its unit: a count, `ratio`, `bytes` or `seconds`."""
    if unit == "ratio":
        return show_ratio(value)
    if unit == "bytes" and value is not None:
        return format_bytes(value)
    return (
        (NOT_MEASURED if value is None else show_seconds(value))
        if unit == "seconds"
        else show_count(value)
    )


def show_figure(figure: Mapping[str, Any]) -> str:
    """`0`, `3 – 7`, `99.95 %`, `4.2 s` or `not measured`."""
    low, high, unit = figure["low"], figure["high"], figure["unit"]
    if low is None or low == high:
        return show_number(low, unit)
    return f"{show_number(low, unit)} – {show_number(high, unit)}"


def show_position(value: float | None, unit: str = "") -> str:
    """How far a log is: bytes as PostgreSQL writes them, `0/16B3740`."""
    if value is None:
        return NOT_MEASURED
    if unit != "bytes":
        return show_count(value)
    return f"{int(value) >> 32:X}/{int(value) & 0xFFFFFFFF:X}"


def show_met(met: bool | None) -> str:
    """Whether a target was reached, in words: colour alone says nothing on paper."""
    return "not known" if met is None else "yes" if met else "no"


FILTERS = {
    "uptime_bar": draw_uptime,
    "key": draw_key,
    "timeline_picture": draw_timeline,
    "network_picture": draw_network,
    "trend_picture": draw_trend,
    "met": show_met,
    "position": show_position,
    "commands": show_commands,
    "instant": show_instant,
    "end": show_end,
    "day_time": show_time,
    "seconds": show_seconds,
    "count": show_count,
    "ratio": show_ratio,
    "figure": show_figure,
    "number": show_number,
    "span": show_span,
}
"""The filters by the name that templates use."""
