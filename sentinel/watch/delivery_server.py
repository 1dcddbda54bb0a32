"""What the numbers of a server mean, and how a server that counts too little is counted up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from sentinel.adapters.bus.command_counts import CommandCounts
from sentinel.adapters.bus.stream import SCRATCH_PREFIX, probe_capability
from sentinel.adapters.bus.stream_reader import Haul, Reading, ServerTraffic
from sentinel.adapters.redis import RedisClient
from sentinel.core.bus.delivery import Capability, StreamAccount, StreamView
from sentinel.core.bus.delivery.legacy import (
    Marks,
    begin_counting,
    complete_view,
    count_new,
    judge_last,
)
from sentinel.errors import NotMeasurable, SubjectError, TargetRejected
from sentinel.watch.delivery_books import DeliveryBooks

PROBE_AGAIN_AFTER = 300.0


@dataclass(slots=True)
class ServerNature:
    """Which server it is (run id, replication id), and what its numbers prove. `note` says why
    nothing was found out; `probed` is when that was tried, server time in seconds.
    """

    capability: Capability = field(default_factory=Capability)
    note: str = "not probed yet"
    server: list[str] = field(default_factory=list)
    probed: float = 0.0

    def take(self, info: Mapping[str, str]) -> bool:
        """Take in what INFO says; whether it is another server than before."""
        if not info:
            return False
        server = [info.get("run_id", ""), info.get("master_replid", "")]
        changed, self.server = server != self.server, server
        return changed

    def wants_probe(self, now: float) -> bool:
        """Whether it is time to try once more."""
        return bool(self.note) and now - self.probed > PROBE_AGAIN_AFTER

    def settle_for_nothing(self, now: float) -> None:
        """A server without counters: there is nothing to find out, and a group of ours would count
        among those that may drop deliveries.
        """
        self.probed, self.capability, self.note = now, Capability(family="no counters"), ""

    async def probe(self, client: RedisClient, run_id: str, now: float) -> None:
        """Find out by experiment what its numbers mean.

        The key is new each time: two checks of one server, or a check loaded anew within the second
        that the key lives, would refuse each other.
        """
        self.probed = now
        try:
            key = f"{SCRATCH_PREFIX}bus:{run_id[:16]}:{token_hex(8)}"
            self.capability, self.note = await probe_capability(client, key), ""
        except (NotMeasurable, SubjectError, TargetRejected) as error:
            self.capability = Capability()
            self.note = f"capability not probed, anchors only: {error.message}"

    def dump(self) -> list[Any]:
        """JSON-able document of the capability."""
        found = self.capability
        return [found.lag_exact, found.reads_counted, found.family, self.note]

    @classmethod
    def load(cls, document: Sequence[Any], server: list[str]) -> ServerNature:
        """What `dump` gave, and the server that it was."""
        lag_exact, reads_counted, family, note = document
        return cls(Capability(lag_exact, reads_counted, family), note, server)


@dataclass(slots=True)
class LegacyCount:
    """Ranks for a server that tells none (core/bus/delivery/legacy.py): its command counts when
    each stream was looked at last. `needed` once such a server was seen.

    At most `surplus` entries were published unseen in all streams together (None: an earlier
    version did not add them up), each to at most `widest` groups (measurement.md §11.7).
    """

    needed: bool = False
    marks: dict[bytes, Marks] = field(default_factory=dict)
    surplus: int | None = 0
    widest: int = 0

    def complete(
        self,
        books: DeliveryBooks,
        haul: Haul,
        readings: Mapping[bytes, Reading],
        traffic: ServerTraffic,
    ) -> dict[bytes, Reading]:
        """Give each snapshot the ranks that it does not tell."""
        readings = {key: self._judge_last(books, key, each) for key, each in readings.items()}
        latest = Marks(traffic.removals, traffic.swaps, traffic.published[0], traffic.epoch)
        counted = {}
        for key, reading in readings.items():
            counted[key] = self._count_new(books.find(key), key, reading, traffic)
        told = self._sum_told(counted, traffic)
        found = {}
        for key, reading in readings.items():
            view = reading.view
            if view is not None and view.legacy:
                spare = self._find_spare(key, traffic, told)
                view = self._complete_view(books.find(key), key, view, counted[key], latest, spare)
            found[key] = replace(reading, view=view)
        self._add_up([reading.view for reading in found.values() if reading.view is not None])
        self._mark(latest, haul.same)
        self._mark(latest, (key for key, reading in found.items() if reading.view is not None))
        return found

    def _add_up(self, views: Sequence[StreamView]) -> None:
        """What is unseen in one round is at most the surplus of the longest time in it."""
        if self.surplus is not None:
            self.surplus += max((view.unseen for view in views), default=0)
        self.widest = max([self.widest, *(len(view.groups) for view in views)])

    def share(self, unseen: int, groups: int = 1) -> int:
        """The sum of what is unseen in each stream, as all share it; `groups`: it is counted once
        for each group of a stream.
        """
        return unseen if self.surplus is None else min(unseen, self.surplus * groups)

    def _judge_last(self, books: DeliveryBooks, key: bytes, reading: Reading) -> Reading:
        """Whether the last id is that of an entry."""
        view, account = reading.view, books.find(key)
        if view is None or not view.legacy:
            return reading
        before = account.view if account is not None and account.present else None
        return replace(reading, view=judge_last(view, before))

    def _complete_view(
        self,
        account: StreamAccount | None,
        key: bytes,
        view: StreamView,
        counted: tuple[int | None, bool],
        latest: Marks,
        spare: int | None,
    ) -> StreamView:
        """A snapshot with the ranks that it does not tell."""
        (new, removed), mark = counted, self.marks.get(key)
        before = account.view if account is not None else None
        if before is not None and account is not None and not account.present:
            return begin_counting(view, before, None if spare is None else spare + (new or 0))
        swapped = mark is None or mark.swaps != latest.swaps
        return complete_view(view, before, new, removed=removed, swapped=swapped, spare=spare)

    def _mark(self, latest: Marks, keys: Iterable[bytes]) -> None:
        self.marks.update(dict.fromkeys(keys, latest))

    def _count_new(
        self, account: StreamAccount | None, key: bytes, reading: Reading, traffic: ServerTraffic
    ) -> tuple[int | None, bool]:
        """Entries that are new to us, and whether some may have been deleted meanwhile."""
        view, mark = reading.view, self.marks.get(key)
        removed = mark is None or mark.removals != traffic.removals
        if view is None or account is None or account.view is None or not view.legacy:
            return 0, removed
        if not account.present:
            return view.length + view.last_gone, removed
        return count_new(view, account.view, reading.fresh, removed=removed), removed

    def _publishes_at(self, key: bytes, traffic: ServerTraffic) -> int | None:
        """XADD when a stream was looked at last, None when the count began anew since."""
        mark = self.marks.get(key)
        return None if mark is None or mark.epoch != traffic.epoch else mark.publishes

    def _sum_told(
        self, counted: Mapping[bytes, tuple[int | None, bool]], traffic: ServerTraffic
    ) -> dict[int | None, int]:
        """Entries that are told apart, by the count of XADD from which on they are new."""
        told: dict[int | None, int] = {}
        for key, (new, _) in counted.items():
            publishes = self._publishes_at(key, traffic)
            told[publishes] = told.get(publishes, 0) + (new or 0)
        return told

    def _find_spare(
        self, key: bytes, traffic: ServerTraffic, told: Mapping[int | None, int]
    ) -> int | None:
        """At most so many XADD ran beyond those told apart; None when that can't be known."""
        publishes, calls = self._publishes_at(key, traffic), traffic.published[1]
        if publishes is None or calls is None:
            return None
        return max(0, calls - publishes - told[publishes])

    def dump(self, traffic: ServerTraffic) -> list[Any] | None:
        """JSON-able document; None where nothing is counted up."""
        if not self.needed:
            return None
        marks = {}
        for key, mark in self.marks.items():
            marks[key.decode()] = [mark.removals, mark.swaps, mark.publishes, mark.epoch]
        seen = traffic.seen.dump() if traffic.seen is not None else None
        counts = [traffic.epoch, self.surplus, self.widest]
        return [seen, traffic.removals, traffic.swaps, marks, *counts]

    @classmethod
    def load(cls, document: Sequence[Any] | None, traffic: ServerTraffic) -> LegacyCount:
        """What `dump` gave; the counts of the server go to the reader's `traffic`."""
        if not document:
            return cls()
        seen, traffic.removals, traffic.swaps, marks, *counts = document
        traffic.seen = CommandCounts.load(seen)
        traffic.epoch, surplus, widest = counts or (0, None, 0)
        known = {name.encode(): Marks(*mark) for name, mark in marks.items()}
        return cls(True, known, surplus, widest)
