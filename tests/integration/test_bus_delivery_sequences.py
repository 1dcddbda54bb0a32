"""What happens to a group or a stream between two looks, step by step on real servers: the figures
that are right, and nothing that is false (measurement.md §11.1–§11.7, §11.10).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import redis

from sentinel.core.model import Finding
from sentinel.errors import TargetUnreachable
from tests.bus_bench import fault_of
from tests.conftest import require_tool
from tests.integration.soundness.bench import open_bench
from tests.integration.test_bus_delivery import KEY, Bus

GROUP = "group_2"
SERVERS = ("valkey", "redis7", "redis62")


@pytest.fixture(params=SERVERS)
async def bus(request, make_context):
    """The probe and a product's part, on each family of servers; the deadline does not pass."""
    made = Bus(request.getfixturevalue(request.param), make_context)
    made.configure(deadline="1h")
    made.family = request.param
    yield made
    await made.client.close()


def account_of(finding: Finding) -> dict[str, Any]:
    return finding.evidence["account"]


def events_of(finding: Finding) -> str:
    return " | ".join(finding.evidence["events"])


def make_group(bus: Bus, at: str = "0", group: str = GROUP) -> None:
    bus.redis.xgroup_create(KEY, group, at, mkstream=True)


# -- entries-read is a count only while it is continuous (A1) ---------------------------------------


async def test_a_rank_is_not_taken_for_a_count(bus):
    """Acknowledged 1; 20 more, 15 of them trimmed unread, the group set back so that the server
    estimates entries-read anew; 5 read and acknowledged: at least 6 are, and up to 15 lost.
    """
    make_group(bus)
    await bus.run()
    bus.publish(1)
    bus.consume(1)
    await bus.run()
    bus.publish(20)
    bus.redis.xtrim(KEY, maxlen=5, approximate=False)
    bus.redis.xgroup_setid(KEY, GROUP, "0")
    bus.consume(5)
    account = account_of(await bus.run())
    low, high = account["acknowledged"]
    assert account["published"] <= 21 <= account["published"] + account["unseen"]
    assert low <= 6 <= high
    assert account["lost"][0] <= 15 <= account["lost"][1]


async def test_a_group_set_back_after_a_loss_loses_nothing_more(bus):
    """Three were trimmed unread, then SETID 0: still three."""
    make_group(bus)
    await bus.run()
    bus.publish(8)
    await bus.run()
    bus.redis.xtrim(KEY, maxlen=5, approximate=False)
    before = account_of(await bus.run())
    assert before["lost"] == [3, 3]
    bus.redis.xgroup_setid(KEY, GROUP, "0")
    bus.consume(5)
    for _ in range(2):
        account = account_of(await bus.run())
        assert account["lost"][0] <= 3 <= account["lost"][1]
        assert account["acknowledged"][0] <= 5 <= account["acknowledged"][1]


@pytest.mark.parametrize("family", ["valkey", "redis7"])
async def test_a_restart_from_the_aof_makes_no_rank_a_count(family, make_context, server_folder):
    """The same over SIGKILL and a start from the AOF, which forgets entries-read: the next read
    estimates it anew. Redis 6.2 has no such number, and can't be followed over a restart.
    """
    binary = require_tool("redis-server") if family == "redis7" else None
    with open_bench(family, server_folder, binary) as server:
        server.begin(durable=True)
        bus = Bus(server.server, make_context)
        bus.configure(deadline="1h")
        make_group(bus)
        await bus.run()
        bus.publish(1)
        bus.consume(1)
        await bus.run()
        bus.publish(20)
        bus.redis.xtrim(KEY, maxlen=5, approximate=False)
        server.restart()
        with suppress(redis.ConnectionError):
            bus.redis.ping()
        bus.consume(5)
        with pytest.raises(TargetUnreachable):
            await bus.run()
        await asyncio.sleep(0.5)
        account = account_of(await bus.run())
        await bus.client.close()
    low, high = account["acknowledged"]
    assert account["published"] <= 21 <= account["published"] + account["unseen"]
    assert low <= 6 <= high
    assert account["lost"][0] <= 15 <= account["lost"][1]


# -- first sight of a group (A2) --------------------------------------------------------------------


async def test_a_group_made_at_the_end_owes_nothing(bus):
    """5 published, made at `$`, a consumer that reads nothing, all between two looks: 0 owed. Redis
    6.2 does not tell that nobody read: then nobody knows.
    """
    make_group(bus, group="group_other")
    await bus.run()
    bus.publish(5)
    make_group(bus, "$")
    bus.redis.xreadgroup(GROUP, "c", {KEY: ">"})
    await bus.run()
    found = bus.state.watch.accounts[KEY].account_of(GROUP)
    if bus.family == "redis62":
        assert (found.acknowledged.lo, found.acknowledged.hi, found.unaccounted) == (0, 5, 5)
    else:
        assert (found.published, found.acknowledged.hi, found.unaccounted) == (0, 0, 0)


async def test_what_a_new_group_read_and_dropped_is_unaccounted(bus):
    """4 read, then DELCONSUMER, before the first look at the group: nobody knows of them."""
    make_group(bus, group="group_other")
    await bus.run()
    bus.publish(4)
    make_group(bus)
    bus.consume(4, ack=False)
    bus.redis.xgroup_delconsumer(KEY, GROUP, "c")
    await bus.run()
    found = bus.state.watch.accounts[KEY].account_of(GROUP)
    assert found.unaccounted == 4
    assert (found.acknowledged.lo, found.acknowledged.hi) == (0, 4)


# -- a skip is no delivery (A3) ---------------------------------------------------------------------


@pytest.mark.parametrize("again", ["setid", "made anew"])
async def test_what_a_group_is_moved_over_is_not_delivered(bus, again):
    """5 unread, moved to the end: nothing was delivered, and the event is told as a fault."""
    make_group(bus)
    await bus.run()
    bus.publish(5)
    await bus.run()
    if again == "setid":
        bus.redis.xgroup_setid(KEY, GROUP, "$")
    else:
        bus.redis.xgroup_destroy(KEY, GROUP)
        make_group(bus, "$")
    finding = await bus.run()
    account = account_of(finding)
    assert account["published"] == 5
    assert account["acknowledged"][0] == 0
    assert account["lost"][1] == 5
    if again == "setid" and bus.family != "redis62":
        assert (account["lost"], account["acknowledged"]) == ([5, 5], [0, 0])
    fault = fault_of(finding, "skipped", stream=KEY, group=GROUP)
    assert "was moved over" in fault.text
    assert "5 unread entries" in fault.text


async def test_entries_below_a_position_in_the_future_are_never_delivered(bus):
    """SETID far beyond the end: what comes up to there is lost, though nothing waits."""
    make_group(bus)
    await bus.run()
    bus.redis.xgroup_setid(KEY, GROUP, "99999999999999-0")
    await bus.run()
    bus.publish(4)
    finding = await bus.run()
    account = account_of(finding)
    assert (account["published"], account["lost"], account["acknowledged"]) == (4, [4, 4], [0, 0])
    fault_of(finding, "skipped", stream=KEY, group=GROUP)


@pytest.mark.parametrize("seen", [True, False])
async def test_what_was_skipped_and_read_at_last_is_acknowledged(bus, seen):
    """Moved over 5, put back, read and acknowledged: the truth lies in both figures. Who is seen to
    be put back, is said to be.
    """
    make_group(bus)
    await bus.run()
    bus.publish(5)
    await bus.run()
    bus.redis.xgroup_setid(KEY, GROUP, "$")
    await bus.run()
    bus.redis.xgroup_setid(KEY, GROUP, "0")
    if seen:
        fault = fault_of(await bus.run(), "skipped", stream=KEY, group=GROUP)
        assert fault.mended == "put back to 0-0"
        assert not any("SETID" in command for command in fault.cure)
    bus.consume(5)
    account = account_of(await bus.run())
    assert account["lost"][0] == 0
    assert account["acknowledged"][1] == 5


# -- put back (A4) ----------------------------------------------------------------------------------


async def test_what_a_group_may_have_read_before_it_was_put_back_is_not_lost(bus):
    """At 0; it reads 6, they are trimmed, SETID 0: the position is as it was, and nothing is
    certain.
    """
    make_group(bus)
    await bus.run()
    bus.publish(6)
    await bus.run()
    bus.consume(6)
    bus.redis.xtrim(KEY, maxlen=0, approximate=False)
    bus.redis.xgroup_setid(KEY, GROUP, "0")
    account = account_of(await bus.run())
    assert (account["lost"], account["acknowledged"]) == ([0, 6], [0, 6])


@pytest.mark.parametrize("bus", ["valkey", "redis7"], indirect=True)
async def test_a_group_of_an_empty_stream_is_its_own_when_others_are_made(bus):
    """XGROUP CREATE elsewhere says nothing of it: no key has ended."""
    make_group(bus)
    await bus.run()
    bus.redis.xgroup_create("another", "group", "0", mkstream=True)
    bus.publish(4)
    bus.consume(4)
    account = account_of(await bus.run())
    assert (account["published"], account["acknowledged"]) == (4, [4, 4])


@pytest.mark.parametrize("ending", [("DEL", KEY), ("SUNIONSTORE", KEY, "nothing")])
async def test_an_empty_stream_that_ended_may_be_another_one(bus, ending):
    """Ended, filled and read by nobody, and a group of that name made behind it: none is
    acknowledged for certain.
    """
    make_group(bus)
    await bus.run()
    bus.redis.execute_command(*ending)
    bus.publish(4)
    make_group(bus, "$")
    account = account_of(await bus.run())
    assert account["acknowledged"][0] == 0


# -- XCLAIM with FORCE (A5) -------------------------------------------------------------------------


async def test_an_entry_that_is_claimed_before_its_turn_counts_once(bus):
    """6 read and acknowledged; of two more one is claimed with FORCE: it pends, and waits once."""
    make_group(bus)
    await bus.run()
    bus.publish(6)
    bus.consume(6)
    await bus.run()
    forced = bus.publish(2)[1]
    bus.redis.execute_command("XCLAIM", KEY, GROUP, "d", 0, forced, "FORCE")
    for _ in range(2):
        account = account_of(await bus.run())
        assert account["acknowledged"] == [6, 6]
        assert account["waiting"] == 2


# -- another life (A6) ------------------------------------------------------------------------------


async def test_a_stream_that_was_gone_is_another_one(bus):
    """3 published, deleted, looked, 9 more trimmed to 4: recreated, 12 published, 5 lost."""
    make_group(bus)
    await bus.run()
    bus.publish(3)
    await bus.run()
    bus.redis.delete(KEY)
    await bus.run()
    make_group(bus)
    bus.publish(9)
    bus.redis.xtrim(KEY, maxlen=4, approximate=False)
    finding = await bus.run()
    account = account_of(finding)
    assert "recreated" in events_of(finding)
    if bus.family == "redis62":
        assert account["published"] <= 12 <= account["published"] + account["unseen"]
        assert account["lost"][0] <= 5 <= account["lost"][1]
    else:
        assert account["published"] == 12
        assert account["lost"] == [5, 8]  # what waited in the first life may be lost with it


async def test_a_stream_with_other_entries_between_two_looks_is_another_one(bus):
    """Deleted and filled anew from an id before the last one known: that entry is missing though
    nothing can have removed it.
    """
    make_group(bus)
    bus.redis.xadd(KEY, {"f": "v"}, id="5-0")
    await bus.run()
    bus.redis.xadd(KEY, {"f": "v"}, id="50-0")
    await bus.run()
    bus.redis.delete(KEY)
    make_group(bus)
    for n in (5, 20, 60, 61):
        bus.redis.xadd(KEY, {"f": "v"}, id=f"{n}-0")
    finding = await bus.run()
    assert "the newest known entry is missing" in events_of(finding)


# -- counters of commands have epochs (A7) ----------------------------------------------------------


async def test_a_deletion_is_not_hidden_by_a_reset_of_the_statistics(bus):
    """One DELCONSUMER before, one after RESETSTAT: as many calls, and all the same four are
    unaccounted.
    """
    make_group(bus)
    bus.redis.xgroup_createconsumer(KEY, GROUP, "x")
    bus.redis.xgroup_delconsumer(KEY, GROUP, "x")
    await bus.run()
    bus.publish(4)
    bus.consume(4, ack=False)
    await bus.run()
    bus.redis.config_resetstat()
    bus.redis.xgroup_createconsumer(KEY, GROUP, "d")
    bus.redis.xgroup_delconsumer(KEY, GROUP, "c")
    account = account_of(await bus.run())
    assert (account["acknowledged"], account["dropped"]) == ([0, 4], [0, 4])


# -- XSETID (A11) -----------------------------------------------------------------------------------


async def test_counters_that_were_set_are_an_event_and_no_loss(bus):
    """XSETID … ENTRIESADDED, as tools do that move data: nothing is certain across it."""
    make_group(bus)
    await bus.run()
    bus.publish(5)
    await bus.run()
    last = bus.publish(3)[-1]
    if bus.family == "redis62":
        bus.redis.execute_command("XSETID", KEY, "99999999999999-0")
    else:
        more = ("ENTRIESADDED", 108, "MAXDELETEDID", "0-0")
        bus.redis.execute_command("XSETID", KEY, last, *more)
    finding = await bus.run()
    assert "xsetid" in events_of(finding)
    assert account_of(finding)["lost"][0] == 0


@pytest.mark.parametrize("bus", ["valkey", "redis7"], indirect=True)
async def test_counters_that_were_set_before_the_counts_began_anew_are_seen(bus):
    """XSETID … ENTRIESADDED, and RESETSTAT between the same two looks, which hides the call."""
    make_group(bus)
    await bus.run()
    last = bus.publish(5)[-1]
    bus.consume(5)
    await bus.run()
    bus.redis.execute_command("XSETID", KEY, last, "ENTRIESADDED", 50, "MAXDELETEDID", "0-0")
    bus.publish(3)
    bus.redis.config_resetstat()
    finding = await bus.run()
    assert "xsetid" in events_of(finding)
    account = account_of(finding)
    assert account["published"] <= 8 <= account["published"] + account["unseen"]


@pytest.mark.parametrize("bus", ["valkey", "redis7"], indirect=True)
async def test_counts_that_began_anew_break_no_trimmed_stream(bus):
    """Entries came and went: those that came are counted, and entries-added is right."""
    make_group(bus)
    await bus.run()
    bus.publish(20)
    bus.consume(12)
    await bus.run()
    bus.publish(5)
    bus.consume(2)
    bus.redis.xtrim(KEY, maxlen=15, approximate=False)
    bus.redis.config_resetstat()
    finding = await bus.run()
    assert "xsetid" not in events_of(finding)
    account = account_of(finding)
    assert (account["published"], account["unseen"]) == (25, 0)
    assert account["waiting"] == 11


# -- exactness (A12) --------------------------------------------------------------------------------


@pytest.mark.parametrize("bus", ["redis7"], indirect=True)
async def test_counted_reads_tell_what_was_lost(bus):
    """Trims alone, some before and some behind what the group reads meanwhile: to the entry."""
    make_group(bus)
    await bus.run()
    bus.publish(40)
    bus.consume(10)
    await bus.run()
    bus.redis.xtrim(KEY, maxlen=12, approximate=False)
    bus.consume(4)
    account = account_of(await bus.run())
    assert (account["lost"], account["acknowledged"]) == ([18, 18], [14, 14])


# -- what is unseen is shared (A12) -----------------------------------------------------------------


@pytest.mark.parametrize("bus", ["redis62"], indirect=True)
async def test_streams_share_what_may_have_come_and_gone_unseen(bus):
    """Ten streams whose entries all went between two looks, 20 of them to one stream: together at
    most so many are unseen as XADD ran more often than can be counted.
    """
    keys = [f"agent_messages:agent-{n}" for n in range(10, 20)]
    for key in keys:
        bus.redis.xgroup_create(key, GROUP, "0", mkstream=True)
    await bus.run()
    for key in keys:
        bus.publish(20 if key == keys[0] else 1, key)
        bus.consume(20, key=key)
        bus.redis.xtrim(key, maxlen=0, approximate=False)
    account = account_of(await bus.run())
    published = 29
    assert account["published"] <= published <= account["published"] + account["unseen"]
    assert account["unseen"] <= 20
    assert account["acknowledged"][1] <= published
