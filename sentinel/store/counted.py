"""What may be asked and done about objectives in a store."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from sentinel.core.objective import ObjectiveStanding, Slice, Tally


class CountedReader(Protocol):
    """What everybody may ask."""

    def objectives(self) -> list[ObjectiveStanding]:
        """How each objective stood at the last look, by name."""
        ...

    def slices(self, source: str, *, since: datetime) -> list[Slice]:
        """What was counted for the source of an objective since an instant, oldest first."""
        ...


class CountedStore(CountedReader, Protocol):
    """What the daemon may do besides."""

    def tallies(self) -> dict[str, Tally]:
        """Where the counters of each source stood when it was last counted, and what was counted."""
        ...

    def keep_objectives(self, names: Collection[str], sources: Collection[str]) -> None:
        """Drop the standings of other objectives, and where the counters of other sources stood:
        what is counted while nobody looks is nobody's.
        """
        ...
