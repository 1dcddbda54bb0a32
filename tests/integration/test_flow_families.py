"""Kind `flows` over a master and several tables of children (platforms.md R14): each disagreement,
exactly.
"""

from __future__ import annotations

import json

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.errors import SubjectError
from sentinel.probes.flows import KIND, FlowsOptions, FlowsState

SETUP = """
drop schema if exists family cascade; create schema family;
create table family.master (id bigserial primary key, flow_id uuid unique, flow_status varchar default 'initialized',
  created_at timestamptz default now(), updated_at timestamptz default now());
create table family.discovery (id bigserial primary key, flow_id uuid, master_flow_id uuid, status varchar,
  progress_percentage float, created_at timestamptz default now(), updated_at timestamptz default now());
create table family.planning (id text primary key, master text, current_phase text, phase_status text,
  created_at timestamp default (now() at time zone 'utc'));
create index on family.discovery (flow_id); create index on family.planning (master);
"""
OPTIONS = {
    "table": "family.master", "id": "flow_id", "status": "flow_status", "flow_type": "master",
    "active": ["active", "running"],
    "children": [
        {"table": "family.discovery", "id": "flow_id", "join": ["master_flow_id", "flow_id"],
         "progress": "progress_percentage", "active": ["active"], "waiting": ["waiting_for_approval", "paused"]},
        {"table": "family.planning", "status": "phase_status", "phase": "current_phase", "changed_at": None,
         "join": ["master"], "initial": "pending", "terminal": ["done"]},
    ],
}  # fmt: skip


class Family:
    """Masters with children, by small numbers as ids."""

    def __init__(self, db: psycopg.Connection) -> None:
        self.db = db
        db.execute(SETUP)

    def master(self, n: int, status: str) -> None:
        self.db.execute(
            "insert into family.master (flow_id, flow_status) values (%s, %s)", (uuid(n), status)
        )

    def discovery(self, n: int, status: str, progress: float = 16.7, by: str = "flow_id") -> None:
        """A child that names its master in `by`, and else has NULL or an identity of its own."""
        own, named = (uuid(n), None) if by == "flow_id" else (uuid(1000 + n), uuid(n))
        self.db.execute(
            "insert into family.discovery (flow_id, master_flow_id, status, progress_percentage)"
            " values (%s, %s, %s, %s)",
            (own, named, status, progress),
        )

    def planning(self, n: int, status: str) -> None:
        self.db.execute(
            "insert into family.planning values (%s, %s, 'waves', %s)", (f"p{n}", uuid(n), status)
        )

    def age(self, seconds: int) -> None:
        """Let everything have been written so long ago."""
        for table in ("master", "discovery"):
            self.db.execute(
                f"update family.{table} set created_at = created_at - %s * interval '1 s',"
                " updated_at = updated_at - %s * interval '1 s'",
                (seconds, seconds),
            )
        self.db.execute(
            "update family.planning set created_at = created_at - %s * interval '1 s'", (seconds,)
        )


def uuid(n: int) -> str:
    return f"00000000-0000-0000-0000-{n:012d}"


@pytest.fixture
def family(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as db:
        yield Family(db)


@pytest.fixture
async def look(postgres, make_context, family):
    client = PostgresClient("main", postgres.dsn())

    async def once(state=None, **options):
        context = make_context({"resource": client}, state=state or FlowsState())
        return await KIND.run(FlowsOptions.model_validate(OPTIONS | options), context)

    yield once
    await client.close()


def counts(finding) -> dict[str, float]:
    """Stuck flows by reason, without zeros."""
    found: dict[str, float] = {}
    for row in finding.rows:
        if row.values.get("stuck"):
            reason = row.labels["reason"]
            found[reason] = found.get(reason, 0) + row.values["stuck"]
    return found


def settle(family: Family, first: int, n: int = 5) -> int:
    """Healthy families: at work, waiting for people, over, and not begun."""
    for i in range(first, first + n):
        family.master(i, "running")
        family.discovery(i, "active")
        family.planning(i, "done")
    family.master(first + n, "running")
    family.discovery(first + n, "waiting_for_approval", 100)
    family.master(first + n + 1, "completed")
    family.discovery(first + n + 1, "completed", 100, by="master_flow_id")
    family.master(first + n + 2, "initialized")
    family.planning(first + n + 2, "Pending")
    return first + n + 3


async def test_a_healthy_family_is_not_stuck(look, family):
    """Families at work, waiting, over and not begun: nothing, however long the disagreement may
    last.
    """
    settle(family, 0)
    family.age(600)
    finding = await look(disagree_after="1s")
    assert (finding.status, counts(finding)) == (Status.UP, {})


async def test_each_disagreement_is_counted_exactly(look, family):
    """3 masters initialized above working children, 2 over before theirs, 4 after theirs, 1 orphan,
    2 at 100 %.
    """
    n = settle(family, 0)
    for i in range(n, n + 3):
        family.master(i, "Initialized")
        family.discovery(i, "active", 83.333)
    for i in range(n + 3, n + 5):
        family.master(i, "COMPLETED")
        family.planning(i, "in_progress")
    for i in range(n + 5, n + 9):
        family.master(i, "running")
        family.discovery(i, "completed", 100, by="master_flow_id")
        family.planning(i, "DONE")
    family.discovery(n + 9, "active")
    for i in range(n + 10, n + 12):
        family.master(i, "running")
        family.discovery(i, "active", 100)
    state = FlowsState()
    family.age(30)
    assert counts(await look(state)) == {}
    family.age(40)
    document = json.loads(json.dumps(state.dump()))
    for past in document["tables"].values():
        past["flows"][0] -= 70  # the instant that all others of a flow are counted from
    document["suspects"] = [[key, since - 70] for key, since in document["suspects"]]
    finding = await look(FlowsState(document))
    assert counts(finding) == {
        "master_initialized": 3, "master_finished": 2, "child_finished": 4, "no_master": 1, "full_but_open": 2,
    }  # fmt: skip
    assert finding.evidence["master_finished"][0]["blocked_by"].endswith("is completed")
    assert finding.evidence["child_finished"][0]["id"] == uuid(n + 5)
    assert finding.key[1].startswith("12/")
    orphans = [each.subject for each in finding.faults if each.key == "no_master"]
    assert orphans == [{"table": "family.discovery", "flow": uuid(n + 9)}]
    assert len({each.identity for each in finding.faults}) == len(finding.faults) == 12


async def test_a_passing_disagreement_is_none(look, family):
    """Master and child are written one after the other: what is over at the next look never
    counted.
    """
    family.master(1, "running")
    family.discovery(1, "completed", 100)
    state = FlowsState()
    assert counts(await look(state)) == {}
    family.db.execute("update family.master set flow_status = 'completed'")
    await look(state)
    assert state.suspects == {}


async def test_a_second_child_at_work_is_no_disagreement(look, family):
    """One child is over and the next one works: the master waits rightly."""
    family.master(1, "running")
    family.discovery(1, "completed", 100)
    family.planning(1, "in_progress")
    family.age(600)
    assert counts(await look()) == {}


async def test_only_statuses_of_waiting_for_children_count(look, family):
    """With waits_for_children a master at its own work is not asked why its child is over."""
    for n, status in enumerate(("running", "active")):
        family.master(n, status)
        family.discovery(n, "completed", 100)
    family.age(600)
    assert counts(await look(waits_for_children=["ACTIVE"])) == {"child_finished": 1}


async def test_a_late_master_is_blocked_by_its_child(look, family):
    """Its reason names the child; and when the child waits for people, the master is not late."""
    for n, status in enumerate(("active", "paused")):
        family.master(n, "running")
        family.discovery(n, status)
    family.age(7200)
    finding = await look()
    assert counts(finding) == {"overdue": 2}
    (sample,) = [sample for sample in finding.evidence["overdue"] if sample["type"] == "master"]
    assert f"child {uuid(0)} is active" in sample["blocked_by"]


async def test_instants_that_nobody_writes_prove_no_disagreement(look, family):
    """Values change and updated_at does not: then a disagreement counts from when sentinel saw it."""
    family.master(1, "active")
    family.discovery(1, "active", 10)
    family.age(600)
    state = FlowsState()
    await look(state)
    family.db.execute("update family.discovery set progress_percentage = 20")
    family.db.execute("update family.master set flow_status = 'completed'")
    assert counts(await look(state)) == {}


async def test_a_child_may_stand_alone(look, family):
    """require_master: false."""
    family.discovery(1, "active")
    family.age(600)
    children = [OPTIONS["children"][0] | {"require_master": False}]
    assert counts(await look(children=children)) == {}


async def test_a_table_of_children_that_does_not_fit_is_set_aside(look, family):
    """Missing columns, times that are none, no such table: each named with its remedy; all other
    tables are judged.
    """
    family.master(1, "initialized")
    family.discovery(1, "active")
    family.master(2, "running")
    family.planning(2, "done")
    family.planning(1, "in_progress")
    family.age(600)
    discovery = OPTIONS["children"][0]
    planning = {
        "table": "family.planning",
        "status": "phase_status",
        "changed_at": None,
        "terminal": ["done"],
    }
    cases = [
        (
            planning | {"join": ["parent_id"]},
            "no such column: parent_id in family.planning",
            "current_phase",
        ),
        (
            planning | {"join": ["master"], "created_at": "id"},
            "no time: id of family.planning is of type text",
            "to_times",
        ),
        (
            planning | {"join": ["master"], "table": "family.nowhere"},
            "no such table or view",
            "correct the name",
        ),
        (
            planning | {"join": ["master"], "waiting_flags": ["current_phase->x"]},
            "a value is not what",
            "correct the",
        ),
    ]
    for child, problem, remedy in cases:
        finding = await look(children=[child, discovery])
        assert counts(finding) == {"master_initialized": 1}, problem
        (told,) = finding.evidence["not_judged"].values()
        assert problem in told
        assert remedy in told
        (doubt,) = [each for each in finding.faults if each.key == "unjudged"]
        assert remedy in doubt.guidance
    family.db.execute("update family.master set flow_status = 'running'")
    finding = await look(children=[discovery, cases[0][0]])
    assert (finding.status, counts(finding)) == (Status.UNKNOWN, {}), (
        "nobody knows what the other children do"
    )


async def test_the_masters_table_itself_must_fit(look):
    """Without it there is nothing to judge."""
    with pytest.raises(SubjectError, match=r"no such column: state in family\.master") as caught:
        await look(status="state")
    assert "flow_status" in caught.value.guidance
