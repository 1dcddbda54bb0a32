"""Assignment latency against a real PostgreSQL: each task once, nothing invented, nothing hidden."""

from __future__ import annotations

import asyncio
import json
import uuid

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.tasks.assignment import RecentTasks
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.task_assignment import KIND
from tests.integration.task_rig import TASKS, Rig, Traffic, add


@pytest.fixture
async def rig(postgres, make_context):
    rig = Rig(postgres.dsn(), make_context)
    rig.execute(TASKS)
    yield rig
    await rig.close()


@pytest.fixture
def at_once(monkeypatch):
    """Windows end close behind the clock: for tests without transactions that begin unseen."""
    monkeypatch.setattr("sentinel.core.tasks.assignment.SHOWN_WITHIN", 0.02)


async def test_classes(rig, at_once):
    """Each kind of task goes into its class, and only there; odd times are counted aside, never
    clamped.
    """
    await rig.run()
    add(rig, 7, "100 ms")
    add(rig, 5, "101 ms")
    add(rig, 2, "-1 ms")
    add(rig, 1, "-2 hours")
    add(rig, 3, "8 hours 70 ms")
    add(rig, 2, "10 minutes")
    add(rig, 4, None, "Pending")
    add(rig, 6, None, "IN_PROGRESS")
    add(rig, 8, None, "Cancelled")
    rig.execute("ALTER TABLE {schema}.tasks ALTER status DROP NOT NULL")
    add(rig, 9, None, None)
    finding = await rig.settle()
    facts = finding.evidence["assignment"]
    assert (facts["total"], facts["within_deadline"], facts["late"], facts["unassigned"]) == (
        25,
        7,
        5,
        13,
    )
    assert (facts["negative"], facts["offset"], facts["missing"], facts["censored"]) == (3, 5, 6, 8)
    assert facts["open"] == 13
    histogram = next(
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    )
    at = dict(zip(histogram.bounds, histogram.counts, strict=True))
    assert (at[0.05], at[0.1], at[0.25], histogram.total) == (0, 7, 12, 25)
    assert histogram.sum == pytest.approx(7 * 0.1 + 5 * 0.101 + 13 * 0.5)


async def test_history_is_not_counted(rig, at_once):
    """The first run only sets the watermark."""
    add(rig, 9)
    assert (await rig.facts())["total"] == 0
    await rig.settle()
    assert (await rig.facts())["total"] == 0


async def test_every_row_fits_its_declaration(rig):
    """Labels of each row are those that its measurements declare; the series exist from the first
    run on. A quantile of no task is none.
    """
    optional = {"tenant": "tenant", "started_at": "started_at", "completed_at": "completed_at"}
    rig.options = rig.configure(columns=optional, method="tracker")
    rig.execute(
        "INSERT INTO {schema}.tasks (tenant, assigned_at) SELECT n % 2, now() FROM generate_series(1, 40) n"
    )
    finding = await rig.run()
    declared = {m.name: set(m.labels) for m in KIND.measurements}
    shown = {name for row in finding.rows for name in row.values}
    assert shown == set(declared) - {"assignment_p99_seconds"}
    assert all(declared[name] == set(row.labels) for row in finding.rows for name in row.values)
    outcomes = {row.labels["outcome"] for row in finding.rows if "settled" in row.values}
    assert outcomes == {"in_deadline", "late", "unassigned"}


async def test_each_task_is_counted_exactly_once_under_late_commits(rig):
    """Transactions of up to 2.5 s on both sides; a restart in the middle; figures equal the table's
    own.

    `now()` is when a transaction began: an assigner that waits before its UPDATE stamps tasks that
    were created meanwhile with a time before their creation. Those are negative, and no latency.
    """
    rig.options = rig.configure(columns={"queue": "kind"})
    await rig.run()
    traffic = Traffic(rig, 4.0)
    polls = 0
    while any(thread.is_alive() for thread in traffic.threads):
        await rig.run()
        polls += 1
        if polls % 40 == 0:
            rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
        await asyncio.sleep(0.02)
    finding = await rig.settle()
    truth = rig.execute(
        "SELECT count(*) FILTER (WHERE regular),"
        " count(*) FILTER (WHERE regular AND assigned_at - created_at <= '100 ms'),"
        " count(DISTINCT kind), count(*) FILTER (WHERE NOT regular)"
        " FROM (SELECT *, assigned_at IS NULL OR assigned_at >= created_at AS regular FROM {schema}.tasks) AS t"
    ).fetchone()
    facts = finding.evidence["assignment"]
    assert truth[0] > 200
    assert 0 < truth[1] < truth[0]
    assert truth[3] > 0
    assert (facts["total"], facts["within_deadline"]) == truth[:2]
    assert facts["late"] + facts["unassigned"] == truth[0] - truth[1]
    assert facts["negative"] == truth[3]
    rows = [
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    ]
    assert sum(row.total for row in rows) == truth[0]
    assert sum(dict(zip(row.bounds, row.counts, strict=True))[0.1] for row in rows) == truth[1]
    assert len(rows) == truth[2]


async def test_a_hung_assigner_is_bad_although_no_row_says_so(rig):
    """Degraded, then down by the age of the oldest open task; quantiles grow; a closed one ends it."""
    rig.options = rig.configure(
        unassigned_degraded="300ms", unassigned_down="900ms", objective="50%"
    )
    await rig.run()
    add(rig, 50)
    add(rig, 1, None, "pending")
    assert (await rig.run()).status is Status.UP
    seen = []
    while not seen or seen[-1] is not Status.DOWN:
        finding = await rig.run()
        seen.append(finding.status)
        await asyncio.sleep(0.02)
    assert Status.DEGRADED in seen
    assert finding.evidence["assignment"]["p99_seconds"] >= 0.9
    assert "unassigned task waits" in finding.detail
    rig.execute("UPDATE {schema}.tasks SET status = 'cancelled' WHERE status = 'pending'")
    assert (await rig.run()).status is Status.UP


async def test_an_old_open_task_is_found_at_start_and_stays_found(rig):
    """Open since an hour when sentinel starts: down at once, and in every later run."""
    rig.execute("INSERT INTO {schema}.tasks (created_at) VALUES (now() - interval '1 hour')")
    for _ in range(3):
        finding = await rig.run()
        assert finding.status is Status.DOWN
        assert finding.evidence["assignment"]["oldest_unassigned_seconds"] > 3599


@pytest.mark.parametrize("method", ["cohorts", "tracker"])
async def test_each_queue_is_named_with_its_oldest_tasks(rig, method):
    """Two queues wait, one is well: two faults, with count, ids of the oldest and the beginning."""
    rig.options = rig.configure(columns={"queue": "kind"}, method=method)
    insert = (
        "INSERT INTO {schema}.tasks (kind, created_at) SELECT %s, now() - %s::interval"
        " FROM generate_series(1, %s)"
    )
    rig.execute(insert, "mail", "1 hour", 5)
    rig.execute(insert, "chat", "3 seconds", 2)
    rig.execute(insert, "well", "0 seconds", 1)
    finding = await rig.run()
    faults = {each.subject["queue"]: each for each in finding.faults}
    assert {name: each.count.lo for name, each in faults.items()} == {"mail": 5, "chat": 2}
    assert [each.status for each in faults.values()] == [Status.DOWN, Status.DEGRADED]
    assert "queue mail: the oldest unassigned task waits 1 h (limit 5.0 s)" in finding.detail
    waiting = finding.evidence["waiting"]
    oldest = rig.execute("SELECT id::text FROM {schema}.tasks WHERE kind = 'mail'").fetchall()
    assert len(waiting["mail"]["sample"]) == 3
    assert set(waiting["mail"]["sample"]) <= {name for (name,) in oldest}
    assert f": tasks {', '.join(waiting['mail']['sample'])} and 2 more" in faults["mail"].text
    assert faults["mail"].parameters == {"queue": "mail", "table": f"{rig.schema}.tasks"}


async def test_a_table_without_an_id_is_counted_all_the_same(rig):
    """With cohorts nobody needs one: the queue is named, its tasks are not."""
    rig.options = rig.configure(columns={"id": "no_such_one"})
    rig.execute("INSERT INTO {schema}.tasks (created_at) VALUES (now() - interval '1 hour')")
    (fault,) = (await rig.run()).faults
    assert fault.subject == {"queue": "default"}
    assert fault.text.endswith("; 1 waits for longer than 2.0 s")


async def test_a_late_queue_is_named(rig, at_once):
    """The share of the last minute by queue; the one that is in time is not blamed."""
    rig.options = rig.configure(columns={"queue": "kind"}, min_events=10)
    await rig.run()
    for kind, wait, count in (("good", "10 ms", 5), ("bad", "150 ms", 6)):
        rig.execute(
            "INSERT INTO {schema}.tasks (kind, status, assigned_at)"
            " SELECT %s, 'assigned', now() + %s::interval FROM generate_series(1, %s)",
            kind, wait, count,
        )  # fmt: skip
    (fault,) = (await rig.settle()).faults
    assert (fault.key, fault.subject) == ("late", {"queue": "bad"})
    assert fault.text.startswith("queue bad: 0 % of 6 tasks of the last minute")


async def test_a_poor_share_is_degraded(rig, at_once):
    """Every task gets an agent, but too late: only the share shows it, once there are enough of
    them.
    """
    rig.options = rig.configure(min_events=10)
    await rig.run()
    add(rig, 9, "150 ms")
    assert (await rig.settle()).status is Status.UP
    add(rig, 9, "150 ms")
    finding = await rig.settle()
    assert finding.status is Status.DEGRADED
    assert "0 % of 18" in finding.detail


async def test_shifted_clocks_are_unknown_and_not_fast(rig, at_once):
    """Naive local time in timestamptz: latency of −2 h is no success; nothing is judged by it."""
    await rig.run()
    add(rig, 30, "-2 hours")
    finding = await rig.settle()
    assert finding.status is Status.UNKNOWN
    assert "utcnow" in finding.guidance
    assert finding.evidence["assignment"]["total"] == 0
    assert finding.evidence["assignment"]["p99_seconds"] is None


@pytest.mark.parametrize("method", ["cohorts", "tracker"])
@pytest.mark.parametrize(
    ("shift", "told"),
    [
        ("-5 hours", "5 h behind the server's clock: they look like UTC-5"),
        ("8 hours", "8 h ahead of the server's clock: they look like UTC+8"),
        ("-40 hours", "30 tasks were inserted"),
    ],
)
async def test_tasks_of_another_clock_are_unknown_and_not_zero(rig, at_once, method, shift, told):
    """created_at in another zone: no window ever holds such a task, and "0 of 0 in time" would be a
    guess. Each is counted, as far as zones are apart.
    """
    rig.options = rig.configure(method=method)

    async def minutes(count, by=shift):
        for _ in range(count):
            rig.minute += 61
            rig.execute(
                "INSERT INTO {schema}.tasks (status, created_at, assigned_at) SELECT 'assigned', at, at"
                " FROM (SELECT now() + %s::interval AS at FROM generate_series(1, 30)) AS t", by,
            )  # fmt: skip
            rig.execute("SELECT pg_stat_force_next_flush()")
            finding = await rig.run(monotonic=lambda: rig.minute)
            await asyncio.sleep(0.25)
        return finding

    rig.minute = 0.0
    await minutes(4)
    finding = await rig.run(monotonic=lambda: rig.minute)
    assert finding.status is Status.UNKNOWN
    assert told in finding.detail
    facts = finding.evidence["assignment"]
    assert (facts["offset"], facts["total"], facts["late_arrivals"]) == (
        0 if "inserted" in told else 90,
        0,
        0,
    )
    rig.state.recent = RecentTasks()
    await minutes(1, "0 s")
    assert (await rig.settle()).status is Status.UP


async def test_a_session_that_holds_the_horizon_delays_the_count_only_so_long(rig, monkeypatch):
    """Behind a forgotten BEGIN windows are settled after the cap; what becomes visible afterwards
    is counted as late.
    """
    monkeypatch.setattr("sentinel.core.tasks.assignment.HORIZON_CAP", 0.3)
    monkeypatch.setattr("sentinel.core.tasks.assignment.SHOWN_WITHIN", 0.1)
    await rig.run()
    add(rig, 3)
    with psycopg.connect(rig.dsn) as holder:
        holder.execute(
            f"INSERT INTO {rig.schema}.tasks (status, assigned_at) VALUES ('assigned', now())"
        )
        add(rig, 4)
        finding = await rig.settle()
        assert finding.evidence["assignment"]["total"] == 7
        hold = next(row for row in finding.rows if "horizon_hold_seconds" in row.values)
        assert hold.labels == {"role": "postgres"}
        assert hold.values["horizon_hold_seconds"] > 0.3
    for _ in range(2):
        rig.state.looked_at -= 60
        facts = await rig.facts()
        assert (facts["late_arrivals"], facts["total"]) == (1, 7)


async def test_a_large_table_without_index_is_refused_with_the_remedy(rig):
    """No poll that scans everything; the index to create is printed; a small table is fine."""
    rig.execute("CREATE TABLE {schema}.bare (LIKE {schema}.tasks)")
    rig.options = rig.configure(table=f"{rig.schema}.bare")
    assert (await rig.run()).status is Status.UP
    rig.state = KIND.load_state(None)
    rig.execute(
        "INSERT INTO {schema}.bare SELECT n, repeat('x', 1000), 'done', now() - n * interval '1 s', now()"
        " FROM generate_series(1, 45000) n"
    )
    with pytest.raises(NotMeasurable) as refused:
        await rig.run()
    index, analyze, _ = refused.value.guidance.split(";")
    assert index == f'CREATE INDEX CONCURRENTLY ON "{rig.schema}"."bare" USING brin ("created_at")'
    rig.execute(index)
    rig.execute(analyze)
    assert (await rig.run()).status is Status.UP


async def test_a_view_is_watched_and_its_table_is_named_in_the_refusal(rig, at_once):
    """The plan is asked, not the catalog: a view over a table with an index is fine."""
    rig.execute(
        "CREATE VIEW {schema}.watched AS"
        " SELECT id, status AS state, created_at AS born, assigned_at FROM {schema}.tasks"
    )
    rig.options = rig.configure(
        table=f"{rig.schema}.watched", columns={"created_at": "born", "status": "state"}
    )
    await rig.run()
    add(rig, 3)
    assert (await rig.settle()).evidence["assignment"]["within_deadline"] == 3


@pytest.fixture
def role(postgres):
    """A monitor's role, with pg_monitor."""
    name = f"r{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as db:
        db.execute(f"CREATE ROLE {name} LOGIN; GRANT pg_monitor TO {name}")
        yield name
        db.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def as_role(rig, postgres, role):
    rig.execute(
        f"GRANT USAGE ON SCHEMA {rig.schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {rig.schema} TO {role}"
    )
    await rig.client.close()
    rig.client = PostgresClient("database", postgres.dsn(user=role))


async def test_row_level_security_makes_us_blind_and_we_say_so(rig, at_once, postgres, role):
    """0 rows and no error is not "no tasks": table and security-invoker view are refused, an
    owner's view is not.
    """
    rig.execute("ALTER TABLE {schema}.tasks ENABLE ROW LEVEL SECURITY")
    rig.execute("CREATE VIEW {schema}.theirs AS SELECT * FROM {schema}.tasks")
    rig.execute(
        "CREATE VIEW {schema}.mine WITH (security_invoker = on) AS SELECT * FROM {schema}.tasks"
    )
    await as_role(rig, postgres, role)
    for name in ("tasks", "mine"):
        rig.options = rig.configure(table=f"{rig.schema}.{name}")
        with pytest.raises(NotMeasurable, match="blind: row-level security"):
            await rig.run()
    rig.options = rig.configure(table=f"{rig.schema}.theirs")
    await rig.run()
    add(rig, 2)
    assert (await rig.settle()).evidence["assignment"]["total"] == 2


async def test_without_pg_monitor_the_horizon_is_blind(rig, postgres, role):
    """Others' transactions can't be seen: unknown with the grant to make, not a wrong count."""
    await as_role(rig, postgres, role)
    rig.execute(f"REVOKE pg_monitor FROM {role}")
    with pytest.raises(NotMeasurable, match="blind: without pg_monitor") as refused:
        await rig.run()
    assert refused.value.guidance == f'GRANT pg_monitor TO "{role}";'


@pytest.mark.parametrize("column", ["created_at", "assigned_at", "status", "queue"])
async def test_a_missing_column_is_named(rig, column):
    """The message names the column that is not there."""
    rig.options = rig.configure(columns={column: "no_such_one"})
    with pytest.raises(SubjectError, match="no_such_one"):
        await rig.run()


async def test_a_missing_table_is_named(rig):
    """The message names the table."""
    rig.options = rig.configure(table=f"{rig.schema}.absent")
    with pytest.raises(SubjectError, match=f"{rig.schema}.absent"):
        await rig.run()


HOSTILE = ['"; DROP TABLE x; --', "50%s %(start)s {tasks}", "created.at", "Ünï 'q'"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_names(rig, at_once, name):
    """Quotes, percent signs, braces and dots in a column or table name are data."""
    column, table = '"' + name.replace('"', '""') + '"', name.replace(".", "_")
    quoted = rig.schema + '."' + table.replace('"', '""') + '"'
    columns = f"{column} timestamptz DEFAULT now(), assigned_at timestamptz"
    rig.db.execute(f"CREATE TABLE {quoted} ({columns})".encode())
    rig.options = rig.configure(
        table=f"{rig.schema}.{table}", columns={"created_at": name, "status": None}
    )
    await rig.run()
    rig.db.execute(f"INSERT INTO {quoted} (assigned_at) VALUES (now())".encode())
    assert (await rig.settle()).evidence["assignment"]["within_deadline"] == 1


async def test_a_hundred_queues_are_fifty_labels(rig, at_once):
    """Label values are bounded; what is beyond shares one."""
    rig.options = rig.configure(columns={"queue": "kind"})
    await rig.run()
    rig.execute(
        "INSERT INTO {schema}.tasks (kind, assigned_at) SELECT 'k' || n, now() FROM generate_series(1, 100) n"
    )
    finding = await rig.settle()
    labels = {row.labels["queue"] for row in finding.rows if "queue" in row.labels}
    assert len(labels) == 51
    assert "_other_" in labels
    assert finding.evidence["assignment"]["total"] == 100
