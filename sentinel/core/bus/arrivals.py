"""What came to a dead-letter place lately, and from which streams. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.core.bus.envelope import read_first

MAX_ORIGIN = 200
"""Characters of an origin's name: it comes from the payload of a message."""
MAX_HELD = 200
"""Origins of one place that are held; the latest of them."""


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


@dataclass(frozen=True, slots=True)
class HeldArrivals:
    """What came from one origin when it was too much last: how many within so many seconds, `cut`
    where there were more; at which instant (epoch seconds), and the id of the newest entry then.
    """

    count: int
    cut: bool
    within: float
    at: float
    newest: str

    def is_there(self, firsts: Iterable[str]) -> bool:
        """Whether something as old is still in the place; `firsts` are the oldest ids of its keys."""
        return any(_order(first) <= _order(self.newest) for first in firsts)


def hold_arrivals(
    held: Mapping[str, HeldArrivals],
    arrivals: Arrivals | None,
    most: int | None,
    ends: Sequence[Sequence[str]],
    now: float,
) -> dict[str, HeldArrivals]:
    """Origins of which too much came: now, or before and nobody has cleared the place since.

    `ends` are the first and last id of each key. That a window slides takes no dead letter away.
    """
    if most is None:
        return {}
    firsts, lasts = [ids[0] for ids in ends], [ids[-1] for ids in ends]
    kept = {origin: each for origin, each in held.items() if each.is_there(firsts)}
    if arrivals is None:  # nobody could look
        return kept
    newest = max(lasts, key=_order, default="0-0")
    for origin, count in arrivals.list_above(most):
        before = kept.get(origin)
        known = (before.count, before.cut) if before is not None else (0, False)
        counted = max(known, (count, arrivals.cut))
        kept[origin] = HeldArrivals(*counted, arrivals.within, now, newest)
    latest = sorted(kept.items(), key=lambda item: -item[1].at)[:MAX_HELD]
    return dict(latest)


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


def count_arrivals(
    entries: Iterable[Mapping[str, str]], path: str, within: float, *, cut: bool
) -> Arrivals:
    """Entries by what stands at the dotted path of their origin."""
    paths: Sequence[str] = (path,) if path else ()
    origins = Counter(read_first(fields, paths)[:MAX_ORIGIN] for fields in entries)
    return Arrivals(within, origins, cut)
