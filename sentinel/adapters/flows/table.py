"""Where flows are: the columns of one table as configured, and what its rows are read as.

A column is named as `column`, or `column->key->key` for a value inside JSON. Identifiers are quoted
into the text; instants are Unix seconds, times without a zone are read by their column's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.adapters.columns import as_instant
from sentinel.adapters.relation import (
    Relation,
    _literal,
    fill,
    quote_name,
    texts_of,
    value_of,
)
from sentinel.core.flows.clock import TimeColumns
from sentinel.core.flows.evidence import WorkSigns
from sentinel.core.flows.phase import LogKeys
from sentinel.core.moment.skew import ColumnClock
from sentinel.errors import SubjectError

LOG_BYTES = 16 * 1024
"""A longer log is not read."""
TOO_LONG = ">"
"""What is read in its place."""

_ROW = """json_build_array({id}::text, lower(left({status}::text, 200)), left({type}::text, 200), {worker}::text,
       {progress}, left({phase}::text, 200), {waits}, {counters}, {flags}, {created_at}, {changed_at},
       {status_changed_at}, left({name}::text, 200), left({tenant}::text, 200), lower(left({second}::text, 200)),
       {begun}, {log})"""
_LOG = """CASE WHEN pg_column_size({column}) > {stored} THEN '>' WHEN octet_length({value}::text) > {most} THEN '>'
       ELSE {value}::text END"""
_STORED = 8
"""A value that takes so many times of what is read is not even unpacked."""
_COUNTER = (
    "CASE WHEN octet_length({value}::text) > 64 THEN md5({value}::text) ELSE {value}::text END"
)


@dataclass(frozen=True, slots=True)
class FlowTable:
    """Where flows are, by column names as configured; `terminal`: raw status texts in lower case
    that are over.

    `second`: another column of status, with its own `second_terminal`; a flow is open until both
    are over. `done`: values by which `flags` that are no booleans say that a phase is done. `log`:
    transitions as a JSON array, of at most `log_bytes`. `zone`: as declared, of times without one;
    `clocks`: by column, once the catalog was asked.
    """

    table: str
    id: str
    status: str
    terminal: Sequence[str]
    type: str | None = None
    worker: str | None = None
    phase: str | None = None
    created_at: str | None = None
    changed_at: str | None = None
    status_changed_at: str | None = None
    progress: Sequence[str] = ()
    counters: Sequence[str] = ()
    flags: Sequence[str] = ()
    waits: Sequence[str] = ()
    name: str | None = None
    tenant: str | None = None
    second: str | None = None
    second_terminal: Sequence[str] = ()
    begun: Sequence[str] = ()
    done: Sequence[str] = ()
    log: str | None = None
    log_keys: LogKeys = field(default_factory=LogKeys)
    log_bytes: int = LOG_BYTES
    zone: str | None = None
    clocks: Mapping[str, ColumnClock] = field(default_factory=dict)

    @property
    def columns(self) -> list[str | None]:
        """All columns that are configured, but those of times."""
        several = [*self.progress, *self.counters, *self.flags, *self.waits, *self.begun]
        more = [self.tenant, self.second, self.log]
        return [
            self.id,
            self.name,
            self.status,
            self.type,
            self.worker,
            self.phase,
            *more,
            *several,
        ]

    @property
    def times(self) -> list[str | None]:
        """Columns that must be times."""
        return [self.created_at, self.changed_at, self.status_changed_at]

    def row(self, alias: str) -> str:
        """The JSON array of a flow, read from `alias`."""
        return fill(_ROW, self.names(alias))

    def is_open(self, alias: str) -> str:
        """Condition of a flow that is not over; a status of NULL is none that is over, a second
        status of NULL says nothing.
        """
        first = f"{_lower(alias, self.status)} <> ALL ({_array(self.terminal)})"
        if self.second is None:
            return first
        second = f"{_lower(alias, self.second)} <> ALL ({_array(['', *self.second_terminal])})"
        return f"({first} OR {second})"

    @property
    def statistics(self) -> str:
        """Statement that lets the planner know how few rows are open, without which it would read
        them all.
        """
        relation = Relation.of(self.table)
        name = Relation(relation.schema, f"{relation.name}_open")
        columns = [self.status] if self.second is None else [self.status, self.second]
        on = ", ".join(f"({_lower('f', column)})".replace("f.", "") for column in columns)
        return f"CREATE STATISTICS {name} ON {on} FROM {relation}; ANALYZE {relation};"

    def names(self, alias: str) -> dict[str, str]:
        """What templates need of a row of this table, read from `alias`."""
        once = ("id", "name", "status", "type", "worker", "phase", "tenant", "second")
        single = {name: getattr(self, name) for name in once}
        several = {name: getattr(self, name) for name in ("progress", "waits", "begun")}
        times = {
            name: getattr(self, name) for name in ("created_at", "changed_at", "status_changed_at")
        }
        return {
            **{name: value_of(alias, text) if text else "NULL" for name, text in single.items()},
            **{name: texts_of(alias, texts) for name, texts in several.items()},
            **{name: self._instant(alias, text) for name, text in times.items()},
            "flags": self._flags(alias),
            "counters": self._counters(alias),
            "log": self._log(alias),
        }

    @property
    def time_columns(self) -> TimeColumns:
        """The clocks by what their times say."""
        by_role = (self.created_at, self.changed_at, self.status_changed_at)
        return TimeColumns(*(self.clocks.get(name or "") for name in by_role))

    def _instant(self, alias: str, name: str | None) -> str:
        """Unix seconds of the instant in a column, or NULL."""
        if name is None:
            return "NULL::float8"
        instant = as_instant(value_of(alias, name), self.clocks.get(name))
        return f"extract(epoch FROM {instant})::float8"

    def _flags(self, alias: str) -> str:
        """Each as a text: a boolean, or whether its value is one of `done`."""
        if not self.done:
            return texts_of(alias, self.flags)
        done = _array(["true", *self.done])
        is_done = [f"({_trimmed(alias, name)} = ANY ({done}))::text" for name in self.flags]
        return f"ARRAY[{', '.join(is_done)}]::text[]"

    def _log(self, alias: str) -> str:
        if self.log is None:
            return "NULL"
        parts = {
            "value": value_of(alias, self.log),
            "column": value_of(alias, self.log.partition("->")[0]),
            "most": str(self.log_bytes),
            "stored": str(_STORED * self.log_bytes),
        }
        return fill(_LOG, parts)

    def _counters(self, alias: str) -> str:
        """Each as a text; of a long one only its change matters."""
        short = [fill(_COUNTER, {"value": value_of(alias, name)}) for name in self.counters]
        return f"ARRAY[{', '.join(short)}]::text[]"


def _lower(alias: str, column: str) -> str:
    return f"coalesce(lower({value_of(alias, column)}::text), '')"


def _trimmed(alias: str, column: str) -> str:
    return f"lower(btrim({value_of(alias, column)}::text))"


def _array(texts: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(_literal(text) for text in texts)}]::text[]"


@dataclass(frozen=True, slots=True)
class Link:
    """How a child finds its master: the first of `join` that is not NULL is the master's `key`.

    `by_text`: compared as text; `is_own`: children and masters are rows of one table.
    """

    master: FlowTable
    key: str
    join: Sequence[str]
    by_text: bool
    is_own: bool = False

    @property
    def own_key(self) -> str:
        """The key by which a row of the table would be its own master."""
        return f"f.{quote_name(self.key)}{'::text' if self.by_text else ''}"

    @property
    def reference(self) -> str:
        """The child's side of the join."""
        cast = "::text" if self.by_text else ""
        columns = [f"f.{quote_name(column)}{cast}" for column in self.join]
        return columns[0] if len(columns) == 1 else f"coalesce({', '.join(columns)})"

    def index_on(self, relation: Relation, child: FlowTable) -> str:
        """What to index for the join of a relation that would be read from end to end, and what to
        tell the planner.

        Of the child's table its reference, of the master's its key.
        """
        cast = "::text" if self.by_text else ""
        is_child = self.is_own or relation == Relation.of(child.table)
        expression = (
            self.reference.replace("f.", "") if is_child else f"{quote_name(self.key)}{cast}"
        )
        place = (
            f"({expression})" if expression.startswith('"') and not cast else f"(({expression}))"
        )
        return f"{relation} {place}; {(child if is_child else self.master).statistics}"

    def parts(self) -> dict[str, str]:
        """What templates need of the master."""
        return {
            **self.master.names("m"),
            "table": str(Relation.of(self.master.table)),
            "key": quote_name(self.key),
            "reference": self.reference,
            "cast": "::text" if self.by_text else "",
        }


_TEXTS = ("text", "character", "name", "json", "citext")


def prove_phases(table: FlowTable, types: Mapping[str, str]) -> None:
    """Raise SubjectError for a column that can't be what the mapping says: it would never be true.

    A text that no `done` explains, a flag that is no boolean, a log that is no JSON.
    """
    where = Relation.of(table.table)
    for name in (*table.flags, *table.begun):
        type_, nested = types[name.partition("->")[0]], "->" in name
        explained = name in table.flags and bool(table.done)
        if type_.startswith(_TEXTS) if nested else explained or type_ == "boolean":
            continue
        raise SubjectError(
            f"no boolean: {name} of {where.schema}.{where.name} is of type {type_}",
            "name a boolean column, or in done the values by which a column says that its phase is"
            " done",
        )
    if table.log is not None:
        type_ = types[table.log.partition("->")[0]]
        if not type_.startswith(_TEXTS):
            raise SubjectError(
                f"no JSON: {table.log} of {where.schema}.{where.name} is of type {type_}",
                "name a column of type jsonb, json or text with an array of transitions",
            )


@dataclass(frozen=True, slots=True)
class RowsOfWork:
    """Another table in which a row proves that a child works: its column `join` has the child's id."""

    table: str
    join: str


@dataclass(frozen=True, slots=True)
class FlowSource:
    """One table, by its `name` in the history. `aliases` maps status texts, `second_aliases` those
    of the second column; `type` None: a column tells it.

    For children: `join` names the columns that name the master's `master_key`; `is_own`: they are
    rows of the master's own table, and those without a master are no children; `signs` and `rows`
    prove that one works.
    """

    name: str
    table: FlowTable
    aliases: Mapping[str, str]
    type: str | None
    initial: str
    join: Sequence[str] = ()
    master_key: str = ""
    need_master: bool = True
    is_own: bool = False
    signs: WorkSigns = field(default_factory=WorkSigns)
    rows: RowsOfWork | None = None
    second_aliases: Mapping[str, str] = field(default_factory=dict)
