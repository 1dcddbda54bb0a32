"""Kind `flows`: injected stuck flows are found, exactly those."""

from __future__ import annotations

import json
import re

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.quantity import Bounds
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
        mapping = {
            "table": "stuck.flows",
            "type": "flow_type",
            "progress": "progress",
            "worker": "worker",
        } | options
        context = make_context({"resource": client}, state=state or FlowsState())
        return await KIND.run(FlowsOptions.model_validate(mapping), context)

    yield once
    for client in clients:
        await client.close()


def add(
    db,
    key: str,
    status: str,
    created: str = "0",
    updated: str | None = "0",
    progress: str | None = None,
) -> None:
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
    document = json.loads(json.dumps(state.dump()))
    for past in document["tables"].values():
        past["looked"] -= seconds
        past["flows"][0] -= seconds  # the instant that all others of a flow are counted from
    document["passages"] = [[key, [start - seconds, n]] for key, (start, n) in document["passages"]]
    document["suspects"] = [[key, since - seconds] for key, since in document["suspects"]]
    return FlowsState(document)


def value(finding, name: str, **labels: str) -> float:
    """The one value with exactly these labels."""
    (found,) = [
        row.values[name]
        for row in finding.rows
        if name in row.values and dict(row.labels) == labels
    ]
    return found


async def test_seven_injected_flows_are_found_and_fresh_ones_are_not(look, db):
    """7 initialized flows of 3 h are overdue, 5 fresh ones and the finished are not (measurement.md
    §5).
    """
    for n in range(7):
        add(db, f"old{n}", "Initialized", created="3 hours", updated="1 second")
    for n in range(5):
        add(db, f"fresh{n}", "initialized")
    add(db, "done", "COMPLETED", created="9 days", updated="9 days")
    finding = await look()
    assert finding.status is Status.DEGRADED
    assert stuck(finding, "overdue") == 7
    assert len(finding.evidence["overdue"]) == 5
    assert [each.subject for each in finding.faults] == [{"flow": f"old{n}"} for n in range(7)]
    text = "flow old0 (discovery): in initialized for 3 h, the limit is 1 h"
    assert finding.faults[0].text == f"{text} (configured; not learned: 0 of 99 stays are known)"
    assert finding.detail.endswith("12 open, 7 stuck; 7 overdue: old0, old1, old2 and 4 more")
    assert finding.key == ("stuck", "7/12")


async def test_all_reasons_exist_at_zero(look, db):
    """A healthy group has a row for each reason, and the declared labels."""
    add(db, "a", "active", progress="10")
    finding = await look()
    assert finding.status is Status.UP
    assert {row.labels["reason"]: row.values["stuck"] for row in finding.rows if "stuck" in row.values} == {
        "overdue": 0, "no_progress": 0, "regression": 0, "full_but_open": 0, "no_worker": 0, "no_exits": 0,
    }  # fmt: skip
    labels = {m.name: set(m.labels) for m in KIND.measurements}
    assert all(set(row.labels) == labels[name] for row in finding.rows for name in row.values)


async def test_names_that_people_gave(look, db):
    """Flow and worker are called by their names, the subject is the id; a missing column is told."""
    db.execute(
        "create table stuck.agents (id text, status text, last_heartbeat timestamptz, called text)"
    )
    db.execute("insert into stuck.agents values ('w1', 'busy', null, 'planner')")
    db.execute("alter table stuck.flows add title text")
    add(db, "f7", "active")
    db.execute("update stuck.flows set title = 'Order 17'")
    workers = {"table": "stuck.agents", "name": "called"}
    (fault,) = (await look(name="title", workers=workers)).faults
    assert fault.subject == {"flow": "f7"}
    assert fault.text.startswith("flow Order 17 (f7) (discovery, active for ")
    assert fault.text.endswith("worker planner (w1) that never beat")
    with pytest.raises(SubjectError, match="absent"):
        await look(name="absent")


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


async def test_another_configuration_judges_unchanged_rows_anew(look, db):
    """What waited for people by the old options is overdue by the new ones, in the very next look."""
    add(db, "a", "paused", created="9 days", updated="9 days")
    state = FlowsState()
    assert (await look(state, waiting=["paused"])).status is Status.UP
    assert (await look(state, waiting=["paused"])).status is Status.UP
    assert ids(await look(state), "overdue") == {"a"}


async def test_touched_rows_without_progress_are_seen(look, db):
    """R13: updated_at is bumped all the time, progress never changes: no_progress by our own
    history.
    """
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
    assert set(state.tables["stuck.flows"].flows) == {f"f{n:02}" for n in range(10)}
    db.execute("update stuck.flows set status = 'completed'")
    await look(state)
    assert state.tables["stuck.flows"].flows == {}


async def test_label_sets_are_bounded(look, db):
    """A hundred free-text statuses are fifty label sets and `_other_`; no flow is lost from the
    count.
    """
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
    assert re.search(r"1 created in the future, by up to (8 h|7 h 59 min)", (await look()).detail)


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
    db.execute(
        "do $$ begin create role flow_reader login; exception when duplicate_object then null; end $$"
    )
    db.execute(
        "grant usage on schema stuck to flow_reader; grant select on stuck.flows to flow_reader"
    )
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


async def test_transitions_stays_and_regressions_are_counted_over_restarts(look, db):
    """10 flows leave, 4 of them finish, 3 fall back: counted once each, also when sentinel restarts
    in between.
    """
    for n in range(10):
        add(db, f"f{n}", "initialized", created="30 seconds", progress="0")
    state = FlowsState()
    await look(state)
    db.execute("update stuck.flows set status = 'ACTIVE', progress = '50', updated_at = now()")
    await look(state)
    db.execute(
        "update stuck.flows set progress = '20', updated_at = now() where id in ('f0', 'f1', 'f2')"
    )
    db.execute("update stuck.flows set status = 'completed', updated_at = now() where id > 'f5'")
    add(db, "new", "initialized")
    finding = await look(state := FlowsState(json.loads(json.dumps(state.dump()))))
    steps = {("initialized", "active"): 10, ("active", "completed"): 4, ("_new_", "initialized"): 1}
    for (before, after), n in steps.items():
        assert (
            value(finding, "transitions", **{"flow_type": "discovery", "from": before, "to": after})
            == n
        )
    assert value(finding, "regressions", flow_type="discovery", kind="progress") == 3
    assert value(finding, "regressions", flow_type="discovery", kind="status") == 0
    assert value(finding, "settled", flow_type="discovery", outcome="in_time") == 14
    assert value(finding, "settled", flow_type="discovery", outcome="late") == 0
    assert value(finding, "dwell", flow_type="discovery", status="active").total == 4
    initialized = value(finding, "dwell", flow_type="discovery", status="initialized")
    assert (initialized.total, initialized.counts[2], initialized.counts[3]) == (10, 0, 10), (
        "exact: since created_at"
    )
    db.execute("delete from stuck.flows")
    await look(state)


async def test_exact_stays_where_a_column_tells_them(look, db):
    """status_changed_at makes age and stay exact: 600 s in active, whatever the interval between
    looks.
    """
    db.execute("alter table stuck.flows add changed timestamptz")
    for n in range(3):
        add(db, f"f{n}", "active")
    db.execute("update stuck.flows set changed = now() - interval '600 s'")
    state = FlowsState()
    await look(state, status_changed_at="changed")
    db.execute("update stuck.flows set status = 'completed', changed = changed + interval '590 s'")
    stays = value(
        await look(state, status_changed_at="changed"),
        "dwell",
        flow_type="discovery",
        status="active",
    )
    assert stays.total == 3
    assert stays.sum == pytest.approx(3 * 590, abs=1)


async def test_a_status_that_nobody_leaves(look, db):
    """Three enter planning and none leaves for 15 min: told long before the hour; active, which is
    left, is not.
    """
    state = FlowsState()
    add(db, "old", "active")
    await look(state)
    for n in range(3):
        add(db, f"p{n}", "planning")
        add(db, f"a{n}", "active")
    await look(state)
    options = {"overdue": {"planning": "14m", "active": "14m"}, "changed_at": None}
    state = later(state, 13 * 60)
    assert (await look(state, **options)).status is Status.UP
    db.execute("update stuck.flows set status = 'completed' where id = 'a0'")
    await look(state, **options)
    finding = await look(
        later(state, 3 * 60), **(options | {"overdue": {"planning": "15m", "active": "1h"}})
    )
    blocked = [row for row in finding.rows if row.labels.get("reason") == "no_exits"]
    assert {row.labels["status"]: row.values["stuck"] for row in blocked} == {
        "active": 0,
        "planning": 3,
    }
    assert "none left" in finding.evidence["no_exits"][0]["blocked_by"]
    (fault,) = [each for each in finding.faults if each.key == "no_exits"]
    assert fault.subject == {"flow_type": "discovery", "status": "planning"}
    assert fault.count == Bounds(3, 3)


async def test_workers_dead_unknown_missing_and_asleep(look, db):
    """2 dead, 1 that never beat, 3 unknown, 1 late without a worker; live and sleeping workers hold
    nobody up.
    """
    db.execute(
        "create table stuck.agents (id text primary key, status text, last_heartbeat timestamptz)"
    )
    db.execute("""insert into stuck.agents values ('w1', 'active', now()), ('slow', 'BUSY', now() - interval '5 min'),
                  ('mute', 'active', null), ('asleep', 'Sleeping', now() - interval '9 h')""")
    owners = ["w1"] * 4 + ["slow"] * 2 + ["mute"] + ["asleep"] * 2 + ["nobody"] * 3 + [None] * 2
    for n, owner in enumerate(owners):
        add(db, f"f{n:02}", "active")
        db.execute("update stuck.flows set worker = %s where id = %s", (owner, f"f{n:02}"))
    db.execute("update stuck.flows set updated_at = now() - interval '2 h' where id = 'f12'")
    add(db, "new", "initialized")
    db.execute("update stuck.flows set worker = null where id = 'new'")
    finding = await look(workers={"table": "stuck.agents"})
    found = {
        reason: stuck(finding, reason)
        for reason in ("worker_dead", "worker_unknown", "no_worker", "overdue")
    }
    assert found == {"worker_dead": 3, "worker_unknown": 3, "no_worker": 1, "overdue": 1}
    assert "slow" in {s["blocked_by"].split()[1] for s in finding.evidence["worker_dead"]}
    dead = [each for each in finding.faults if each.key == "worker_dead"]
    assert {each.parameters["agent"] for each in dead} == {"slow", "mute"}
    assert (
        stuck(await look(workers={"table": "stuck.agents"}, no_worker_after="0s"), "no_worker") == 2
    )


async def test_waiting_flags_in_columns_and_in_json(look, db):
    """A boolean column, or a value inside JSON stored as text, says that a flow waits for people."""
    db.execute("alter table stuck.flows add paused bool, add state text")
    for name in ("column", "json", "neither"):
        add(db, name, "active", updated="9 days")
    db.execute(
        "update stuck.flows set paused = id = 'column', state = '{\"ui\": {\"waits\": false}}'"
    )
    db.execute("update stuck.flows set state = '{\"ui\": {\"waits\": true}}' where id = 'json'")
    assert ids(await look(waiting_flags=["paused", "state->ui->waits"]), "overdue") == {"neither"}


async def test_status_that_nobody_mapped(look, db):
    """R12: known spellings are mapped; two flows in a free-text status can't be judged, and the
    remedy is named.
    """
    for name, status in (
        ("a", "ACTIVE-PRIORITY"),
        ("b", "COMPLETED-PHASE1"),
        ("c", "DONE"),
        ("d", "Active"),
    ):
        add(db, name, status, updated="9 days")
    mapping = {
        "active": ["active"],
        "statuses": {
            "active-priority": "Active",
            "completed-phase1": "active",
            "done": "completed",
        },
    }
    finding = await look(**mapping)
    assert ids(finding, "overdue") == {"a", "b", "d"}
    db.execute("update stuck.flows set updated_at = now()")
    for name, status in (("x", "TODO?"), ("y", "todo?"), ("z", None)):
        add(db, name, status, updated="9 days")
    finding = await look(**mapping)
    assert finding.status is Status.UNKNOWN
    assert finding.evidence["unmapped"] == {"todo?": 2, "": 1}
    assert "statuses" in finding.guidance
    assert finding.key == ("stuck", "0/6")


async def test_done_of_all_as_progress(look, db):
    """Two columns of numbers stored as text: 7 of 7 and still active is full but open, after a
    minute.
    """
    db.execute("alter table stuck.flows add done text, add total text")
    for name in ("full", "half", "empty"):
        add(db, name, "active")
    db.execute(
        "update stuck.flows set done = case id when 'full' then '7' else '3' end, total = '7'"
    )
    db.execute("update stuck.flows set total = '0' where id = 'empty'")
    state = FlowsState()
    assert (await look(state, progress=["done", "total"])).status is Status.UP
    assert ids(await look(later(state, 70), progress=["done", "total"]), "full_but_open") == {
        "full"
    }


async def test_updated_at_that_is_not_kept_is_not_believed(look, db):
    """A platform that never writes updated_at: once values are seen to change without it, it proves
    no age.
    """
    for name in ("a", "b"):
        add(db, name, "active", updated="3 hours", progress="10")
    state = FlowsState()
    assert stuck(await look(state), "overdue") == 2
    db.execute("update stuck.flows set progress = '11' where id = 'a'")
    assert (await look(state)).status is Status.UP


async def test_a_large_table_without_an_index_is_not_polled(look, db):
    """No sequential scan of a large table every few seconds: the index to create is named, and with
    it all is well.
    """
    db.execute("""insert into stuck.flows (id, flow_type, status, created_at)
                  select n, 'discovery', 'completed', now() - interval '1 h' from generate_series(1, 300000) as n""")
    db.execute("analyze stuck.flows")
    add(db, "a", "active", updated="2 hours")
    with pytest.raises(NotMeasurable, match="no usable index") as caught:
        await look()
    db.execute(caught.value.guidance.replace("CONCURRENTLY", ""))
    assert ids(await look(), "overdue") == {"a"}
