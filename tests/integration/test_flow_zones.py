"""Kind `flows` where writers live in several zones: what the catalog or the mapping tells is right,
what nobody can tell is unknown, with the zone that it looks like.
"""

from __future__ import annotations

import pytest

from sentinel.core.fault import Status
from sentinel.errors import SubjectError
from sentinel.probes.flows import KIND
from tests.integration.zoned_rig import ZonedRig

TABLES = """
CREATE TABLE flows (id text PRIMARY KEY, type text DEFAULT 't', status text DEFAULT 'initialized', worker text,
  created_at timestamp DEFAULT localtimestamp, updated_at timestamp DEFAULT localtimestamp);
CREATE TABLE typed (id text PRIMARY KEY, type text DEFAULT 't', status text DEFAULT 'initialized',
  created_at timestamptz DEFAULT now());
CREATE TABLE workers (id text PRIMARY KEY, status text DEFAULT 'active',
  last_heartbeat timestamp DEFAULT localtimestamp);
"""
TOKYO, ANGELES, ATHENS = "Asia/Tokyo", "America/Los_Angeles", "Europe/Athens"
FLOWS = {"table": "public.flows", "type": "type", "learn": False, "overdue_after": "1h"}
TYPED = {"table": "public.typed", "type": "type", "changed_at": None, "learn": False}


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


def add(db, key, age, table="flows"):
    """A flow that was created so long ago, by the clock of this session."""
    times = "created_at, updated_at" if table == "flows" else "created_at"
    now = "localtimestamp" if table == "flows" else "now()"
    values = ", ".join([f"{now} - interval '{age}'"] * len(times.split(", ")))
    db.execute(f"INSERT INTO {table} (id, {times}) VALUES (%s, {values})", (key,))


def tell(finding):
    found = {}
    for fault in finding.faults:
        found.setdefault(fault.key, set()).add(fault.subject.get("flow") or fault.subject["times"])
    return found


@pytest.mark.parametrize("zone", [TOKYO, ANGELES])
@pytest.mark.parametrize("known", ["catalog", "declared"])
async def test_ages_of_a_known_zone(make_rig, zone, known):
    """2 of 2 h, 3 of 10 min: exactly the two are overdue, whether the database or the mapping tells
    the zone, and the finding says which.
    """
    rig = make_rig(zone if known == "catalog" else None)
    if known == "declared":
        rig.live_in(zone)
    for n in range(5):
        add(rig.db, f"f{n}", "2 h" if n < 2 else "10 min")
    options = FLOWS | ({"zone": zone} if known == "declared" else {})
    finding = await rig.run(KIND, options)
    assert tell(finding) == {"overdue": {"f0", "f1"}}
    assert "in initialized for 2 h" in finding.faults[0].text
    assert zone in str(finding.evidence["zones"])


async def test_writers_in_three_zones(make_rig):
    """Athens, Los Angeles and UTC at once: at first only what is late by each zone is overdue, and
    nobody can tell of what is late by one; each flow that comes later has the age of the ledger.
    """
    rig = make_rig("UTC")
    roles = {zone: rig.add_role(name, zone) for name, zone in (("ath", ATHENS), ("la", ANGELES))}
    writers = [rig.db, *(rig.connect(role) for role in roles.values())]
    for n, db in enumerate(writers):
        add(db, f"late{n}", "20 h")
        add(db, f"young{n}", "1 min")
    finding = await rig.run(KIND, FLOWS)
    found = tell(finding)
    assert found["overdue"] == {"late0", "late1", "late2"}
    assert found["skewed"] == {"public.flows.created_at"}
    (doubt,) = [each for each in finding.faults if each.key == "skewed"]
    assert ATHENS in doubt.text
    assert ANGELES in doubt.text
    rig.db.execute("DELETE FROM flows")
    assert (await rig.run(KIND, FLOWS)).status is Status.UP
    for n, db in enumerate(writers):
        add(db, f"new{n}", "1500 ms")  # visible late
    finding = await rig.run(KIND, FLOWS)
    assert (finding.status, tell(finding)) == (Status.UP, {})
    (oldest,) = [
        r.values["oldest_age_seconds"] for r in finding.rows if "oldest_age_seconds" in r.values
    ]
    assert 1.4 <= oldest <= 10
    for db in writers[1:]:
        db.close()


async def test_a_typed_column_that_is_written_as_a_wall_time(make_rig):
    """Naive UTC of a writer whose session lives in Tokyo is 9 h too early: no age at all once three
    came so; the flow that was there before is unknown, with the zone that it looks like.
    """
    rig = make_rig()
    rig.live_in(TOKYO)
    insert = (
        "INSERT INTO typed (id, created_at) VALUES (%s, (now() AT TIME ZONE 'UTC')::timestamptz)"
    )
    rig.db.execute(insert, ("old",))
    assert tell(await rig.run(KIND, TYPED)) == {"overdue": {"old"}}, "nothing speaks against it yet"
    for n in range(3):
        rig.db.execute(insert, (f"came{n}",))
    finding = await rig.run(KIND, TYPED)
    assert tell(finding) == {"skewed": {"public.typed.created_at"}}
    assert "9 h behind the server's clock: they look like UTC-9" in finding.faults[0].text
    assert sum(row.values.get("skewed", 0) for row in finding.rows) == 3
    with pytest.raises(SubjectError, match="has no effect"):
        await rig.run(KIND, TYPED | {"zone": TOKYO}, check="declared")


async def test_workers_of_another_zone_are_not_blamed(make_rig):
    """Their heartbeats are 9 h ahead and no catalog tells: neither alive nor dead, until they are
    seen to change, or to stand still.
    """
    rig = make_rig("UTC")
    rig.live_in(TOKYO)
    rig.db.execute("INSERT INTO workers VALUES ('w0'), ('w1')")
    rig.db.execute(
        "INSERT INTO flows (id, status, worker) VALUES ('a', 'run', 'w0'), ('b', 'run', 'w1')"
    )
    options = FLOWS | {
        "worker": "worker", "created_at": None, "changed_at": None,
        "workers": {"table": "public.workers", "ttl": "2s"},
    }  # fmt: skip
    finding = await rig.run(KIND, options)
    assert tell(finding) == {"skewed": {"public.workers.last_heartbeat"}}
    assert finding.faults[0].text.endswith(
        "whether 2 workers live can't be told before they change: w0, w1"
    )
    rig.db.execute("SELECT pg_sleep(2.1)")
    rig.db.execute("UPDATE workers SET last_heartbeat = localtimestamp WHERE id = 'w0'")
    finding = await rig.run(KIND, options)
    assert tell(finding) == {"worker_dead": {"b"}}


async def test_transitions_of_several_zones_teach_nothing(make_rig):
    """Entered by one writer and left by another, a stay is off by hours: not learned from, and
    told; a declared zone settles it.
    """
    rig = make_rig("UTC")
    rig.db.execute(
        "CREATE TABLE steps (flow text, status text, entered timestamp, gone timestamptz)"
    )
    rig.add_role("ath", ATHENS)
    add(rig.db, "f", "1 min")
    rig.db.execute(
        "INSERT INTO steps SELECT 'f', 'initialized', localtimestamp - n * interval '2 h' - interval '60 s',"
        " now() - n * interval '2 h' FROM generate_series(0, 149) n"
    )
    events = {"table": "public.steps", "flow": "flow", "entered_at": "entered", "left_at": "gone"}
    options = FLOWS | {"learn": True, "transitions": events}
    finding = await rig.run(KIND, options)
    assert "nobody can tell how long stays were: public.steps.entered" in finding.detail
    finding = await rig.run(
        KIND, options | {"transitions": events | {"zone": "UTC"}}, check="declared"
    )
    (limit,) = finding.evidence["limits"]
    assert (limit["learned"], limit["seconds"], limit["stays"]) == (True, 60, 150)
