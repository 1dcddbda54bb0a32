"""Schemas with holes, and an oracle that knows of policies nothing: it tries what each role gets."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sentinel.demo.servers import PostgresServer

HOLES = Path(__file__).with_name("tenant_holes.sql").read_text()
TENANTS = {
    "uuid": ("aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"),
    "bigint": ("7001", "7002"),
    "text": ("acme", "umbrella"),
}
ROLES = {
    "th_app": "login", "th_member": "login", "th_owner": "login", "th_boss": "bypassrls login",
    "th_super": "superuser login", "th_plain": "login", "th_watch": "login noinherit",
}  # fmt: skip
TENANT = "{column} = nullif(current_setting('app.tenant_id', true), '')::{type}"
SET = "current_setting('app.tenant_id', true)"


def make_database(server: PostgresServer, name: str) -> str:
    """An empty database with the roles; its address as superuser."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for role, words in ROLES.items():
            known = admin.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
            if known:
                admin.execute(f"drop owned by {role}")
            else:
                admin.execute(f"create role {role} {words}")
        for role, other in itertools.permutations(ROLES, 2):
            admin.execute(f"revoke {role} from {other}")
        admin.execute(f"drop database if exists {name} with (force)")
        admin.execute(f"create database {name}")
    return server.dsn(name)


@dataclass(frozen=True)
class Pattern:
    """How a table is protected. `policies` are (words, expression); {t} is the tenant's equation."""

    name: str
    policies: tuple[tuple[str, str], ...] = (("", "using ({t})"),)
    enable: bool = True
    force: bool = True
    owner: str = ""
    types: tuple[str, ...] = ("uuid", "bigint", "text")


SOUND = (
    Pattern("plain"),
    Pattern("for_app", (("to th_app", "using ({t})"),)),
    Pattern("narrowed", (("", "using (true)"), ("as restrictive", "using ({t})"))),
    Pattern("helped", (("", "using ({c} = two.tenant()::{type})"),)),
    Pattern("both", (("", "using ({t}) with check ({t})"),)),
    Pattern("reads", (("for select", "using ({t})"),)),
    Pattern("closed", (("", "using (false)"),)),
    Pattern("forced_owner", owner="th_owner"),
    Pattern("narrow_and", (("", "using ({t} and pub)"),)),
)
OPEN = (
    Pattern("off", (), enable=False),
    Pattern("off_policy", enable=False),
    Pattern("always", (("", "using (true)"),)),
    Pattern("reads_all", (("for select", "using (true)"), ("for update", "using ({t})"))),
    Pattern("check_true", (("", "using ({t}) with check (true)"),)),
    Pattern("or_pub", (("", "using ({t})"), ("for select", "using (pub)"))),
    Pattern("or_inside", (("", "using ({t} or pub)"),)),
    Pattern("unforced", force=False, owner="th_owner"),
    Pattern("open_null", (("", "using ({s} is null or {t})"),)),
    Pattern("open_empty", (("", "using (coalesce({s}, '') = '' or {t})"),)),
    Pattern("wrong_column", (("", "using (pub is not null)"),)),
    Pattern("itself", (("", "using ({c} = {c})"),)),
    Pattern("not_null", (("", "using ({c} is not null)"),)),
    Pattern("helper_true", (("", "using (two.yes({c}::text))"),)),
    Pattern("inverted", (("", "using ({c} <> nullif({s}, '')::{type})"),)),
    Pattern("coalesced", (("", "using ({c} = coalesce(nullif({s}, '')::{type}, {c}))"),)),
    Pattern("prefix", (("", "using ({c} like {s} || '%%')"),), types=("text",)),
    Pattern("inserts", (("for select", "using ({t})"), ("for insert", "with check (true)"))),
    Pattern("narrows_not", (("", "using (true)"), ("as restrictive", "using (true)"))),
    Pattern("narrows_read", (("", "using (true)"), ("as restrictive for select", "using ({t})"))),
    Pattern("any_setting", (("", "using ({s} is not null)"),)),
)


@dataclass(frozen=True)
class Made:
    """A table that was made, and of which type its tenant is."""

    name: str
    type: str
    pattern: Pattern


def build(
    address: str, patterns: Sequence[Pattern], dice: random.Random | None = None
) -> list[Made]:
    """Make each pattern for each of its types, with rows of A and B; `dice` chooses among types."""
    made = []
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("create schema two; grant usage on schema two to th_app, th_owner")
        db.execute(
            "create function two.tenant() returns text language sql stable as"
            " $$select nullif(current_setting('app.tenant_id', true), '')$$"
        )
        db.execute(
            "create function two.yes(text) returns bool language sql stable as"
            " $$select length($1) > 0$$"
        )
        for number, pattern in enumerate(patterns):
            types = [dice.choice(pattern.types)] if dice else pattern.types
            for kind in types:
                made.append(_make(db, pattern, kind, f"{pattern.name}_{kind}_{number}"))
        db.execute("grant th_app to th_member; grant th_app, th_member, th_owner to th_watch")
    return made


def _make(db: psycopg.Connection, pattern: Pattern, kind: str, name: str) -> Made:
    table = f"two.{name}"
    db.execute(
        f"create table {table} (id bigserial primary key, tenant_id {kind} not null, pub bool)"
    )
    db.execute(f"create index on {table} (tenant_id)")
    for tenant in TENANTS[kind]:
        for pub in (True, False, None):
            db.execute(f"insert into {table} (tenant_id, pub) values (%s, %s)", (tenant, pub))
    if pattern.enable:
        db.execute(f"alter table {table} enable row level security")
    if pattern.force:
        db.execute(f"alter table {table} force row level security")
    parts = {
        "c": "tenant_id",
        "s": SET,
        "type": kind,
        "t": TENANT.format(column="tenant_id", type=kind),
    }
    for number, (words, expression) in enumerate(pattern.policies):
        text = expression.format(**parts).replace("%%", "%")
        kind_of, _, rest = words.partition(" to ") if " to " in words else (words, "", "")
        if words.startswith("to "):
            kind_of, rest = "", words[3:]
        as_, for_ = _split(kind_of)
        to = f"to {rest}" if rest else ""
        db.execute(f"create policy p{number} on {table} {as_} {for_} {to} {text}")
    db.execute(f"grant select, insert, update, delete on {table} to th_app, th_owner")
    db.execute(f"grant usage on sequence two.{name}_id_seq to th_app, th_owner")
    if pattern.owner:
        db.execute(f"grant create on schema two to {pattern.owner}")
        db.execute(f"alter table {table} owner to {pattern.owner}")
        db.execute(f"revoke create on schema two from {pattern.owner}")
    return Made(table, kind, pattern)


def _split(words: str) -> tuple[str, str]:
    as_ = "as restrictive" if "restrictive" in words else ""
    return as_, words.replace("as restrictive", "").strip()


def find_leaks(server: PostgresServer, database: str, role: str, made: Sequence[Made]) -> set[str]:
    """The oracle: the tables at which a role gets at rows of B as A, or at any row as nobody, read or
    written. What it did is looked at as superuser, and undone.
    """
    with psycopg.connect(server.dsn(database)) as db:  # the setting was never set in it
        found = {m.name for m in made if any(_tried(db, role, m, try_) for try_ in _tries(m, True))}
    with psycopg.connect(server.dsn(database)) as db:
        for each in made:
            for tenant in ("", TENANTS[each.type][0]):
                db.execute("select set_config('app.tenant_id', %s, false)", (tenant,))
                tries = _tries(each, not tenant)
                if each.name not in found and any(_tried(db, role, each, t) for t in tries):
                    found.add(each.name)
    return found


def _tries(made: Made, nobody: bool) -> Iterator[str]:
    """Statements as the role; what is read is counted, for what is written B's rows are compared."""
    a, b = TENANTS[made.type]
    yield f"select 1 from {made.name}" + ("" if nobody else f" where tenant_id::text = '{b}'")
    for pub in ("true", "false", "null"):
        yield f"insert into {made.name} (tenant_id, pub) values ('{b}', {pub})"
        yield f"update {made.name} set pub = {pub}"
        yield f"update {made.name} set tenant_id = '{b}', pub = {pub}"
        yield f"update {made.name} set tenant_id = '{a}', pub = {pub}"
    yield f"delete from {made.name}"


def _tried(db: psycopg.Connection, role: str, made: Made, sql: str) -> bool:
    """Whether the role got at what is not its own."""
    b = TENANTS[made.type][1]
    state = f"select count(*), array_agg(pub order by id) from {made.name} where tenant_id = '{b}'"
    with db.transaction(force_rollback=True):
        before = db.execute(state).fetchone()
        db.execute(f"set local role {role}")
        try:
            with db.transaction():
                touched = db.execute(sql).rowcount
        except psycopg.errors.InsufficientPrivilege:
            return False
        except (psycopg.errors.InvalidTextRepresentation, psycopg.errors.UndefinedObject):
            return False
        db.execute("reset role")
        return touched > 0 if sql.startswith("select") else db.execute(state).fetchone() != before


_EXPRESSIONS = (
    "{t}", "{t}", "{t}", "true", "{t} and pub", "{t} or pub", "pub", "{c} = {c}", "false",
    "{c} is not null", "{s} is null or {t}", "{c} = two.tenant()::{type}", "two.yes({c}::text)",
)  # fmt: skip
_COMMANDS = ("", "", "for select", "for insert", "for update", "for delete")


def draw(dice: random.Random, count: int) -> list[Pattern]:
    """Patterns at random: some sound, most not."""
    return [_draw(dice, number) for number in range(count)]


def _draw(dice: random.Random, number: int) -> Pattern:
    policies = []
    for _ in range(dice.randint(1, 3)):
        as_ = dice.choice(("", "", "as restrictive"))
        command = dice.choice(_COMMANDS)
        to = dice.choice(("", "", " to th_app", " to th_owner"))
        clause = "with check" if command == "for insert" else "using"
        text = f"{clause} ({dice.choice(_EXPRESSIONS)})"
        if command in {"", "for update"} and dice.random() < 0.3:
            text += f" with check ({dice.choice(_EXPRESSIONS)})"
        policies.append((f"{as_} {command}{to}".strip(), text))
    owner = dice.choice(("", "", "th_owner"))
    return Pattern(f"r{number}", tuple(policies), dice.random() > 0.1, dice.random() > 0.2, owner)
