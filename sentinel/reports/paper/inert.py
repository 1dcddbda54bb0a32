"""Everything in the facts is inert in each format: Markdown escapes what would become markup, a
link, raw HTML or a spreadsheet formula, JSON escapes what could end a script element.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def write_json(facts: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element without ending it."""
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"


_MARKUP = re.compile(
    r"[\\`*\[\]|~]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|(?<=[A-Za-z]):(?=//)|(?<=\bwww)\.",
    re.IGNORECASE,
)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape_markdown(value: Any) -> str:
    """Text that means itself in Markdown, also in a table cell, and no formula when pasted into a
    spreadsheet.
    """
    if not isinstance(value, str):
        return str(value)
    line = " ".join(value.split())
    inert = _MARKUP.sub(lambda found: f"\\{found[0]}", line).translate(_ENTITIES)
    if inert[:1] == "#":
        return f"\\{inert}"
    return f"'{inert}" if inert[:1] in ("=", "+", "-", "@") else inert
