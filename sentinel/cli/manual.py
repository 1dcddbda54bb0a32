"""Options as people read them: on a wide terminal a table, on a narrow one a paragraph each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentinel.cli.columns import Columns
from sentinel.cli.tables import clean
from sentinel.strict.describe import OptionRow

_EXAMPLE = "e.g. "
_SHOWN = ("option", "type", "default", "example", "what", "required")


def to_rows(rows: Iterable[OptionRow]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{name: getattr(row, name) for name in _SHOWN} for row in rows]


def options_table(rows: Iterable[OptionRow], title: str = "") -> Columns:
    """Key, type, default or example, meaning."""
    table = Columns(("option", "type", "default", "what"), title)
    for row in rows:
        example = f"{_EXAMPLE}{row.example}" if row.example else ""
        what = " · ".join(filter(None, (row.what, example)))
        table.add(clean(row.option), clean(row.type), clean(row.default), clean(what))
    return table
