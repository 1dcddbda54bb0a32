-- One hole an object, of the kinds that are known, beside a table that is sound. Roles: th_app is the
-- application, th_owner a role of which it is a member, th_boss one that passes by all policies.
create schema holes;
grant usage on schema holes to th_app;
create function holes.t() returns uuid language sql stable
  as $$select nullif(current_setting('app.tenant_id', true), '')::uuid$$;

create table holes.ok(id bigint primary key, tenant_id uuid not null);
create table holes.h02_policy_disabled(id bigint primary key, tenant_id uuid not null);
create table holes.h03_using_true(id bigint primary key, tenant_id uuid not null);
create table holes.h04_check_true(id bigint primary key, tenant_id uuid not null);
create table holes.h05_or(id bigint primary key, tenant_id uuid not null, pub bool);
create table holes.h06_owner(id bigint primary key, tenant_id uuid not null);
create table holes.h07_failopen(id bigint primary key, tenant_id uuid not null);
create table holes.h08_wrongcol(id bigint primary key, tenant_id uuid not null, org_id uuid);
create table holes.h09_part(id bigint, tenant_id uuid not null) partition by hash (id);
create table holes.h14_trunc(id bigint primary key, tenant_id uuid not null);
create table holes.h15_cast(id bigint primary key, tenant_id uuid not null);
create table holes.h16_uniq(id bigint primary key, tenant_id uuid not null, email text unique);
create table holes.h17_null(id bigint primary key, tenant_id uuid);

do $$ declare name text; begin
  for name in select tablename from pg_tables where schemaname = 'holes' loop
    execute format('create index on holes.%I (tenant_id)', name);
    if name <> 'h02_policy_disabled' then
      execute format('alter table holes.%I enable row level security', name);
    end if;
    if name <> 'h06_owner' then
      execute format('alter table holes.%I force row level security', name);
    end if;
    if name not in ('h03_using_true', 'h04_check_true', 'h07_failopen', 'h08_wrongcol', 'h15_cast') then
      execute format('create policy p on holes.%I using
        (tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)', name);
    end if;
  end loop;
end $$;

create table holes.h01_disabled(id bigint primary key, tenant_id uuid not null);
create policy p on holes.h03_using_true for select using (true);
create policy p on holes.h04_check_true
  using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (true);
create policy q on holes.h05_or for select using (pub);
create policy p on holes.h07_failopen using (
  current_setting('app.tenant_id', true) is null or current_setting('app.tenant_id', true) = ''
  or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy p on holes.h08_wrongcol using (org_id is not null);
create table holes.h09_part_1 partition of holes.h09_part for values with (modulus 1, remainder 0);
create view holes.h10_view as select * from holes.ok;
create view holes.h11_viewview as select id, tenant_id from holes.h10_view;
create materialized view holes.h12_mat as select * from holes.ok;
create function holes.h13_definer() returns setof holes.ok language sql security definer
  as $$select * from holes.ok$$;
create policy p on holes.h15_cast using (tenant_id = current_setting('app.tenant_id', true)::uuid);

grant select, insert, update, delete on all tables in schema holes to th_app;
grant truncate on holes.h14_trunc to th_app;
grant create on schema holes to th_owner;
alter table holes.h06_owner owner to th_owner;
revoke create on schema holes from th_owner;
grant th_owner, th_boss to th_app;
