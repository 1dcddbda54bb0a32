"""Kind `flows` where masters and children are rows of one table: each disagreement, exactly, and
each row once.
"""

from __future__ import annotations

import json

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable
from sentinel.probes.flows import KIND, FlowsOptions, FlowsState

SETUP = """
drop schema if exists tree cascade; create schema tree;
create table tree.flows (id text primary key, parent text, sponsor text, type text, status text, progress float8,
  created_at timestamptz default now() - interval '10 min', updated_at timestamptz default now() - interval '10 min');
create index on tree.flows (parent); create index on tree.flows (sponsor);
create table tree.extra (id text primary key, owner text, status text,
  created_at timestamptz default now() - interval '10 min', updated_at timestamptz default now() - interval '10 min');
create index on tree.extra (owner);
"""
OPTIONS = {
    "table": "tree.flows", "type": "type", "progress": "progress", "active": ["running"], "waiting": ["paused"],
    "children": [{"table": "tree.flows", "join": ["parent"]}],
}  # fmt: skip


class Tree:
    """Flows by name; a name says whose child a row is: `a.b` is a child of `a`."""

    def __init__(self, db: psycopg.Connection) -> None:
        self.db = db
        db.execute(SETUP)

    def add(self, key: str, status: str, progress: float = 5, **columns: str) -> None:
        parent = key.rpartition(".")[0] or None
        values = {
            "id": key,
            "parent": parent,
            "type": "master" if parent is None else "child",
            "status": status,
        }
        values |= {"progress": progress} | columns
        names = ", ".join(values)
        self.db.execute(
            f"insert into tree.flows ({names}) values ({', '.join(['%s'] * len(values))})",
            tuple(values.values()),
        )

    def settle(self, n: int) -> None:
        """Healthy families: at work, waiting, over, not begun, alone, its own master; and one of
        three generations.
        """
        for i in range(n):
            self.add(f"good{i}", "running")
            self.add(f"good{i}.1", "running")
            self.add(f"good{i}.2", "completed")
        self.add("waits", "running")
        self.add("waits.1", "paused")
        self.add("over", "completed")
        self.add("over.1", "completed")
        self.add("new", "initialized")
        self.add("new.1", "initialized")
        self.add("alone", "running")
        self.add("self", "running", parent="self")
        self.add("deep", "running")
        self.add("deep.1", "running")
        self.add("deep.1.1", "running")

    def inject(self) -> None:
        """3 masters initialized above working children, 2 over before theirs, 4 after theirs, 1
        orphan, 1 deep one.
        """
        for i in range(3):
            self.add(f"asleep{i}", "initialized")
            self.add(f"asleep{i}.1", "running")
        for i in range(2):
            self.add(f"early{i}", "completed")
            self.add(f"early{i}.1", "running")
        for i in range(4):
            self.add(f"late{i}", "running")
            self.add(f"late{i}.1", "completed")
        self.add("gone.1", "running")
        self.add("sub", "running")
        self.add("sub.1", "running")
        self.add("sub.1.1", "failed")


@pytest.fixture
def tree(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as db:
        yield Tree(db)


@pytest.fixture
async def look(postgres, make_context, tree):
    client = PostgresClient("main", postgres.dsn())

    async def once(state=None, **options):
        context = make_context({"resource": client}, state=state or FlowsState())
        return await KIND.run(FlowsOptions.model_validate(OPTIONS | options), context)

    yield once
    await client.close()


def counts(finding) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in finding.rows:
        if row.values.get("stuck"):
            reason = row.labels["reason"]
            found[reason] = found.get(reason, 0) + row.values["stuck"]
    return found


def names(finding, reason: str) -> set[str]:
    return {sample["id"] for sample in finding.evidence.get(reason, [])}


def opened(finding) -> float:
    return sum(row.values.get("open", 0) for row in finding.rows)


async def test_healthy_families_of_one_table(look, tree):
    """Whoever names no master is none's child; whoever names itself neither; every row is counted
    once.
    """
    tree.settle(5)
    finding = await look()
    assert (finding.status, counts(finding)) == (Status.UP, {})
    assert opened(finding) == 5 * 2 + 2 + 2 + 1 + 1 + 3


async def test_each_disagreement_in_one_table(look, tree):
    """Exactly those injected, among healthy ones, and again after a restart of sentinel."""
    tree.settle(5)
    tree.inject()
    state = FlowsState()
    for _ in range(2):
        finding = await look(state)
        assert counts(finding) == {
            "master_initialized": 3, "master_finished": 2, "child_finished": 5, "no_master": 1,
        }  # fmt: skip
        assert names(finding, "master_finished") == {"early0.1", "early1.1"}
        assert names(finding, "no_master") == {"gone.1"}
        assert finding.key == ("stuck", f"11/{opened(finding):g}")
        state = FlowsState(json.loads(json.dumps(state.dump())))
    assert names(finding, "child_finished") == {"late0", "late1", "late2", "late3", "sub.1"}
    assert finding.evidence["master_initialized"][0]["blocked_by"].endswith(
        ".1 works already: its progress is 5"
    )


async def test_a_late_master_is_blocked_by_its_child_of_the_same_table(look, tree):
    """Its reason names the child; when the child waits for people, the master is not late."""
    for name, status in (("a", "running"), ("b", "paused")):
        tree.add(name, "running")
        tree.add(f"{name}.1", status)
    finding = await look(overdue_after="5m")
    assert names(finding, "overdue") == {"a", "a.1"}
    (late,) = [sample for sample in finding.evidence["overdue"] if sample["id"] == "a"]
    assert "child a.1 is running" in late["blocked_by"]


async def test_transitions_are_counted_once(look, tree):
    """A child's row is read with its master's: one transition each, none twice."""
    tree.settle(3)
    state = FlowsState()
    await look(state)
    tree.db.execute(
        "update tree.flows set status = 'completed', updated_at = now() where id like 'good%'"
    )
    finding = await look(state)
    found = {
        (row.labels["flow_type"], row.labels["to"]): row.values["transitions"]
        for row in finding.rows
        if "transitions" in row.values
    }
    assert found == {("master", "completed"): 3, ("child", "completed"): 3}


async def test_several_tables_of_children_beside_the_masters_own(look, tree):
    """Two joins in one table and a table of its own: each disagreement once by its own join."""
    children = [
        {"table": "tree.flows", "join": ["parent"]},
        {"table": "tree.flows", "join": ["sponsor"]},
        {
            "table": "tree.extra",
            "flow_type": "extra",
            "join": ["owner"],
            "require_master": False,
            "active": ["running"],
        },
    ]
    for i in range(2):
        tree.add(f"m{i}", "initialized")
        tree.add(f"by-parent{i}", "running", parent=f"m{i}")
    for i in range(3):
        tree.add(f"s{i}", "completed")
        tree.add(f"by-sponsor{i}", "running", sponsor=f"s{i}")
    for i in range(4):
        tree.add(f"x{i}", "completed")
        tree.db.execute("insert into tree.extra values (%s, %s, 'running')", (f"e{i}", f"x{i}"))
    tree.add("both", "running")
    tree.add("over", "completed", parent="both")
    tree.db.execute(
        "insert into tree.extra values ('open', 'both', 'running'), ('free', null, 'running')"
    )
    finding = await look(children=children)
    assert counts(finding) == {"master_initialized": 2, "master_finished": 7}
    assert opened(finding) == 2 * 2 + 3 + 1 + 4 + 2
    tree.db.execute("update tree.extra set status = 'completed' where id = 'open'")
    assert counts(await look(children=children)) == {
        "master_initialized": 2,
        "master_finished": 7,
        "child_finished": 1,
    }


@pytest.mark.parametrize("join", [["parent"], ["sponsor", "parent"]])
async def test_children_of_the_masters_own_table_need_an_index_too(look, tree, join):
    """No join over a large table without one: that is told with the index to create, and with it
    all is well.
    """
    tree.db.execute("drop index tree.flows_parent_idx; drop index tree.flows_sponsor_idx")
    tree.db.execute(
        "insert into tree.flows (id, type, status)"
        " select n::text, repeat('x', 1000), 'completed' from generate_series(1, 50000) n"
    )
    tree.add("a", "initialized")
    tree.add("a.1", "running")
    tree.db.execute("analyze tree.flows")
    with pytest.raises(NotMeasurable, match=r"the open rows of tree\.flows") as caught:
        await look()
    tree.db.execute(caught.value.guidance.replace("CONCURRENTLY", ""))
    children = [{"table": "tree.flows", "join": join}]
    finding = await look(children=children)
    assert (finding.status, counts(finding)) == (Status.UNKNOWN, {})
    assert "refused to poll" in finding.detail
    tree.db.execute(finding.guidance.replace("CONCURRENTLY", ""))
    finding = await look(children=children)
    assert counts(finding) == {"master_initialized": 1}, finding.evidence


def test_a_mapping_of_its_own_is_refused_for_the_masters_table():
    """Two mappings of one table contradict each other: told at the door."""
    child = {"table": "tree.flows", "join": ["parent"], "status": "state", "waiting": ["x"]}
    with pytest.raises(ValueError, match=r"whose mapping holds: drop status, waiting"):
        FlowsOptions.model_validate(OPTIONS | {"children": [child]})
