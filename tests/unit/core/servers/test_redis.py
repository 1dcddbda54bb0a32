"""Judging Redis: each figure at its limit and beyond, and what tells a failover from a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.fault import Status
from sentinel.core.servers.redis import (
    NOEVICTION,
    RedisLimits,
    RedisLook,
    is_failover,
    judge_redis,
    read_figure,
    read_identity,
)

INFO = {
    "role": "master",
    "run_id": "r1",
    "master_replid": "h1",
    "used_memory": "89",
    "maxmemory": "100",
    "maxmemory_policy": "noeviction",
    "rdb_last_bgsave_status": "ok",
    "aof_last_write_status": "ok",
}
LOOK = RedisLook("bus", INFO, ("r1", "h1", "master"), offset=1.0, streams_in_use=True)
PRIMARY = ("r1", "h1", "master")


def look(changes: dict[str, str] | None = None, **fields) -> RedisLook:
    """The sound look with something else in INFO or beside it."""
    return replace(LOOK, info=INFO | (changes or {}), **fields)


def keys(seen: RedisLook, limits: RedisLimits | None = None) -> list[str]:
    """What is wrong."""
    return [fault.key for fault in judge_redis(seen, limits or RedisLimits())]


def test_figures_at_their_limits_are_no_faults():
    """A sound server has none, and the clock's limit itself is still good."""
    assert judge_redis(LOOK, RedisLimits()) == []


@pytest.mark.parametrize(
    ("changes", "fields", "key", "words"),
    [
        ({"used_memory": "90"}, {}, "memory_short", "memory 90 % of 100 B, 90 % or more"),
        ({"rdb_last_bgsave_status": "err"}, {}, "save_failing", "the last RDB save failed"),
        ({"aof_last_write_status": "err"}, {}, "log_failing", "AOF writes fail"),
        ({}, {"evicted": 1200}, "evicted", "1,200 keys evicted"),
        ({}, {"rejected": 3}, "connections_rejected", "3 connections rejected"),
        ({}, {"offset": -1.1}, "clock_off", "by -1.1 s, more than 1.0 s"),
        ({"maxmemory_policy": "allkeys-lru"}, {}, "evicts_streams", "is allkeys-lru while"),
        ({"run_id": "r2"}, {}, "restarted", "the server restarted"),
        ({"master_replid": "h2", "master_replid2": "h1"}, {}, "failover", "data loss suspected"),
    ],
)
def test_each_figure_beyond_its_limit_is_one_fault_of_the_server(changes, fields, key, words):
    """One fault, degraded, of the server by name, with a next step and the resource."""
    (fault,) = judge_redis(look(changes, **fields), RedisLimits())
    assert (fault.key, fault.subject, fault.status) == (key, {}, Status.DEGRADED)
    assert fault.text.startswith("server bus: ")
    assert words in fault.text
    assert fault.guidance
    assert fault.parameters == {"resource": "bus"}


def test_without_a_limit_there_is_no_shortage():
    """maxmemory 0 is no limit, and no division by it."""
    assert keys(look({"maxmemory": "0", "used_memory": "999"})) == []


@pytest.mark.parametrize(
    ("policy", "in_use", "accepted"),
    [
        ("allkeys-lru", False, False),
        ("allkeys-lru", True, True),
        ("volatile-lru", True, False),
        ("", True, False),
    ],
)
def test_policies_that_spare_streams_are_borne(policy, in_use, accepted):
    """No stream in use, accepted, only keys that expire, or not told."""
    seen = look({"maxmemory_policy": policy}, streams_in_use=in_use)
    assert keys(seen, RedisLimits(accept_eviction=accepted)) == []


@pytest.mark.parametrize(("policy", "cure"), [("noeviction", ()), ("allkeys-lru", (NOEVICTION,))])
def test_cure_of_evictions_is_only_what_is_not_yet_so(policy, cure):
    """A policy that is set already is no cure; the count is exact."""
    seen = look({"maxmemory_policy": policy}, evicted=2, streams_in_use=False)
    (fault,) = judge_redis(seen, RedisLimits())
    assert fault.cure == cure
    assert (fault.count.lo, fault.count.hi) == (2, 2)


def test_replica_in_place_of_a_primary():
    """The wrong role and the lost primary are two faults; as the expected role, one."""
    seen = look({"role": "slave", "master_link_status": "down"}, before=("r1", "h1", "slave"))
    assert keys(seen) == ["wrong_role", "primary_lost"]
    assert keys(seen, RedisLimits(role="slave")) == ["primary_lost"]
    linked = look({"role": "slave", "master_link_status": "up"}, before=("r1", "h1", "slave"))
    assert keys(linked, RedisLimits(role="slave")) == []


def test_first_look_compares_with_nothing():
    """No identity before: neither failover nor restart."""
    assert keys(look({"run_id": "r9", "master_replid": "h9"}, before=())) == []


def test_clock_that_could_not_be_asked_is_not_judged():
    """None is unknown, not 0."""
    assert keys(look(offset=None)) == []


@pytest.mark.parametrize(
    ("before", "now", "continued", "failover"),
    [
        ((), PRIMARY, "", False),
        (PRIMARY, PRIMARY, "", False),
        (PRIMARY, ("r1", "h1", "slave"), "", True),
        (PRIMARY, ("r2", "h2", "master"), "h1", True),
        (PRIMARY, ("r2", "h2", "master"), "0000", False),
        (PRIMARY, ("r1", "h2", "master"), "0000", False),
        (("r1", "h1", "slave"), ("r1", "h2", "slave"), "", True),
        (("r1", "h1", "slave"), ("r2", "h2", "slave"), "", False),
    ],
)
def test_failover_is_a_change_of_role_or_of_a_history_that_goes_on(
    before, now, continued, failover
):
    """A restart begins a new history, a first replica too; both lose nothing by failing over."""
    assert is_failover(before, now, continued) is failover


def test_what_info_does_not_tell():
    """A missing or empty figure is 0, a missing role is unknown."""
    assert (read_figure({}, "x"), read_figure({"x": ""}, "x"), read_figure({"x": "7"}, "x")) == (
        0,
        0,
        7,
    )
    assert read_identity({}) == ["", "", "unknown"]


def test_evictions_that_are_accepted_are_no_loss():
    """A server that is meant to evict: the metric counts them, and nobody has to accept each."""
    seen = look({"maxmemory_policy": "allkeys-lru"}, evicted=2, streams_in_use=True)
    assert keys(seen, RedisLimits(accept_eviction=True)) == []
