"""Kind `redis_server`: can the bus be written to, and will it keep what is written?

PING is green on a server that refuses every write, so this probe writes to a key of its own
(`sentinel:probe:<check>`, which expires) and reads one INFO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from sentinel.adapters.bus.stream import SCRATCH_PREFIX
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis_reply import parse_info, parse_time
from sentinel.core.fault import Status, worst
from sentinel.core.model import Finding, Measurement, Row
from sentinel.core.quantity import format_bytes, format_duration
from sentinel.errors import NotMeasurable, TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options
from sentinel.strict.field import Duration, Percentage

SECTIONS = ("server", "clients", "memory", "persistence", "stats", "replication")
KEY_LIFE = 60


class RedisServerOptions(Options):
    """Options of `redis_server`."""

    resource: str | None = Field(None, description="Redis resource to judge")
    role: Literal["master", "slave"] = Field(
        "master", description="the role that the server must have"
    )
    write: bool = Field(
        True, description="write to the key sentinel:probe:<check>; false for a replica"
    )
    memory_degraded: Percentage = Field(
        0.9, description="degraded when so much of maxmemory is used"
    )
    accept_eviction: bool = Field(
        False, description="accept a maxmemory policy that evicts keys although streams are in use"
    )
    clock_tolerance: Duration = Field(
        1.0, gt=0, description="degraded when its clock differs by more"
    )


class RedisServerState:
    """Counters and identity of the last run."""

    def __init__(self, document: Any = None) -> None:
        found = document or {}
        self.counters: dict[str, int] = dict(found.get("counters", {}))
        self.totals: dict[str, int] = dict(found.get("totals", {}))
        self.identity: list[str] = list(found.get("identity", []))
        self.role_changes: int = found.get("role_changes", 0)

    def dump(self) -> Any:
        """JSON-able document."""
        return {
            "counters": self.counters,
            "totals": self.totals,
            "identity": self.identity,
            "role_changes": self.role_changes,
        }

    async def close(self) -> None:
        """Nothing is held open."""

    def count(self, name: str, raw: int) -> int:
        """Growth of a server counter since the last run; a restart of the server begins at 0."""
        before = self.counters.get(name, raw)
        grown = raw - before if raw >= before else raw
        self.counters[name] = raw
        self.totals[name] = self.totals.get(name, 0) + grown
        return grown


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing wrong, in one line, and what to do."""

    status: Status
    text: str
    remedy: str


async def run(options: RedisServerOptions, context: Context) -> Finding:
    """Write, read INFO, judge."""
    client, state = context.redis(), context.state
    wrote = await _write(client, context) if options.write else None
    before = context.utcnow().timestamp()
    raw, server_time, streams = await client.pipeline(
        [("INFO", *SECTIONS), ("TIME",), ("SCAN", 0, "COUNT", 1000, "TYPE", "stream")]
    )
    after = context.utcnow().timestamp()
    if isinstance(raw, TargetError):
        raise raw
    info = parse_info(raw)
    offset = (
        None
        if isinstance(server_time, TargetError)
        else parse_time(server_time) - (before + after) / 2
    )
    in_use = not isinstance(streams, TargetError) and bool(streams[1])
    remarks = [
        *([wrote] if wrote else []),
        *judge_identity(info, state, options),
        *judge_memory(info, state, options, in_use),
        *judge_persistence(info),
        *judge_clients(info, state),
        *_judge_clock(offset, options),
        *_judge_rights(server_time, streams),
    ]
    return _conclude(info, state, remarks, offset, context)


async def _write(client: RedisClient, context: Context) -> Remark | None:
    """Write once to a key of our own. A refusal for lack of rights blinds us; any other is the
    server's fault.
    """
    key = f"{SCRATCH_PREFIX}{context.check}"
    try:
        await client.call("SET", key, context.trace_id, "EX", KEY_LIFE)
    except NotMeasurable as error:
        if error.code != "NOPERM":
            raise
        return Remark(
            Status.UNKNOWN, error.message, f"ACL SETUSER … +set ~{SCRATCH_PREFIX}*, or write: false"
        )
    except TargetRejected as error:
        return Remark(
            error.status, f"writes are refused though it answers: {error.message}", error.guidance
        )
    return None


# -- judgement ------------------------------------------------------------------------------------


def judge_identity(
    info: Mapping[str, str], state: RedisServerState, options: RedisServerOptions
) -> list[Remark]:
    """Role, and whether it is still the same server: a failover may have lost what was
    acknowledged.
    """
    role = info.get("role", "unknown")
    identity = [info.get("run_id", ""), info.get("master_replid", ""), role]
    before, state.identity = state.identity, identity
    remarks = []
    if role != options.role:
        remedy = f"point the resource at the {options.role}, or set role: {role}"
        remarks.append(Remark(Status.DEGRADED, f"role is {role}, expected {options.role}", remedy))
    if role == "slave" and info.get("master_link_status") == "down":
        remedy = "bring its primary back, or promote it: REPLICAOF NO ONE"
        remarks.append(Remark(Status.DEGRADED, "its link to the primary is down", remedy))
    if before and _is_failover(before, identity, info.get("master_replid2", "")):
        state.role_changes += 1
        state.counters = {}  # of another server: what it counted before is not what happened since the last look
        text = "failover: replication history changed, data loss suspected"
        remarks.append(
            Remark(Status.DEGRADED, text, "compare the last published ids with the producers")
        )
    elif before and before[0] != identity[0]:
        text = "the server restarted: what was not persisted is lost"
        remarks.append(
            Remark(Status.DEGRADED, text, "compare the last published ids with the producers")
        )
    return remarks


def _is_failover(before: Sequence[str], now: Sequence[str], continued: str) -> bool:
    """Whether the role or the history changed. Identities are (run_id, master_replid, role).

    `continued` (master_replid2) is the history that a promoted replica goes on from. A primary that
    gets its first replica begins a history of its own as well, but goes on from none and has lost
    nothing.
    """
    (process, history, role), (process_now, history_now, role_now) = before, now
    if role != role_now or (history != history_now and history == continued):
        return True
    return role_now == "slave" and process == process_now and history != history_now


def judge_memory(
    info: Mapping[str, str],
    state: RedisServerState,
    options: RedisServerOptions,
    streams_in_use: bool,
) -> list[Remark]:
    """Room below maxmemory, and what the server throws away when it is full."""
    remarks = []
    used, limit = _int(info, "used_memory"), _int(info, "maxmemory")
    policy = info.get("maxmemory_policy", "")
    evicted = state.count("evicted_keys", _int(info, "evicted_keys"))
    if evicted:
        text = (
            f"{evicted:,} keys evicted since the last look, streams and groups among them perhaps"
        )
        remarks.append(
            Remark(
                Status.DEGRADED, text, "raise maxmemory, or CONFIG SET maxmemory-policy noeviction"
            )
        )
    if limit and used / limit >= options.memory_degraded:
        text = f"memory {100 * used / limit:.0f} % of {format_bytes(limit)}"
        remarks.append(Remark(Status.DEGRADED, text, "trim streams, or raise maxmemory"))
    risky = (
        policy not in {"", "noeviction"} and streams_in_use and not policy.startswith("volatile-")
    )
    if risky and not options.accept_eviction:
        text = f"maxmemory-policy is {policy} while streams are in use: it evicts whole streams"
        remedy = "CONFIG SET maxmemory-policy noeviction, or accept_eviction: true"
        remarks.append(Remark(Status.DEGRADED, text, remedy))
    return remarks


def judge_persistence(info: Mapping[str, str]) -> list[Remark]:
    """Whether the last save and the last append to the log worked."""
    named = {
        "rdb_last_bgsave_status": "the last RDB save failed",
        "aof_last_write_status": "AOF writes fail",
    }
    return [
        Remark(Status.DEGRADED, text, "look at the server's disk and log")
        for field, text in named.items()
        if info.get(field, "ok") != "ok"
    ]


def judge_clients(info: Mapping[str, str], state: RedisServerState) -> list[Remark]:
    """Connections that were turned away since the last run."""
    rejected = state.count("rejected_connections", _int(info, "rejected_connections"))
    if not rejected:
        return []
    text = f"{rejected:,} connections rejected since the last look"
    return [Remark(Status.DEGRADED, text, "raise maxclients, or find who leaks connections")]


def _judge_clock(offset: float | None, options: RedisServerOptions) -> list[Remark]:
    if offset is None or abs(offset) <= options.clock_tolerance:
        return []
    text = f"its clock differs from ours by {format_duration(offset)}"
    return [Remark(Status.DEGRADED, text, "check NTP on both machines")]


def _judge_rights(*replies: Any) -> list[Remark]:
    """What we may not ask is unknown, not fine."""
    refused = [reply for reply in replies if isinstance(reply, NotMeasurable)]
    return [Remark(error.status, error.message, error.guidance) for error in refused]


def _int(info: Mapping[str, str], field: str) -> int:
    return int(info.get(field, "0") or 0)


# -- finding --------------------------------------------------------------------------------------


def _conclude(
    info: Mapping[str, str],
    state: RedisServerState,
    remarks: Sequence[Remark],
    offset: float | None,
    context: Context,
) -> Finding:
    status = worst([Status.UP, *(remark.status for remark in remarks)])
    used, limit = _int(info, "used_memory"), _int(info, "maxmemory")
    memory = (
        f"{format_bytes(used)} of {format_bytes(limit)}"
        if limit
        else f"{format_bytes(used)}, no limit"
    )
    version = info.get("valkey_version") or info.get("redis_version", "?")
    figures = f"{info.get('role', '?')}, version {version}, memory {memory}"
    ordered = sorted(remarks, key=lambda remark: -remark.status.rank)
    return Finding(
        status=status,
        detail="; ".join([*(remark.text for remark in ordered), figures]),
        rows=_rows(info, state, offset, context),
        evidence={
            "remarks": [{"text": remark.text, "remedy": remark.remedy} for remark in ordered],
            "policy": info.get("maxmemory_policy", ""),
        },
        guidance=ordered[0].remedy if ordered else "",
        key=("memory", format_bytes(used)),
    )


def _rows(
    info: Mapping[str, str], state: RedisServerState, offset: float | None, context: Context
) -> list[Row]:
    saved = info.get("rdb_last_bgsave_status", "ok") == "ok"
    state.count("aof_delayed_fsync", _int(info, "aof_delayed_fsync"))
    values = {
        "memory_used_bytes": float(_int(info, "used_memory")),
        "memory_limit_bytes": float(_int(info, "maxmemory")),
        "evicted_keys_total": float(state.totals["evicted_keys"]),
        "rejected_connections_total": float(state.totals["rejected_connections"]),
        "blocked_clients": float(_int(info, "blocked_clients")),
        "aof_delayed_fsync_total": float(state.totals["aof_delayed_fsync"]),
        "rdb_last_save_ok": float(saved),
        "role_changes_total": float(state.role_changes),
    }
    rows = [Row({"server": context.redis().name}, values)]
    if offset is not None:
        rows.append(Row({"target": context.component}, {"clock_offset_seconds": offset}))
    return rows


def _declare(name: str, help_text: str, type_: str = "gauge", unit: str = "") -> Measurement:
    return Measurement(name, help_text, f"sentinel_redis_{name}", type_, unit, ("server",))


KIND = Kind(
    name="redis_server",
    summary=(
        "Redis or Valkey: writable, the right role, memory policy, evictions, persistence, clock"
    ),
    options=RedisServerOptions,
    run=run,
    resources={"resource": "redis"},
    load_state=RedisServerState,
    default_every=5.0,
    measurements=(
        _declare("memory_used_bytes", "Memory in use.", unit="bytes"),
        _declare("memory_limit_bytes", "maxmemory, 0 when there is none.", unit="bytes"),
        _declare("evicted_keys_total", "Keys thrown away for lack of memory.", "counter"),
        _declare("rejected_connections_total", "Connections turned away at maxclients.", "counter"),
        _declare("blocked_clients", "Clients that wait in a blocking command."),
        _declare("aof_delayed_fsync_total", "Delayed syncs of the append-only file.", "counter"),
        _declare("rdb_last_save_ok", "1 when the last RDB save worked."),
        _declare("role_changes_total", "Failovers seen.", "counter"),
        Measurement(
            "clock_offset_seconds",
            "Server's clock minus ours.",
            "sentinel_clock_offset_seconds",
            "gauge",
            "seconds",
            ("target",),
        ),
    ),
)
