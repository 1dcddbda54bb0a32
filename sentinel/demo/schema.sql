-- The demo platform's database. Run as a superuser on an empty database of PostgreSQL 16 or newer.
--
-- Roles, and who sees which rows of tasks and flows (row-level security, forced):
--   platform_owner  owns the tables, can't log in; FORCE binds even the owner to the policy
--   app_user        the API: only the tenant named by SET LOCAL app.tenant_id
--   worker          orchestrator and agents: also one tenant per transaction. They walk the tenants, and an
--                   agent takes the tenant from its message. So no policy says USING (true), no role that
--                   can log in has BYPASSRLS, and a bug in an agent reaches one tenant's rows only.
--   watch_owner     can't log in, BYPASSRLS, owns nothing but the narrow views of schema watch
--   sentinel        the monitor: reads those views (every row, no payload), may write nothing but delete its
--                   own synthetic tasks, and may SET ROLE app_user and worker to try isolation as they would

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'platform_owner') THEN CREATE ROLE platform_owner NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'watch_owner') THEN CREATE ROLE watch_owner NOLOGIN BYPASSRLS; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_user') THEN CREATE ROLE app_user LOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'worker') THEN CREATE ROLE worker LOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sentinel') THEN
    CREATE ROLE sentinel LOGIN NOSUPERUSER NOBYPASSRLS CONNECTION LIMIT 6;
  END IF;
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
GRANT pg_monitor TO sentinel;
GRANT app_user, worker TO sentinel WITH INHERIT FALSE, SET TRUE;
GRANT USAGE, CREATE ON SCHEMA public TO platform_owner;
CREATE SCHEMA watch AUTHORIZATION watch_owner;

SET ROLE platform_owner;

CREATE TABLE tenants (
  id   uuid PRIMARY KEY,
  name text NOT NULL
);

CREATE TABLE agents (
  id             text PRIMARY KEY,
  status         text NOT NULL DEFAULT 'inactive',
  capabilities   text[] NOT NULL DEFAULT '{}',
  last_heartbeat timestamptz,
  boot_id        text,
  registered_at  timestamptz
) WITH (fillfactor = 50);

CREATE TABLE flows (
  id                uuid PRIMARY KEY,
  tenant_id         uuid NOT NULL REFERENCES tenants,
  flow_type         text NOT NULL,
  status            text NOT NULL DEFAULT 'initialized',
  phase             text NOT NULL DEFAULT 'waiting',
  progress          numeric NOT NULL DEFAULT 0,
  worker_id         text,
  created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  status_changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX flows_tenant ON flows (tenant_id, created_at);
CREATE INDEX flows_open ON flows (status, created_at) WHERE status IN ('initialized', 'running');

CREATE TABLE tasks (
  id                    uuid PRIMARY KEY,
  tenant_id             uuid NOT NULL REFERENCES tenants,
  type                  text NOT NULL,
  required_capabilities text[] NOT NULL DEFAULT '{}',
  payload               jsonb NOT NULL DEFAULT '{}',
  status                text NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'assigned', 'in_progress', 'completed', 'failed')),
  assigned_agent_id     text,
  flow_id               uuid REFERENCES flows,
  created_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  assigned_at           timestamptz,
  started_at            timestamptz,
  completed_at          timestamptz,
  redeliver_at          timestamptz,
  retry_count           int NOT NULL DEFAULT 0,
  result                jsonb
);
CREATE INDEX tasks_created ON tasks (created_at);
CREATE INDEX tasks_unassigned ON tasks (created_at) WHERE assigned_at IS NULL;
CREATE INDEX tasks_undelivered ON tasks (redeliver_at) WHERE status = 'assigned';
CREATE INDEX tasks_tenant ON tasks (tenant_id, created_at);
CREATE INDEX tasks_flow ON tasks (flow_id);

-- What must reach the bus: written in the transaction that assigns, removed when the bus has it.
CREATE TABLE outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream   text NOT NULL,
  fields   jsonb NOT NULL
);

ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE tasks FORCE ROW LEVEL SECURITY;
ALTER TABLE flows ENABLE ROW LEVEL SECURITY;
ALTER TABLE flows FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tasks USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY tenant ON flows USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

CREATE FUNCTION announce_task() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pg_notify('task_created', NEW.tenant_id::text);
  RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION announce_task();

GRANT SELECT ON tenants, agents TO app_user;
GRANT SELECT, INSERT, UPDATE ON tasks, flows TO app_user;
GRANT SELECT ON tenants TO worker;
GRANT SELECT, INSERT, UPDATE ON agents, tasks, flows TO worker;
GRANT SELECT, INSERT, DELETE ON outbox TO worker;
GRANT SELECT (id, tenant_id, type, required_capabilities, status, assigned_agent_id, flow_id, created_at,
              assigned_at, started_at, completed_at, retry_count, payload, result), DELETE ON tasks TO watch_owner;
GRANT SELECT ON agents, flows, tenants TO watch_owner;

RESET ROLE;
SET ROLE watch_owner;

CREATE VIEW watch.tasks AS
  SELECT id, tenant_id, type, required_capabilities, status, assigned_agent_id, flow_id, created_at,
         assigned_at, started_at, completed_at, retry_count
  FROM public.tasks;
CREATE VIEW watch.agents AS
  SELECT id, status, capabilities, last_heartbeat, boot_id, registered_at FROM public.agents;
CREATE VIEW watch.flows AS
  SELECT id, tenant_id, flow_type, status, phase, progress, worker_id, created_at, updated_at, status_changed_at
  FROM public.flows;
-- Synthetic tasks, the only rows that the monitor may delete: by construction it reaches no other.
CREATE VIEW watch.canaries AS
  SELECT id, status, assigned_agent_id, created_at, assigned_at, started_at, completed_at,
         payload ->> 'canary' AS canary, result
  FROM public.tasks WHERE type = 'sentinel.canary';
CREATE VIEW watch.tenants AS SELECT id, name FROM public.tenants;
GRANT USAGE ON SCHEMA watch TO sentinel;
GRANT SELECT ON watch.tasks, watch.agents, watch.flows, watch.tenants TO sentinel;
GRANT SELECT, DELETE ON watch.canaries TO sentinel;

RESET ROLE;
ALTER ROLE sentinel SET default_transaction_read_only = on;
