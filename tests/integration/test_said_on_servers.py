"""What texts tell a person to type into redis-cli and psql is typed there: each command in its shape,
with names put in, on real servers. And the SQL of runbooks, with the names that a check takes.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis

from sentinel.app.runbooks.places import Told, known_faults, open_shelf, plan_here
from sentinel.config import Configuration, load
from sentinel.core.fault import Fault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.demo.platform import load_schema
from sentinel.demo.servers import PostgresServer, ValkeyServer
from sentinel.runbook.book import Sql
from tests.conftest import require_tool
from tests.said import REDIS, ROOT, SQL, SQL_WORDS, classify, list_shapes, list_words
from tests.unit.test_limits_said import SAID
from tests.unit.test_said_names import FOREIGN

# -- Redis -----------------------------------------------------------------------------------------

STREAM, GROUP, CONSUMER, ENTRY = "said", "workers", "w-1", "1-0"
MARKS = {
    "place": f"{STREAM} {GROUP}", "_place": f"{STREAM} {GROUP}", "words": ENTRY, "_join": ENTRY,
    "stream": STREAM, "group": GROUP, "STREAM": STREAM, "GROUP": GROUP, "ID": ENTRY,
    "LAST-ID": ENTRY, "MIN-IDLE-MS": "0", "LIVING-CONSUMER": CONSUMER, "DEAD-LETTERS": "dead",
    "alive": CONSUMER, "min_idle": "0", "handler_time": "0", "to_consumer": CONSUMER, "ttl": "1000",
    "floor": ENTRY, "below": "10", "back": ENTRY, "format_id": ENTRY, "entry": ENTRY, "id": ENTRY,
    "start": ENTRY, "end": "2-0", "MAX_SAMPLES": "10", "dead_letter": "dead", "…fields": "f v",
    "<fields and origin>": "f v", "ID …": ENTRY,
}  # fmt: skip
CONTAINERS = {"CLIENT", "CLUSTER", "CONFIG", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO"}
ORDER = {"ZRANGE": ("board",), "LRANGE": ("queue",)}
"""What names that have no name of their own are, by command; else stream, group, consumer."""
SHAPELESS = re.compile(
    r"wrong number of arguments|syntax error|unknown (?:sub)?command|Invalid stream ID|not an integer"
    r"|not a valid|no such (?:option|configuration)|Unknown option|WRONGTYPE|Invalid argument",
    re.IGNORECASE,
)
SETTING_UP = (
    ("DEL", STREAM, "board", "queue", "dead"),
    ("XADD", STREAM, ENTRY, "f", "v"),
    ("XADD", STREAM, "2-0", "f", "v"),
    ("XGROUP", "CREATE", STREAM, GROUP, "0"),
    ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", "1", "STREAMS", STREAM, ">"),
    ("ZADD", "board", "1", "a"),
    ("RPUSH", "queue", "a"),
)


def fill_in(shape: str) -> str:
    """A command with names for its marks."""
    first, second = (*shape.split(), "")[:2]
    head = f"{first} {second}" if first in CONTAINERS else first
    shape = shape.removeprefix(head)
    unnamed = iter(ORDER.get(first, (STREAM, GROUP, CONSUMER)))
    for mark in ("<fields and origin>", "…fields", "ID …"):
        shape = shape.replace(mark, MARKS[mark])

    def name(found: re.Match[str]) -> str:
        word = found[1] or found[0]
        return next(unnamed) if found[1] in {"quote", "key"} else MARKS.get(word, word)

    filled = re.sub(r"\{(\w+)\}|(?<![\w:-])[A-Z]+(?:-[A-Z]+)*(?![\w:-])", name, shape)
    return head + filled.replace("…", "x")


def list_redis() -> set[str]:
    """Every command for Redis that is more than a name, without its trailing `;`."""
    shapes = {said.text for said in list_words() if classify(said.text) == REDIS}
    shapes |= set(list_shapes(REDIS))
    shapes |= {cure for cure in list_cures() if classify(cure) == REDIS}
    return {part.strip() for shape in shapes for part in shape.split(";") if is_typed(part.strip())}


def is_typed(shape: str) -> bool:
    """Whether somebody could type it: `XGROUP DELCONSUMER` and `XTRIM … MINID` only name it."""
    words = shape.split()
    return len(words) > 1 and words[1] != "…" and not (len(words) == 2 and is_name(shape))


def is_name(shape: str) -> bool:
    """A command of two words, without arguments."""
    return shape in NAMES


NAMES = {
    "CLUSTER SLOTS", "CONFIG GET", "OBJECT IDLETIME", "XGROUP CREATE", "XGROUP DELCONSUMER",
    "XGROUP DESTROY", "XINFO CONSUMERS", "XINFO GROUPS", "XINFO STREAM", "XTRIM MINID",
}  # fmt: skip


def list_cures() -> Iterator[str]:
    """The cures of faults, as they are really made."""
    for make in SAID:
        faults: Sequence[Fault] = make()
        for fault in faults:
            yield from fault.cure


@pytest.mark.parametrize("server", ["valkey", "redis62"])
def test_every_redis_command_is_taken(server: str, request: pytest.FixtureRequest) -> None:
    """By redis-cli, as it is printed: no server finds fault with its shape."""
    port = request.getfixturevalue(server).port
    shapes = list_redis()
    assert len(shapes) > 40
    client, listed = redis.Redis(port=port), sorted(shapes)
    setting_up = [" ".join(words) for words in SETTING_UP]
    script = [
        line
        for n, shape in enumerate(listed)
        for line in (*setting_up, f"ECHO try-{n}:", fill_in(shape), "ECHO end")
    ]
    said = re.findall(r"^try-\d+:\n(.*?)\nend$", type_in(port, "\n".join(script)), re.M | re.S)
    client.config_set("maxmemory", 0)
    client.config_set("maxclients", 10_000)
    client.config_set("stop-writes-on-bgsave-error", "yes")
    assert len(said) == len(listed)
    answers = zip(listed, said, strict=True)
    assert [(shape, answer) for shape, answer in answers if SHAPELESS.search(answer)] == []


def type_in(port: int, commands: str) -> str:
    """What redis-cli prints."""
    done = subprocess.run(
        [require_tool("redis-cli"), "-p", str(port)],
        input=commands, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return done.stdout


def test_a_command_that_is_wrong_is_seen(valkey: ValkeyServer) -> None:
    """The look at what the server says works."""
    for wrong in ("XGROUP CREATE said workers", "XCLAIM said workers w-1", "XGROUP MAKE a b 0"):
        assert SHAPELESS.search(type_in(valkey.port, wrong)), wrong


def test_names_of_redis_are_there(valkey: ValkeyServer) -> None:
    """Fields of INFO, commands of two words, settings that a text names."""
    client = redis.Redis(port=valkey.port, decode_responses=True)
    info = {*client.info("everything"), "master_link_status"}  # that one only a replica has
    assert FOREIGN["redis INFO"] - info == set()
    for name in ("XGROUP|DELCONSUMER", "XGROUP|CREATE", "XINFO|CONSUMERS", "XTRIM", "FLUSHALL"):
        assert name.lower() in type_in(valkey.port, f"COMMAND INFO {name}"), name


# -- PostgreSQL ------------------------------------------------------------------------------------

SCHEMA = """
CREATE SCHEMA said;
CREATE TABLE said.things (id text PRIMARY KEY, status text, created_at timestamptz, assigned_at timestamptz);
CREATE POLICY own ON said.things USING (true);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'said_role') THEN CREATE ROLE said_role; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'said_app') THEN CREATE ROLE said_app; END IF;
END $$;
"""
FILLED = (
    (r"ALTER DATABASE (?:name|\{quote\}|\"app\")", "ALTER DATABASE said"),
    (r"DATABASE CONCURRENTLY (?:\{quote\}|\"app\")", "DATABASE CONCURRENTLY said"),
    (r"GRANT \{quote\} TO \{quote\}\{how\}", "GRANT said_app TO said_role WITH INHERIT FALSE, SET TRUE"),
    (r"ALTER ROLE \{name\} NO\{what\}", "ALTER ROLE said_role NOBYPASSRLS"),
    (r"(TABLE|ON) \{quoted\}", r"\1 said.things"),
    (r"COLUMN \{column\}", "COLUMN created_at"),
    (r"\(\{own\}\)", "(created_at)"),
    (r"ALTER ROLE \w+|ALTER ROLE \{quote_name\}", "ALTER ROLE said_role"),
    (r"GRANT (?:app_user|\{role\}) TO \w+", "GRANT said_app TO said_role"),
    (r"TO (?:sentinel|NAME|\{quote\}|\{replace\}|\{quote_name\})(?=[; ]|$)", "TO said_role"),
    (r"POLICY name", "POLICY own"),
    (r"INDEX CONCURRENTLY (?:name|\{name\}|s\.i);", "INDEX CONCURRENTLY said.things_pkey;"),
    (r"(ON|FROM|ANALYZE|TABLE|VERBOSE\)) (?:table|\{table\}|\{relation\}|\{Relation\}|\{of\})", r"\1 said.things"),
    (r"STATISTICS \{name\} ON \{on\}", "STATISTICS said.st ON (lower(status))"),
    (r"\(\{(?:quote_name|column|created)\}\)", "(created_at)"),
    (r"\{assigned\}", "assigned_at"),
    (r"GRANT \{rights\}", "GRANT SELECT, INSERT"),
    (r"\(PID\)|\(\{pid\}\)", "(0)"),
)  # fmt: skip
ABSENT = {"42704", "55000", "01000"}
"""States of a statement that is right and finds nothing: no such slot, no such prepared transaction."""


def fill_statement(shape: str) -> str:
    """A statement with names for its marks."""
    for pattern, name in FILLED:
        shape = re.sub(pattern, name, shape)
    return shape


def list_statements() -> Iterator[str]:
    """Every statement that a text shows, one by one."""
    shapes = {said.text for said in list_words() if classify(said.text) == SQL}
    shapes |= set(list_shapes(SQL)) | {cure for cure in list_cures() if classify(cure) == SQL}
    for shape in sorted(shapes):
        for part in shape.split(";"):
            if part.split() and part.split()[0] in SQL_WORDS and "…" not in part:
                yield part.strip() + ";"


def test_every_statement_is_taken(postgres: PostgresServer) -> None:
    """By a PostgreSQL that has such a table, policy, index and role."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS said")
        admin.execute("CREATE DATABASE said")
    bad, tried = {}, 0
    with psycopg.connect(postgres.dsn("said"), autocommit=True) as server:
        server.execute(SCHEMA)
        for shape in list_statements():
            statement, tried = fill_statement(shape), tried + 1
            try:
                server.execute(statement.encode())
            except psycopg.Error as error:
                if error.sqlstate not in ABSENT:
                    bad[shape] = (statement, str(error))
            server.execute("DROP STATISTICS IF EXISTS said.st")
            server.execute("DROP POLICY IF EXISTS own ON said.things")
            server.execute("CREATE POLICY own ON said.things USING (true)")
    assert tried > 20
    assert bad == {}


def test_names_of_postgres_are_there(postgres: PostgresServer) -> None:
    """Settings, views and functions of the catalog that a text names."""
    with psycopg.connect(postgres.dsn()) as server:
        settings = {row[0] for row in server.execute("SELECT name FROM pg_settings")}
        catalog = {row[0] for row in server.execute("SELECT relname FROM pg_class")}
        catalog |= {row[0] for row in server.execute("SELECT proname FROM pg_proc")}
    assert FOREIGN["postgres setting"] - settings == set()
    assert FOREIGN["postgres catalog"] - catalog == set()
    known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
    assert FOREIGN["libpq"] - known - {"max_protocol_version"} == set()  # since libpq 18


# -- the SQL of runbooks ---------------------------------------------------------------------------

ODD = """
CREATE SCHEMA "Ops-1";
CREATE TABLE "Ops-1"."Wörk ""9"" x" (
  "task id" uuid, state text, data jsonb, "Who?" text, "made at" timestamptz, "given.at" timestamptz,
  "queue %" text, tenant uuid);
CREATE TABLE public.workers (worker text, state text, beat timestamptz);
CREATE TABLE public."Flows" ("flow#" bigint, data jsonb, "made at" timestamptz, worker text, tenant text,
  changed timestamptz);
"""
PLATFORM = """
state: {folder}/var
resources:
  pg: {{postgres: "postgresql://h/d"}}
  valkey: {{redis: "redis://h:1"}}
components:
  work: {{resource: pg}}
checks:
  - name: assigned
    kind: task_assignment
    component: work
    table: 'Ops-1.Wörk "9" x'
    columns:
      {{id: task id, status: state, created_at: made at, assigned_at: given.at,
        queue: queue %, tenant: tenant}}
  - name: who
    kind: registry
    component: work
    agents: {{table: workers, id: worker, status: state, last_heartbeat: beat}}
    tasks: {{table: 'Ops-1.Wörk "9" x', id: task id, status: state, agent: "Who?", created_at: made at}}
  - name: cross
    kind: bus_crosscheck
    component: work
    tasks: {{table: 'Ops-1.Wörk "9" x', id: task id, status: state, agent: "Who?", created_at: made at,
             assigned_at: given.at}}
  - name: flows
    kind: flows
    component: work
    table: Flows
    id: "flow#"
    status: data->status
    created_at: made at
    worker: worker
    tenant: tenant
  - {{name: owners, kind: tenant_rows, component: work, column: tenant, tables: [Flows]}}
"""
"""Names that a check takes: another schema, capitals, quotes, dots, what is inside of JSON."""
TOLD = {"process": "17", "pid": "17"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """A platform with names that need their quotes."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "sentinel.yaml").write_text(PLATFORM.format(folder=folder))
    return load(folder, {})


def plan_statements(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """(runbook and step, why it is skipped, statement) of every runbook for every fault that leads
    to it.
    """
    shelf = open_shelf(Path("nowhere"))
    opened = datetime(2026, 3, 1, tzinfo=UTC)
    for kind, faults in known_faults().items():
        check = next((each for each in configuration.checks if each.kind == kind), None)
        for fault in faults.values():
            told = {name: TOLD.get(name, name) for name in fault.parameters}
            table = getattr(check.options, "table", None) if check is not None else None
            if kind == "tenant_rows" and check is not None:
                table = check.options.tables[0]  # which its faults name
            if "table" in told and kind not in {"tenant_probe", "tenant_audit"}:
                told["table"] = table or ""
            found = Incident(
                "I",
                "work",
                opened,
                IncidentState.OPEN,
                Status.DOWN,
                "x",
                check.name if check else "",
            )
            book = shelf.books[fault.runbook]
            plan = plan_here(book, configuration, found, {}, Told(told), partial=True)
            for step in plan.steps:
                if isinstance(step.run, Sql):
                    yield f"{book.name}: {step.name}", step.skip, step.run.text


def explain_all(
    dsn: str, statements: Iterator[tuple[str, str, str]]
) -> tuple[set[str], dict[str, str]]:
    """(steps that a server plans, those that it refuses)."""
    taken, bad = set(), {}
    with psycopg.connect(dsn, autocommit=True) as server:
        for name, skip, statement in sorted(set(statements)):
            if skip:
                continue
            try:
                server.execute(f"EXPLAIN {statement}".encode())
            except psycopg.Error as error:
                bad[name] = f"{statement}: {error}"
            else:
                taken.add(name)
    return taken, bad


def test_runbooks_take_the_names_of_a_check(postgres: PostgresServer, odd: Configuration) -> None:
    """Whatever a check takes for a table or a column, its runbook's statements ask the same: none
    fails, and none is skipped because of a name.
    """
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS odd")
        admin.execute("CREATE DATABASE odd")
    with psycopg.connect(postgres.dsn("odd"), autocommit=True) as server:
        server.execute(ODD)
    statements = list(plan_statements(odd))
    taken, bad = explain_all(postgres.dsn("odd"), iter(statements))
    assert bad == {}
    untold = {name for name, _, _ in statements if name not in taken}
    assert {each for each in untold if not each.startswith("workflow-canary")} == set()
    reading = {each.split(":")[0] for each in taken}
    assert reading >= {
        "agent-no-progress", "assigner-hung", "bus-crosscheck",
        "database-degraded", "flows-stuck", "flows-tenant", "registry-mismatch", "tenant-leak",
    }  # fmt: skip


def test_runbooks_fit_the_demo(own_postgres: PostgresServer, tmp_path: Path) -> None:
    """With the demo's own checks, as the role that the demo gives to sentinel."""
    load_schema(own_postgres, "platform", {})
    folder = ROOT / "checks/packs/demo"
    wanted = re.findall(r"\$\{([A-Z_]+)\}", "".join(p.read_text() for p in folder.glob("*.yaml")))
    values = {name: f"{name}-12345678" for name in wanted}
    values |= {"DEMO_REDIS_URL": "redis://h:1", "DEMO_API_URL": "http://h:1"}
    values |= {"DEMO_LISTEN": "127.0.0.1:1", "DEMO_REDIS_ADDRESS": "h:1"}
    values |= {"DEMO_SENTINEL_DATABASE_URL": "postgresql://h/d", "DEMO_STATE": str(tmp_path)}
    dsn = own_postgres.dsn("platform", "sentinel")
    taken, bad = explain_all(dsn, plan_statements(load(folder, values)))
    assert bad == {}
    assert len(taken) > 25
