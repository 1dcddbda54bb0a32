"""Times of other zones and rows visible late, on a real PostgreSQL: each task in exactly one counter."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import uuid

import psycopg
import pytest

from sentinel.adapters.relation import explain
from sentinel.core.fault import Status
from sentinel.core.tasks.ledger import Counted
from sentinel.errors import SubjectError
from sentinel.probes.task_assignment import KIND
from tests.integration.task_rig import Rig

NAIVE = """
CREATE TABLE {schema}.tasks (id bigserial PRIMARY KEY, status text NOT NULL DEFAULT 'PENDING',
                             created_at timestamp NOT NULL DEFAULT now(), assigned_at timestamp,
                             started_at timestamp);
CREATE INDEX ON {schema}.tasks (created_at);
"""
COUNTERS = ("total", "negative", "offset", "missing", "censored", "late_arrivals")


class Zoned(Rig):
    """A table without zones in a database of its own, whose zone can be set."""

    def __init__(self, server, make_context):
        self.server, self.name = server, f"tokyo_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(server.dsn(), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {self.name}")
        super().__init__(server.dsn(self.name), make_context)
        self.execute(NAIVE)

    def live_in(self, zone):
        """The zone of the database, as its next sessions have it."""
        self.execute(f"ALTER DATABASE {self.name} SET timezone TO '{zone}'")
        self.db.close()
        self.db = psycopg.connect(self.dsn, autocommit=True)

    async def close(self):
        await super().close()
        with psycopg.connect(self.server.dsn(), autocommit=True) as db:
            db.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture(params=["cohorts", "tracker"])
async def rig(request, postgres, make_context):
    rig = Zoned(postgres, make_context)
    rig.base["method"] = request.param
    rig.options = rig.configure()
    yield rig
    await rig.close()


@pytest.fixture
def at_once(monkeypatch):
    """Windows end close behind the clock: for tests without transactions that begin unseen."""
    for module in ("assignment", "tracker"):
        monkeypatch.setattr(f"sentinel.core.tasks.{module}.SHOWN_WITHIN", 0.02)
    monkeypatch.setattr("sentinel.adapters.tasks.reader.SHOWN_WITHIN", 0.02)
    monkeypatch.setattr("sentinel.adapters.tasks.reader.OVERLAP", 0.1)


def hung_for(rig, minutes):
    """One task a minute, none assigned."""
    rig.execute(
        "INSERT INTO {schema}.tasks (created_at) SELECT now() - n * interval '1 min'"
        " FROM generate_series(1, %s) n", minutes,
    )  # fmt: skip


def counted(facts):
    return sum(facts[name] for name in COUNTERS)


async def test_a_platform_in_another_zone_is_read_by_the_catalog(rig):
    """Times without zone, the database in Asia/Tokyo, a hung assigner: 48 unassigned, down, and
    the finding says on what its zone rests.
    """
    rig.live_in("Asia/Tokyo")
    hung_for(rig, 48)
    finding = await rig.run()
    facts = finding.evidence["assignment"]
    assert (finding.status, facts["open"]) == (Status.DOWN, 48)
    assert facts["oldest_unassigned_seconds"] == pytest.approx(2880, abs=20)
    assert f"is read as Asia/Tokyo (TimeZone of database {rig.name})" in finding.detail


async def test_a_declared_zone_comes_first(rig):
    """The catalog says UTC, the application writes Tokyo: `zone:` is right."""
    rig.live_in("UTC")
    rig.execute("SET timezone TO 'Asia/Tokyo'")
    hung_for(rig, 48)
    rig.options = rig.configure(zone="Asia/Tokyo")
    finding = await rig.run()
    assert (finding.status, finding.evidence["assignment"]["open"]) == (Status.DOWN, 48)
    assert "is read as Asia/Tokyo (`zone:` of the mapping)" in finding.detail
    typed = "ALTER TABLE {schema}.tasks ALTER %s TYPE timestamptz"
    for column in ("created_at", "assigned_at"):
        rig.execute(typed % column)
    rig.state = KIND.load_state(None)
    with pytest.raises(SubjectError, match="zone: Asia/Tokyo` has no effect"):
        await rig.run()


async def test_a_zone_that_nobody_tells_is_suspected(rig):
    """Sessions set it themselves: unknown at the first look, with the zone that it looks like; what
    appears is counted as skewed, and in no duration.
    """
    rig.live_in("UTC")
    rig.execute("SET timezone TO 'Asia/Tokyo'")
    hung_for(rig, 48)
    finding = await rig.run()
    assert finding.status is Status.UNKNOWN
    assert "9 h ahead of the server's clock: they look like UTC+9" in finding.detail
    assert "declare `zone:`" in finding.guidance
    rig.execute("INSERT INTO {schema}.tasks (assigned_at) SELECT now() FROM generate_series(1, 7)")
    finding = await rig.run(monotonic=lambda: time.monotonic() + 61)
    facts = finding.evidence["assignment"]
    assert (facts["offset"], counted(facts), facts["p99_seconds"]) == (7, 7, None)
    # Now the offset is known, and with it what is open.
    finding = await rig.run(monotonic=lambda: time.monotonic() + 122)
    assert finding.evidence["assignment"]["open"] == 48


async def test_stages_of_two_zones_are_no_durations(rig, at_once, monkeypatch):
    """Created in Tokyo, assigned and started by a writer of UTC: hours apart, counted apart."""
    rig.options = rig.configure(
        columns={"started_at": "started_at"}, zone="UTC", stages_after="500ms"
    )
    await rig.run()
    rig.execute("SET timezone TO 'UTC'")
    rig.execute(
        "INSERT INTO {schema}.tasks (created_at, assigned_at, started_at) SELECT now() - off,"
        " now() - off + interval '200 ms', now() - off + wait + interval '400 ms'"
        " FROM (VALUES (interval '0'), ('0'), ('0')) AS v (off),"
        " (VALUES (interval '0'), ('9 hours'), ('-5 hours 45 min')) AS w (wait)"
    )
    while rig.state.staged_to.timestamp() < time.time() - 0.6 or not rig.state.stages:
        finding = await rig.run()
        await asyncio.sleep(0.05)
    pickup = next(row.values for row in finding.rows if row.labels == {"stage": "pickup"})
    assert (pickup["stage_seconds"].total, pickup["stage_skewed"]) == (3, 6)
    assert pickup["stage_seconds"].sum == pytest.approx(0.6, abs=0.01)


async def test_rows_visible_late_are_counted_in_their_window(rig):
    """A quarter of the rows becomes visible 1.5 s after the time that their client stamped, with
    no transaction open; restarts in between. All are counted once, durations are the ledger's.
    """
    rig.options = rig.configure(settle_after="3s")
    await rig.run()
    ledger = Writers(rig, 3.0)
    polls = 0
    while ledger.is_alive() or time.time() < ledger.end + 4:
        await rig.run()
        polls += 1
        if polls % 30 == 0:
            rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
        await asyncio.sleep(0.05)
    finding = await rig.settle()
    facts = finding.evidence["assignment"]
    late = rig.execute("SELECT count(*) FROM {schema}.tasks WHERE status = 'late'").fetchone()[0]
    assert late > 10
    assert counted(facts) == facts["total"] == len(ledger.rows)
    assert facts["within_deadline"] == sum(wait <= 0.1 for wait in ledger.rows)
    histogram = next(
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    )
    if rig.options.method == "cohorts":  # later windows wait for rows as late
        assert time.time() - rig.state.settled_to.timestamp() > 1.5
    assert histogram.total == len(ledger.rows)
    assert histogram.sum == pytest.approx(sum(ledger.rows), abs=0.01)


async def test_a_row_behind_all_that_was_read_is_taken_in(rig, at_once):
    """Windows and floor have passed its time: with its class and its latency all the same, once,
    also after a restart.
    """
    rig.live_in("UTC")
    rig.options = rig.configure(settle_after="5s")
    await rig.run()
    await asyncio.sleep(1.2)
    for total in (1, 2):
        await rig.run()
        rig.execute(
            "INSERT INTO {schema}.tasks (created_at, assigned_at) SELECT at, at + interval '50 ms'"
            " FROM (SELECT now() - interval '1 s' AS at) AS t"
        )
        rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
        for _ in range(2):
            facts = await rig.facts()
            assert (facts["within_deadline"], counted(facts)) == (total, total)


async def test_who_meets_rows_that_were_counted_ahead_is_in_no_duration(rig, at_once):
    """A stretch of the axis in which another zone's row lay before its time came: whoever comes
    there is skewed, too, and neither in a class nor in a latency; outside all is as ever.
    """
    rig.live_in("UTC")
    await rig.run()
    now = rig.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()[0]
    rig.state.ledger.stretches.append(Counted(now, now + 1.0, 1, own=False))
    insert = (
        "INSERT INTO {schema}.tasks (created_at, assigned_at) SELECT at, at + interval '50 ms'"
        " FROM (SELECT to_timestamp(%s) AT TIME ZONE 'UTC' AS at FROM generate_series(1, %s)) AS t"
    )
    rig.execute(insert, now + 0.5, 4)
    rig.execute(insert, now + 1.2, 2)
    await asyncio.sleep(1.3)
    await rig.settle()
    rig.state.looked_at -= 60
    finding = await rig.run()
    facts = finding.evidence["assignment"]
    assert (facts["total"], facts["offset"], counted(facts)) == (2, 3, 5)
    shown = [
        row.values["assignment_seconds"]
        for row in finding.rows
        if "assignment_seconds" in row.values
    ]
    assert sum(each.total for each in shown) == 2


class Writers:
    """Two clients that stamp rows by their own clock; some of one's are written 1.5 s later."""

    def __init__(self, rig, seconds):
        self.rig, self.end, self.rows = rig, time.time() + seconds, []
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(2)]
        for thread in self.threads:
            thread.start()

    def is_alive(self):
        return any(thread.is_alive() for thread in self.threads)

    def write(self, seed):
        dice, waiting = random.Random(seed), []
        sql = (
            f"INSERT INTO {self.rig.schema}.tasks (status, created_at, assigned_at) VALUES (%s,"
            " to_timestamp(%s) AT TIME ZONE 'UTC', to_timestamp(%s) AT TIME ZONE 'UTC')"
        )
        with psycopg.connect(self.rig.dsn, autocommit=True) as db:
            while time.time() < self.end or waiting:
                now = time.time()
                if now < self.end:
                    wait = dice.choice((0.05, 0.3))
                    if seed and dice.random() < 0.5:
                        waiting.append((now, wait))
                    else:
                        db.execute(sql, ("done", now, now + wait))
                        self.rows.append(wait)
                while waiting and waiting[0][0] < now - 1.5:
                    at, wait = waiting.pop(0)
                    db.execute(sql, ("late", at, at + wait))
                    self.rows.append(wait)
                time.sleep(0.03 * dice.random())


async def test_columns_without_a_zone_are_read_by_their_index(rig):
    """Each range is compared with the column in its own type, whichever zone it is in."""
    rig.live_in("Asia/Tokyo")
    rig.execute(
        "INSERT INTO {schema}.tasks (status, created_at, assigned_at)"
        " SELECT 'done', now() - n * interval '10 s', now() FROM generate_series(1, 45000) n;"
        "CREATE INDEX waiting ON {schema}.tasks (created_at) WHERE assigned_at IS NULL;"
        "ANALYZE {schema}.tasks"
    )
    await rig.run()
    statements = rig.options.statements(rig.state.clocks, rig.state.shifts(time.time()))
    now = rig.state.settled_to
    params = {**statements.back(now, 60.0, limit=10), "edges": [0.0, 1.0]}
    for name in ("settle", "histogram", "stages", "count", "arrivals", "look", "throughput"):
        sql = getattr(statements, name)
        nodes = await explain(rig.client.query, sql, params) if sql else []
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}, name
    for name in ("open", "open_named", "backlog"):
        nodes = await explain(rig.client.query, getattr(statements, name), params)
        assert "waiting" in {node.get("Index Name") for node in nodes}, name


async def test_writers_in_three_zones_are_each_in_one_counter(rig):
    """Athens, Los Angeles and UTC write into one column without a zone: who can't be told apart is
    skewed, nobody is missing or counted twice, what is a duration is the ledger's, the kind says
    unknown, and how many are open is known all the same.
    """
    zones = ("Europe/Athens", "America/Los_Angeles", "UTC")
    # Told by the settings of roles, or by no catalog.
    told = "roles" if rig.options.method == "cohorts" else "sessions"
    rig.live_in("UTC")
    roles = [f"r{n}_{rig.name}" for n in range(3)]
    for role, zone in zip(roles, zones, strict=True):
        rig.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {rig.schema} TO {role}")
        rig.execute(f"GRANT INSERT, SELECT ON {rig.schema}.tasks TO {role}")
        rig.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {rig.schema} TO {role}")
        if told == "roles":
            rig.execute(f"ALTER ROLE {role} SET timezone TO '{zone}'")
    try:
        await write_in_zones(rig, dict(zip(roles, zones, strict=True)), told == "sessions")
    finally:
        await rig.client.close()
        for role in roles:
            rig.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def write_in_zones(rig, zones, sets_itself):
    dbs = [psycopg.connect(rig.server.dsn(rig.name, user=role), autocommit=True) for role in zones]
    if sets_itself:
        for db, zone in zip(dbs, zones.values(), strict=True):
            db.execute(f"SET timezone TO '{zone}'")
    await rig.run()
    written, end = 0, time.time() + 3
    clock = [time.monotonic()]
    while time.time() < end + 2.5:
        for db in dbs if time.time() < end else ():
            db.execute(
                f"INSERT INTO {rig.schema}.tasks (assigned_at) VALUES (now() + interval '50 ms')"
            )
            written += 1
        clock[0] += 5
        finding = await rig.run(monotonic=lambda: clock[0])
        await asyncio.sleep(0.1)
    for db in dbs:
        db.execute(f"INSERT INTO {rig.schema}.tasks DEFAULT VALUES")
        db.close()
    finding = await rig.run(monotonic=lambda: clock[0] + 65)
    facts = finding.evidence["assignment"]
    assert counted(facts) + 3 >= written > 30
    assert counted(facts) - 3 <= written
    assert facts["offset"] >= written * 2 // 3
    assert facts["total"] == facts["within_deadline"] > 0
    assert finding.status is Status.UNKNOWN
    assert "they look like" in finding.detail
    assert facts["open"] == 3
    assert facts["oldest_unassigned_seconds"] < 5
