"""The long-lived consumer of one canary path: own pending entries first, then new ones; reconnects
by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.bus.canary_ledger import GROUP, CanaryLedger
from sentinel.adapters.bus.stream import parse_entry_id
from sentinel.adapters.redis import RedisClient
from sentinel.core.canary import letter as canary
from sentinel.core.canary.letter import Arrival, Letter, Outcome
from sentinel.core.canary.traffic import CanaryTraffic
from sentinel.errors import TargetError, TargetRejected, WrongTarget

CONSUMER = "sentinel"  # one fixed name: a restarted sentinel inherits what it had not settled
BATCH = 100
BLOCK_MS = 500
GROUP_GONE = {"NOGROUP", "UNBLOCKED"}
NEVER = float("-inf")
Entry = tuple[bytes, list[bytes] | None]
"""An id, and fields; none where it was trimmed while it was pending."""
TRUSTED = 86400.0


@dataclass(frozen=True, slots=True)
class Rules:
    """Times of one path in seconds, and how many canaries a run sends."""

    deadline: float
    lost_after: float
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Clock:
    """Our own sense of time: monotonic seconds, and how long our event loop stood still since one
    of them.
    """

    monotonic: Callable[[], float]
    stalled: Callable[[float], float]


class CanaryReader:
    """Settles what arrives. `caught_up`: when the last read was issued that left nothing unread."""

    def __init__(
        self,
        ledger: CanaryLedger,
        letter: Letter,
        traffic: CanaryTraffic,
        rules: Rules,
        clock: Clock,
    ) -> None:
        self.ledger, self.rules, self.letter = ledger, rules, letter
        self.error: TargetError | None = None
        self.connected = self.caught_up = NEVER
        self.booted = clock.monotonic()
        self.arrived = asyncio.Event()
        self._traffic, self._clock = traffic, clock
        self._client: RedisClient = ledger.client
        self._highest = -1
        self._heard = self.booted
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read, on a connection of its own."""
        self._client = self.ledger.client.dedicated(BLOCK_MS / 1000 + 2)
        self._task = asyncio.create_task(
            self._live(), name=f"canary reader {self.ledger.place.inbox}"
        )

    async def close(self) -> None:
        """End the task and its connection; a cancellation that the client library swallowed does
        not revive it.
        """
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._client.close()

    def serves(self, ledger: CanaryLedger, letter: Letter, rules: Rules) -> bool:
        """Whether it is alive, and made for these keys on this client, this letter and these rules."""
        alive = self._task is not None and not self._task.done()
        same = self.ledger.client is ledger.client and self.ledger.place == ledger.place
        return alive and same and self.letter == letter and self.rules == rules

    def raise_if_dead(self) -> None:
        """A reader ends only by a fault of our own: raise it in the run that asks."""
        task = self._task
        if (
            task is not None
            and task.done()
            and not task.cancelled()
            and (error := task.exception())
        ):
            raise error

    def is_overdue(self, since: float) -> bool:
        """Whether what was sent at `since` must have been read by now, by a reader that was there
        all the time.
        """
        start = max(since, self.booted, self.connected)
        seen = canary.is_lost(
            since=start, caught_up=self.caught_up, loss_after=self.rules.lost_after
        )
        return self.connected > NEVER and seen

    async def drain(self) -> None:
        """Settle what is there, once, without waiting for more."""
        await self._open_group()
        await self._read_pending()
        while await self._read_new():
            pass

    async def _live(self) -> None:
        failures = 0
        while not self._closed:
            try:
                await self._open_group()
                await self._read_pending()
                failures = 0
                while not self._closed:
                    await self._read_new(BLOCK_MS)
            except TargetError as error:
                await self._rest(error, failures)
                failures = min(failures + 1, 10)

    async def _rest(self, error: TargetError, failures: int) -> None:
        """Keep the error for the next run, unless only the group is gone or we stood still; wait
        for the next try.
        """
        if error.code not in GROUP_GONE and not self._clock.stalled(self._heard):
            self.error = error
        self._heard = self._clock.monotonic()
        self.connected = NEVER
        if not self._closed:
            await asyncio.sleep(min(5.0, 0.05 * 2**failures))

    # --- reading ----------------------------------------------------------------------------------

    async def _open_group(self) -> None:
        """Make the group from the stream's beginning: what was published before it was there still
        counts.
        """
        try:
            await self._client.call(
                "XGROUP", "CREATE", self.ledger.place.inbox, GROUP, "0", "MKSTREAM"
            )
        except TargetRejected as error:
            if error.code != "BUSYGROUP":
                raise
        self.connected = self._clock.monotonic()

    async def _read_pending(self) -> None:
        cursor = b"0"
        while not self._closed and (entries := await self._read(cursor)):
            before = parse_entry_id(cursor)
            await self._receive(entries, self._clock.monotonic(), again=True)
            cursor = entries[-1][0]
            if parse_entry_id(cursor) <= before:
                raise WrongTarget(
                    "not a Redis server: it answers XREADGROUP with entries that were read before",
                    "check the address: another kind of server answers there",
                )

    async def _read_new(self, block_ms: int = 0) -> int:
        issued = self._clock.monotonic()
        entries = await self._read(b">", *(["BLOCK", block_ms] if block_ms else []))
        received = self._heard = self._clock.monotonic()
        self.error = None
        await self._receive(entries, received, again=False)
        if len(entries) < BATCH:
            self.caught_up = issued
        return len(entries)

    async def _read(self, after: bytes, *block: Any) -> list[Entry]:
        reply = await self._client.call(
            "XREADGROUP",
            "GROUP",
            GROUP,
            CONSUMER,
            "COUNT",
            BATCH,
            *block,
            "STREAMS",
            self.ledger.place.inbox,
            after,
        )
        return reply[0][1] if reply else []

    # --- settling ---------------------------------------------------------------------------------

    async def _receive(self, entries: Sequence[Entry], received: float, *, again: bool) -> None:
        """Settle what was delivered, in its order: promises are looked up in one round trip, and
        settled in another. What names one that was named before waits until that one is settled.
        """
        batch: dict[str, tuple[bytes, Arrival]] = {}
        for entry, fields in entries:
            arrival = self.letter.read(fields) if fields else None
            if arrival is None:
                await self._dismiss(entry, foreign=bool(fields))
                continue
            if arrival.seq in batch:
                await self._settle_all(batch, received, again=again)
                batch = {}
            batch[arrival.seq] = entry, arrival
        await self._settle_all(batch, received, again=again)

    async def _dismiss(self, entry: bytes, *, foreign: bool) -> None:
        """One that was trimmed while pending has no fields, and names no promise."""
        async with self.ledger.lock:
            await self.ledger.dismiss(entry, *(["foreign"] if foreign else []))
        self.arrived.set()

    async def _settle_all(
        self, batch: Mapping[str, tuple[bytes, Arrival]], received: float, *, again: bool
    ) -> None:
        if not batch:
            return
        async with self.ledger.lock:
            server_now, still_open = await self.ledger.find(*batch)
            results = await asyncio.gather(
                *(
                    self._match(*each, received, server_now, is_open=seq in still_open, again=again)
                    for seq, each in batch.items()
                ),
                return_exceptions=True,
            )
        self.arrived.set()
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed

    async def _match(
        self,
        entry: bytes,
        arrival: Arrival,
        received: float,
        server_now: float,
        *,
        is_open: bool,
        again: bool,
    ) -> None:
        at = milliseconds_of(entry)
        self._traffic.note_clock(arrival, at)
        if not is_open:
            await self.ledger.dismiss(entry, *filter(None, [self._traffic.explain_closed(arrival)]))
        elif arrival.final:
            await self._settle(entry, arrival, received, server_now - at / 1000, again=again)
        elif not self._traffic.note_report(arrival, entry, at):
            await self.ledger.dismiss(entry, "duplicates")
        # else it stays pending until its canary ends: after a restart it is read again

    async def _settle(
        self, entry: bytes, arrival: Arrival, received: float, waited: float, *, again: bool
    ) -> None:
        """`waited`: seconds for which the entry lay in the stream, by the server's clock."""
        traffic, seq, deadline = self._traffic, arrival.seq, self.rules.deadline
        flight = traffic.flights.get(seq)
        age = received - flight.sent if flight else 0.0
        stalled = self._clock.stalled(flight.sent) if flight else 0.0
        outcome = canary.decide_delivered(
            intact=arrival.intact,
            ours=flight is not None,
            age=age,
            deadline=deadline,
            stalled=stalled,
        )
        legs = traffic.measure(arrival, milliseconds_of(entry))
        extras = (
            *self._reordered(seq, again=again or not flight),
            *traffic.blame(outcome, seq, legs),
        )
        await self.ledger.settle(outcome, seq, [*traffic.entries_of(seq), entry], *extras)
        traffic.ended(outcome, seq, arrival)
        if flight and stalled <= deadline / 4 and outcome is not Outcome.CORRUPT:
            trusted = (
                0 <= waited <= TRUSTED
            )  # else the server's clock was set, or the id is no time
            self._measure({"total": age, **({**legs, "deliver": waited} if trusted else {})})

    def _measure(self, legs: dict[str, float]) -> None:
        for leg, seconds in legs.items():
            self._traffic.record.latency[leg].add(seconds)

    def _reordered(self, seq: str, *, again: bool) -> tuple[str, ...]:
        number = int(seq.partition(":")[2])
        if again:
            return ()
        earlier, self._highest = number < self._highest, max(number, self._highest)
        return ("reordered",) if earlier else ()


def milliseconds_of(entry: bytes) -> int:
    """The server's clock at which an entry was added."""
    return int(entry.partition(b"-")[0])
