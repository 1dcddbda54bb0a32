"""Every kind of cleaning on real servers: a known number of things to clean, and exactly those go."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from sentinel.errors import ActionRefused
from tests.integration.cleaning_bench import DAY, DLQ, GROUP, KEY, make_chore, opened

NODE = 100


BOTH = pytest.mark.parametrize("bench", ["valkey", "redis7"], indirect=True)
"""Exactness is shown on both families; the guards above the server on one."""


@pytest.fixture
async def bench(request, tmp_path):
    """On Valkey, or the family that the test names."""
    server = request.getfixturevalue(getattr(request, "param", "valkey"))
    async with opened(server.port, tmp_path) as made:
        yield made


# -- safe_trim ------------------------------------------------------------------------------------


@BOTH
async def test_trim_removes_what_all_groups_acknowledged_in_whole_nodes(bench):
    """Of 1,000 old entries both groups are done with 730 and 850: the 7 whole nodes below go,
    nothing else.
    """
    ids = bench.publish(1000)
    for group, done in (("g1", 730), ("g2", 850)):
        bench.group(group)
        bench.ack(bench.read(900, group=group)[:done], group)
    run = await bench.keeper.run("safe_trim")
    assert (run.outcome, run.found, run.removed) == ("done", 730, 730 // NODE * NODE)
    assert sorted(bench.live()) == ids[run.removed :]
    assert len(bench.pending("g1")) == 170
    assert len(bench.pending("g2")) == 50


async def test_trim_keeps_young_entries_and_the_newest(bench):
    """Acknowledged entries stay while they are younger than `keep`, and the newest stay at any age."""
    bench.publish(500)
    young = bench.publish(500, age_ms=1000)
    bench.group()
    bench.ack(bench.read(1000))
    assert (await bench.keeper.run("safe_trim")).removed == 500
    assert bench.live() == set(young)
    more = bench.publish(500, age_ms=0)
    bench.ack(bench.read(500))
    bench.use(make_chore("safe_trim", keep="0s", keep_entries=700))
    assert (await bench.keeper.run("safe_trim")).removed == 300
    assert bench.live() == set([*young, *more][300:])


async def test_trim_stays_within_the_cap_of_the_hour(bench):
    """Of 1,000 that could go, 250 may: the two whole nodes within the cap, and no more in the same
    hour.
    """
    bench.publish(1001)
    bench.group()
    bench.ack(bench.read(1001))
    bench.use(make_chore("safe_trim", max_per_hour=250))
    assert (await bench.keeper.run("safe_trim")).removed == 200
    assert (await bench.keeper.run("safe_trim")).removed == 0
    assert len(bench.live()) == 801


async def test_trim_is_held_by_a_group_that_read_nothing_and_by_a_pending_entry(bench):
    """One group behind, or one entry pending, holds everything from there on; who holds is shown."""
    ids = bench.publish(1000)
    bench.group("g1")
    bench.ack(bench.read(1000, group="g1"), "g1")
    bench.group("slow")
    assert (await bench.keeper.run("safe_trim")).removed == 0
    bench.read(1000, group="slow")
    bench.ack([entry for i, entry in enumerate(ids) if i != 450], "slow")
    plan = await bench.keeper.plan("safe_trim", {}, "me")
    assert plan.targets[0].count == 450
    assert "held by slow" in plan.targets[0].note
    assert (await bench.keeper.run("safe_trim")).removed == 400
    assert ids[450] in bench.live()


async def test_trim_refuses_streams_without_groups_without_a_required_group_and_without_times(
    bench,
):
    """No group, a lost group, ids that are no times: nothing goes, each reason is counted."""
    bench.publish(500, "agent:none")
    bench.publish(500, "agent:lost")
    bench.group("other", "agent:lost")
    bench.ack(bench.read(500, group="other", key="agent:lost"), "other", "agent:lost")
    for i in range(1, 501):
        bench.redis.xadd("agent:odd", {"f": "v"}, id=f"{i}-0")
    bench.group("group_odd", "agent:odd")
    bench.ack(bench.read(500, group="group_odd", key="agent:odd"), "group_odd", "agent:odd")
    bench.use(make_chore("safe_trim", groups={"required": ["group_*"]}))
    run = await bench.keeper.run("safe_trim")
    assert (run.outcome, run.removed, run.refused) == ("refused", 0, 3)
    assert [bench.redis.xlen(key) for key in ("agent:none", "agent:lost", "agent:odd")] == [
        500,
        500,
        500,
    ]
    name = "sentinel_housekeeping_refused_total"
    assert bench.count(name, chore="safe_trim", reason="group_missing") == 2
    assert bench.count(name, chore="safe_trim", reason="no_time") == 1


async def test_f11_trim_beyond_the_oldest_unacknowledged_id_or_to_nothing_is_refused(bench):
    """F11: `below` behind what is unacknowledged, and keeping 0 entries: refused with a reason,
    nothing removed.
    """
    ids = bench.publish(1000)
    bench.group()
    bench.ack([entry for entry in bench.read(1000) if entry != ids[300]])
    with pytest.raises(ActionRefused, match="beyond what every group has acknowledged") as error:
        await bench.keeper.plan("safe_trim", {"below": ids[301]}, "me")
    assert ids[300] in str(error.value)
    with pytest.raises(ActionRefused, match="keep_entries"):
        await bench.keeper.plan("safe_trim", {"keep_entries": 0}, "me")
    with pytest.raises(ActionRefused, match="no entry id"):
        await bench.keeper.plan("safe_trim", {"below": "MAXLEN 0"}, "me")
    assert len(bench.live()) == 1000
    plan = await bench.keeper.plan("safe_trim", {"below": ids[200]}, "me")
    assert (await bench.keeper.apply(plan.id, "me")).removed == 200
    assert bench.live() == set(ids[200:])


@BOTH
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_unacknowledged_is_ever_trimmed(bench, seed):
    """A random life with several groups, trimmed all the time: what a group has not acknowledged
    never goes.
    """
    random_ = random.Random(seed)
    bench.use(make_chore("safe_trim", keep="1s", keep_entries=random_.choice([1, 150])))
    groups = [f"g{i}" for i in range(random_.randint(1, 4))]
    bench.redis.config_set("stream-node-max-entries", random_.choice([3, 10]))
    try:
        owed: dict[str, set[str]] = {group: set() for group in groups}
        for group in groups:
            bench.group(group)
        removed = 0
        for _ in range(30):
            fresh = bench.publish(random_.randint(0, 40))
            for group in groups:
                owed[group].update(fresh)
                got = bench.read(random_.randint(1, 60), random_.choice("ab"), group)
                done = [e for e in [*got, *bench.pending(group)] if random_.random() < 0.7]
                bench.ack(done, group)
                owed[group].difference_update(done)
            if random_.random() < 0.2 and bench.pending(groups[0]):
                bench.redis.xautoclaim(KEY, groups[0], "z", 0)
            removed += (await bench.keeper.run("safe_trim")).removed
            assert set().union(*owed.values()) <= bench.live()
        assert removed > 0
    finally:
        bench.redis.config_set("stream-node-max-entries", NODE)


@BOTH
async def test_ids_beyond_the_precision_of_lua_are_not_rounded_up(bench):
    """Sequences above 2^53, one entry a node: the first entry that a group has not read stays."""
    ms = int(time.time() * 1000) - 10 * DAY
    ids = [f"{ms}-{2**60 + i}" for i in range(300)]
    bench.redis.config_set("stream-node-max-entries", 1)
    try:
        for entry in ids:
            bench.redis.xadd(KEY, {"f": "v"}, id=entry)
        bench.group()
        bench.ack(bench.read(250))
        assert (await bench.keeper.run("safe_trim")).removed == 249
        assert bench.live() == set(ids[249:])
    finally:
        bench.redis.config_set("stream-node-max-entries", NODE)


# -- idle_consumers -------------------------------------------------------------------------------


@BOTH
async def test_a25_of_1000_ghosts_and_5_with_pending_exactly_the_ghosts_go(bench):
    """A25: 1,000 consumers that hold nothing go; five that hold one entry each, and the spared one,
    stay.
    """
    bench.group()
    bench.publish(5)
    holders = {f"holder-{i}" for i in range(5)}
    for name in sorted(holders):
        assert bench.read(1, name)
    with bench.redis.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.xgroup_createconsumer(KEY, GROUP, f"ghost-{i}")
        pipe.xgroup_createconsumer(KEY, GROUP, "keep-me")
        pipe.execute()
    bench.use(make_chore("idle_consumers", spare=["keep-*"]))
    await asyncio.sleep(1.1)
    run = await bench.keeper.run("idle_consumers")
    assert (run.found, run.removed) == (1000, 1000)
    assert bench.consumers() == holders | {"keep-me"}
    assert len(bench.pending()) == 5


async def test_a_consumer_that_reads_after_the_look_keeps_its_entry(bench):
    """Between the look and the act a ghost reads one entry: it stays, with the entry; the others
    go.
    """
    bench.group()
    for name in ("a", "b", "c"):
        bench.redis.xgroup_createconsumer(KEY, GROUP, name)
    await asyncio.sleep(1.1)
    kind = bench.keeper.kinds["idle_consumers"]
    work = bench.keeper._begin(bench.keeper.chores["idle_consumers"], "me")
    survey = await bench.keeper._survey(work)
    assert survey.count == 3
    bench.publish(1)
    (entry,) = bench.read(1, "b")
    done = await kind.act(work.chore.options, work.room, survey.targets[0])
    assert (done.count, [refusal.reason for refusal in done.refusals]) == (2, ["pending"])
    assert bench.pending() == {entry: "b"}


async def test_a_consumer_that_was_just_heard_of_stays(bench):
    """Silent for long is judged again in the moment of the act."""
    bench.group()
    bench.redis.xgroup_createconsumer(KEY, GROUP, "fresh")
    assert (await bench.keeper.run("idle_consumers")).found == 0
    cleaner = bench.keeper._begin(bench.keeper.chores["idle_consumers"], "me").room.cleaner
    assert await cleaner.remove_consumers(KEY, GROUP, 3600.0, ["fresh", "nobody"]) == [
        "heard",
        "missing",
    ]
    assert bench.consumers() == {"fresh"}


# -- keys_without_ttl -----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("action", ["expire", "unlink"])
async def test_keys_without_ttl_under_the_prefix_exactly(bench, action):
    """Of keys with and without TTL, in and out of the prefix, streams with groups: exactly the 230
    leaks.
    """
    for i in range(230):
        bench.redis.hset(f"cache:{i}", "f", "v")
    bench.redis.set("cache:has-ttl", "v", ex=1000)
    bench.redis.set("other", "v")
    bench.redis.rpush("cache:list", "v")
    bench.redis.xadd("cache:stream", {"f": "v"})
    bench.redis.xgroup_create("cache:stream", "g", "0")
    types = ["string", "hash", "stream"]
    bench.use(make_chore("keys_without_ttl", action=action, ttl="100s", types=types))
    run = await bench.keeper.run("keys_without_ttl")
    assert (run.found, run.removed) == (230, 230)
    if action == "expire":
        assert all(90 < bench.redis.ttl(f"cache:{i}") <= 100 for i in range(230))
    assert bench.redis.dbsize() == (234 if action == "expire" else 4)
    assert {bench.redis.ttl(key) for key in ("cache:stream", "cache:list", "other")} == {-1}
    assert bench.redis.ttl("cache:has-ttl") > 900


@BOTH
async def test_keys_in_use_and_keys_that_got_a_ttl_meanwhile_stay(bench):
    """A key that was just written may be given its TTL in the next command; one that got it is
    left.
    """
    bench.redis.set("cache:fresh", "v")
    bench.redis.set("cache:old", "v")
    dump = bench.redis.dump("cache:old")
    bench.redis.restore("cache:old", 0, dump, replace=True, idletime=7200)
    bench.redis.restore("cache:raced", 0, dump, replace=True, idletime=7200)
    bench.use(make_chore("keys_without_ttl", action="unlink", unused_for="1h"))
    work = bench.keeper._begin(bench.keeper.chores["keys_without_ttl"], "me")
    survey = await bench.keeper._survey(work)
    assert survey.targets[0].items == ("cache:old", "cache:raced")
    bench.redis.expire("cache:raced", 500)
    done = await work.kind.act(work.chore.options, work.room, survey.targets[0])
    assert (done.count, [refusal.reason for refusal in done.refusals]) == (1, ["has_ttl"])
    assert set(bench.redis.keys()) == {b"cache:fresh", b"cache:raced"}


# -- reclaim --------------------------------------------------------------------------------------


def stuck(bench, *, old: int, fresh: int):
    """A group in which a dead consumer holds `old` entries for an hour and `fresh` since just now."""
    bench.group()
    bench.publish(old + fresh)
    ids = bench.read(old + fresh, "dead")
    if old:
        bench.age(ids[:old], "dead")
    return ids[:old], ids[old:]


@BOTH
async def test_reclaim_gives_exactly_the_stuck_entries_to_the_named_consumer(bench):
    """150 stuck, 20 in work, one acknowledged: the 149 go to the consumer that lives."""
    old, fresh = stuck(bench, old=150, fresh=20)
    bench.ack(old[:1])
    bench.redis.xgroup_createconsumer(KEY, GROUP, "live")
    run = await bench.keeper.run("reclaim")
    assert (run.found, run.removed) == (149, 149)
    assert bench.pending() == {**dict.fromkeys(old[1:], "live"), **dict.fromkeys(fresh, "dead")}


async def test_reclaim_to_nobody_or_to_the_silent_is_refused(bench):
    """The named consumer does not exist, or was not heard of for too long: nothing moves, none is
    created.
    """
    old, _ = stuck(bench, old=5, fresh=0)
    run = await bench.keeper.run("reclaim")
    assert (run.outcome, run.removed) == ("refused", 0)
    assert bench.consumers() == {"dead"}
    bench.redis.xgroup_createconsumer(KEY, GROUP, "live")
    bench.use(make_chore("reclaim", alive_within="1ms"))
    await asyncio.sleep(0.05)
    assert (await bench.keeper.run("reclaim")).outcome == "refused"
    cleaner = bench.keeper._begin(bench.keeper.chores["reclaim"], "me").room.cleaner
    verdicts = await cleaner.reclaim(KEY, GROUP, "live", old, idle=60, alive_within=0.001)
    assert verdicts == ["no_heir"] * 5
    assert set(bench.pending().values()) == {"dead"}


async def test_f12_min_idle_below_the_handlers_time_is_refused(bench):
    """F12: entries in work would be handed out twice: refused in the configuration and as a
    parameter.
    """
    with pytest.raises(ValueError, match="handed out a second time"):
        make_chore("reclaim", min_idle="29s")
    with pytest.raises(ActionRefused, match="handed out a second time"):
        await bench.keeper.plan("reclaim", {"min_idle": "29s"}, "me")


@BOTH
async def test_what_is_in_work_again_after_the_look_is_not_handed_out(bench):
    """Between look and act one entry is delivered again and one acknowledged: both are left."""
    old, _ = stuck(bench, old=4, fresh=0)
    bench.redis.xgroup_createconsumer(KEY, GROUP, "live")
    work = bench.keeper._begin(bench.keeper.chores["reclaim"], "me")
    survey = await bench.keeper._survey(work)
    bench.redis.xclaim(KEY, GROUP, "busy", 0, [old[1]])
    bench.ack([old[2]])
    done = await work.kind.act(work.chore.options, work.room, survey.targets[0])
    assert (done.count, [r.reason for r in done.refusals]) == (2, ["acknowledged", "in_work"])
    assert bench.pending() == {old[0]: "live", old[1]: "busy", old[3]: "live"}


@BOTH
async def test_an_entry_whose_payload_is_gone_is_left_where_it_is(bench):
    """XCLAIM would drop it from the pending list without a word."""
    old, _ = stuck(bench, old=3, fresh=0)
    bench.redis.xgroup_createconsumer(KEY, GROUP, "live")
    bench.redis.xdel(KEY, old[0])
    run = await bench.keeper.run("reclaim")
    assert (run.removed, run.refused) == (2, 1)
    assert bench.pending()[old[0]] == "dead"


async def test_reclaim_to_a_dead_letter_stream(bench):
    """Without a consumer to give them to: copies with their origin, and acknowledged."""
    old, fresh = stuck(bench, old=120, fresh=3)
    settings = {"to_consumer": "", "dead_letter": DLQ}
    bench.use(make_chore("reclaim", **settings))
    assert (await bench.keeper.run("reclaim")).removed == 120
    assert bench.dead_letters() == old
    assert set(bench.pending()) == set(fresh)


# -- poison ---------------------------------------------------------------------------------------


@BOTH
async def test_poison_goes_to_quarantine_with_its_origin_exactly_once(bench):
    """Of 300 pending the 130 that were delivered more than 3 times and are not in work; again:
    nothing.
    """
    bench.group()
    bench.publish(300)
    ids = bench.read(300)
    bench.age(ids[:130], deliveries=4)
    bench.age(ids[130:200], deliveries=3)
    bench.age(ids[200:250], deliveries=9, idle=1)
    run = await bench.keeper.run("poison")
    assert (run.found, run.removed) == (130, 130)
    assert bench.dead_letters() == ids[:130]
    assert set(bench.pending()) == set(ids[130:])
    fields = bench.redis.xrange(DLQ, count=1)[0][1]
    assert (fields[b"n"], fields[b"origin_stream"], fields[b"origin_group"]) == (
        b"0",
        KEY.encode(),
        GROUP.encode(),
    )
    assert (fields[b"origin_consumer"], fields[b"origin_deliveries"]) == (b"c", b"4")
    assert (await bench.keeper.run("poison")).found == 0
    assert len(bench.dead_letters()) == 130


async def test_poison_is_judged_again_in_the_moment_of_the_move(bench):
    """After the look one count is reset, one entry is in work again, one acknowledged: only the
    fourth goes.
    """
    bench.group()
    bench.publish(4)
    ids = bench.read(4)
    bench.age(ids, deliveries=9)
    work = bench.keeper._begin(bench.keeper.chores["poison"], "me")
    survey = await bench.keeper._survey(work)
    bench.age(ids[:1], deliveries=1)
    bench.age(ids[1:2], deliveries=9, idle=0)
    bench.ack(ids[2:3])
    done = await work.kind.act(work.chore.options, work.room, survey.targets[0])
    assert [refusal.reason for refusal in done.refusals] == [
        "acknowledged",
        "few_deliveries",
        "in_work",
    ]
    assert bench.dead_letters() == ids[3:]
    assert set(bench.pending()) == set(ids[:2])


@BOTH
async def test_poison_that_can_not_be_copied_is_not_acknowledged(bench):
    """The dead-letter key is no stream: nothing is lost."""
    bench.group()
    bench.publish(10)
    ids = bench.read(10)
    bench.age(ids, deliveries=9)
    bench.redis.set(DLQ, "not a stream")
    run = await bench.keeper.run("poison")
    assert (run.outcome, run.removed) == ("refused", 0)
    assert "xadd" in run.detail
    assert set(bench.pending()) == set(ids)


# -- drain ----------------------------------------------------------------------------------------


async def test_f13_drain_without_another_healthy_consumer_is_refused(bench):
    """F13: pending or waiting work and nobody else: refused; another consumer, but silent: refused
    as well.
    """
    stuck(bench, old=5, fresh=0)
    with pytest.raises(ActionRefused, match="no other healthy consumer"):
        await bench.keeper.plan("drain", {"consumer": "dead"}, "me")
    bench.redis.xgroup_createconsumer(KEY, GROUP, "other")
    bench.use(make_chore("drain", alive_within="1ms"))
    await asyncio.sleep(0.05)
    with pytest.raises(ActionRefused, match="no other healthy consumer"):
        await bench.keeper.plan("drain", {"consumer": "dead"}, "me")
    with pytest.raises(ActionRefused, match="was not said"):
        await bench.keeper.plan("drain", {}, "me")
    with pytest.raises(ActionRefused, match="no group in scope"):
        await bench.keeper.plan("drain", {"consumer": "nobody"}, "me")


async def test_f13_waiting_work_alone_needs_another_consumer_too(bench):
    """Nothing pending, but unread entries that only this consumer would read: refused."""
    bench.group()
    bench.redis.xgroup_createconsumer(KEY, GROUP, "only")
    bench.publish(3)
    with pytest.raises(ActionRefused, match="what waits would stay with nobody"):
        await bench.keeper.plan("drain", {"consumer": "only"}, "me")


@BOTH
async def test_drain_moves_what_is_not_in_work_to_the_consumer_that_holds_least(bench):
    """70 idle entries of one consumer go to the emptier of two others; what it works on and theirs
    stay.
    """
    old, fresh = stuck(bench, old=70, fresh=4)
    bench.publish(2)
    theirs = bench.read(2, "full")
    bench.redis.xgroup_createconsumer(KEY, GROUP, "empty")
    plan = await bench.keeper.plan("drain", {"consumer": "dead"}, "me")
    assert (plan.count, plan.targets[0].bound) == (70, "empty")
    run = await bench.keeper.apply(plan.id, "me")
    assert run.removed == 70
    held = (
        dict.fromkeys(old, "empty") | dict.fromkeys(fresh, "dead") | dict.fromkeys(theirs, "full")
    )
    assert bench.pending() == held


async def test_drain_leaves_what_another_consumer_took_meanwhile(bench):
    """Between look and act a third consumer claims one entry: it keeps it, however long ago that
    was.
    """
    old, _ = stuck(bench, old=3, fresh=0)
    bench.redis.xgroup_createconsumer(KEY, GROUP, "heir")
    plan = await bench.keeper.plan("drain", {"consumer": "dead"}, "me")
    work = bench.keeper._begin(bench.keeper._chore_of(plan), "me")
    bench.age(old[:1], "third")
    done = await work.kind.act(work.chore.options, work.room, plan.targets[0])
    assert (done.count, [refusal.reason for refusal in done.refusals]) == (2, ["moved_already"])
    assert bench.pending() == {old[0]: "third", old[1]: "heir", old[2]: "heir"}


async def test_f13_one_group_without_an_heir_refuses_the_whole_drain(bench):
    """A drain by halves is none: in one group somebody could take over, in the other nobody: all is
    refused.
    """
    stuck(bench, old=2, fresh=0)
    bench.redis.xgroup_createconsumer(KEY, GROUP, "heir")
    bench.group("alone")
    bench.read(2, "dead", "alone")
    with pytest.raises(ActionRefused, match="no other healthy consumer"):
        await bench.keeper.plan("drain", {"consumer": "dead"}, "me")


async def test_drain_of_what_is_all_in_work_says_so(bench):
    """Nothing to move yet: refused with the number, not a plan of nothing."""
    stuck(bench, old=0, fresh=3)
    bench.redis.xgroup_createconsumer(KEY, GROUP, "heir")
    with pytest.raises(ActionRefused, match="3 in work"):
        await bench.keeper.plan("drain", {"consumer": "dead"}, "me")
