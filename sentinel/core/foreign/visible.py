"""Foreign text as it may be shown: nothing in it moves a cursor, turns a line around or hides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import category

_KEPT = "\n\t"


def make_visible(text: str) -> str:
    """The text with control, direction and zero-width characters, lone surrogates and what is no
    character written out (`\\u202e`); line feeds and tabulators stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) else _write_out(letter) for letter in text)


def make_document_visible(value: Any) -> Any:
    """A JSON-able document of which every text, also that of keys, is visible."""
    if isinstance(value, str):
        return make_visible(value)
    if isinstance(value, Mapping):
        return {make_visible(str(key)): make_document_visible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_document_visible(item) for item in value]
    return value


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _KEPT or category(letter) == "Zs"


def _write_out(letter: str) -> str:
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
