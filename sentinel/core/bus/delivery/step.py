"""One move from a snapshot of a stream to the next, and what may have happened in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.core.bus.delivery.stream import (
    OLDEST_PLAUSIBLE,
    Anchor,
    Capability,
    Id,
    StreamView,
    bound_rank,
)
from sentinel.core.quantity import Bounds

TOUCHING = 5
"""So many of the calls may touch groups; XSETID touches numbers, and reads are what is counted."""


@dataclass(frozen=True, slots=True)
class SnapshotStep:
    """One move from a snapshot to the next, in one life of a stream. The gaps bound the ranks
    before the head.
    """

    before: StreamView
    view: StreamView
    anchors: Sequence[Anchor]
    gap_before: Bounds
    gap: Bounds
    capability: Capability
    quiet: bool = False
    """No call that may have touched a group can have happened in between."""

    def rank(self, entry: Id) -> Bounds:
        """Publish rank of an id, as the new snapshot bounds it."""
        return bound_rank(entry, self.view, self.anchors, self.gap)

    def find_oldest(self, position: Id, known: Id | None, stood: Id) -> Id | None:
        """The oldest entry behind a position, for a group of which some wait: the head, or the one
        that was `known` when it `stood` there as well and nothing went since; None: ask.
        """
        if self.view.first > position:
            return self.view.first
        went = self.view.removed != self.before.removed or self.view.unseen > 0 or self.moved
        return None if went or position != stood else known

    @property
    def moved(self) -> bool:
        """Whether a group may have been destroyed or set elsewhere, or the stream replaced."""
        return self.view.doubtful or self.view.moves != self.before.moves

    @property
    def in_doubt(self) -> bool:
        """Whether a group may be another one, or stand elsewhere than its reads took it
        (measurement.md §11.4).

        A group that is made does not touch those that are there, unless the stream went with them.
        """
        created = self.view.creations != self.before.creations
        return self.moved or (created and not self._is_continued)

    @property
    def _is_continued(self) -> bool:
        """An id that is a time is never given twice; a number of a sequence may be, and an empty
        stream has none: there no key may have ended.
        """
        if self.view.kept is True and self.before.last[0] > OLDEST_PLAUSIBLE:
            return True
        return not self.view.doubtful and self.view.ends == self.before.ends

    @property
    def anew(self) -> bool:
        """Whether the counts of commands began anew, as far as one can see: all of them moved."""
        now, before = self.view.calls[:TOUCHING], self.before.calls[:TOUCHING]
        return all(one != other for one, other in zip(now, before, strict=True))

    @property
    def forced(self) -> bool:
        """Whether XCLAIM may have delivered beyond a position, or moved it."""
        return self.view.forces != self.before.forces

    @property
    def deleted(self) -> bool:
        """Whether a consumer or a group may have been deleted with what it held."""
        return self.view.doubtful or self.view.deletions != self.before.deletions


def find_quiet(before: StreamView, view: StreamView) -> bool:
    """Whether no call in between can have touched any group."""
    return not view.doubtful and view.calls[:TOUCHING] == before.calls[:TOUCHING]
