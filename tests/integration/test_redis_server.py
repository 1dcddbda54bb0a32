"""The kind `redis_server` on real servers."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.core.model import Result
from sentinel.demo.servers import ValkeyServer
from sentinel.errors import WrongTarget
from sentinel.metrics import Metrics
from sentinel.probes import redis_server
from sentinel.probes.redis_server import RedisServerOptions, RedisServerState


class Bench:
    """One probe with its state, and an admin's client."""

    def __init__(self, server, make_context, url=None, **options) -> None:
        self.client = RedisClient("bus", url or server.url)
        self.redis = redis.Redis(port=server.port)
        self.options = RedisServerOptions.model_validate(options)
        self.state = RedisServerState()
        self.make_context = make_context

    async def run(self):
        context = self.make_context({"resource": self.client}, self.state, check="bus-server")
        finding = await redis_server.run(self.options, context)
        declared = {m.name: m for m in redis_server.KIND.measurements}
        for row in finding.rows:
            assert all(set(row.labels) == set(declared[name].labels) for name in row.values)
        assert {each.key for each in finding.faults} <= redis_server.KIND.fault_kinds.keys()
        self.state = RedisServerState(json.loads(json.dumps(self.state.dump())))
        return finding


def keys(finding) -> list[str]:
    """What is wrong, the worst first."""
    return [fault.key for fault in finding.faults]


@pytest.fixture
async def bench(own_valkey, make_context):
    made = Bench(own_valkey, make_context)
    yield made
    await made.client.close()


async def test_healthy_server_is_up_and_was_written_to(bench):
    """Up on both families, with a key of our own that expires."""
    finding = await bench.run()
    assert finding.status is Status.UP, finding.detail
    assert 0 < bench.redis.ttl("sentinel:probe:bus-server") <= 60


async def test_redis_7_is_up_too(redis7, make_context):
    """The other family."""
    bench = Bench(redis7, make_context)
    assert (await bench.run()).status is Status.UP
    await bench.client.close()


async def test_redis_6_2_is_up_too(redis62, make_context):
    """It takes one section of INFO; asked for six it answered with a syntax error: degraded."""
    bench = Bench(redis62, make_context)
    finding = await bench.run()
    assert finding.status is Status.UP, finding.detail
    assert finding.detail.startswith("master, version 6.2")
    await bench.client.close()


async def test_two_servers_are_two_sets_of_series(bench, redis7, make_context):
    """Figures of one resource never take the place of another's."""
    other = Bench(redis7, make_context)
    other.client.name = "cache"
    metrics = Metrics()
    for n, each in enumerate((bench, other)):
        finding = await each.run()
        metrics.observe(
            Result(f"check-{n}", finding, datetime.now(UTC), 0.01, "t"),
            redis_server.KIND.measurements,
        )
    text = metrics.render().decode()
    assert 'sentinel_redis_memory_used_bytes{check="check-0",server="bus"}' in text
    assert 'sentinel_redis_memory_used_bytes{check="check-1",server="cache"}' in text
    await other.client.close()


async def test_refused_writes_are_degraded(bench):
    """maxmemory reached: writes are refused although PING is green."""
    bench.redis.config_set("maxmemory", 1)
    finding = await bench.run()
    assert finding.status is Status.DEGRADED
    assert "server bus: writes are refused" in finding.detail
    assert keys(finding) == ["writes_refused", "memory_short"]
    assert bench.redis.ping()


async def test_write_without_the_right_is_unknown_and_names_the_rule(bench, own_valkey):
    """NOPERM on our key is our side: unknown, with the rule; the rest is still judged."""
    bench.redis.execute_command(
        "ACL", "SETUSER", "ro", "on", ">x", "%R~*", "+info", "+time", "+scan", "+client|setname"
    )
    bench.client = RedisClient("bus", f"redis://ro:x@127.0.0.1:{own_valkey.port}/0")
    finding = await bench.run()
    assert finding.status is Status.UNKNOWN
    assert "set" in finding.detail
    assert "sentinel:probe:" in finding.guidance


async def test_eviction_policy_matters_only_with_streams(bench):
    """allkeys-lru is degraded once a stream is in use, unless it is accepted."""
    bench.redis.config_set("maxmemory-policy", "allkeys-lru")
    assert (await bench.run()).status is Status.UP
    bench.redis.xadd("s", {"f": "v"})
    finding = await bench.run()
    assert finding.status is Status.DEGRADED
    assert "allkeys-lru" in finding.detail
    assert "noeviction" in finding.guidance
    bench.redis.config_set("maxmemory-policy", "volatile-lru")
    assert (await bench.run()).status is Status.UP
    bench.redis.config_set("maxmemory-policy", "allkeys-lru")
    bench.options = RedisServerOptions(accept_eviction=True)
    assert (await bench.run()).status is Status.UP


async def test_evicted_keys_are_counted(bench):
    """Evictions since the last run: degraded, and the total rises by as many."""
    await bench.run()
    bench.redis.config_set("maxmemory-policy", "allkeys-random")
    for n in range(500):
        bench.redis.set(f"k{n}", "x" * 2000)
    bench.redis.config_set("maxmemory", bench.redis.info("memory")["used_memory"] - 300_000)
    for _ in range(3):
        bench.redis.set("more", "x")
    expected = bench.redis.info("stats")["evicted_keys"]
    finding = await bench.run()
    (total,) = [
        row.values["evicted_keys_total"]
        for row in finding.rows
        if "evicted_keys_total" in row.values
    ]
    assert expected > 0
    assert total >= expected
    assert finding.status is Status.DEGRADED
    (evicted,) = (fault for fault in finding.faults if fault.key == "evicted")
    assert evicted.count.lo >= expected
    assert evicted.cure == ("CONFIG SET maxmemory-policy noeviction",)


async def test_replica_in_place_of_the_primary_is_degraded(bench, own_valkey):
    """A role that is not the expected one, and the change of role as suspected loss."""
    await bench.run()
    bench.redis.config_set("replica-read-only", "no")
    bench.redis.replicaof("127.0.0.1", 1)
    finding = await bench.run()
    assert finding.status is Status.DEGRADED
    assert keys(finding) == ["failover", "wrong_role", "primary_lost"]
    assert "data loss suspected" in finding.detail


async def test_counters_of_the_server_that_took_over_are_a_new_baseline(
    bench, own_valkey, server_folder
):
    """A replica evicted keys long before it was promoted: nothing was evicted since the last look."""
    folder = server_folder / "taken-over"
    folder.mkdir()
    replica = ValkeyServer(folder, "--replicaof", f"127.0.0.1 {own_valkey.port}")
    replica.start()
    try:
        promoted = redis.Redis(port=replica.port)
        while promoted.info("replication")["master_link_status"] != "up":
            await asyncio.sleep(0.05)
        await bench.run()
        promoted.replicaof("NO", "ONE")
        promoted.config_set("maxmemory-policy", "allkeys-lru")
        for n in range(1000):
            promoted.set(f"k{n}", b"x" * 1000)
        promoted.config_set("maxmemory", promoted.info("memory")["used_memory"] - 300_000)
        promoted.set("more", "x")
        assert promoted.info("stats")["evicted_keys"] > 0
        await bench.client.close()
        bench.client = RedisClient("bus", replica.url)
        finding = await bench.run()
        assert "failover" in keys(finding)
        assert "evicted" not in keys(finding)
        assert finding.rows[0].values["evicted_keys_total"] == 0
    finally:
        replica.stop()


async def test_restarted_server_is_noticed(bench, own_valkey):
    """Another run_id behind the address: what was not persisted is lost."""
    await bench.run()
    own_valkey.stop()
    own_valkey.start()
    bench.client = RedisClient("bus", own_valkey.url)
    finding = await bench.run()
    assert finding.status is Status.DEGRADED
    assert "restarted" in finding.detail
    assert (await bench.run()).status is Status.UP


async def test_clock_of_the_server_is_compared(bench):
    """The offset is exported; a tolerance below it degrades."""
    finding = await bench.run()
    assert any("clock_offset_seconds" in row.values for row in finding.rows)
    bench.options = RedisServerOptions.model_validate({"clock_tolerance": "1ms"})
    make = bench.make_context
    bench.make_context = lambda *args, **kw: make(
        *args, utcnow=lambda: datetime.now(UTC) + timedelta(hours=1), **kw
    )
    finding = await bench.run()
    assert finding.status is Status.DEGRADED
    assert "clock" in finding.detail


async def test_another_kind_of_server_is_named(postgres, make_context):
    """A PostgreSQL behind the address is a wrong target, not a dead bus."""
    bench = Bench(postgres, make_context, url=f"redis://127.0.0.1:{postgres.port}/0")
    with pytest.raises(WrongTarget, match="PostgreSQL"):
        await bench.run()
    await bench.client.close()
