"""Durations, sizes and percentages as people write them, and back. Seconds, bytes and ratios
inside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_BYTES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


_PERCENTAGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
MAX_WRITTEN = 1000
"""Characters of a duration: to look for one in 100,000 digits takes minutes."""
MAX_DURATION = 100 * 366 * 86400.0
"""A century: beyond it, instants leave the calendar."""
MAX_BYTES = 2**63 - 1
MANY = 2**63 - 1
"""Upper end of a count of which only the lower one is known."""


def parse_duration(text: Any) -> float:
    """Seconds of `250ms`, `5s`, `1h30m`. A number without a unit is refused: nobody knows what it
    means.
    """
    if isinstance(text, str) and len(text) <= MAX_WRITTEN:
        parts = _DURATION.findall(text.strip())
        if parts and "".join(n + u for n, u in parts) == text.strip():
            seconds = float(sum(float(number) * _SECONDS[unit] for number, unit in parts))
            if seconds <= MAX_DURATION:
                return seconds
            raise ValueError(f"{text[:60]!r} is longer than a century")
    raise ValueError(
        f"{_shown(text)} is no duration: write a number with a unit, such as 250ms, 5s, 2m, 1h30m or 30d"
    )


def _shown(value: Any) -> str:
    """What was written instead, bounded: it goes to a terminal, a log or a CI job."""
    return repr(value[:60] if isinstance(value, str) else value)


def parse_bytes(text: Any) -> int:
    """Bytes of `64KiB`, `2GB`."""
    if isinstance(text, str) and (match := _SIZE.fullmatch(text.strip())):
        count = float(match[1]) * _BYTES[match[2]]
        if count <= MAX_BYTES:
            return int(count)
        raise ValueError(f"{text[:60]!r} is more than 8 EiB")
    raise ValueError(
        f"{_shown(text)} is no size: write a number with a unit, such as 64KiB, 100MB or 2GB"
    )


def parse_percentage(text: Any) -> float:
    """Ratio of `99.5%`."""
    if isinstance(text, str) and (match := _PERCENTAGE.fullmatch(text.strip())):
        value = float(match[1])
        if value <= 100:
            return value / 100
    raise ValueError(f"{_shown(text)} is no percentage: write it as 99.5%")


def format_duration(seconds: float | None) -> str:
    """Two significant steps at most: `850 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    seconds = max(seconds, 60.0)
    for big, small, size in (("min", "s", 60), ("h", "min", 3600), ("d", "h", 86400)):
        if seconds < size * (60 if size < 3600 else 24 if size < 86400 else 10**9):
            unit = {"s": 1, "min": 60, "h": 3600}[small]
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {big} {rest // unit} {small}" if rest >= unit else f"{whole} {big}"
    raise AssertionError(seconds)


def format_bytes(count: float) -> str:
    """`512 B`, `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def format_times(count: int) -> str:
    """`once`, or `3 times`."""
    return "once" if count == 1 else f"{count:,} times"


LONGEST_NAME = 80
"""Of a name more is not shown in a list, and a sign says so."""


def format_names(names: Sequence[str], most: int = 3, of: int | None = None) -> str:
    """`a, b, c and 4 more`; `of`: how many there are, where not all of their names are known."""
    total = len(names) if of is None else max(of, len(names))
    shown = ", ".join(
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        for name in names[:most]
    )
    rest = total - min(most, len(names))
    return f"{shown} and {rest} more" if rest else shown


def format_label(id_: str, name: str = "") -> str:
    """`planner (agent-7)`: a name that people gave, beside the id; on one line, and bounded."""
    short, called = " ".join(id_[:200].split())[:80], " ".join(name[:200].split())[:80]
    return f"{called} ({short})" if called and called != short else short


_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})


def read_number(text: str | None) -> float | None:
    """Progress may be stored as text (R12), also as `45%`. None for what is no number."""
    try:
        value = float(text.strip().rstrip("%")) if text else None
    except ValueError:
        return None
    return value if value is None or abs(value) < float("inf") else None


def is_true(text: str | None) -> bool:
    """A boolean, as PostgreSQL, JSON and people write it."""
    return text is not None and text.strip().lower() in _TRUE


@dataclass(frozen=True, slots=True)
class Bounds:
    """The truth lies in lo … hi, both included; a point when they are equal."""

    lo: int
    hi: int

    @property
    def exact(self) -> bool:
        """Whether only one value is possible."""
        return self.lo == self.hi

    @property
    def open_ended(self) -> bool:
        """Whether only a lower bound is known."""
        return self.hi >= MANY

    def meet(self, other: Bounds) -> Bounds:
        """What both allow. A contradiction means that `other` can't be trusted, and changes
        nothing.
        """
        lo, hi = max(self.lo, other.lo), min(self.hi, other.hi)
        return Bounds(lo, hi) if lo <= hi else self

    def clip(self, lo: int, hi: int) -> Bounds:
        """Both ends forced into lo … hi."""
        return Bounds(min(max(self.lo, lo), hi), min(max(self.hi, lo), hi))

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.lo + other.lo, self.hi + other.hi)

    def __str__(self) -> str:
        if self.exact:
            return f"{self.lo:,}"
        return f"{self.lo:,} or more" if self.open_ended else f"{self.lo:,} to {self.hi:,}"
