"""The rows of a check's latest look as a table that can be read: labels, figure, value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sentinel.core.quantity import format_bytes, format_duration
from sentinel.store import CheckView

Document = dict[str, Any]
MAX_ROWS = 200
_INSTANT = ("_timestamp_seconds", "start_time_seconds")
_SECONDS, _BYTES, _RATIO = ("_seconds", "seconds", "_wait"), ("_bytes", "bytes"), ("_ratio",)


def show_rows(view: CheckView) -> Document:
    """`rows` (labels as text, figure, value, value for people) and how many were `cut`."""
    rows = list(_list_rows(view))
    return {"rows": rows[:MAX_ROWS], "cut": max(0, len(rows) - MAX_ROWS)}


def _list_rows(view: CheckView) -> Iterator[Document]:
    for row in view.rows:
        labels, values = row.get("labels") or {}, row.get("values") or {}
        told = ", ".join(f"{label} {value}" for label, value in labels.items())
        for name, value in values.items():
            yield {
                "labels": dict(labels),
                "labels_text": told,
                "figure": name,
                "value": _plain(value),
                "value_text": show_value(name, value),
            }


def _plain(value: Any) -> Any:
    """A number as it is; a histogram as how many it counted."""
    return value.get("total") if isinstance(value, Mapping) else value


def show_value(name: str, value: Any) -> str:
    """A figure for people: its name says its unit."""
    if isinstance(value, Mapping):
        return f"{value.get('total', 0):,} observed"
    if value is None or isinstance(value, bool | str):
        return "not measured" if value is None else str(value)
    if name.endswith(_INSTANT) and 10**9 < value < 10**10:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if name.endswith(_SECONDS) and value > 0:
        return format_duration(value)
    if name.endswith(_BYTES):
        return format_bytes(value)
    return f"{100 * value:.4g} %" if name.endswith(_RATIO) else f"{value:,.6g}"
