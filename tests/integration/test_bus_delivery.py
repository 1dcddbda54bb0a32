"""The kind `bus_delivery` on real servers: known numbers in, exactly these numbers out."""

from __future__ import annotations

import asyncio

import pytest
import redis
import yaml

from sentinel.core.fault import Status
from sentinel.core.quantity import Bounds
from sentinel.errors import NotMeasurable, TargetUnreachable
from sentinel.probes import bus_delivery
from sentinel.probes.bus_delivery import DeliveryOptions, DeliveryState
from tests.bus_bench import ProbeBench, fault_of, value

KEY = "agent_messages:agent-2"
OPTIONS = {
    "streams": {"include": ["agent_messages:*"], "exclude": ["*:dlq"]},
    "groups": {"required": ["group_*"]},
    "deadline": "20ms",
}


class Bus(ProbeBench):
    """The probe, and a product's part."""

    kind = bus_delivery.KIND
    defaults = OPTIONS

    def publish(self, count: int, key: str = KEY) -> list[bytes]:
        return [self.redis.xadd(key, {"f": "v"}) for _ in range(count)]

    def consume(self, count: int, ack: bool = True, group: str = "group_2", key: str = KEY) -> None:
        for entry, _ in self.redis.xreadgroup(group, "c", {key: ">"}, count=count)[0][1]:
            if ack:
                self.redis.xack(key, group, entry)

    async def settle(self):
        """Runs until everything that was published is judged."""
        while True:
            finding = await self.run()
            if not any(account.cohorts for account in self.state.watch.accounts.values()):
                return finding


@pytest.fixture(params=["valkey", "redis7"])
async def bus(request, make_context):
    made = Bus(request.getfixturevalue(request.param), make_context)
    made.redis.xgroup_create(KEY, "group_2", "0", mkstream=True)
    yield made
    await made.client.close()


async def test_everything_acknowledged_is_up_and_exact(bus):
    """120 published, read and acknowledged: 100 %, nothing else."""
    await bus.run()
    bus.publish(120)
    bus.consume(120)
    finding = await bus.settle()
    account = finding.evidence["account"]
    assert finding.status is Status.UP, finding.detail
    assert account["published"] == 120
    assert account["acknowledged"] == [120, 120]
    assert (account["pending"], account["waiting"], account["lost"]) == (0, 0, [0, 0])
    assert account["ratio"] == [1.0, 1.0]
    assert finding.key == ("acked", "100 %")
    assert "120 published, 100 % acknowledged" in finding.detail
    assert value(finding, "published_total", stream="agent_messages:*") == 120
    assert value(finding, "settled_total", group="group_*", outcome="acked") == 120


async def test_messages_trimmed_unread_are_lost_exactly(bus):
    """Consumer stopped after 40 of 100, XTRIM of 37 unread: lost is [37, 37], on any server family."""
    await bus.run()
    bus.publish(100)
    bus.consume(40)
    await bus.run()
    bus.redis.xtrim(KEY, maxlen=100 - 40 - 37, approximate=False)
    finding = await bus.run()
    assert finding.evidence["account"]["lost"] == [37, 37]
    assert finding.status is not Status.UP
    lost = fault_of(finding, "lost", stream=KEY, group="group_2")
    assert lost.text.startswith(
        f"stream {KEY}, group group_2: 37 entries were certainly lost before delivery"
    )
    assert lost.count == Bounds(37, 37)
    assert lost.since is not None
    assert value(finding, "lost_before_read_total", group="group_*") == 37
    assert value(finding, "lost_before_read_uncertain_total", group="group_*") == 0
    bus.consume(100)
    finding = await bus.settle()
    account = finding.evidence["account"]
    assert account["lost"] == [37, 37]
    assert account["acknowledged"] == [63, 63]
    assert value(finding, "lost_before_read_total", group="group_*") == 37


async def test_loss_after_settlement_is_counted_once(bus):
    """Entries that settled as waiting and are trimmed later: waiting stays settled,
    lost_before_read counts them.
    """
    await bus.run()
    bus.publish(30)
    await bus.settle()
    bus.redis.xtrim(KEY, maxlen=10, approximate=False)
    for _ in range(3):
        finding = await bus.run()
    assert value(finding, "settled_total", outcome="waiting") == 30
    assert value(finding, "settled_total", outcome="lost") == 0
    assert value(finding, "lost_before_read_total", group="group_*") == 20
    assert finding.evidence["account"]["lost"] == [20, 20]


async def test_late_entries_are_named_with_a_cure(bus):
    """Delivered but never acknowledged: pending at the deadline, overdue, with id, consumer and
    command.
    """
    await bus.run()
    bus.publish(50)
    bus.consume(50, ack=False)
    finding = await bus.settle()
    assert finding.status is Status.DOWN
    assert value(finding, "settled_total", outcome="pending") == 50
    assert value(finding, "pending_overdue_entries", group="group_*") == 50
    sample = finding.evidence["samples"][0]
    assert sample["consumer"] == "c"
    bus.redis.execute_command(sample["look"])
    below, late = fault_of(finding, "below_target"), fault_of(finding, "overdue")
    assert below.subject == late.subject == {"stream": KEY, "group": "group_2"}
    assert "0 of 50 entries judged in the last 1 min were acknowledged in 20 ms" in below.text
    assert f"{KEY}, group group_2: 50 delivered and not acknowledged in 20 ms" in late.text
    for command in (*below.cure, *late.cure):
        bus.redis.execute_command(command)


async def test_history_is_not_ours(bus):
    """Entries from before the first look don't count, not even those that still wait or pend."""
    bus.publish(30)
    bus.consume(10, ack=False)
    await bus.run()
    bus.publish(5)
    bus.consume(100, ack=False)
    for _ in range(2):
        finding = await bus.run()
    account = finding.evidence["account"]
    assert (account["published"], account["pending"]) == (5, 5)
    assert account["acknowledged"] == [0, 0]


async def test_stream_born_under_watch_counts_from_its_first_entry(bus):
    """A stream that the last complete discovery proved absent has no history."""
    await bus.run()
    key = "agent_messages:new"
    bus.publish(7, key)
    bus.redis.xgroup_create(key, "group_new", "0")
    finding = await bus.run()
    assert finding.evidence["account"]["published"] == 7


async def test_restart_of_sentinel_is_one_long_poll(bus):
    """What happens while sentinel is away is counted exactly; counters never go back."""
    await bus.run()
    bus.publish(20)
    bus.consume(20)
    await bus.settle()
    bus.restart()
    bus.publish(30)
    bus.consume(30)
    bus.publish(3, "agent_messages:meanwhile")
    finding = await bus.settle()
    assert value(finding, "published_total", stream="agent_messages:*") == 53
    assert finding.evidence["account"]["acknowledged"] == [50, 50]


async def test_recreated_stream_is_a_reset_and_not_a_loss_of_counts(bus):
    """DEL and a new life within one poll: counters go on, the group is reported lost with its
    position.
    """
    await bus.run()
    last = bus.publish(20)[-1].decode()
    bus.consume(20)
    await bus.settle()
    bus.redis.delete(KEY)
    bus.publish(4)
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert value(finding, "stream_resets_total", reason="recreated") == 1
    assert value(finding, "published_total", stream="agent_messages:*") == 24
    assert any("group_2" in event and last in event for event in finding.evidence["events"])
    assert finding.evidence["account"]["acknowledged"] == [20, 20]


async def test_rolled_back_stream_counts_what_was_taken_back(bus):
    """An older state comes back (as after a failover): 10 rolled back, no negative, no jump."""
    await bus.run()
    bus.publish(90)
    bus.consume(90)
    await bus.run()
    older = bus.redis.dump(KEY)
    bus.publish(10)
    await bus.run()
    bus.redis.restore(KEY, 0, older, replace=True)
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert value(finding, "rolled_back_entries_total", stream="agent_messages:*") == 10
    assert value(finding, "stream_resets_total", reason="rollback") == 1
    assert value(finding, "published_total", stream="agent_messages:*") == 100
    low, high = finding.evidence["account"]["acknowledged"]
    assert low <= 90 <= high


async def test_flushall_is_gone_not_zero(bus):
    """After FLUSHALL the stream is gone with its last known id, nothing is created, and the rest is
    unknown.
    """
    await bus.run()
    bus.publish(3)
    await bus.run()
    bus.redis.flushall()
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert value(finding, "stream_resets_total", reason="gone") == 1
    assert any(KEY in event for event in finding.evidence["events"])
    assert not bus.redis.exists(KEY)
    low, high = finding.evidence["account"]["lost"]
    assert (low, high) == (0, 3)


async def test_vanished_group_is_reported_with_its_position(bus):
    """XGROUP DESTROY: found by what was known, with the command that brings it back."""
    await bus.run()
    last = bus.publish(3)[-1].decode()
    bus.consume(3)
    await bus.run()
    bus.redis.xgroup_destroy(KEY, "group_2")
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert "start its consumers" in finding.guidance
    assert finding.faults[0].cure == (f"XGROUP CREATE {KEY} group_2 {last}",)
    bus.redis.execute_command(*finding.faults[0].cure)
    assert "was found gone" in (await bus.run()).faults[0].text


async def test_what_was_published_before_a_group_was_made_at_the_end_is_not_its(bus):
    """A second group joins a busy stream at `$`: nothing of the backlog was ever to be delivered to
    it.
    """
    await bus.run()
    bus.publish(10)
    bus.consume(10)
    await bus.run()
    bus.publish(100)
    bus.redis.xgroup_create(KEY, "group_9", "$")
    finding = await bus.run()
    streams = finding.evidence["account"]["streams"]
    assert streams[f"{KEY} group_9"]["published"] == 0
    assert streams[f"{KEY} group_9"]["acknowledged"] == [0, 0]
    bus.publish(4)
    bus.consume(3, group="group_9")
    bus.consume(104)
    finding = await bus.settle()
    joined = finding.evidence["account"]["streams"][f"{KEY} group_9"]
    assert (joined["published"], joined["acknowledged"], joined["waiting"]) == (4, [3, 3], 1)
    assert joined["settled"]["acked"] == 3
    assert joined["settled"]["waiting"] == 1


async def test_entries_that_setid_skipped_are_not_acknowledged(bus):
    """An operator moves the group over its backlog: nobody processed those entries, so they are in
    doubt.
    """
    await bus.run()
    bus.publish(5)
    bus.consume(5)
    await bus.run()
    bus.publish(50)
    await bus.run()
    bus.redis.xgroup_setid(KEY, "group_2", "$")
    finding = await bus.settle()
    account = finding.evidence["account"]
    assert account["acknowledged"] == [5, 55]
    assert account["settled"]["acked"] == 5
    assert account["settled"]["uncertain"] == 50


async def test_entries_that_setid_put_the_group_back_over_count_once(bus):
    """Ten acknowledged, six pending, four unread; then the pending ones wait, too. Also over a
    restart of sentinel.
    """
    await bus.run()
    last = bus.publish(20)[9]
    bus.consume(10)
    bus.consume(6, ack=False)
    await bus.run()
    bus.redis.xgroup_setid(KEY, "group_2", last)
    for _ in range(2):
        account = (await bus.run()).evidence["account"]
        assert account["waiting"] == 10
        assert account["pending"] == 0  # all six wait as well
        assert account["acknowledged"][1] == 10
        bus.restart()
    bus.consume(10)
    account = (await bus.run()).evidence["account"]
    assert account["pending"] == 0


async def test_what_may_have_been_read_before_the_group_was_put_back_is_not_certainly_lost(bus):
    """Read and acknowledged, put back and trimmed, all between two looks."""
    await bus.run()
    last = bus.publish(10)[0]
    bus.consume(5)
    await bus.run()
    bus.consume(5)
    bus.redis.xgroup_setid(KEY, "group_2", last)
    bus.redis.xtrim(KEY, maxlen=0, approximate=False)
    account = (await bus.run()).evidence["account"]
    assert account["lost"] == [0, 5]
    low, high = account["acknowledged"]
    assert low <= 10 <= high


async def test_an_entry_claimed_before_its_delivery_still_waits(bus):
    """XCLAIM FORCE puts what was never delivered among the pending ones: it is judged once, as
    waiting. The look between keeps what was read apart: XCLAIM might have moved the position.
    """
    await bus.run()
    entries = bus.publish(6)
    bus.consume(2)
    await bus.run()
    bus.redis.execute_command("XCLAIM", KEY, "group_2", "c", 0, *entries[3:5], "FORCE")
    finding = await bus.settle()
    settled = finding.evidence["account"]["settled"]
    assert (settled["acked"], settled["waiting"], settled["pending"]) == (2, 4, 0)


async def test_another_server_with_greater_numbers_is_another_life(bus):
    """After a change of server every number has grown, and only the entry known last is missing."""
    await bus.run()
    for entry in ("1000-0", "1001-0"):
        bus.redis.xadd(KEY, {"f": "v"}, id=entry)
    await bus.run()
    bus.redis.delete(KEY)
    for entry in ("1000-0", "1000-5", "1002-0"):
        bus.redis.xadd(KEY, {"f": "v"}, id=entry)
    bus.redis.xgroup_create(KEY, "group_2", "0")
    bus.state.watch.nature.server = ["another run_id", "another master_replid"]
    finding = await bus.run()
    assert any("newest known entry is missing" in event for event in finding.evidence["events"])


async def test_odd_subjects_are_reported_alone(bus):
    """A name that is not UTF-8, a missing required group, a stream of another type: the others go
    on.
    """
    bus.options = DeliveryOptions.model_validate(
        {**OPTIONS, "streams": {"include": ["agent_messages:*", "a-string"]}}
    )
    bus.redis.set("a-string", "x")
    bus.redis.xadd(b"agent_messages:\xff", {"f": "v"})
    bus.redis.xadd("agent_messages:broadcast", {"f": "v"})
    await bus.run()
    bus.publish(5)
    bus.consume(5)
    finding = await bus.settle()
    told = {fault.subject["stream"]: fault for fault in finding.faults}
    assert "UTF-8" in told["agent_messages:\\xff"].text
    assert "WRONGTYPE" in told["a-string"].text
    missing = told["agent_messages:broadcast"]
    assert "no group group_*" in missing.text
    assert missing.cure == ("XINFO GROUPS agent_messages:broadcast",)
    assert "it makes its group" in missing.guidance
    assert all(fault.guidance for fault in finding.faults)
    assert "what is published is owed to it" in missing.text
    assert finding.evidence["not_measurable"] == []
    assert finding.evidence["account"]["acknowledged"] == [5, 5]
    assert finding.status is Status.DEGRADED


async def test_the_remedy_for_an_odd_name_works_as_it_is_written(bus):
    """Copied into the YAML it excludes the stream."""
    bus.redis.xgroup_create("agent_messages:good", "g", id="0", mkstream=True)
    bus.redis.xadd(b"agent_messages:\xff", {"f": "v"})
    bus.options = DeliveryOptions.model_validate({"streams": {"include": ["agent_messages:*"]}})
    remedy = (await bus.run()).guidance
    exclude = yaml.safe_load(remedy.partition("streams.exclude: ")[2])
    bus.options = DeliveryOptions.model_validate(
        {"streams": {"include": ["agent_messages:*"], "exclude": exclude}}
    )
    assert [fault.key for fault in (await bus.run()).faults] == []


async def test_no_stream_is_unknown(valkey, make_context):
    """Nothing to measure is neither 0 % nor 100 %; the counters exist at zero all the same."""
    bus = Bus(valkey, make_context)
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert finding.key == ("acked", "–")
    assert finding.guidance == "correct streams.include, or create the group"
    assert value(finding, "settled_total", outcome="acked", group="group_*") == 0
    assert value(finding, "stream_resets_total", reason="gone") == 0
    await bus.client.close()


async def test_family_is_found_by_experiment(valkey, redis7, make_context):
    """Valkey 9 ranks, Redis 7.0 counts; the scratch key is never measured."""
    for server, family in ((valkey, "rank-b"), (redis7, "count")):
        bus = Bus(server, make_context, {"streams": {"include": ["*"], "exclude": []}})
        finding = await bus.run()
        assert finding.evidence["capability"] == family
        assert finding.evidence["account"]["streams"] == {}
        await bus.client.close()


async def test_read_only_credential_measures_by_anchors(valkey, make_context):
    """Without the right to write the family is unknown, the figures are exact all the same, and it
    is said.
    """
    admin = redis.Redis(port=valkey.port)
    rules = "resetkeys %R~* +xinfo +xpending +xrange +info +scan +time +multi +exec +client|setname +client|setinfo"
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">secret", *rules.split())
    url = f"redis://reader:secret@127.0.0.1:{valkey.port}/0"
    bus = Bus(valkey, make_context, url=url)
    admin.xgroup_create(KEY, "group_2", "0", mkstream=True)
    await bus.run()
    bus.publish(100)
    bus.consume(40)
    await bus.run()
    bus.redis.xtrim(KEY, maxlen=23, approximate=False)
    finding = await bus.run()
    assert finding.evidence["capability"] == "unknown"
    assert "permission" in finding.evidence["note"]
    assert finding.evidence["account"]["lost"] == [37, 37]
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "reader")


async def test_missing_right_is_named(valkey, make_context):
    """Without SCAN nothing can be found: unknown, and the message names the rule."""
    admin = redis.Redis(port=valkey.port)
    admin.execute_command(
        "ACL", "SETUSER", "blind", "on", ">secret", "~*", "+info", "+client|setname"
    )
    bus = Bus(valkey, make_context, url=f"redis://blind:secret@127.0.0.1:{valkey.port}/0")
    with pytest.raises(NotMeasurable, match="scan"):
        await bus.run()
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "blind")


async def test_dead_server_is_down(own_valkey, make_context):
    """A server that is away raises in our words, and the state survives it."""
    bus = Bus(own_valkey, make_context)
    await bus.run()
    own_valkey.stop()
    with pytest.raises(TargetUnreachable):
        await bus.run()
    await bus.client.close()


async def test_stream_names_are_bounded_by_patterns(bus):
    """Many streams and groups, few label sets."""
    for n in range(20):
        bus.redis.xgroup_create(f"agent_messages:a{n}", f"group_{n}", "0", mkstream=True)
    finding = await bus.run()
    streams = {row.labels["stream"] for row in finding.rows if "stream" in row.labels}
    groups = {row.labels["group"] for row in finding.rows if "group" in row.labels}
    assert (streams, groups) == ({"agent_messages:*"}, {"group_*"})


async def test_delivered_in_time_and_acknowledged_in_time_are_two_figures(bus):
    """40 of 100 read, 30 of them acknowledged: 40 % delivered and 30 % acknowledged by the
    deadline; both exported.
    """
    bus.options = DeliveryOptions.model_validate(
        {**OPTIONS, "down_below": "0%", "delivered_deadline": "10ms"}
    )
    await bus.run()
    bus.publish(100)
    bus.consume(30)
    bus.consume(10, ack=False)
    finding = await bus.settle()
    account = finding.evidence["account"]
    assert (account["ratio"], account["ratio_delivered"]) == ([0.3, 0.3], [0.4, 0.4])
    assert account["settled_delivery"] == {
        "delivered": 40,
        "waiting": 60,
        "lost": 0,
        "uncertain": 0,
    }
    assert value(finding, "delivery_settled_total", group="group_*", outcome="delivered") == 40
    assert value(finding, "delivery_settled_total", group="group_*", outcome="waiting") == 60
    assert "30 % acknowledged in 20 ms, 40 % delivered in 10 ms" in finding.detail
    bus.restart()
    assert (
        value(await bus.run(), "delivery_settled_total", group="group_*", outcome="delivered") == 40
    )


async def test_a_document_of_another_version_is_a_first_start(bus):
    """State that an earlier version wrote is not read: history begins now, nothing breaks."""
    await bus.run()
    bus.publish(5)
    bus.consume(5)
    await bus.run()
    bus.state = DeliveryState({"watch": {"accounts": {}}, "window": []})
    finding = await bus.run()
    assert finding.evidence["account"]["published"] == 0


async def test_two_checks_of_one_server_do_not_refuse_each_other(bus, make_context):
    """Both find out at the same moment, and again at once after a reload, what the numbers mean."""
    states = [DeliveryState(), DeliveryState(), DeliveryState()]
    contexts = [make_context({"resource": bus.client}, state) for state in states]
    await asyncio.gather(*(bus_delivery.KIND.run(bus.options, each) for each in contexts[:2]))
    await bus_delivery.KIND.run(bus.options, contexts[2])
    natures = [state.watch.nature for state in states]
    assert [nature.note for nature in natures] == ["", "", ""]
    assert len({nature.capability for nature in natures}) == 1
    assert natures[0].capability.family != "unknown"
