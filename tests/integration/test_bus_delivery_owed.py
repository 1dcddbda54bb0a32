"""`bus_delivery` and groups that are not there: what is published is owed to those that are
required, and to those that come later what was there.
"""

from __future__ import annotations

import asyncio

import pytest

from sentinel.core.fault import Status
from tests.bus_bench import fault_of, value
from tests.integration.test_bus_delivery import KEY, Bus

GROUP = "group_2"


@pytest.fixture(params=["valkey", "redis7", "redis62"])
async def bus(request, make_context):
    made = Bus(request.getfixturevalue(request.param), make_context)
    yield made
    await made.client.close()


def figures(finding) -> tuple:
    account = finding.evidence["account"]
    return account["published"], account["waiting"], account["lost"], account["acknowledged"]


async def test_a_group_that_is_gone_keeps_its_messages_in_the_account(bus):
    """10 read; the stream goes, 20 come without a group, it goes, 5 come: 20 lost, 5 wait."""
    bus.redis.xgroup_create(KEY, GROUP, "0", mkstream=True)
    await bus.run()
    bus.publish(10)
    bus.consume(10)
    await bus.settle()
    bus.redis.delete(KEY)
    await bus.run()
    bus.publish(20)
    finding = await bus.run()
    assert figures(finding) == (30, 20, [0, 0], [10, 10])
    bus.restart()
    bus.redis.delete(KEY)
    finding = await bus.run()
    assert figures(finding) == (30, 0, [20, 20], [10, 10])
    bus.publish(5)
    await bus.settle()
    finding = await bus.run()
    assert finding.status is Status.DOWN, finding.detail
    assert figures(finding) == (35, 5, [20, 20], [10, 10])
    outcomes = ("acked", "lost", "waiting", "uncertain")
    settled = [value(finding, "settled_total", outcome=each) for each in outcomes]
    assert settled == [10, 20, 5, 0]
    assert finding.evidence["account"]["ratio"] == [10 / 35, 10 / 35]
    assert value(finding, "waiting_entries", group="group_*") == 5
    gone = fault_of(finding, "group_lost", stream=KEY, group=GROUP)
    assert "what is published since is owed to it" in gone.text
    late = fault_of(finding, "waiting", stream=KEY, group=GROUP)
    for command in late.cure:
        bus.redis.execute_command(command)
    for sample in finding.evidence["samples"]:
        bus.redis.execute_command(sample["look"])


@pytest.mark.parametrize("required", ["group_*", GROUP])
async def test_a_group_that_never_was_there_is_owed_and_takes_over(bus, required):
    """Required by pattern or by name: 30 wait until they are late; made at 0, it gets them all, and
    they stay late. Nothing is counted twice.
    """
    bus.configure(groups={"required": [required]})
    bus.redis.xadd(KEY, {"f": "v"})
    await bus.run()
    bus.publish(30)
    finding = await bus.settle()
    assert figures(finding) == (30, 30, [0, 0], [0, 0])
    assert finding.status is Status.DOWN
    missing = fault_of(finding, "group_missing", stream=KEY)
    assert "what is published is owed to it" in missing.text
    bus.redis.xgroup_create(KEY, GROUP, "0")
    bus.consume(40)
    bus.publish(5)
    await bus.settle()
    bus.consume(5)
    finding = await bus.run()
    account = finding.evidence["account"]
    assert account["published"] == 35
    assert account["acknowledged"][1] == 35
    assert value(finding, "settled_total", group=required, outcome="waiting") == 35
    assert value(finding, "published_total", stream="agent_messages:*") == 35


async def test_what_a_new_group_skips_was_owed_and_is_lost(bus):
    """Made at `$` after 12 came: nobody will ever read them. Redis 6.2 does not tell that from a
    group that was read and lost its consumer.
    """
    bus.redis.xadd(KEY, {"f": "v"})
    await bus.run()
    bus.publish(12)
    await bus.run()
    bus.redis.xgroup_create(KEY, GROUP, "$")
    bus.publish(3)
    finding = await bus.run()
    if bus.redis.info("server")["redis_version"].startswith("6."):
        assert figures(finding) == (15, 3, [0, 12], [0, 12])
        assert value(finding, "lost_before_read_uncertain_total", group="group_*") == 12
        return
    assert figures(finding) == (15, 3, [12, 12], [0, 0])
    assert value(finding, "lost_before_read_total", group="group_*") == 12
    assert fault_of(finding, "lost", stream=KEY, group=GROUP).count.lo == 12
    again = await bus.run()
    assert value(again, "lost_before_read_total", group="group_*") == 12


async def test_entries_that_are_older_than_their_group_are_judged(bus):
    """30 sent before the agent registered, and late by then: they are, in verdict and figures."""
    bus.configure(groups={"required": []})
    bus.redis.xadd(KEY, {"f": "v"})
    bus.redis.xgroup_create(KEY, "audit", "$")
    await bus.run()
    bus.redis.xtrim(KEY, maxlen=0)
    bus.publish(30)
    await bus.run()
    await asyncio.sleep(0.03)
    bus.redis.xgroup_create(KEY, GROUP, "0")
    finding = await bus.run()
    assert finding.status is Status.DOWN, finding.detail
    assert "30 wait to be delivered" in fault_of(finding, "waiting", group=GROUP).text
    assert "0 of 30" in fault_of(finding, "below_target", group=GROUP).text
    bus.consume(30)
    await bus.run()
    finding = await bus.run()
    assert value(finding, "settled_total", group=GROUP, outcome="waiting") == 30
    assert value(finding, "settled_total", group=GROUP, outcome="acked") == 0
