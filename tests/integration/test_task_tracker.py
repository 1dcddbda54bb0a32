"""`task_assignment` with method tracker against a real PostgreSQL: what became of each task, by its
id.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid

import psycopg
import pytest

from sentinel.core.fault import Status
from sentinel.core.tasks import tracker as open_tasks
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.task_assignment import KIND
from tests.integration.task_rig import TASKS, Rig, Traffic, add

LOG = """
CREATE TABLE {schema}.log (position bigserial, task bigint, what text, at timestamptz);
CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO {schema}.log (task, what, at) VALUES (NEW.id, 'created', NEW.created_at);
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO {schema}.log (task, what, at) VALUES (OLD.id, 'deleted', clock_timestamp());
  ELSIF NEW.assigned_at IS NULL AND OLD.assigned_at IS NOT NULL THEN
    INSERT INTO {schema}.log (task, what, at) VALUES (NEW.id, 'returned', clock_timestamp());
  ELSIF NEW.assigned_at IS DISTINCT FROM OLD.assigned_at THEN
    INSERT INTO {schema}.log (task, what, at) VALUES (NEW.id, 'assigned', NEW.assigned_at);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {schema}.tasks FOR EACH ROW EXECUTE FUNCTION {schema}.note();
"""
FIRST_LATENCIES = """
SELECT extract(epoch FROM a.at - c.at)::float8 FROM {schema}.log c
JOIN (SELECT DISTINCT ON (task) task, at FROM {schema}.log WHERE what = 'assigned' ORDER BY task, position) a
  ON a.task = c.task WHERE c.what = 'created'
"""
RETURNS = """
SELECT extract(epoch FROM at - before)::float8
FROM (SELECT what, at, lag(what) OVER w AS was, lag(at) OVER w AS before
      FROM {schema}.log WINDOW w AS (PARTITION BY task ORDER BY position)) AS l
WHERE what = 'assigned' AND was = 'returned'
"""


@pytest.fixture
async def rig(postgres, make_context):
    rig = Rig(postgres.dsn(), make_context)
    rig.execute(TASKS)
    rig.base = {"method": "tracker"}
    rig.options = rig.configure()
    yield rig
    await rig.close()


@pytest.fixture
def at_once(monkeypatch):
    """The floor follows closely: for tests without transactions that begin unseen."""
    for module in ("core.tasks.assignment", "core.tasks.tracker", "adapters.tasks.reader"):
        monkeypatch.setattr(f"sentinel.{module}.SHOWN_WITHIN", 0.02)
    monkeypatch.setattr("sentinel.adapters.tasks.reader.OVERLAP", 0.02)


def counted(facts):
    """Tasks that went into one class."""
    return facts["total"] + sum(
        facts[kind]
        for kind in ("negative", "offset", "missing", "censored", "deleted", "untracked")
    )


class Meddler:
    """Between two polls: of the tasks that the tracker knows some are touched, given back, taken
    again and deleted.
    """

    def __init__(self, rig):
        self.rig, self.dice = rig, random.Random(7)

    def act(self):
        tracker = self.rig.state.tracker
        tasks = {**tracker.open, **tracker.followed}
        held = [
            (task.assigned, name)
            for name, task in tasks.items()
            if task.assigned and task.returned is None
        ]
        self.change(
            "UPDATE {schema}.tasks SET assigned_at = NULL, status = 'pending'"
            " WHERE extract(epoch FROM assigned_at)::float8 = %s AND id = %s",
            self.pick(held, 8),
        )
        returned = [(name,) for name, task in tasks.items() if task.returned is not None]
        self.change(
            "UPDATE {schema}.tasks SET assigned_at = clock_timestamp(), status = 'assigned'"
            " WHERE id = %s AND assigned_at IS NULL", self.pick(returned, 5),
        )  # fmt: skip
        never = [(name,) for name, task in tasks.items() if task.held is None]
        self.change(
            "DELETE FROM {schema}.tasks WHERE id = %s AND assigned_at IS NULL", self.pick(never, 2)
        )
        self.change(
            "UPDATE {schema}.tasks SET status = status WHERE id = %s",
            self.pick([(n,) for n in tasks], 5),
        )

    def pick(self, what, n):
        return self.dice.sample(sorted(what), min(len(what), n))

    def change(self, sql, values):
        with self.rig.db.cursor() as cursor:
            cursor.executemany(sql.replace("{schema}", self.rig.schema), values)


async def test_each_task_is_counted_once_with_its_first_latency(rig, monkeypatch):
    """Late commits, re-touch, re-assign, delete, restarts: 0 missed, 0 duplicated, open set =
    unassigned rows.
    """
    monkeypatch.setattr(open_tasks, "MAX_FOLLOWED", 10**6)
    rig.execute(LOG)
    rig.options = rig.configure(columns={"queue": "kind"}, follow="1h")
    await rig.run()
    traffic, meddler, polls = Traffic(rig, 2.8), Meddler(rig), 0
    while any(thread.is_alive() for thread in traffic.threads):
        facts = await rig.facts()
        meddler.act()
        polls += 1
        if polls % 20 == 0:
            rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
        await asyncio.sleep(0.02)
    await rig.settle()
    for _ in range(1 + len(rig.state.tracker.followed) // open_tasks.FOLLOW_BATCH):
        finding = await rig.run()
    facts, in_time = finding.evidence["assignment"], finding.evidence["reassignments"]
    created = rig.execute("SELECT count(*) FROM {schema}.log WHERE what = 'created'").fetchone()[0]
    deleted = rig.execute("SELECT count(*) FROM {schema}.log WHERE what = 'deleted'").fetchone()[0]
    latencies = [latency for (latency,) in rig.execute(FIRST_LATENCIES).fetchall()]
    returns = [max(0.0, latency) for (latency,) in rig.execute(RETURNS).fetchall()]
    assert created > 200
    assert deleted > 0
    assert len(returns) > 5
    assert min(latencies) < 0
    assert counted(facts) == created
    assert facts["within_deadline"] == sum(0 <= latency <= 0.1 for latency in latencies)
    assert facts["negative"] == sum(latency < 0 for latency in latencies)
    assert facts["deleted"] <= deleted
    assert (
        facts["late"] + facts["unassigned"] + facts["deleted"]
        == created - facts["within_deadline"] - facts["negative"]
    )
    rows = [
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    ]
    assert sum(row.total for row in rows) <= created - facts["negative"] - facts["deleted"]
    assert sum(row.total for row in rows) >= created - facts["negative"] - deleted
    for bound in (0.01, 0.05, 0.1, 0.25):
        found = sum(dict(zip(row.bounds, row.counts, strict=True))[bound] for row in rows)
        assert found == sum(0 <= latency <= bound for latency in latencies)
    unassigned = {
        str(name)
        for (name,) in rig.execute("SELECT id FROM {schema}.tasks WHERE assigned_at IS NULL")
    }
    assert set(rig.state.tracker.waiting) == unassigned
    assert facts["open"] == len(unassigned)
    assert in_time["n"] == len(returns)
    least, most = in_time["within_deadline"]
    assert least <= sum(latency <= 0.1 for latency in returns) <= most
    shortest, longest = (rig.state.returns[end] for end in ("least", "most"))
    assert shortest.total == longest.total == len(returns)
    for i, bound in enumerate(rig.state.bounds):
        assert (
            longest.buckets[i]
            <= sum(latency <= bound for latency in returns)
            <= shortest.buckets[i]
        )


async def test_classes(rig, at_once):
    """Each kind of task goes into its class, and only there; figures equal those of the cohorts."""
    await rig.run()
    add(rig, 7, "100 ms")
    add(rig, 5, "101 ms")
    add(rig, 2, "-1 ms")
    add(rig, 3, "8 hours 70 ms")
    add(rig, 4, None, "Pending")
    add(rig, 6, None, "IN_PROGRESS")
    add(rig, 8, None, "Cancelled")
    finding = await rig.settle()
    facts = finding.evidence["assignment"]
    assert (facts["total"], facts["within_deadline"], facts["late"], facts["unassigned"]) == (
        16,
        7,
        5,
        4,
    )
    assert (facts["negative"], facts["offset"], facts["missing"], facts["censored"]) == (2, 3, 6, 8)
    assert (facts["open"], facts["deleted"], facts["untracked"]) == (4, 0, 0)
    histogram = next(
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    )
    at = dict(zip(histogram.bounds, histogram.counts, strict=True))
    assert (at[0.05], at[0.1], at[0.25], histogram.total) == (0, 7, 12, 16)
    assert histogram.sum == pytest.approx(7 * 0.1 + 5 * 0.101 + 4 * 0.5)
    assert facts["p50_seconds"] == 0.101


async def test_a_retry_never_overwrites_the_first_latency(rig):
    """Given back by status alone, the old time kept or replaced: open meanwhile, then counted as
    re-assigned.
    """
    rig.options = rig.configure(deadline="1h")
    await rig.run()
    add(rig, 9)
    await rig.run()
    rig.execute("UPDATE {schema}.tasks SET status = 'PENDING' WHERE id <= 6")
    finding = await rig.run()
    assert finding.evidence["assignment"]["open"] == 6
    assert finding.evidence["assignment"]["oldest_unassigned_seconds"] < 3600
    rig.execute(
        "UPDATE {schema}.tasks SET status = 'assigned', assigned_at = clock_timestamp() WHERE id <= 2"
    )
    rig.execute("UPDATE {schema}.tasks SET status = 'assigned' WHERE id = 3")
    rig.execute("UPDATE {schema}.tasks SET status = 'cancelled' WHERE id = 4")
    rig.execute("UPDATE {schema}.tasks SET assigned_at = clock_timestamp() WHERE id IN (7, 8)")
    finding = await rig.run()
    facts, again = finding.evidence["assignment"], finding.evidence["reassignments"]
    assert (facts["total"], facts["within_deadline"], facts["open"]) == (9, 9, 2)
    assert (again["n"], again["within_deadline"]) == (5, [5, 5])
    assert next(row.values["reassigned"] for row in finding.rows if "reassigned" in row.values) == 5
    histogram = next(
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    )
    assert dict(zip(histogram.bounds, histogram.counts, strict=True))[0.01] == 9
    assert (await rig.run()).evidence["reassignments"]["n"] == 5


async def test_a_task_that_waits_again_counts_from_its_return(rig):
    """An old task that was given back is no old open task; it becomes one when nobody takes it
    again.
    """
    rig.options = rig.configure(unassigned_degraded="300ms", unassigned_down="1h")
    rig.execute("INSERT INTO {schema}.tasks (created_at) VALUES (now() - interval '2 hours')")
    assert (await rig.run()).status is Status.DOWN
    rig.execute("UPDATE {schema}.tasks SET assigned_at = now(), status = 'assigned'")
    assert (await rig.run()).status is Status.UP
    rig.execute("UPDATE {schema}.tasks SET assigned_at = NULL, status = 'pending'")
    finding = await rig.run()
    assert finding.evidence["assignment"]["open"] == 1
    while finding.status is not Status.DEGRADED:
        assert finding.status is Status.UP
        await asyncio.sleep(0.02)
        finding = await rig.run()
    assert finding.evidence["assignment"]["total"] == 0


async def test_a_missing_time_is_bounded_by_what_was_seen(rig, at_once):
    """Assigned by status alone: surely late, surely in time or undecided; a time that comes after
    all is exact.
    """
    rig.options = rig.configure(settle_after="1500ms")
    await rig.run()
    add(rig, 3, None, "pending")
    created = rig.execute("SELECT clock_timestamp()").fetchone()[0].timestamp()
    while min((task.seen for task in rig.state.tracker.open.values()), default=0) < created + 0.1:
        await rig.run()
        await asyncio.sleep(0.02)
    rig.execute("UPDATE {schema}.tasks SET status = 'assigned'")
    await rig.run()
    rig.options = rig.configure(settle_after="1500ms", deadline="1h")
    add(rig, 2, None, "assigned")
    add(rig, 1, None, "assigned")
    await rig.run()
    rig.execute(
        "UPDATE {schema}.tasks SET assigned_at = created_at + interval '30 ms' WHERE id = 6"
    )
    while len(rig.state.tracker.open):
        finding = await rig.run()
        await asyncio.sleep(0.02)
    facts = finding.evidence["assignment"]
    assert finding.evidence["reassignments"]["missing_within_deadline"] == [2, 2]
    assert (facts["unassigned"], facts["missing"], facts["within_deadline"], counted(facts)) == (
        3,
        2,
        1,
        6,
    )


async def test_deleted_tasks_are_censored(rig):
    """A row that is gone before its deadline is no success and no failure; one deleted after it was
    counted stays.
    """
    rig.options = rig.configure(deadline="1h")
    await rig.run()
    add(rig, 4, None, "pending")
    add(rig, 2)
    await rig.run()
    rig.execute("DELETE FROM {schema}.tasks WHERE id <> 1")
    finding = await rig.run()
    facts = finding.evidence["assignment"]
    assert (facts["deleted"], facts["within_deadline"], facts["open"], counted(facts)) == (
        3,
        2,
        1,
        5,
    )
    reasons = {
        row.labels["reason"]: row.values["censored"]
        for row in finding.rows
        if "reason" in row.labels
    }
    assert reasons == {"closed_unassigned": 0, "deleted": 3, "untracked": 0}


async def test_beyond_the_cap_only_the_oldest_are_followed(rig, monkeypatch):
    """Memory is bounded: the newest are let go, counted as such, and not taken for new ones again."""
    monkeypatch.setattr(open_tasks, "MAX_OPEN", 10)
    rig.options = rig.configure(deadline="1h")
    await rig.run()
    for _ in range(5):
        add(rig, 5, None, "pending")
    await rig.run()
    facts = await rig.facts()
    assert (facts["untracked"], facts["open"]) == (15, 10)
    assert set(rig.state.tracker.waiting) == {str(n) for n in range(1, 11)}
    rig.execute("UPDATE {schema}.tasks SET assigned_at = now()")
    facts = await rig.facts()
    assert (facts["untracked"], facts["total"], facts["open"]) == (15, 10, 0)


async def test_a_crowd_of_one_instant_is_counted_whole(rig, monkeypatch, at_once):
    """One INSERT of more rows than a poll may read: those are counted and let go; the next task is
    seen.
    """
    monkeypatch.setattr("sentinel.adapters.tasks.reader.MAX_ARRIVALS", 10)
    await rig.run()
    add(rig, 25)
    await rig.run()
    await rig.settle()
    add(rig, 3)
    await rig.settle()
    facts = await rig.facts()
    assert (facts["untracked"], facts["within_deadline"], counted(facts)) == (15, 13, 28)


async def test_a_long_absence_is_caught_up_in_portions(rig, monkeypatch, at_once):
    """More tasks than a poll may read, of different instants: later polls read the rest, each task
    once.
    """
    monkeypatch.setattr("sentinel.adapters.tasks.reader.MAX_ARRIVALS", 10)
    await rig.run()
    for _ in range(12):
        add(rig, 4)
    while (facts := await rig.facts())["total"] < 48:
        assert facts["untracked"] == 0
        await asyncio.sleep(0.02)
    await rig.settle()
    facts = await rig.facts()
    assert (facts["untracked"], facts["within_deadline"], counted(facts)) == (0, 48, 48)


async def test_what_is_open_at_start_is_followed_but_not_counted(rig, at_once):
    """History is not counted; its open tasks are known, the oldest is down at once."""
    rig.execute(
        "INSERT INTO {schema}.tasks (created_at) SELECT now() - interval '1 hour' FROM generate_series(1, 3)"
    )
    add(rig, 9)
    finding = await rig.run()
    assert finding.status is Status.DOWN
    assert finding.evidence["assignment"]["open"] == 3
    rig.execute(
        "UPDATE {schema}.tasks SET assigned_at = now(), status = 'assigned' WHERE assigned_at IS NULL"
    )
    finding = await rig.settle()
    facts = finding.evidence["assignment"]
    assert (finding.status, facts["open"], counted(facts)) == (Status.UP, 0, 0)


async def test_a_task_that_opens_again_or_bears_an_old_time_is_open(rig, at_once):
    """Blocked, then pending: counted once, open again. A task with a creation time of long ago is
    found later.
    """
    await rig.run()
    add(rig, 1, None, "blocked")
    await rig.settle()
    rig.execute("UPDATE {schema}.tasks SET status = 'pending'")
    rig.execute("INSERT INTO {schema}.tasks (created_at) VALUES (now() - interval '1 hour')")
    assert (await rig.facts())["open"] == 1
    rig.state.swept_at -= 60
    facts = await rig.facts()
    assert (facts["open"], facts["censored"], counted(facts)) == (2, 1, 1)


async def test_a_forgotten_transaction_delays_only_so_long_and_late_arrivals_are_told(
    rig, monkeypatch, at_once
):
    """Beyond the cap the floor goes on; what becomes visible before it afterwards is counted as
    late.
    """
    monkeypatch.setattr("sentinel.core.tasks.assignment.HORIZON_CAP", 0.3)
    await rig.run()
    add(rig, 3)
    with psycopg.connect(rig.dsn) as holder:
        holder.execute(
            f"INSERT INTO {rig.schema}.tasks (status, assigned_at) VALUES ('assigned', now())"
        )
        created = rig.execute("SELECT clock_timestamp()").fetchone()[0].timestamp()
        while rig.state.tracker.floor < created:
            facts = await rig.facts()
            await asyncio.sleep(0.02)
        assert facts["total"] == 3
        await rig.settle()
    for _ in range(2):
        rig.state.looked_at -= 60
        facts = await rig.facts()
        assert (facts["late_arrivals"], facts["total"]) == (1, 3)


async def test_a_change_of_method_counts_nothing_twice(rig, at_once):
    """From one method to the other and back, over the same state; the tracker counts ahead of the
    watermarks.
    """
    for method in ("cohorts", "tracker", "cohorts"):
        rig.options = rig.configure(method=method, deadline="600ms")
        await rig.run()
        add(rig, 5)
        facts = await (rig.facts() if method == "tracker" else settled_facts(rig))
        rig.state.looked_at -= 60
        assert (await rig.facts())["late_arrivals"] == 0
    assert (facts["within_deadline"], counted(facts)) == (15, 15)


async def settled_facts(rig):
    return (await rig.settle()).evidence["assignment"]


async def test_a_change_of_the_deadline_begins_the_histograms_anew(rig, at_once):
    """Buckets of other bounds are not mixed; counts go on."""
    await rig.run()
    add(rig, 5)
    await rig.settle()
    rig.options = rig.configure(deadline="70ms")
    add(rig, 2)
    finding = await rig.settle()
    histogram = next(
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    )
    assert (histogram.total, finding.evidence["assignment"]["within_deadline"]) == (2, 7)
    assert 0.07 in histogram.bounds


@pytest.mark.parametrize(
    ("type_", "value"), [("uuid", uuid.uuid4()), ("text", "a'b\"c,{d}\\"), ("numeric", "1.50")]
)
async def test_ids_of_any_type(rig, type_, value):
    """Looked up as what they are, whatever characters they have; through a view, too."""
    rig.execute(
        "ALTER TABLE {schema}.tasks DROP COLUMN id; ALTER TABLE {schema}.tasks ADD COLUMN id "
        + type_
    )
    rig.execute("CREATE VIEW {schema}.seen AS SELECT * FROM {schema}.tasks")
    rig.options = rig.configure(table=f"{rig.schema}.seen")
    await rig.run()
    rig.execute("INSERT INTO {schema}.tasks (id) VALUES (%s)", value)
    assert (await rig.facts())["open"] == 1
    rig.execute("UPDATE {schema}.tasks SET assigned_at = created_at, status = 'assigned'")
    facts = await rig.facts()
    assert (facts["open"], facts["within_deadline"]) == (0, 1)


async def test_a_large_table_without_index_on_the_id_is_refused_with_the_remedy(rig):
    """No lookup that scans everything; the index to create is printed, and cures it."""
    rig.execute(
        "CREATE TABLE {schema}.bare (LIKE {schema}.tasks); CREATE INDEX ON {schema}.bare (created_at)"
    )
    rig.execute(
        "INSERT INTO {schema}.bare (id, kind, status, created_at, assigned_at)"
        " SELECT n, repeat('x', 1000), 'done', now() - n * interval '1 s', now() FROM generate_series(1, 45000) n"
    )
    rig.execute("ANALYZE {schema}.bare")
    rig.options = rig.configure(table=f"{rig.schema}.bare")
    with pytest.raises(NotMeasurable, match="no usable index on id") as refused:
        await rig.run()
    assert refused.value.guidance == f'CREATE INDEX CONCURRENTLY ON "{rig.schema}"."bare" ("id");'
    rig.execute(refused.value.guidance)
    assert (await rig.run()).status is Status.UP


async def test_a_missing_id_column_is_named(rig):
    """The message names the column that is not there."""
    rig.options = rig.configure(columns={"id": "no_such_one"})
    with pytest.raises(SubjectError, match="no_such_one"):
        await rig.run()
