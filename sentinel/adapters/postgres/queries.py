"""The health queries of PostgreSQL 14 to 18, in the text that each version needs; one round trip
each, catalogs only.

All run as a role that is only a member of pg_monitor (measurement.md §7 and appendix B). Numbers
come as float8 or bigint, ages in seconds by the server's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

IDENTITY = """
select current_setting('server_version_num')::int / 10000 as version,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') as sees_all,
       current_user::text as role,
       pg_is_in_recovery() as standby,
       extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8 as uptime,
       case when not pg_is_in_recovery() or pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
            else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 end as replay_delay
"""


@dataclass(frozen=True, slots=True)
class HealthQuery:
    """One question: `variants` maps a first version to the text from then on; `all_stats`: lies
    without pg_monitor.
    """

    name: str
    variants: Mapping[int, str]
    all_stats: bool = False

    def text(self, version: int) -> str | None:
        """The text for a major version, or None where the question has no meaning."""
        fitting = [first for first in self.variants if first <= version]
        return self.variants[max(fitting)] if fitting else None


_SLOTS = """
select slot_name as slot, wal_status, {more}
       coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                     else pg_current_wal_lsn() end, restart_lsn), 0)::float8 as retained_bytes
from pg_replication_slots order by retained_bytes desc limit 20
"""

HEALTH = (
    HealthQuery(
        "lineage",
        {14: """
select (select system_identifier from pg_control_system())::text as system,
       (select timeline_id from pg_control_checkpoint()) as timeline,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                            else pg_current_wal_lsn() end, '0/0')::float8 as wal
"""},
    ),
    HealthQuery(
        "connections",
        {14: """
select count(*) as used,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true), '0')::int as usable
from pg_stat_activity where backend_type = 'client backend'
"""},
        all_stats=True,
    ),
    HealthQuery(
        "activity",
        {14: """
select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8 as transaction_age,
       coalesce(max(extract(epoch from clock_timestamp() - state_change))
                filter (where state like 'idle in transaction%'), 0)::float8 as idle_age,
       (array_agg(pid order by xact_start) filter (where xact_start is not null))[1:500] as open_pids,
       (array_agg(extract(epoch from clock_timestamp() - xact_start)::float8 order by xact_start)
        filter (where xact_start is not null))[1:500] as open_ages,
       (array_agg(pid order by state_change) filter (where state like 'idle in transaction%'))[1:500] as idle_pids,
       (array_agg(extract(epoch from clock_timestamp() - state_change)::float8 order by state_change)
        filter (where state like 'idle in transaction%'))[1:500] as idle_ages
from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
"""},
        all_stats=True,
    ),
    HealthQuery(
        "locks",
        {14: """
with waiting as (
  select pid, extract(epoch from clock_timestamp() - waitstart)::float8 as age from pg_locks where not granted)
select count(*) as waiters, coalesce(max(age), 0) as longest,
       (array_agg(pid order by age desc nulls last))[1] as pid,
       (select pg_blocking_pids(pid) from waiting order by age desc nulls last limit 1) as blockers
from waiting
"""},
    ),
    HealthQuery(
        "horizon",
        {14: """
select coalesce(max(age) filter (where holder = 'backend'), 0) as backend,
       coalesce(max(age) filter (where holder = 'slot'), 0) as slot,
       coalesce(max(age) filter (where holder = 'prepared'), 0) as prepared,
       coalesce(max(age) filter (where holder = 'standby'), 0) as standby
from (select 'backend' as holder, age(backend_xmin) as age from pg_stat_activity where backend_type <> 'walsender'
      union all select 'standby', age(backend_xmin) from pg_stat_replication
      union all select 'slot', greatest(age(xmin), age(catalog_xmin)) from pg_replication_slots
      union all select 'prepared', age(transaction) from pg_prepared_xacts) as held
"""},
        all_stats=True,
    ),
    HealthQuery(
        "wraparound",
        {14: """
select datname::text as db, age(datfrozenxid) as xid_age, mxid_age(datminmxid) as mxid_age
from pg_database where datallowconn order by xid_age desc limit 20
"""},
    ),
    HealthQuery(
        "databases",
        {14: """
select datid::text as id, datname::text as db, xact_commit as commits,
       xact_rollback as rollbacks, deadlocks, temp_bytes,
       coalesce(checksum_failures, 0) as checksum_failures
from pg_stat_database where datname is not null
"""},
    ),
    # replay_lag stays as it was when a standby falls silent: while it is behind, its silence
    # counts, too
    HealthQuery(
        "replication",
        {14: """
select application_name as standby, coalesce(max(extract(epoch from greatest(replay_lag,
         case when pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
                                        else pg_current_wal_lsn() end, replay_lsn) > 0
              then clock_timestamp() - reply_time end))), 0)::float8 as lag
from pg_stat_replication group by 1 order by 2 desc limit 20
"""},
        all_stats=True,
    ),
    HealthQuery(
        "slots",
        {
            14: _SLOTS.format(more="null::text as invalidation_reason,"),
            17: _SLOTS.format(more="invalidation_reason,"),
        },
    ),
    HealthQuery(
        "archiver",
        {14: """
select coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) as failing,
       extract(epoch from clock_timestamp() - coalesce(last_archived_time, pg_postmaster_start_time()))::float8
         as since_success
from pg_stat_archiver
"""},
    ),
    HealthQuery(
        "indexes",
        {14: """
select count(*) as invalid, (array_agg(indexrelid::regclass::text))[1:500] as names
from pg_index where not (indisvalid and indisready)
  and indexrelid not in (select index_relid from pg_stat_progress_create_index)
"""},
    ),
    HealthQuery(
        "sequences",
        {14: """
select format('%I.%I', schemaname, sequencename) as sequence,
       (last_value::float8 / nullif(case when increment_by > 0 then max_value else min_value end, 0)::float8) as used
from pg_sequences where last_value is not null and not cycle
order by used desc nulls last limit 20
"""},
    ),
    HealthQuery(
        "collations",
        {15: """
select count(*) as mismatched, (array_agg(datname::text))[1:500] as names
from pg_database
where datallowconn and datcollversion is not null
  and datcollversion is distinct from pg_database_collation_actual_version(oid)
"""},
    ),
)  # fmt: skip
