"""Judging a Redis or Valkey server: will it take what is written, and will it keep it?

Everything is a fault of the server itself; its sentences begin with the resource's name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import Bounds, format_bytes, format_duration

Info = Mapping[str, str]
ServerIdentity = Sequence[str]
"""Who answered: run_id, master_replid and role."""
NOEVICTION = "CONFIG SET maxmemory-policy noeviction"


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """What is expected: the role, the share of maxmemory that may be used, seconds of difference
    between the clocks, and whether a policy that evicts is borne, with what it evicts.
    """

    role: str = "master"
    memory: float = 0.9
    clock: float = 1.0
    accept_eviction: bool = False


@dataclass(frozen=True, slots=True)
class RedisLook:
    """What one look found: INFO, and what was compared with the look before.

    `before` is the identity at the look before, empty at the first. `evicted` keys and `rejected`
    connections are since then. `offset` is the server's clock minus ours in seconds, None when it
    could not be asked.
    """

    server: str
    info: Info
    before: ServerIdentity = ()
    evicted: int = 0
    rejected: int = 0
    streams_in_use: bool = False
    offset: float | None = None


def judge_redis(look: RedisLook, limits: RedisLimits) -> list[Fault]:
    """All that is wrong with the server, most urgent first."""
    return [
        *_judge_identity(look),
        *_judge_role(look, limits),
        *_judge_memory(look, limits),
        *_judge_persistence(look),
        *_judge_connections(look),
        *_judge_clock(look, limits),
    ]


def read_identity(info: Info) -> list[str]:
    """Who answers, to be compared at the next look."""
    return [info.get("run_id", ""), info.get("master_replid", ""), info.get("role", "unknown")]


def read_figure(info: Info, name: str) -> int:
    """A figure of INFO; 0 where this version has none."""
    return int(info.get(name, "0") or 0)


def is_failover(before: ServerIdentity, now: ServerIdentity, continued: str) -> bool:
    """Whether the role or the history changed.

    `continued` (master_replid2) is the history that a promoted replica goes on from. A primary that
    gets its first replica begins a history of its own as well, but goes on from none and has lost
    nothing.
    """
    if not before:
        return False
    (process, history, role), (process_now, history_now, role_now) = before, now
    if role != role_now or (history != history_now and history == continued):
        return True
    return role_now == "slave" and process == process_now and history != history_now


def _fault(
    look: RedisLook,
    key: str,
    text: str,
    guidance: str,
    *,
    cure: tuple[str, ...] = (),
    count: Bounds | None = None,
) -> Fault:
    return Fault(
        key,
        {},
        Status.DEGRADED,
        f"server {look.server}: {text}",
        count=count,
        cure=cure,
        guidance=guidance,
        parameters={"resource": look.server},
    )


def _judge_identity(look: RedisLook) -> Iterator[Fault]:
    """Whether it is still the same server: a failover may have lost what was acknowledged."""
    now = read_identity(look.info)
    compare = "compare the last published ids with the producers"
    if is_failover(look.before, now, look.info.get("master_replid2", "")):
        text = "failover: replication history changed, data loss suspected"
        yield _fault(look, "failover", text, compare, count=Bounds(1, 1))
    elif look.before and look.before[0] != now[0]:
        text = "the server restarted: what was not persisted is lost"
        yield _fault(look, "restarted", text, compare)


def _judge_role(look: RedisLook, limits: RedisLimits) -> Iterator[Fault]:
    role = look.info.get("role", "unknown")
    if role != limits.role:
        guidance = f"point the resource at the {limits.role}, or set role: {role}"
        yield _fault(look, "wrong_role", f"role is {role}, expected {limits.role}", guidance)
    if role == "slave" and look.info.get("master_link_status") == "down":
        guidance = "bring its primary back; promote this one only if the primary is gone for good"
        yield _fault(look, "primary_lost", "its link to the primary is down", guidance)


def _judge_memory(look: RedisLook, limits: RedisLimits) -> Iterator[Fault]:
    """Room below maxmemory, and what the server throws away when it is full."""
    used, limit = read_figure(look.info, "used_memory"), read_figure(look.info, "maxmemory")
    policy = look.info.get("maxmemory_policy", "")
    if look.evicted and not limits.accept_eviction:
        text = (
            f"{look.evicted:,} keys evicted since the last look, streams and groups among them"
            " perhaps"
        )
        yield _fault(
            look,
            "evicted",
            text,
            "raise maxmemory; what was evicted is lost",
            cure=() if policy == "noeviction" else (NOEVICTION,),
            count=Bounds(look.evicted, look.evicted),
        )
    if limit and used / limit >= limits.memory:
        text = (
            f"memory {100 * used / limit:.0f} % of {format_bytes(limit)},"
            f" {100 * limits.memory:g} % or more"
        )
        yield _fault(look, "memory_short", text, "trim streams, or raise maxmemory")
    spared = policy in {"", "noeviction"} or policy.startswith("volatile-")
    if look.streams_in_use and not spared and not limits.accept_eviction:
        text = f"maxmemory-policy is {policy} while streams are in use: it evicts whole streams"
        guidance = f"{NOEVICTION}, or accept_eviction: true"
        yield _fault(look, "evicts_streams", text, guidance, cure=(NOEVICTION,))


_SAVES = (
    ("rdb_last_bgsave_status", "save_failing", "the last RDB save failed"),
    ("aof_last_write_status", "log_failing", "AOF writes fail"),
)


def _judge_persistence(look: RedisLook) -> Iterator[Fault]:
    """Whether the last save and the last append to the log worked."""
    for name, key, text in _SAVES:
        if look.info.get(name, "ok") != "ok":
            yield _fault(look, key, text, "look at the server's disk and log")


def _judge_connections(look: RedisLook) -> Iterator[Fault]:
    if look.rejected:
        yield _fault(
            look,
            "connections_rejected",
            f"{look.rejected:,} connections rejected since the last look",
            "raise maxclients, or find who leaks connections",
            count=Bounds(look.rejected, look.rejected),
        )


def _judge_clock(look: RedisLook, limits: RedisLimits) -> Iterator[Fault]:
    if look.offset is not None and abs(look.offset) > limits.clock:
        text = (
            f"its clock differs from ours by {format_duration(look.offset)},"
            f" more than {format_duration(limits.clock)}"
        )
        yield _fault(look, "clock_off", text, "check NTP on both machines")
