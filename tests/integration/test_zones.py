"""Times in another zone (faults.md B2): each kind gives the right figures where the zone can be
known, and says so where it can't.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sentinel.core.fault import Status
from sentinel.probes.agent_progress import KIND as PROGRESS
from sentinel.probes.bus_crosscheck import KIND as CROSSCHECK
from sentinel.probes.registry import KIND as REGISTRY
from tests.integration.zoned_rig import ZonedRig

TABLES = """
CREATE TABLE tasks (id bigserial PRIMARY KEY, status text NOT NULL, assigned_agent_id text,
                    created_at timestamp NOT NULL, assigned_at timestamp);
CREATE INDEX ON tasks (created_at);
CREATE TABLE agents (id text PRIMARY KEY, status text NOT NULL DEFAULT 'active',
                     last_heartbeat timestamp NOT NULL DEFAULT localtimestamp);
"""
TOKYO, ANGELES, ATHENS = "Asia/Tokyo", "America/Los_Angeles", "Europe/Athens"


@pytest.fixture
async def make_rig(postgres, valkey, make_context):
    rigs = []

    def make(zone=None):
        rig = ZonedRig(postgres, valkey, make_context, zone)
        rigs.append(rig)
        rig.db.execute(TABLES)
        return rig

    yield make
    for rig in rigs:
        await rig.close()


# --- bus_crosscheck -------------------------------------------------------------------------------


def assign(rig, count, seconds=60):
    """Tasks that were assigned so long ago, none of which was published."""
    rig.raw.xadd("agent_messages:a", {"x": "y"}, id=f"{int((time.time() - 900) * 1000)}-0")
    rig.raw.xgroup_create("agent_messages:a", "group_a", id="$")
    rig.db.execute(
        "INSERT INTO tasks (status, assigned_agent_id, created_at, assigned_at)"
        " SELECT 'assigned', 'a', localtimestamp - %s * interval '1 s', localtimestamp"
        " - %s * interval '1 s' FROM generate_series(1, %s)",
        (seconds + 1, seconds, count),
    )


@pytest.mark.parametrize("zone", [TOKYO, ANGELES])
@pytest.mark.parametrize("known", ["catalog", "declared"])
async def test_unpublished_tasks_of_a_known_zone(make_rig, zone, known):
    """40 assigned, none published: all are found, whether the database or the mapping tells the
    zone, and the finding says which.
    """
    rig = make_rig(zone if known == "catalog" else None)
    if known == "declared":
        rig.live_in(zone)
    assign(rig, 40)
    tasks = {"zone": zone} if known == "declared" else {}
    finding = await rig.run(CROSSCHECK, {"samples": 100, "tasks": tasks})
    assert finding.evidence["crosscheck"]["db-bus"]["bad"] == 40
    assert finding.status is Status.DOWN
    assert zone in str(finding.evidence["zones"])


@pytest.mark.parametrize("zone", [TOKYO, ANGELES])
async def test_unpublished_tasks_of_an_unknown_zone(make_rig, zone):
    """Nobody tells the zone: that is unknown, with the offset, and never "nothing to compare"; each
    task is counted as skewed once, and as nothing else.
    """
    rig = make_rig()
    rig.live_in(zone)
    await rig.run(CROSSCHECK, {"samples": 100})
    assign(rig, 40, seconds=0)
    for _ in range(3):
        finding = await rig.run(CROSSCHECK, {"samples": 100})
    assert finding.status is Status.UNKNOWN
    assert "nothing to compare" not in finding.detail
    assert offset_of(zone) in finding.detail
    (fault,) = finding.faults
    assert (fault.key, str(fault.count)) == ("skewed", "40")
    counts = finding.evidence["crosscheck"]["db-bus"]
    assert (counts["skewed"], counts["samples"], counts["unmeasurable"]) == (40, 0, 0)


async def test_rows_ahead_at_the_first_look(make_rig):
    """What lies ahead of the clock is of another zone, whenever we look; whole hours of it tell
    which.
    """
    rig = make_rig()
    rig.live_in(TOKYO)
    assign(rig, 40)
    finding = await rig.run(CROSSCHECK, {"samples": 100})
    assert finding.status is Status.UNKNOWN
    assert offset_of(TOKYO) in finding.detail


async def test_one_naive_time_beside_a_typed_one(make_rig):
    """created_at of the server, assigned_at of a program in another zone: 8 of 21 tasks are
    skewed, and one whose clock is 30 s behind; counted once, and the others compared (platforms.md
    R11).
    """
    rig = make_rig()
    rig.db.execute("ALTER TABLE tasks ALTER created_at TYPE timestamptz, ALTER assigned_at TYPE"
                   " timestamptz")  # fmt: skip
    assign(rig, 12)
    rig.db.execute(
        "INSERT INTO tasks (status, assigned_agent_id, created_at, assigned_at)"
        " SELECT 'assigned', 'a', now() - interval '50 s', now() - interval '49 s' + n * interval"
        " '1 h' FROM unnest(ARRAY[9, 9, 9, -7, -7, -7, -7, -7]) AS n"
    )
    rig.db.execute("INSERT INTO tasks (status, assigned_agent_id, created_at, assigned_at) VALUES"
                   " ('assigned', 'a', now() - interval '20 s', now() - interval '50 s')")  # fmt: skip
    for _ in range(2):
        finding = await rig.run(CROSSCHECK, {"samples": 100})
    counts = finding.evidence["crosscheck"]["db-bus"]
    assert (counts["samples"], counts["bad"], counts["skewed"]) == (12, 12, 9)
    skewed = next(fault for fault in finding.faults if fault.key == "skewed")
    assert skewed.text == (
        "flow tasks: times of tasks.assigned_at are 7 h behind the server's clock: they look like"
        " UTC-7 (9 tasks in the last 5 min); these are not compared"
    )


async def test_a_time_that_lay_ahead_accuses_nobody_when_it_has_come(make_rig):
    """Hours later a task of another zone looks like one of now, whose entry is missing: until the
    latest time that lay ahead is over, what is not found proves nothing, and what is found does.
    """
    rig = make_rig()
    rig.db.execute("SET timezone = 'UTC'")
    assign(rig, 6, seconds=60)
    await rig.run(CROSSCHECK, {"samples": 100, "window": "30s"})
    watch = rig.states[CROSSCHECK.name].watch
    watch.clock.ahead_to = time.time()
    rig.raw.xadd("agent_messages:a", {"task_id": "1"}, id=f"{int((time.time() - 60) * 1000)}-0")
    watch.watermark = None
    finding = await rig.run(CROSSCHECK, {"samples": 100})
    counts = finding.evidence["crosscheck"]["db-bus"]
    assert (counts["samples"], counts["bad"], counts["unmeasurable"]) == (1, 0, 5)
    assert "the times of tasks may be of another zone" in finding.detail


async def test_tasks_that_become_visible_late(make_rig):
    """3 of 8 tasks appear after their range was read: they are counted late, and each is compared
    as all others, once.
    """
    rig = make_rig()
    options = {"samples": 100, "published_within": "100ms", "confirm_after": "1s"}
    assign(rig, 5, seconds=4)
    await rig.run(CROSSCHECK, options)
    rig.db.execute("INSERT INTO tasks (status, assigned_agent_id, created_at, assigned_at)"
                   " SELECT status, 'a', created_at, assigned_at FROM tasks LIMIT 3")  # fmt: skip
    time.sleep(3.1)
    for _ in range(3):
        finding = await rig.run(CROSSCHECK, options)
    counts = finding.evidence["crosscheck"]["db-bus"]
    assert (counts["samples"], counts["bad"], counts["arrivals"]) == (8, 8, 3)


def offset_of(zone):
    seconds = datetime.now(ZoneInfo(zone)).utcoffset().total_seconds()
    return f"UTC{'+' if seconds > 0 else '-'}{abs(seconds) / 3600:.0f}"


# --- agent_progress -------------------------------------------------------------------------------

WORK = {
    "table": "agents",
    "last_heartbeat": "last_heartbeat",
    "tasks": {"table": "tasks", "created_at": "created_at"},
}


def hire(rig, *names):
    for name in names:
        rig.db.execute("INSERT INTO agents (id) VALUES (%s)", (name,))
        rig.db.execute(
            "INSERT INTO tasks (status, assigned_agent_id, created_at)"
            " VALUES ('in_progress', %s, localtimestamp)",
            (name,),
        )


def beat(rig, *names):
    rig.db.execute(
        "UPDATE agents SET last_heartbeat = localtimestamp WHERE id = ANY (%s)", (list(names),)
    )


@pytest.mark.parametrize("zone", [TOKYO, ANGELES])
@pytest.mark.parametrize("known", ["catalog", "declared"])
async def test_progress_in_a_known_zone(make_rig, zone, known):
    """Four agents at work are awake, and one that is dead is not."""
    rig = make_rig(zone if known == "catalog" else None)
    rig.live_in(zone)
    hire(rig, "a", "b", "c", "d", "dead")
    rig.db.execute("UPDATE agents SET last_heartbeat = last_heartbeat - interval '5 min'"
                   " WHERE id = 'dead'")  # fmt: skip
    declared = {"zone": zone} if known == "declared" else {}
    finding = await rig.run(PROGRESS, {**WORK, **declared, "tasks": {**WORK["tasks"], **declared}})
    assert "4 awake, 4 at work" in finding.detail
    assert finding.status is Status.UP
    assert zone in str(finding.evidence["zones"])


@pytest.mark.parametrize("zone", [TOKYO, ANGELES])
async def test_progress_in_an_unknown_zone(make_rig, zone):
    """Nobody tells the zone: who is awake is unknown at first, then judged by the change that
    sentinel saw.
    """
    rig = make_rig()
    rig.live_in(zone)
    hire(rig, "a", "b", "c", "d", "dead")
    rig.db.execute("UPDATE tasks SET created_at = now() AT TIME ZONE 'UTC'")
    first = await rig.run(PROGRESS, WORK)
    assert first.status is Status.UNKNOWN
    assert offset_of(zone) in first.detail
    time.sleep(0.6)
    beat(rig, "a", "b", "c", "d")
    second = await rig.run(PROGRESS, {**WORK, "ttl": "1s"})
    assert "4 awake" in second.detail


async def test_who_is_unsure_after_a_restart_is_not_forgotten(make_rig):
    """What was known of an agent before stands, and waits for its next beat."""
    rig = make_rig()
    rig.live_in(TOKYO)
    hire(rig, "a")
    options = {**WORK, "tasks": {**WORK["tasks"], "zone": TOKYO}}
    await rig.run(PROGRESS, options)
    time.sleep(0.6)
    beat(rig, "a")
    await rig.run(PROGRESS, options)
    known = rig.states[PROGRESS.name].dump()
    assert list(known) == ["a"]
    rig.states[PROGRESS.name] = PROGRESS.load_state(known)
    finding = await rig.run(PROGRESS, options)
    assert finding.status is Status.UNKNOWN
    assert rig.states[PROGRESS.name].dump() == known


async def test_steps_of_another_zone_are_no_loop(make_rig):
    """They would be before or after every progress: they are left out, and that is told."""
    rig = make_rig()
    rig.db.execute("CREATE TABLE steps (agent_id text, step text, created_at timestamp)")
    hire(rig, "a")
    steps = {"steps": {"table": "steps"}, "repeats": 3}
    rig.db.execute("UPDATE agents SET last_heartbeat = now() AT TIME ZONE 'UTC'")
    for zone, told in (("UTC", False), (TOKYO, True)):
        rig.live_in(zone)
        rig.db.execute("TRUNCATE steps")
        rig.db.execute(
            "INSERT INTO steps SELECT 'a', 'grep', localtimestamp FROM generate_series(1, 5)"
        )
        finding = await rig.run(PROGRESS, {**WORK, **steps})
        keys = [fault.key for fault in finding.faults]
        assert ("repeated_step" in keys) is not told
        assert (offset_of(TOKYO) in str(finding.evidence.get("not_judged"))) is told


# --- registry -------------------------------------------------------------------------------------

HOUSE = {"agents": {"table": "agents", "last_heartbeat": "last_heartbeat"}}


@pytest.mark.parametrize("zone", [TOKYO, ANGELES])
@pytest.mark.parametrize("known", ["catalog", "declared"])
async def test_ghosts_of_a_known_zone(make_rig, zone, known):
    """Of five agents one is dead: exactly that one is a ghost, whatever the zone."""
    rig = make_rig(zone if known == "catalog" else None)
    rig.live_in(zone)
    hire(rig, "a", "b", "c", "d", "dead")
    rig.db.execute("UPDATE agents SET last_heartbeat = last_heartbeat - interval '2 min'"
                   " WHERE id = 'dead'")  # fmt: skip
    declared = {"zone": zone} if known == "declared" else {}
    house = {"agents": {**HOUSE["agents"], **declared}}
    await rig.run(REGISTRY, house)
    finding = await rig.run(REGISTRY, house)
    assert finding.detail.endswith("4 of 5 active agents live; 1 ghost: dead")
    assert [fault.key for fault in finding.faults] == ["ghost"]
    assert zone in str(finding.evidence["zones"])


async def test_ghosts_of_an_unknown_zone(make_rig):
    """A beat that may be of another zone is neither life nor death: its change tells, and what
    does not change for the time to live is dead.
    """
    rig = make_rig()
    rig.live_in(ANGELES)
    hire(rig, "a", "b", "dead")
    house = {**HOUSE, "ttl": "1s"}
    await rig.run(REGISTRY, house)
    first = await rig.run(REGISTRY, house)
    assert "ghost" not in [fault.key for fault in first.faults]
    assert (first.status, offset_of(ANGELES) in first.detail) == (Status.UNKNOWN, True)
    time.sleep(1.1)
    beat(rig, "a", "b")
    await rig.run(REGISTRY, house)
    finding = await rig.run(REGISTRY, house)
    ghosts = [fault.subject["agent"] for fault in finding.faults if fault.key == "ghost"]
    assert ghosts == ["dead"]


def iso(seconds, zone, *, naive):
    at = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    return (at.replace(tzinfo=None) if naive else at).isoformat()


@pytest.mark.parametrize("naive", [True, False])
async def test_texts_in_redis(make_rig, naive):
    """ISO texts in hashes: what has an offset is exact whatever the mapping says, what has none is
    of the declared zone.
    """
    rig, now = make_rig(), time.time()
    for name, age in (("a", 0), ("b", 5), ("dead", 120)):
        text = iso(now - age, ANGELES, naive=naive)
        rig.raw.hset(f"agent:{name}", mapping={"status": "active", "seen": text})
        rig.raw.hset("beats", name, text)
    zone = {"zone": ANGELES if naive else TOKYO}
    for document in (
        {"agents": {"keys": "agent:*", "last_heartbeat": "seen", **zone}},
        {"agents": {"keys": "agent:*"}, "heartbeats": {"hash": "beats", **zone}},
    ):
        await rig.run(REGISTRY, document)
        finding = await rig.run(REGISTRY, document)
        assert finding.detail.endswith("2 of 3 active agents live; 1 ghost: dead")


async def test_a_file_in_a_zone(make_rig, tmp_path):
    """A JSON file with the local times of its writer."""
    rig, now = make_rig(), time.time()
    path = tmp_path / "registry.json"
    agents = [
        {"id": name, "status": "active", "seen": iso(now - age, ATHENS, naive=True)}
        for name, age in (("a", 0), ("dead", 120))
    ]
    written = {"written": iso(now, ATHENS, naive=True), "next": iso(now + 60, ATHENS, naive=True)}
    path.write_text(json.dumps({"agents": agents, **written}))
    names = {"written": "written", "next_update": "next", "fresh": "1m"}
    source = {"file": str(path), "last_heartbeat": "seen", **names, "zone": ATHENS}
    await rig.run(REGISTRY, {"agents": source})
    finding = await rig.run(REGISTRY, {"agents": source})
    assert finding.detail.endswith("1 of 2 active agents live; 1 ghost: dead")
    assert [fault.key for fault in finding.faults] == ["ghost"]
    del source["zone"]
    finding = await rig.run(REGISTRY, {"agents": source})
    assert "stale_file" not in [fault.key for fault in finding.faults]
    assert f"they look like {offset_of(ATHENS)}" in str(finding.evidence["not_judged"])


def test_the_zones_differ_from_utc_now():
    """The tests above show nothing where a zone is UTC."""
    assert all(datetime.now(ZoneInfo(zone)).utcoffset() for zone in (TOKYO, ANGELES, ATHENS))
    assert datetime.now(UTC).utcoffset().total_seconds() == 0
