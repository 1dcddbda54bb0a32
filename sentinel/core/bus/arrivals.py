"""What came to a dead-letter place lately, and from which streams. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.core.bus.envelope import read_first

MAX_ORIGIN = 200
"""Characters of an origin's name: it comes from the payload of a message."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many entries came within the last `within` seconds, by the stream they came from.

    An entry that does not tell its origin counts for "". `cut`: more came than were read.
    """

    within: float
    counts: Mapping[str, int]
    cut: bool = False

    def list_above(self, most: int) -> list[tuple[str, int]]:
        """(origin, count) of those above a limit, the most entries first."""
        above = [(origin, count) for origin, count in self.counts.items() if count > most]
        return sorted(above, key=lambda each: (-each[1], each[0]))

    def describe(self) -> dict[str, Any]:
        """For the evidence."""
        return {"within_seconds": self.within, "from": dict(self.counts), "cut": self.cut}


def count_arrivals(
    entries: Iterable[Mapping[str, str]], path: str, within: float, *, cut: bool
) -> Arrivals:
    """Entries by what stands at the dotted path of their origin."""
    paths: Sequence[str] = (path,) if path else ()
    origins = Counter(read_first(fields, paths)[:MAX_ORIGIN] for fields in entries)
    return Arrivals(within, origins, cut)
