"""When a group's lag is not what waits, on servers where it usually is (measurement.md §1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.bus.delivery.stream import Capability, GroupView, StreamView


@dataclass(slots=True)
class LagDoubt:
    """The lag is entries-added − entries-read: wrong once XSETID made up the one, and after XCLAIM
    moved a position until the other is known to be a rank again.

    `renumbers` is the count of XSETID at which the life began; `stale` are the groups that may have
    been moved so.
    """

    renumbers: int = 0
    stale: set[str] = field(default_factory=set)

    def screen(self, before: StreamView, view: StreamView, capability: Capability) -> StreamView:
        """The snapshot without the lags that prove nothing."""
        if not capability.lag_exact:
            return view
        self._note(view, forced=view.forces != before.forces)
        if view.renumbers != self.renumbers:
            return replace(view, groups={n: _without(each) for n, each in view.groups.items()})
        if not self.stale:
            return view
        groups = {n: _without(g) if n in self.stale else g for n, g in view.groups.items()}
        return replace(view, groups=groups)

    def _note(self, view: StreamView, *, forced: bool) -> None:
        if not (forced or self.stale):
            return
        doubted = view.groups if forced else self.stale & view.groups.keys()
        self.stale = {name for name in doubted if not _is_ranked(view, view.groups[name])}

    def doubt(self, groups: Iterable[str]) -> None:
        """XSETID may have made up entries-added: the lags of these are wrong until they are ranks."""
        self.stale |= set(groups)

    def begin(self, renumbers: int) -> None:
        """Another life: its numbers are the server's own from here on."""
        self.renumbers, self.stale = renumbers, set()

    def dump(self) -> list[Any]:
        """JSON-able document."""
        return [self.renumbers, sorted(self.stale)]

    @classmethod
    def load(cls, document: Sequence[Any] | None, groups: Iterable[str]) -> LagDoubt:
        """What `dump` gave; an earlier version did not watch this, so that every group is in doubt."""
        renumbers, stale = (0, groups) if document is None else document
        return cls(renumbers, set(stale))


def _is_ranked(view: StreamView, group: GroupView) -> bool:
    """Whether entries-read is the rank of the position, or is not used for the lag at all."""
    read = group.entries_read
    return read is None or (group.last_delivered >= view.end and read == view.added)


def _without(group: GroupView) -> GroupView:
    return group if group.lag is None else replace(group, lag=None)
