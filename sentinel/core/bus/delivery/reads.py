"""Entries-read as a count of deliveries, where it is one (measurement.md §1.2, §11.1, §11.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from sentinel.core.bus.delivery.loss import Losses
from sentinel.core.bus.delivery.step import SnapshotStep
from sentinel.core.bus.delivery.stream import (
    ZERO,
    Anchor,
    Capability,
    GroupView,
    Id,
    StreamView,
    point,
)
from sentinel.core.quantity import Bounds


def can_count_reads(view: StreamView, now: GroupView, capability: Capability) -> bool:
    """Whether entries-read moves by one for each delivery: not behind an XDEL, and on no server
    that estimates it.
    """
    counts = capability.reads_counted and now.entries_read is not None
    return counts and view.max_deleted == ZERO


class Reader(Protocol):
    """What is asked of a group here."""

    base: Anchor
    delivered: Id
    waiting: Bounds
    losses: Losses


@dataclass(slots=True)
class ReadCount:
    """Added − read − waiting of a group, when all three were known: it grows by exactly what is
    lost for as long as entries-read goes on to count.

    `certain` was lost for certain since. The server makes entries-read nil on a start from the AOF
    and when a group is made or moved, and estimates it at the next read: then it is a rank.
    """

    surplus: int | None = None
    certain: int = 0

    def keeps_on(self, step: SnapshotStep, now: GroupView, before: GroupView | None) -> bool:
        """Whether the number of this snapshot goes on from that of the last one."""
        if before is None or before.entries_read is None or step.in_doubt:
            return False
        return can_count_reads(step.view, now, step.capability)

    def begin_anew(self, losses: Losses) -> None:
        """Nothing that is possible now can be told by it any more."""
        self.surplus, self.certain = None, 0
        losses.close_open()

    def note_certain(self, count: int) -> None:
        """So many are lost for certain, and are no longer to be told apart."""
        if self.surplus is not None:
            self.certain += count

    def find_position(
        self, step: SnapshotStep, now: GroupView, position: Bounds, losses: Losses
    ) -> Bounds:
        """Nothing was lost: entries-read moved exactly with the rank."""
        known = self.surplus is not None and not self.certain and not losses.is_open
        if not known or now.entries_read is None or self.surplus is None:
            return position
        if not step.view.length or now.last_delivered < step.view.first:
            return position
        return position.meet(point(now.entries_read + self.surplus))

    def take(self, view: StreamView, now: GroupView, capability: Capability, group: Reader) -> None:
        """Where all three are known: resolve what was possible since they were known last.

        A group that stands before its base has a backlog that is not ours: nothing is told by it.
        """
        if not group.waiting.exact or not can_count_reads(view, now, capability):
            return
        # why `<`: at its base all of the backlog is read
        if now.entries_read is None or group.delivered < group.base.id:
            return
        surplus = view.added - now.entries_read - group.waiting.lo
        if self.surplus is None:
            group.losses.close_open()
        elif group.losses.is_open:
            group.losses.resolve(surplus - self.surplus - self.certain)
        self.surplus, self.certain = surplus, 0

    def dump(self) -> list[Any]:
        """JSON-able document."""
        return [self.surplus, self.certain]
