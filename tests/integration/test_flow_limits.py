"""Kind `flows`: limits learned from completed stays, by watching and from a table of transitions."""

from __future__ import annotations

import json

import psycopg
import pytest
from pydantic import ValidationError

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.flows.dwell import DAY
from sentinel.probes.flows import KIND, FlowsOptions, FlowsState

SETUP = """
drop schema if exists stays cascade; create schema stays;
create table stays.flows (id text primary key, type text, status text, created_at timestamptz default now(),
  updated_at timestamptz default now(), changed timestamptz);
create table stays.events (flow text, status text, entered timestamptz, left_at timestamptz);
"""
MAPPING = {"table": "stays.flows", "type": "type"}
EVENTS = {"table": "stays.events", "flow": "flow", "entered_at": "entered", "left_at": "left_at"}


@pytest.fixture
def db(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SETUP)
        yield connection


@pytest.fixture
async def look(postgres, make_context, db):
    client = PostgresClient("main", postgres.dsn())

    async def once(state=None, **options):
        context = make_context({"resource": client}, state=state or FlowsState())
        return await KIND.run(FlowsOptions.model_validate(MAPPING | options), context)

    yield once
    await client.close()


def add(db, key: str, age: str, status: str = "active") -> None:
    """A flow that has been in its status for so long."""
    db.execute(
        "insert into stays.flows values"
        " (%s, 't', %s, now() - %s::interval, now() - %s::interval, now() - %s::interval)",
        (key, status, age, age, age),
    )


def stay(db, status: str, seconds: float, n: int, ended: str) -> None:
    """So many stays of flow `known`, the last of which ended so long ago, one an hour."""
    db.execute(
        """insert into stays.events
        select 'known', %s, at - %s * interval '1 s', at
        from (select now() - %s::interval - n * interval '1 h' as at from generate_series(0, %s) as n) as s""",
        (status, seconds, ended, n - 1),
    )


def overdue(finding) -> set[str]:
    return {fault.subject["flow"] for fault in finding.faults if fault.key == "overdue"}


def told(finding, status: str) -> tuple[float, float, float]:
    """The limit in force, the stays that are known, and those that are needed, as metrics."""
    values: dict[str, float] = {}
    for row in finding.rows:
        if dict(row.labels) == {"flow_type": "t", "status": status}:
            values |= row.values
    return values["stuck_threshold"], values["stays"], values["stays_needed"]


async def test_a_limit_is_learned_by_watching(look, db):
    """100 stays of about 100 s in 8 days: 400 s are too long, not a static hour, over a restart; 98
    teach nothing, and it is told; what is configured wins.
    """
    state, exact = FlowsState(), {"status_changed_at": "changed"}
    for wave, n in (("a", 98), ("b", 2)):
        for number in range(n):
            add(db, f"{wave}{number}", "100 s")
        await look(state, **exact)
        db.execute("update stays.flows set status = 'completed', changed = now()")
        await look(state, **exact)
        document = json.loads(json.dumps(state.dump()))
        document["firsts"] = [[key, first - 8 * DAY] for key, first in document["firsts"][:1]]
        add(db, f"late {wave}", "400 s")
        finding = await look(FlowsState(document), **exact)
        db.execute("delete from stays.flows")
        if wave == "a":
            assert (overdue(finding), told(finding, "active")) == (set(), (3600, 98, 99))
    assert overdue(finding) == {"late b"}
    seconds, *stays = told(finding, "active")
    assert (100 <= seconds <= 110, stays) == (True, [100, 99])
    assert "(learned of 100 stays: 1 in 100 is longer)" in finding.faults[0].text
    add(db, "late", "400 s")
    for options in ({"overdue": {"active": "10m"}}, {"learn": False}):
        finding = await look(FlowsState(document), **exact, **options)
        assert finding.status is Status.UP


async def test_a_limit_is_learned_from_a_table_of_transitions(look, db):
    """The rank of measurement.md §11.12 over what ended in 30 days; older stays are none, and 98 are too few."""
    add(db, "late", "400 s")
    add(db, "fine", "100 s")
    add(db, "known", "1 s", "planning")
    for n in range(150):
        stay(db, "Active", 50 + n, 1, ended=f"{2 * n} h")
    stay(db, "active", 9000, 50, ended="31 days")
    stay(db, "planning", 100, 98, ended="1 d")
    stay(db, "planning", 100, 20, ended="40 d")
    finding = await look(transitions=EVENTS)
    assert overdue(finding) == {"late"}
    assert told(finding, "active") == (199, 150, 99)
    assert told(finding, "planning") == (3600, 98, 136), "one a week, of 98 in 121 hours"
    (limit,) = [each for each in finding.evidence["limits"] if each["status"] == "planning"]
    assert limit == {
        "flow_type": "t", "status": "planning", "seconds": 3600, "from": "overdue_after",
        "learned": False, "stays": 98, "stays_needed": 136, "alarms_per_stay": 0.0073,
    }  # fmt: skip


async def test_transitions_without_an_end_last_until_the_next(look, db):
    """The flow's next row ends a stay; the last row of a flow is none."""
    add(db, "known", "400 s")
    db.execute(
        "insert into stays.events select 'known', case n % 2 when 0 then 'active' else 'planning' end,"
        " now() - n * interval '3000 s' from generate_series(1, 301) as n"
    )
    finding = await look(transitions=EVENTS | {"left_at": None})
    assert told(finding, "active") == (3000, 150, 101), "one alarm a week of 101 stays"


async def test_a_table_of_transitions_that_does_not_fit_is_set_aside(look, db):
    """No such column, no time, no such table: told with the remedy; flows are judged all the same."""
    add(db, "late", "2 h")
    for wrong, problem in (
        ({"entered_at": "since"}, "no such column: since in stays.events"),
        ({"entered_at": "flow"}, "no time: flow of stays.events"),
        ({"table": "stays.nowhere"}, "no such table or view: stays.nowhere"),
    ):
        state = FlowsState()
        for _ in range(2):
            finding = await look(state, transitions=EVENTS | wrong)
            (doubt,) = [each for each in finding.faults if each.key == "unjudged"]
            assert doubt.subject == {"table": "transitions"}
            assert problem in doubt.text
            assert overdue(finding) == {"late"}


async def test_a_large_table_of_transitions_is_not_read(look, db, monkeypatch):
    """Asked once a day, and yet bounded: beyond the limit it is told, and nothing is read."""
    monkeypatch.setattr("sentinel.adapters.flows.stays.MAX_COST", 10.0)
    stay(db, "active", 60, 3000, ended="1 h")
    db.execute("analyze stays.events")
    (doubt,) = (await look(transitions=EVENTS)).faults
    assert "refused to learn from stays.events" in doubt.text
    assert "drop transitions" in doubt.guidance


def test_a_budget_that_can_not_be_learned_is_refused():
    """Less than one alarm in the window of 30 days."""
    with pytest.raises(ValidationError, match="alarms_per_week"):
        FlowsOptions.model_validate(MAPPING | {"alarms_per_week": 0.2})
