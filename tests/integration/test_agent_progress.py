"""Kind `agent_progress`: a known number of agents that get nowhere, found exactly; nothing on
healthy ones.
"""

from __future__ import annotations

import dataclasses
import json

import psycopg
import pytest
import redis

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.agents.progress import AgentMemory
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.agent_progress import KIND, ProgressOptions, ProgressState

SETUP = """
drop schema if exists crew cascade; create schema crew;
create table crew.agents (id text primary key, status text default 'ACTIVE', beat timestamptz default now(),
  done text default '0', tokens bigint default 0, cost numeric default 0, task text);
create table crew.tasks (id bigserial primary key, agent text, status text default 'in_progress',
  created_at timestamptz default now(), finished_at timestamptz);
create table crew.steps (agent_id text, step text, created_at timestamptz default clock_timestamp());
"""
TASKS = {"table": "crew.tasks", "agent": "agent", "finished_at": "finished_at"}
INSTANTS = [
    [field.name for field in dataclasses.fields(AgentMemory)].index(name)
    for name in ("waited", "changed", "progressed", "paid")
]


@pytest.fixture
def db(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SETUP)
        yield connection


@pytest.fixture
async def look(postgres, valkey, make_context, db):
    clients = {
        "database": PostgresClient("database", postgres.dsn()),
        "bus": RedisClient("bus", valkey.url),
    }

    async def once(state=None, **options):
        mapping = {"table": "crew.agents", "last_heartbeat": "beat", "tasks": TASKS} | options
        context = make_context(clients, state=state or ProgressState())
        return await KIND.run(ProgressOptions.model_validate(mapping), context)

    yield once
    for client in clients.values():
        await client.close()


def hire(db, *names: str, tasks: int = 1, **values: object) -> None:
    for name in names:
        db.execute("insert into crew.agents (id) values (%s)", (name,))
        for column, value in values.items():
            db.execute(f"update crew.agents set {column} = %s where id = %s", (value, name))
        for _ in range(tasks):
            db.execute("insert into crew.tasks (agent) values (%s)", (name,))


def step(db, agent: str, *texts: str, ago: str = "0") -> None:
    for text in texts:
        db.execute(
            "insert into crew.steps values (%s, %s, clock_timestamp() - %s::interval)",
            (agent, text, ago),
        )


def later(state: ProgressState, seconds: float) -> ProgressState:
    """The state of that long ago."""
    document = json.loads(json.dumps(state.dump()))
    for memory in document.values():
        for index in INSTANTS:
            memory[index] = memory[index] and memory[index] - seconds
    return ProgressState(document)


def counts(finding) -> dict[str, float]:
    return {
        row.labels["reason"]: row.values["stalled"]
        for row in finding.rows
        if "stalled" in row.values
    }


def names(finding, reason: str) -> set[str]:
    return {sample["agent"] for sample in finding.evidence.get(reason, [])}


async def test_healthy_agents_are_silent(look, db):
    """At work and finishing, idle, asleep, dead: nothing, and every reason exists at zero."""
    hire(db, "busy", "counting")
    hire(db, "idle", tasks=0)
    hire(db, "asleep", status="Sleeping")
    db.execute("update crew.agents set beat = now() - interval '9 h' where id = 'asleep'")
    hire(db, "dead")
    db.execute("update crew.agents set beat = now() - interval '5 min' where id = 'dead'")
    state = ProgressState()
    await look(state, counters=["done"])
    state = later(state, 7200)
    db.execute(
        "insert into crew.tasks (agent, status, finished_at) values ('busy', 'Completed', now())"
    )
    db.execute("update crew.agents set done = '1' where id = 'counting'")
    finding = await look(state, counters=["done"])
    assert finding.status is Status.UP
    assert counts(finding) == {"no_progress": 0, "repeated_step": 0, "spending": 0}
    labels = {m.name: set(m.labels) for m in KIND.measurements}
    assert all(set(row.labels) == labels[name] for row in finding.rows for name in row.values)


async def test_alive_without_progress(look, db):
    """4 agents beat, hold work and finish nothing for 40 min; 2 that finish are at work; over a
    restart of sentinel.
    """
    hire(db, "s1", "s2", "s3", "s4", "w1", "w2", tasks=2)
    state = ProgressState()
    await look(state)
    db.execute(
        "update crew.tasks set status = 'done', finished_at = now() where id in (select max(id) from crew.tasks"
        " where agent like 'w%' group by agent)"
    )
    finding = await look(later(state, 2400))
    assert counts(finding) == {"no_progress": 4, "repeated_step": 0, "spending": 0}
    assert finding.key == ("stalled", "4/6")
    assert {each.subject["agent"] for each in finding.faults} == {"s1", "s2", "s3", "s4"}
    assert all("finished nothing for 40 min" in each.text for each in finding.faults)
    assert (await look(later(state, 1700))).status is Status.UP


async def test_names_that_people_gave(look, db):
    """The text reads `planner (s1)`, the subject is the id; a column that is missing is told."""
    hire(db, "s1", "s2")
    db.execute("alter table crew.agents add called text")
    db.execute("update crew.agents set called = 'planner' where id = 's1'")
    state = ProgressState()
    await look(state, name="called")
    faults = (await look(later(state, 2400), name="called")).faults
    assert [each.subject for each in faults] == [{"agent": "s1"}, {"agent": "s2"}]
    assert faults[0].text == (
        "planner (s1): beats, has 1 open, and finished nothing for 40 min (limit 30 min)"
    )
    assert faults[1].text.startswith("s2: beats")
    with pytest.raises(SubjectError, match="absent"):
        await look(name="absent")


async def test_the_clock_starts_when_work_comes(look, db):
    """Idle for two hours, then a task: not stalled, however long it idled; nor after a long sleep."""
    hire(db, "idle", tasks=0)
    hire(db, "asleep", status="sleeping")
    state = ProgressState()
    await look(state)
    state = later(state, 7200)
    await look(state)
    db.execute("insert into crew.tasks (agent) values ('idle')")
    db.execute("update crew.agents set status = 'active'")
    assert (await look(state)).status is Status.UP
    assert counts(await look(later(state, 2000)))["no_progress"] == 2


async def test_old_finished_tasks_that_leave_the_window_are_no_progress(look, db):
    """The count of finished tasks falls as they get old: an agent that stands still is still seen
    to.
    """
    hire(db, "a")
    db.execute("insert into crew.tasks (agent, status) values ('a', 'done'), ('a', 'done')")
    tasks = {"table": "crew.tasks", "agent": "agent"}
    state = ProgressState()
    await look(state, tasks=tasks)
    state = later(state, 2400)
    db.execute("update crew.tasks set created_at = now() - interval '2 days' where status = 'done'")
    assert names(await look(state, tasks=tasks), "no_progress") == {"a"}


async def test_work_and_counters_on_the_agents_own_row(look, db):
    """Without a task table: the current task's name is open work, a counter as text is progress."""
    hire(db, "stuck", "moving", task="t-1", tasks=0)
    hire(db, "free", tasks=0)
    state = ProgressState()
    options = {"tasks": None, "open_work": "task", "counters": ["done"]}
    await look(state, **options)
    db.execute("update crew.agents set done = '7' where id = 'moving'")
    assert names(await look(later(state, 2400), **options), "no_progress") == {"stuck"}


async def test_the_same_step_again_and_again(look, db):
    """2 agents took one step 10 times; 9 times, and 10 times with another one between, is no loop."""
    hire(db, "l1", "l2", "nearly", "varied", "asleep")
    for name in ("l1", "l2", "asleep"):
        step(db, name, "plan", *["search('x')"] * 10)
    step(db, "nearly", *["search('x')"] * 9)
    step(db, "varied", *["search('x')"] * 5, "read", *["search('x')"] * 5)
    db.execute("update crew.agents set status = 'sleeping' where id = 'asleep'")
    finding = await look(steps={"table": "crew.steps"})
    assert counts(finding) == {"no_progress": 0, "repeated_step": 2, "spending": 0}
    assert names(finding, "repeated_step") == {"l1", "l2"}
    assert "search('x')" in finding.evidence["repeated_step"][0]["seen"]


async def test_a_repeated_step_with_results_is_work(look, db):
    """`handle` once per task is no loop when tasks are finished meanwhile; what was finished before
    does not count.
    """
    hire(db, "worker", "loop")
    step(db, "worker", *["handle"] * 12, ago="10 minutes")
    step(db, "loop", *["handle"] * 12, ago="10 minutes")
    insert = "insert into crew.tasks (agent, status, finished_at) values (%s, 'done', now() - %s::interval)"
    db.execute(insert, ("worker", "1 minute"))
    db.execute(insert, ("loop", "20 minutes"))
    assert names(await look(steps={"table": "crew.steps"}), "repeated_step") == {"loop"}


async def test_cycles_of_steps(look, db):
    """A, B, A, B: a loop of two steps, when cycles of two are asked for."""
    hire(db, "a")
    step(db, "a", *["read", "write"] * 10)
    steps = {"table": "crew.steps"}
    assert (await look(steps=steps)).status is Status.UP
    assert names(await look(steps=steps, longest_cycle=2), "repeated_step") == {"a"}


async def test_steps_in_a_stream(look, db, valkey):
    """The same from a stream, with the step inside JSON; other entries are passed over."""
    hire(db, "a", "b")
    with redis.Redis(port=valkey.port) as raw:
        for n in range(12):
            raw.xadd(
                "steps", {"agent": "a", "data": json.dumps({"action": {"tool": "ls", "path": "/"}})}
            )
            raw.xadd(
                "steps",
                {"agent": "b", "data": json.dumps({"action": {"tool": "ls", "path": f"/{n}"}})},
            )
            raw.xadd("steps", {"initialized": b"\xff"})
    stream = {"key": "steps", "agent": "agent", "step": "data->action"}
    assert names(await look(stream=stream), "repeated_step") == {"a"}


async def test_spending_without_a_change_of_status(look, db):
    """3 agents still spend 40 min after their last progress; one that stopped, one that finished,
    one set back: not.
    """
    hire(db, "p1", "p2", "p3", "quiet", "done", "reset", tokens=1000)
    options = {"spend": ["tokens", "cost"], "stalled_after": "3h"}
    state = ProgressState()
    await look(state, **options)
    state = later(state, 2400)
    db.execute("update crew.agents set tokens = tokens + 50 where id in ('p1', 'p2', 'done')")
    db.execute("update crew.agents set cost = cost + 0.5 where id = 'p3'")
    db.execute("update crew.agents set tokens = 10 where id = 'reset'")
    db.execute("update crew.tasks set status = 'done', finished_at = now() where agent = 'done'")
    finding = await look(state, **options)
    assert counts(finding) == {"no_progress": 0, "repeated_step": 0, "spending": 3}
    assert names(finding, "spending") == {"p1", "p2", "p3"}
    state = later(state, 2400)
    assert (await look(state, **options)).status is Status.UP
    db.execute("update crew.agents set tokens = 60 where id = 'reset'")
    assert names(await look(state, **options), "spending") == {"reset"}


async def test_wrapping_up_is_no_spending(look, db):
    """A little after the last task, then nothing: never reported."""
    hire(db, "a", tasks=0)
    state = ProgressState()
    await look(state, spend=["tokens"])
    db.execute("update crew.agents set tokens = 20")
    await look(state, spend=["tokens"])
    for _ in range(3):
        state = later(state, 1500)
        assert (await look(state, spend=["tokens"])).status is Status.UP


async def test_spending_limit(look, db):
    """More than the limit without any progress is told at once."""
    hire(db, "a", "b")
    state = ProgressState()
    options = {"spend": ["tokens"], "spending_limit": 100.0}
    await look(state, **options)
    db.execute("update crew.agents set tokens = case id when 'a' then 100 else 99 end")
    assert names(await look(state, **options), "spending") == {"a"}


async def test_status_that_nobody_mapped(look, db):
    """With `active` given, two agents in another status can't be judged, and the remedy is named."""
    hire(db, "a")
    hire(db, "b", "c", status="Meditating")
    finding = await look(active=["active", "busy"])
    assert finding.status is Status.UNKNOWN
    assert finding.evidence["unmapped"] == {"meditating": 2}
    assert "sleeping" in finding.guidance


async def test_agents_that_left_are_forgotten(look, db):
    """The memory is as large as the table, at most max_agents, and it is said that there are more."""
    hire(db, *(f"a{n:02}" for n in range(12)))
    state = ProgressState()
    assert "only 10 agents" in (await look(state, max_agents=10)).detail
    assert len(state.agents) == 10
    db.execute("delete from crew.agents where id <> 'a00'")
    await look(state)
    assert set(state.agents) == {"a00"}


async def test_what_does_not_fit_is_set_aside(look, db, valkey):
    """Tables of tasks and steps, a stream that is a string, ids that are no times: each told, the
    agents judged.
    """
    hire(db, "stuck", task="t-1", tasks=0)
    hire(db, "free", tasks=0)
    with redis.Redis(port=valkey.port) as raw:
        raw.set("text", "x")
        raw.xadd("numbered", {"agent_id": "a", "step": "x"}, id="5-1")
    cases = [
        (
            {"tasks": {"table": "crew.nowhere"}},
            "tasks",
            "no such table or view: crew.nowhere",
            "correct the name",
        ),
        (
            {"tasks": TASKS | {"agent": "owner"}},
            "tasks",
            "no such column: owner in crew.tasks",
            "finished_at",
        ),
        (
            {"tasks": TASKS | {"finished_at": "status"}},
            "tasks",
            "no time: status of crew.tasks",
            "timestamptz",
        ),
        (
            {"steps": {"table": "crew.steps", "at": "step"}},
            "steps",
            "no time: step of crew.steps",
            "timestamptz",
        ),
        ({"stream": {"key": "text"}}, "stream", "WRONGTYPE", "stream and group names"),
        (
            {"stream": {"key": "numbered"}},
            "stream",
            "entry id 5-1 of numbered is no time",
            "table of steps",
        ),
    ]
    for more, part, problem, remedy in cases:
        options = {"tasks": None, "open_work": "task"} | more
        state = ProgressState()
        calm = await look(state, **options)
        assert (calm.status, sum(counts(calm).values())) == (Status.UNKNOWN, 0)
        finding = await look(later(state, 2400), **options)
        assert (finding.status, names(finding, "no_progress")) == (Status.DEGRADED, {"stuck"})
        assert problem in finding.evidence["not_judged"][part]
        (doubt,) = [each for each in finding.faults if each.key == "unjudged"]
        assert remedy in doubt.guidance
        assert f"not judged: {part}" in finding.detail
        assert f"{part} not judged: " in calm.detail


async def test_what_is_missing_is_named(look, db, postgres, make_context):
    """A column, a table, a resource that are not there; each with its name."""
    with pytest.raises(SubjectError, match="nonsense"):
        await look(counters=["nonsense"])
    with pytest.raises(SubjectError, match=r"no time: done of crew\.agents is of type text"):
        await look(last_heartbeat="done")
    client = PostgresClient("database", postgres.dsn())
    options = ProgressOptions.model_validate({"table": "crew.agents", "stream": {"key": "steps"}})
    with pytest.raises(NotMeasurable, match="no Redis resource"):
        await KIND.run(options, make_context({"database": client}, state=ProgressState()))
    await client.close()
