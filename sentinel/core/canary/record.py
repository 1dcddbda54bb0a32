"""What is known of one path: totals that never go back, latencies, and the last outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.canary.letter import FAILED, LATENCY_BOUNDS, SETTLED, Outcome
from sentinel.core.canary.proof import Windows
from sentinel.core.model import Histogram

LEGS = ("publish", "deliver", "total")
RECENT = 200


@dataclass(slots=True)
class CanaryTally:
    """Totals mirrored from the server. `mirror` is what it said last, `base` what it has forgotten
    since.
    """

    mirror: dict[str, int] = field(default_factory=dict)
    base: dict[str, int] = field(default_factory=dict)
    inherited: bool = False
    """Whether it is of an earlier life that a kill may have ended: what was on its way when this was
    written down may have arrived since.
    """

    def absorb(self, name: str, value: int, added: int = 0) -> None:
        """Take the server's total after we added `added`. Less than expected means that it forgot
        (flush, rollback).
        """
        forgotten = self.mirror.get(name, 0) + added - value
        if forgotten > 0:
            self.credit(name, forgotten)
        self.mirror[name] = value

    def credit(self, name: str, count: int) -> None:
        """Add to the part of a total that only we know."""
        self.base[name] = self.base.get(name, 0) + count

    def fold(self) -> None:
        """The server's totals are gone for good: what they were is ours now."""
        for name, value in self.mirror.items():
            self.credit(name, value)
        self.mirror.clear()

    def total(self, name: str) -> int:
        """Since sentinel began to watch; never goes back."""
        return self.mirror.get(name, 0) + self.base.get(name, 0)

    def imbalance(self, still_open: int) -> int:
        """sent − settled − open: 0 by the conservation law; positive: ledger entries were wiped
        from the server; negative: a rollback brought settled ones back."""
        return self.total("sent") - sum(self.total(outcome) for outcome in SETTLED) - still_open

    def rebalance(self, still_open: int) -> int:
        """Restore the law: wiped canaries are lost, revived ones count as sent again. Gives
        `imbalance` as far as it was judged: what the server forgot since an earlier life was not.
        """
        gap, inherited = self.imbalance(still_open), self.inherited
        self.inherited = False
        if gap > 0:
            self.credit(Outcome.ORPHAN if inherited else Outcome.LOST, gap)
        elif gap < 0:
            self.credit("sent", -gap)
        return 0 if inherited else gap


class Latencies:
    """A growing latency histogram with the edges of measurement.md §8; seconds."""

    def __init__(self, document: Sequence[float] = ()) -> None:
        counts = [int(count) for count in document[:-1]]
        self._counts = counts or [0] * (len(LATENCY_BOUNDS) + 1)
        self._sum = float(document[-1]) if document else 0.0

    def add(self, seconds: float) -> None:
        """Count one observation."""
        place = next(
            (i for i, bound in enumerate(LATENCY_BOUNDS) if seconds <= bound), len(LATENCY_BOUNDS)
        )
        self._counts[place] += 1
        self._sum += seconds

    def histogram(self) -> Histogram:
        """The frozen, cumulative value."""
        cumulative = [sum(self._counts[: i + 1]) for i in range(len(self._counts))]
        return Histogram(LATENCY_BOUNDS, tuple(cumulative[:-1]), cumulative[-1], self._sum)

    def dump(self) -> list[float]:
        """The JSON document that the constructor takes."""
        return [*self._counts, self._sum]


class CanaryRecord:
    """Everything known of one path: totals, latencies by leg, the last outcomes, the windows.

    `hops` are the legs through the product, in order, beside those that every path has.
    """

    def __init__(self, document: Mapping[str, Any] | None = None, hops: Sequence[str] = ()) -> None:
        known = document or {}
        self.tally = CanaryTally(
            dict(known.get("mirror", {})), dict(known.get("base", {})), inherited=bool(known)
        )
        self.windows = Windows(known.get("windows", ()), known.get("since"))
        self.recent: deque[str] = deque(known.get("recent", ()), RECENT)
        latency = known.get("latency", {})
        self.latency = {leg: Latencies(latency.get(leg, ())) for leg in (*LEGS, *hops)}

    def ended(self, outcome: Outcome, minute: int, times: int = 1) -> None:
        """Note ends for the windows and the last-m rule; an orphan was not judged and counts in
        neither.
        """
        if outcome is Outcome.ORPHAN:
            return
        for _ in range(min(times, RECENT)):
            self.recent.append(outcome)
            self.windows.add(minute, failed=outcome in FAILED)

    def last(self, count: int) -> list[str]:
        """The last outcomes, oldest first."""
        return list(self.recent)[-count:]

    def lost_in_a_row(self) -> int:
        """How many of the last outcomes, up to now, are losses."""
        others = (
            index for index, outcome in enumerate(reversed(self.recent)) if outcome != Outcome.LOST
        )
        return next(others, len(self.recent))

    def dump(self) -> dict[str, Any]:
        """The JSON document that the constructor takes."""
        return {
            "mirror": dict(self.tally.mirror),
            "base": dict(self.tally.base),
            "windows": self.windows.dump(),
            "since": self.windows.since,
            "recent": list(self.recent),
            "latency": {leg: latency.dump() for leg, latency in self.latency.items()},
        }
