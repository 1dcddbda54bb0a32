"""The last minute of settled cohorts: what the verdict of a check rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.bus.delivery.cohort import ACK, Settlement
from sentinel.core.quantity import Bounds


@dataclass(frozen=True, slots=True)
class Tally:
    """One run, at server time `at` (seconds): acknowledgement settlements, new losses, and breaks
    of lineage.
    """

    at: float
    size: int
    good: Bounds
    lost: int = 0
    breaks: tuple[str, ...] = ()


def tally(
    at: float, settlements: Sequence[Settlement], lost: int = 0, breaks: Sequence[str] = ()
) -> Tally:
    """Sum up one run."""
    acked = [each for each in settlements if each.stage == ACK]
    good = sum((each.good for each in acked), start=Bounds(0, 0))
    return Tally(at, sum(each.size + each.unseen for each in acked), good, lost, tuple(breaks))


@dataclass(slots=True)
class Window:
    """Tallies of the last `seconds`."""

    seconds: float
    tallies: list[Tally] = field(default_factory=list)

    def add(self, latest: Tally) -> None:
        """Append a run and drop what is too old; runs in which nothing happened are not kept."""
        kept = [each for each in self.tallies if latest.at - each.at < self.seconds]
        happened = latest.size or latest.lost or latest.breaks
        self.tallies = [*kept, latest] if happened else kept

    @property
    def size(self) -> int:
        """Entries settled."""
        return sum(each.size for each in self.tallies)

    @property
    def good(self) -> Bounds:
        """Entries settled as acknowledged."""
        return sum((each.good for each in self.tallies), start=Bounds(0, 0))

    @property
    def lost(self) -> int:
        """Entries certainly lost."""
        return sum(each.lost for each in self.tallies)

    @property
    def breaks(self) -> list[str]:
        """What happened to streams and groups, latest last."""
        return [each for tally in self.tallies for each in tally.breaks]

    def is_below(self, ratio: float, least: int) -> bool:
        """Whether even the best case of at least `least` entries is below this ratio."""
        return self.size >= least and self.good.hi / self.size < ratio

    def dump(self) -> list[Any]:
        """JSON-able document."""
        return [[t.at, t.size, t.good.lo, t.good.hi, t.lost, list(t.breaks)] for t in self.tallies]

    @classmethod
    def load(cls, document: Sequence[Any], seconds: float) -> Window:
        """What `dump` gave."""
        tallies = [
            Tally(at, size, Bounds(lo, hi), lost, tuple(b))
            for at, size, lo, hi, lost, b in document
        ]
        return cls(seconds, tallies)
