"""What `task_assignment` says beside the latency: stages, throughput, fairness; on a real
PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from sentinel.adapters.relation import explain
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, TargetRejected
from sentinel.probes.task_assignment import KIND
from tests.integration.task_rig import TASKS, Rig

TIMES = {"started_at": "started_at", "progress_at": "progress_at", "completed_at": "completed_at"}


@pytest.fixture(params=["cohorts", "tracker"])
async def rig(postgres, make_context, request):
    rig = Rig(postgres.dsn(), make_context)
    rig.execute(TASKS)
    rig.base = {"method": request.param}
    yield rig
    await rig.close()


def add_times(
    rig, count, assigned, started=None, progress=None, completed=None, status="completed"
):
    """Tasks created now; the other times are milliseconds after it."""
    rig.execute(
        "INSERT INTO {schema}.tasks (status, assigned_at, started_at, progress_at, completed_at)"
        " SELECT %s, now() + %s * i, now() + %s * i, now() + %s * i, now() + %s * i"
        " FROM generate_series(1, %s), (SELECT interval '1 ms' AS i) AS one",
        status, assigned, started, progress, completed, count,
    )  # fmt: skip


def stages_of(finding):
    return {row.labels["stage"]: row.values for row in finding.rows if "stage" in row.labels}


def within(histogram, bound):
    return dict(zip(histogram.bounds, histogram.counts, strict=True))[bound]


async def test_an_assignment_in_time_that_commits_late_is_in_time(rig, monkeypatch):
    """The deadline counts from the horizon: behind an open transaction a task is not yet
    unassigned.
    """
    for module in ("core.tasks.assignment", "core.tasks.tracker", "adapters.tasks.reader"):
        monkeypatch.setattr(f"sentinel.{module}.SHOWN_WITHIN", 0.02)
    rig.options = rig.configure(unassigned_down="1h", deadline="250ms")
    await rig.run()
    with psycopg.connect(rig.dsn) as assigner:
        assigner.execute("SELECT 1")
        rig.execute("INSERT INTO {schema}.tasks DEFAULT VALUES")
        assigner.execute(
            f"UPDATE {rig.schema}.tasks SET status = 'assigned', assigned_at = created_at"
        )
        created = time.monotonic()
        while time.monotonic() < created + 0.6:
            assert (await rig.facts())["total"] == 0
            await asyncio.sleep(0.02)
    facts = (await rig.settle()).evidence["assignment"]
    assert (facts["within_deadline"], facts["total"]) == (1, 1)


async def test_stages_split_a_task_by_its_own_times(rig, monkeypatch):
    """Each ended stage is in its histogram once; what had only begun, or ended before it began, is
    counted apart.
    """
    monkeypatch.setattr("sentinel.core.tasks.assignment.SHOWN_WITHIN", 0.02)
    rig.options = rig.configure(columns=TIMES, stages_after="200ms")
    await rig.run()
    add_times(rig, 7, 5, 45, 60, 545)
    add_times(rig, 2, 5, 205, None, None, "in_progress")
    add_times(rig, 3, 5, None, None, None, "assigned")
    add_times(rig, 4, None, None, None, None, "pending")
    add_times(rig, 1, 50, 20, 30, 40)
    created = rig.execute("SELECT clock_timestamp()").fetchone()[0]
    while rig.state.staged_to < created:
        finding = await rig.run()
        await asyncio.sleep(0.02)
        rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
    found = stages_of(finding)
    assert set(found) == {"queue_wait", "pickup", "first_progress", "run"}
    totals = {stage: values["stage_seconds"].total for stage, values in found.items()}
    assert totals == {"queue_wait": 13, "pickup": 9, "first_progress": 8, "run": 8}
    unfinished = {stage: values["stage_unfinished"] for stage, values in found.items()}
    assert unfinished == {"queue_wait": 4, "pickup": 3, "first_progress": 2, "run": 2}
    assert {stage: values["stage_skewed"] for stage, values in found.items()} == {
        "queue_wait": 0, "pickup": 1, "first_progress": 0, "run": 0,
    }  # fmt: skip
    pickup, run = found["pickup"]["stage_seconds"], found["run"]["stage_seconds"]
    assert (within(pickup, 0.01), within(pickup, 0.05), within(pickup, 0.5)) == (0, 7, 9)
    assert (within(run, 0.05), within(run, 0.1), within(run, 0.5)) == (1, 1, 8)
    assert run.sum == pytest.approx(7 * 0.5 + 0.02)


async def test_only_stages_with_both_columns_are_shown(rig):
    """Without a column there is no stage, and no zero that looks like one."""
    rig.options = rig.configure(columns={"started_at": "started_at"})
    assert set(stages_of(await rig.run())) == {"queue_wait", "pickup"}
    rig.options = rig.configure(columns={"completed_at": "completed_at"})
    assert stages_of(await rig.run()) == {}


async def test_throughput_is_what_happened_in_the_last_hour(rig):
    """By the tasks' own times and queues, however old they are; the first run knows it already."""
    rig.options = rig.configure(
        columns={"completed_at": "completed_at", "queue": "kind"}, unassigned_down="30d"
    )
    rig.execute(
        "INSERT INTO {schema}.tasks (kind, status, created_at, assigned_at, completed_at)"
        " SELECT kind, 'done', now() - interval '20 h', now() - assigned * interval '1 min',"
        "        now() - completed * interval '1 min'"
        " FROM (VALUES ('a', 59, 30, 8), ('a', 61, 59, 4), ('a', 70, 65, 2), ('b', 1, NULL, 5), ('b', -10, NULL, 3),"
        "       ('b', NULL, NULL, 6)) AS v (kind, assigned, completed, n), generate_series(1, n)"
    )
    rig.execute(
        "INSERT INTO {schema}.tasks (created_at, assigned_at) VALUES (now() - interval '2 days', now())"
    )
    finding = await rig.run()
    found = {
        (row.labels["queue"], row.labels["event"]): row.values["throughput_per_hour"]
        for row in finding.rows
        if "event" in row.labels
    }
    assert found == {
        ("a", "assigned"): 8,
        ("a", "completed"): 12,
        ("b", "assigned"): 5,
        ("b", "completed"): 0,
    }
    assert finding.evidence["throughput_per_hour"] == {"assigned": 13, "completed": 12}


async def test_a_failed_look_at_the_trends_costs_one_run(rig, monkeypatch):
    """Whatever the server says to it: that run says so, the next ones judge without those figures."""
    rig.options = rig.configure()
    monkeypatch.setattr(
        "sentinel.adapters.tasks.queries._THROUGHPUT", "SELECT 1 / (random() * 0)::int"
    )
    with pytest.raises(TargetRejected, match="division by zero"):
        await rig.run()
    finding = await rig.run()
    assert finding.status is Status.UP
    assert "throughput_per_hour" not in finding.evidence
    assert not any("throughput_per_hour" in row.values for row in finding.rows)


def add_tenant(rig, tenant, count, wait):
    """Tasks of the last minutes that waited so long; None: they still wait, since 10 minutes."""
    rig.execute(
        "INSERT INTO {schema}.tasks (tenant, status, created_at, assigned_at)"
        " SELECT %s, CASE WHEN %s::text IS NULL THEN 'pending' ELSE 'done' END, now() - interval '10 min',"
        " now() - interval '10 min' + %s::interval FROM generate_series(1, %s)",
        tenant, wait, wait, count,
    )  # fmt: skip


def fair(rig, **fairness):
    return rig.configure(
        columns={"tenant": "tenant"},
        fairness=fairness,
        unassigned_degraded="1h",
        unassigned_down="2h",
    )


async def test_a_starved_tenant_is_named(rig):
    """One of four tenants waits a minute: degraded, named in the evidence, in no label; the rest is
    fair.
    """
    rig.options = fair(rig)
    for tenant in ("a", "b", "c"):
        add_tenant(rig, tenant, 30, "10 ms")
    assert (await rig.run()).status is Status.UP
    add_tenant(rig, "poor", 25, "60 s")
    add_tenant(rig, "small", 19, "90 s")
    rig.state.trends_at -= 30
    finding = await rig.run()
    tenants = finding.evidence["tenants"]
    assert finding.status is Status.DEGRADED
    assert [each.subject for each in finding.faults] == [{"tenant": "poor"}]
    assert "tenant poor: nine of ten tasks wait up to 1 min" in finding.detail
    assert "tenant" in finding.guidance
    assert (tenants["tenants"], tenants["starved"]) == (4, ["poor"])
    assert tenants["most_delayed"][0] == {
        "tenant": "poor", "p90_seconds": 60.0, "mean_seconds": 60.0, "tasks": 25, "unassigned": 0,
    }  # fmt: skip
    values = finding.rows[-1].values
    assert values["tenants_compared"] == 4
    assert values["tenant_wait_ratio"] == pytest.approx(600)
    assert values["tenant_wait_jain_index"] == pytest.approx(60.3**2 / (4 * (60**2 + 3 * 0.1**2)))
    assert not any("poor" in row.labels.values() for row in finding.rows)


async def test_open_tasks_of_a_starved_tenant_count_by_their_age(rig):
    """A tenant whose tasks nobody takes has no latency: its open tasks say it, also those from
    before the window.
    """
    rig.options = fair(rig, window="5m", min_events=10)
    rig.execute(
        "INSERT INTO {schema}.tasks (tenant, status, created_at, assigned_at)"
        " SELECT 'a', 'done', now() - interval '1 min', now() - interval '1 min' FROM generate_series(1, 30)"
    )
    add_tenant(rig, "b", 30, "10 ms")
    add_tenant(rig, "poor", 10, None)
    finding = await rig.run()
    assert finding.evidence["tenants"]["starved"] == ["poor"]
    assert finding.evidence["tenants"]["tenants"] == 2
    assert finding.evidence["tenants"]["most_delayed"][0]["unassigned"] == 10


async def test_too_few_tasks_are_insufficient_data(rig):
    """One tenant with enough tasks can't be compared: said so, no figure, no verdict."""
    rig.options = fair(rig)
    add_tenant(rig, "a", 30, "10 ms")
    add_tenant(rig, "poor", 19, "60 s")
    finding = await rig.run()
    assert finding.status is Status.UP
    assert finding.evidence["tenants"] == {"verdict": "insufficient data", "tenants": 1}
    assert "tenant_wait_ratio" not in finding.rows[-1].values


async def test_far_looks_are_shortened_to_what_is_affordable(rig, monkeypatch):
    """A large table: the lookback is halved until its plan is cheap, the index is advised, and with
    it all is seen.
    """
    rig.options = rig.configure(
        columns={"tenant": "tenant", "completed_at": "completed_at"}, unassigned_down="30d"
    )
    rig.execute(
        "INSERT INTO {schema}.tasks (kind, status, created_at, assigned_at)"
        " SELECT 'x', CASE WHEN n = 70000 THEN 'pending' ELSE 'done' END, now() - n * interval '1 s',"
        " CASE WHEN n < 70000 THEN now() END FROM generate_series(1, 70000) n"
    )
    rig.execute("ANALYZE {schema}.tasks")
    monkeypatch.setattr("sentinel.adapters.tasks.reader.AFFORDABLE", 500.0)
    finding = await rig.run()
    assert finding.evidence["assignment"]["open"] == 0
    assert 60 <= finding.evidence["reach_seconds"]["open"] < 70000
    index = finding.evidence["index_advice"]
    assert (
        index
        == f'CREATE INDEX CONCURRENTLY ON "{rig.schema}"."tasks" ("created_at") WHERE "assigned_at" IS NULL;'
    )
    rig.execute(index)
    rig.state = KIND.load_state(None)
    finding = await rig.run()
    assert finding.evidence["assignment"]["open"] == 1
    assert "index_advice" not in finding.evidence
    assert rig.state.reach.open == 86400


async def test_every_statement_is_refused_without_an_index(rig):
    """A large table without index on the time of creation is never scanned; the plan of each
    statement is asked.
    """
    rig.execute("CREATE TABLE {schema}.bare (LIKE {schema}.tasks)")
    rig.execute(
        "INSERT INTO {schema}.bare (id, kind, status, created_at)"
        " SELECT n, repeat('x', 1000), 'done', now() FROM generate_series(1, 45000) n"
    )
    rig.execute("ANALYZE {schema}.bare")
    rig.options = rig.configure(table=f"{rig.schema}.bare", columns={**TIMES, "tenant": "tenant"})
    with pytest.raises(NotMeasurable, match="no usable index on created_at") as refused:
        await rig.run()
    assert refused.value.guidance.startswith("CREATE INDEX CONCURRENTLY")


NARROW = ("settle", "histogram", "stages", "count", "arrivals", "look")


async def test_each_statement_of_a_poll_reads_by_index(rig):
    """EXPLAIN on a large table: windows by the index on created_at, lookups by id, open tasks by
    the partial one.
    """
    rig.options = rig.configure(columns={**TIMES, "tenant": "tenant"})
    rig.execute(
        "INSERT INTO {schema}.tasks (kind, status, created_at, assigned_at)"
        " SELECT 'x', 'done', now() - n * interval '10 s', now() FROM generate_series(1, 45000) n;"
        "CREATE INDEX waiting ON {schema}.tasks (created_at) WHERE assigned_at IS NULL; ANALYZE {schema}.tasks"
    )
    statements, query = rig.options.statements({}, []), rig.client.query
    now = datetime.now(UTC)
    params = statements.back(now, 60.0, limit=10, oldest=now - timedelta(hours=2), edges=[0.0, 1.0])
    looks = {
        name: await explain(query, getattr(statements, name), params)
        for name in (*NARROW, "tenants", "throughput")
    }
    looks["sights"] = await explain(
        query, statements.sights("bigint"), statements.looking_up(["1", "2"])
    )
    for name, nodes in looks.items():
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}, name
    for name in ("open", "backlog"):
        nodes = await explain(
            query, getattr(statements, name), statements.back(now, 86400.0, limit=10)
        )
        assert "waiting" in {n.get("Index Name") for n in nodes}
