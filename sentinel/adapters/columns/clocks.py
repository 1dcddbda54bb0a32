"""By which clock is a column written? What the catalog tells: its type, its default, and the
TimeZone of the database and of the roles that write (measurement.md §11.11).

Only the catalog is read, which every role may. `TimeZone` of a session is that of its role in this
database, of its role, of the database, of the server, in this order; what an application passes as
a value, or sets in its own session, no catalog tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.relation import Query, Relation
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.core.moment.zone import are_alike, find_zone
from sentinel.errors import NotMeasurable, SubjectError

# A domain is as naive as the type below it.
_COLUMNS = """
SELECT a.attname AS name,
       (WITH RECURSIVE below AS (
          SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
          UNION ALL
          SELECT t.oid, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.typbasetype)
        SELECT format_type(oid, NULL) FROM below WHERE typbasetype = 0) AS type,
       pg_get_expr(d.adbin, d.adrelid) AS default
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attname = ANY (%(columns)s)
  AND NOT a.attisdropped"""

# Who writes: roles that log in and own a table below the relation (a view is not written to), or
# may insert or update; superusers may always, so of them only those that hold a session.
_ZONES = """
WITH RECURSIVE below AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = %(schema)s AND c.relname = %(name)s
  UNION
  SELECT d.refobjid FROM below b JOIN pg_rewrite r ON r.ev_class = b.oid
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                  AND d.refclassid = 'pg_class'::regclass),
 tables AS (
  SELECT c.oid, c.relowner FROM below b JOIN pg_class c ON c.oid = b.oid
  WHERE c.relkind IN ('r', 'p', 'f')),
 settings AS (
  SELECT s.setdatabase, s.setrole, substr(word, strpos(word, '=') + 1) AS zone
  FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS word
  WHERE lower(split_part(word, '=', 1)) = 'timezone'
    AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
 writers AS (
  SELECT r.oid, r.rolname FROM pg_roles r
  WHERE r.rolcanlogin
    AND (EXISTS (SELECT FROM tables t WHERE t.relowner = r.oid)
         OR NOT r.rolsuper AND EXISTS (
              SELECT FROM tables t WHERE has_any_column_privilege(r.oid, t.oid, 'INSERT, UPDATE'))
         OR r.rolsuper AND EXISTS (
              SELECT FROM pg_stat_activity a
              WHERE a.usesysid = r.oid AND a.datname = current_database()
                AND a.application_name <> 'sentinel')))
SELECT current_database()::text AS database,
       (SELECT zone FROM settings WHERE setrole = 0 ORDER BY setdatabase DESC LIMIT 1) AS database_zone,
       CASE WHEN EXISTS (SELECT FROM settings s JOIN pg_roles r ON r.oid = s.setrole
                         WHERE r.rolname = session_user) THEN NULL
            ELSE (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone') END AS session_zone,
       ARRAY(SELECT json_build_array(w.rolname, (
               SELECT s.zone FROM settings s WHERE s.setrole = w.oid
               ORDER BY s.setdatabase DESC LIMIT 1))
             FROM writers w ORDER BY w.rolname LIMIT 200) AS writers,
       extract(epoch FROM clock_timestamp())::float8 AS now
"""
_NAIVE = ("timestamp without time zone", "date")
_EXPLICIT = re.compile(r"timezone\('(?P<zone>[^']+)'::text, |AT TIME ZONE '(?P<also>[^']+)'")
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class _Zones:
    """What the catalog tells of the zones of those who write a table; `default`: None when it can't
    be seen.
    """

    default: str | None = None
    default_source: str = ""
    roles: Sequence[tuple[str, str]] = ()
    inherits: bool = True
    now: float = 0.0

    def judge(self, column: str) -> ColumnClock:
        """The clock of a naive column without a default that names its zone."""
        named = list(self._named())
        if not named:
            source = "the catalog tells no zone of those who write"
            return ColumnClock(column, Basis.ASSUMED, source=source)
        known = [zone for zone, _ in named if find_zone(zone)]
        zone = known[0] if known else "UTC"
        others = [name for name in dict.fromkeys(known) if not self._alike(zone, name)]
        # PostgreSQL also knows zones by rules (`<+09>-09`), which are none of the data base's names.
        if others or len(known) < len(named):
            sources = "; ".join(f"{source}: {name}" for name, source in named[:_SHOWN])
            return ColumnClock(column, Basis.DISAGREED, zone, tuple(others), sources)
        sources = "; ".join(source for _, source in named[:_SHOWN])
        # An application may as well write times of UTC: then its rows lie apart.
        maybe = () if self._alike(zone, "UTC") else ("UTC",)
        return ColumnClock(column, Basis.DISCOVERED, zone, maybe, sources)

    def known(self) -> tuple[str, ...]:
        """All zones that were found."""
        return tuple(dict.fromkeys(zone for zone, _ in self._named() if find_zone(zone)))

    def _named(self) -> Iterator[tuple[str, str]]:
        """Zone, and what it rests on; that of the database first, where somebody inherits it."""
        if self.default and self.inherits:
            yield self.default, self.default_source
        by_zone: dict[str, list[str]] = {}
        for role, zone in self.roles:
            by_zone.setdefault(zone, []).append(role)
        for zone, roles in by_zone.items():
            more = f" and {len(roles) - _SHOWN} more" if len(roles) > _SHOWN else ""
            yield zone, f"TimeZone of role {', '.join(roles[:_SHOWN])}{more}"

    def _alike(self, one: str, other: str) -> bool:
        return are_alike((one, other), self.now)


async def find_clocks(
    query: Query, table: str, columns: Sequence[str | None], declared: str | None = None
) -> dict[str, ColumnClock]:
    """Column → its clock, of those columns that the relation has. None and `column->key` are passed
    over: text says itself what it is.

    Raises SubjectError when `declared` (the option `zone:`) could have no effect.
    """
    relation = Relation.of(table)
    wanted = list(dict.fromkeys(name for name in columns if name and "->" not in name))
    place = {"schema": relation.schema, "name": relation.name}
    rows = await query(_COLUMNS, {**place, "columns": wanted})
    naive = [row["name"] for row in rows if row["type"] in _NAIVE]
    if declared and rows and not naive:
        raise SubjectError(
            f"`zone: {declared}` has no effect: every time of {table} has a zone of its own",
            "remove `zone:` from the mapping",
        )
    zones = await _read_zones(query, place)
    return {row["name"]: _judge(row, f"{table}.{row['name']}", declared, zones) for row in rows}


def _judge(row: Mapping[str, Any], column: str, declared: str | None, zones: _Zones) -> ColumnClock:
    if row["type"] not in _NAIVE:
        return ColumnClock(column, Basis.TYPED, others=zones.known(), source=row["type"])
    if declared:
        return ColumnClock(column, Basis.DECLARED, declared, source="`zone:` of the mapping")
    explicit = _EXPLICIT.search(row["default"] or "")
    zone = explicit and (explicit["zone"] or explicit["also"])
    if zone and find_zone(zone):
        name = "UTC" if are_alike((zone, "UTC"), zones.now) else zone
        return ColumnClock(column, Basis.DISCOVERED, name, source="default of the column")
    return zones.judge(column)


async def _read_zones(query: Query, place: Mapping[str, str]) -> _Zones:
    """The zones of those who write; nothing when a server hides its catalog."""
    try:
        row = (await query(_ZONES, place))[0]
    except NotMeasurable:
        return _Zones()
    default, source = row["database_zone"], f"TimeZone of database {row['database']}"
    if default is None:
        default, source = row["session_zone"], "TimeZone of the server"
    roles = [(role, zone) for role, zone in row["writers"] if zone]
    inherits = len(roles) < len(row["writers"]) or not roles
    return _Zones(default, source if default else "", roles, inherits, row["now"])


def as_instant(value: str, clock: ColumnClock | None) -> str:
    """SQL of the instant that a column's value is, for a session whose TimeZone is UTC. Not for a
    condition: no index would be used.
    """
    if clock and clock.is_naive:
        return f"({value}::timestamp AT TIME ZONE {_literal(clock.zone)})"  # it may be a date
    return value


def as_wall(instant: str, clock: ColumnClock | None) -> str:
    """SQL of what the column's clock shows at an instant, to compare a column with, which then may
    use its index.
    """
    if clock and clock.is_naive:
        return f"(({instant})::timestamptz AT TIME ZONE {_literal(clock.zone)})"
    return instant


def _literal(zone: str) -> str:
    """A string constant for a statement with parameters; any backslash is itself."""
    return "'" + zone.replace("'", "''").replace("%", "%%") + "'"
