"""Kind `flows`: injected stuck flows are found, exactly those."""

from __future__ import annotations

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.model import Status
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.flows import KIND, FlowsOptions, FlowsState

SETUP = """
drop schema if exists stuck cascade; create schema stuck;
create table stuck.flows (id text primary key, flow_type text, status text, progress text, worker text,
  created_at timestamptz not null default now(), updated_at timestamptz)
"""


@pytest.fixture
def db(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SETUP)
        yield connection


@pytest.fixture
async def look(postgres, make_context, db):
    clients = []

    async def once(state=None, user: str = "postgres", **options):
        client = PostgresClient("main", postgres.dsn(user=user))
        clients.append(client)
        mapping = {"table": "stuck.flows", "type": "flow_type", "progress": "progress", "worker": "worker"} | options
        context = make_context({"resource": client}, state=state or FlowsState())
        return await KIND.run(FlowsOptions.model_validate(mapping), context)

    yield once
    for client in clients:
        await client.close()


def add(db, key: str, status: str, created: str = "0", updated: str | None = "0", progress: str | None = None) -> None:
    db.execute(
        "insert into stuck.flows values (%s, 'discovery', %s, %s, 'w1', now() - %s::interval, now() - %s::interval)",
        (key, status, progress, created, updated),
    )


def stuck(finding, reason: str) -> float:
    return sum(row.values["stuck"] for row in finding.rows if row.labels.get("reason") == reason)


def ids(finding, reason: str) -> set[str]:
    return {sample["id"] for sample in finding.evidence.get(reason, [])}


def later(state: FlowsState, seconds: float) -> FlowsState:
    """The state of that long ago."""
    document = state.dump()
    for value in document.values():
        value[1] -= seconds
        value[3] -= seconds
    return FlowsState(document)


async def test_seven_injected_flows_are_found_and_fresh_ones_are_not(look, db):
    """7 initialized flows of 3 h are overdue, 5 fresh ones and the finished are not (measurement.md §5)."""
    for n in range(7):
        add(db, f"old{n}", "Initialized", created="3 hours", updated="1 second")
    for n in range(5):
        add(db, f"fresh{n}", "initialized")
    add(db, "done", "COMPLETED", created="9 days", updated="9 days")
    finding = await look()
    assert finding.status is Status.DEGRADED
    assert stuck(finding, "overdue") == 7
    assert len(finding.evidence["overdue"]) == 5
    assert finding.key == ("stuck", "7/12")


async def test_all_reasons_exist_at_zero(look, db):
    """A healthy group has a row for each reason, and the declared labels."""
    add(db, "a", "active", progress="10")
    finding = await look()
    assert finding.status is Status.UP
    assert {row.labels["reason"]: row.values["stuck"] for row in finding.rows if "stuck" in row.values} == {
        "overdue": 0, "no_progress": 0, "regression": 0,
    }  # fmt: skip
    labels = {m.name: set(m.labels) for m in KIND.measurements}
    assert all(set(row.labels) == labels[name] for row in finding.rows for name in row.values)


async def test_own_level_of_a_status(look, db):
    """The level of the status, in any case, then the general one; the initial status has its own."""
    add(db, "a", "Planning", updated="5 minutes")
    add(db, "b", "active", updated="5 minutes")
    add(db, "c", "initialized", created="5 minutes")
    finding = await look(overdue={"planning": "1m"}, initial_overdue_after="2m")
    assert ids(finding, "overdue") == {"a", "c"}


async def test_waiting_for_people_is_never_stuck(look, db):
    """Statuses that wait are exempt."""
    add(db, "a", "waiting_for_approval", updated="9 days")
    assert (await look(waiting=["WAITING_FOR_APPROVAL"])).status is Status.UP


async def test_touched_rows_without_progress_are_seen(look, db):
    """R13: updated_at is bumped all the time, progress never changes: no_progress by our own history."""
    add(db, "still", "active", progress="16.7")
    add(db, "moving", "active", progress="10")
    state = FlowsState()
    await look(state)
    db.execute("update stuck.flows set progress = '11' where id = 'moving'")
    db.execute("update stuck.flows set updated_at = now()")
    finding = await look(later(state, 3000), no_progress_after="30m")
    assert ids(finding, "no_progress") == {"still"}


async def test_age_by_own_first_sight_when_updated_at_is_bumped(look, db):
    """The stay in a status is at least what sentinel has seen of it."""
    add(db, "a", "active", progress="1")
    state = FlowsState()
    await look(state)
    db.execute("update stuck.flows set updated_at = now(), progress = '2'")
    finding = await look(later(state, 4000))
    assert ids(finding, "overdue") == {"a"}


async def test_progress_that_falls_is_a_regression_until_made_good(look, db):
    """Behind its peak it is a regression, over restarts of sentinel; at the peak again it is not."""
    add(db, "a", "active", progress="50%")
    state = FlowsState()
    await look(state)
    db.execute("update stuck.flows set progress = '20'")
    for _ in range(2):
        state = FlowsState(state.dump())
        assert ids(await look(state), "regression") == {"a"}
    db.execute("update stuck.flows set progress = '50'")
    assert (await look(state)).status is Status.UP


async def test_status_that_goes_back_is_a_regression(look, db):
    """By the order of statuses."""
    add(db, "a", "RUNNING")
    state = FlowsState()
    order = ["initialized", "planning", "running"]
    await look(state, order=order)
    db.execute("update stuck.flows set status = 'PLANNING'")
    assert ids(await look(state, order=order), "regression") == {"a"}


async def test_history_is_bounded_and_forgets_finished_flows(look, db):
    """Only open flows are remembered, at most max_flows, and it is said that there are more."""
    for n in range(12):
        add(db, f"f{n:02}", "active", created=f"{100 - n} seconds")
    state = FlowsState()
    finding = await look(state, max_flows=10)
    assert "only the oldest 10" in finding.detail
    assert set(state.flows) == {f"f{n:02}" for n in range(10)}
    db.execute("update stuck.flows set status = 'completed'")
    await look(state)
    assert state.flows == {}


async def test_label_sets_are_bounded(look, db):
    """A hundred free-text statuses are fifty label sets and `_other_`; no flow is lost from the count."""
    for n in range(100):
        add(db, f"f{n}", f"status {n}")
    finding = await look()
    open_ = [row for row in finding.rows if "open" in row.values]
    assert len(open_) == 51
    assert sum(row.values["open"] for row in open_) == 100
    assert {"flow_type": "_other_", "status": "_other_"} in [row.labels for row in open_]


async def test_creation_in_the_future_is_told(look, db):
    """R11: a wrong zone is named, not clamped in silence."""
    add(db, "a", "active", created="-8 hours")
    assert "1 created in the future" in (await look()).detail


async def test_unreadable_progress_is_no_regression(look, db):
    """Text that is no number is no progress value."""
    add(db, "a", "active", progress="50")
    state = FlowsState()
    await look(state)
    db.execute("update stuck.flows set progress = 'n/a'")
    assert (await look(state)).status is Status.UP


async def test_missing_column_is_named(look):
    """B18: this check only, with the server's word for the column."""
    with pytest.raises(SubjectError, match="nonsense"):
        await look(status="nonsense")


async def test_missing_table_is_named(look):
    """A table that is not there."""
    with pytest.raises(SubjectError, match="no such table"):
        await look(table="stuck.nowhere")


async def test_rows_hidden_by_row_level_security_are_unknown(look, db):
    """R15: 0 rows for a role under row-level security is no proof of anything."""
    db.execute("do $$ begin create role flow_reader login; exception when duplicate_object then null; end $$")
    db.execute("grant usage on schema stuck to flow_reader; grant select on stuck.flows to flow_reader")
    add(db, "a", "active")
    assert (await look(user="flow_reader")).status is Status.UP
    db.execute("alter table stuck.flows enable row level security")
    with pytest.raises(NotMeasurable, match="row-level security"):
        await look(user="flow_reader")


async def test_names_with_quotes_and_percent_are_names(look, db):
    """A hostile or odd column name stays one identifier (G11)."""
    db.execute("""alter table stuck.flows rename column status to "st%at""us; drop" """)
    add(db, "a", "active")
    assert (await look(status='st%at"us; drop')).key == ("stuck", "0/1")
