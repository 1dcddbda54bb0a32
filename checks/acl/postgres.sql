-- The database role of sentinel. Run as a superuser in the watched database, then give it a password:
--   \password sentinel
-- Running it again changes nothing.

do $$ begin
  if not exists (select from pg_roles where rolname = 'sentinel') then
    create role sentinel login;
  end if;
end $$;

alter role sentinel nosuperuser nobypassrls nocreatedb nocreaterole noreplication connection limit 3;
alter role sentinel set default_transaction_read_only = on;
alter role sentinel set statement_timeout = '2s';
alter role sentinel set lock_timeout = '500ms';
alter role sentinel set idle_in_transaction_session_timeout = '10s';

-- Sessions of others are invisible without this: a poller without it says "fine" and sees nothing.
grant pg_monitor to sentinel;

-- Business state only through narrow views, owned by who may read the tables: no payload, no personal data.
-- Name the view where a check asks for the table, for instance `table: sentinel.tasks`.
create schema if not exists sentinel;
grant usage on schema sentinel to sentinel;
alter default privileges in schema sentinel grant select on tables to sentinel;
-- create view sentinel.tasks as select id, status, created_at, assigned_at, assigned_agent_id from public.tasks;

-- Tenants: tenant_audit needs nothing more, the catalogue is open to everybody. tenant_probe tries as the application's
-- roles; from PostgreSQL 16 on sentinel then has none of their rights until it takes the role:
-- grant app to sentinel with inherit false, set true;
-- On older servers a membership is enough, and NOINHERIT for the role sentinel keeps the rights away.
-- tenant_rows counts rows by their tenant: grant select (tenant_id) on public.tasks to sentinel; where row-level security
-- holds for sentinel, too, let it count through a view as above.

-- Synthetic tasks (kind workflow_canary, and only for it): a view of nothing but them, through which sentinel may insert
-- and delete. The check option refuses rows of any other type, and rows of others can't be seen, so not deleted either.
-- Name the columns that your tasks need; a serial id also needs `grant usage on sequence`. Name the view in `rows.table`
-- and `enqueue.sql.table`. To enqueue through an API instead, leave `insert` out.
-- create view sentinel.canaries as select id, type, status, payload, created_at, assigned_at, started_at, completed_at
--   from public.tasks where type = 'sentinel.canary' with cascaded check option;
-- grant insert, delete on sentinel.canaries to sentinel;
