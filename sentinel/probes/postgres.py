"""Kind `postgres`: is the server healthy, by what its own catalogs say?

Twelve short queries of the twenty-two of measurement.md §7 on the one held connection: those whose
alert means that data is or soon will be lost, or that work stands still. lineage (failover, wrong
cluster), connections, activity (old transactions), locks, horizon (what blocks VACUUM), wraparound,
databases (counters, checksum failures), replication, slots, archiver, indexes (invalid), collations
(silent index corruption). Left out are the figures without an alert of their own or with a cost
that grows with the number of tables.

Who may not see other sessions is told so (`unknown`, blind) instead of "nothing there", and the
figures that would be too low are left out. A query that fails takes only its own figures with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from sentinel.adapters.postgres import PostgresClient, Record
from sentinel.adapters.postgres.queries import HEALTH, IDENTITY
from sentinel.core.fault import (
    Fault,
    FaultKind,
    Severity,
    Status,
    headline,
    judge,
    sort_faults,
)
from sentinel.core.model import Finding, Fold, Impact, Margin, Measurement, Row, Section, Term
from sentinel.core.servers.postgres import (
    COUNTERS,
    HOLDERS,
    WRAPAROUND,
    CounterTotals,
    Lineage,
    PostgresLimits,
    judge_postgres,
    quote,
)
from sentinel.errors import NotMeasurable, SubjectError, TargetRejected, TargetUnreachable
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, Percentage, Size

Part = Literal[
    "lineage",
    "connections",
    "activity",
    "locks",
    "horizon",
    "wraparound",
    "databases",
    "replication",
    "slots",
    "archiver",
    "indexes",
    "sequences",
    "collations",
]


class PostgresOptions(Options):
    """Options of `postgres`: what is too much. All levels mean degraded; use `thresholds` for
    more.
    """

    resource: str | None = Field(None, description="PostgreSQL resource to judge")
    without: list[Part] = Field(
        [], description="queries to leave out, where a service forbids them"
    )
    max_connections_used: Percentage = Field(0.85, description="share of the usable connections")
    max_transaction_age: Duration = Field(3600.0, description="longest transaction")
    max_idle_in_transaction: Duration = Field(
        300.0, description="longest session idle in a transaction"
    )
    max_lock_wait: Duration = Field(30.0, description="longest wait for a lock")
    max_xmin_age: int = Field(
        50_000_000, gt=0, description="transactions by which VACUUM is held back"
    )
    max_xid_age: int = Field(
        1_200_000_000, gt=0, description="transactions since the oldest freeze of a database"
    )
    max_replication_lag: Duration = Field(60.0, description="how far a standby may be behind")
    max_slot_retained: Size = Field(
        20_000_000_000, description="WAL that a replication slot may retain"
    )
    max_archiver_failing: Duration = Field(
        900.0, description="time since the last success while archiving fails"
    )
    lineage_alert: Duration = Field(
        3600.0, description="how long a failover or a change of cluster is shown"
    )

    @property
    def limits(self) -> PostgresLimits:
        """The levels, for the judgement."""
        return PostgresLimits(
            self.max_connections_used,
            self.max_transaction_age,
            self.max_idle_in_transaction,
            self.max_lock_wait,
            self.max_xmin_age,
            self.max_xid_age,
            self.max_replication_lag,
            self.max_slot_retained,
            self.max_archiver_failing,
        )


class PostgresState:
    """Counters and lineage, over restarts of sentinel."""

    def __init__(self, document: Any = None) -> None:
        document = document or {}
        self.totals = CounterTotals()
        self.totals.totals.update(document.get("totals", {}))
        self.totals.last.update(document.get("last", {}))
        self.lineage = Lineage(document.get("system", ""), document.get("timeline", 0))
        self.lineage.change = document.get("change", "")
        self.lineage.other = document.get("other", False)
        self.lineage.changed = (
            datetime.fromisoformat(document["changed"]) if document.get("changed") else None
        )

    def dump(self) -> Any:
        """What must survive a restart."""
        lineage = self.lineage
        return {
            "totals": self.totals.totals,
            "last": self.totals.last,
            "system": lineage.system,
            "timeline": lineage.timeline,
            "change": lineage.change,
            "other": lineage.other,
            "changed": lineage.changed.isoformat() if lineage.changed else None,
        }

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class PostgresLook:
    """What the server said: answers by query, and by query why there is none."""

    facts: dict[str, list[Record]]
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> Record:
        """Version, role, and whether the role sees all sessions."""
        return self.facts["identity"][0]


async def run(options: PostgresOptions, context: Context) -> Finding:
    """Ask, remember, judge."""
    client = context.postgres()
    try:
        look = await _ask(client, options.without)
    except TargetUnreachable as error:
        fault = error.as_fault(client.name)
        rows = [Row({"server": client.name}, {"up": 0.0})]
        return Finding(fault.status, fault.text, rows, guidance=fault.guidance, faults=[fault])
    faults = _remember(context.state, look.facts, context.utcnow(), options.lineage_alert)
    faults += judge_postgres(look.facts, options.limits)
    faults += _judge_blindness(look)
    return _finding(client.name, look, _tell_resource(faults, client.name), context.state.totals)


def _tell_resource(faults: Iterable[Fault], resource: str) -> list[Fault]:
    """The worst first; each tells its runbook which server it is, and its sentence does where the
    subject is the server itself.
    """
    return [
        replace(
            fault,
            text=fault.text if fault.subject else f"server {resource}: {fault.text}",
            parameters={**fault.parameters, "resource": resource},
        )
        for fault in sort_faults(faults)
    ]


async def _ask(client: PostgresClient, without: Sequence[str]) -> PostgresLook:
    """Who are you, and then every query that this version knows and that this role can be told the
    truth of.
    """
    look = PostgresLook({"identity": await client.query(IDENTITY)})
    for query in HEALTH:
        text = query.text(look.identity["version"])
        if (
            text is None
            or query.name in without
            or (query.all_stats and not look.identity["sees_all"])
        ):
            continue
        try:
            look.facts[query.name] = await client.query(text)
        except (SubjectError, NotMeasurable, TargetRejected) as error:
            look.failed[query.name] = error.message
    return look


def _remember(
    state: PostgresState, facts: Mapping[str, list[Record]], now: datetime, shown: float
) -> list[Fault]:
    for record in facts.get("lineage", ()):
        if state.lineage.see(record["system"], record["timeline"], now):
            state.totals.forget()
    if "databases" in facts:
        state.totals.add(facts["databases"])
    fault = state.lineage.find_fault(now, shown)
    return [fault] if fault else []


def _judge_blindness(look: PostgresLook) -> Iterator[Fault]:
    """What this role is not told, and what the server did not answer."""
    role = look.identity["role"]
    if not look.identity["sees_all"]:
        grant = f"GRANT pg_monitor TO {quote(role)}"
        text = f"blind: role {role} may not see other sessions, so those are not judged"
        yield Fault(
            "unjudged", {"role": role}, Status.UNKNOWN, text, cure=(f"{grant};",), guidance=grant
        )
    for name, why in look.failed.items():
        yield Fault(
            "unjudged",
            {"query": name},
            Status.UNKNOWN,
            f"query {name}: {why}",
            guidance=f"mend that, or leave it out with without: [{name}]",
        )


def _finding(
    server: str, look: PostgresLook, faults: Sequence[Fault], totals: CounterTotals
) -> Finding:
    identity, connections = look.identity, look.facts.get("connections", ())
    used = [f"{record['used']}/{record['usable']}" for record in connections]
    kind = "standby" if identity["standby"] else "primary"
    figures = f"PostgreSQL {identity['version']} {kind}"
    said = [headline(faults), figures] if faults else [f"{figures}, all well"]
    return Finding(
        judge(faults),
        "; ".join([*said, *_tell_cuts(look.facts)]),
        [Row({"server": server}, {"up": 1.0}), *_rows(server, look.facts, totals)],
        {
            "version": identity["version"],
            "standby": identity["standby"],
            "complaints": [fault.text for fault in faults[:20]],
        },
        faults[0].guidance if faults else "",
        ("connections", used[0]) if used else None,
        faults,
    )


def _tell_cuts(facts: Mapping[str, list[Record]]) -> Iterator[str]:
    """Where a query names fewer subjects than it counted."""
    for query, column in (("indexes", "invalid"), ("collations", "mismatched")):
        for record in facts.get(query, ()):
            named = len(record["names"] or ())
            if named < record[column]:
                yield f"{query}: {named} of {record[column]} named"


# query → {measurement: column}, of the queries with one row
_SINGLE = {
    "connections": {"connections_used": "used", "connections_usable": "usable"},
    "activity": {
        "longest_transaction_seconds": "transaction_age",
        "longest_idle_in_transaction_seconds": "idle_age",
    },
    "locks": {"longest_lock_wait_seconds": "longest", "lock_waiters": "waiters"},
    "archiver": {"archiver_failing": "failing"},
    "indexes": {"invalid_indexes": "invalid"},
    "collations": {"collation_mismatches": "mismatched"},
}
# query → (label, {measurement: column}), of the queries with a row per subject
_MANY = {
    "wraparound": ("db", {"xid_age": "xid_age", "mxid_age": "mxid_age"}),
    "replication": ("standby", {"replication_lag_seconds": "lag"}),
    "slots": ("slot", {"slot_retained_bytes": "retained_bytes"}),
}


def _rows(server: str, facts: Mapping[str, list[Record]], totals: CounterTotals) -> list[Row]:
    rows = [
        Row(
            {"server": server},
            {name: float(facts[query][0][column]) for name, column in columns.items()},
        )
        for query, columns in _SINGLE.items()
        if facts.get(query)
    ]
    for query, (label, columns) in _MANY.items():
        rows += [
            Row(
                {"server": server, label: record[label]},
                {name: float(record[c]) for name, c in columns.items()},
            )
            for record in facts.get(query, ())
        ]
    for record in facts.get("lineage", ()):
        place = {"timeline": float(record["timeline"])}
        if record["wal"] is not None:
            place["wal_position_bytes"] = record["wal"]
        rows.append(Row({"server": server}, place))
    rows += [
        Row({"server": server, "sequence": record["sequence"]}, {"sequence_used_ratio": used})
        for record in facts.get("sequences", ())
        if (used := record["used"]) is not None
    ]
    for record in facts.get("horizon", ()):
        rows += [
            Row({"server": server, "holder": holder}, {"xmin_age": float(record[holder])})
            for holder in HOLDERS
        ]
    counters = {f"{name}_total": float(totals.totals[name]) for name in COUNTERS}
    return [*rows, Row({"server": server}, counters)]


def _measured(
    name: str, text: str, unit: str = "", *labels: str, type_: str = "gauge"
) -> Measurement:
    return Measurement(name, text, f"sentinel_pg_{name}", type_, unit, ("server", *labels))


def _fault(key: str, severity: Severity, meaning: str, *parameters: str) -> FaultKind:
    return FaultKind(key, severity, "database-degraded", meaning, (*parameters, "resource"))


FAULTS = (
    _fault("checksum_failures", Severity.PAGE, "pages on disk are corrupt", "database"),
    _fault("xid_age", Severity.TICKET, "transaction ids run out", "database"),
    _fault("mxid_age", Severity.TICKET, "multixact ids run out", "database"),
    _fault("collation_changed", Severity.TICKET, "text indexes may be wrong", "database"),
    _fault("other_cluster", Severity.PAGE, "another cluster answers at the address"),
    _fault("failover", Severity.PAGE, "the timeline changed: a failover or a restore"),
    _fault("connections_short", Severity.PAGE, "few connections are left"),
    _fault("lock_wait", Severity.PAGE, "a session waits long for a lock", "process"),
    _fault("archiver_failing", Severity.TICKET, "WAL is not archived and piles up"),
    _fault("slot_lost", Severity.TICKET, "a replication slot is lost", "slot"),
    _fault("slot_retains", Severity.TICKET, "a slot keeps WAL from being removed", "slot"),
    _fault("replication_lag", Severity.TICKET, "a standby is far behind", "standby"),
    _fault("replay_late", Severity.TICKET, "this standby replays late"),
    _fault("idle_in_transaction", Severity.TICKET, "a session idles in one", "process"),
    _fault("long_transaction", Severity.TICKET, "a transaction is open for long", "process"),
    _fault("vacuum_held_back", Severity.TICKET, "something keeps VACUUM from work", "holder"),
    _fault("invalid_index", Severity.TICKET, "an index is not usable", "index"),
    FaultKind(
        "unjudged",
        Severity.INFO,
        "sentinel-blind",
        "a question that the server did not answer, or not truly",
        ("resource",),
    ),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="postgres",
    summary=(
        "Health of a PostgreSQL server: connections, locks, old transactions, wraparound,"
        " replication, archiving"
    ),
    options=PostgresOptions,
    run=run,
    board="database",
    faults=FAULTS,
    resources={"resource": "postgres"},
    load_state=PostgresState,
    patient=True,
    measurements=(
        _measured("up", "Whether the server answers"),
        _measured("connections_used", "Client connections in use"),
        _measured("connections_usable", "Connections that ordinary roles can use"),
        _measured("longest_transaction_seconds", "Age of the oldest open transaction", "seconds"),
        _measured(
            "longest_idle_in_transaction_seconds",
            "Longest time a session has been idle in transaction",
            "seconds",
        ),
        _measured("longest_lock_wait_seconds", "Longest current wait for a lock", "seconds"),
        _measured("lock_waiters", "Lock requests that wait"),
        _measured("xmin_age", "Transactions by which VACUUM is held back, by holder", "", "holder"),
        _measured("xid_age", "Age of the oldest unfrozen transaction id", "", "db"),
        _measured("mxid_age", "Age of the oldest multixact id", "", "db"),
        _measured(
            "replication_lag_seconds", "How far a standby is behind in replay", "seconds", "standby"
        ),
        _measured("slot_retained_bytes", "WAL that a replication slot retains", "bytes", "slot"),
        _measured("archiver_failing", "1 while the last attempt to archive WAL failed"),
        _measured("invalid_indexes", "Invalid indexes of the connected database"),
        _measured(
            "collation_mismatches", "Databases whose collation version changed under their indexes"
        ),
        _measured("timeline", "Timeline of its write-ahead log"),
        _measured(
            "wal_position_bytes", "How far its write-ahead log is written, or replayed", "bytes"
        ),
        _measured("sequence_used_ratio", "How much of a sequence is used up", "ratio", "sequence"),
        _measured("commits_total", "Transactions committed, all databases", type_="counter"),
        _measured("rollbacks_total", "Transactions rolled back, all databases", type_="counter"),
        _measured("deadlocks_total", "Deadlocks, all databases", type_="counter"),
        _measured(
            "temp_bytes_total",
            "Bytes written to temporary files, all databases",
            "bytes",
            type_="counter",
        ),
        _measured(
            "checksum_failures_total",
            "Pages whose checksum was wrong, all databases",
            type_="counter",
        ),
    ),
    impact=(
        Impact("timeline", Section.POSITION, (Term("timeline"),), fold=Fold.LARGEST, loss=True),
        Impact(
            "write-ahead log",
            Section.POSITION,
            (Term("wal_position_bytes"),),
            fold=Fold.LARGEST,
            unit="bytes",
        ),
        Impact(
            "transactions committed",
            Section.POSITION,
            (Term("commits_total"),),
            basis="sentinel's own count, all databases: what the server counted away is in it",
        ),
    ),
    margins=(
        Margin("connections", "connections_used", 0.7, "connections_usable"),
        Margin("transaction ids", "xid_age", 0.4, WRAPAROUND),
        Margin("multixact ids", "mxid_age", 0.4, WRAPAROUND),
        Margin("sequences", "sequence_used_ratio", 0.7, 1.0),
    ),
)
