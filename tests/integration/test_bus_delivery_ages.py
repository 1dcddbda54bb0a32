"""`bus_delivery` where ids are no times: an age counts from the first look that saw the entry."""

from __future__ import annotations

import asyncio

import pytest

from sentinel.core.fault import Status
from sentinel.core.quantity import MANY, Bounds
from tests.bus_bench import fault_of, value
from tests.integration.test_bus_delivery import KEY, Bus

YEAR = 31_536_000_000


@pytest.fixture(params=["valkey", "redis7", "redis62"])
async def bus(request, make_context):
    made = Bus(request.getfixturevalue(request.param), make_context)
    made.redis.xgroup_create(KEY, "group_2", "0", mkstream=True)
    yield made
    await made.client.close()


def publish_with(bus: Bus, ids: str, count: int) -> None:
    """Entries whose ids are sequence numbers, replayed history, or from a clock that was fast."""
    seconds, _ = bus.redis.time()
    begin = {"numbers": 1, "replayed": seconds * 1000 - YEAR, "fast": seconds * 1000 + YEAR}[ids]
    for n in range(count):
        bus.redis.xadd(KEY, {"f": "v"}, id=f"{begin + n}-0")


@pytest.mark.parametrize("ids", ["numbers", "replayed", "fast"])
async def test_unread_entries_are_late_whatever_their_ids(bus, ids):
    """30 unread: they wait for at least as long as they were seen, and for ever, not for a year."""
    await bus.run()
    publish_with(bus, ids, 30)
    finding = await bus.run()
    assert finding.status is Status.UP, finding.detail
    await asyncio.sleep(0.05)
    bus.restart()
    await bus.settle()
    finding = await bus.run()
    late = fault_of(finding, "waiting", stream=KEY, group="group_2")
    assert finding.status is not Status.UP
    assert late.count == Bounds(30, 30)
    assert "the oldest for at least " in late.text
    assert "ids of this stream are no times" in late.text
    assert 0.05 <= value(finding, "oldest_waiting_age_seconds", group="group_*") < 60
    assert value(finding, "settled_total", outcome="waiting") == 30
    rows = [row.values for row in finding.rows]
    assert not any("last_published_timestamp_seconds" in values for values in rows)


@pytest.mark.parametrize("ids", ["numbers", "replayed", "fast"])
async def test_pending_entries_are_overdue_by_their_own_age(bus, ids):
    """20 pending past the deadline, 10 that just came: 20 are overdue for certain, not 30."""
    bus.configure(deadline="400ms")
    await bus.run()
    publish_with(bus, ids, 20)
    bus.consume(20, ack=False)
    await bus.run()
    await asyncio.sleep(0.45)
    last = int(bus.redis.xrevrange(KEY, count=1)[0][0].split(b"-")[0])
    for n in range(1, 11):
        bus.redis.xadd(KEY, {"f": "v"}, id=f"{last + n}-0")
    bus.consume(10, ack=False)
    finding = await bus.run()
    late = fault_of(finding, "overdue", stream=KEY, group="group_2")
    assert late.count == Bounds(20, MANY)
    assert "20 or more delivered" in late.text
    assert "the oldest pending for at least " in late.text
    assert value(finding, "pending_overdue_entries", group="group_*") == 20
    assert 0.45 <= value(finding, "oldest_pending_age_seconds", group="group_*") < 60
