"""Names of streams and groups: as labels, quoted for a shell, and matched by patterns; and the age
that an id tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sentinel.core.bus.delivery.stream import OLDEST_PLAUSIBLE, Id

OVERFLOW = "_other_"
MAX_GROUP_LABELS = 5
_WILDCARD = re.compile(r"[*?\[]")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the glob patterns matches."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_literal(pattern: str) -> bool:
    """Whether a glob pattern has no wildcard: it is a name."""
    return not _WILDCARD.search(pattern)


def list_literals(patterns: Iterable[str]) -> list[str]:
    """Those of the patterns that are names."""
    return [pattern for pattern in patterns if is_literal(pattern)]


def age_of(entry: Id | None, now: float) -> float | None:
    """Seconds since an entry was published, by the server's clock; None when its id is no time."""
    if entry is None or entry[0] < OLDEST_PLAUSIBLE:
        return None
    return max(0.0, now - entry[0] / 1000)


@dataclass(frozen=True, slots=True)
class Naming:
    """Which label a stream and a group get: the configured pattern that matches first."""

    streams: Sequence[str]
    groups: Sequence[str]

    def stream(self, name: str) -> str:
        """Label of a stream."""
        return next((pattern for pattern in self.streams if fnmatchcase(name, pattern)), OVERFLOW)

    def group(self, name: str, seen: set[str]) -> str:
        """Label of a group: its pattern, else its name for the first few that are seen with a
        stream label.
        """
        for pattern in self.groups:
            if pattern != "*" and fnmatchcase(name, pattern):
                return pattern
        if name not in seen and len(seen) >= MAX_GROUP_LABELS:
            return OVERFLOW
        seen.add(name)
        return name


_PLAIN = re.compile(r"[\w:.@{}*+/-]+")
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(name: str) -> str:
    """A name as one word for redis-cli, which reads it back byte by byte."""
    if _PLAIN.fullmatch(name):
        return name
    return f'"{"".join(map(_escape, name))}"'


def _escape(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode(errors="replace"))
