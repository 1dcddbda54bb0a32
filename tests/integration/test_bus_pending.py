"""The kind `bus_pending` on real servers: known faults in, exactly these found; bounded whatever is
pending.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, TargetRejected, TargetUnreachable
from sentinel.probes import bus_pending
from sentinel.probes.bus_pending import PendingOptions
from sentinel.watch import pending as pending_watch
from tests.bus_bench import ProbeBench, fault_of, value

KEY, GROUP = "agent_messages:a", "group_a"
OPTIONS = {"streams": {"include": ["agent_messages:*"]}, "deadline": "1h"}


class Recording(RedisClient):
    """Remembers every command that was sent."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.sent: list[tuple] = []

    async def _batch(self, commands, *, transaction):
        self.sent += [tuple(command) for command in commands]
        return await super()._batch(commands, transaction=transaction)


class Bus(ProbeBench):
    """The probe, a client that remembers what it sent, and a product's part."""

    kind = bus_pending.KIND
    defaults = OPTIONS
    client_type = Recording

    async def run(self):
        self.client.sent.clear()
        listed = self.count_listings()
        finding = await super().run()
        self.listed = self.count_listings() - listed
        return finding

    @property
    def tells_deletions(self) -> bool:
        """Redis 6.2 has no max-deleted-entry-id."""
        return not self.redis.info("server")["redis_version"].startswith("6.")

    def require_subcommand_counts(self) -> None:
        if not self.tells_deletions:
            pytest.skip("Redis 6.2 counts every XINFO as one command")

    def count_listings(self) -> int:
        try:
            return calls(self).get("cmdstat_xinfo|consumers", 0)
        except redis.RedisError:
            return 0

    def publish(self, count: int, key: str = KEY, age: float = 0.0) -> list[bytes]:
        """Entries that were published `age` seconds ago, by the server's clock."""
        seconds, _ = self.redis.time()
        pipe = self.redis.pipeline(transaction=False)
        for n in range(count):
            pipe.xadd(key, {"f": "v"}, id=f"{int((seconds - age) * 1000)}-{n}" if age else "*")
        return pipe.execute()

    def deliver(
        self, count: int, consumer: str = "c1", key: str = KEY, group: str = GROUP
    ) -> list[bytes]:
        return [
            entry
            for entry, _ in self.redis.xreadgroup(group, consumer, {key: ">"}, count=count)[0][1]
        ]

    def redeliver(self, ids: list[bytes], times: int, consumer: str = "c1") -> None:
        for _ in range(times):
            self.redis.xclaim(KEY, GROUP, consumer, 0, ids)


@pytest.fixture(params=["valkey", "redis7", "redis62"])
async def bus(request, make_context):
    made = Bus(request.getfixturevalue(request.param), make_context)
    made.redis.xgroup_create(KEY, GROUP, "0", mkstream=True)
    yield made
    await made.client.close()


def faults(finding) -> dict[str, dict]:
    """Faults by kind; there is at most one of each in these tests."""
    found = {fault["fault"]: fault for fault in finding.evidence["faults"]}
    assert len(found) == len(finding.evidence["faults"])
    assert all(len(fault["samples"]) <= 10 for fault in found.values())
    return found


async def test_healthy_stream_has_no_fault(bus):
    """Read and acknowledged, a few in flight: up, every figure 0 but what is pending."""
    await bus.run()
    bus.publish(50)
    ids = bus.deliver(50)
    bus.redis.xack(KEY, GROUP, *ids[:-3])
    finding = await bus.run()
    assert finding.status is Status.UP, finding.detail
    assert finding.evidence["faults"] == []
    assert finding.key == ("pending", "3")
    zero = (
        "poison_entries",
        "redelivered_entries",
        "pending_payload_missing_entries",
        "redeliveries_total",
    )
    assert [value(finding, name) for name in zero] == [0, 0, 0, 0]
    assert value(finding, "pending_dead_consumer_entries") == 0
    assert value(finding, "consumers", state="active") == 1


async def test_overdue_are_counted_by_age_though_idle_is_small(bus):
    """17 old entries, just claimed again (idle 0, as a claim loop leaves it), 5 new ones: 17
    overdue.
    """
    bus.publish(17, age=7200)
    bus.publish(5)
    ids = bus.deliver(22)
    bus.redeliver(ids, 1)
    finding = await bus.run()
    fault = faults(finding)["overdue"]
    assert (fault["count"], fault["exact"]) == (17, True)
    assert finding.status is Status.DEGRADED
    assert len(fault["samples"]) == 10
    assert fault["cure"][0].startswith(f"XCLAIM {KEY} {GROUP} c1 60000 {ids[0].decode()} ")
    assert value(finding, "pending_overdue_entries") == 17
    assert 7190 < value(finding, "oldest_pending_age_seconds") < 7300
    assert bus.redis.xpending(KEY, GROUP)["pending"] == 22


async def test_tolerated_overdue_is_up(bus):
    """max_overdue: one more is degraded, so many are not."""
    bus.publish(4, age=7200)
    bus.deliver(4)
    bus.configure(max_overdue=4)
    assert (await bus.run()).status is Status.UP
    bus.configure(max_overdue=3)
    assert (await bus.run()).status is Status.DEGRADED


async def test_poison_is_found_exactly(bus):
    """3 entries delivered 7 times, 4 delivered 5 times, limit 5: 3 poison; the cure moves them and
    runs nothing.
    """
    bus.publish(40)
    ids = bus.deliver(40)
    bus.redeliver(ids[5:8], 6)
    bus.redeliver(ids[10:14], 4)
    finding = await bus.run()
    fault = faults(finding)["poison"]
    assert (fault["count"], fault["exact"]) == (3, True)
    assert [sample["id"] for sample in fault["samples"]] == [entry.decode() for entry in ids[5:8]]
    assert [sample["deliveries"] for sample in fault["samples"]] == [7, 7, 7]
    assert fault["cure"][0] == f"XRANGE {KEY} {ids[5].decode()} {ids[5].decode()}"
    assert "to dead_letter_queue, then acknowledge it" in fault["guidance"]
    told = fault_of(finding, "poison")
    assert told.text == f"stream {KEY}, group {GROUP}: 3 delivered more than 5 times"
    assert told.subject == {"stream": KEY, "group": GROUP}
    assert value(finding, "redelivered_entries") == 7
    bus.redis.xack(KEY, GROUP, *ids[5:8])
    assert "poison" not in faults(await bus.run())


async def test_rereading_the_own_history_counts_as_deliveries(bus):
    """A consumer that re-reads its pending entries at each start raises their count, beyond the
    limit to poison.
    """
    bus.publish(2)
    bus.deliver(2)
    for _ in range(6):
        bus.redis.xreadgroup(GROUP, "c1", {KEY: "0"})
    finding = await bus.run()
    assert faults(finding)["poison"]["count"] == 2


async def test_redeliveries_are_counted_as_they_happen(bus):
    """Deliveries from before the watch don't count; after it each one that is seen does, also over
    a restart.
    """
    bus.publish(10)
    ids = bus.deliver(10)
    bus.redeliver(ids[:2], 3)
    assert value(await bus.run(), "redeliveries_total") == 0
    bus.redeliver(ids[:2], 2)
    bus.redeliver(ids[5:6], 1)
    assert value(await bus.run(), "redeliveries_total") == 5
    bus.restart()
    bus.publish(1)
    bus.redeliver(bus.deliver(1), 4)
    finding = await bus.run()
    assert value(finding, "redeliveries_total") == 9
    assert value(finding, "redelivered_entries") == 4
    bus.redis.xack(KEY, GROUP, *ids)
    bus.redis.xack(
        KEY,
        GROUP,
        *(row["message_id"] for row in bus.redis.xpending_range(KEY, GROUP, "-", "+", 10)),
    )
    finding = await bus.run()
    assert value(finding, "redeliveries_total") == 9
    assert value(finding, "redelivered_entries") == 0
    assert finding.evidence["redelivered"]["total"] == 9


async def test_trimmed_payloads_are_counted(bus):
    """30 pending, 12 of them trimmed: 12 can never be processed; or more, where the server hides
    what XDEL did.
    """
    bus.publish(30)
    ids = bus.deliver(30)
    bus.redis.xtrim(KEY, maxlen=18, approximate=False)
    finding = await bus.run()
    fault = faults(finding)["payload_missing"]
    exact = bus.tells_deletions
    assert (fault["count"], fault["exact"]) == (12, exact)
    assert [sample["id"].encode() for sample in fault["samples"]] == ids[:10]
    assert value(finding, "pending_payload_missing_entries") == 12
    assert f"12 {'' if exact else 'or more '}pending whose payload is gone" in finding.detail


async def test_payload_of_an_empty_stream_is_gone(bus):
    """Trimmed to nothing: everything pending has no payload."""
    bus.publish(5)
    bus.deliver(5)
    bus.redis.xtrim(KEY, maxlen=0, approximate=False)
    assert faults(await bus.run())["payload_missing"]["count"] == 5


async def test_deleted_payload_in_the_middle_is_a_lower_bound(bus):
    """XDEL ahead of the first live entry: what is known is said to be a lower bound."""
    bus.publish(10)
    ids = bus.deliver(10)
    bus.redis.xdel(KEY, ids[0], ids[5])
    fault = faults(await bus.run())["payload_missing"]
    assert (fault["count"], fault["exact"]) == (1, False)


async def test_dead_consumer_is_named_with_a_living_heir(bus):
    """One consumer holds 6 and is silent, one lives: the 6, their ids, and XCLAIM to the living
    one.
    """
    bus.publish(8)
    ids = bus.deliver(6, "gone")
    bus.configure(block="100ms", handler_time="200ms", dead_after="1500ms")
    time.sleep(1.7)
    bus.deliver(2, "alive")
    finding = await bus.run()
    fault = faults(finding)["dead_consumer"]
    assert fault["count"] == 6
    assert [sample["id"].encode() for sample in fault["samples"]] == ids
    assert fault["cure"][0].startswith(f"XCLAIM {KEY} {GROUP} alive 200 {ids[0].decode()} ")
    assert "only when it holds nothing" in fault["guidance"]
    assert fault["consumer"] == "gone"
    told = (
        "last attempt to read"
        if "valkey_version" in bus.redis.info("server")
        else "last successful read"
    )
    assert told in fault["text"]
    assert value(finding, "pending_dead_consumer_entries") == 6
    assert value(finding, "consumers", state="dead") == 1
    assert value(finding, "consumers", state="active") == 1


async def test_busy_consumer_is_not_dead(bus):
    """With the default patience a consumer that holds entries and was just heard of is active."""
    bus.publish(3)
    bus.deliver(3)
    finding = await bus.run()
    assert finding.status is Status.UP
    assert value(finding, "consumers", state="dead") == 0


async def test_attempts_to_read_are_a_sign_of_life_where_the_server_tells(
    valkey, redis7, make_context
):
    """A consumer that holds an entry and polls in vain: alive on Valkey, silent on 7.0, which says
    since when.
    """
    for server, dead in ((valkey, 0), (redis7, 1)):
        bus = Bus(
            server, make_context, {"block": "1ms", "handler_time": "1ms", "dead_after": "1500ms"}
        )
        bus.redis.xgroup_create(KEY, GROUP, "0", mkstream=True)
        bus.publish(1)
        bus.deliver(1)
        time.sleep(1.7)
        bus.redis.xreadgroup(GROUP, "c1", {KEY: ">"})
        finding = await bus.run()
        assert value(finding, "consumers", state="dead") == dead
        if dead:
            assert "last successful read" in faults(finding)["dead_consumer"]["text"]
        await bus.client.close()


async def test_ghost_consumers_are_counted(bus):
    """1000 consumers that hold nothing: a leak of names, deleted only while pending is 0."""
    pipe = bus.redis.pipeline(transaction=False)
    for n in range(1000):
        pipe.xgroup_createconsumer(KEY, GROUP, f"ghost-{n}")
    pipe.execute()
    bus.configure(ghost_after="1ms")
    time.sleep(0.01)
    finding = await bus.run()
    fault = faults(finding)["ghost_consumers"]
    assert fault["count"] == 1000
    assert "only while its pending is 0" in fault["guidance"]
    assert "1,000 consumers hold nothing" in fault["text"]
    for command in fault["cure"]:
        bus.redis.execute_command(command)
    assert len(bus.redis.xinfo_consumers(KEY, GROUP)) == 990
    bus.configure(ghost_after="1ms", max_ghosts=1000)
    assert (await bus.run()).status is Status.UP


async def test_unknown_consumers_are_named(bus):
    """Names that no pattern expects: both, and the one that holds entries first has them claimed."""
    bus.publish(3)
    bus.deliver(1, "agent-1")
    bus.deliver(2, "stranger")
    bus.redis.xgroup_createconsumer(KEY, GROUP, "intruder")
    bus.configure(known_consumers=["agent-*"])
    finding = await bus.run()
    fault = faults(finding)["unknown_consumers"]
    assert fault["count"] == 2
    assert {sample["consumer"] for sample in fault["samples"]} == {"stranger", "intruder"}
    assert fault["text"].endswith("no known name and hold 2: stranger, intruder")
    assert fault["cure"][1] == f"XPENDING {KEY} {GROUP} - + 10 stranger"
    assert value(finding, "unknown_consumers") == 2


@pytest.mark.parametrize("ahead", [None, -31_536_000_000, 31_536_000_000])
async def test_ids_that_are_no_times_are_overdue_when_seen_for_long(bus, ahead):
    """Sequence numbers, replayed history, a clock that was fast: 20 pending are overdue once they
    were seen for a deadline, not at once and not never; the 10 that just came are not.
    """
    bus.configure(deadline="400ms")
    begin = 2 if ahead is None else int(bus.redis.time()[0] * 1000) + ahead
    first = bus.redis.xadd(KEY, {"f": "v"}, id=f"{begin - 1}-0")
    bus.deliver(1)
    await bus.run()
    bus.redis.xack(KEY, GROUP, first)
    for n in range(20):
        bus.redis.xadd(KEY, {"f": "v"}, id=f"{begin + n}-0")
    bus.redeliver(bus.deliver(20)[:1], 9)
    finding = await bus.run()
    assert "overdue" not in faults(finding)
    assert (faults(finding)["poison"]["count"], finding.evidence["not_judged"]) == (1, [])
    await asyncio.sleep(0.45)
    bus.restart()
    for n in range(20, 30):
        bus.redis.xadd(KEY, {"f": "v"}, id=f"{begin + n}-0")
    bus.deliver(10)
    finding = await bus.run()
    late = faults(finding)["overdue"]
    assert (late["count"], late["exact"]) == (20, False)
    assert "(ids of this stream are no times)" in late["text"]
    assert 0.4 <= value(finding, "oldest_pending_age_seconds") < 60


async def test_wrong_type_touches_that_key_only(bus):
    """A key that is a string, a stream that is missing: troubles of their own, the stream beside
    them is judged.
    """
    bus.redis.set("agent_messages:text", "x")
    names = ["agent_messages:text", "agent_messages:none", KEY]
    bus.configure(streams={"include": names}, groups={"include": ["group_*", "absent"]})
    bus.publish(2, age=7200)
    bus.deliver(2)
    finding = await bus.run()
    assert faults(finding)["overdue"]["count"] == 2
    told = {each.subject.get("stream", ""): each.text for each in finding.faults}
    assert "WRONGTYPE" in told["agent_messages:text"]
    assert told["agent_messages:none"] == "stream agent_messages:none: the stream does not exist"
    assert told[""] == "group absent: no stream has it"


async def test_nothing_matches_is_unknown(bus):
    """No stream with a group: nothing to measure, never up."""
    bus.configure(streams={"include": ["nothing:*"]})
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert "nothing to measure" in finding.detail


async def test_names_from_the_platform_are_quoted(bus):
    """A name with a line break stays one word of the command."""
    key = "agent_messages:x\nFLUSHALL"
    bus.redis.xgroup_create(key, GROUP, "0", mkstream=True)
    bus.publish(1, key=key, age=7200)
    bus.deliver(1, key=key)
    (cure,) = faults(await bus.run())["overdue"]["cure"]
    assert "\n" not in cure
    assert '"agent_messages:x\\nFLUSHALL"' in cure


# -- bounds ---------------------------------------------------------------------------------------


ADD = "for n = 1, ARGV[2] do redis.call('XADD', KEYS[1], ARGV[1]..'-'..n, 'f', 'v') end"


def fill(bus: Bus, old: int, new: int) -> None:
    """Many pending entries: `old` of two hours ago, `new` of now."""
    seconds, _ = bus.redis.time()
    for count, age in ((old, 7200), (new, 1)):
        bus.redis.eval(ADD, 1, KEY, (seconds - age) * 1000, count)
    while bus.redis.xreadgroup(GROUP, "c1", {KEY: ">"}, count=20_000):
        pass


def calls(bus: Bus) -> dict[str, int]:
    return {name: stat["calls"] for name, stat in bus.redis.info("commandstats").items()}


async def test_a_hundred_thousand_pending_cost_a_bounded_run(bus):
    """100,000 pending, 99,400 overdue, 60,000 without payload: counted or bounded, in a few short
    replies.
    """
    bus.require_subcommand_counts()
    fill(bus, 99_400, 600)
    bus.redis.xtrim(KEY, maxlen=40_000, approximate=False)
    before, sent = calls(bus), bus.redis.info("stats")["total_net_output_bytes"]
    finding = await bus.run()
    after = calls(bus)
    found = faults(finding)
    assert (found["overdue"]["count"], found["overdue"]["exact"]) == (99_400, True)
    assert (found["payload_missing"]["count"], found["payload_missing"]["exact"]) == (1000, False)
    assert "1,000 or more" in found["payload_missing"]["text"]
    grown = {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}
    assert grown["cmdstat_xpending"] <= 6
    assert grown.get("cmdstat_xrange", 0) == 0
    assert set(grown) <= {f"cmdstat_{name}" for name in ALLOWED}
    assert bus.redis.info("stats")["total_net_output_bytes"] - sent < 400_000
    assert not any("IDLE" in command for command in bus.client.sent)
    assert finding.evidence["delivery_counts"][0]["read_this_run"] <= 700


ALLOWED = (
    "xpending",
    "xinfo|stream",
    "xinfo|groups",
    "xinfo|consumers",
    "time",
    "scan",
    "multi",
    "exec",
    "info",
)
ALLOWED += ("client|setname", "client|setinfo", "select", "hello", "ping")


async def test_poison_anywhere_is_found_within_one_pass(bus):
    """2,600 pending, 5 poison anywhere: the share covered grows to all, then exactly 5 are known;
    acked ones go at once.
    """
    bus.publish(2600)
    ids = bus.deliver(2600)
    poison = [ids[n] for n in (3, 800, 1300, 2000, 2599)]
    bus.redeliver(poison, 6)
    shares = []
    for _ in range(6):
        finding = await bus.run()
        shares.append(finding.evidence["delivery_counts"][0]["covered_by_passes"])
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(500 / 2600, abs=1e-4)
    assert shares[-1] == 1.0
    assert faults(finding)["poison"]["count"] == 5
    bus.redis.xack(KEY, GROUP, *poison[3:])
    finding = await bus.run()
    assert (faults(finding)["poison"]["count"], value(finding, "redelivered_entries")) == (3, 3)
    bus.redis.xack(KEY, GROUP, poison[0])
    bus.restart()
    assert faults(await bus.run())["poison"]["count"] == 2


async def test_many_consumers_are_listed_in_turn(bus):
    """200 consumers, one entry pending: listed in the first run, and then only in every sixth."""
    bus.require_subcommand_counts()
    for n in range(200):
        bus.redis.xgroup_createconsumer(KEY, GROUP, f"c{n}")
    bus.publish(1)
    bus.deliver(1)
    listed = []
    for _ in range(7):
        finding = await bus.run()
        listed.append(bus.listed > 0)
        assert value(finding, "consumers", state="active") == 200
    assert listed == [True, False, False, False, False, False, True]


async def test_quiet_streams_cost_one_command(bus):
    """40 streams with nothing pending: one XINFO GROUPS each."""
    bus.require_subcommand_counts()
    for n in range(40):
        bus.redis.xgroup_create(f"agent_messages:{n}", GROUP, "0", mkstream=True)
    await bus.run()
    before = calls(bus)
    await bus.run()
    grown = {
        name: n - before.get(name, 0) for name, n in calls(bus).items() if n != before.get(name, 0)
    }
    assert grown["cmdstat_xinfo|groups"] == 41
    assert "cmdstat_xpending" not in grown
    assert "cmdstat_xinfo|stream" not in grown
    assert "cmdstat_xinfo|consumers" not in grown


async def test_more_streams_than_allowed_is_said(bus):
    """max_streams bounds the run, and what is left out is said."""
    bus.require_subcommand_counts()
    for n in range(5):
        bus.redis.xgroup_create(f"agent_messages:{n}", GROUP, "0", mkstream=True)
    bus.configure(max_streams=2)
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert finding.guidance == "narrow streams.include, or raise max_streams"
    assert finding.detail.startswith("more streams match than max_streams = 2: 4 are not looked at")
    assert calls(bus)["cmdstat_xinfo|groups"] == 2


async def test_labels_are_bounded_by_patterns(bus):
    """Many streams and groups, few label sets."""
    for n in range(20):
        bus.redis.xgroup_create(f"agent_messages:a{n}", f"group_{n}", "0", mkstream=True)
    bus.configure(groups={"include": ["group_*"]})
    finding = await bus.run()
    assert {row.labels["stream"] for row in finding.rows if row.labels} == {"agent_messages:*"}
    assert {row.labels["group"] for row in finding.rows if row.labels} == {"group_*"}


# -- rights and servers ---------------------------------------------------------------------------

READER = "resetchannels %R~agent* -@all +ping +time +hello +auth +client|setname +client|setinfo +info +role +dbsize"
READER += " +type +exists +pttl +scan +xlen +xinfo|stream +xinfo|groups +xinfo|consumers +xpending +memory|usage"


async def test_works_with_the_shipped_read_only_credential(valkey, make_context):
    """No MULTI, KEYS, CONFIG, EVAL, DEL, XRANGE: everything is found all the same."""
    admin = redis.Redis(port=valkey.port)
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">secret", *READER.split())
    bus = Bus(valkey, make_context, url=f"redis://reader:secret@127.0.0.1:{valkey.port}/0")
    admin.xgroup_create(KEY, GROUP, "0", mkstream=True)
    bus.publish(20, age=7200)
    bus.redeliver(bus.deliver(20)[:4], 9)
    admin.xtrim(KEY, maxlen=13, approximate=False)
    finding = await bus.run()
    found = faults(finding)
    assert {kind: fault["count"] for kind, fault in found.items()} == {
        "overdue": 20,
        "poison": 4,
        "payload_missing": 7,
    }
    assert finding.evidence["atomic"] is False
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "reader")


@pytest.mark.parametrize("rule", ["+scan", "+time", "+xpending", "+xinfo|groups"])
async def test_missing_right_is_named(valkey, make_context, rule):
    """Without a rule nothing can be judged: the message names the command."""
    admin = redis.Redis(port=valkey.port)
    rules = [each for each in READER.split() if each != rule]
    admin.execute_command("ACL", "SETUSER", "blind", "on", ">secret", *rules)
    bus = Bus(valkey, make_context, url=f"redis://blind:secret@127.0.0.1:{valkey.port}/0")
    admin.xgroup_create(KEY, GROUP, "0", mkstream=True)
    bus.publish(1)
    bus.deliver(1)
    with pytest.raises(NotMeasurable, match=rule.strip("+").split("|")[-1]):
        await bus.run()
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "blind")


async def test_consumers_denied_leaves_the_rest(valkey, make_context):
    """Without XINFO CONSUMERS the consumers are a trouble of their own, pending entries are judged."""
    admin = redis.Redis(port=valkey.port)
    rules = [each for each in READER.split() if each != "+xinfo|consumers"]
    admin.execute_command("ACL", "SETUSER", "half", "on", ">secret", *rules)
    bus = Bus(valkey, make_context, url=f"redis://half:secret@127.0.0.1:{valkey.port}/0")
    admin.xgroup_create(KEY, GROUP, "0", mkstream=True)
    bus.publish(2, age=7200)
    bus.deliver(2)
    finding = await bus.run()
    assert faults(finding)["overdue"]["count"] == 2
    assert "its consumers can't be listed" in finding.evidence["not_judged"][0]["text"]
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "half")


async def test_dead_server_is_down(own_valkey, make_context):
    """A server that is away raises in our words, and the state survives it."""
    bus = Bus(own_valkey, make_context)
    await bus.run()
    own_valkey.stop()
    with pytest.raises(TargetUnreachable):
        await bus.run()
    await bus.client.close()


async def test_server_that_refuses_everything_is_named(own_valkey, make_context):
    """A replica without its master refuses reads: one error of the server, no list of troubles per
    stream.
    """
    bus = Bus(own_valkey, make_context, {"streams": {"include": [KEY, "agent_messages:b"]}})
    bus.redis.xgroup_create(KEY, GROUP, "0", mkstream=True)
    bus.redis.config_set("replica-serve-stale-data", "no")
    bus.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(TargetRejected, match="MASTERDOWN"):
        await bus.run()
    await bus.client.close()


async def test_more_consumers_than_can_be_listed_are_a_fault(bus, monkeypatch):
    """So many consumers are no fleet but leaked names: said, and not listed."""
    bus.require_subcommand_counts()
    monkeypatch.setattr(pending_watch, "MAX_CONSUMERS", 60)
    for n in range(61):
        bus.redis.xgroup_createconsumer(KEY, GROUP, f"c{n}")
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert "61 consumers, more than the 60 that can be listed" in finding.detail
    assert bus.listed == 0


async def test_many_groups_are_listed_in_turn(bus):
    """300 quiet groups of one consumer: at most 200 groups and consumers per run, all after three
    runs.
    """
    bus.require_subcommand_counts()
    for n in range(300):
        bus.redis.xgroup_create(f"agent_messages:{n}", GROUP, "0", mkstream=True)
        bus.redis.xgroup_createconsumer(f"agent_messages:{n}", GROUP, "c")
    counts = []
    for _ in range(4):
        finding = await bus.run()
        counts.append(bus.listed)
    assert max(counts) <= 100 + 1
    assert sum(counts) == 301
    assert value(finding, "consumers", state="active") == 300


async def test_group_that_vanishes_is_forgotten(bus):
    """A group that was destroyed leaves nothing behind, and its successor begins anew."""
    bus.publish(3)
    bus.redeliver(bus.deliver(3), 9)
    assert faults(await bus.run())["poison"]["count"] == 3
    bus.redis.xgroup_destroy(KEY, GROUP)
    assert (await bus.run()).status is Status.UNKNOWN
    assert bus.state.dump()["sweeps"] == []
    bus.redis.xgroup_create(KEY, GROUP, "$")
    finding = await bus.run()
    assert finding.status is Status.UP
    assert value(finding, "poison_entries") == 0


def test_patience_below_a_handlers_time_is_refused():
    """dead_after must exceed block + handler_time; by default it is three times their sum."""
    with pytest.raises(ValueError, match="must exceed block"):
        PendingOptions.model_validate({"dead_after": "30s", "handler_time": "60s"})
    limits = PendingOptions.model_validate({"block": "2s", "handler_time": "8s"}).limits
    assert limits.dead_after == 30
    assert replace(limits, dead_after=0.0).min_idle == 8


@pytest.mark.nightly
async def test_a_million_pending_cost_a_bounded_run(bus):
    """A26: 1,000,000 pending: the same few commands as for any number, and under 50 ms of the
    server's own time.
    """
    bus.require_subcommand_counts()
    fill(bus, 999_400, 600)
    await bus.run()
    before, spent = (
        calls(bus),
        sum(bus.redis.info("commandstats")[f"cmdstat_{n}"]["usec"] for n in ("xpending",)),
    )
    finding = await bus.run()
    after = bus.redis.info("commandstats")
    assert (faults(finding)["overdue"]["count"], faults(finding)["overdue"]["exact"]) == (
        999_400,
        True,
    )
    assert after["cmdstat_xpending"]["calls"] - before["cmdstat_xpending"] <= 6
    assert after["cmdstat_xpending"]["usec"] - spent < 50_000


# -- many streams ---------------------------------------------------------------------------------


async def test_streams_take_turns_and_those_with_pending_entries_go_first(bus):
    """21 streams, 6 a run: all are seen after four runs; an overdue one stays in sight, and is
    counted, in each run.
    """
    bus.require_subcommand_counts()
    for n in range(20):
        bus.redis.xgroup_create(f"agent_messages:{n:02}", GROUP, "0", mkstream=True)
    bus.publish(4, key="agent_messages:17", age=7200)
    bus.deliver(4, key="agent_messages:17")
    bus.configure(streams_per_run=6)
    for _ in range(4):
        finding = await bus.run()
    assert finding.evidence["poll"]["streams"] == 21
    assert faults(finding)["overdue"]["count"] == 4
    for _ in range(5):
        bus.redis.config_resetstat()
        finding = await bus.run()
        assert calls(bus)["cmdstat_xinfo|groups"] == 6 + 1
        assert (finding.evidence["poll"]["read"], faults(finding)["overdue"]["count"]) == (6, 4)
    assert value(finding, "pending_entries") == 4
    assert value(finding, "pending_width_seconds") >= 0
    bus.redis.xack(
        "agent_messages:17",
        GROUP,
        *[row["message_id"] for row in pending_rows(bus, "agent_messages:17")],
    )
    assert (await bus.run()).status is Status.UP


def pending_rows(bus: Bus, key: str) -> list[dict]:
    return bus.redis.xpending_range(key, GROUP, "-", "+", 100)


async def test_nothing_is_written_about_streams_at_rest(bus):
    """The state's document names the groups that hold or held something, not the others."""
    for n in range(10):
        bus.redis.xgroup_create(f"agent_messages:{n}", GROUP, "0", mkstream=True)
    bus.publish(3)
    entries = bus.deliver(3)
    await bus.run()
    assert [row[0] for row in bus.state.dump()["sweeps"]] == [KEY]
    bus.redis.xack(KEY, GROUP, *entries)
    await bus.run()
    assert bus.state.dump()["sweeps"] == []
