"""The demo platform end to end: real servers, real processes, counted directly in Redis and
PostgreSQL.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from sentinel.demo.bus import AGENTS, DEAD_LETTERS, PING, envelope, group_of, stream_of
from sentinel.demo.chaos import Chaos, Scenario, find_scenario
from sentinel.demo.ledger import read_ledgers
from sentinel.demo.platform import TENANT_A, TENANT_B, Platform
from sentinel.demo.truth import read_truth


class Crew:
    """A small supervisor: starts components, knows their pids, starts again what died."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        environment = {**os.environ, **self.platform.environment()}
        for name in names or self.platform.commands():
            self.processes[name] = subprocess.Popen(self.platform.commands()[name], env=environment)

    def pid(self, name: str) -> int | None:
        process = self.processes.get(name)
        return process.pid if process is not None and process.poll() is None else None

    def revive(self) -> None:
        self.start(
            *[name for name, process in self.processes.items() if process.poll() is not None]
            or ["load"]
        )

    def stop(self, *names: str) -> dict[str, int]:
        chosen = {name: self.processes[name] for name in names or self.processes}
        for process in chosen.values():
            process.terminate()
        return {name: process.wait(10) for name, process in chosen.items()}

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def play(self, scenario: Scenario, until: float | None = None) -> None:
        asyncio.run(Chaos(self.platform, self.pid).run([scenario], until))

    def rows(self, query: str, *parameters: Any, user: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.platform.postgres.dsn("platform", user), autocommit=True
        ) as connection:
            return connection.execute(query, parameters).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        return self.rows(query, *parameters)[0][0]

    @property
    def redis(self) -> redis.Redis:
        return redis.Redis(port=self.platform.valkey.port, protocol=2)

    def truth(self, **options: Any) -> dict[str, Any]:
        url = self.platform.environment()["DEMO_SENTINEL_DATABASE_URL"]
        options = {
            "deadline_seconds": 5.0,
            "redis_url": self.platform.valkey.url,
            "database_url": url,
            **options,
        }
        return read_truth(self.platform.folder, **options)

    def ask(
        self, path: str, tenant: str = TENANT_A, token: str = "A", body: object = None
    ) -> tuple[int, Any]:
        environment = self.platform.environment()
        headers = {
            "X-Tenant-Id": tenant,
            "Authorization": f"Bearer {environment.get('DEMO_TOKEN_' + token, token)}",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(environment["DEMO_API_URL"] + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def drain(self) -> None:
        """Stop the load and wait until the platform has nothing left to do."""
        self.stop("load")
        wait_for(
            lambda: (
                self.one("SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'failed')")
                == 0
            )
        )
        wait_for(lambda: all(self.open_entries(agent) == 0 for agent in AGENTS))

    def open_entries(self, agent: str) -> int:
        group = self.redis.xinfo_groups(stream_of(agent))[0]
        return group["pending"] + len(
            self.redis.xrange(stream_of(agent), b"(" + group["last-delivered-id"], "+")
        )


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.03)


def at_once(name: str, duration: float = 0.0, **params: Any) -> Scenario:
    """A scenario of the catalogue, now and short."""
    scenario = find_scenario(name)
    return dataclasses.replace(
        scenario, start=0.0, duration=duration, params={**scenario.params, **params}
    )


def _working(crew: Crew) -> Crew:
    crew.start()
    wait_for(lambda: crew.one("SELECT count(*) FROM tasks WHERE status = 'completed'") >= 5)
    return crew


@pytest.fixture
def crew() -> Iterator[Crew]:
    """A platform of this test's own, at work."""
    with Platform(rate=40) as platform:
        crew = Crew(platform)
        try:
            yield _working(crew)
        finally:
            crew.kill()


@pytest.fixture(scope="module")
def shared() -> Iterator[Crew]:
    """A platform at work for tests that leave it as they found it."""
    with Platform(rate=40) as platform:
        crew = Crew(platform)
        try:
            yield _working(crew)
        finally:
            crew.kill()


# --- work, truth, stopping ------------------------------------------------------------------------


def test_work_is_done_and_the_truth_equals_direct_counting(crew: Crew) -> None:
    """Tasks and flows complete, and the ledgers' figures are the servers' figures, confirmations
    missing or not.
    """
    wait_for(lambda: crew.one("SELECT count(*) FROM flows WHERE status = 'completed'") >= 5)
    crew.drain()
    truth = crew.truth()
    added = sum(crew.redis.xinfo_stream(stream_of(agent))["entries-added"] for agent in AGENTS)
    expected = {
        "published": added,
        "acknowledged": added,
        "pending": 0,
        "waiting": 0,
        "dropped": 0,
        "lost": [0, 0],
    }
    assert {name: truth["delivery"][name] for name in expected} == expected
    assert truth["delivery"]["in_doubt"] == truth["delivery"]["foreign"] == 0
    total, within, p99 = crew.rows(
        "SELECT count(*), count(*) FILTER (WHERE assigned_at <= created_at + interval '100 ms'),"
        " percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM assigned_at - created_at))::float8 FROM tasks"
    )[0]
    assert truth["assignment"] == {
        "total": total, "within_100ms": within, "unassigned": 0, "p99_seconds": pytest.approx(p99), "in_doubt": 0,
    }  # fmt: skip
    for event in ("published", "acked", "task_created", "assigned"):
        _forget(crew, event)
        doubtful = crew.truth()
        assert {name: doubtful["delivery"][name] for name in expected} == expected
        assert doubtful["assignment"] == truth["assignment"]


def test_random_kills_lose_no_message(crew: Crew) -> None:
    """SIGKILL of agents and orchestrator at random: all published is acknowledged in the end, the
    ledger decidable.
    """
    dice = random.Random(7)
    for _ in range(10):
        time.sleep(dice.uniform(0.05, 0.25))
        victim = dice.choice(["orchestrator", *AGENTS])
        crew.processes[victim].kill()
        crew.processes[victim].wait()
        crew.start(victim)
    crew.drain()
    delivery = crew.truth()["delivery"]
    added = sum(crew.redis.xinfo_stream(stream_of(agent))["entries-added"] for agent in AGENTS)
    assert delivery["published"] == delivery["acknowledged"] == added
    assert delivery["lost"] == [0, 0]
    assert crew.one("SELECT count(*) FROM tasks WHERE status <> 'completed'") == 0
    assert crew.one("SELECT count(*) FROM outbox") == 0


def test_terminated_components_drain_and_exit_zero(crew: Crew) -> None:
    """SIGTERM: every component exits 0, agents deregister, the ledgers leave nothing in doubt."""
    assert set(crew.stop("load").values()) == {0}
    codes = crew.stop()
    assert codes == dict.fromkeys(codes, 0)
    assert crew.rows("SELECT DISTINCT status FROM agents") == [("inactive",)]
    assert crew.redis.zcard("agent_heartbeats") == 0
    assert crew.truth(redis_url=None)["delivery"]["in_doubt"] == 0


# --- roles and rows -------------------------------------------------------------------------------


def test_app_user_sees_one_tenant_only(shared: Crew) -> None:
    """Row-level security: tenant A sees only A, no tenant sees nothing, writing for B is refused."""
    wait_for(lambda: shared.one("SELECT count(DISTINCT tenant_id) FROM tasks") == 2)
    with psycopg.connect(shared.platform.environment()["DEMO_APP_DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (0,)
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (TENANT_A,))
        assert connection.execute("SELECT DISTINCT tenant_id::text FROM tasks").fetchall() == [
            (TENANT_A,)
        ]
        assert connection.execute("SELECT DISTINCT tenant_id::text FROM flows").fetchall() == [
            (TENANT_A,)
        ]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO flows (id, tenant_id, flow_type) VALUES (gen_random_uuid(), %s, 'x')",
                (TENANT_B,),
            )
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (0,)


def test_sentinel_sees_all_and_writes_nothing(shared: Crew) -> None:
    """The monitor's role reads every row through the views, no table, no payload, and can't write."""
    shared.drain()
    total = shared.one("SELECT count(*) FROM tasks")
    assert shared.rows("SELECT count(*) FROM watch.tasks", user="sentinel") == [(total,)]
    assert "payload" not in {row[0] for row in shared.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'watch'", user="sentinel"
    )}  # fmt: skip
    for statement in (
        "SELECT * FROM public.tasks",
        "UPDATE watch.tasks SET status = 'x' RETURNING 1",
        "DELETE FROM watch.agents RETURNING 1",
        "CREATE TEMP TABLE t (i int)",
        "CREATE TABLE t (i int)",
    ):
        with psycopg.connect(
            shared.platform.environment()["DEMO_SENTINEL_DATABASE_URL"]
        ) as connection:
            connection.execute("SET TRANSACTION READ WRITE")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    shared.start("load")


def test_sentinel_can_probe_as_app_user(shared: Crew) -> None:
    """SET LOCAL ROLE app_user gives the application's view: row security active, nothing without a
    tenant.
    """
    with psycopg.connect(shared.platform.environment()["DEMO_SENTINEL_DATABASE_URL"]) as connection:
        connection.execute("SET LOCAL ROLE app_user")
        assert connection.execute("SELECT row_security_active('public.tasks')").fetchone() == (
            True,
        )
        assert connection.execute("SELECT count(*) FROM public.tasks").fetchone() == (0,)


def test_api_keeps_tenants_apart(shared: Crew) -> None:
    """401 without a token, 403 for a forged header, 404 for the other tenant's task, 400 for
    nonsense.
    """
    status, created = shared.ask(
        "/api/tasks", TENANT_B, "B", {"type": "report", "required_capabilities": ["sql"]}
    )
    assert status == 201
    assert shared.ask(f"/api/tasks/{created['id']}", TENANT_B, "B")[0] == 200
    assert shared.ask(f"/api/tasks/{created['id']}", TENANT_A, "A")[0] == 404
    assert shared.ask("/api/tasks", TENANT_B, "A")[0] == 403
    assert shared.ask("/api/tasks", TENANT_A, "nonsense")[0] == 401
    assert shared.ask("/api/tasks/nonsense")[0] == 400
    assert shared.ask("/api/tasks?limit=x")[0] == 400
    assert shared.ask("/api/tasks", body=["no object"])[0] == 400
    tasks = shared.ask("/api/tasks?limit=200")[1]["tasks"]
    assert {task["tenant_id"] for task in tasks} == {TENANT_A}
    assert {flow["tenant_id"] for flow in shared.ask("/api/flows")[1]["flows"]} == {TENANT_A}


# --- chaos ----------------------------------------------------------------------------------------


def test_crash_kills_once_and_the_rest_goes_on(shared: Crew) -> None:
    """crash-agent and crash-orchestrator end exactly that process; started again it takes up its
    work.
    """
    for name, component in (("crash-agent", "agent-2"), ("crash-orchestrator", "orchestrator")):
        shared.play(at_once(name))
        assert shared.processes[component].wait(5) == -signal.SIGKILL
        shared.start(component)
    done = shared.one(
        "SELECT count(*) FROM tasks WHERE status = 'completed' AND assigned_agent_id = 'agent-2'"
    )
    query = (
        "SELECT count(*) FROM tasks WHERE status = 'completed' AND assigned_agent_id = 'agent-2'"
    )
    wait_for(lambda: shared.one(query) > done)


def test_crash_loop_ends_each_start_until_lifted(shared: Crew) -> None:
    """The agent ends at once with 1 while the fault lasts, and lives after it."""

    async def scenario() -> list[int]:
        run = asyncio.create_task(
            Chaos(shared.platform, shared.pid).run([at_once("crash-loop", 60)])
        )
        codes = [await asyncio.to_thread(shared.processes["agent-3"].wait, 5)]
        for _ in range(2):
            shared.start("agent-3")
            codes.append(await asyncio.to_thread(shared.processes["agent-3"].wait, 5))
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        return codes

    assert asyncio.run(scenario()) == [-signal.SIGKILL, 1, 1]
    shared.start("agent-3")
    wait_for(lambda: shared.redis.zscore("agent_heartbeats", "agent-3") > time.time() - 0.5)


def test_an_agent_answers_pings(shared: Crew) -> None:
    """A ping comes back with the agent's name and its payload read and written anew; one that can't
    be answered ends as a dead letter; both are messages like all others in the truth."""
    before = shared.redis.xlen(DEAD_LETTERS)
    ping = {
        **envelope(PING, "sentinel", "agent-1", {"ping": 1}),
        "reply_to": "answers",
        "publication": "sentinel#a:1",
    }
    shared.redis.xadd(stream_of("agent-1"), ping)
    wait_for(lambda: shared.redis.xlen("answers") == 1)
    ((_, answer),) = shared.redis.xrange("answers")
    assert json.loads(answer[b"payload"]) == {"ping": 1}
    assert [name for name, _ in json.loads(answer[b"hops"])] == ["agent-1"]
    shared.redis.xadd(
        stream_of("agent-1"),
        {**ping, "reply_to": "agent_heartbeats", "publication": "sentinel#a:2"},
    )
    wait_for(lambda: shared.redis.xlen(DEAD_LETTERS) == before + 1)
    shared.drain()
    delivery = shared.truth()["delivery"]
    added = sum(shared.redis.xinfo_stream(stream_of(agent))["entries-added"] for agent in AGENTS)
    assert delivery["published"] == delivery["acknowledged"] == added
    shared.start("load")


def test_wedged_agent_is_thawed_even_when_the_run_is_cut_short(shared: Crew) -> None:
    """SIGSTOP for the duration; `until` ends it early, and the process runs again."""
    pid = shared.pid("agent-2")
    states = []

    async def scenario() -> None:
        run = asyncio.create_task(
            Chaos(shared.platform, shared.pid).run([at_once("wedge-agent", 60)], until=0.5)
        )
        await asyncio.sleep(0.2)
        states.append(_state(pid))
        await run

    asyncio.run(scenario())
    assert states == ["T"]
    assert _state(pid) != "T"


def test_stopped_assigner_leaves_tasks_pending(shared: Crew) -> None:
    """slow-assigner: no task is assigned while it lasts; afterwards all are, with the latency they
    really had.
    """
    since = time.time()
    shared.play(at_once("slow-assigner", 2.0))
    query = (
        "SELECT count(*) FROM tasks"
        " WHERE created_at >= to_timestamp(%s) AND assigned_at > created_at + interval '100 ms'"
    )
    wait_for(lambda: shared.one(query, since) > 0)
    wait_for(lambda: shared.one("SELECT count(*) FROM tasks WHERE status = 'pending'") == 0)
    slow = shared.one(query, since)
    assignment = shared.truth(since=since)["assignment"]
    assert assignment["total"] - assignment["within_100ms"] - assignment["unassigned"] == slow
    assert assignment["p99_seconds"] > 0.1


def test_delayed_assigner_is_late_but_assigns(shared: Crew) -> None:
    """slow-assigner with a delay: tasks of that time are assigned, none earlier than the delay."""
    since = shared.one("SELECT clock_timestamp()")
    shared.play(at_once("slow-assigner", 1.2, delay_seconds=0.3))
    query = (
        "SELECT count(*), min(assigned_at - created_at) FROM tasks"
        " WHERE created_at > %s + interval '0.3 s' AND assigned_at < %s + interval '1 s'"
    )
    count, fastest = shared.rows(query, since, since)[0]
    assert count > 0
    assert fastest.total_seconds() >= 0.3


def test_poison_ends_as_dead_letter_and_acknowledged(shared: Crew) -> None:
    """Each poison message is tried three times, put to the dead letters, and leaves the pending
    list.
    """
    before = shared.redis.xlen(DEAD_LETTERS)
    shared.play(at_once("poison-message", count=3))
    wait_for(lambda: shared.redis.xlen(DEAD_LETTERS) == before + 3)
    letters = [
        json.loads(fields[b"payload"])
        for _, fields in shared.redis.xrevrange(DEAD_LETTERS, count=3)
    ]
    assert {letter["tries"] for letter in letters} == {3}
    ids = [letter["id"] for letter in letters]
    wait_for(lambda: not any(_pending_ids(shared, "agent-1") & set(ids) for _ in "x"))


def test_stuck_flows_stay_initialized_until_lifted(shared: Crew) -> None:
    """Exactly `count` flows, as old as asked, stay in "initialized"; afterwards they are cancelled."""
    query = "SELECT count(*) FROM flows WHERE status = 'initialized' AND created_at < clock_timestamp() - interval '1 h'"  # noqa: E501
    seen = []

    async def scenario() -> None:
        run = asyncio.create_task(
            Chaos(shared.platform, shared.pid).run([at_once("stuck-flow", 1.2)])
        )
        await asyncio.sleep(0.9)
        seen.append(shared.one(query))
        await run

    asyncio.run(scenario())
    assert seen == [7]
    assert shared.one(query) == 0


def test_tenant_leak_shows_rows_of_the_other_and_is_mended(shared: Crew) -> None:
    """Both ways of the leak open, for database and API alike, and both are closed afterwards."""

    def leaks() -> tuple[bool, bool, bool]:
        listed = {task["tenant_id"] for task in shared.ask("/api/tasks?limit=200")[1]["tasks"]}
        without = shared.rows("SELECT count(*) FROM tasks", user="app_user")[0][0]
        return TENANT_B in listed, without > 0, shared.ask("/api/tasks", TENANT_B, "A")[0] == 200

    async def scenario() -> tuple[bool, bool, bool]:
        run = asyncio.create_task(
            Chaos(shared.platform, shared.pid).run([at_once("tenant-leak", 60)])
        )
        await asyncio.sleep(0.4)
        seen = await asyncio.to_thread(leaks)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        return seen

    assert asyncio.run(scenario()) == (True, True, True)
    assert leaks() == (False, False, False)


def test_lost_messages_are_exactly_as_many_as_asked(crew: Crew) -> None:
    """lose-messages removes N unread entries: they are never acknowledged, all others are, the
    truth says N.
    """
    crew.play(at_once("lose-messages", count=25, settle_seconds=0.3))
    crew.stop("load")
    wait_for(lambda: all(crew.open_entries(agent) == 0 for agent in AGENTS))
    delivery = crew.truth()["delivery"]
    assert delivery["lost"] == [25, 25]
    assert delivery["published"] == delivery["acknowledged"] + 25
    added = sum(crew.redis.xinfo_stream(stream_of(agent))["entries-added"] for agent in AGENTS)
    assert delivery["published"] == added
    assert delivery["ratio"][1] <= 1 - 25 / added + 1e-9


def test_unjournaled_trim_is_found_by_the_look(crew: Crew) -> None:
    """Even a loss that nobody journaled is in the truth: published, never received, not in the
    stream.
    """
    crew.drain()
    os.kill(crew.pid("agent-1") or 0, signal.SIGSTOP)
    crew.stop("agent-2", "orchestrator")
    time.sleep(0.4)
    scenario = at_once("poison-message", agent="agent-1", count=5)
    crew.play(scenario)
    length = crew.redis.xlen(stream_of("agent-1"))
    crew.redis.xtrim(stream_of("agent-1"), maxlen=0, approximate=False)
    assert length >= 5
    assert crew.truth()["delivery"]["lost"] == [5, 5]


def test_evicted_stream_gets_its_group_again(shared: Crew) -> None:
    """evict-stream: the agent makes its group anew and works on; every entry still has exactly one
    outcome.
    """
    shared.play(at_once("evict-stream"))
    wait_for(
        lambda: any(r["event"] == "group_recreated" for r in read_ledgers(shared.platform.folder))
    )
    wait_for(
        lambda: (
            shared.redis.exists(stream_of("agent-1"))
            and shared.redis.xlen(stream_of("agent-1")) > 3
        )
    )
    assert [g["name"].decode() for g in shared.redis.xinfo_groups(stream_of("agent-1"))] == [
        group_of("agent-1")
    ]
    shared.stop("load")
    wait_for(lambda: all(shared.open_entries(agent) == 0 for agent in AGENTS))
    delivery = shared.truth()["delivery"]
    settled = delivery["acknowledged"] + delivery["dropped"] + delivery["lost"][0]
    assert delivery["published"] == settled
    assert delivery["pending"] == delivery["waiting"] == delivery["in_doubt"] == 0
    shared.start("load")


def test_servers_go_and_come_back_and_all_components_live(crew: Crew) -> None:
    """The platform survives: no component dies, the API says unhealthy meanwhile, nothing published
    is lost.
    """
    for name in ("redis-down", "postgres-down"):
        assert asyncio.run(_health_during(crew, at_once(name, 1.0))) == "unhealthy"
        assert all(crew.pid(name) for name in crew.processes)
        wait_for(lambda: crew.ask("/health")[1]["status"] == "healthy")
    done = crew.one("SELECT count(*) FROM tasks WHERE status = 'completed'")
    wait_for(lambda: crew.one("SELECT count(*) FROM tasks WHERE status = 'completed'") > done + 5)
    crew.drain()
    delivery = crew.truth()["delivery"]
    assert delivery["published"] == delivery["acknowledged"]
    assert delivery["lost"] == [0, 0]


async def _health_during(crew: Crew, scenario: Scenario) -> str:
    run = asyncio.create_task(Chaos(crew.platform, crew.pid).run([scenario]))
    await asyncio.sleep(0.7)
    status = (await asyncio.to_thread(crew.ask, "/health"))[1]["status"]
    await run
    return str(status)


def test_cancelled_outage_brings_the_server_back(shared: Crew) -> None:
    """Chaos is liftable: cut short in the middle of an outage the server runs again."""
    shared.play(at_once("redis-down", 60), until=0.5)
    assert shared.redis.ping()


def test_a_scenario_that_another_one_foils_is_journaled(crew: Crew) -> None:
    """No bus to lose messages on: that scenario says so, the outage goes on and is undone, and
    nothing is raised.
    """
    doomed = dataclasses.replace(at_once("lose-messages"), start=0.3)
    outage = at_once("redis-down", 2.0)
    asyncio.run(Chaos(crew.platform, crew.pid).run([outage, doomed]))
    told = [r for r in read_ledgers(crew.platform.folder) if r["event"] == "chaos"]
    assert [r["scenario"] for r in told if r["phase"] == "failed"] == ["lose-messages"]
    assert {r["scenario"] for r in told if r["phase"] == "end"} == {"lose-messages", "redis-down"}
    assert _state(crew.pid("agent-4")) != "T"
    assert crew.redis.ping()


def _forget(crew: Crew, event: str) -> None:
    """Take every confirmation of that kind out of the ledgers, as if each process had been killed
    before it.
    """
    for path in (crew.platform.folder / "ledgers").glob("*.jsonl"):
        lines = [
            line for line in path.read_text().splitlines() if json.loads(line)["event"] != event
        ]
        path.write_text("".join(f"{line}\n" for line in lines))


def _state(pid: int | None) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def _pending_ids(crew: Crew, agent: str) -> set[str]:
    entries = crew.redis.xpending_range(stream_of(agent), group_of(agent), "-", "+", 1000)
    return {entry["message_id"].decode() for entry in entries}
