"""Reliability catalogue, A8, A13–A21: a server that answers, but refuses: the verdict, its own
words, never `down`.

Only `down` may lead to a restart, and none of these is cured by one. Also covered elsewhere: A8 for
the client alone, with one try per 30 s (tests/integration/test_redis_adapter.py); A9
(test_bus_faults_acl.py); A12 (tests/integration/test_bus_delivery.py:
odd_subjects_are_reported_alone; test_bus_canary.py: a_key_of_another_type); A13 for one kind each
(test_redis_server.py, test_bus_canary.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import redis

from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer, free_port
from tests.bus_bench import KINDS, SECRET, Bench, Product, opened, statuses

ALL_UP = dict.fromkeys(KINDS, "up")


async def judge_often(bench: Bench, runs: int = 5):
    """Several runs: no verdict `down`, however long it goes on; the last findings."""
    for _ in range(runs):
        findings = await bench.judge()
        assert "down" not in statuses(findings).values(), findings
    return findings


async def test_a8_a_wrong_password_is_ours(own_valkey):
    """A8: WRONGPASS: unknown, "credentials", a next step, and the password nowhere."""
    with Product(own_valkey.port) as product:
        product.redis.execute_command("ACL", "SETUSER", "watch", "on", ">right", "+@all", "~*")
        async with opened(own_valkey.port, "watch") as bench:
            for finding in (await judge_often(bench, 2)).values():
                assert finding.status is Status.UNKNOWN
                assert "credentials refused" in finding.detail
                assert "password" in finding.guidance


async def test_a8_a_missing_password_is_ours(own_valkey):
    """A8: NOAUTH: unknown, "credentials"; another's password appears nowhere."""
    with redis.Redis(port=own_valkey.port) as admin:
        admin.config_set("requirepass", SECRET)
        async with opened(own_valkey.port, password="") as bench:
            for finding in (await judge_often(bench, 2)).values():
                assert finding.status is Status.UNKNOWN
                assert "credentials refused" in finding.detail
                assert "uthentication" in finding.detail


async def test_a13_a_full_server_is_degraded_though_ping_is_green(own_valkey):
    """A13: OOM: both writers say so, the reader goes on, nobody says down; over as soon as there is
    room.
    """
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            product.redis.config_set("maxmemory", 1)
            findings = await judge_often(bench)
            assert product.redis.ping()
            assert statuses(findings) == {
                **ALL_UP,
                "redis_server": "degraded",
                "bus_canary": "degraded",
            }
            for name in ("redis_server", "bus_canary"):
                assert "OOM command not allowed" in findings[name].detail
                assert "maxmemory" in findings[name].guidance
            product.redis.config_set("maxmemory", 0)
            assert (await bench.run("redis_server")).status is Status.UP


async def test_a14_a_read_only_replica_is_degraded(own_valkey):
    """A14: READONLY: degraded, "point the address at the primary"; a replica's figures are not
    judged.
    """
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            product.redis.replicaof("127.0.0.1", free_port())
            findings = await judge_often(bench)
            assert statuses(findings) == {
                **dict.fromkeys(KINDS, "degraded"),
                "bus_delivery": "unknown",
            }
            for name in ("redis_server", "bus_canary"):
                assert (
                    "READONLY You can't write against a read only replica" in findings[name].detail
                )
                assert "primary" in findings[name].guidance
            assert "this is a replica" in findings["bus_delivery"].detail
            product.redis.replicaof("NO", "ONE")


async def test_a15_a_replica_without_its_primary_is_degraded(own_valkey):
    """A15: MASTERDOWN with replica-serve-stale-data no: degraded, and every kind says that the
    primary is missing.
    """
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            product.redis.config_set("replica-serve-stale-data", "no")
            product.redis.replicaof("127.0.0.1", free_port())
            findings = await judge_often(bench)
            assert set(statuses(findings).values()) == {"degraded"}
            for name in ("bus_delivery", "bus_canary"):
                assert "MASTERDOWN Link with MASTER is down" in findings[name].detail
                assert "has lost its primary" in findings[name].guidance
            wrong = {fault.key for fault in findings["redis_server"].faults}
            assert {"wrong_role", "primary_lost"} <= wrong
            product.redis.replicaof("NO", "ONE")


async def test_a16_a_loading_server_is_starting(own_valkey, server_folder):
    """A16: LOADING: degraded, "starting"; up when it has loaded."""
    with Product(own_valkey.port) as product, product.redis.pipeline() as pipe:
        for n in range(5000):
            pipe.set(f"k{n}", os.urandom(100))
        pipe.execute()
        product.redis.save()
    own_valkey.stop(signal.SIGKILL)
    slow = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    server = ValkeyServer(own_valkey.folder, *slow, port=own_valkey.port)
    server.launch()
    try:
        _wait_for(server.port, b"-LOADING")
        async with opened(server.port) as bench:
            for finding in (await judge_often(bench, 2)).values():
                assert finding.status is Status.DEGRADED, finding
                assert "starting: " in finding.detail
                assert "wait" in finding.guidance
            server.stop(signal.SIGKILL)
            own_valkey.start()
            bench.forgive()
            assert (await bench.until_up("redis_server")).status is Status.UP
    finally:
        server.stop(signal.SIGKILL)


def _ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(200)


def _wait_for(port: int, answer: bytes) -> None:
    """Until the server refuses a PING with these first bytes."""
    end = time.monotonic() + 20
    while True:
        try:
            if _ask(port, b"PING\r\n").startswith(answer):
                return
        except OSError:
            pass
        assert time.monotonic() < end
        time.sleep(0.01)


async def test_a17_a_failing_save_is_the_disks_fault(own_valkey):
    """A17: MISCONF: degraded, the next step is the disk; also when sentinel comes to it afresh."""
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            product.redis.config_set("save", "3600 1")
            shutil.rmtree(own_valkey.folder)
            product.redis.bgsave()
            end = time.monotonic() + 20
            while product.redis.info("persistence")["rdb_last_bgsave_status"] != "err":
                assert time.monotonic() < end
                time.sleep(0.01)
            findings = await judge_often(bench)
            assert statuses(findings) == {
                **ALL_UP,
                "redis_server": "degraded",
                "bus_canary": "degraded",
            }
            for name in ("redis_server", "bus_canary"):
                assert "MISCONF" in findings[name].detail
                assert "disk" in findings[name].guidance
            assert "save_failing" in {fault.key for fault in findings["redis_server"].faults}
        async with opened(own_valkey.port) as fresh:
            assert set(statuses(await judge_often(fresh, 2)).values()) <= {"degraded", "up"}


async def test_a18_an_append_only_file_on_a_full_disk_is_degraded(own_valkey):
    """A18: ENOSPC while appending: degraded, the next step is the disk."""
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            place = Path(own_valkey.folder) / "appendonlydir"
            place.mkdir()
            (place / "temp-appendonly.aof.incr").symlink_to("/dev/full")
            product.redis.config_set("appendfsync", "everysec")
            product.redis.config_set("appendonly", "yes")
            end = time.monotonic() + 20
            while product.redis.info("persistence")["aof_last_write_status"] != "err":
                assert time.monotonic() < end
                with suppress(redis.ResponseError):
                    product.redis.set("k", "v")
                time.sleep(0.02)
            findings = await judge_often(bench)
            assert statuses(findings) == {
                **ALL_UP,
                "redis_server": "degraded",
                "bus_canary": "degraded",
            }
            for name in ("redis_server", "bus_canary"):
                assert "No space left on device" in findings[name].detail
                assert "disk" in findings[name].guidance
            product.redis.config_set("appendonly", "no")


async def test_a19_too_few_replicas_is_degraded(own_valkey):
    """A19: NOREPLICAS: degraded, with the setting's name."""
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as bench:
            assert statuses(await bench.judge()) == ALL_UP
            product.redis.config_set("min-replicas-to-write", 1)
            findings = await judge_often(bench)
            assert statuses(findings) == {
                **ALL_UP,
                "redis_server": "degraded",
                "bus_canary": "degraded",
            }
            for name in ("redis_server", "bus_canary"):
                assert "NOREPLICAS Not enough good replicas to write" in findings[name].detail
                assert "min-replicas-to-write" in findings[name].guidance
            product.redis.config_set("min-replicas-to-write", 0)
            assert (await bench.run("redis_server")).status is Status.UP


async def test_a20_a_server_without_a_free_connection_is_not_judged(own_valkey):
    """A20: maxclients: held connections keep working; a new sentinel says unknown, with the
    server's own words.
    """
    with Product(own_valkey.port) as product:
        async with opened(own_valkey.port) as held, opened(own_valkey.port, inner=True) as late:
            for _ in range(2):  # what the shared connection took out of the pool is opened again
                assert statuses(await held.judge()) == ALL_UP
            product.redis.config_set("maxclients", 12)
            with ExitStack() as fillers:
                for _ in range(15):
                    fillers.enter_context(socket.create_connection(("127.0.0.1", own_valkey.port)))
                time.sleep(0.1)
                assert (await held.run("bus_delivery")).status is Status.UP
                for _ in range(20):
                    late.forgive()
                    for finding in (await judge_often(late, 1)).values():
                        assert finding.status is Status.UNKNOWN, finding
                        assert "max number of clients reached" in finding.detail
                        assert "maxclients" in finding.guidance
            late.forgive()
            finding = await held.run("redis_server")
            assert finding.status is Status.DEGRADED
            assert "connections rejected" in finding.detail
            assert (await late.until_up("redis_server")).status is Status.UP


@pytest.mark.parametrize("fresh", [False, True], ids=["known", "fresh"])
async def test_a21_a_script_that_never_ends_is_degraded(own_valkey, fresh):
    """A21: BUSY: every kind says so and names SCRIPT KILL; all is well after it."""
    with Product(own_valkey.port) as product:
        product.redis.config_set("busy-reply-threshold", 10)
        async with opened(own_valkey.port) as bench:
            if not fresh:
                assert statuses(await bench.judge()) == ALL_UP
            with socket.create_connection(("127.0.0.1", own_valkey.port)) as script:
                script.sendall(b'EVAL "while true do end" 0\r\n')
                _wait_for(own_valkey.port, b"-BUSY")
                for name, finding in (await judge_often(bench, 3)).items():
                    assert finding.status is Status.DEGRADED, finding
                    assert "BUSY" in finding.detail, name
                    assert "SCRIPT KILL" in finding.guidance, name
                assert _ask(own_valkey.port, b"SCRIPT KILL\r\n") == b"+OK\r\n"
            for name in KINDS:
                assert (await bench.until_up(name)).status is Status.UP
