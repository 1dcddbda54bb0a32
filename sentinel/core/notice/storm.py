"""Too much at once: the first notices go one by one, what comes faster goes as a digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sentinel.core.notice.book import Telling, Tellings

REST = timedelta(seconds=30)
"""Between two digests."""
MAX_LISTED = 20
"""Tellings that a digest names; of the others it gives the number."""


@dataclass(frozen=True, slots=True)
class StormLimit:
    """So many notices on one channel `within` so many seconds go one by one."""

    most: int = 20
    within: float = 300.0


@dataclass(frozen=True, slots=True)
class Heap:
    """What waits for the digest of a channel: the first few, and how many in all. `number` is that
    of the digest.
    """

    first: tuple[Telling, ...] = ()
    count: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Storm:
    """What every channel was sent of late, and what waits."""

    sent: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    heaps: Mapping[str, Heap] = field(default_factory=dict)


def admit(
    storm: Storm, tellings: Iterable[Telling], limits: Mapping[str, StormLimit], now: datetime
) -> tuple[Storm, Tellings, dict[str, Heap]]:
    """What is sent now one by one, and the digests that are. A channel without a limit gets
    everything: it keeps alerts, and has to know each of them.
    """
    sent = {
        name: tuple(at for at in storm.sent.get(name, ()) if now - at < _window(limit))
        for name, limit in limits.items()
    }
    heaps, alone = dict(storm.heaps), Tellings()
    for telling in tellings:
        name = telling.channel
        limit = limits.get(name)
        if limit is None:
            alone.append(telling)
        elif heaps.get(name, Heap()).count or len(sent[name]) >= limit.most:
            heaps[name] = _add(heaps.get(name, Heap()), telling)
        else:
            sent[name] = (*sent[name], now)
            alone.append(telling)
    digests = {}
    for name, heap in heaps.items():
        latest = max(sent.get(name, ()), default=None)
        if heap.count and (latest is None or now - latest >= REST):
            digests[name] = replace(heap, number=heap.number + 1)
            heaps[name] = Heap(number=heap.number + 1)
            sent[name] = (*sent.get(name, ()), now)
    return Storm(sent, heaps), alone, digests


def _window(limit: StormLimit) -> timedelta:
    return timedelta(seconds=limit.within)


def _add(heap: Heap, telling: Telling) -> Heap:
    first = heap.first if len(heap.first) >= MAX_LISTED else (*heap.first, telling)
    return Heap(first, heap.count + 1, heap.number)
