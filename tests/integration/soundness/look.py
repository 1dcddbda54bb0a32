"""Looks at a world with the check `bus_delivery` itself, through a client in whose pauses the world
goes on; the server's clock is that of the world.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.bus.stream_reader import Haul, StreamReader, StreamRequest
from sentinel.adapters.redis import RedisClient
from sentinel.core.model import Finding
from sentinel.errors import NotMeasurable, TargetError
from sentinel.probes import Context
from sentinel.probes.bus_delivery import DeliveryOptions, DeliveryState, run
from sentinel.watch.scope import BusSight
from tests.integration.soundness.ledger import ACKED, DROPPED, LOST, PENDING, WAITING
from tests.integration.soundness.operations import RandomWorld
from tests.integration.soundness.oracle import DELIVERED, Claim
from tests.integration.soundness.wire import encode, split_commands

DELIVER, ACK = 1.0, 2.0
_TIME = re.compile(rb"\*2\r\n\$10\r\n\d{10}\r\n\$\d\r\n\d{1,6}\r\n")
_TIME_OF_INFO = re.compile(rb"server_time_usec:\d{16}\r\n")


class _Line:
    """Stands for a pooled connection: sends command by command, and things happen in between."""

    def __init__(self, client: RestlessClient) -> None:
        self._client = client
        self._received: list[bytes] = []
        self._reader = self

    async def send_packed_command(self, payload: bytes, *, check_health: bool) -> None:
        """All of the payload; the replies wait to be read."""
        commands = split_commands(payload)
        while commands:
            size = 1
            if commands[0] == [b"MULTI"]:
                size = commands.index([b"EXEC"]) + 1
            chunk, commands = commands[:size], commands[size:]
            self._received.append(self._client.send_chunk(chunk))

    async def read(self, _most: int) -> bytes:
        """What came back."""
        while not self._received:
            await asyncio.sleep(0)
        return self._received.pop(0)


class RestlessClient(RedisClient):
    """A client that lets the world go on between its round trips, and between its commands."""

    def __init__(self, world: RandomWorld) -> None:
        super().__init__("bus", world.bench.server.url, monotonic=lambda: world.now)
        self._world = world
        self._snapped: set[bytes] = set()

    def begin_reading(self) -> None:
        """Of several snapshots of a stream in one reading only the last counts."""
        self._snapped = set()

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Any]:
        """Not a connection of the pool."""
        self._interrupt()
        yield _Line(self)

    async def call(self, *command: Any) -> Any:
        """One command, once."""
        self._interrupt()
        return await super().call(*command)

    async def pipeline(self, commands: Sequence[Any]) -> list[Any]:
        """Commands in one write."""
        if commands:
            self._interrupt()
        return await super().pipeline(commands)

    async def transaction(self, commands: Sequence[Any]) -> list[Any]:
        """Only the experiment on the scratch key is one."""
        if not self._world.kind.may_write:
            raise NotMeasurable("permission denied: the 'xadd' command", code="NOPERM")
        return await super().transaction(commands)

    def _interrupt(self) -> None:
        """Something happens, perhaps."""
        world = self._world
        if world.kind.between and not world.rests and world.random.random() < world.kind.between:
            world.log.append("  (during the look)")
            world.act()

    def send_chunk(self, chunk: list[list[bytes]]) -> bytes:
        """Commands that the server runs at one go."""
        keys = [c[2] for c in chunk if [w.upper() for w in c[:2]] == [b"XINFO", b"STREAM"]]
        self._interrupt()
        raw, _ = self._world.bench.line.exchange(b"".join(map(encode, chunk)), len(chunk))
        for key in keys:
            self._world.note_snapshot(key, again=key in self._snapped)
            self._snapped.add(key)
        told = round(self._world.now * 1_000_000)
        if not keys:
            return _TIME_OF_INFO.sub(b"server_time_usec:%d\r\n" % told, raw)
        seconds, micros = divmod(told, 1_000_000)
        clock = b"*2\r\n$10\r\n%d\r\n$%d\r\n%d\r\n" % (seconds, len(str(micros)), micros)
        return _TIME.sub(clock, raw, count=1)


class _CountedReader(StreamReader):
    """Tells the client when a reading begins; one that has to be done over is still the same."""

    reading = False
    same = 0

    async def read(self, client: RedisClient, requests: Sequence[StreamRequest]) -> Haul:
        """As ever."""
        if self.reading:
            return await super().read(client, requests)
        assert isinstance(client, RestlessClient)
        client.begin_reading()
        self.reading = True
        try:
            haul = await super().read(client, requests)
            self.same += len(haul.same)
            return haul
        finally:
            self.reading = False

    async def read_again(self, client: RedisClient, requests: Sequence[StreamRequest]) -> Haul:
        """What was read before does not count."""
        self.reading = True
        try:
            return await self.read(client, requests)
        finally:
            self.reading = False


class Watcher:
    """The check, with its memory; begins anew from the written memory when told so."""

    def __init__(self, world: RandomWorld) -> None:
        self.world = world
        self.client = RestlessClient(world)
        names = [key.decode() for key in world.watched]
        streams = {"include": names if world.random.random() < 0.5 else ["s:*"]}
        groups = {"include": ["g1", "g2"], "required": list(world.kind.required)}
        self.options = DeliveryOptions.model_validate(
            {"streams": streams, "groups": groups, "deadline": "2s", "delivered_deadline": "1s"}
        )
        self.sight = BusSight()
        self.state = self._begin(None)
        self.finding: Finding | None = None

    def _begin(self, document: Any) -> DeliveryState:
        state = DeliveryState(document)
        tally = state.tally

        def keep(options: DeliveryOptions, sight: BusSight) -> None:
            self.sight = sight
            tally(options, sight)

        state.tally = keep  # type: ignore[method-assign]
        watch = state.open(self.options)
        watch.reader = _CountedReader(watch.reader.drops, watch.reader.traffic)
        return state

    def forget(self) -> None:
        """The daemon ends, and starts with what it had written."""
        self.state = self._begin(json.loads(json.dumps(self.state.dump())))

    def write(self) -> str:
        """What a commit of the daemon would keep now."""
        return json.dumps(self.state.dump())

    def go_on_with(self, written: str) -> None:
        """The daemon was killed, and starts with what it had written by then."""
        self.state = self._begin(json.loads(written))

    async def look(self) -> bool:
        """One run of the check; False when it could not look."""
        context = Context(
            check="deliveries",
            component="bus",
            trace_id="0" * 32,
            interval=1.0,
            timeout=5.0,
            clients={"resource": self.client},
            state=self.state,
            utcnow=lambda: datetime.fromtimestamp(self.world.now, UTC),
            monotonic=lambda: self.world.now,
            stalled=lambda _since: 0.0,
        )
        try:
            self.finding = await run(self.options, context)
        except TargetError as error:
            self.world.log.append(f"  (look failed: {error.message})")
            return False
        return True

    def take_same(self) -> int:
        """Streams that looked as before, since this was asked last."""
        reader = self.state.open(self.options).reader
        assert isinstance(reader, _CountedReader)
        found, reader.same = reader.same, 0
        return found

    # -- what it claims ---------------------------------------------------------------------------

    def list_settlements(self) -> list[tuple[str, Claim]]:
        """Of the latest look: stream, and what was settled."""
        found = []
        for stream, settled in self.sight.settlements.items():
            for each in settled:
                ack = each.stage == "ack"
                bounds = {WAITING: _pair(each.waiting), LOST: _pair(each.lost)}
                if ack:
                    bounds[PENDING] = _pair(each.pending)
                    bounds[DROPPED] = (0, each.dropped)
                goods = frozenset({ACKED}) if ack else DELIVERED
                what = f"{each.group} {each.stage}"
                total = sum(each.outcomes.values())
                assert total == each.size + each.unseen, (stream, each)
                span = (each.start, each.end)
                good = _pair(each.good)
                found.append(
                    (stream, Claim(what, each.size, each.unseen, bounds, good, goods, span))
                )
        return found

    def list_accounts(self) -> list[tuple[str, str, Claim]]:
        """Stream, group, and where its account stands."""
        found = []
        for stream, account in self.state.open(self.options).accounts.items():
            for group in account.groups:
                told = account.account_of(group)
                bounds = {
                    WAITING: _pair(told.waiting),
                    PENDING: _pair(told.pending),
                    LOST: _pair(told.lost),
                    DROPPED: (0, told.dropped),
                }
                good = _pair(told.acknowledged)
                claim = Claim(group, told.published, told.unseen, bounds, good)
                found.append((stream, group, claim))
        return found

    def count_settled(self, stream: str, group: str) -> dict[str, int]:
        """Entries settled so far, by stage."""
        account = self.state.open(self.options).accounts[stream].groups[group]
        return {
            "deliver": sum(account.reached.values()),
            "ack": sum(account.settled.values()),
        }

    def list_streams(self) -> list[tuple[str, Claim]]:
        """What was published to each stream at all."""
        accounts = self.state.open(self.options).accounts.items()
        return [
            (name, Claim("published", account.published, account.unseen, {}, (0, 0), frozenset()))
            for name, account in accounts
        ]

    def list_ages(self) -> dict[tuple[str, str], tuple[float, float]]:
        """The oldest that waits and the oldest that pends, by pattern of streams and group."""
        assert self.finding is not None
        names = "oldest_waiting_age_seconds", "oldest_pending_age_seconds"
        return {
            (row.labels["stream"], row.labels["group"]): (
                row.values[names[0]],
                row.values[names[1]],
            )
            for row in self.finding.rows
            if names[0] in row.values
        }

    def knows(self, stream: str, *, there: bool) -> bool:
        """Whether the account of a stream is of now: as it was seen, there or not."""
        account = self.state.open(self.options).accounts.get(stream)
        if account is None or account.present != there:
            return False
        return not there or account.now > self.world.now - 0.5

    def list_breaks(self, reason: str = "") -> dict[str, int]:
        """How many breaks each stream had, so far; of one reason, or of all."""
        accounts = self.state.open(self.options).accounts
        return {
            name: account.resets[reason] if reason else sum(account.resets.values())
            for name, account in accounts.items()
        }

    def list_gauges(self) -> dict[tuple[str, str], tuple[tuple[int, int], int]]:
        """Waiting and pending by stream and group, of those that are there."""
        found = {}
        for stream, account in self.state.open(self.options).accounts.items():
            if account.present and account.view is not None:
                for name, group in account.view.groups.items():
                    waiting = account.groups[name].waiting
                    found[stream, name] = (waiting.lo, waiting.hi), group.pending
        return found

    def list_counters(self) -> dict[tuple[str, ...], float]:
        """Every counter that the check exports."""
        assert self.finding is not None
        found = {}
        for row in self.finding.rows:
            labels = tuple(f"{name}={value}" for name, value in sorted(row.labels.items()))
            for name, value in row.values.items():
                if name.endswith("_total"):
                    found[(name, *labels)] = value
        return found


def _pair(bounds: Any) -> tuple[int, int]:
    return bounds.lo, bounds.hi
