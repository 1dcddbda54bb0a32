"""The registry against real servers: a known number of each mismatch is injected, exactly that is
found.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import uuid

import psycopg
import pytest
import redis

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.agents.confirmation import Confirmation
from sentinel.core.agents.suspects import KINDS
from sentinel.core.fault import Status
from sentinel.core.quantity import Bounds
from sentinel.errors import NotMeasurable, SubjectError, TargetUnreachable
from sentinel.probes.registry import KIND, RegistryOptions

SCHEMA = """
CREATE SCHEMA {s};
CREATE TABLE {s}.agents (id text PRIMARY KEY, status text NOT NULL, capabilities text[] NOT NULL DEFAULT '{{}}',
                         last_heartbeat timestamptz, registered_at timestamptz DEFAULT now() - interval '1 h',
                         boot_id text);
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
        self.clients = {
            "database": PostgresClient("database", dsn),
            "bus": RedisClient("bus", bus.url),
        }
        self.state = KIND.load_state(None)
        self.document = {
            "agents": {
                "table": f"{self.s}.agents",
                "capabilities": "capabilities",
                "registered_at": "registered_at",
                "boot_id": "boot_id",
            },
            "tasks": {"table": f"{self.s}.tasks", "required_capabilities": "required_capabilities"},
            "heartbeats": {"key": "beats"},
            "consumers": {"streams": "messages:*"},
        }

    @property
    def options(self):
        return RegistryOptions.model_validate(self.document)

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

    def read_on(self, stream, *names):
        """Consumers that read one more entry each."""
        for name in names:
            self.raw.xadd(f"messages:{stream}", {"to": stream})
            self.raw.xreadgroup(f"group_{stream}", name, {f"messages:{stream}": ">"})

    def leave(self, name):
        """Stop in good order: stop listening, deregister; the beat is left to expire."""
        self.raw.xgroup_delconsumer(f"messages:{name}", f"group_{name}", name)
        self.db.execute(f"DELETE FROM {self.s}.agents WHERE id = %s", (name,))

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

    def change(self, **options):
        """Other options from now on; those of a section are merged into it."""
        for name, value in options.items():
            before = self.document.get(name)
            merged = isinstance(value, dict) and isinstance(before, dict)
            self.document[name] = {**before, **value} if merged else value

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


async def test_the_sets_are_counted_each_by_itself(one):
    """Heartbeats count whoever beats, registered or not; a registration without a beat is none."""
    for n in range(2):
        one.settle(f"agent-{n}")
    one.change(agents={"registered_at": "registered_at"})
    one.db.execute(
        f"INSERT INTO {one.s}.agents (id, status, registered_at) VALUES ('new', 'active', now())"
    )
    for n in range(3):
        one.beat(f"zombie-{n}")
    one.beat("long-gone", age=3600)
    finding = await one.poll()
    counts = {
        row.labels["source"]: row.values["agents"] for row in finding.rows if "agents" in row.values
    }
    assert counts["registry"] == 3
    assert counts["heartbeat"] == 5
    assert finding.key == ("live agents", "3 of 3")


def inject(house):
    """Agents of every class: 8 good, 3 asleep, 7 ghosts, 3 zombies, 3 to be split, 2 strangers, 2
    that left.
    """
    for n in range(8):
        house.settle(f"good-{n}", ["x", f"c{n}"])
    for n in range(7):
        house.register(f"ghost-{n}")
        house.beat(f"ghost-{n}", age=100 + n)
    for n in range(3):
        house.register(f"asleep-{n}", "Sleeping", ["nap"])
        house.beat(f"zombie-{n}")
        house.settle(f"split-{n}")
    for n in range(2):
        house.listen(f"stranger-{n}", f"stranger-{n}")
        house.listen(f"left-{n}", f"left-{n}")


async def test_a_known_number_of_each_mismatch(house):
    """7 ghosts, 3 zombies, 2 unregistered, 4 orphaned tasks, 1 twin, 3 splits, 5 + 2 uncovered, 2
    clocks: exactly.
    """
    inject(house)
    house.task("assigned", "nobody", count=3)
    house.task("assigned", "ghost-1")
    house.task("assigned", "asleep-1")
    house.change(
        heartbeats={"member": r"(?P<agent>[a-z]+-\d+)(@(?P<boot>\w+))?"},
        consumers={"agent_of_consumer": r"(?P<agent>[a-z]+-\d+)(\.\d+)?"},
    )
    for name in ("good-0.1", "good-0.2", "good-1.1", "good-1.2"):
        house.listen(name.split(".")[0], name)
    house.task("pending", required=["x", "y"], count=4)
    house.task("pending", required=["nap"], count=1)
    house.task("pending", required=["c1", "c2"], count=2)
    house.task("pending", required=["x", "c1"], count=6)
    for n in (4, 5):
        house.beat(f"good-{n}", age=-30)

    for n in range(3):
        house.beat(f"split-{n}@b1", age=3)
        house.beat(f"split-{n}@b2", age=3)
        house.beat(f"good-{n}@b1", age=3)
        house.beat(f"good-{n}@b2", age=1)
    await house.poll()
    time.sleep(1.1)
    for n in range(3):
        house.beat(f"zombie-{n}")
        house.beat(f"split-{n}@b1", age=1)
        house.beat(f"split-{n}@b2")
        house.beat(f"good-{n}@b2")
    for name in ("stranger-0", "stranger-1", "good-0.1", "good-0.2", "good-1.2"):
        house.read_on(name.split(".")[0], name)
    finding = await house.poll()
    assert mismatches(finding) == {
        "ghost": 7, "zombie": 3, "unregistered": 2, "orphan": 4, "twin": 1, "split": 3, "uncovered": 5,
        "uncovered_combination": 2, "clock_ahead": 2,
    }  # fmt: skip
    assert finding.status is Status.DEGRADED
    named = [each.subject["agent"] for each in finding.faults if each.key == "ghost"]
    assert named == [f"ghost-{n}" for n in range(7)]
    tasks = {each.key: each.count for each in finding.faults if each.subject == {"agent": "nobody"}}
    assert tasks == {"orphan": Bounds(3, 3)}
    ghosts = finding.evidence["mismatches"]["ghost"]
    assert ghosts["sample"] == [f"ghost-{n}" for n in range(7)]
    assert ghosts["remedy"] in finding.guidance
    assert "only asleep: asleep-0" in finding.evidence["mismatches"]["uncovered"]["sample"][0]
    rows = {
        row.labels["kind"]: row.values["agent_mismatches"]
        for row in finding.rows
        if "kind" in row.labels
    }
    assert rows["ghost"] == 7
    assert rows["deaf"] == 0
    (uncovered,) = [
        row.values["capability_uncovered_tasks"] for row in finding.rows if not row.labels
    ]
    assert uncovered == 7


async def test_rows_with_boot_ids(one):
    """2 names with two boots that both beat are split; 3 that were restarted, 1 with two rows of
    one boot is a twin.
    """
    one.db.execute(f"ALTER TABLE {one.s}.agents DROP CONSTRAINT agents_pkey")
    one.change(agents={"last_heartbeat": "last_heartbeat"}, heartbeats=None, consumers=None)

    def add(name, boot, age):
        one.db.execute(
            f"INSERT INTO {one.s}.agents (id, status, boot_id, last_heartbeat)"
            " VALUES (%s, 'active', %s, now() - %s * interval '1 s')",
            (name, boot, age),
        )

    def beat(boots):
        one.db.execute(
            f"UPDATE {one.s}.agents SET last_heartbeat = now() WHERE boot_id = ANY (%s)", (boots,)
        )

    for n in range(2):
        add(f"split-{n}", "old", 3)
        add(f"split-{n}", "new", 2)
    for n in range(3):
        add(f"restarted-{n}", "before", 3)
        add(f"restarted-{n}", "new", 2)
    for _ in range(2):
        add("twin", "new", 1)
    finding = await one.twice(lambda: beat(["old", "new"]))
    assert mismatches(finding) == {"split": 2, "twin": 1}
    assert finding.key == ("live agents", "6 of 6")


async def test_one_row_that_two_processes_write(one):
    """The boot id of a row comes back after another one took its place: 1 split; 2 restarts are
    none.
    """
    one.change(agents={"last_heartbeat": "last_heartbeat"}, heartbeats=None, consumers=None)
    for name in ("split", "again", "steady"):
        one.register(name)

    def write(name, boot):
        one.db.execute(
            f"UPDATE {one.s}.agents SET boot_id = %s, last_heartbeat = now(),"
            " registered_at = CASE boot_id WHEN %s THEN registered_at ELSE now() END WHERE id = %s",
            (boot, boot, name),
        )

    found = []
    for split, again in (("A", "1"), ("B", "2"), ("A", "3")):
        write("split", split)
        write("again", again)
        write("steady", "x")
        found.append(mismatches(await one.poll()))
    assert found == [{}, {}, {"split": 1}]


async def test_an_agent_that_registers_again_and_again(one):
    """11 registrations in an hour are flapping, 10 are not; the figure of the hour is there."""
    one.change(agents={"last_heartbeat": "last_heartbeat"}, heartbeats=None, consumers=None)
    for name in ("flaps", "restarts"):
        one.register(name)
    one.db.execute(f"UPDATE {one.s}.agents SET last_heartbeat = now()")
    await one.poll()
    for n in range(11):
        names = ["flaps"] if n == 10 else ["flaps", "restarts"]
        one.db.execute(
            f"UPDATE {one.s}.agents SET registered_at = now() WHERE id = ANY (%s)", (names,)
        )
        finding = await one.poll()
    assert mismatches(finding) == {"flapping": 1}
    assert finding.evidence["registrations_last_hour"] == {"flaps": 11, "restarts": 10}
    (last_hour,) = [
        row.values["agent_registrations_last_hour"] for row in finding.rows if not row.labels
    ]
    assert last_hour == 21


async def test_deaf_agents(house):
    """Alive without a consumer: found at once where the server lists waiting consumers, else when
    entries wait.
    """
    house.settle("good")
    for n in range(3):
        house.register(f"deaf-{n}")
        house.beat(f"deaf-{n}")
        house.raw.xgroup_create(f"messages:deaf-{n}", f"group_deaf-{n}", "0", mkstream=True)
        house.raw.xadd(f"messages:deaf-{n}", {"to": "it"}, id=f"{int((time.time() - 90) * 1000)}-0")
    finding = await house.twice()
    assert mismatches(finding) == {"deaf": 3}
    places = {(f"messages:deaf-{n}", f"group_deaf-{n}") for n in range(3)}
    assert {(f.parameters["stream"], f.parameters["group"]) for f in finding.faults} == places
    assert all("the oldest entry waits 1 min 3" in each.text for each in finding.faults)


def _asks_for_no_set(args):
    first = args[0] if args else ""
    if isinstance(first, list):
        first = first[0][0] if first else "TYPE"
    return first in ("TIME", "TYPE", "XRANGE")


class Turns:
    """Lets the world move between the single requests of a poll: before request `n`, the steps that
    are due there.
    """

    def __init__(self, house, monkeypatch):
        self.n, self.due = 0, {}
        for client, methods in (("bus", ("call", "pipeline")), ("database", ("query", "snapshot"))):
            for method in methods:
                self._wrap(house.clients[client], method, monkeypatch)

    def _wrap(self, client, method, monkeypatch):
        real = getattr(client, method)

        def request(*args, **kwargs):
            if not _asks_for_no_set(args):
                for step in self.due.get(self.n, ()):
                    step()
                self.n += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(client, method, request)

    def plan(self, steps, places):
        self.n, self.due = 0, {}
        for step, place in zip(steps, places, strict=True):
            self.due.setdefault(place, []).append(step)

    def finish(self):
        """Steps that no request was left for."""
        for place, steps in sorted(self.due.items()):
            if place >= self.n:
                for step in steps:
                    step()


class Passer:
    """An agent that comes or goes in good order: registers, beats, listens; stops listening,
    deregisters.
    """

    def __init__(self, house):
        self.house = house
        self.raw, self.stream, self.group = house.raw, "messages:passer", "group_passer"
        self.raw.xgroup_create(self.stream, self.group, "$", mkstream=True)
        self.registrations = 0

    @property
    def coming(self):
        return [self.register, self.beat, self.listen]

    @property
    def going(self):
        return [self.stop_listening, self.deregister]

    def register(self):
        self.registrations += 1
        self.house.db.execute(
            f"INSERT INTO {self.house.s}.agents (id, status, registered_at) VALUES ('passer', 'active',"
            " now() - interval '1 h' + %s * interval '1 s')",
            (self.registrations,),
        )

    def beat(self):
        self.house.beat("passer")

    def listen(self):
        self.raw.xgroup_createconsumer(self.stream, self.group, "passer")
        self.house.read_on("passer", "passer")

    def stop_listening(self):
        self.raw.xgroup_delconsumer(self.stream, self.group, "passer")
        self.raw.zrem("beats", "passer")

    def deregister(self):
        self.house.db.execute(f"DELETE FROM {self.house.s}.agents WHERE id = 'passer'")


@pytest.mark.parametrize("coming", [True, False])
async def test_no_moment_of_coming_or_going_is_a_mismatch(one, monkeypatch, coming):
    """At every place between the requests of two polls in a row, an agent comes or goes in good
    order: nothing.

    With every sign taken for a later one, so that nothing but the order of reading protects it.
    """
    monkeypatch.setattr("sentinel.core.agents.suspects.ANOTHER_BEAT", float("-inf"))
    monkeypatch.setattr("sentinel.core.agents.suspects._ATTEMPT_AGAIN", float("-inf"))
    one.settle("a")
    one.change(flapping_above=1_000_000)
    passer, turns = Passer(one), Turns(one, monkeypatch)
    turns.plan([], [])
    await one.poll()
    turns.plan([], [])
    await one.poll()
    requests = turns.n
    steps, back = (passer.coming, passer.going) if coming else (passer.going, passer.coming)
    if not coming:
        for step in back:
            step()
    for places in itertools.combinations_with_replacement(range(requests + 1), len(steps)):
        one.state.confirmation = Confirmation()
        for _ in range(2):
            turns.plan(steps, places)
            finding = await one.poll()
            turns.finish()
            turns.plan([], [])
            for step in back:
                step()
        assert mismatches(finding) == {}, places


async def test_one_poll_accuses_nobody(one):
    """A single reading may be a race."""
    one.register("ghost")
    assert mismatches(await one.poll()) == {}
    assert mismatches(await one.poll()) == {"ghost": 1}


async def test_nobody_alive_is_down(one):
    """All active agents are ghosts."""
    one.register("a")
    one.register("b")
    finding = await one.twice()
    assert finding.status is Status.DOWN
    assert finding.faults[0].text == "none of 2 active agents is alive: a, b"


async def test_the_last_beat_of_a_leaver_is_no_zombie(one):
    """It deregistered in order; its beat stays fresh for the ttl."""
    one.beat("left")
    assert mismatches(await one.twice()) == {}


async def test_statuses_that_no_list_names_are_told(one):
    """Free text does not become active or dead by guess: unknown, with the remedy; the others are
    judged.
    """
    one.settle("good")
    one.register("a", "ACTIVE-PRIORITY")
    finding = await one.twice()
    assert finding.evidence["unmapped_statuses"] == {"active-priority": 1}
    assert mismatches(finding) == {}
    assert finding.status is Status.UNKNOWN
    assert "nobody mapped" in finding.detail
    assert "agents.active" in finding.guidance
    one.register("ghost")
    assert mismatches(await one.twice()) == {"ghost": 1}


async def test_milliseconds_and_a_heartbeat_column(one):
    """Scores in ms; or a column, by the database's clock."""
    one.register("a")
    one.raw.zadd("beats", {"a": time.time() * 1000})
    one.change(heartbeats={"unit": "milliseconds"}, consumers=None)
    assert mismatches(await one.twice()) == {}
    one.change(heartbeats=None, agents={"last_heartbeat": "last_heartbeat"})
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
    assert sum("kind" in row.labels for row in finding.rows) == len(KINDS)


async def test_registrations_survive_a_restart(one):
    """The counter is in the document; the first reading after a restart is a baseline again."""
    one.settle("a")
    await one.poll()
    one.settle("b")
    await one.poll()
    one.state = KIND.load_state(json.loads(json.dumps(one.state.dump())))
    finding = await one.poll()
    assert (
        next(
            r.values["agent_registrations"]
            for r in finding.rows
            if "agent_registrations" in r.values
        )
        == 1
    )


async def test_a_column_with_names(one):
    """The text calls the agent by the name that people gave it; a name column that is missing is
    told.
    """
    one.db.execute(f"ALTER TABLE {one.s}.agents ADD COLUMN called text")
    one.change(agents={"name": "called"})
    one.register("ghost-1")
    one.settle("good")
    one.db.execute(f"UPDATE {one.s}.agents SET called = 'planner' WHERE id = 'ghost-1'")
    (fault,) = (await one.twice()).faults
    assert fault.subject == {"agent": "ghost-1"}
    assert fault.text.startswith("planner (ghost-1): registered as active, and has no heartbeat")
    one.change(agents={"name": "absent"})
    one.state = KIND.load_state(None)
    with pytest.raises(SubjectError, match="absent"):
        await one.poll()


async def test_a_missing_column_is_named(one):
    """The message names it."""
    one.change(agents={"capabilities": "no_such_one"})
    with pytest.raises(SubjectError, match="no_such_one"):
        await one.poll()


async def test_row_level_security_is_blind(one, postgres):
    """No agents seen is not "no agents"."""
    role = f"r{one.s}"
    one.db.execute(
        f"ALTER TABLE {one.s}.agents ENABLE ROW LEVEL SECURITY; CREATE ROLE {role} LOGIN"
    )
    one.db.execute(
        f"GRANT USAGE ON SCHEMA {one.s} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {one.s} TO {role}"
    )
    await one.clients["database"].close()
    one.clients["database"] = PostgresClient("database", postgres.dsn(user=role))
    with pytest.raises(NotMeasurable, match="blind"):
        await one.poll()
    one.db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_large_task_table_without_index_is_refused(one):
    """The index to create is in the guidance; with it, as printed, the table is polled."""
    one.db.execute(f"CREATE TABLE {one.s}.bare (LIKE {one.s}.tasks)")
    one.db.execute(
        f"INSERT INTO {one.s}.bare SELECT n, repeat('x', 1000), 'a', null, now()"
        " - n * interval '1 min' FROM generate_series(1, 45000) n"
    )
    one.change(tasks={"table": f"{one.s}.bare"})
    with pytest.raises(NotMeasurable, match="refused to poll") as refused:
        await one.poll()
    assert "CREATE INDEX CONCURRENTLY" in refused.value.guidance
    for statement in refused.value.guidance.partition(" --")[0].split(";"):
        one.db.execute(statement or "SELECT 1")
    assert (await one.poll()).status is Status.UP


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
