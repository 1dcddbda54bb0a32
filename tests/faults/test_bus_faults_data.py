"""Reliability catalogue, A10, A22, A25, A27–A30: what happens to the data: lost groups, failover,
ghosts, size, clocks.

Covered elsewhere, in tests/integration/test_bus_delivery.py: A10 for FLUSHALL alone
(flushall_is_gone_not_zero) and A11 (odd_subjects_are_reported_alone: a missing required group;
vanished_group_is_reported_with_its_position), A12 (odd_subjects_are_reported_alone), A23
(messages_trimmed_unread_are_lost_exactly), A22 for one stream that goes back
(rolled_back_stream_counts_what_was_taken_back); A30 for the count alone (test_redis_server.py:
evicted_keys). In tests/integration/test_bus_pending.py: A24 (trimmed_payloads_are_counted), the
findings of A25 (ghost_consumers_are_counted, dead_consumer_is_named_with_a_living_heir) and A26,
with 100,000 pending entries (a_hundred_thousand_pending_cost_a_bounded_run).
"""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer
from tests.bus_bench import GROUP, KEY, KINDS, Product, fault_of, opened, statuses
from tests.faults.proxy import Proxy

ALL_UP = dict.fromkeys(KINDS, "up")
CLAIMS = ("xclaim", "xautoclaim")
CHANGES = (*CLAIMS, "xgroup|delconsumer", "xgroup|destroy", "xgroup|setid", "xtrim", "xsetid")


def value(finding, name: str) -> float:
    """The sum of a measurement over its rows."""
    return sum(row.values[name] for row in finding.rows if name in row.values)


@pytest.mark.parametrize("server", ["valkey", "redis7"])
async def test_a10_a_lost_group_is_named_and_never_made_by_us(server, request):
    """A10: FLUSHALL, then a publish: "group lost" with its position and the cure, no group made, no
    hot loop.
    """
    port = request.getfixturevalue(server).port
    with Product(port) as product:
        async with opened(port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            position = product.publish(3)[-1].decode()
            product.consume(3)
            await bench.judge()
            product.redis.flushall()
            product.redis.config_resetstat()
            product.redis.xadd(KEY, {"f": "v"})
            for _ in range(5):
                finding = await bench.run("bus_delivery")
                assert finding.status is Status.DEGRADED
                lost = fault_of(finding, "group_lost", stream=KEY, group=GROUP)
                assert lost.text.startswith(
                    f"stream {KEY}, group {GROUP} was found gone, last known position {position};"
                )
                assert lost.cure == (f"XGROUP CREATE {KEY} {GROUP} 0-0",)
                assert lost.text in finding.detail
                assert "down" not in statuses(await bench.judge()).values()
            assert product.redis.xinfo_groups(KEY) == []
            assert (
                product.redis.info("errorstats").get("errorstat_NOGROUP", {}).get("count", 0) <= 3
            )
            assert (await bench.until_up("bus_canary")).status is Status.UP


async def test_a22_a_failover_behind_a_frozen_link_is_suspected_data_loss(
    own_valkey, server_folder
):
    """A22: a replica that missed ten acknowledged entries takes over: rolled back by ten, said so,
    no reclaim.
    """
    replica = ValkeyServer(server_folder / "a22-replica")
    replica.start()
    try:
        with Product(own_valkey.port) as product, Product(replica.port) as heir:
            product.redis.config_set("repl-diskless-sync-delay", 0)
            port = own_valkey.port
            async with Proxy(port) as link, Proxy(port) as service, opened(service.port) as bench:
                assert statuses(await bench.judge()) == ALL_UP
                heir.redis.replicaof("127.0.0.1", link.port)
                product.publish(40)
                product.consume(40)
                await _wait_for_copy(product, heir)
                assert statuses(await bench.judge()) == ALL_UP  # a first replica is no failover
                await _wait_for_copy(product, heir)
                link.frozen = True
                product.publish(10)
                product.consume(10)
                assert (await bench.run("bus_delivery")).status is Status.UP
                own_valkey.stop(signal.SIGKILL)
                heir.redis.replicaof("NO", "ONE")
                heir.redis.config_resetstat()  # XREADGROUP reaches a replica as XCLAIM
                service.upstream = replica.port
                service.reset()
                findings = await bench.judge()  # connections that broke: one lost sample
                bench.forgive()
                findings["bus_delivery"] = await bench.run("bus_delivery")
                assert findings["redis_server"].status is Status.DEGRADED
                assert "failover" in {fault.key for fault in findings["redis_server"].faults}
                assert findings["bus_delivery"].status is Status.DEGRADED
                assert "roll" in findings["bus_delivery"].detail
                assert value(findings["bus_delivery"], "rolled_back_entries_total") == 10
                assert value(findings["bus_delivery"], "published_total") == 50
                assert heir.calls(*CLAIMS) == 0
                end = time.monotonic() + 20
                while (await bench.run("bus_canary")).status is Status.DOWN:
                    assert time.monotonic() < end
                    bench.forgive()
    finally:
        replica.stop(signal.SIGKILL)


async def _wait_for_copy(product: Product, heir: Product) -> None:
    """Until the replica has all that was written."""
    end = time.monotonic() + 20
    while heir.redis.exists("mark") == 0 or heir.redis.get("mark") != product.redis.get("mark"):
        product.redis.set("mark", time.monotonic_ns())
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_a25_a_thousand_ghost_consumers_cost_nothing_and_none_is_deleted(valkey):
    """A25: 1,000 consumers that read nothing, one with a pending entry: only that one counts, none
    is touched.
    """
    with Product(valkey.port) as product:
        async with opened(valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            for n in range(1000):
                product.redis.xgroup_createconsumer(KEY, GROUP, f"ghost-{n}")
            product.publish(1)
            product.redis.xreadgroup(GROUP, "ghost-7", {KEY: ">"})
            product.redis.config_resetstat()
            time.sleep(0.05)
            finding = await bench.run("bus_delivery")
            assert finding.status is Status.DEGRADED
            (sample,) = finding.evidence["samples"]
            assert (sample["consumer"], sample["state"]) == ("ghost-7", "pending")
            assert product.calls("xinfo|consumers", *CHANGES) == 0
            (group,) = product.redis.xinfo_groups(KEY)
            assert (group["consumers"], group["pending"]) == (1000, 1)


async def test_a27_twenty_thousand_streams_are_found_in_bounded_steps(valkey):
    """A27, reduced: 20,000 streams: at most 20 SCAN steps a run, at most max_streams watched, and
    it is said.
    """
    with Product(valkey.port) as product, product.redis.pipeline(transaction=False) as pipe:
        for n in range(20_000):
            pipe.xgroup_create(f"agent_messages:many-{n}", GROUP, "0", mkstream=True)
        pipe.execute()
        async with opened(valkey.port, options={"bus_delivery": {"max_streams": 300}}) as bench:
            product.redis.config_resetstat()
            for run in range(1, 5):
                finding = await bench.run("bus_delivery")
                assert product.calls("scan") <= 20 * run
                assert product.calls("xinfo|stream") <= 2 * 300 * run
            assert finding.status is Status.UNKNOWN
            assert "more streams match than max_streams = 300" in finding.detail
            assert value(finding, "server_info") == 1
            assert product.calls("keys", "eval") == 0


@pytest.mark.parametrize("hours", [-1, 1], ids=["ahead", "behind"])
async def test_a28_ages_go_by_the_servers_clock(valkey, hours):
    """A28: our clock and the server's differ by an hour: ages and figures are right, and the
    difference is reported.
    """
    with Product(valkey.port) as product:
        shifted = {"utcnow": lambda: datetime.now(UTC) + timedelta(hours=hours)}
        async with opened(
            valkey.port, **shifted, options={"bus_delivery": {"deadline": "1h"}}
        ) as bench:
            await bench.run("bus_delivery")
            product.publish(20)
            product.consume(5)
            finding = await bench.run("bus_delivery")
            assert finding.status is Status.UP, finding
            assert finding.evidence["account"]["waiting"] == 15
            assert 0 <= value(finding, "oldest_waiting_age_seconds") < 600
            assert (await bench.run("bus_canary")).status is Status.UP
            finding = await bench.run("redis_server")
            assert finding.status is Status.DEGRADED
            assert "its clock differs from ours by" in finding.detail
            assert abs(value(finding, "clock_offset_seconds") + 3600 * hours) < 600


async def test_a29_features_are_found_by_behaviour_not_by_version(valkey):
    """A29: Valkey 9 calls itself redis_version 7.2.4, and is measured as what it is."""
    with Product(valkey.port) as product:
        info = product.redis.info("server")
        assert (info["redis_version"], info["valkey_version"][0]) == ("7.2.4", "9")
        async with opened(valkey.port) as bench:
            finding = await bench.run("bus_delivery")
            assert finding.evidence["capability"] == "rank-b"
            assert f"version {info['valkey_version']}" in (await bench.run("redis_server")).detail


async def test_a30_an_evicted_stream_is_gone_and_the_eviction_is_named(own_valkey):
    """A30: the server throws a stream away: "gone" with its last id, the policy named, nobody says
    down.
    """
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            last = product.publish(1)[0].decode()
            product.consume(1)
            await bench.judge()
            used = product.redis.info("memory")["used_memory"]
            product.redis.config_set("maxmemory-policy", "allkeys-random")
            product.redis.config_set("maxmemory", used + 300_000)
            end = time.monotonic() + 20
            n = 0
            while product.redis.exists(KEY):
                assert time.monotonic() < end
                product.redis.set(f"k{(n := n + 1)}", "x" * 5000)
            findings = await bench.judge()
            assert "down" not in statuses(findings).values(), findings
            assert findings["bus_delivery"].status is Status.DEGRADED
            assert (
                f"stream {KEY} was found gone, last known id {last}"
                in findings["bus_delivery"].detail
            )
            assert findings["redis_server"].status is Status.DEGRADED
            assert "evicted" in {fault.key for fault in findings["redis_server"].faults}
            assert "noeviction" in str(findings["redis_server"].evidence["remarks"])
