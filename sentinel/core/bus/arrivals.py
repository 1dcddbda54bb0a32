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
    where there were more; at which instant (epoch seconds), with how many entries in the place, and
    the id of the newest then.
    """

    count: int
    cut: bool
    within: float
    at: float
    entries: int
    newest: str

    def is_there(self, most: int, entries: int, firsts: Iterable[str]) -> bool:
        """Whether more than `most` of them must still be in the place, which has so many `entries`
        now, the oldest of each key with these ids.
        """
        taken_out = max(0, self.entries - entries)
        as_old = any(_order(first) <= _order(self.newest) for first in firsts)
        return as_old and self.count - taken_out > most


def hold_arrivals(
    held: Mapping[str, HeldArrivals],
    arrivals: Arrivals | None,
    most: int | None,
    keys: Sequence[tuple[int, Sequence[str]]],
    now: float,
) -> dict[str, HeldArrivals]:
    """Origins of which too much came: now, or before and nobody has cleared the place since.

    `keys` has of each key how many entries there are, and the ids of the first and the last. That a
    window slides takes no dead letter away.
    """
    if most is None:
        return {}
    entries = sum(count for count, _ in keys)
    firsts, lasts = [ends[0] for _, ends in keys], [ends[-1] for _, ends in keys]
    kept = {o: each for o, each in held.items() if each.is_there(most, entries, firsts)}
    if arrivals is None:  # nobody could look
        return kept
    newest = max(lasts, key=_order, default="0-0")
    for origin, count in arrivals.list_above(most):
        before = kept.get(origin)
        known = (before.count, before.cut) if before is not None else (0, False)
        counted = max(known, (count, arrivals.cut))
        kept[origin] = HeldArrivals(*counted, arrivals.within, now, entries, newest)
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
