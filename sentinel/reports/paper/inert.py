"""Everything in the facts is inert in each format: Markdown escapes what would become markup, a
link, raw HTML or a spreadsheet formula, JSON escapes what could end a script element.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def clean_document(value: Any) -> Any:
    """The document with control and direction characters made visible, so that no text can hide or
    reorder.
    """
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_document(item) for item in value]
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str) -> str:
    """One string without control, zero-width and direction characters."""
    visible = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return visible.encode(errors="backslashreplace").decode()


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
