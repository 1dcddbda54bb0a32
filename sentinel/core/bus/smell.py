"""What spoils messages, seen from outside: signs in the values of entries (measurement.md §2.3).
Never payloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

MAX_VALUE = 10**6
"""Bytes; a larger value belongs elsewhere, with a reference to it in the message."""

_STARTS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("python_repr", (b"{'", b"['", b"b'", b'b"', b"('", b"{b'", b"[b'")),
    ("json_in_json", (b'"{', b'"[')),
)
_WHOLE = {b"None": "none_text", b"nan": "nan_text", b"NaN": "nan_text"}
_INSIDE: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("python_object", re.compile(rb"datetime\.datetime\(|<[^<>\n]{1,200} object at 0x")),
    ("javascript_object", re.compile(rb"\[object Object\]")),
    # Ã and a character that only a wrong decoding leaves behind it, as UTF-8 or as JSON escapes
    ("mojibake", re.compile(rb"\xc3\x83\xc2[\x80-\xbf]|\\u00c3\\u00[89ab][0-9a-f]", re.IGNORECASE)),
)
SMELLS = (
    *(name for name, _ in _STARTS),
    "none_text",
    "nan_text",
    *(name for name, _ in _INSIDE),
    "invalid_utf8",
    "oversized",
    "missing_field",
)
"""Every smell, so that each has a series from the start."""


def smell_entry(fields: Sequence[tuple[bytes, bytes]], mandatory: Iterable[str]) -> set[str]:
    """The smells of one entry, each once."""
    found = {smell for _, value in fields for smell in smell_value(value)}
    names = {name for name, _ in fields}
    return found | (
        {"missing_field"} if any(name.encode() not in names for name in mandatory) else set()
    )


def smell_value(value: bytes) -> set[str]:
    """The smells of one value."""
    found = {name for name, starts in _STARTS if value.startswith(starts)}
    found |= {name for name, pattern in _INSIDE if pattern.search(value)}
    found |= {_WHOLE[value]} if value in _WHOLE else set()
    found |= {"oversized"} if len(value) > MAX_VALUE else set()
    return found if _is_text(value) else found | {"invalid_utf8"}


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def refill(tokens: float, seconds: float, per_hour: int) -> float:
    """What may be sampled now: `per_hour` an hour, never more than one hour's share at once."""
    return min(float(per_hour), tokens + max(0.0, seconds) * per_hour / 3600)


def stratify(start: int, end: int, count: int) -> list[tuple[int, int]]:
    """[start, end] in milliseconds as up to ten equal stretches, the last one closed: (from, to) of
    each.
    """
    strata = max(1, min(10, count, end - start))
    edges = [start + (end - start) * n // strata for n in range(strata)] + [end + 1]
    return [(a, b - 1) for a, b in pairwise(edges)]
