"""`bus_delivery` over many streams: short ways that must not change a figure, turns, bounded
evidence.
"""

from __future__ import annotations

import asyncio
import json

import pytest
import redis

from sentinel.adapters.bus.stream_reader import StreamReader, StreamRequest
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable
from sentinel.probes import bus_delivery
from sentinel.probes.bus_delivery import DeliveryOptions, DeliveryState


class Fleet:
    """Some streams with one group each, and the probe."""

    def __init__(self, server, make_context, size: int, **options) -> None:
        self.redis = redis.Redis(port=server.port)
        self.names = [f"agent_messages:{n:03}" for n in range(size)]
        for name in self.names:
            self.redis.xgroup_create(name, "group_a", "0", mkstream=True)
        self.client = RedisClient("bus", server.url)
        self.make_context = make_context
        self.state = DeliveryState()
        self.options = DeliveryOptions.model_validate(
            {"streams": {"include": ["agent_messages:*"]}, "deadline": "20ms", **options}
        )

    async def run(self, times: int = 1):
        for _ in range(times):
            context = self.make_context({"resource": self.client}, self.state, check="delivery")
            finding = await bus_delivery.run(self.options, context)
        return finding

    def publish(self, name: str, count: int = 1) -> None:
        for _ in range(count):
            self.redis.xadd(name, {"f": "v"})

    def consume(self, name: str, ack: bool = True) -> None:
        for entry, _ in self.redis.xreadgroup("group_a", "c", {name: ">"})[0][1]:
            if ack:
                self.redis.xack(name, "group_a", entry)


@pytest.fixture
async def fleet(valkey, make_context):
    made: list[Fleet] = []

    def make(size: int, **options) -> Fleet:
        made.append(Fleet(valkey, make_context, size, **options))
        return made[-1]

    yield make
    for each in made:
        await each.client.close()


async def test_streams_take_turns_and_every_entry_is_counted(fleet):
    """25 streams, 10 a run: three runs see all; published, lost and acknowledged are exact; the
    width is told.
    """
    bus = fleet(25, streams_per_run=10)
    await bus.run(4)
    for name in bus.names:
        bus.publish(name, 4)
        bus.consume(name)
    bus.publish(bus.names[7], 5)
    await bus.run(3)
    bus.redis.xtrim(bus.names[7], maxlen=2, approximate=False)
    await asyncio.sleep(0.03)
    finding = await bus.run(6)
    account = finding.evidence["account"]
    assert (account["published"], account["lost"]) == (105, [3, 3])
    assert (account["acknowledged"], account["waiting"]) == ([100, 100], 2)
    poll = finding.evidence["poll"]
    assert (poll["streams"], poll["read"]) == (25, 10)
    assert poll["width_seconds"] > 0


async def test_evidence_names_the_worst_twenty_first(fleet):
    """30 streams, the last one in trouble: it is named, the list is bounded, and the sums are of
    all.
    """
    bus = fleet(30)
    await bus.run()
    for name in bus.names:
        bus.publish(name)
        bus.consume(name)
    bus.publish(bus.names[-1], 9)
    finding = await bus.run()
    account = finding.evidence["account"]
    assert len(account["streams"]) == 20
    assert next(iter(account["streams"])) == f"{bus.names[-1]} group_a"
    assert (account["published"], account["waiting"]) == (39, 9)


async def test_what_did_not_move_is_not_written_again(fleet):
    """The document of a run in which one stream moved has the same texts for all others; a restart
    goes on.
    """
    bus = fleet(5)
    await bus.run(2)
    before = bus.state.dump()["watch"]["accounts"]
    bus.publish(bus.names[0], 3)
    await bus.run()
    after = bus.state.dump()["watch"]["accounts"]
    assert [name for name in bus.names if after[name] is not before[name]] == [bus.names[0]]
    bus.state = DeliveryState(json.loads(json.dumps(bus.state.dump())))
    bus.consume(bus.names[0])
    await asyncio.sleep(0.03)
    finding = await bus.run(2)
    assert finding.evidence["account"]["acknowledged"] == [3, 3]


async def test_claims_while_a_stream_rests_are_not_held_against_it_later(fleet):
    """XAUTOCLAIM on one stream: another one, at rest then and over a restart, stays exact when it
    moves again.
    """
    bus = fleet(2)
    await bus.run(2)
    for _ in range(3):
        bus.redis.xautoclaim(bus.names[0], "group_a", "c", 0)
        await bus.run()
    bus.state = DeliveryState(json.loads(json.dumps(bus.state.dump())))
    await bus.run()
    bus.publish(bus.names[1], 6)
    bus.consume(bus.names[1])
    await asyncio.sleep(0.03)
    finding = await bus.run(3)
    account = finding.evidence["account"]
    assert (account["acknowledged"], account["dropped"]) == ([6, 6], [0, 0])


async def test_a_reading_that_was_not_taken_in_is_given_again(valkey):
    """A run cut off between reading and judging loses nothing: only `accept` makes a reading the
    known one.
    """
    client, plain = RedisClient("bus", valkey.url), redis.Redis(port=valkey.port)
    plain.xgroup_create("s", "g", "0", mkstream=True)
    reader, request = StreamReader(), StreamRequest(b"s")
    assert b"s" in (await reader.read(client, [request])).readings
    assert b"s" in (await reader.read(client, [request])).readings
    reader.accept(b"s")
    assert b"s" in (await reader.read(client, [request])).same
    plain.xadd("s", {"f": "v"})
    haul = await reader.read(client, [request])
    assert haul.readings[b"s"].view.added == 1
    await client.close()


async def test_oldest_pending_entry_is_read_in_the_same_run(valkey):
    """A group that was not known to have pending entries is read once more, at once; its idle time
    is no change.
    """
    client, plain = RedisClient("bus", valkey.url), redis.Redis(port=valkey.port)
    entry = plain.xadd("s", {"f": "v"})
    plain.xgroup_create("s", "g", "0")
    plain.xreadgroup("g", "c", {"s": ">"})
    reader = StreamReader()
    view = (await reader.read(client, [StreamRequest(b"s")])).readings[b"s"].view
    assert view.groups["g"].oldest_pending == tuple(map(int, entry.split(b"-")))
    reader.accept(b"s")
    await asyncio.sleep(0.01)
    assert b"s" in (await reader.read(client, [StreamRequest(b"s", ["g"])])).same
    await client.close()


async def test_a_stream_that_may_not_be_read_does_not_hide_its_neighbours(valkey):
    """One refused key in a transaction of many: only this one is not measurable."""
    admin = redis.Redis(port=valkey.port)
    for name in ("open:1", "shut", "open:2"):
        admin.xadd(name, {"f": "v"})
    admin.execute_command("ACL", "SETUSER", "half", "on", ">secret", "%R~open:*", "+@all")
    client = RedisClient("bus", f"redis://half:secret@127.0.0.1:{valkey.port}/0")
    reader, requests = (
        StreamReader(),
        [StreamRequest(b"open:1"), StreamRequest(b"shut"), StreamRequest(b"open:2")],
    )
    for _ in range(2):
        haul = await reader.read(client, requests)
    assert haul.readings[b"open:1"].view.added == haul.readings[b"open:2"].view.added == 1
    assert isinstance(haul.readings[b"shut"].error, NotMeasurable)
    assert (reader.apart, reader.alone) == ({b"shut"}, False)
    await client.close()
    admin.execute_command("ACL", "DELUSER", "half")


async def test_groups_with_odd_names_are_told_in_every_run(fleet):
    """A stream at rest is still reported for what can't be judged about it."""
    bus = fleet(1)
    bus.redis.xgroup_create(bus.names[0], b"\xff", "0")
    finding = await bus.run(3)
    assert [fault.subject for fault in finding.faults if fault.key == "unjudged"] == [
        {"stream": bus.names[0], "group": "\\xff"}
    ]


async def test_late_entries_stay_late_while_nothing_moves(fleet):
    """Waiting and pending entries that nobody touches: overdue and oldest ages go on in every run."""
    bus = fleet(2)
    await bus.run()
    bus.publish(bus.names[0], 2)
    bus.publish(bus.names[1], 2)
    bus.consume(bus.names[1], ack=False)
    await asyncio.sleep(0.03)
    first, second = await bus.run(4), await bus.run()
    for finding in (first, second):
        assert finding.status is not Status.UP
        states = sorted((s["stream"], s["state"]) for s in finding.evidence["samples"])
        assert states == [
            (bus.names[0], "waiting"),
            (bus.names[1], "pending"),
            (bus.names[1], "pending"),
        ]
    rows = [row.values for row in second.rows if "oldest_waiting_age_seconds" in row.values]
    older = [row.values for row in first.rows if "oldest_waiting_age_seconds" in row.values]
    for age in ("oldest_waiting_age_seconds", "oldest_pending_age_seconds"):
        assert rows[0][age] > older[0][age]
    assert rows[0]["pending_overdue_entries"] == 2
