"""The registry against real servers: a known number of each mismatch is injected, exactly that is found."""

from __future__ import annotations

import contextlib
import json
import time
import uuid

import psycopg
import pytest
import redis

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.model import Status
from sentinel.errors import NotMeasurable, SubjectError, TargetUnreachable
from sentinel.probes.registry import KIND, RegistryOptions

SCHEMA = """
CREATE SCHEMA {s};
CREATE TABLE {s}.agents (id text PRIMARY KEY, status text NOT NULL, capabilities text[] NOT NULL DEFAULT '{{}}',
                         last_heartbeat timestamptz, registered_at timestamptz DEFAULT now());
CREATE TABLE {s}.tasks (id bigserial PRIMARY KEY, status text NOT NULL, assigned_agent_id text,
                        required_capabilities text[], created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON {s}.tasks (created_at);
"""


class House:
    """A platform of agents: registry rows, beats, streams with consumers, tasks."""

    def __init__(self, dsn, bus, make_context):
        self.make, self.s = make_context, f"s{uuid.uuid4().hex[:8]}"
        self.db = psycopg.connect(dsn, autocommit=True)
        self.db.execute(SCHEMA.format(s=self.s))
        self.raw = redis.Redis(port=bus.port)
        self.clients = {"database": PostgresClient("database", dsn), "bus": RedisClient("bus", bus.url)}
        self.state = KIND.load_state(None)
        self.options = RegistryOptions(
            agents={
                "table": f"{self.s}.agents",
                "capabilities": "capabilities",
                "registered_at": "registered_at",
            },
            tasks={"table": f"{self.s}.tasks", "required_capabilities": "required_capabilities"},
            heartbeats={"key": "beats"},
            consumers={"streams": "messages:*"},
        )

    def register(self, name, status="ACTIVE", capabilities=()):
        self.db.execute(
            f"INSERT INTO {self.s}.agents (id, status, capabilities) VALUES (%s, %s, %s)",
            (name, status, list(capabilities)),
        )

    def beat(self, name, age=0.0):
        self.raw.zadd("beats", {name: time.time() - age})

    def listen(self, stream, name):
        """A consumer that has read what was there."""
        with contextlib.suppress(redis.ResponseError):
            self.raw.xgroup_create(f"messages:{stream}", f"group_{stream}", "0", mkstream=True)
        self.raw.xadd(f"messages:{stream}", {"to": stream})
        entries = self.raw.xreadgroup(f"group_{stream}", name, {f"messages:{stream}": ">"})
        return [entry for entry, _ in entries[0][1]]

    def settle(self, name, capabilities=()):
        """An agent with all of it."""
        self.register(name, capabilities=capabilities)
        self.beat(name)
        for entry in self.listen(name, name):
            self.raw.xack(f"messages:{name}", f"group_{name}", entry)

    def task(self, status, agent=None, required=None, count=1):
        for _ in range(count):
            self.db.execute(
                f"INSERT INTO {self.s}.tasks (status, assigned_agent_id, required_capabilities) VALUES (%s, %s, %s)",
                (status, agent, required),
            )

    async def poll(self):
        return await KIND.run(self.options, self.make(self.clients, self.state))

    async def twice(self, between=lambda: None):
        await self.poll()
        between()
        return await self.poll()

    async def close(self):
        for client in self.clients.values():
            await client.close()
        self.db.execute(f"DROP SCHEMA {self.s} CASCADE")
        self.db.close()
        self.raw.close()


@pytest.fixture(params=["valkey", "redis7"])
async def house(request, postgres, make_context):
    house = House(postgres.dsn(), request.getfixturevalue(request.param), make_context)
    yield house
    await house.close()


@pytest.fixture
async def one(valkey, postgres, make_context):
    house = House(postgres.dsn(), valkey, make_context)
    yield house
    await house.close()


def mismatches(finding):
    return {kind: found["count"] for kind, found in finding.evidence.get("mismatches", {}).items()}


async def test_a_healthy_house(house):
    """Five agents with everything, one sleeping: nothing is wrong, and figures per agent are there."""
    for n in range(5):
        house.settle(f"agent-{n}", ["x"])
    house.register("sleeper", "Sleeping")
    house.task("completed", "agent-1", count=3)
    house.task("IN_PROGRESS", "agent-1", count=2)
    house.task("pending", required=["x"])
    finding = await house.twice()
    assert finding.status is Status.UP
    assert mismatches(finding) == {}
    assert finding.key == ("live agents", "5 of 5")
    expected = {"status": "active", "tasks_completed": 3, "tasks_open": 2}
    assert finding.evidence["agents"]["agent-1"] == expected
    assert finding.evidence["agents"]["sleeper"]["status"] == "sleeping"


async def test_a_known_number_of_each_mismatch(house):
    """7 ghosts, 3 zombies, 2 unregistered, 4 orphaned tasks, 1 twin, 5 uncovered, 2 clocks: exactly these."""
    for n in range(6):
        house.settle(f"good-{n}", ["x"])
    for n in range(7):
        house.register(f"ghost-{n}")
        house.beat(f"ghost-{n}", age=100 + n)
    for n in range(3):
        house.beat(f"zombie-{n}")
    for n in range(2):
        for entry in house.listen(f"stranger-{n}", f"stranger-{n}"):
            house.raw.xack(f"messages:stranger-{n}", f"group_stranger-{n}", entry)
    house.task("assigned", "nobody", count=3)
    house.task("assigned", "ghost-1")
    house.options = house.options.model_copy(
        update={
            "consumers": house.options.consumers.model_copy(
                update={"agent_of_consumer": r"(?P<agent>[a-z]+-\d+)(\.\d+)?"}
            )
        }
    )
    house.listen("good-0", "good-0.1")
    house.listen("good-0", "good-0.2")
    house.task("pending", required=["x", "y"], count=5)
    for n in (4, 5):
        house.beat(f"good-{n}", age=-30)
    finding = await house.twice(between=lambda: [house.beat(f"zombie-{n}") for n in range(3)])
    assert mismatches(finding) == {
        "ghost": 7, "zombie": 3, "unregistered": 2, "orphan": 4, "twin": 1, "uncovered": 5, "clock_ahead": 2,
    }  # fmt: skip
    assert finding.status is Status.DEGRADED
    ghosts = finding.evidence["mismatches"]["ghost"]
    assert ghosts["sample"] == [f"ghost-{n}" for n in range(7)]
    assert ghosts["remedy"] in finding.guidance
    rows = {row.labels["kind"]: row.values["agent_mismatches"] for row in finding.rows if "kind" in row.labels}
    assert rows["ghost"] == 7
    assert rows["deaf"] == 0


async def test_deaf_agents(house):
    """Alive without a consumer: found at once where the server lists waiting consumers, else when entries wait."""
    house.settle("good")
    for n in range(3):
        house.register(f"deaf-{n}")
        house.beat(f"deaf-{n}")
        house.raw.xgroup_create(f"messages:deaf-{n}", f"group_deaf-{n}", "0", mkstream=True)
        house.raw.xadd(f"messages:deaf-{n}", {"to": "it"}, id=f"{int((time.time() - 90) * 1000)}-0")
    finding = await house.twice()
    assert mismatches(finding) == {"deaf": 3}


async def test_the_sets_are_read_in_the_order_that_removes_races(one, monkeypatch):
    """Consumers, registry with tasks, heartbeats, consumers again."""
    one.settle("a")
    await one.poll()
    order = []
    bus, database = one.clients["bus"], one.clients["database"]

    def record(client, method, name):
        real = getattr(client, method)

        def call(*args, **kwargs):
            order.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(client, method, call)

    record(bus, "pipeline", "consumers")
    record(bus, "call", "heartbeats")
    record(database, "snapshot", "registry")
    await one.poll()
    assert list(dict.fromkeys(order[: order.index("registry")])) == ["consumers"]
    assert list(dict.fromkeys(order[order.index("registry") :])) == ["registry", "heartbeats", "consumers"]


async def test_one_poll_accuses_nobody(one):
    """A single reading may be a race."""
    one.register("ghost")
    assert mismatches(await one.poll()) == {}
    assert mismatches(await one.poll()) == {"ghost": 1}


async def test_nobody_alive_is_down(one):
    """All active agents are ghosts."""
    one.register("a")
    one.register("b")
    assert (await one.twice()).status is Status.DOWN


async def test_the_last_beat_of_a_leaver_is_no_zombie(one):
    """It deregistered in order; its beat stays fresh for the ttl."""
    one.beat("left")
    assert mismatches(await one.twice()) == {}


async def test_statuses_that_no_list_names_are_told(one):
    """Free text does not become active or dead by guess."""
    one.register("a", "ACTIVE-PRIORITY")
    finding = await one.twice()
    assert finding.evidence["unmapped_statuses"] == {"active-priority": 1}
    assert mismatches(finding) == {}


async def test_milliseconds_and_a_heartbeat_column(one):
    """Scores in ms; or a column, by the database's clock."""
    one.register("a")
    one.raw.zadd("beats", {"a": time.time() * 1000})
    one.options = one.options.model_copy(
        update={"heartbeats": one.options.heartbeats.model_copy(update={"unit": "milliseconds"}), "consumers": None}
    )
    assert mismatches(await one.twice()) == {}
    agents = one.options.agents.model_copy(update={"last_heartbeat": "last_heartbeat"})
    one.options = one.options.model_copy(update={"heartbeats": None, "agents": agents})
    one.db.execute(f"UPDATE {one.s}.agents SET last_heartbeat = now() - interval '61 s'")
    one.register("b")
    assert mismatches(await one.twice()) == {"ghost": 2}
    one.db.execute(f"UPDATE {one.s}.agents SET last_heartbeat = now()")
    assert mismatches(await one.twice()) == {}


async def test_every_row_fits_its_declaration(one):
    """Labels of each row are those that its measurements declare; all kinds exist at zero."""
    one.settle("a", ["x"])
    finding = await one.poll()
    declared = {m.name: set(m.labels) for m in KIND.measurements}
    assert {name for row in finding.rows for name in row.values} == set(declared)
    assert all(declared[name] == set(row.labels) for row in finding.rows for name in row.values)
    assert sum("kind" in row.labels for row in finding.rows) == 8


async def test_registrations_survive_a_restart(one):
    """The counter is in the document; the first reading after a restart is a baseline again."""
    one.settle("a")
    await one.poll()
    one.settle("b")
    await one.poll()
    one.state = KIND.load_state(json.loads(json.dumps(one.state.dump())))
    finding = await one.poll()
    assert next(r.values["agent_registrations"] for r in finding.rows if "agent_registrations" in r.values) == 1


async def test_a_missing_column_is_named(one):
    """The message names it."""
    agents = one.options.agents.model_copy(update={"capabilities": "no_such_one"})
    one.options = one.options.model_copy(update={"agents": agents})
    with pytest.raises(SubjectError, match="no_such_one"):
        await one.poll()


async def test_row_level_security_is_blind(one, postgres):
    """No agents seen is not "no agents"."""
    role = f"r{one.s}"
    one.db.execute(f"ALTER TABLE {one.s}.agents ENABLE ROW LEVEL SECURITY; CREATE ROLE {role} LOGIN")
    one.db.execute(f"GRANT USAGE ON SCHEMA {one.s} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {one.s} TO {role}")
    await one.clients["database"].close()
    one.clients["database"] = PostgresClient("database", postgres.dsn(user=role))
    with pytest.raises(NotMeasurable, match="blind"):
        await one.poll()
    one.db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_large_task_table_without_index_is_refused(one):
    """The index to create is in the guidance."""
    one.db.execute(f"CREATE TABLE {one.s}.bare (LIKE {one.s}.tasks)")
    one.db.execute(
        f"INSERT INTO {one.s}.bare SELECT n, repeat('x', 1000), 'a', null, now() FROM generate_series(1, 45000) n"
    )
    tasks = one.options.tasks.model_copy(update={"table": f"{one.s}.bare"})
    one.options = one.options.model_copy(update={"tasks": tasks})
    with pytest.raises(NotMeasurable, match="refused to poll") as refused:
        await one.poll()
    assert "CREATE INDEX CONCURRENTLY" in refused.value.guidance


async def test_an_absent_bus_is_the_buss_fault(one):
    """Redis away: unreachable, and no agent is called deaf for it."""
    await one.clients["bus"].close()
    one.clients["bus"] = RedisClient("bus", "redis://127.0.0.1:1/0")
    with pytest.raises(TargetUnreachable):
        await one.poll()


@pytest.mark.parametrize("pattern", ["(", "(.+)"])
def test_a_pattern_without_the_agent_is_refused(pattern):
    """Configuration errors are told at the door."""
    with pytest.raises(ValueError, match=r"needs a group|no regular expression"):
        RegistryOptions(consumers={"streams": "s:*", "agent_of_consumer": pattern})
