"""A platform whose writers live in Athens, Los Angeles and UTC at once, with one row of twenty visible
1.5 s late: whoever can know the times tells those of the ledger, whoever can't says so.

One stretch of traffic goes into all tables; the ledger is the writers' own, in Unix seconds, and
knows nothing of the product.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest
import redis

from sentinel.core.fault import Status
from sentinel.probes.agent_progress import KIND as PROGRESS
from sentinel.probes.bus_crosscheck import KIND as CROSSCHECK
from sentinel.probes.flows import KIND as FLOWS
from sentinel.probes.registry import KIND as REGISTRY
from sentinel.probes.task_assignment import KIND as ASSIGNMENT
from tests.integration.conftest import make_run_context
from tests.integration.zoned_rig import ZonedRig

ATHENS, ANGELES, UTC = "Europe/Athens", "America/Los_Angeles", "UTC"
ZONES = {"athens": ATHENS, "angeles": ANGELES, "utc": UTC}
TRAFFIC, LATE, SETTLE, DEADLINE = 3.0, 1.5, 3.0, 0.1

TABLES = """
CREATE SCHEMA {s};
CREATE TABLE {s}.tasks (id bigserial PRIMARY KEY, status text NOT NULL, agent text NOT NULL,
                        created_at {t} NOT NULL DEFAULT now(), assigned_at {t}, completed_at {t},
                        started_at {t});
CREATE INDEX ON {s}.tasks (created_at);
CREATE TABLE {s}.agents (id text PRIMARY KEY, status text NOT NULL DEFAULT 'active',
                         last_heartbeat {t} NOT NULL, registered_at {t} NOT NULL);
CREATE TABLE {s}.flows (id text PRIMARY KEY, status text NOT NULL, created_at {t} NOT NULL,
                        updated_at {t} NOT NULL, status_changed_at {t} NOT NULL);
"""


@dataclass
class Ledger:
    """What one table was given: task → (created, assigned or None, started, completed), Unix
    seconds, and of whom; tasks whose entry was never published.
    """

    tasks: dict[int, tuple] = field(default_factory=dict)
    writers: dict[int, str] = field(default_factory=dict)
    unpublished: set[int] = field(default_factory=set)

    def outcomes(self, writer=None):
        """How many tasks by what had become of them at the deadline."""
        found = dict.fromkeys(("in_deadline", "late", "unassigned"), 0)
        for task, (created, assigned, *_) in self.tasks.items():
            if writer in (None, self.writers[task]):
                in_time = assigned is not None and round(assigned - created, 6) <= DEADLINE
                found[
                    "unassigned" if assigned is None else "in_deadline" if in_time else "late"
                ] += 1
        return found

    def durations(self, began, ended):
        """Of every task that has both."""
        pairs = [(task[began], task[ended]) for task in self.tasks.values()]
        return [end - start for start, end in pairs if end is not None]


@dataclass
class House:
    """A schema with its type of times, its writers (name → zone), and what its checks are told."""

    schema: str
    type: str
    writers: dict[str, str]
    declared: str | None = None
    ledger: Ledger = field(default_factory=Ledger)


def make_houses():
    """Every way in which a zone can be known, and the one in which it can't."""
    found = [House("exact", "timestamptz", ZONES), House("mixed", "timestamp", ZONES)]
    for name, zone in ZONES.items():
        found.append(House(f"catalog_{name}", "timestamp", {name: zone}))
        found.append(House(f"declared_{name}", "timestamp", {name: zone}, zone))
    return {house.schema: house for house in found}


class Writer(threading.Thread):
    """Writes tasks into one table, as a session of its role and zone."""

    def __init__(self, platform, house, name, zone, seed):
        super().__init__()
        self.platform, self.house, self.label, self.zone = platform, house, name, ZoneInfo(zone)
        self.dice, self.naive = random.Random(seed), house.type == "timestamp"
        self.db, self.error = platform.connect(house, name, zone), None

    def at(self, seconds):
        """An instant as this writer's program writes it."""
        if seconds is None:
            return None
        found = datetime.fromtimestamp(seconds, self.zone)
        return found.replace(tzinfo=None) if self.naive else found

    def run(self):
        try:
            end, held = time.monotonic() + TRAFFIC, []
            while time.monotonic() < end:
                if self.dice.random() < 0.05:
                    held.append((time.monotonic() + LATE, self.draw(time.time())))
                elif self.dice.random() < 0.5:
                    self.write(self.draw(time.time()))
                else:
                    self.write_with_default()
                held = self.show(held)
                time.sleep(0.05)
            while held:
                held = self.show(held)
                time.sleep(0.02)
        except (psycopg.Error, redis.RedisError) as error:
            self.error = error

    def show(self, held):
        """Write what a background writer has kept for long enough; the others are kept on."""
        for due, task in held:
            if time.monotonic() >= due:
                self.write(task)
        return [each for each in held if time.monotonic() < each[0]]

    def draw(self, created):
        """Latency on either side of the deadline, or none; then a start and an end."""
        latency = self.dice.choice((0.01, 0.03, 0.06, 0.25, 0.5, None))
        if latency is None:
            return created, None, None, None
        assigned = created + latency
        return created, assigned, assigned + 0.05, assigned + 0.25

    def write(self, task):
        row = self.db.execute(
            f"INSERT INTO {self.house.schema}.tasks (status, agent, created_at, assigned_at,"
            " started_at, completed_at) VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
            ("completed" if task[1] else "pending", self.label, *map(self.at, task)),
        ).fetchone()
        self.note(row[0], task)

    def write_with_default(self):
        """Times of the server, in this session's zone."""
        offsets = self.draw(0.0)[1:]
        row = self.db.execute(
            f"INSERT INTO {self.house.schema}.tasks (status, agent, assigned_at, started_at,"
            " completed_at) VALUES (%s, %s, now() + %s * interval '1 s', now() + %s * interval"
            " '1 s', now() + %s * interval '1 s') RETURNING id, extract(epoch FROM now())::float8",
            ("completed" if offsets[0] else "pending", self.label, *offsets),
        ).fetchone()
        self.note(row[0], (row[1], *(each and row[1] + each for each in offsets)))

    def note(self, id_, task):
        ledger = self.house.ledger
        ledger.tasks[id_], ledger.writers[id_] = task, self.label
        if task[1] is None:
            return
        if self.dice.random() < 0.1:
            ledger.unpublished.add(id_)
            return
        stream = f"{self.house.schema}:{self.label}"
        body = {"type": "task", "payload": json.dumps({"task_id": str(id_)})}
        self.platform.rig.raw.xadd(stream, body, id="*")


class Platform:
    """All tables, their writers, and runs of every kind over each of them."""

    def __init__(self, rig):
        self.rig, self.houses, self.findings, self.first = rig, make_houses(), {}, {}
        for house in self.houses.values():
            rig.db.execute(TABLES.format(s=house.schema, t=house.type))
        for name, zone in {**ZONES, "any": None}.items():
            role = rig.add_role(name, zone)
            for house in self.houses.values():
                if name == "any" if house.declared else name in house.writers:
                    self.let_write(house, role)
        # A superuser who holds a session may write, too: the catalog would tell of one zone more.
        rig.db.close()
        self.sessions = [
            (house, name, self.connect(house, name, zone))
            for house in self.houses.values()
            for name, zone in house.writers.items()
        ]
        for session in self.sessions:
            self.furnish(*session)

    def let_write(self, house, role):
        """The role may write; of one writer alone the tables are its own."""
        for table in ("tasks", "agents", "flows"):
            if len(house.writers) == 1:
                self.rig.db.execute(f"ALTER TABLE {house.schema}.{table} OWNER TO {role}")
            self.rig.db.execute(f"GRANT ALL ON {house.schema}.{table} TO {role}")
        self.rig.db.execute(f"GRANT ALL ON SCHEMA {house.schema} TO {role}")
        self.rig.db.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {house.schema} TO {role}")

    def connect(self, house, name, zone):
        """A session of a writer; where no role tells the zone, its own setting does."""
        db = self.rig.connect(f"{'any' if house.declared else name}_{self.rig.name}")
        if house.declared:
            db.execute(f"SET timezone = '{zone}'")
        return db

    def furnish(self, house, name, db):
        """Two living agents and a dead one, two fresh flows and one that is stuck for two hours; a
        stream.
        """
        for agent, age in ((f"{name}-1", 0), (f"{name}-2", 0), (f"{name}-dead", 300)):
            db.execute(
                f"INSERT INTO {house.schema}.agents (id, last_heartbeat, registered_at)"
                " VALUES (%s, now() - %s * interval '1 s', now() - interval '25 min')",
                (agent, age),
            )
        for flow, age in ((f"{name}-1", 60), (f"{name}-2", 60), (f"{name}-stuck", 7200)):
            db.execute(
                f"INSERT INTO {house.schema}.flows SELECT %s, 'running', t, t, t"
                " FROM (SELECT now() - %s * interval '1 s') AS x (t)",
                (flow, age),
            )
        start = int((time.time() - 900) * 1000)
        self.rig.raw.xadd(f"{house.schema}:{name}", {"x": "y"}, id=f"{start}-0")
        self.rig.raw.xgroup_create(f"{house.schema}:{name}", name, id="$")

    def beat(self):
        """The living go on, each in its zone."""
        for house, name, db in self.sessions:
            db.execute(
                f"UPDATE {house.schema}.agents SET last_heartbeat = clock_timestamp()"
                " WHERE id = ANY (%s)",
                ([f"{name}-1", f"{name}-2"],),
            )

    def documents(self, house):
        """(name, kind, options) of every check of one schema."""
        zone = {"zone": house.declared} if house.declared else {}
        tasks, agents = f"{house.schema}.tasks", f"{house.schema}.agents"
        heartbeat = {"last_heartbeat": "last_heartbeat", **zone}
        stages = {"started_at": "started_at", "completed_at": "completed_at"}
        timing = {"deadline": f"{DEADLINE}s", "settle_after": f"{SETTLE}s", "stages_after": "3s"}
        # why: tasks that nobody takes are down for certain, in whichever zone they are
        timing |= {"unassigned_degraded": "1h", "unassigned_down": "1h"}
        common = {"table": tasks, "columns": stages, **timing, **zone}
        yield "cohorts", ASSIGNMENT, common
        yield "tracker", ASSIGNMENT, {**common, "method": "tracker"}
        # why: statuses of tasks that were assigned and never begun; here only the bus is compared
        mapping = {"table": tasks, "agent": "agent", "assigned": ["x"], **zone}
        stream = {"stream": f"{house.schema}:{{agent}}", "group": "{agent}"}
        within = {"published_within": "2s", "confirm_after": "3s", "samples": 200}
        yield "crosscheck", CROSSCHECK, {"tasks": mapping, **stream, **within}
        yield "progress", PROGRESS, {"table": agents, "ttl": "5s", **heartbeat}
        registry = {"table": agents, "registered_at": "registered_at", **heartbeat}
        yield "registry", REGISTRY, {"agents": registry, "ttl": "5s"}
        moved = {"status_changed_at": "status_changed_at", "overdue_after": "1h"}
        yield "flows", FLOWS, {"table": f"{house.schema}.flows", **moved, **zone}

    async def look(self):
        """Each check once."""
        for house in self.houses.values():
            for name, kind, document in self.documents(house):
                key = f"{house.schema} {name}"
                self.findings[key] = await self.rig.run(kind, document, key)

    async def live(self):
        await self.look()
        self.first = dict(self.findings)
        writers = [
            Writer(self, house, name, zone, f"{house.schema} {name}")
            for house in self.houses.values()
            for name, zone in house.writers.items()
        ]
        for writer in writers:
            writer.start()
        end = None
        while end is None or time.monotonic() < end:
            self.beat()
            await self.look()
            if end is None and not any(writer.is_alive() for writer in writers):
                end = time.monotonic() + SETTLE + 3.5
        for db in [*(writer.db for writer in writers), *(db for *_, db in self.sessions)]:
            db.close()
        for writer in writers:
            assert writer.error is None


@pytest.fixture(scope="module")
def platform(postgres, _valkey_process):
    """The platform after its traffic, every task settled."""
    rig = ZonedRig(postgres, _valkey_process, make_run_context, None)
    found = Platform(rig)

    async def live():
        try:
            await found.live()
        finally:
            await rig.close()

    asyncio.run(live())
    return found


KNOWN = [name for name in make_houses() if name != "mixed"]


def counters(finding):
    """Every counter of tasks that `task_assignment` shows."""
    found = {}
    for row in finding.rows:
        if "settled" in row.values:
            found[row.labels["outcome"]] = row.values["settled"]
        for name in ("negative_latency", "offset_latency", "missing_timestamp", "skewed"):
            if name in row.values:
                found[name] = row.values[name]
        if "censored" in row.values:
            found[row.labels["reason"]] = row.values["censored"]
    return found


def histogram(finding, name, **labels):
    return next(
        row.values[name]
        for row in finding.rows
        if name in row.values and labels.items() <= dict(row.labels).items()
    )


@pytest.mark.parametrize("method", ["cohorts", "tracker"])
@pytest.mark.parametrize("house", KNOWN)
def test_every_task_is_counted_once(platform, house, method):
    """Whatever the zones are, the counters and durations are those of the ledger."""
    ledger, finding = platform.houses[house].ledger, platform.findings[f"{house} {method}"]
    assert len(ledger.tasks) > 20
    assert counters(finding) == {
        **dict.fromkeys(counters(finding), 0),
        **ledger.outcomes(),
    }
    assert finding.evidence["assignment"]["open"] == ledger.outcomes()["unassigned"]
    latencies, unassigned = ledger.durations(0, 1), ledger.outcomes()["unassigned"]
    shown = histogram(finding, "assignment_seconds")
    assert shown.total == len(ledger.tasks)
    assert shown.sum == pytest.approx(sum(latencies) + unassigned * SETTLE, abs=1e-3)


@pytest.mark.parametrize("house", KNOWN)
def test_stages_last_as_in_the_ledger(platform, house):
    """From one column to another, each in its writer's zone."""
    ledger, finding = platform.houses[house].ledger, platform.findings[f"{house} cohorts"]
    for stage, pair in {"queue_wait": (0, 1), "pickup": (1, 2), "run": (2, 3)}.items():
        shown, durations = (
            histogram(finding, "stage_seconds", stage=stage),
            ledger.durations(*pair),
        )
        assert (shown.total, shown.sum) == (
            len(durations),
            pytest.approx(sum(durations), abs=1e-3),
        )


@pytest.mark.parametrize("house", KNOWN)
def test_unpublished_tasks_are_found(platform, house):
    """Every assigned task is compared with the bus, and those that were not published are told."""
    ledger, finding = platform.houses[house].ledger, platform.findings[f"{house} crosscheck"]
    counts = finding.evidence["crosscheck"]["db-bus"]
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (
        len(ledger.durations(0, 1)),
        len(ledger.unpublished),
        0,
    )
    missing = [fault for fault in finding.faults if fault.key == "producer_missing"]
    assert {int(fault.subject["task"]) for fault in missing} == ledger.unpublished


@pytest.mark.parametrize("house", KNOWN)
def test_the_living_and_the_dead(platform, house):
    """Two of three agents of each writer live."""
    writers = platform.houses[house].writers
    dead = {f"{name}-dead" for name in writers}
    finding = platform.findings[f"{house} registry"]
    assert {fault.subject.get("agent") for fault in finding.faults} == dead
    assert {fault.key for fault in finding.faults} == {"ghost"}
    progress = platform.findings[f"{house} progress"]
    assert f"{2 * len(writers)} awake" in progress.detail


@pytest.mark.parametrize("house", KNOWN)
def test_stuck_flows(platform, house):
    """Exactly the flows that are in their status for two hours."""
    finding = platform.findings[f"{house} flows"]
    stuck = {f"{name}-stuck" for name in platform.houses[house].writers}
    assert {fault.subject.get("flow") for fault in finding.faults} == stuck


# --- three zones in one column of times without one -----------------------------------------------


@pytest.mark.parametrize("method", ["cohorts", "tracker"])
def test_mixed_zones_are_never_false(platform, method):
    """No task of another zone is in a class or a duration, those of the right zone are never in a
    wrong one, and the finding names a zone that it suspects. That too few are in time is certain
    all the same: even if all others were.
    """
    ledger, finding = platform.houses["mixed"].ledger, platform.findings[f"mixed {method}"]
    found, right = counters(finding), ledger.outcomes("utc")
    assert all(found[outcome] <= right[outcome] for outcome in right)
    late = histogram(finding, "late_arrivals")
    assert sum(found.values()) + late == len(ledger.tasks)
    assert finding.evidence["assignment"]["open"] == ledger.outcomes()["unassigned"]
    unknown = {fault.key for fault in finding.faults if fault.status is Status.UNKNOWN}
    assert unknown == {"skewed"}
    assert {fault.key for fault in finding.faults} <= {"skewed", "late"}
    assert "Europe/Athens" in finding.detail


def test_mixed_zones_blame_nobody(platform):
    """Where times can't be known nothing is called missing that is not, and who lives is told by
    the change of the heartbeat.
    """
    crosscheck = platform.findings["mixed crosscheck"]
    assert [fault.key for fault in crosscheck.faults] == ["skewed"]
    assert crosscheck.status is Status.UNKNOWN
    assert all(zone in crosscheck.detail for zone in ZONES.values())
    counts = crosscheck.evidence["crosscheck"]["db-bus"]
    assert {name for name, count in counts.items() if count} <= {"skewed"}
    dead = {f"{name}-dead" for name in ZONES}
    registry = platform.findings["mixed registry"]
    assert {(fault.key, fault.subject["agent"]) for fault in registry.faults} == {
        ("ghost", name) for name in dead
    }
    assert "6 awake" in platform.findings["mixed progress"].detail


def test_mixed_zones_are_unknown_at_first(platform):
    """Before any heartbeat changed: nobody is alive, nobody is dead, and the zones are named."""
    for name in ("registry", "progress"):
        finding = platform.first[f"mixed {name}"]
        assert finding.status is Status.UNKNOWN
        assert [fault.key for fault in finding.faults] == ["skewed"]
        assert all(zone in finding.detail for zone in ZONES.values())


def test_mixed_zones_of_flows(platform):
    """Nothing is called stuck that is not, and the finding says why it does not know more."""
    flows = platform.findings["mixed flows"]
    overdue = {fault.subject["flow"] for fault in flows.faults if "flow" in fault.subject}
    assert overdue <= {f"{name}-stuck" for name in ZONES}
    assert "Europe/Athens" in flows.detail
