"""Kind `redis_server`: can the bus be written to, and will it keep what is written?

PING is green on a server that refuses every write, so this probe writes to a key of its own
(`sentinel:probe:<check>`, which expires) and reads one INFO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from sentinel.adapters.bus.stream import SCRATCH_PREFIX
from sentinel.adapters.redis.reply import parse_info, parse_time
from sentinel.adapters.redis.shared import ask
from sentinel.core.fault import Fault, FaultKind, Severity, headline, judge, sort_faults
from sentinel.core.model import Finding, Impact, Margin, Measurement, Row, Section, Term
from sentinel.core.quantity import format_bytes
from sentinel.core.servers.redis import (
    Info,
    RedisLimits,
    RedisLook,
    is_failover,
    judge_redis,
    read_figure,
    read_identity,
)
from sentinel.errors import NotMeasurable, TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, Percentage

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
        False,
        description="accept a maxmemory policy that evicts, and what it evicts, with streams in use",
    )
    clock_tolerance: Duration = Field(
        1.0, gt=0, description="degraded when its clock differs by more"
    )

    @property
    def limits(self) -> RedisLimits:
        """What is expected, for the judgement."""
        return RedisLimits(
            self.role, self.memory_degraded, self.clock_tolerance, self.accept_eviction
        )


class RedisServerState:
    """Counters and identity of the last run."""

    __slots__ = ("counters", "identity", "role_changes", "totals")

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


async def run(options: RedisServerOptions, context: Context) -> Finding:
    """Write, read INFO, judge."""
    client, state = context.redis(), context.state
    write = ("SET", f"{SCRATCH_PREFIX}{context.check}", context.trace_id, "EX", KEY_LIFE)
    asked = [write, *_QUESTIONS] if options.write else _QUESTIONS
    before = context.read_wall().timestamp()
    *written, raw, server_time, streams = await ask(client, asked)
    after = context.read_wall().timestamp()
    hurt = [fault for reply in written for fault in _judge_write(client.name, reply)]
    if isinstance(raw, TargetError):
        raise raw
    offset = _compare_clocks(server_time, before, after, options.clock_tolerance)
    in_use = not isinstance(streams, TargetError) and bool(streams[1])
    look = _compare(client.name, parse_info(raw), state, in_use, offset)
    hurt += judge_redis(look, options.limits)
    refused = {"TIME": server_time, "SCAN": streams}
    hurt += [
        _unjudged(command, reply)
        for command, reply in refused.items()
        if isinstance(reply, NotMeasurable)
    ]
    return _conclude(look, state, sort_faults(hurt), context.component)


# INFO without sections: Redis 6.2 takes one of them at most.
_QUESTIONS = [("INFO",), ("TIME",), ("SCAN", 0, "COUNT", 1000, "TYPE", "stream")]


def _compare_clocks(reply: Any, before: float, after: float, tolerance: float) -> float | None:
    """The server's clock minus ours; None when it can't be known well enough to be judged: it was
    read at some time between the question and the answer.
    """
    if isinstance(reply, TargetError):
        return None
    offset, half = parse_time(reply) - (before + after) / 2, (after - before) / 2
    doubtful = max(abs(offset), half) > tolerance >= abs(offset) - half
    return None if doubtful else offset


def _judge_write(server: str, reply: Any) -> list[Fault]:
    """What became of the key of our own. A refusal for lack of rights blinds us; any other is the
    server's fault.
    """
    if isinstance(reply, NotMeasurable) and reply.code == "NOPERM":
        guidance = f"give sentinel's account +set on ~{SCRATCH_PREFIX}*, or set write: false"
        return [replace(_unjudged("SET", reply), guidance=guidance)]
    if isinstance(reply, TargetRejected):
        text = f"server {server}: writes are refused though it answers: {reply.message}"
        return [replace(reply.as_fault(server), key="writes_refused", text=text)]
    if isinstance(reply, TargetError):
        raise reply
    return []


def _unjudged(command: str, error: NotMeasurable) -> Fault:
    """What we may not ask is unknown, not fine."""
    return Fault(
        "unjudged",
        {"command": command},
        error.status,
        f"command {command}: {error.message}",
        guidance=error.guidance,
    )


def _compare(
    server: str, info: Info, state: RedisServerState, in_use: bool, offset: float | None
) -> RedisLook:
    """This look beside the one before, which it takes the place of."""
    before, state.identity = state.identity, read_identity(info)
    if is_failover(before, state.identity, info.get("master_replid2", "")):
        state.role_changes += 1
        # Of another server: what it counted before did not happen since the last look.
        state.counters = {}
    state.count("aof_delayed_fsync", read_figure(info, "aof_delayed_fsync"))
    return RedisLook(
        server,
        info,
        before,
        state.count("evicted_keys", read_figure(info, "evicted_keys")),
        state.count("rejected_connections", read_figure(info, "rejected_connections")),
        in_use,
        offset,
    )


def _conclude(
    look: RedisLook, state: RedisServerState, faults: Sequence[Fault], component: str
) -> Finding:
    info = look.info
    used, limit = read_figure(info, "used_memory"), read_figure(info, "maxmemory")
    room = f" of {format_bytes(limit)}" if limit else ", no limit"
    version = info.get("valkey_version") or info.get("redis_version", "?")
    figures = f"{info.get('role', '?')}, version {version}, memory {format_bytes(used)}{room}"
    return Finding(
        status=judge(faults),
        detail="; ".join([headline(faults), figures] if faults else [figures]),
        rows=_rows(look, state, component),
        evidence={
            "remarks": [{"text": fault.text, "remedy": fault.guidance} for fault in faults],
            "policy": info.get("maxmemory_policy", ""),
        },
        guidance=faults[0].guidance if faults else "",
        key=("memory", format_bytes(used)),
        faults=faults,
    )


def _rows(look: RedisLook, state: RedisServerState, component: str) -> list[Row]:
    info = look.info
    saved = info.get("rdb_last_bgsave_status", "ok") == "ok"
    values = {
        "memory_used_bytes": float(read_figure(info, "used_memory")),
        "memory_limit_bytes": float(read_figure(info, "maxmemory")),
        "evicted_keys_total": float(state.totals["evicted_keys"]),
        "rejected_connections_total": float(state.totals["rejected_connections"]),
        "blocked_clients": float(read_figure(info, "blocked_clients")),
        "aof_delayed_fsync_total": float(state.totals["aof_delayed_fsync"]),
        "rdb_last_save_ok": float(saved),
        "role_changes_total": float(state.role_changes),
    }
    rows = [Row({"server": look.server}, values)]
    if look.offset is not None:
        rows.append(Row({"target": component}, {"clock_offset_seconds": look.offset}))
    return rows


def _declare(name: str, help_text: str, type_: str = "gauge", unit: str = "") -> Measurement:
    return Measurement(name, help_text, f"sentinel_redis_{name}", type_, unit, ("server",))


def _fault(
    key: str,
    severity: Severity,
    meaning: str,
    runbook: str = "bus-refuses-writes",
    lasting: str = "",
    *,
    sudden: bool = False,
) -> FaultKind:
    return FaultKind(key, severity, runbook, meaning, ("resource",), lasting, sudden=sudden)


FAULTS = (
    _fault("writes_refused", Severity.PAGE, "it answers and refuses what is written"),
    _fault(
        "failover",
        Severity.PAGE,
        "another server took over",
        "bus-messages-lost",
        "failover(s), data loss suspected",
    ),
    _fault("restarted", Severity.TICKET, "the server began anew", "bus-messages-lost", sudden=True),
    _fault("wrong_role", Severity.PAGE, "a replica answers where a primary must, or reversed"),
    _fault("primary_lost", Severity.TICKET, "the replica has lost its primary"),
    _fault(
        "evicted",
        Severity.PAGE,
        "keys were thrown away for lack of memory",
        lasting="key(s) evicted for lack of memory, streams and groups among them perhaps",
    ),
    _fault("memory_short", Severity.TICKET, "little memory is left below maxmemory"),
    _fault("evicts_streams", Severity.TICKET, "its policy may throw streams away"),
    _fault("save_failing", Severity.PAGE, "the last RDB save failed"),
    _fault("log_failing", Severity.PAGE, "the append-only file can't be written"),
    _fault(
        "connections_rejected",
        Severity.TICKET,
        "maxclients is reached",
        "bus-unreachable",
        sudden=True,
    ),
    _fault("clock_off", Severity.TICKET, "its clock and ours differ", "bus-unreachable"),
    FaultKind("unjudged", Severity.INFO, "sentinel-blind", "a command that we may not use"),
    *faults_of_target("bus-unreachable", rejected="bus-refuses-writes"),
)

KIND = Kind(
    name="redis_server",
    summary=(
        "Redis or Valkey: writable, the right role, memory policy, evictions, persistence, clock"
    ),
    options=RedisServerOptions,
    run=run,
    board="bus",
    faults=FAULTS,
    resources={"resource": "redis"},
    load_state=RedisServerState,
    patient=True,
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
    impact=(
        Impact(
            "keys thrown away for lack of memory",
            Section.INCIDENT,
            (Term("evicted_keys_total"),),
            loss=True,
        ),
    ),
    margins=(Margin("memory", "memory_used_bytes", 0.8, "memory_limit_bytes"),),
)
