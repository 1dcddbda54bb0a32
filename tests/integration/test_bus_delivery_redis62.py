"""`bus_delivery` on Redis 6.2, which does not say how many entries were added: counted, and vague
where it must be.
"""

from __future__ import annotations

import pytest

from sentinel.core.fault import Status
from tests.bus_bench import value
from tests.integration.test_bus_delivery import KEY, Bus


@pytest.fixture
async def bus(redis62, make_context):
    made = Bus(redis62, make_context)
    made.redis.xgroup_create(KEY, "group_2", "0", mkstream=True)
    yield made
    await made.client.close()


async def test_an_ordinary_life_is_exact(bus):
    """120 published, read and acknowledged, the stream trimmed behind its readers: points, no
    family, a note why.
    """
    await bus.run()
    for _ in range(4):
        bus.publish(30)
        bus.consume(30)
        await bus.run()
        bus.redis.xtrim(KEY, maxlen=7, approximate=False)
        finding = await bus.settle()
    account = finding.evidence["account"]
    assert finding.status is Status.UP, finding.detail
    assert (account["published"], account["acknowledged"], account["lost"]) == (
        120,
        [120, 120],
        [0, 0],
    )
    assert (account["ratio"], account["ratio_delivered"], account["unseen"]) == (
        [1.0, 1.0],
        [1.0, 1.0],
        0,
    )
    assert finding.evidence["capability"] == "no counters"
    assert "Redis 7.0" in finding.evidence["note"]


async def test_entries_trimmed_unread_are_lost_exactly(bus):
    """40 of 100 read, 37 unread trimmed: lost is [37, 37]."""
    await bus.run()
    bus.publish(100)
    bus.consume(40)
    await bus.run()
    bus.redis.xtrim(KEY, maxlen=23, approximate=False)
    finding = await bus.run()
    assert finding.evidence["account"]["lost"] == [37, 37]
    assert value(finding, "lost_before_read_total", group="group_*") == 37


async def test_what_came_and_went_unseen_is_uncertain_and_bounded(bus):
    """5 of 12 published and deleted within one poll: 7 are counted, at most 5 more are said, the
    ratio holds both.
    """
    await bus.run()
    bus.publish(10)
    bus.consume(10)
    await bus.settle()
    fleeting = bus.publish(12)[:5]
    bus.redis.xdel(KEY, *fleeting)
    bus.consume(12)
    finding = await bus.settle()
    account = finding.evidence["account"]
    assert (account["published"], account["unseen"]) == (17, 5)
    assert account["lost"] == [0, 5]
    assert account["acknowledged"][0] <= 17 <= account["acknowledged"][1]
    assert value(finding, "lost_before_read_uncertain_total", group="group_*") == 5
    assert value(finding, "settled_total", outcome="uncertain") >= 5
    low, high = account["ratio"]
    assert low <= 17 / 22 <= high


async def test_restart_of_sentinel_is_one_long_poll(bus):
    """What happens while sentinel is away is counted exactly as long as an entry known before still
    lives.
    """
    await bus.run()
    bus.publish(20)
    bus.consume(20)
    await bus.settle()
    bus.restart()
    bus.publish(30)
    bus.consume(30)
    finding = await bus.settle()
    assert value(finding, "published_total", stream="agent_messages:*") == 50
    assert finding.evidence["account"]["acknowledged"] == [50, 50]


async def test_what_was_trimmed_unread_while_sentinel_was_away_is_not_zero(bus):
    """30 published, 23 trimmed and gone: whether they were read nobody can tell, and "0 lost" would
    be a guess.
    """
    await bus.run()
    bus.publish(5)
    bus.consume(5)
    await bus.settle()
    bus.restart()
    bus.publish(30)
    bus.redis.xtrim(KEY, maxlen=7, approximate=False)
    bus.consume(7)
    for _ in range(2):
        account = (await bus.run()).evidence["account"]
        assert account["lost"] == [0, 23]
        assert account["acknowledged"] == [12, 35]
        bus.restart()


async def test_more_than_can_be_listed_is_said_and_not_guessed(bus, monkeypatch):
    """A flood that was trimmed meanwhile and can't be listed: a break with its reason, no figure
    invented.
    """
    monkeypatch.setattr("sentinel.watch.delivery.listing_cap", lambda _account: 10)
    await bus.run()
    bus.publish(50)
    bus.consume(50)
    await bus.run()
    bus.publish(40)
    bus.redis.xtrim(KEY, maxlen=60, approximate=False)
    finding = await bus.run()
    assert any("can be counted" in event for event in finding.evidence["events"])
    assert value(finding, "published_total", stream="agent_messages:*") == 50
    bus.publish(5)
    assert value(await bus.run(), "published_total", stream="agent_messages:*") == 55


async def test_a_recreated_stream_is_never_acknowledged(bus):
    """DEL and a new life with its group within one poll: what pended is not called acknowledged."""
    await bus.run()
    bus.publish(20)
    bus.consume(20, ack=False)
    await bus.run()
    bus.redis.delete(KEY)
    bus.publish(4)
    bus.redis.xgroup_create(KEY, "group_2", "0")
    bus.consume(4)
    finding = await bus.run()
    low, high = finding.evidence["account"]["acknowledged"]
    assert low <= 4 <= high
    assert finding.evidence["account"]["dropped"][1] >= 20


async def test_what_a_former_stream_of_that_name_may_have_delivered_is_not_certainly_lost(bus):
    """Five waited and were read; then the stream is made anew. The server tells of none of it."""
    await bus.run()
    bus.publish(5)
    await bus.run()
    bus.consume(5)
    bus.redis.delete(KEY)
    bus.redis.xgroup_create(KEY, "group_2", "0", mkstream=True)
    bus.publish(3)
    account = (await bus.run()).evidence["account"]
    assert account["lost"][0] == 0
    assert account["acknowledged"][0] <= 5 <= account["acknowledged"][1]
