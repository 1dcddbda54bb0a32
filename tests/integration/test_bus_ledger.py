"""The kind `bus_ledger` on real servers: dead-letter and retry places of every type, counted
exactly.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import redis

from sentinel.adapters.bus import place_reader
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, TargetRejected, TargetUnreachable
from sentinel.probes import bus_ledger
from sentinel.probes.bus_ledger import LedgerOptions
from tests.bus_bench import ProbeBench, fault_of

STREAM = {"name": "dead", "type": "stream", "key": "dead_letter_queue"}
LIST = {"name": "failed", "type": "list", "key": "fj:queue:a:b"}
RETRY = {"name": "retry", "type": "zset", "key": "retry_queue"}


class Bus(ProbeBench):
    """The probe, and what fills its places."""

    kind = bus_ledger.KIND

    def __init__(self, server, make_context, *places, url=None) -> None:
        self.places = places or (STREAM, LIST, RETRY)
        super().__init__(server, make_context, url=url)

    def configure(self, *places, **options) -> None:
        super().configure(places=list(places or self.places), **options)

    def now(self) -> float:
        seconds, micros = self.redis.time()
        return seconds + micros / 1e6

    def bury(self, count: int, age: float = 0.0) -> None:
        milliseconds = int((self.now() - age) * 1000)
        for n in range(count):
            self.redis.xadd(
                "dead_letter_queue", {"f": "secret"}, id=f"{milliseconds}-{n}" if age else "*"
            )

    def send_back(self, stream: str) -> bytes:
        payload = json.dumps({"stream": stream, "fields": "secret"})
        return self.redis.xadd("dead_letter_queue", {"payload": payload})

    def retry(self, *due_in: float, key: str = "retry_queue", unit: float = 1.0) -> None:
        now = self.now()
        self.redis.zadd(
            key, {f"secret-{n}-{due}": (now + due) * unit for n, due in enumerate(due_in)}
        )


@pytest.fixture(params=["valkey", "redis7"])
async def bus(request, make_context):
    made = Bus(request.getfixturevalue(request.param), make_context)
    yield made
    await made.client.close()


def values(finding, place: str):
    """The figures of one place."""
    (row,) = [row for row in finding.rows if row.labels["place"] == place]
    return row.values


def shown(finding, place: str):
    """The evidence of one place."""
    (found,) = [each for each in finding.evidence["places"] if each["place"] == place]
    return found


async def test_empty_places_are_up(bus):
    """No key at all: every place empty, nothing overdue, up."""
    finding = await bus.run()
    assert finding.status is Status.UP, finding.detail
    for place in ("dead", "failed", "retry"):
        assert (values(finding, place)["entries"], values(finding, place)["added_total"]) == (0, 0)
        assert values(finding, place)["oldest_age_seconds"] == 0


async def test_dead_letters_of_a_stream_are_counted(bus):
    """3 old letters before the watch, 4 after, 2 of them deleted: 5 entries, exactly 4 added, the
    oldest's age.
    """
    bus.bury(3, age=3600)
    await bus.run()
    bus.bury(4)
    for entry, _ in bus.redis.xrevrange("dead_letter_queue", count=2):
        bus.redis.xdel("dead_letter_queue", entry)
    finding = await bus.run()
    found = values(finding, "dead")
    assert (found["entries"], found["added_total"]) == (5, 4)
    assert 3599 < found["oldest_age_seconds"] < 3700
    assert shown(finding, "dead")["added_is_exact"] is True
    assert finding.status is Status.UP
    assert "dead: 5, oldest 1 h" in finding.detail
    assert "secret" not in json.dumps(finding.evidence)


async def test_more_than_tolerated_is_degraded(bus):
    """max_entries 4: five are too many, and the command to look at them is named."""
    bus.configure({**STREAM, "max_entries": 4})
    bus.bury(4)
    assert (await bus.run()).status is Status.UP
    bus.bury(1)
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert "dead: 5 entries, more than 4" in finding.detail
    fault = fault_of(finding, "too_many", place="dead")
    assert fault.cure == ("XRANGE dead_letter_queue - + COUNT 10",)
    bus.redis.execute_command(*fault.cure)
    assert fault.parameters == {"stream": "dead_letter_queue"}
    assert bus.redis.xlen("dead_letter_queue") == 5


ARRIVALS = {**STREAM, "origin": "payload.stream", "max_arrivals": 1, "arrivals_within": "20s"}


async def test_letters_name_the_stream_they_came_from(bus):
    """max_arrivals 1: two fresh letters of orders are a fault of orders, one of chat is none, old
    ones and deleted ones don't count.
    """
    bus.configure(ARRIVALS)
    bus.bury(5, age=60)
    names = [bus.send_back(stream) for stream in ("orders", "orders", "chat")]
    finding = await bus.run()
    (fault,) = finding.faults
    assert finding.status is Status.DEGRADED
    assert fault.text == "stream orders: 2 entries came to dead within the last 20.0 s, more than 1"
    assert finding.detail.startswith(fault.text)
    assert fault.parameters == {"stream": "orders", "dead_letters": "dead_letter_queue"}
    assert len(bus.redis.execute_command(*fault.cure[0].split())) == 8
    assert shown(finding, "dead")["arrivals"]["from"] == {"orders": 2, "chat": 1}
    assert "secret" not in json.dumps(finding.evidence)
    bus.redis.xdel("dead_letter_queue", names[0])
    assert (await bus.run()).status is Status.UP


async def test_a_flood_of_letters_is_read_in_part_and_said(bus, monkeypatch):
    """At most so many of the newest are read: then there are at least so many."""
    monkeypatch.setattr(place_reader, "NEWEST_ENTRIES", 3)
    bus.configure(ARRIVALS)
    for _ in range(5):
        bus.send_back("orders")
    (fault,) = (await bus.run()).faults
    assert "at least 3 entries came" in fault.text
    assert (fault.count.lo, fault.count.open_ended) == (3, True)


@pytest.mark.parametrize(
    "wrong",
    [{"type": "list", "max_arrivals": 1}, {"type": "zset", "origin": "a"}, {"origin": "a.b"}],
)
def test_arrivals_need_a_stream_and_a_limit(wrong):
    """A list or sorted set does not tell what came when; an origin alone judges nothing."""
    with pytest.raises(ValueError, match=r"stream does|give max_arrivals"):
        LedgerOptions(places=[{**STREAM, **wrong}])


async def test_older_than_tolerated_is_degraded(bus):
    """max_age: a letter of two hours ago that nobody looked at."""
    bus.configure({**STREAM, "max_age": "1h"})
    bus.bury(1, age=7200)
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert "oldest 2 h" in finding.detail


async def test_overdue_retries_are_counted(bus):
    """Due 2 h ago and 90 s ago: overdue; 30 s ago: within the tolerance; in 10 min: not yet."""
    bus.retry(-7200, -90, -30, 600)
    finding = await bus.run()
    found = values(finding, "retry")
    assert (found["entries"], found["overdue_entries"]) == (4, 2)
    assert 7199 < found["oldest_age_seconds"] < 7300
    assert finding.status is Status.DEGRADED
    assert "retry: 2 overdue" in finding.detail
    bus.redis.zremrangebyrank("retry_queue", 0, 1)
    assert (await bus.run()).status is Status.UP


async def test_retries_of_the_future_are_no_delay(bus):
    """Everything is due later: age 0."""
    bus.retry(60, 3600)
    finding = await bus.run()
    assert values(finding, "retry")["oldest_age_seconds"] == 0
    assert finding.status is Status.UP


async def test_scores_in_milliseconds(bus):
    """The unit of the score is configuration; a wrong unit is seen, never an age of 50,000 years."""
    bus.retry(-7200, 600, unit=1000)
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert "2 of 2 scores are no epoch seconds" in finding.detail
    bus.configure({**RETRY, "score": "milliseconds"})
    finding = await bus.run()
    assert values(finding, "retry")["overdue_entries"] == 1
    assert 7199 < values(finding, "retry")["oldest_age_seconds"] < 7300


async def test_lists_count_and_know_no_age(bus):
    """A list tells its length; its age isn't known without a time in its entries, and is not made
    up.
    """
    await bus.run()
    bus.redis.rpush("fj:queue:a:b", *(json.dumps({"failed_at": 1}) for _ in range(6)))
    finding = await bus.run()
    found = values(finding, "failed")
    assert (found["entries"], found["added_total"]) == (6, 6)
    assert "oldest_age_seconds" not in found
    assert shown(finding, "failed")["added_is_exact"] is False


@pytest.mark.parametrize("push", ["lpush", "rpush"])
async def test_lists_with_a_time_have_an_age(bus, push):
    """With time_field the older end counts, whichever side the producer pushes to."""
    bus.configure({**LIST, "time_field": "meta.failed_at"})
    for age in (7200, 60):
        getattr(bus.redis, push)(
            "fj:queue:a:b", json.dumps({"meta": {"failed_at": bus.now() - age}})
        )
    finding = await bus.run()
    assert 7199 < values(finding, "failed")["oldest_age_seconds"] < 7300
    bus.configure({**LIST, "time_field": "meta.nothing"})
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert "no time at meta.nothing" in finding.detail


async def test_lists_with_times_of_another_zone(bus):
    """Local times of Tokyo: with zone the age is right; without it is unknown, with the zone that
    they look like, and not 0.
    """
    at = datetime.fromtimestamp(bus.now() - 300, ZoneInfo("Asia/Tokyo")).replace(tzinfo=None)
    bus.redis.rpush("fj:queue:a:b", json.dumps({"failed_at": at.isoformat()}))
    bus.configure({**LIST, "time_field": "failed_at", "zone": "Asia/Tokyo"})
    assert 299 < values(await bus.run(), "failed")["oldest_age_seconds"] < 400
    bus.configure({**LIST, "time_field": "failed_at"})
    finding = await bus.run()
    assert (finding.status, "UTC+9" in finding.detail) == (Status.UNKNOWN, True)
    assert "oldest_age_seconds" not in values(finding, "failed")


async def test_additions_to_a_list_are_a_lower_bound(bus):
    """+5, −2, +4 seen as steps: 9 added; what comes and goes between two looks is not seen; over a
    restart.
    """
    await bus.run()
    bus.redis.rpush("fj:queue:a:b", *"abcde")
    await bus.run()
    bus.redis.ltrim("fj:queue:a:b", 2, -1)
    await bus.run()
    bus.restart()
    bus.redis.rpush("fj:queue:a:b", *"fghi")
    finding = await bus.run()
    found = values(finding, "failed")
    assert (found["entries"], found["added_total"]) == (7, 9)


async def test_stream_that_is_recreated_keeps_counting(bus):
    """Deleted with 3 letters, then 2 new ones: 2 more were added."""
    bus.bury(1)
    await bus.run()
    bus.bury(2)
    await bus.run()
    bus.redis.delete("dead_letter_queue")
    assert values(await bus.run(), "dead")["entries"] == 0
    bus.bury(2)
    found = values(await bus.run(), "dead")
    assert (found["entries"], found["added_total"]) == (2, 4)


async def test_patterns_sum_their_keys(bus):
    """Three queues under a pattern, a string among them is no place; a queue that appears later
    counts as added.
    """
    bus.configure({"name": "queues", "type": "list", "key": "fj:queue:*"})
    bus.redis.set("fj:queue:text", "x")
    bus.redis.rpush("fj:queue:a:1", "x", "y")
    bus.redis.rpush("fj:queue:b:1", "x")
    assert values(await bus.run(), "queues") == {"entries": 3, "added_total": 0}
    bus.redis.rpush("fj:queue:c:1", "x", "y", "z", "a")
    bus.redis.delete("fj:queue:b:1")
    finding = await bus.run()
    assert values(finding, "queues") == {"entries": 6, "added_total": 4}
    assert shown(finding, "queues")["keys"][0] == {"key": "fj:queue:c:1", "entries": 4, "ids": []}


async def test_growth_is_entries_per_minute(bus):
    """30 more within a minute by the server's clock: 30 a minute, degraded beyond the limit."""
    bus.configure({**STREAM, "max_growth": 29})
    bus.bury(2)
    await bus.run()
    history = bus.state.histories["dead"]
    history.samples = [(at - 60, depth) for at, depth in history.samples]
    bus.bury(30)
    finding = await bus.run()
    assert values(finding, "dead")["growth_per_minute"] == pytest.approx(30, rel=0.2)
    assert (finding.status is Status.DEGRADED) is (
        values(finding, "dead")["growth_per_minute"] > 29
    )


async def test_wrong_type_touches_that_place_only(bus):
    """A list where a stream is configured: unknown with a remedy and no figure; the others are
    judged.
    """
    bus.redis.rpush("dead_letter_queue", "x")
    bus.retry(-7200)
    finding = await bus.run()
    assert "entries" not in values(finding, "dead")
    assert shown(finding, "dead")["status"] == "unknown"
    assert "WRONGTYPE" in shown(finding, "dead")["not_known"][0]["problem"]
    assert "no stream" in shown(finding, "dead")["not_known"][0]["remedy"]
    assert values(finding, "retry")["overdue_entries"] == 1
    assert finding.status is Status.DEGRADED
    bus.redis.delete("retry_queue")
    assert (await bus.run()).status is Status.UNKNOWN


async def test_required_key_must_exist(bus):
    """A key that is mistyped must not look like an empty place for ever."""
    bus.configure({**STREAM, "required": True})
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert "no key dead_letter_queue" in finding.detail


RIGHTS = "~* -@all +time +scan +client|setname +client|setinfo +xinfo|stream +llen +lindex +zcard +zcount"


@pytest.mark.parametrize(("rule", "place"), [("+zrangebyscore", None), ("", "retry")])
async def test_needs_few_rights_and_names_the_missing_one(valkey, make_context, rule, place):
    """No KEYS, CONFIG, EVAL, DEL, MULTI; a missing rule blinds that place only and is named."""
    admin = redis.Redis(port=valkey.port)
    admin.execute_command(
        "ACL", "SETUSER", "reader", "on", ">secret", *RIGHTS.split(), *rule.split()
    )
    url = f"redis://reader:secret@127.0.0.1:{valkey.port}/0"
    bus = Bus(
        valkey, make_context, STREAM, {**LIST, "key": "fj:*", "time_field": "t"}, RETRY, url=url
    )
    bus.bury(2)
    bus.retry(60)
    bus.redis.rpush("fj:a", json.dumps({"t": bus.now()}))
    finding = await bus.run()
    assert values(finding, "dead")["entries"] == 2
    assert values(finding, "failed")["entries"] == 1
    assert finding.status is (Status.UNKNOWN if place else Status.UP), finding.detail
    if place:
        assert "zrangebyscore" in shown(finding, place)["not_known"][0]["problem"]
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "reader")


async def test_arrivals_that_may_not_be_read_are_unknown(valkey, make_context):
    """Without XREVRANGE nobody is blamed, the figures stay, and the missing right is named."""
    admin = redis.Redis(port=valkey.port)
    rights = RIGHTS.replace("+xrevrange", "").split()
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">secret", *rights)
    bus = Bus(valkey, make_context, url=f"redis://reader:secret@127.0.0.1:{valkey.port}/0")
    bus.configure(ARRIVALS)
    bus.send_back("orders")
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert values(finding, "dead")["entries"] == 1
    assert "xrevrange" in shown(finding, "dead")["not_known"][0]["problem"]
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "reader")


async def test_missing_clock_is_named(valkey, make_context):
    """Without TIME no age can be told: the message names the rule."""
    admin = redis.Redis(port=valkey.port)
    admin.execute_command(
        "ACL", "SETUSER", "blind", "on", ">secret", "~*", "+client|setname", "+xinfo|stream"
    )
    bus = Bus(valkey, make_context, url=f"redis://blind:secret@127.0.0.1:{valkey.port}/0")
    with pytest.raises(NotMeasurable, match="time"):
        await bus.run()
    await bus.client.close()
    admin.execute_command("ACL", "DELUSER", "blind")


async def test_large_places_cost_little(bus):
    """100,000 letters and 100,000 retries: nothing is listed, at most two entries cross the wire."""
    add = "for n = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'f', 'v'); redis.call('ZADD', KEYS[2], n, n) end"
    bus.redis.eval(add, 2, "dead_letter_queue", "retry_queue", 100_000)
    bus.redis.config_resetstat()
    finding = await bus.run()
    assert values(finding, "dead")["entries"] == values(finding, "retry")["entries"] == 100_000
    stats = bus.redis.info("commandstats")
    called = {name.removeprefix("cmdstat_") for name in stats}
    assert called <= {
        "time",
        "xinfo|stream",
        "llen",
        "zcard",
        "zcount",
        "zrangebyscore",
        "info",
        *CONNECTION,
    }
    assert bus.redis.info("stats")["total_net_output_bytes"] < 20_000


CONNECTION = ("client|setname", "client|setinfo", "hello", "select", "ping", "config|resetstat")


async def test_server_that_refuses_everything_is_named(own_valkey, make_context):
    """A replica without its master refuses reads: an error of the server, not of each place."""
    bus = Bus(own_valkey, make_context)
    bus.redis.config_set("replica-serve-stale-data", "no")
    bus.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(TargetRejected, match="MASTERDOWN"):
        await bus.run()
    await bus.client.close()


async def test_discovery_is_bounded_and_says_so(bus, monkeypatch):
    """A keyspace that one run can't search: unknown until all is found, and old keys found late are
    not additions.
    """
    monkeypatch.setattr(place_reader, "SCAN_STEPS", 1)
    bus.configure({"name": "queues", "type": "list", "key": "fj:queue:*"})
    pipe = bus.redis.pipeline(transaction=False)
    for n in range(5000):
        pipe.set(f"other:{n}", 1)
    for n in range(20):
        pipe.rpush(f"fj:queue:{n}", "x")
    pipe.execute()
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert "still looking" in finding.detail
    while finding.status is Status.UNKNOWN:
        finding = await bus.run()
    assert values(finding, "queues") == {"entries": 20, "added_total": 0}


async def test_more_keys_than_are_read_is_said(bus, monkeypatch):
    """Beyond the limit the figures are of the keys that are read, and never called healthy."""
    monkeypatch.setattr(bus_ledger, "MAX_KEYS", 3)
    bus.configure({"name": "queues", "type": "list", "key": "fj:queue:*"})
    for n in range(5):
        bus.redis.rpush(f"fj:queue:{n}", "x")
    finding = await bus.run()
    assert finding.status is Status.UNKNOWN
    assert "more than 3 keys match" in finding.detail
    assert values(finding, "queues")["entries"] == 3


async def test_dead_server_is_down(own_valkey, make_context):
    """A server that is away raises in our words."""
    bus = Bus(own_valkey, make_context)
    await bus.run()
    own_valkey.stop()
    with pytest.raises(TargetUnreachable):
        await bus.run()
    await bus.client.close()


def test_places_have_names_of_their_own():
    """Two places of one name would be one series."""
    with pytest.raises(ValueError, match="same name"):
        LedgerOptions.model_validate({"places": [STREAM, {**RETRY, "name": "dead"}]})


async def test_a_dead_letter_whose_id_is_no_time_grows_old(bus):
    """Sequence numbers: older than the limit once it was seen for so long, and not before."""
    bus.configure({**STREAM, "max_age": "50ms"})
    await bus.run()
    bus.redis.xadd("dead_letter_queue", {"f": "v"}, id="1-0")
    assert (await bus.run()).status is Status.UP
    await asyncio.sleep(0.06)
    finding = await bus.run()
    assert finding.status is Status.DEGRADED
    assert "oldest at least" in fault_of(finding, "too_old").text
    assert values(finding, STREAM["name"])["oldest_age_seconds"] >= 0.05
