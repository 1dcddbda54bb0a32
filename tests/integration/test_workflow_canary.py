"""Synthetic tasks through a small platform whose hops are broken by a known number: exactly that is found, per hop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections import Counter

import psycopg
import pytest
import redis
from aiohttp import web

from sentinel.adapters.http import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.model import Status
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.workflow_canary import KIND, WorkflowOptions

TASKS = """
CREATE TABLE {schema}.tasks (id uuid PRIMARY KEY, kind text NOT NULL CHECK (kind <> 'forbidden'),
  needs varchar[] NOT NULL DEFAULT '{}', payload jsonb NOT NULL, agent text, status text NOT NULL DEFAULT 'PENDING',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(), assigned_at timestamptz, started_at timestamptz,
  completed_at timestamptz, result jsonb);
CREATE INDEX ON {schema}.tasks (created_at);
"""
HOPS = ("created", "assigned", "started", "completed")
STATUS = dict(zip(HOPS, ("Pending", "Assigned", "In_Progress", "Completed"), strict=True))
OUTCOMES = ("ok", "late", "stuck", "lost", "failed", "enqueue_error", "orphan")
COLUMNS = {"id": "{uuid}", "kind": "report", "needs": ["python", "a b"], "payload": {"canary": "{token}", "n": 1}}
NEVER = "1h"


class Rig:
    """A schema of its own, a platform in it that does as it is told, a client, a state and runs."""

    def __init__(self, dsn, make_context):
        self.dsn, self.make = dsn, make_context
        self.schema = f"s{uuid.uuid4().hex[:8]}"
        self.db = psycopg.connect(dsn, autocommit=True)
        self.execute("CREATE SCHEMA {schema}")
        self.clients = {"database": PostgresClient("database", dsn)}
        self.state = KIND.load_state(None)
        self.options = self.configure()
        self.stored = None
        self.clock = 0.0  # our own: it stands still unless told, so that no task is given up because we are slow

    def execute(self, sql, *params):
        return self.db.execute(sql.replace("{schema}", self.schema), params or None)

    def value(self, sql, *params):
        return self.execute(sql, *params).fetchone()[0]

    def configure(self, **options):
        table = f"{self.schema}.tasks"
        known = {
            "enqueue": {"sql": {"table": table, "columns": COLUMNS}},
            "rows": {"table": table, "marker": "payload", "agent": "agent"},
            "deadlines": dict.fromkeys((*HOPS, "published"), "200ms"),
            "patience": 1.5,
            "result": {"column": "result", "path": "$.echo", "equals": "{token}"},
            "cleanup": {"keep": "0s"},
            "max_open": 100,
        }
        return WorkflowOptions.model_validate({**known, **options})

    async def run(self, store=True, **context):
        """One run; `store=False` is a kill before its state was stored."""
        context = self.make(self.clients, self.state, monotonic=lambda: self.clock, **context)
        finding = await KIND.run(self.options, context)
        if store:
            self.stored = json.dumps(self.state.dump())
        return finding

    def reload(self):
        """A kill and a new start, with the state that was stored last."""
        self.state = KIND.load_state(json.loads(self.stored) if self.stored else None)

    async def send(self, store=True):
        """One run that sends; the token that is on its way since then."""
        before = set(self.state.fleet.open)
        finding = await self.run(store)
        (token,) = set(self.state.fleet.open) - before
        return token, finding

    async def look(self, **context):
        """One run that sends nothing."""
        kept, self.options = self.options, self.options.model_copy(update={"send_every": 3600.0})
        finding = await self.run(**context)
        self.options = kept
        return finding

    async def drain(self):
        """Send nothing more, let time pass, and look until nothing is on its way and nothing is left to clean."""
        fleet = self.state.fleet
        async with asyncio.timeout(30):
            while True:
                finding = await self.look()
                if not fleet.open and not fleet.litter and not fleet.suspects:
                    return finding
                self.clock += 1.0
                await asyncio.sleep(0.05)

    def move(self, token, upto="completed", late="", result=None, status=None):
        """The platform takes a task up to a hop: 10 ms each, 450 ms for a late one."""
        at = self.state.fleet.open[token].sent
        times = {}
        for hop in HOPS[: HOPS.index(upto) + 1]:
            at += 0.45 if hop == late else 0.01
            times[hop] = at
        self.execute(
            "UPDATE {schema}.tasks SET status = %s, agent = 'a', result = %s, created_at = to_timestamp(%s),"
            " assigned_at = to_timestamp(%s), started_at = to_timestamp(%s), completed_at = to_timestamp(%s)"
            " WHERE payload ->> 'canary' = %s",
            status or STATUS[upto],
            json.dumps({"echo": token if result is None else result}) if upto == "completed" else None,
            *(times.get(hop) for hop in HOPS),
            token,
        )

    def vanish(self, token):
        self.execute("DELETE FROM {schema}.tasks WHERE payload ->> 'canary' = %s", token)

    async def close(self):
        for client in self.clients.values():
            await client.close()
        self.execute("DROP SCHEMA {schema} CASCADE")
        self.db.close()


@pytest.fixture
async def rig(postgres, make_context):
    rig = Rig(postgres.dsn(), make_context)
    rig.execute(TASKS)
    yield rig
    await rig.close()


def facts(finding):
    return finding.evidence["workflow"]


def conserved(finding):
    counts = facts(finding)
    return counts["sent"] == sum(counts[name] for name in OUTCOMES) + counts["open"]


async def test_a_healthy_platform(rig):
    """The first run only promises; then ten tasks come through, every hop is measured, every row is cleaned up."""
    assert (await rig.run()).status is Status.UNKNOWN
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0
    for _ in range(10):
        token, finding = await rig.send()
        assert conserved(finding)
        rig.move(token)
    finding = await rig.drain()
    assert (finding.status, finding.key) == (Status.UP, ("workflow", "10 of 10"))
    assert (facts(finding)["sent"], facts(finding)["ok"], facts(finding)["cleaned"]) == (10, 10, 10)
    hops = {row.labels["hop"]: row.values["hop_seconds"] for row in finding.rows if "hop_seconds" in row.values}
    assert {hop: histogram.total for hop, histogram in hops.items()} == dict.fromkeys((*HOPS, "total"), 10)
    assert hops["started"].sum == pytest.approx(0.1, abs=1e-3)
    assert hops["total"].sum == pytest.approx(0.4, abs=1e-3)
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0


async def test_every_row_fits_its_declaration(rig):
    """Labels of each row are those that its measurements declare; the series exist from the first run on."""
    finding = await rig.run()
    declared = {m.name: set(m.labels) for m in KIND.measurements}
    assert {name for row in finding.rows for name in row.values} == set(declared)
    assert all(declared[name] == set(row.labels) for row in finding.rows for name in row.values)
    ends = {(row.labels["outcome"], row.labels["hop"]) for row in finding.rows if "outcomes" in row.values}
    assert {outcome for outcome, _ in ends} == set(OUTCOMES)
    assert {("stuck", hop) for hop in HOPS} <= ends


PLAN = {
    "ok": 6,
    "late created": 2,
    "late assigned": 3,
    "late started": 1,
    "late completed": 2,
    "stuck assigned": 3,
    "stuck started": 2,
    "stuck completed": 4,
    "lost assigned": 1,
    "lost started": 2,
    "lost completed": 1,
    "failed assigned": 1,
    "failed started": 2,
    "failed completed": 3,
    "failed result": 4,
}


def play(rig, token, end):
    """Make a task end as told."""
    outcome, _, hop = end.partition(" ")
    if outcome == "ok":
        rig.move(token)
    elif outcome == "late":
        rig.move(token, late=hop)
    elif hop == "result":
        rig.move(token, result="garbage")
    else:
        before = HOPS[HOPS.index(hop) - 1]
        rig.move(token, before, status={"failed": "FAILED"}.get(outcome))
        return outcome == "lost"
    return False


@pytest.mark.parametrize("restarts", [False, True])
async def test_every_fault_is_found_at_its_hop(rig, restarts):
    """A known number of each fault in any order, with kills in between: exactly these, nothing invented, none left."""
    rig.execute(
        "INSERT INTO {schema}.tasks (id, kind, payload) SELECT gen_random_uuid(), 'real', '{}' FROM generate_series(1, 5)"
    )
    script = [end for end, count in PLAN.items() for _ in range(count) if not restarts or "late" not in end]
    random.shuffle(script)
    doomed, findings = [], [await rig.run()]
    for number, end in enumerate(script):
        token, finding = await rig.send()
        findings.append(finding)
        for gone in doomed:
            rig.vanish(gone)
        doomed = [token] if play(rig, token, end) else []
        if restarts and number % 3 == 2:
            rig.reload()
    await rig.look()  # the last doomed one is seen before it vanishes
    for gone in doomed:
        rig.vanish(gone)
    finding = await rig.drain()
    assert all(conserved(each) for each in [*findings, finding])
    expected = Counter(script)
    found = Counter(finding.evidence["ends"])
    came_through = found.pop("orphan", 0) + found.pop("ok", 0)
    assert came_through == expected.pop("ok")
    assert found == expected
    assert facts(finding)["orphan"] == 0 or restarts
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE kind = 'real'") == 5
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 5
    assert facts(finding)["cleanup_failures"] == 0


async def test_the_failing_hop_is_named_before_a_task_is_given_up(rig):
    """Two tasks over their deadline are degraded at that hop, while they are still on their way; three lost ones down."""
    rig.options = rig.configure(patience=1000, down_after=3)
    await rig.run()
    for _ in range(3):
        token, _ = await rig.send()
        rig.move(token, "assigned")
    await asyncio.sleep(0.3)
    rig.clock += 0.3
    finding = await rig.look()
    assert finding.status is Status.DEGRADED
    assert "3 overdue at started" in finding.detail
    assert "streams" in finding.guidance
    assert facts(finding)["open"] == 3
    rig.options = rig.configure()
    finding = await rig.drain()
    assert finding.status is Status.DOWN
    assert "stuck at started" in finding.detail
    assert conserved(finding)


# --- kills --------------------------------------------------------------------------------------


async def test_kills_leave_no_unknown_task(rig):
    """Killed after each kind of step, before it was stored: every row that was made is counted once and cleaned up."""
    await rig.run()
    made = 0
    for number in range(12):
        _token, _ = await rig.send(store=number % 2 == 0)
        made += 1
        for open_ in list(rig.state.fleet.open):
            if number % 3:
                rig.move(open_)
        rig.reload()
        await rig.run()
    assert rig.value("SELECT count(*) FROM {schema}.tasks") > 0
    finding = await rig.drain()
    counts = facts(finding)
    assert conserved(finding)
    assert counts["sent"] == counts["cleaned"]
    assert counts["sent"] >= made
    assert counts["late"] == counts["lost"] == counts["enqueue_error"] == counts["failed"] == 0
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0


async def test_a_promise_that_was_not_kept_is_forgotten(rig):
    """Killed after the promise and before the send: no task, no outcome, and the path goes on."""
    await rig.run()
    rig.reload()
    finding = await rig.drain()
    assert (facts(finding)["sent"], facts(finding)["open"]) == (0, 0)
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    assert facts(await rig.drain())["ok"] == 1


async def test_a_lost_memory_finds_its_own_rows_only(rig):
    """Without any state, rows that bear our marker are orphans: finished ones came through, the rest is stuck."""
    await rig.run()
    for number in range(4):
        token, _ = await rig.send()
        if number < 3:
            rig.move(token)
    rig.execute(
        "INSERT INTO {schema}.tasks (id, kind, payload) VALUES (gen_random_uuid(), 'real', '{\"canary\": \"sentinel-canary:1:0123456789ab:1\"}')"
    )
    rig.execute(
        "UPDATE {schema}.tasks SET created_at = clock_timestamp() - interval '2 hours' WHERE payload ->> 'canary' LIKE %s",
        "%:1",
    )
    rig.stored = None
    rig.reload()
    finding = await rig.drain()
    assert facts(finding)["orphan"] == facts(finding)["sent"] - 1
    assert finding.evidence["ends"]["stuck assigned"] == 1
    assert conserved(finding)
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 2  # older than the lookback, and of another path


async def test_our_own_stall_voids_lateness_only(rig):
    """A late task while sentinel stood still is an orphan; a wrong result is wrong all the same."""
    await rig.run()
    for token, ending in [(await rig.send())[0], {"late": "assigned"}], [(await rig.send())[0], {"result": "garbage"}]:
        rig.move(token, **ending)
    finding = await rig.look(stalled=lambda _since: 0.2)
    counts = facts(finding)
    assert (counts["late"], counts["orphan"], counts["blind"], counts["failed"]) == (0, 1, 1, 1)
    assert conserved(finding)


async def test_clocks_that_disagree_are_counted_and_not_judged(rig):
    """An assignment time of another time zone is no latency: the hop counts as passed when it was seen."""
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    rig.execute("UPDATE {schema}.tasks SET assigned_at = assigned_at + interval '8 hours'")
    finding = await rig.drain()
    assert (facts(finding)["ok"], facts(finding)["clock_disagreements"]) == (1, 1)


# --- ways to enqueue ----------------------------------------------------------------------------


class Api:
    """POST /tasks: inserts, and answers as told."""

    def __init__(self, rig):
        self.rig, self.manner, self.seen = rig, "ok", []

    async def __call__(self, request):
        body = await request.json()
        self.seen.append(request.headers)
        if self.manner == "refuse":
            return web.json_response({"error": "no such type"}, status=422)
        name = str(uuid.uuid4())
        if self.manner != "swallow":
            self.rig.execute(
                "INSERT INTO {schema}.tasks (id, kind, payload) VALUES (%s, %s, %s)",
                name, body["type"], json.dumps(body["payload"]),
            )  # fmt: skip
        if self.manner == "hang":
            await asyncio.sleep(30)
        status = {"crash": 500, "denied": 401}.get(self.manner, 201)
        return web.json_response({} if self.manner == "nameless" else {"task": {"id": name}}, status=status)


@pytest.fixture
async def api(rig):
    api = Api(rig)
    application = web.Application()
    application.router.add_post("/tasks", api)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    rig.clients["api"] = HttpClient("api", f"http://127.0.0.1:{port}")
    body = {"type": "report", "payload": {"canary": "{token}"}}
    rig.options = rig.configure(
        enqueue={"http": {"path": "/tasks", "body": body, "id": "$.task.id", "headers": {"X-Tenant": "t"}}}
    )
    await rig.run()
    yield api
    await runner.cleanup()


async def test_through_an_api(rig, api):
    """The task goes by HTTP with a trace id, its id comes from the answer, and it comes through."""
    token, finding = await rig.send()
    assert (api.seen[0]["X-Tenant"], api.seen[0]["traceparent"][:3]) == ("t", "00-")
    assert rig.state.fleet.open[token].id == str(rig.value("SELECT id FROM {schema}.tasks"))
    rig.move(token)
    finding = await rig.drain()
    assert (facts(finding)["ok"], facts(finding)["cleaned"]) == (1, 1)


@pytest.mark.parametrize("manner", ["hang", "nameless"])
async def test_an_answer_that_does_not_come_leaves_the_row_to_tell(rig, api, manner):
    """No answer, or one without an id: the row is found by its token, the task counts once and is cleaned up."""
    api.manner = manner
    before = set(rig.state.fleet.open)
    finding = await rig.run(timeout=1.0 if manner == "hang" else 10.0)
    (token,) = set(rig.state.fleet.open) - before
    assert ("in doubt" in finding.detail) is (manner == "hang")
    rig.move(token)
    finding = await rig.drain()
    assert (facts(finding)["sent"], facts(finding)["ok"], facts(finding)["cleaned"]) == (1, 1, 1)


async def test_an_accepted_task_that_never_becomes_a_row_is_lost(rig, api):
    """The API says yes and makes nothing: lost at created, named so."""
    api.manner = "swallow"
    await rig.send()
    finding = await rig.drain()
    assert finding.evidence["ends"] == {"lost created": 1}


async def test_refused_denied_and_crashed(rig, api):
    """422 and 500 are enqueue errors with a remedy, 401 is our own fault and no task; a row behind a 500 is cleaned up."""
    api.manner = "refuse"
    finding = await rig.run()
    assert finding.status is Status.DEGRADED
    assert "422" in finding.detail
    assert "body" in finding.guidance
    api.manner = "denied"
    finding = await rig.run()
    assert "credentials" in finding.detail
    assert facts(finding)["sent"] == 1
    rig.execute("DELETE FROM {schema}.tasks")
    api.manner = "crash"
    await rig.run()
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 1
    finding = await rig.drain()
    assert (facts(finding)["enqueue_error"], facts(finding)["sent"], facts(finding)["cleaned"]) == (2, 2, 1)
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0
    assert conserved(finding)


async def test_a_wrong_id_touches_no_foreign_row(rig, api):
    """The answer's id is another task's: said so, and that row is neither judged nor cleaned up."""
    rig.execute(
        "INSERT INTO {schema}.tasks (id, kind, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'real', '{}')"
    )
    token, _ = await rig.send()
    rig.state.fleet.accepted(token, "00000000-0000-0000-0000-000000000001")
    finding = await rig.run()
    assert "has no token in payload" in finding.detail
    await rig.drain()
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE kind = 'real'") == 1


async def test_the_hop_on_the_bus(rig, valkey):
    """With `published`, an assigned task whose message is not in its agent's stream is stuck there, a read one later."""
    rig.clients["bus"] = RedisClient("bus", valkey.url)
    rig.options = rig.configure(published={})
    raw = redis.Redis(port=valkey.port)
    raw.xadd("agent_messages:a", {"task_id": "an older one"})
    await asyncio.sleep(1.1)  # the stream must be older than the task for its silence to prove anything
    await rig.run()
    for published in (False, True):
        token, _ = await rig.send()
        rig.move(token, "assigned")
        if published:
            raw.xadd("agent_messages:a", {"payload": json.dumps({"task_id": rig.state.fleet.open[token].id})})
    token, _ = await rig.send()
    raw.xadd("agent_messages:a", {"task_id": rig.state.fleet.open[token].id})
    rig.move(token)
    finding = await rig.drain()
    raw.close()
    ends = finding.evidence["ends"]
    assert (ends["stuck published"], ends["stuck started"]) == (1, 1)
    assert facts(finding)["sent"] == 3
    assert "published" in finding.evidence["hops"]


# --- cleaning up --------------------------------------------------------------------------------


async def test_rows_stay_for_a_while_and_can_be_kept(rig):
    """`keep` leaves ended rows alone, `update` marks them, `none` never touches them."""
    await rig.run()
    rig.options = rig.configure(cleanup={"keep": NEVER})
    token, _ = await rig.send()
    rig.move(token)
    await rig.run()
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE status = 'Completed'") == 1
    update = {"how": "update", "set": {"status": "archived", "needs": []}, "keep": "0s"}
    rig.options = rig.configure(cleanup=update)
    await rig.drain()
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE status = 'archived' AND needs = '{}'") == 2
    rig.options = rig.configure(cleanup={"how": "none"})
    token, _ = await rig.send()
    rig.move(token)
    await rig.drain()
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE status = 'Completed'") == 1


@pytest.fixture
async def clerk(rig, postgres):
    """A role that may insert and read, and delete nothing."""
    role = f"r{uuid.uuid4().hex[:8]}"
    rig.execute(f"CREATE ROLE {role} LOGIN")
    rig.execute(f"GRANT USAGE ON SCHEMA {{schema}} TO {role}; GRANT SELECT, INSERT ON {{schema}}.tasks TO {role}")
    client = PostgresClient("clerk", postgres.dsn("postgres", role))
    await rig.clients["database"].close()
    rig.clients["database"] = client
    yield role
    await client.close()
    rig.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_failed_clean_up_is_never_silent(rig, clerk):
    """Without the right to delete: counted, degraded with the GRANT, until it works; the tasks' figures go on."""
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    await rig.run()
    finding = await rig.run()
    assert finding.status is Status.DEGRADED
    assert "could not be cleaned up" in finding.detail
    assert "GRANT SELECT, DELETE" in finding.guidance
    assert (facts(finding)["ok"], facts(finding)["cleanup_failures"], facts(finding)["uncleaned"]) == (1, 1, 1)
    finding = await rig.run()
    assert (finding.status, facts(finding)["cleanup_failures"]) == (Status.DEGRADED, 1)
    rig.execute(f"GRANT DELETE ON {{schema}}.tasks TO {clerk}")
    litter = rig.state.fleet.litter
    rig.state.fleet.litter = [item.__class__(item.token, item.id, item.sent, item.ended, item.tries) for item in litter]
    finding = await rig.drain()
    assert (facts(finding)["uncleaned"], facts(finding)["cleaned"] >= 1) == (0, True)


async def test_rows_that_a_policy_hides_from_the_delete_are_noticed(rig, clerk):
    """A DELETE that changes nothing and says nothing: the rows are still there, so it has failed."""
    rig.execute(f"GRANT DELETE ON {{schema}}.tasks TO {clerk}")
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    rig.execute("CREATE FUNCTION {schema}.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    rig.execute("CREATE TRIGGER keep BEFORE DELETE ON {schema}.tasks FOR EACH ROW EXECUTE FUNCTION {schema}.keep()")
    await rig.run()
    finding = await rig.run()
    assert facts(finding)["cleanup_failures"] == 1
    assert "still" in finding.detail or "as they were" in finding.detail


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"marker": "nowhere"}, "nowhere"),
        ({"marker": "payload", "assigned_at": "taken_at"}, "taken_at"),
        ({"marker": "payload", "table": "nothing.there"}, "no such table or view: nothing.there"),
    ],
)
async def test_a_missing_table_or_column(rig, rows, words):
    """Named, with a remedy, and nothing is sent."""
    rig.options = rig.configure(rows={"table": f"{rig.schema}.tasks", **rows})
    with pytest.raises(SubjectError) as raised:
        await rig.run()
    assert words in raised.value.message
    assert raised.value.guidance


@pytest.mark.parametrize(
    ("columns", "words", "remedy", "status", "sent"),
    [
        ({**COLUMNS, "colour": "red"}, "no column colour", "it has: id, kind", Status.UNKNOWN, 0),
        ({**COLUMNS, "kind": "forbidden"}, "check constraint", "enqueue.sql.columns", Status.DEGRADED, 1),
        ({"id": "{uuid}", "payload": {"canary": "{token}"}}, "not-null", "enqueue.sql.columns", Status.DEGRADED, 1),
        ({**COLUMNS, "id": "seven"}, "uuid", "enqueue.sql.columns", Status.DEGRADED, 1),
    ],
)
async def test_a_refused_insert(rig, columns, words, remedy, status, sent):
    """Its own finding with a remedy; what the platform refused counts as enqueue_error, our own mistake as nothing."""
    table = f"{rig.schema}.tasks"
    rig.options = rig.configure(enqueue={"sql": {"table": table, "columns": columns}})
    await rig.run()
    finding = await rig.run()
    assert finding.status is status
    assert words in finding.detail
    assert remedy in finding.guidance
    assert (facts(finding)["sent"], facts(finding)["enqueue_error"], facts(finding)["open"]) == (sent, sent, 0)


async def test_no_right_to_insert(rig, clerk):
    """Unknown, with the GRANT that is missing; no task was sent."""
    rig.execute(f"REVOKE INSERT ON {{schema}}.tasks FROM {clerk}")
    await rig.run()
    finding = await rig.run()
    assert finding.status is Status.UNKNOWN
    assert "GRANT SELECT, INSERT" in finding.guidance
    assert facts(finding)["sent"] == 0


async def test_without_an_index_nothing_is_polled(rig):
    """A large table that would be scanned is refused, with the index to create."""
    rig.execute("CREATE TABLE {schema}.big (LIKE {schema}.tasks INCLUDING DEFAULTS)")
    rig.execute(
        "INSERT INTO {schema}.big (id, kind, payload) SELECT gen_random_uuid(), 'x', jsonb_build_object('t', repeat('x', 1500)) FROM generate_series(1, 30000)"
    )
    rig.execute("ANALYZE {schema}.big")
    rig.options = rig.configure(rows={"table": f"{rig.schema}.big", "marker": "payload"})
    with pytest.raises(NotMeasurable, match="refused to poll"):
        await rig.run()


@pytest.mark.parametrize(
    "options",
    [
        {"enqueue": {}},
        {"enqueue": {"sql": {"table": "t", "columns": {"a": "b"}}}},
        {"cleanup": {"how": "update"}},
        {"cleanup": {"set": {"a": 1}}},
        {"result": {"column": "result", "path": "$[", "equals": 1}},
        {"path": "a.b"},
    ],
)
def test_options_that_can_not_work_are_refused(rig, options):
    """No way or no token, an update of nothing, a path that is none."""
    with pytest.raises(ValueError, match="."):
        rig.configure(**options)


async def test_a_pause_file_stops_sending_at_once(rig, tmp_path):
    """While the file exists nothing is sent; what is on its way is still watched."""
    rig.options = rig.configure(pause_file=str(tmp_path / "pause"))
    await rig.run()
    token, _ = await rig.send()
    (tmp_path / "pause").touch()
    rig.move(token)
    for _ in range(3):
        finding = await rig.run()
    assert (facts(finding)["sent"], facts(finding)["ok"]) == (1, 1)
    (tmp_path / "pause").unlink()
    assert facts(await rig.run())["sent"] == 2


async def test_a_database_that_is_away_invents_nothing(own_postgres, make_context):
    """Down while it is away; afterwards every task has ended once."""
    rig = Rig(own_postgres.dsn(), make_context)
    rig.execute(TASKS)
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    own_postgres.stop()
    for _ in range(2):
        with pytest.raises(Exception, match="."):
            await rig.run()
    own_postgres.start()
    rig.db = psycopg.connect(own_postgres.dsn(), autocommit=True)
    finding = None
    async with asyncio.timeout(30):
        while finding is None:
            with contextlib.suppress(Exception):
                finding = await rig.run()
            await asyncio.sleep(0.1)
    finding = await rig.drain()
    assert conserved(finding)
    assert facts(finding)["ok"] == 1
    await rig.close()
