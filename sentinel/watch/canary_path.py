"""One canary path: sends, waits briefly, writes off. What survives a restart is its record and its
losses.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.adapters.bus.canary_ledger import CanaryLedger, CanaryPlace
from sentinel.adapters.bus.canary_reader import NEVER, CanaryReader, Clock, Rules, milliseconds_of
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.shared import AnswerLost, SharedWire
from sentinel.core.canary.letter import Letter, Outcome
from sentinel.core.canary.record import CanaryRecord, CanaryTally
from sentinel.core.canary.traffic import CanaryTraffic
from sentinel.errors import NotMeasurable, TargetError, TargetRejected, TargetUnreachable

MAX_OPEN = 500  # half of the stream's MAXLEN: our own trimming must never lose a canary
MOVING = {"MOVED", "ASK", "TRYAGAIN"}
"""A cluster's words for: not here, or not yet."""


@dataclass(frozen=True, slots=True)
class Pause:
    """When a path through the product holds back: so many lost in a row, then one canary every so
    many seconds.
    """

    after: int
    every: float


@dataclass(frozen=True, slots=True)
class Trip:
    """One run of one path: where, what, by which rules; seconds and aware UTC. `held`: why nothing
    is to be sent.
    """

    client: RedisClient
    place: CanaryPlace
    letter: Letter
    rules: Rules
    clock: Clock
    now: datetime
    interval: float
    patience: float
    trace_id: str
    pause: Pause | None = None
    held: str = ""


@dataclass(slots=True)
class Outlook:
    """What a run saw: promises still open, canaries wiped from the server, who else uses the path,
    what was wrong.
    """

    open: int = 0
    wiped: int = 0
    holder: str = ""
    held: str = ""
    refused: TargetRejected | None = None
    error: TargetError | None = None
    reader_error: TargetError | None = None


@dataclass(slots=True)
class _Turn:
    """When this process last ran the path to the end, and last sent; monotonic seconds."""

    ran: float | None = None
    sent: float = field(default=float("-inf"))


class CanaryPath:
    """State of one path. `tag` decides the slot in a cluster."""

    def __init__(self, hops: Sequence[str] = (), document: dict[str, Any] | None = None) -> None:
        known = document or {}
        self.record = CanaryRecord(known.get("record"), hops)
        self.traffic = CanaryTraffic(self.record, hops, known.get("past"))
        self.tag = str(known.get("tag", ""))
        past = self.record.tally.total(Outcome.LOST) if known else None
        self._told: int | None = known.get("told", past)
        self.reader: CanaryReader | None = None
        self._epoch = secrets.token_hex(6)
        self._number = 0
        self._turn = _Turn()

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        return {
            "record": self.record.dump(),
            "past": self.traffic.dump_past(),
            "tag": self.tag,
            "told": self._told,
        }

    def take_lost(self) -> int:
        """How many were lost since this was asked last; what a former life of sentinel left on the
        server is none of it.
        """
        lost, told = self.record.tally.total(Outcome.LOST), self._told
        self._told = lost
        return 0 if told is None else max(0, lost - told)

    async def close(self) -> None:
        """End the reader."""
        reader, self.reader = self.reader, None
        if reader is not None:
            await reader.close()

    async def run(self, trip: Trip) -> Outlook:
        """Send, wait, write off, count. Raises TargetError when the server can't be asked."""
        try:
            outlook = await self._run(trip)
        except TargetRejected as error:
            raise _explain(error) from error
        if outlook.reader_error is not None and outlook.reader_error.code in MOVING:
            raise _explain(outlook.reader_error)
        return outlook

    async def _run(self, trip: Trip) -> Outlook:
        begun = trip.clock.monotonic()
        last, self._turn.ran = self._turn.ran, None
        self.record.windows.begin(trip.now.timestamp())
        self.traffic.minute = int(trip.now.timestamp() // 60)
        outlook = Outlook(held=trip.held or self._holds_back(trip))
        reader = await self._travel(_open_ledger(trip, self.record.tally), trip, outlook)
        if reader is None:
            await self.close()
            return outlook
        outlook.open, outlook.wiped = await reader.ledger.audit()
        self.traffic.wiped(outlook.wiped)
        outlook.reader_error = reader.error
        self._turn.ran = begun
        if last is not None and self._sees(outlook):
            self._cover(trip, begun, last)
        return outlook

    async def _travel(
        self, ledger: CanaryLedger, trip: Trip, outlook: Outlook
    ) -> CanaryReader | None:
        """Send, wait, write off; the reader, None when the path is another sentinel's."""
        try:
            outlook.holder = await ledger.claim(max(5.0, 4 * trip.interval))
            if outlook.holder:
                return None
            reader = await self._attach(ledger, trip)
            sent = [] if outlook.held else await self._send_burst(reader, trip)
            await self._wait_for_arrival(sent, reader, trip)
            await self._reap(reader)
        except TargetRejected as error:
            if (
                error.code in MOVING
            ):  # that the slot is on its way to another node is no failure of the path
                raise
            self.traffic.refused()
            outlook.refused = error
            reader = await self._attach(ledger, trip)
        return reader

    async def _attach(self, ledger: CanaryLedger, trip: Trip) -> CanaryReader:
        """The running reader for these keys, letter and rules; a dead one is raised, then replaced."""
        reader = self.reader
        if reader is not None and not reader.serves(ledger, trip.letter, trip.rules):
            await self.close()
            reader.raise_if_dead()
        if self.reader is None:
            self.reader = CanaryReader(ledger, trip.letter, self.traffic, trip.rules, trip.clock)
            self.reader.start()
        return self.reader

    # --- sending ----------------------------------------------------------------------------------

    def _holds_back(self, trip: Trip) -> str:
        """Why nothing is sent into the product now; "" when something is. A dead consumer's stream
        must not fill.
        """
        pause, waited = trip.pause, trip.clock.monotonic() - self._turn.sent
        if pause is None or self.traffic.lost_in_a_row < pause.after or waited >= pause.every:
            return ""
        return (
            f"holding back: {self.traffic.lost_in_a_row} in a row were lost, next one in"
            f" {pause.every - waited:.0f} s"
        )

    async def _send_burst(self, reader: CanaryReader, trip: Trip) -> list[str]:
        """Publish the canaries of this run; their sequence names."""
        self._turn.sent = trip.clock.monotonic()
        room = min(trip.rules.burst, MAX_OPEN - len(self.traffic.flights))
        results = await asyncio.gather(
            *(self._send(reader, trip) for _ in range(room)), return_exceptions=True
        )
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed
        return [seq for seq in results if isinstance(seq, str)]

    async def _send(self, reader: CanaryReader, trip: Trip) -> str:
        self._number += 1
        seq = f"{self._epoch}:{self._number}"  # no other life of sentinel gives this name
        fields = trip.letter.write(seq, _traceparent(trip.trace_id), trip.now.isoformat())
        begun = self.traffic.depart(seq, trip.clock.monotonic())
        try:
            entry = await reader.ledger.publish(seq, fields, trip.now.timestamp())
        # The reader or the reaper will know. Whoever publishes through this server has the same.
        except (TargetUnreachable, AnswerLost) as error:
            text = f"ack lost, the canary may be there or not: {error.message}"
            raise TargetUnreachable(text, error.guidance) from error
        except TargetError:
            self.traffic.forget(seq)
            raise
        self.traffic.confirm(seq, milliseconds_of(entry))
        self.record.latency["publish"].add(trip.clock.monotonic() - begun)
        return seq

    async def _wait_for_arrival(
        self, sent: Sequence[str], reader: CanaryReader, trip: Trip
    ) -> None:
        """Give the burst a chance to be part of this finding; a slow one is settled by a later run."""
        until = trip.clock.monotonic() + min(trip.rules.deadline, trip.patience)
        flights = self.traffic.flights
        while any(seq in flights for seq in sent) and reader.error is None:
            reader.arrived.clear()
            try:
                await asyncio.wait_for(
                    reader.arrived.wait(), max(0.0, until - trip.clock.monotonic())
                )
            except TimeoutError:
                return

    # --- writing off ------------------------------------------------------------------------------

    async def _reap(self, reader: CanaryReader) -> None:
        """Settle as lost what the reader must have seen by now (and did not)."""
        if not reader.is_overdue(reader.booted):
            return
        for seq in await reader.ledger.oldest():
            flight = self.traffic.flights.get(seq)
            if reader.is_overdue(flight.sent if flight else reader.booted):
                await self._write_off(reader.ledger, seq)
        self._forget(reader)

    async def _write_off(self, ledger: CanaryLedger, seq: str) -> None:
        async with ledger.lock:
            if seq in (await ledger.find(seq))[1]:
                blamed = self.traffic.blame(Outcome.LOST, seq, {})
                await ledger.settle(Outcome.LOST, seq, self.traffic.entries_of(seq), *blamed)
                self.traffic.ended(Outcome.LOST, seq)

    def _forget(self, reader: CanaryReader) -> None:
        """Overdue flights without a promise: in doubt ones were never published, others were wiped
        (see audit).
        """
        for seq, flight in list(self.traffic.flights.items()):
            if reader.is_overdue(flight.sent):
                if seq in self.traffic.doubtful:
                    self.traffic.refused()
                self.traffic.give_up(seq)

    async def retire(self, trip: Trip) -> None:
        """The path goes elsewhere: settle what lies under its old keys, keep the totals, leave
        nothing behind.

        An entry is in the stream before its promise is confirmed: what has none now is lost.
        """
        await self.close()
        ledger = _open_ledger(trip, self.record.tally)
        await CanaryReader(ledger, trip.letter, self.traffic, trip.rules, trip.clock).drain()
        for seq in await ledger.oldest():
            await self._write_off(ledger, seq)
        self.traffic.wiped((await ledger.audit())[1])
        await ledger.erase()
        for seq in list(self.traffic.flights):
            self.traffic.give_up(seq)

    # --- coverage ---------------------------------------------------------------------------------

    def _sees(self, outlook: Outlook) -> bool:
        reader = self.reader
        return (
            not outlook.held
            and outlook.reader_error is None
            and reader is not None
            and reader.connected > NEVER
        )

    def _cover(self, trip: Trip, begun: float, last: float) -> None:
        """Note the time since the last run as seen, without our own standstills and what a missed
        run left blind.
        """
        stalled = trip.clock.stalled(last)
        self.record.windows.cover(
            trip.now.timestamp(), max(0.0, min(begun - last, 2 * trip.interval) - stalled)
        )


def _open_ledger(trip: Trip, tally: CanaryTally) -> CanaryLedger:
    """All canaries of a server go over one connection, and those of one turn in one write."""
    wire = SharedWire(trip.client, "canaries")
    return CanaryLedger(trip.client, trip.place, tally, wire)


def _explain(error: TargetError) -> TargetError:
    """A cluster's word for "not here" is no verdict on it."""
    if error.code not in MOVING:
        return error
    guidance = "a cluster needs `per_shard: true`; then the next run follows its slots"
    return NotMeasurable(f"the slot is another node's: {error.message}", guidance, code=error.code)


def _traceparent(trace_id: str) -> str:
    """W3C trace context: a new span of the run's trace."""
    trace = trace_id if re.fullmatch(r"[0-9a-f]{32}", trace_id) else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"
