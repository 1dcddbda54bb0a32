"""Synthetic tasks by API, INSERT and stream, on the bus, and cleaned up: what is refused, in doubt
or not ours.
"""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
import redis
from aiohttp import web
from pydantic import ValidationError

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, SubjectError
from tests.integration.workflow_bench import COLUMNS, NEVER, TASKS, Rig, conserved, facts


@pytest.fixture
async def rig(postgres, make_context):
    rig = Rig(postgres.dsn(), make_context)
    rig.execute(TASKS)
    yield rig
    await rig.close()


class Api:
    """POST /tasks: inserts, and answers as told."""

    def __init__(self, rig):
        self.rig, self.manner, self.seen = rig, "ok", []

    async def handle(self, request):
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
        return web.json_response(
            {} if self.manner == "nameless" else {"task": {"id": name}}, status=status
        )


@pytest.fixture
async def api(rig):
    api = Api(rig)
    application = web.Application()
    application.router.add_post("/tasks", api.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    rig.clients["api"] = HttpClient("api", f"http://127.0.0.1:{port}")
    body = {"type": "report", "payload": {"canary": "{token}"}}
    rig.options = rig.configure(
        enqueue={
            "http": {
                "path": "/tasks",
                "body": body,
                "id": "$.task.id",
                "headers": {"X-Tenant": "t"},
            }
        }
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
    """No answer, or one without an id: the row is found by its token, the task counts once and is
    cleaned up.
    """
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
    """422 and 500 are enqueue errors with a remedy, 401 is our fault and no task; a row behind a
    500 is cleaned up.
    """
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
    assert (facts(finding)["enqueue_error"], facts(finding)["sent"], facts(finding)["cleaned"]) == (
        2,
        2,
        1,
    )
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


async def test_through_a_stream(rig, valkey):
    """The platform makes the row of an entry: found by its token, with the rest as ever; no stream
    is made for it.
    """
    fields = {"type": "report", "payload": {"canary": "{token}"}}
    rig.options = rig.configure(enqueue={"stream": {"key": "commands", "fields": fields}})
    await rig.run()
    assert "no Redis" not in (finding := await rig.run()).detail
    assert "name one with `bus:`" in finding.guidance
    rig.clients["bus"] = RedisClient("bus", valkey.url)
    finding = await rig.run()
    assert "there is no stream commands" in finding.detail
    assert facts(finding)["sent"] == 0
    with redis.Redis(port=valkey.port) as raw:
        raw.xadd("commands", {"type": "an older one"})
        token, _ = await rig.send()
        (_, entry) = raw.xrange("commands")
        assert entry[1][b"type"] == b"report"
        raw.execute_command(
            "ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@read", "+@connection"
        )
    row = "INSERT INTO {schema}.tasks (id, kind, payload) VALUES (gen_random_uuid(), 'report', %s)"
    rig.execute(row, entry[1][b"payload"].decode())
    rig.move(token)
    finding = await rig.drain()
    assert (facts(finding)["sent"], facts(finding)["ok"], facts(finding)["cleaned"]) == (1, 1, 1)
    rig.clients["bus"] = RedisClient("bus", valkey.url.replace("://", "://reader:x@"))
    finding = await rig.run()
    assert (
        finding.guidance == "append a selector to the user of resource bus: (~commands -@all +xadd)"
    )
    with redis.Redis(port=valkey.port) as raw:
        raw.execute_command("ACL", "DELUSER", "reader")


async def test_the_hop_on_the_bus(rig, valkey):
    """An assigned task whose message is not in its agent's stream is stuck at published, one that
    is there later.
    """
    rig.clients["bus"] = RedisClient("bus", valkey.url)
    rig.options = rig.configure(published={})
    raw = redis.Redis(port=valkey.port)
    raw.xadd("agent_messages:a", {"task_id": "an older one"})
    await asyncio.sleep(
        1.1
    )  # the stream must be older than the task for its silence to prove anything
    await rig.run()
    for published in (False, True):
        token, _ = await rig.send()
        rig.move(token, "assigned")
        if published:
            await asyncio.sleep(
                0.05
            )  # after the assignment, which the platform stamps 20 ms after the start
            raw.xadd(
                "agent_messages:a",
                {"payload": json.dumps({"task_id": rig.state.fleet.open[token].id})},
            )
    token, _ = await rig.send()
    raw.xadd("agent_messages:a", {"task_id": rig.state.fleet.open[token].id})
    rig.move(token)
    finding = await rig.drain()
    raw.close()
    ends = finding.evidence["ends"]
    assert (ends["stuck published"], ends["stuck started"]) == (1, 1)
    assert facts(finding)["sent"] == 3
    assert "published" in finding.evidence["hops"]


async def test_a_trimmed_stream_is_not_blamed(rig, valkey):
    """The message may have been there and was trimmed: not measurable, so the task is stuck at the
    hop after it.
    """
    rig.clients["bus"] = RedisClient("bus", valkey.url)
    rig.options = rig.configure(published={})
    with redis.Redis(port=valkey.port) as raw:
        raw.xadd("agent_messages:a", {"task_id": "an older one"})
        await asyncio.sleep(1.1)
        await rig.run()
        token, _ = await rig.send()
        rig.move(token, "assigned")
        raw.xadd("agent_messages:a", {"task_id": rig.state.fleet.open[token].id})
        raw.xtrim("agent_messages:a", maxlen=0, approximate=False)
    finding = await rig.drain()
    assert finding.evidence["ends"] == {"stuck started": 1}


async def test_without_a_bus_the_other_hops_are_judged(rig):
    """The hop `published` without a Redis resource: unknown with a remedy; the task still comes
    through.
    """
    rig.options = rig.configure(published={})
    await rig.run()
    token, _ = await rig.send()
    rig.move(token, "assigned")
    finding = await rig.look()
    assert "name one with `bus:`" in finding.guidance
    rig.move(token)
    assert facts(await rig.drain())["ok"] == 1


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
    assert (
        rig.value("SELECT count(*) FROM {schema}.tasks WHERE status = 'archived' AND needs = '{}'")
        == 2
    )
    rig.options = rig.configure()
    token, _ = await rig.send()
    rig.move(token)
    await (
        rig.look()
    )  # the run that sees its end leaves it: a single run without memory must not remove anything
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE status = 'Completed'") == 1
    await rig.drain()
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
    rig.execute(
        f"GRANT USAGE ON SCHEMA {{schema}} TO {role}; GRANT SELECT, INSERT ON {{schema}}.tasks TO {role}"
    )
    client = PostgresClient("clerk", postgres.dsn("postgres", role))
    await rig.clients["database"].close()
    rig.clients["database"] = client
    yield role
    await client.close()
    rig.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_failed_clean_up_is_never_silent(rig, clerk):
    """Without the right to delete: counted, degraded with the GRANT, until it works; the tasks'
    figures go on.
    """
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    await rig.run()
    finding = await rig.run()
    assert finding.status is Status.DEGRADED
    assert "could not be cleaned up" in finding.detail
    assert "GRANT SELECT, DELETE" in finding.guidance
    assert (
        facts(finding)["ok"],
        facts(finding)["cleanup_failures"],
        facts(finding)["uncleaned"],
    ) == (1, 1, 1)
    finding = await rig.run()
    assert (finding.status, facts(finding)["cleanup_failures"]) == (Status.DEGRADED, 1)
    rig.execute(f"GRANT DELETE ON {{schema}}.tasks TO {clerk}")
    litter = rig.state.fleet.litter
    rig.state.fleet.litter = [
        item.__class__(item.token, item.id, item.sent, item.ended, item.tries) for item in litter
    ]
    finding = await rig.drain()
    assert (facts(finding)["uncleaned"], facts(finding)["cleaned"] >= 1) == (0, True)


async def test_rows_that_a_policy_hides_from_the_delete_are_noticed(rig, clerk):
    """A DELETE that changes nothing and says nothing: the rows are still there, so it has failed."""
    rig.execute(f"GRANT DELETE ON {{schema}}.tasks TO {clerk}")
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    rig.execute(
        "CREATE FUNCTION {schema}.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    rig.execute(
        "CREATE TRIGGER keep BEFORE DELETE ON {schema}.tasks FOR EACH ROW EXECUTE FUNCTION {schema}.keep()"
    )
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
        (
            {**COLUMNS, "kind": "forbidden"},
            "check constraint",
            "enqueue.sql.columns",
            Status.DEGRADED,
            1,
        ),
        (
            {"id": "{uuid}", "payload": {"canary": "{token}"}},
            "not-null",
            "enqueue.sql.columns",
            Status.DEGRADED,
            1,
        ),
        ({**COLUMNS, "id": "seven"}, "uuid", "enqueue.sql.columns", Status.DEGRADED, 1),
    ],
)
async def test_a_refused_insert(rig, columns, words, remedy, status, sent):
    """Its own finding with a remedy; what the platform refused counts as enqueue_error, our own
    mistake as nothing.
    """
    table = f"{rig.schema}.tasks"
    rig.options = rig.configure(enqueue={"sql": {"table": table, "columns": columns}})
    await rig.run()
    finding = await rig.run()
    assert finding.status is status
    assert words in finding.detail
    assert remedy in finding.guidance
    assert (facts(finding)["sent"], facts(finding)["enqueue_error"], facts(finding)["open"]) == (
        sent,
        sent,
        0,
    )


async def test_no_right_to_insert(rig, clerk):
    """Unknown, with the GRANT that is missing; no task was sent."""
    rig.execute(f"REVOKE INSERT ON {{schema}}.tasks FROM {clerk}")
    await rig.run()
    finding = await rig.run()
    assert finding.status is Status.UNKNOWN
    assert "GRANT SELECT, INSERT" in finding.guidance
    assert facts(finding)["sent"] == 0


async def test_without_an_index_nothing_is_polled(rig, clerk):
    """A scan that the planner calls expensive is refused, with the index to create."""
    rig.execute(
        f"ALTER ROLE {clerk} SET seq_page_cost = 10000; DROP INDEX {{schema}}.tasks_created_at_idx"
    )
    with pytest.raises(NotMeasurable, match="refused to poll") as raised:
        await rig.run()
    assert "created_at" in raised.value.guidance


@pytest.mark.parametrize(
    "options",
    [
        {"enqueue": {}},
        {"enqueue": {"sql": {"table": "t", "columns": {"a": "b"}}}},
        {
            "enqueue": {
                "sql": {"table": "t", "columns": COLUMNS},
                "stream": {"key": "s", "fields": {"a": "{token}"}},
            }
        },
        {"cleanup": {"how": "update"}},
        {"cleanup": {"set": {"a": 1}}},
        {"result": {"column": "result", "path": "$[", "equals": 1}},
        {"path": "a.b"},
    ],
)
def test_options_that_can_not_work_are_refused(rig, options):
    """No way or no token, an update of nothing, a path that is none."""
    with pytest.raises(ValidationError):
        rig.configure(**options)


async def test_tasks_are_sent_at_their_own_pace(rig):
    """`send_every` counts from the last task, over restarts, however often the check runs."""
    rig.options = rig.configure(send_every=NEVER)
    await rig.run()
    for number in range(6):
        finding = await rig.run()
        if number % 2:
            rig.reload()
    assert facts(finding)["sent"] == 1


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
    assert (finding.status, finding.detail.endswith("sending is paused")) == (Status.UP, True)
    rig.state.fleet.last_sent -= 3600
    finding = await rig.run()
    assert (finding.status, "1 h 0 min ago" in finding.detail or "1 h ago" in finding.detail) == (
        Status.UNKNOWN,
        True,
    )
    (tmp_path / "pause").unlink()
    assert facts(await rig.run())["sent"] == 2
