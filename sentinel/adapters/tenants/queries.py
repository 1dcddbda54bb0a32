"""The statements about the isolation of tenants (measurement.md §6, §11.13). All of them read the
catalogue only, which every role may; each is bounded by `%(limit)s` rows.

Parameters: `columns`, names of tenant columns, the first that a table has counts; `roles`, oids;
`relations`, oids of the relations that were read first.
"""

from __future__ import annotations

SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_user::text AS me,
       current_database()::text AS database"""

SESSIONS = """
SELECT r.rolname::text AS name, count(*)::int AS sessions
FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
JOIN pg_catalog.pg_database d ON d.oid = a.datid
WHERE d.datname = current_database() AND a.pid <> pg_backend_pid()
  AND NOT (r.rolname = current_user AND a.application_name = 'sentinel')
GROUP BY 1 ORDER BY 1 LIMIT %(limit)s"""
"""Roles that hold sessions in this database: everybody may see these columns."""

ROLES = """
SELECT r.oid::int8 AS oid, r.rolname::text AS name, r.rolsuper AS superuser, r.rolbypassrls AS bypass,
       ARRAY(SELECT b.rolname::text FROM pg_catalog.pg_roles b
             WHERE (b.rolsuper OR b.rolbypassrls) AND b.oid <> r.oid
               AND NOT r.rolsuper AND pg_has_role(r.oid, b.oid, {take}) ORDER BY 1 LIMIT 10) AS becomes
FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (%(names)s::text[]) OR r.oid = ANY (%(roles)s::oid[])
ORDER BY 2 LIMIT %(limit)s"""

RELATIONS = """
SELECT c.oid::int8 AS oid, n.nspname || '.' || c.relname AS name,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted,
       c.relkind::text AS kind, c.relowner::int8 AS owner, pg_get_userbyid(c.relowner)::text AS owner_name,
       coalesce(t.attname::text, '') AS column, coalesce(format_type(t.atttypid, NULL), '') AS column_type,
       coalesce(NOT t.attnotnull, false) AS nullable, c.relrowsecurity AS secured,
       c.relforcerowsecurity AS forced, c.relispartition AS partition, c.reltuples::float8 AS rows,
       EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
               WHERE o.option_name = 'security_invoker'
                 AND lower(o.option_value) IN ('true', 'on', 'yes', '1')) AS invoker,
       EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
               AND i.indpred IS NULL AND i.indkey[0] = t.attnum) AS indexed
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT a.attname, a.atttypid, a.attnotnull, a.attnum FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attname = ANY (%(columns)s::text[])
  ORDER BY array_position(%(columns)s::text[], a.attname::text) LIMIT 1) t ON true
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
                  AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY (t.attname IS NULL), 2 LIMIT %(limit)s"""

POLICIES = """
SELECT p.polrelid::int8 AS relation, p.polname::text AS name, p.polcmd::text AS command,
       p.polpermissive AS permissive,
       ARRAY(SELECT r::int8 FROM unnest(%(roles)s::oid[]) r
             WHERE 0 = ANY (p.polroles) OR EXISTS (
               SELECT FROM unnest(p.polroles) m WHERE m <> 0 AND pg_has_role(r, m, 'USAGE'))) AS roles,
       left(pg_get_expr(p.polqual, p.polrelid), 20000) AS using,
       left(pg_get_expr(p.polwithcheck, p.polrelid), 20000) AS check
FROM pg_catalog.pg_policy p WHERE p.polrelid = ANY (%(relations)s::oid[])
ORDER BY 1, 2 LIMIT %(limit)s"""

RIGHTS = """
SELECT c.oid::int8 AS relation, r.oid::int8 AS role,
       x.usage AND has_any_column_privilege(r.oid, c.oid, 'SELECT') AS read,
       x.usage AND has_any_column_privilege(r.oid, c.oid, 'INSERT') AS insert,
       x.usage AND has_any_column_privilege(r.oid, c.oid, 'UPDATE') AS update,
       x.usage AND has_table_privilege(r.oid, c.oid, 'DELETE') AS delete,
       x.usage AND has_table_privilege(r.oid, c.oid, 'TRUNCATE') AS truncate,
       pg_has_role(r.oid, c.relowner, 'USAGE') AS owns
FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.pg_roles r
CROSS JOIN LATERAL (SELECT has_schema_privilege(r.oid, c.relnamespace, 'USAGE') AS usage) x
WHERE c.oid = ANY (%(relations)s::oid[]) AND r.oid = ANY (%(roles)s::oid[])
LIMIT %(limit)s"""

VIEWS = """
SELECT DISTINCT w.ev_class::int8 AS view, d.refobjid::int8 AS below
FROM pg_catalog.pg_rewrite w
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> w.ev_class
WHERE w.ev_class = ANY (%(relations)s::oid[]) AND d.refobjid = ANY (%(relations)s::oid[])
LIMIT %(limit)s"""

FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, p.proowner::int8 AS owner,
       pg_get_userbyid(p.proowner)::text AS owner_name,
       p.prosecdef AS definer, p.proleakproof AS leakproof,
       EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search\\_path=%%') AS pinned,
       ARRAY(SELECT r::int8 FROM unnest(%(roles)s::oid[]) r
             WHERE has_function_privilege(r, p.oid, 'EXECUTE')
               AND has_schema_privilege(r, p.pronamespace, 'USAGE')) AS roles
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE (p.prosecdef OR p.proleakproof) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::regclass
                  AND e.objid = p.oid AND e.deptype = 'e')
ORDER BY 1 LIMIT %(limit)s"""
"""A function of a trigger can't be called."""

UNIQUE = """
SELECT i.indrelid::int8 AS relation, i.indexrelid::regclass::text AS name
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid
  AND a.attname = ANY (%(columns)s::text[]) AND NOT a.attisdropped
WHERE i.indrelid = ANY (%(relations)s::oid[]) AND i.indisunique AND NOT i.indisprimary
GROUP BY i.indrelid, i.indexrelid, i.indkey
HAVING NOT bool_or(a.attnum = ANY (i.indkey::int2[]))
ORDER BY 2 LIMIT %(limit)s"""

LINKS = """
SELECT k.conrelid::int8 AS child, k.confrelid::int8 AS parent, a.attname::text AS column
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND k.conrelid = ANY (%(relations)s::oid[])
ORDER BY 1, 2, 3 LIMIT %(limit)s"""

PRESETS = """
SELECT split_part(s.line, '=', 1) AS setting, coalesce(r.rolname::text, '') AS role,
       coalesce(d.datname::text, '') AS database
FROM pg_catalog.pg_db_role_setting c CROSS JOIN LATERAL unnest(c.setconfig) s(line)
LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.setrole
LEFT JOIN pg_catalog.pg_database d ON d.oid = c.setdatabase
WHERE split_part(s.line, '=', 1) = ANY (%(settings)s::text[])
  AND split_part(s.line, '=', 2) <> ''
  AND (c.setrole = 0 OR c.setrole = ANY (%(roles)s::oid[]))
  AND (c.setdatabase = 0 OR d.datname = current_database())
ORDER BY 1, 2, 3 LIMIT %(limit)s"""
"""Names only: a value may be a tenant's."""

CREATORS = """
SELECT n.nspname::text AS schema, r.oid::int8 AS role
FROM pg_catalog.pg_namespace n CROSS JOIN pg_catalog.pg_roles r
WHERE r.oid = ANY (%(roles)s::oid[]) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid
              AND c.oid = ANY (%(relations)s::oid[]))
  AND has_schema_privilege(r.oid, n.oid, 'CREATE')
ORDER BY 1, 2 LIMIT %(limit)s"""

COLUMNS = """
SELECT a.attrelid::int8 AS relation, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum LIMIT %(limit)s"""

TABLES = """
SELECT c.oid::int8 AS oid, n.nspname || '.' || c.relname AS name,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted,
       format_type(a.atttypid, a.atttypmod) AS type
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = %(column)s
  AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 2 LIMIT %(limit)s"""

LEFT = """
SELECT s AS setting FROM unnest(%(settings)s::text[]) s
WHERE coalesce(current_setting(s, true), '') <> ''"""
"""Settings that are set before we set any. Their values are a tenant's, and stay where they are."""

WRITABLE = """
SELECT has_table_privilege(%(oid)s::oid, 'INSERT') AS inserts,
       has_column_privilege(%(oid)s::oid, %(column)s, 'UPDATE') AS updates,
       has_table_privilege(%(oid)s::oid, 'DELETE') AS deletes,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
               AND a.attgenerated = '' ORDER BY a.attnum) AS columns"""

WHOLE_TABLES = TABLES.replace(
    "WHERE c.relkind IN ('r', 'p')", "WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition"
)
"""Views too: a view of all tenants may be all that sentinel may read."""

VISIBLE = """
SELECT current_user::text AS me,
       CASE WHEN c.relkind IN ('r', 'p') THEN row_security_active(c.oid) ELSE false END AS hidden
FROM pg_catalog.pg_class c WHERE c.oid = %(oid)s::oid"""
