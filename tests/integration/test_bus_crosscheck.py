"""The cross-check against a real Valkey and PostgreSQL: known losses on either side are found
exactly.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import uuid

import psycopg
import pytest
import redis

from sentinel.adapters.bus import entry_reader
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.config import shipped_folder
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, SubjectError, TargetUnreachable
from sentinel.probes.bus_crosscheck import KIND, CrosscheckOptions
from sentinel.watch import crosscheck as crosscheck_watch
from tests.bus_bench import require_facts

TASKS = """
CREATE TABLE {schema}.tasks (id uuid PRIMARY KEY, status text NOT NULL, assigned_agent_id text,
                             created_at timestamptz NOT NULL, assigned_at timestamptz);
CREATE INDEX ON {schema}.tasks (created_at);
"""


class Rig:
    """A platform in miniature: a task table, agents' streams with groups, and runs of the kind."""

    def __init__(self, dsn, port, make_context):
        self.make, self.port, self.schema = make_context, port, f"s{uuid.uuid4().hex[:8]}"
        self.db = psycopg.connect(dsn, autocommit=True)
        self.execute("CREATE SCHEMA {schema}")
        self.execute(TASKS)
        self.r = redis.Redis(port=port)
        self.clients = {
            "bus": RedisClient("bus", f"redis://127.0.0.1:{port}/0"),
            "database": PostgresClient("database", dsn),
        }
        self.state = KIND.load_state(None)
        self.options = self.configure()

    def configure(self, **options):
        known = {
            "tasks": {"table": f"{self.schema}.tasks"},
            "effect_within": "50ms",
            "samples": 200,
        }
        return CrosscheckOptions(**{**known, **options})

    def execute(self, sql, *params):
        return self.db.execute(sql.replace("{schema}", self.schema), params or None)

    def task(self, agent="a", age=60.0, status="completed"):
        """A task that was assigned `age` seconds ago."""
        task = str(uuid.uuid4())
        self.execute(
            "INSERT INTO {schema}.tasks VALUES (%s, %s, %s, now() - %s * interval '1 s', now() - %s * interval '1 s')",
            task, status, agent, age + 1, age,
        )  # fmt: skip
        return task

    def publish(self, task, agent="a", age=None, **fields):
        """An entry about the task, `age` seconds old, or of now."""
        entry = "*" if age is None else f"{int((time.time() - age) * 1000)}-*"
        envelope = {
            "message_id": uuid.uuid4().hex,
            "type": "task",
            "payload": json.dumps({"task_id": task}),
        }
        return self.r.xadd(f"agent_messages:{agent}", {**envelope, **fields}, id=entry)

    def open_streams(self, *agents, age=600.0):
        """Streams with an old first entry and a group."""
        for agent in agents:
            self.publish("", agent, age)
            self.r.xgroup_create(f"agent_messages:{agent}", f"group_{agent}", id="0")

    def deliver(self, agent="a"):
        """Read everything new; the ids."""
        reply = self.r.xreadgroup(
            f"group_{agent}", "c", {f"agent_messages:{agent}": ">"}, count=10_000
        )
        return [entry for entry, _ in reply[0][1]] if reply else []

    def acknowledge(self, agent="a"):
        """Read and acknowledge everything new."""
        if entries := self.deliver(agent):
            self.r.xack(f"agent_messages:{agent}", f"group_{agent}", *entries)

    async def run(self):
        finding = await KIND.run(self.options, self.make(self.clients, self.state))
        require_facts(finding, KIND)
        return finding

    async def counts(self):
        return (await self.run()).evidence["crosscheck"]

    async def settle(self):
        """Run until nothing waits for its verdict."""
        while True:
            finding = await self.run()
            watch = self.state.watch
            if not watch.suspects and not any(each.acked for each in watch.open):
                return finding
            await asyncio.sleep(0.02)

    async def close(self):
        for client in self.clients.values():
            await client.close()
        self.execute("DROP SCHEMA {schema} CASCADE")
        self.db.close()
        self.r.close()


@pytest.fixture
async def rig(postgres, valkey, make_context):
    rig = Rig(postgres.dsn(), valkey.port, make_context)
    yield rig
    await rig.close()


def figures(finding, flow):
    return finding.evidence["crosscheck"][flow]


# --- database → bus -----------------------------------------------------------------------------


async def test_lost_publications(rig):
    """Exactly the tasks whose publication was lost are missing, each named once with the command to
    look.
    """
    rig.open_streams("a", "b")
    dice, lost = random.Random(1), set()
    for n in range(120):
        agent, age = dice.choice("ab"), 200 - n
        task = rig.task(agent, age)
        if n % 17 == 0:
            lost.add(task)
        else:
            rig.publish(task, agent, age - dice.uniform(-0.5, 0.5))
    finding = await rig.run()
    counts = figures(finding, "db-bus")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"], counts["late"]) == (
        120,
        len(lost),
        0,
        0,
    )
    assert {sample["task"] for sample in finding.evidence["producer_missing"]} == lost
    assert finding.status is Status.DEGRADED
    assert f"{len(lost)} of 120 assigned but never published" in finding.detail
    assert "outbox" in finding.guidance
    sample = finding.evidence["producer_missing"][0]
    assert sample["look"].startswith(f"XRANGE agent_messages:{sample['agent']} ")
    missing = [fault for fault in finding.faults if fault.key == "producer_missing"]
    assert {fault.subject["task"] for fault in missing} == lost
    for fault in missing:
        assert fault.text.startswith(f"task {fault.subject['task']} (agent ")
        rig.r.execute_command(*fault.cure)
    again = await rig.counts()
    assert again["db-bus"] == counts


async def test_trimmed_is_not_measurable(rig):
    """Entries that were trimmed or deleted by then, of a stream made anew or gone, are never called
    missing.
    """
    rig.open_streams("trimmed", "deleted", "kept")
    for agent in ("trimmed", "deleted", "new", "nowhere", "kept"):
        tasks = [rig.task(agent, 60) for _ in range(3)]
        if agent not in {"nowhere", "new"}:
            entries = [rig.publish(task, agent, 60) for task in tasks]
        if agent == "deleted":
            rig.r.xdel("agent_messages:deleted", *entries)
    rig.publish("", "trimmed")
    rig.r.xtrim("agent_messages:trimmed", maxlen=1, approximate=False)
    rig.publish("", "new")
    finding = await rig.run()
    counts = figures(finding, "db-bus")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (3, 0, 12)
    assert finding.status is Status.UP
    reasons = " ".join(finding.evidence["not_measurable"])
    assert "agent_messages:nowhere does not exist" in reasons
    assert "agent_messages:trimmed keeps nothing as old" in reasons


async def test_blind_is_unknown(rig):
    """When nothing at all could be measured although tasks were assigned, nothing is known."""
    rig.task("nowhere")
    finding = await rig.run()
    assert finding.status is Status.UNKNOWN
    assert "agent_messages:nowhere does not exist" in finding.detail


async def test_idle_is_up(rig):
    """A platform without tasks has nothing to compare, and that is seen, not assumed."""
    finding = await rig.run()
    assert (finding.status, finding.detail) == (Status.UP, "last 5 min: nothing to compare")


async def test_ids_that_are_no_times(rig):
    """A stream whose ids are numbers of the producer's own proves nothing by absence."""
    rig.r.xadd("agent_messages:a", {"x": "y"}, id="1-0")
    rig.task("a")
    finding = await rig.run()
    assert (figures(finding, "db-bus")["bad"], finding.status) == (0, Status.UNKNOWN)
    assert "ids that are no times" in finding.detail


async def test_late_publication(rig):
    """What an outbox published after the window is late, not missing; before it is confirmed
    nothing is said.
    """
    rig.open_streams("a")
    early, late, missing = rig.task("a", 60), rig.task("a", 59), rig.task("a", 58)
    rig.publish(early, "a", 90)
    rig.publish(late, "a", 30)
    rig.options = rig.configure(confirm_after="61s")
    counts = (await rig.counts())["db-bus"]
    assert (counts["samples"], counts["bad"]) == (0, 0)
    rig.options = rig.configure()
    counts = (await rig.counts())["db-bus"]
    assert (counts["samples"], counts["late"], counts["bad"]) == (3, 2, 1)
    assert rig.state.watch.ledgers["db-bus"].found[0]["task"] == missing


async def test_pages(rig, monkeypatch):
    """A full window is read page by page; one that is too full to read is not measurable, never
    missing.
    """
    monkeypatch.setattr(entry_reader, "PAGE", 4)
    rig.open_streams("a", "b")
    for agent, before in (("a", 11), ("b", 12)):
        for _ in range(before):
            rig.publish("", agent, 60)
        rig.publish(rig.task(agent, 60), agent, 60)
    counts = (await rig.counts())["db-bus"]
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (1, 0, 1)


async def test_mapping(rig):
    """Other columns, one stream for all, ids in nested JSON, types, statuses in any case: by
    configuration alone.
    """
    rig.execute(
        "CREATE TABLE {schema}.jobs (job text, worker text, state text, born timestamp, given timestamp)"
    )
    rig.execute("CREATE INDEX ON {schema}.jobs (born)")
    rig.execute(
        "INSERT INTO {schema}.jobs SELECT 'j' || n, 'w', 'RUNNING', now() at time zone 'utc' - interval '70 s',"
        " now() at time zone 'utc' - interval '60 s' FROM generate_series(1, 3) n"
    )
    body = {"job": {"id": "j1"}}
    start = int((time.time() - 600) * 1000)
    rig.r.xadd("jobs", {"data": "{}"}, id=f"{start}-0")
    at = f"{int((time.time() - 60) * 1000)}-*"
    rig.r.xadd(
        "jobs", {"data": json.dumps({"body": json.dumps(body)}), "message_type": "JOB"}, id=at
    )
    rig.r.xadd(
        "jobs", {"data": json.dumps({"body": {"job": {"id": "j2"}}}), "message_type": "note"}, id=at
    )
    columns = {
        "id": "job",
        "agent": "worker",
        "status": "state",
        "created_at": "born",
        "assigned_at": "given",
    }
    rig.options = rig.configure(
        tasks={"table": f"{rig.schema}.jobs", **columns},
        stream="jobs",
        group="workers",
        message={"task_id": ["data.body.job.id"], "types": ["job"]},
    )
    finding = await rig.run()
    assert {sample["task"] for sample in finding.evidence["producer_missing"]} == {"j2", "j3"}
    assert figures(finding, "db-bus")["samples"] == 3


# --- bus → database -----------------------------------------------------------------------------


async def test_acknowledged_without_effect(rig):
    """Exactly the acknowledged messages whose tasks stay assigned are found; pending and effective
    ones are not.
    """
    rig.open_streams("a", "b")
    rig.acknowledge("a"), rig.acknowledge("b")
    await rig.run()
    dead = {rig.task(agent, 1, "ASSIGNED") for agent in "abababa"}
    agents = {
        task: rig.execute(
            "SELECT assigned_agent_id FROM {schema}.tasks WHERE id = %s", task
        ).fetchone()[0]
        for task in dead
    }
    for task, agent in agents.items():
        rig.publish(task, agent)
    for _ in range(40):
        rig.publish(rig.task("a", 1, "in_progress"), "a")
    for _ in range(5):
        rig.publish("", "a", type="chat")
    rig.acknowledge("a"), rig.acknowledge("b")
    for _ in range(6):
        rig.publish(rig.task("b", 1, "assigned"), "b")
    rig.deliver("b")
    rig.publish(rig.task("b", 1, "assigned"), "b")
    finding = await rig.settle()
    counts = figures(finding, "bus-db")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (47, 7, 0)
    found = finding.evidence["acked_without_effect"]
    assert {sample["task"] for sample in found} == dead
    assert all(sample["message"] and sample["entry"] for sample in found)
    assert finding.status is Status.DEGRADED
    assert "acknowledge after processing" in finding.guidance
    assert (await rig.counts())["bus-db"] == counts


async def test_history_is_not_judged(rig):
    """What was delivered before the first look is left out: nobody saw how it ended."""
    rig.open_streams("a")
    rig.publish(rig.task("a", 1, "assigned"))
    rig.acknowledge()
    assert figures(await rig.settle(), "bus-db")["samples"] == 0
    assert figures(await rig.settle(), "bus-db")["samples"] == 0


async def test_waits_for_the_effect(rig):
    """A task may take its time: before `effect_within` nothing is said, and then it counts as good."""
    rig.options = rig.configure(effect_within="1h")
    rig.open_streams("a")
    await rig.run()
    task = rig.task("a", 1, "assigned")
    rig.publish(task)
    rig.acknowledge()
    assert (await rig.counts())["bus-db"]["samples"] == 0
    rig.execute("UPDATE {schema}.tasks SET status = 'completed' WHERE id = %s", task)
    counts = (await rig.counts())["bus-db"]
    assert (counts["samples"], counts["bad"]) == (1, 0)


async def test_dropped_is_not_acknowledged(rig):
    """A deleted consumer drops its pending entries: they look acknowledged, and are not measurable."""
    rig.open_streams("a")
    rig.acknowledge()
    await rig.run()
    for _ in range(4):
        rig.publish(rig.task("a", 1, "assigned"))
    rig.deliver()
    await rig.run()
    rig.r.xgroup_delconsumer("agent_messages:a", "group_a", "c")
    finding = await rig.settle()
    counts = figures(finding, "bus-db")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (0, 0, 4)
    assert "dropped entries look like acknowledged ones" in finding.detail


async def test_evicted_stream_is_not_acknowledged(rig):
    """A stream that went with its pending entries and was made anew acknowledges nothing."""
    rig.open_streams("a")
    rig.acknowledge()
    await rig.run()
    rig.publish(rig.task("a", 1, "assigned"))
    rig.deliver()
    await rig.run()
    rig.r.delete("agent_messages:a")
    rig.r.xgroup_create("agent_messages:a", "group_a", id="0", mkstream=True)
    counts = figures(await rig.settle(), "bus-db")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (0, 0, 1)


async def test_given_away_is_not_judged(rig):
    """A task that another agent has now, or that was assigned again later, or has no row, blames no
    entry.
    """
    rig.open_streams("a")
    rig.acknowledge()
    await rig.run()
    moved, again = rig.task("b", 1, "assigned"), rig.task("a", -3600, "assigned")
    rig.execute("UPDATE {schema}.tasks SET created_at = now() WHERE id = %s", again)
    for task in (moved, again, str(uuid.uuid4()), "no uuid"):
        rig.publish(task)
    rig.acknowledge()
    counts = figures(await rig.settle(), "bus-db")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (0, 0, 4)


async def test_many_streams_take_turns(rig, monkeypatch):
    """More streams than a run may look at are looked at in turn, and nothing between two turns is
    left out.
    """
    monkeypatch.setattr(crosscheck_watch, "MAX_STREAMS", 2)
    agents = [f"agent-{n}" for n in range(5)]
    rig.open_streams(*agents)
    for _ in range(5):
        await rig.run()
    for agent in agents:
        rig.publish(rig.task(agent, 1, "assigned"), agent)
        rig.acknowledge(agent)
    for _ in range(3):
        await rig.run()
    counts = figures(await rig.settle(), "bus-db")
    assert (counts["samples"], counts["bad"]) == (5, 5)


async def test_left_out_streams(rig):
    """Excluded streams, streams without the group and entries whose ids are no times are not
    sampled.
    """
    rig.open_streams("a:dlq", "a")
    rig.publish("", "broadcast")
    rig.r.xadd("agent_messages:odd", {"x": "y"}, id="1-0")
    rig.r.xgroup_create("agent_messages:odd", "group_odd", id="0")
    rig.deliver("odd")
    await rig.run()
    for agent in ("a:dlq", "broadcast"):
        rig.publish(rig.task(agent, 1, "assigned"), agent)
    rig.acknowledge("a:dlq")
    task = rig.task("odd", 1, "assigned")
    rig.r.xadd("agent_messages:odd", {"task_id": task}, id="2-0")
    rig.acknowledge("odd")
    finding = await rig.settle()
    assert not any(figures(finding, "bus-db").values())
    assert (
        "stream agent_messages:odd has ids that are no times" in finding.evidence["not_measurable"]
    )


# --- both ---------------------------------------------------------------------------------------


async def test_healthy_platform_over_restarts(rig):
    """A working platform and a sentinel that is restarted after each run: every sample good, each
    counted once.
    """
    rig.options = rig.configure(published_within="500ms", confirm_after="1s")
    rig.open_streams("a", "b")
    rig.acknowledge("a"), rig.acknowledge("b")
    await rig.run()
    for n in range(60):
        agent = "ab"[n % 2]
        rig.publish(rig.task(agent, 0), agent)
        rig.acknowledge(agent)
        if n % 10 == 9:
            await rig.run()
            rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
    while (await rig.counts())["db-bus"]["samples"] < 60:
        await asyncio.sleep(0.1)
    finding = await rig.settle()
    for flow in ("db-bus", "bus-db"):
        counts = figures(finding, flow)
        assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (60, 0, 0)
    assert finding.status is Status.UP


async def test_failed_run_loses_nothing(rig):
    """A run that ends in the middle has judged nothing: the next one judges the same samples, once."""
    rig.open_streams("a")
    rig.acknowledge()
    await rig.run()
    rig.publish(rig.task("a", 1, "assigned"))
    rig.acknowledge()
    healthy, rig.clients["database"] = rig.clients["database"], Broken(rig.clients["database"])
    with pytest.raises(TargetUnreachable):
        await rig.run()
    rig.clients["database"] = healthy
    counts = figures(await rig.settle(), "bus-db")
    assert (counts["samples"], counts["bad"]) == (1, 1)


class Broken:
    """A database that goes away when it is asked about entries' tasks."""

    def __init__(self, client):
        self.client = client

    async def query(self, sql, params=None):
        if params and "ids" in params and "EXPLAIN" not in sql:
            raise TargetUnreachable("gone")
        return await self.client.query(sql, params)


class Ahead:
    """A database whose clock is an hour ahead of the bus's."""

    def __init__(self, client):
        self.client = client

    async def query(self, sql, params=None):
        rows = await self.client.query(sql, params)
        return [{**row, "now": row["now"] + 3600} if "now" in row else row for row in rows]


async def test_other_clock(rig):
    """A database with another clock than the bus invents no loss and hides none."""
    rig.open_streams("a")
    rig.clients["database"] = Ahead(rig.clients["database"])
    for age in (70, 65, 60):
        rig.publish(rig.task("a", age - 3600), "a", age)
    lost = rig.task("a", 60 - 3600)
    try:
        finding = await rig.run()
    finally:
        rig.clients["database"] = rig.clients["database"].client
    counts = figures(finding, "db-bus")
    assert (counts["samples"], counts["bad"], counts["late"]) == (4, 1, 0)
    assert finding.evidence["producer_missing"][0]["task"] == lost


async def test_bad_news_leaves_the_window(rig):
    """A verdict rests on the window: once its samples are older, the check is up again, the totals
    stay.
    """
    rig.open_streams("a")
    rig.task("a", 60)
    assert (await rig.run()).status is Status.DEGRADED
    rig.options = rig.configure(window="1ms")
    finding = await rig.run()
    assert (finding.status, figures(finding, "db-bus")["bad"]) == (Status.UP, 1)
    assert finding.evidence["producer_missing"] == []


async def test_most_lost_is_down(rig):
    """Half of enough samples bad is down."""
    rig.open_streams("a")
    for _ in range(20):
        rig.task("a", 60)
    assert (await rig.run()).status is Status.DOWN


async def test_samples_are_bounded(rig):
    """At most `samples` tasks of a run are looked at; ten ids are named."""
    rig.open_streams("a")
    for _ in range(30):
        rig.task("a", 60)
    rig.options = rig.configure(samples=12)
    finding = await rig.run()
    assert figures(finding, "db-bus")["samples"] == 12
    assert len(finding.evidence["producer_missing"]) == 10
    assert len({fault.subject["task"] for fault in finding.faults}) == 12


async def test_every_row_fits_its_declaration(rig):
    """Labels of each row are those that its measurements declare; the series exist from the first
    run on.
    """
    finding = await rig.run()
    declared = {m.name: set(m.labels) for m in KIND.measurements}
    assert {name for row in finding.rows for name in row.values} == set(declared)
    assert all(declared[name] == set(row.labels) for row in finding.rows for name in row.values)
    assert {row.labels["flow"] for row in finding.rows} == {"tasks:db-bus", "tasks:bus-db"}


async def test_bad_input(rig):
    """A missing table, column or index, and a stream that is a string: each its own finding."""
    rig.options = rig.configure(tasks={"table": "nowhere.tasks"})
    with pytest.raises(SubjectError, match="no such table"):
        await rig.run()
    rig.options = rig.configure(tasks={"table": f"{rig.schema}.tasks", "agent": "nobody"})
    with pytest.raises(SubjectError, match="nobody"):
        await rig.run()
    rig.options = rig.configure()
    rig.r.set("agent_messages:a", "a string")
    rig.task("a")
    assert (await rig.run()).status is Status.UNKNOWN


@pytest.mark.parametrize("family", ["valkey", "redis7"])
async def test_least_privilege(postgres, make_context, request, family):
    """The shipped user is enough on both families; each rule that is taken away is named, and
    nobody is blamed.
    """
    rig = Rig(postgres.dsn(), request.getfixturevalue(family).port, make_context)
    rules = (
        (shipped_folder("checks") / "acl" / "redis.acl")
        .read_text()
        .splitlines()[0]
        .split(maxsplit=2)[2]
    )
    try:
        rig.r.execute_command(
            "ACL", "SETUSER", "sentinel", "reset", *re.findall(r"\([^)]*\)|\S+", rules), "on", ">p"
        )
        await rig.clients["bus"].close()
        rig.clients["bus"] = RedisClient("bus", f"redis://sentinel:p@127.0.0.1:{rig.port}/0")
        rig.open_streams("a")
        await rig.run()
        rig.publish(rig.task("a", 1, "assigned")), rig.task("a", 60), rig.acknowledge()
        rig.r.execute_command(
            "ACL", "SETUSER", "sentinel", "clearselectors"
        )  # reading only: and errors name the rule
        for rule in ("xpending", "xrange", "xinfo|groups", "info", "time", "scan"):
            rig.r.execute_command("ACL", "SETUSER", "sentinel", f"-{rule}")
            with pytest.raises(NotMeasurable, match=f"(?i)permission.*{rule.partition('|')[0]}"):
                await rig.run()
            rig.r.execute_command("ACL", "SETUSER", "sentinel", f"+{rule}")
        finding = await rig.settle()
        assert [figures(finding, flow)["bad"] for flow in ("db-bus", "bus-db")] == [0, 1]
    finally:
        rig.r.execute_command("ACL", "DELUSER", "sentinel")
        await rig.close()


async def test_refuses_a_large_scan(rig):
    """Without an index on the creation time a large table isn't polled, and the index is named."""
    rig.execute("DROP INDEX {schema}.tasks_created_at_idx")
    rig.execute(
        "INSERT INTO {schema}.tasks SELECT gen_random_uuid(), 'completed', 'a', now(), now()"
        " FROM generate_series(1, 250000)"
    )
    rig.execute("ANALYZE {schema}.tasks")
    with pytest.raises(NotMeasurable) as caught:
        await rig.run()
    assert 'brin ("created_at")' in caught.value.guidance


async def test_an_assignment_of_another_zone_is_not_judged(rig):
    """It may have been given away again after its entry: nobody knows."""
    rig.open_streams("a")
    rig.acknowledge("a")
    await rig.run()
    tasks = [rig.task("a", 1, "assigned") for _ in range(4)]
    rig.execute(
        "UPDATE {schema}.tasks SET assigned_at = assigned_at - interval '7 h' WHERE id = ANY (%s)",
        tasks[:3],
    )
    for task in tasks:
        rig.publish(task)
    rig.acknowledge("a")
    counts = figures(await rig.settle(), "bus-db")
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (1, 1, 3)
