"""Kind `bus_canary`: does a message that is published arrive, in time, once, and unchanged?

Its own stream and group per path (measurement.md §2.1–2.2), a ledger of promises beside the stream, and
a reader that lives as long as the state. A run sends, waits briefly, writes off and judges.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from sentinel.adapters.canary_ledger import GROUP, Ledger
from sentinel.adapters.redis import RedisClient
from sentinel.core import canary
from sentinel.core.canary import Outcome, Record
from sentinel.core.model import Finding, Measurement, Row, Status, worst
from sentinel.core.quantity import Duration, Percentage, format_duration
from sentinel.errors import TargetError, TargetRejected, TargetUnreachable
from sentinel.probes import Context, Kind, Options

CONSUMER = "sentinel"  # one fixed name: a restarted sentinel inherits what it had not settled
BATCH = 100
BLOCK_MS = 500
MAX_OPEN = 500  # half of the stream's MAXLEN: our own trimming must never lose a canary
GROUP_GONE = {"NOGROUP", "UNBLOCKED"}


class FailuresOf(Options):
    """k of the last m."""

    failures: int = Field(2, ge=1, description="this many failed canaries …")
    of: int = Field(20, ge=1, le=canary.RECENT, description="… of the last so many are degraded")


class CanaryOptions(Options):
    """Options of `bus_canary`."""

    resource: str | None = Field(None, description="Redis resource to send canaries through")
    path: str = Field(
        "0",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="name of the path: the stream is sentinel:canary:{path}; two sentinels need two paths",
    )
    deadline: Duration = Field(1.0, gt=0, description="a canary that takes longer is late")
    loss_after: Duration | None = Field(None, description="not seen after this time is lost; default 4 × deadline")
    burst: int = Field(1, ge=1, le=100, description="canaries per run")
    failures_of: FailuresOf = Field(FailuresOf(), description="how many failures of the last canaries are degraded")
    down_after: int = Field(3, ge=1, le=canary.RECENT, description="so many canaries lost in a row are down")
    target: Percentage = Field(0.995, gt=0, lt=1, description="delivery target that the confidence verdict is about")

    @property
    def lost_after(self) -> float:
        """Seconds until an unseen canary is lost (3–5 deadlines, measurement.md §2.2)."""
        return self.loss_after if self.loss_after is not None else 4 * self.deadline


class Reader:
    """The long-lived consumer of one path: own pending entries first, then new ones; reconnects by itself."""

    def __init__(self, ledger: Ledger, state: CanaryState, options: CanaryOptions, context: Context) -> None:
        self.ledger = ledger
        self.error: TargetError | None = None
        self.connected = self.caught_up = float("-inf")
        self.booted = context.monotonic()
        self.arrived = asyncio.Event()
        self.options = options
        self._state = state
        self._context = context
        self._client = ledger.client.dedicated(BLOCK_MS / 1000 + 2)
        self._highest = -1
        self._heard = self.booted
        self._closed = False
        self._task = asyncio.create_task(self._live(), name=f"canary reader {ledger.stream}")

    async def close(self) -> None:
        """End the task and its connection; a cancellation that the client library swallowed does not revive it."""
        self._closed = True
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.close()

    def serves(self, client: RedisClient, options: CanaryOptions) -> bool:
        """Whether it is alive, and made for this client and these options."""
        return not self._task.done() and self.ledger.client is client and self.options == options

    def raise_if_dead(self) -> None:
        """A reader ends only by a fault of our own: raise it in the run that asks."""
        if not self._task.cancelled() and (error := self._task.exception()):
            raise error

    async def _live(self) -> None:
        failures = 0
        while not self._closed:
            try:
                await self._open_group()
                await self._read_pending()
                failures = 0
                while not self._closed:
                    await self._read_new()
            except TargetError as error:
                await self._rest(error, failures)
                failures = min(failures + 1, 10)

    async def _rest(self, error: TargetError, failures: int) -> None:
        """Keep the error for the next run, unless only the group is gone or we stood still; wait for the next try."""
        if error.code not in GROUP_GONE and not self._context.stalled(self._heard):
            self.error = error
        self._heard = self._context.monotonic()
        self.connected = float("-inf")
        if not self._closed:
            await asyncio.sleep(min(5.0, 0.05 * 2**failures))

    async def _open_group(self) -> None:
        """Make the group from the stream's beginning: what was published before it was there still counts."""
        try:
            await self._client.call("XGROUP", "CREATE", self.ledger.stream, GROUP, "0", "MKSTREAM")
        except TargetRejected as error:
            if error.code != "BUSYGROUP":
                raise
        self.connected = self._context.monotonic()

    async def _read_pending(self) -> None:
        cursor = b"0"
        while entries := await self._read(cursor):
            for entry, fields in entries:
                await self._receive(entry, fields, self._context.monotonic(), again=True)
                cursor = entry

    async def _read_new(self) -> None:
        issued = self._context.monotonic()
        entries = await self._read(b">", "BLOCK", BLOCK_MS)
        received = self._heard = self._context.monotonic()
        self.error = None
        for entry, fields in entries:
            await self._receive(entry, fields, received, again=False)
        if len(entries) < BATCH:
            self.caught_up = issued

    async def _read(self, after: bytes, *block: Any) -> list[tuple[bytes, list[bytes] | None]]:
        reply = await self._client.call(
            "XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", BATCH, *block, "STREAMS", self.ledger.stream, after
        )
        return reply[0][1] if reply else []

    async def _receive(self, entry: bytes, fields: list[bytes] | None, received: float, *, again: bool) -> None:
        """Settle one delivered entry. One that was trimmed while pending has no fields and names no promise."""
        async with self.ledger.lock:
            if not fields:
                await self.ledger.dismiss(entry)
            elif (seq := canary.sequence_of(fields)) is None:
                await self.ledger.dismiss(entry, "foreign")
            else:
                await self._match(entry, seq, fields, received, again=again)
        self.arrived.set()

    async def _match(self, entry: bytes, seq: str, fields: list[bytes], received: float, *, again: bool) -> None:
        server_now, is_open = await self.ledger.find(seq)
        if not is_open:
            await self.ledger.dismiss(entry, "duplicates")
            return
        sent = self._state.flight.get(seq)
        age = received - sent if sent is not None else 0.0
        stalled = self._context.stalled(sent) if sent is not None else 0.0
        outcome = canary.decide_delivered(
            intact=canary.is_intact(fields),
            ours=sent is not None,
            age=age,
            deadline=self.options.deadline,
            stalled=stalled,
        )
        await self.ledger.settle(outcome, seq, entry, *self._reordered(seq, sent, again=again))
        self._state.ended(outcome, seq)
        if sent is not None and stalled <= self.options.deadline / 4 and outcome is not Outcome.CORRUPT:
            self._state.record.latency["total"].add(age)
            self._state.record.latency["deliver"].add(max(0.0, server_now - _seconds_of(entry)))

    def _reordered(self, seq: str, sent: float | None, *, again: bool) -> tuple[str, ...]:
        number = int(seq.partition(":")[2])
        if sent is None or again:
            return ()
        earlier, self._highest = number < self._highest, max(number, self._highest)
        return ("reordered",) if earlier else ()


class CanaryState:
    """What survives is the record. Flights, reader and connection are of this process."""

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        known = document or {}
        self.record = Record(known.get("record"))
        self.flight: dict[str, float] = {}
        self.doubtful: set[str] = set()
        self.reader: Reader | None = None
        self._epoch = secrets.token_hex(6)
        self._number = 0
        self.minute = 0

    def dump(self) -> Any:
        """JSON-able document."""
        return {"record": self.record.dump()}

    async def close(self) -> None:
        """End the reader."""
        reader, self.reader = self.reader, None
        if reader is not None:
            await reader.close()

    async def attach(self, options: CanaryOptions, context: Context) -> Reader:
        """The running reader for this client and these options; a dead one is raised, then replaced."""
        self.minute = int(context.utcnow().timestamp() // 60)
        reader, client = self.reader, context.redis()
        if reader is not None and not reader.serves(client, options):
            await self.close()
            reader.raise_if_dead()
        if self.reader is None:
            self.reader = Reader(Ledger(client, options.path, self.record.tally), self, options, context)
        return self.reader

    def next_sequence(self) -> str:
        """A name that no other life of sentinel gives."""
        self._number += 1
        return f"{self._epoch}:{self._number}"

    def depart(self, seq: str, now: float) -> float:
        """Note a canary as on its way, in doubt until the server has confirmed it. Gives `now` back."""
        self.flight[seq] = now
        self.doubtful.add(seq)
        return now

    def arrive(self, seq: str) -> None:
        """The canary is not on its way any more."""
        self.flight.pop(seq, None)
        self.doubtful.discard(seq)

    def ended(self, outcome: Outcome, seq: str = "", times: int = 1) -> None:
        """Note an end in the record; one of ours without a latency verdict was voided by our own stall."""
        self.record.ended(outcome, self.minute, times)
        if outcome is Outcome.ORPHAN and seq in self.flight:
            self.record.tally.credit("blind", 1)
        self.arrive(seq)

    def refused(self) -> None:
        """Note a canary that was never published."""
        self.record.tally.credit(Outcome.PUBLISH_ERROR, 1)
        self.ended(Outcome.PUBLISH_ERROR)


async def run(options: CanaryOptions, context: Context) -> Finding:
    """Send a burst, wait at most one deadline for it, write off what is lost, and judge the last canaries."""
    state: CanaryState = context.state
    refused: TargetRejected | None = None
    try:
        holder = await Ledger(context.redis(), options.path, state.record.tally).claim(max(5.0, 4 * context.interval))
        if holder:
            await state.close()
            return _shared(options, holder)
        reader = await state.attach(options, context)
        sent = await _send_burst(state, reader, options, context)
        await _wait_for_arrival(sent, reader, options, context)
        await _reap(state, reader, options)
    except TargetRejected as error:
        refused = error
        state.refused()
        reader = await state.attach(options, context)
    still_open, wiped = await reader.ledger.audit()
    state.ended(Outcome.LOST, times=wiped)
    return _judge(options, state, still_open, _problems(options, state, reader, refused, wiped))


async def _send_burst(state: CanaryState, reader: Reader, options: CanaryOptions, context: Context) -> list[str]:
    """Publish the canaries of this run; their sequence names."""
    sent: list[str] = []
    while len(sent) < options.burst and len(state.flight) < MAX_OPEN:
        seq = state.next_sequence()
        fields = canary.encode(seq, _traceparent(context.trace_id))
        begun = state.depart(seq, context.monotonic())
        try:
            await reader.ledger.publish(seq, fields, context.utcnow().timestamp())
        except TargetUnreachable as error:  # sent or not? The reader or the reaper will know
            text = f"ack lost, the canary may be there or not: {error.message}"
            raise TargetUnreachable(text, error.guidance) from error
        except TargetError:
            state.arrive(seq)
            raise
        state.doubtful.discard(seq)
        state.record.latency["publish"].add(context.monotonic() - begun)
        sent.append(seq)
    return sent


async def _wait_for_arrival(sent: Sequence[str], reader: Reader, options: CanaryOptions, context: Context) -> None:
    """Give the burst a chance to be part of this finding; a slow one is settled by a later run."""
    until = context.monotonic() + min(options.deadline, context.timeout / 4)
    flight = context.state.flight
    while any(seq in flight for seq in sent) and reader.error is None:
        reader.arrived.clear()
        try:
            await asyncio.wait_for(reader.arrived.wait(), max(0.0, until - context.monotonic()))
        except TimeoutError:
            return


async def _reap(state: CanaryState, reader: Reader, options: CanaryOptions) -> None:
    """Settle as lost what the reader must have seen by now (and did not)."""
    if not _overdue(reader, options, reader.booted):
        return
    for seq in await reader.ledger.oldest():
        if _overdue(reader, options, state.flight.get(seq, reader.booted)):
            async with reader.ledger.lock:
                if (await reader.ledger.find(seq))[1]:
                    await reader.ledger.settle(Outcome.LOST, seq, None)
                    state.ended(Outcome.LOST, seq)
    _forget(state, reader, options)


def _overdue(reader: Reader, options: CanaryOptions, since: float) -> bool:
    start = max(since, reader.booted, reader.connected)
    alive = reader.connected > float("-inf")
    return alive and canary.is_lost(since=start, caught_up=reader.caught_up, loss_after=options.lost_after)


def _forget(state: CanaryState, reader: Reader, options: CanaryOptions) -> None:
    """Overdue flights without a promise: in doubt ones were never published, others were wiped (see audit)."""
    for seq, sent in list(state.flight.items()):
        if _overdue(reader, options, sent):
            if seq in state.doubtful:
                state.refused()
            state.arrive(seq)


# --- judgement ----------------------------------------------------------------------------------

Problem = tuple[Status, str, str]


def _problems(
    options: CanaryOptions, state: CanaryState, reader: Reader, refused: TargetError | None, wiped: int
) -> list[Problem]:
    """(status, detail, guidance) of everything that is wrong, worst first."""
    problems: list[Problem] = []
    if refused is not None:
        problems.append((refused.status, f"publish refused: {refused.message}", refused.guidance))
    if reader.error is not None:
        problems.append((reader.error.status, f"reader: {reader.error.message}", reader.error.guidance))
    if wiped:
        detail = f"{wiped} open canaries were wiped from the server (flush, eviction or failover): counted as lost"
        problems.append((Status.DEGRADED, detail, "who ran FLUSHALL, or which maxmemory-policy evicts streams?"))
    rule = options.failures_of
    status, detail = canary.judge_recent(
        list(state.record.recent), failures=rule.failures, of=rule.of, down_after=options.down_after
    )
    if status is not Status.UP:
        problems.append((status, detail, _RECENT_GUIDANCE.get(status, "")))
    return sorted(problems, key=lambda problem: -problem[0].rank)


_RECENT_GUIDANCE = {
    Status.DOWN: "is the stream trimmed or deleted, or does another consumer read its group?",
    Status.DEGRADED: "compare the counts in the evidence: lost, late and corrupt have different causes",
    Status.UNKNOWN: "the first verdict comes with the next runs",
}


def _judge(options: CanaryOptions, state: CanaryState, still_open: int, problems: list[Problem]) -> Finding:
    recent = state.record.last(options.failures_of.of)
    good = sum(outcome not in canary.FAILED for outcome in recent)
    share = f"{100 * good / len(recent):.4g} % of {len(recent)}" if recent else "no data"
    hour = canary.judge(*state.record.windows.count(state.minute, 60), options.target)
    said = f"{hour.verdict} for {100 * options.target:.4g} % (n = {hour.n}, at least {100 * hour.lower:.2f} %)"
    detail = f"{share} arrived within {format_duration(options.deadline)}; last hour: {said}"
    return Finding(
        worst([problem[0] for problem in problems]) if problems else Status.UP,
        "; ".join(problem[1] for problem in problems) or detail,
        rows=_rows(options, state, still_open),
        evidence={"canary": _counts(state.record, still_open), "last_hour": said},
        guidance=next((problem[2] for problem in problems if problem[2]), ""),
        key=("canary", share),
    )


def _shared(options: CanaryOptions, holder: str) -> Finding:
    return Finding(
        Status.UNKNOWN,
        f"path {options.path} is in use by another sentinel ({holder}): nothing was sent, nothing is counted twice",
        guidance="give each sentinel a `path` of its own, or stop the other one",
    )


def _counts(record: Record, still_open: int) -> dict[str, int]:
    total = record.tally.total
    return {
        "sent": total("sent"),
        "ok": total(Outcome.OK),
        "late": total(Outcome.LATE),
        "lost": total(Outcome.LOST),
        "corrupt": total(Outcome.CORRUPT),
        "orphan": total(Outcome.ORPHAN),
        "publish_error": total(Outcome.PUBLISH_ERROR),
        "open": still_open,
        "duplicate": total("duplicates"),
        "reordered": total("reordered"),
        "foreign": total("foreign"),
        "blind": total("blind"),
    }


def _rows(options: CanaryOptions, state: CanaryState, still_open: int) -> list[Row]:
    path, tally = {"path": options.path}, state.record.tally
    counters = {name: float(tally.total(name)) for name in ("sent", *canary.EXTRAS)}
    rows = [Row(path, {**counters, "outstanding": float(still_open)})]
    rows += [Row({**path, "result": o.value}, {"results": float(tally.total(o))}) for o in Outcome]
    for leg, latency in state.record.latency.items():
        rows.append(Row({**path, "leg": leg}, {"latency_seconds": latency.histogram()}))
    for window, minutes in (("1h", 60), ("24h", canary.Windows.SPAN)):
        bound = canary.wilson_lower(*state.record.windows.count(state.minute, minutes))
        rows.append(Row({**path, "window": window}, {"reliability_lower_bound": bound}))
    return rows


def _seconds_of(entry: bytes) -> float:
    return int(entry.partition(b"-")[0]) / 1000


def _traceparent(trace_id: str) -> str:
    """W3C trace context: a new span of the run's trace."""
    trace = trace_id if re.fullmatch(r"[0-9a-f]{32}", trace_id) else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"


_PATH = ("path",)

KIND = Kind(
    name="bus_canary",
    summary="sends messages of its own through Redis Streams: lost, late, duplicate or corrupt?",
    options=CanaryOptions,
    run=run,
    resources={"resource": "redis"},
    load_state=CanaryState,
    default_every=5.0,
    measurements=(
        Measurement("sent", "Canaries published", "sentinel_canary_sent_total", "counter", "", _PATH),
        Measurement(
            "results",
            "Canaries by outcome: each ends in exactly one",
            "sentinel_canary_results_total",
            "counter",
            "",
            ("path", "result"),
        ),
        Measurement(
            "duplicates",
            "Canaries delivered again after they were settled",
            "sentinel_canary_duplicates_total",
            "counter",
            "",
            _PATH,
        ),
        Measurement(
            "reordered",
            "Canaries delivered after a later one",
            "sentinel_canary_reordered_total",
            "counter",
            "",
            _PATH,
        ),
        Measurement(
            "foreign",
            "Entries in the canary stream that are no canaries",
            "sentinel_canary_foreign_total",
            "counter",
            "",
            _PATH,
        ),
        Measurement(
            "latency_seconds",
            "Canary latency by leg: publish (send to reply), deliver (server clock), total",
            "sentinel_canary_latency_seconds",
            "histogram",
            "seconds",
            ("path", "leg"),
        ),
        Measurement("outstanding", "Canaries on their way", "sentinel_canary_outstanding", "gauge", "entries", _PATH),
        Measurement(
            "reliability_lower_bound",
            "Lower 95 % confidence bound of delivery in time (Wilson)",
            "sentinel_canary_reliability_lower_bound_ratio",
            "gauge",
            "ratio",
            ("path", "window"),
        ),
    ),
)
