"""Kind `flows` on tables as platforms have them: phases in three forms, two columns of status,
tenants, evidence of work. Known numbers of faults, exactly found; every cure runs.
"""

from __future__ import annotations

import json
from collections import Counter

import psycopg
import pytest
from pydantic import ValidationError

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.quantity import Bounds
from sentinel.errors import SubjectError
from sentinel.probes.flows import KIND, FlowsOptions, FlowsState

SETUP = """
drop schema if exists cols cascade; create schema cols;
create table cols.master (id text primary key, status text, tenant text,
  created_at timestamptz default now() - interval '10 min', updated_at timestamptz default now() - interval '10 min');
create table cols.child (id text primary key, master text, status text default 'active', second text,
  progress float8 default 0, tenant text, imported bool, mapped text, cleaned text, state jsonb, log jsonb,
  log_text text,
  created_at timestamptz default now() - interval '10 min', updated_at timestamptz default now() - interval '10 min');
create table cols.work (id bigserial primary key, flow text);
create index on cols.child (master); create index on cols.work (flow);
"""
ALONE = {"table": "cols.child", "terminal": ["completed"]}
CHILD = {"table": "cols.child", "join": ["master"], "require_master": False}
FAMILY = {"table": "cols.master", "active": ["running"]}


@pytest.fixture
def db(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SETUP)
        yield connection


@pytest.fixture
async def look(postgres, make_context, db):
    client = PostgresClient("main", postgres.dsn())

    async def once(options, state=None):
        context = make_context({"resource": client}, state=state or FlowsState())
        finding = await KIND.run(FlowsOptions.model_validate(options), context)
        for fault in finding.faults:
            for cure in fault.cure:
                assert len(db.execute(cure).fetchall()) == 1, cure
        return finding

    yield once
    await client.close()


def add(db, key: str, table: str = "child", **columns) -> None:
    values = {"id": key, **columns}
    db.execute(
        f"insert into cols.{table} ({', '.join(values)}) values ({', '.join(['%s'] * len(values))})",
        tuple(values.values()),
    )


def named(finding) -> dict[str, set[str]]:
    """Fault → whom it names."""
    found: dict[str, set[str]] = {}
    for fault in finding.faults:
        found.setdefault(fault.key, set()).add(fault.subject.get("flow", ""))
    return found


def later(state: FlowsState, seconds: float) -> FlowsState:
    """The state of that long ago."""
    document = json.loads(json.dumps(state.dump()))
    for past in document["tables"].values():
        past["looked"] -= seconds
        past["flows"][0] -= seconds
    document["suspects"] = [[key, since - seconds] for key, since in document["suspects"]]
    return FlowsState(document)


# --- evidence of work -----------------------------------------------------------------------------


async def test_three_masters_were_never_told_and_five_children_have_not_begun(look, db):
    """`active` is the status of creation (platforms.md R14): a child at 0 % is no reason to blame its master."""
    for n in range(8):
        add(db, f"m{n}", "master", status="initialized")
        add(db, f"c{n}", master=f"m{n}", progress=40 if n < 3 else 0)
    by_progress = FAMILY | {"children": [CHILD | {"progress": "progress"}]}
    finding = await look(by_progress)
    assert named(finding) == {"master_initialized": {"m0", "m1", "m2"}}
    assert "child c0 works already: its progress is 40" in finding.faults[0].text
    assert len(named(await look(FAMILY | {"children": [CHILD]}))["master_initialized"]) == 8, (
        "where no column tells of work, its status is all that there is"
    )


@pytest.mark.parametrize("own", [False, True])
async def test_each_evidence_of_work_proves_it_alone(look, db, own):
    """Two by status, one by progress, two by flags, two by rows in another table; five by none. In
    a table of their own, and among the masters.
    """
    for n in range(12):
        add(db, f"m{n}", "master", status="initialized")
    signs = {
        0: {"status": "RUNNING"}, 1: {"status": "running"}, 2: {"progress": 3}, 3: {"imported": True},
        4: {"state": '{"ui": {"works": true}}'}, 5: {"progress": 2}, 6: {"state": "{}"},
    }  # fmt: skip
    for n in range(12):
        add(db, f"c{n}", master=f"m{n}", **signs.get(n, {}))
    db.execute("insert into cols.work (flow) values ('c10'), ('c10'), ('c11'), ('other'), (null)")
    when = {
        "statuses": ["running"], "progress": 2, "flags": ["imported", "state->ui->works"],
        "rows": {"table": "cols.work", "join": "flow"},
    }  # fmt: skip
    options = FAMILY | {"children": [CHILD | {"progress": "progress", "begun_when": when}]}
    if own:
        db.execute(
            "insert into cols.child (id, status) select id, status from cols.master where status <> ''"
        )
        child = {"table": "cols.child", "join": ["master"], "begun_when": when}
        options = {"table": "cols.child", "progress": "progress", "children": [child]}
    found = await look(options)
    assert named(found) == {"master_initialized": {f"m{n}" for n in (0, 1, 2, 3, 4, 10, 11)}}
    (by_rows,) = [each for each in found.faults if each.subject["flow"] == "m11"]
    assert "child c11 works already: it has a row in cols.work" in by_rows.text


async def test_rows_of_work_need_an_index_and_a_table(look, db, monkeypatch):
    """No poll reads another table from end to end: the index to create is named, and cures it."""
    add(db, "m", "master", status="initialized")
    add(db, "c", master="m")
    db.execute("drop index cols.work_flow_idx")
    db.execute("insert into cols.work (flow) select n::text from generate_series(1, 200000) n")
    db.execute("analyze cols.work")
    monkeypatch.setattr("sentinel.adapters.flows.queries.MAX_SCAN_COST", 2000.0)

    async def told(join: str, table: str = "cols.work"):
        when = {"rows": {"table": table, "join": join}}
        finding = await look(FAMILY | {"children": [CHILD | {"begun_when": when}]})
        return next((each for each in finding.faults if each.key == "unjudged"), None)

    doubt = await told("flow")
    assert "no usable index for the rows of work in cols.work" in doubt.text
    db.execute(doubt.guidance.replace("CONCURRENTLY", ""))
    assert await told("flow") is None
    by_text = await told("id")
    db.execute(by_text.guidance.replace("CONCURRENTLY", ""))
    db.execute("analyze cols.work")
    assert await told("id") is None, "a number and a text are compared as texts"
    assert "no such column: task" in (await told("task")).text
    assert "no such table" in (await told("flow", "cols.nowhere")).text


# --- phases ---------------------------------------------------------------------------------------


async def test_phases_as_booleans_texts_and_json(look, db):
    """4 have a later phase done before an earlier one: by a boolean, by texts of `done`, by a value
    inside JSON; what is in work or skipped is told apart by `done`.
    """
    flags = {"phase_flags": ["imported", "mapped", "cleaned", "state->checked"]}
    rows = {
        "good": (True, "Completed ", "skipped", '{"checked": "completed"}'),
        "begins": (True, "in_progress", None, None),
        "none": (None, None, None, "{}"),
        "no import": (False, "completed", "pending", None),
        "no mapping": (True, "running", "SKIPPED", None),
        "no cleaning": (True, "completed", "", '{"checked": "completed"}'),
        "json": (True, "completed", "pending", '{"checked": true}'),
    }
    for key, (imported, mapped, cleaned, state) in rows.items():
        add(db, key, imported=imported, mapped=mapped, cleaned=cleaned, state=state)
    finding = await look(ALONE | flags | {"done": ["completed", "skipped"]})
    assert named(finding) == {"phase_order": {"no import", "no mapping", "no cleaning", "json"}}
    texts = {fault.subject["flow"]: fault.text for fault in finding.faults}
    assert texts["no mapping"].endswith("cleaned is done, mapped is not")


async def test_a_phase_whose_type_does_not_fit_is_refused(look, db):
    """A text without `done` would never be true: it is said at once, with the remedy."""
    for flags, problem in (
        (["imported", "mapped"], r"no boolean: mapped of cols\.child is of type text"),
        (["progress"], r"no boolean: progress of cols\.child is of type double precision"),
    ):
        with pytest.raises(SubjectError, match=problem) as caught:
            await look(ALONE | {"phase_flags": flags})
        assert "done" in caught.value.guidance
    with pytest.raises(SubjectError, match="no JSON: progress") as caught:
        await look(ALONE | {"phase_log": {"column": "progress"}})
    assert "jsonb" in caught.value.guidance
    child = CHILD | {"begun_when": {"flags": ["mapped"]}}
    finding = await look(FAMILY | {"children": [child]})
    assert "no boolean: mapped" in finding.faults[0].text
    with pytest.raises(ValidationError, match="done: the values of phase_flags"):
        FlowsOptions.model_validate(ALONE | {"done": ["completed"]})


async def test_a_value_in_json_that_is_no_boolean_is_told(look, db):
    """Two flows whose flag says `maybe`: unknown, by column and number, not silently never done."""
    for n, value in enumerate(('"maybe"', '"maybe"', "true", "null")):
        add(db, f"f{n}", state=f'{{"checked": {value}}}')
    finding = await look(ALONE | {"phase_flags": ["state->checked"]})
    (doubt,) = finding.faults
    assert (doubt.key, finding.status) == ("unreadable_phase", Status.UNKNOWN)
    assert (doubt.subject, doubt.count) == ({"column": "state->checked"}, Bounds(2, 2))
    assert "says 'maybe', which is no boolean" in doubt.text


def log(*phases: str, at: float = 0) -> str:
    return json.dumps(
        [{"phase": name, "at": f"2026-01-01T00:00:{n:02}Z"} for n, name in enumerate(phases)]
    )


@pytest.mark.parametrize("column", ["log", "log_text", "state->log"])
async def test_phases_as_a_log_of_transitions(look, db, column):
    """3 skip a phase, 2 are back in an earlier one, before sentinel ever looked; the others are
    well, also those that go on where they are.
    """
    logs = {
        "well": log("Import", "mapping", "cleansing"), "again": log("import", "import", "mapping"),
        "empty": "[]", "null": "null", "other": log("hello", "import", "hello"),
        "skips0": log("mapping"), "skips1": log("import", "cleansing"), "skips2": log("cleansing"),
        "back0": log("import", "mapping", "import"), "back1": log("import", "mapping", "cleansing", "mapping", "x"),
    }  # fmt: skip
    for key, text in logs.items():
        name, _, nested = column.partition("->")
        add(db, key, **{name: f'{{"log": {text}}}' if nested else text})
    add(db, "nothing")
    options = ALONE | {"phases": ["import", "mapping", "cleansing"]}
    finding = await look(options | {"phase_log": {"column": column}})
    assert named(finding) == {
        "phase_order": {"skips0", "skips1", "skips2"}, "regression": {"back0", "back1"},
    }  # fmt: skip
    texts = {fault.subject["flow"]: fault.text for fault in finding.faults}
    assert texts["skips1"].endswith("its log enters cleansing, and never mapping before")
    assert texts["back1"].endswith("back in phase mapping")


async def test_a_log_tells_since_when_a_status_is(look, db):
    """`status:` of the last entries is an exact entry: 3 h, whatever updated_at says."""
    db.execute("update cols.child set updated_at = now()")
    entries = [("paused", 5), ("active", 3.01), ("ACTIVE", 2)]
    text = (
        "["
        + ",".join(f'{{"to": "{s}", "when": {{when{n}}}}}' for n, (s, _) in enumerate(entries))
        + "]"
    )
    for n, (_, hours) in enumerate(entries):
        (at,) = db.execute(
            "select extract(epoch from now() - %s * interval '1 h')::int", (hours,)
        ).fetchone()
        text = text.replace(f"{{when{n}}}", str(at))
    add(db, "old", log=text)
    add(db, "new", log="[]")
    db.execute("update cols.child set updated_at = now()")
    keys = {"column": "log", "phase": "phase", "status": "to", "at": "when"}
    finding = await look(ALONE | {"phase_log": keys, "no_progress_after": None})
    assert named(finding) == {"overdue": {"old"}}
    assert "in active for 3 h" in finding.faults[0].text


async def test_a_hostile_log_is_bounded_and_told(look, db):
    """Nested 5,000 deep, 100 kB long, digits without end, no array, entries of nothing: unknown for
    these rows by name of the column; the sixth is judged.
    """
    hostile = ["[" * 5000, f'["{"x" * 100_000}"]', f"[{'9' * 9000}]", '{"phase": "import"}', "[1]"]
    for n, text in enumerate([*hostile, log("cleansing")]):
        add(db, f"f{n}", log_text=text)
    options = ALONE | {"phase_log": {"column": "log_text"}, "phases": ["import", "cleansing"]}
    finding = await look(options)
    assert named(finding) == {"unreadable_phase": {""}, "phase_order": {"f5"}}
    (doubt,) = [each for each in finding.faults if each.key == "unreadable_phase"]
    assert doubt.count == Bounds(5, 5)
    assert doubt.text.startswith("phases of 5 flows are not judged: log_text ")


async def test_what_a_row_may_have_is_bounded(look, db):
    """A counter, a status and a log of megabytes: what is remembered is short, and a change of the
    counter is progress all the same.
    """
    add(
        db,
        "f",
        status="x" * 1_000_000,
        log_text="[" + "1," * 2_000_000 + "1]",
        mapped="y" * 1_000_000,
    )
    options = ALONE | {
        "phase_log": {"column": "log_text"},
        "counters": ["mapped"],
        "no_progress_after": "1m",
    }
    state = FlowsState()
    finding = await look(options, state)
    assert len(json.dumps(state.dump())) < 5000
    assert len(json.dumps(finding.evidence)) < 5000
    assert finding.faults[0].text.endswith("log_text is longer than 16.0 KiB")
    (sight,) = state.tables["cols.child"].sights.values()
    assert sum(len(text) for text in (sight.status, sight.phase, *sight.counters)) < 300
    db.execute("update cols.child set mapped = mapped || 'y'")
    state = later(state, 100)
    assert "no_progress" not in named(await look(options, state))
    assert named(await look(options, later(state, 100)))["no_progress"] == {"f"}


# --- two columns of status ------------------------------------------------------------------------

SECOND = {
    "column": "second",
    "terminal": ["done", "dead"],
    "waiting": ["asleep"],
    "overdue": {"busy": "5m"},
}


async def test_two_columns_of_status_each_with_its_limits(look, db):
    """2 too long in the second status, 1 in the first, 1 in both; one that waits in its second
    status is late in the first alone; NULL says nothing.
    """
    rows = [("active", "busy"), ("active", "Busy"), ("slow", "idle"), ("slow", "BUSY"), ("slow", "asleep"),
            ("active", None), ("active", "idle")]  # fmt: skip
    for n, (status, second) in enumerate(rows):
        add(db, f"f{n}", status=status, second=second)
    options = ALONE | {"overdue": {"slow": "5m"}, "second_status": SECOND}
    finding = await look(options)
    assert named(finding) == {"overdue": {"f2", "f3", "f4"}, "second_overdue": {"f0", "f1", "f3"}}
    texts = {
        each.subject["flow"]: each.text for each in finding.faults if each.key == "second_overdue"
    }
    assert "second: in busy for 10 min" in texts["f0"]
    assert texts["f0"].endswith("the limit is 5 min")
    assert finding.key == ("stuck", "5/7")


async def test_two_columns_of_status_that_contradict_each_other(look, db):
    """3 are over by one column alone, 2 are of a pair that is forbidden; what is over by both, or
    says nothing in one, agrees. Told when it lasts.
    """
    rows = {
        "both open": ("active", "busy"), "both over": ("completed", "Done"), "silent": ("active", None),
        "over and silent": ("completed", None), "over0": ("completed", "busy"), "over1": ("Completed", "odd"),
        "open": ("active", "done"), "pair0": ("paused", "busy"), "pair1": ("PAUSED", "idle"),
        "fine": ("paused", "asleep"),
    }  # fmt: skip
    for key, (status, second) in rows.items():
        add(db, key, status=status, second=second)
    conflicts = [{"status": ["paused"], "second": ["busy", "idle"]}]
    options = ALONE | {"second_status": SECOND | {"overdue": {}, "conflicts": conflicts}}
    finding = await look(options)
    assert named(finding) == {"statuses_differ": {"over0", "over1", "open", "pair0", "pair1"}}
    texts = {each.subject["flow"]: each.text for each in finding.faults}
    assert texts["over1"].endswith("status is completed, second is odd")
    lone = ALONE | {"second_status": SECOND | {"overdue": {}, "end_together": False}}
    assert named(await look(lone)) == {}
    db.execute("update cols.child set updated_at = now()")
    state = FlowsState()
    assert named(await look(options, state)) == {}, "the row was just written"
    assert len(named(await look(options, later(state, 61)))["statuses_differ"]) == 5
    db.execute("update cols.child set second = 'done', status = 'completed'")
    assert (await look(options, state)).key == ("stuck", "0/0")


async def test_stays_in_the_second_status_are_learned_apart(look, db):
    """Their transitions and stays have the column in their type, and the first status's none of
    them.
    """
    for n in range(3):
        add(db, f"f{n}", second="busy")
    options, state = ALONE | {"second_status": SECOND}, FlowsState()
    await look(options, state)
    db.execute("update cols.child set second = 'idle' where id <> 'f2'")
    await look(options, state)
    db.execute("update cols.child set second = 'done', status = 'completed' where id = 'f0'")
    await look(options, FlowsState(json.loads(json.dumps(state.dump()))))
    await look(options, state)
    assert state.transitions == {
        ("flow/second", "busy", "idle"): 2, ("flow/second", "idle", "done"): 1,
        ("flow", "active", "completed"): 1,
    }  # fmt: skip
    assert {key: each.total for key, each in state.observed.items()} == {("flow/second", "idle"): 1}


# --- tenants --------------------------------------------------------------------------------------


async def test_whose_a_flow_is(look, db):
    """3 children under a master of another tenant, 4 flows without one (NULL, empty, blank), 2 of
    the fallback tenant; each with its count, its cure and its runbook.
    """
    a, b, nobody = "Tenant-A", "tenant-b", "1111"
    for key, tenant in (("ma", a), ("mb", b), ("m0", None), ("mf", nobody)):
        add(db, key, "master", status="running", tenant=tenant)
    children = {
        "good0": ("ma", a), "good1": ("mb", b), "free": (None, a), "foreign0": ("ma", b),
        "foreign1": ("mb", a), "foreign2": ("mb", "c"), "none0": ("ma", None), "none1": ("ma", ""),
        "none2": ("mb", "  "), "fallback": ("ma", nobody), "under none": ("m0", a), "under fallback": ("mf", a),
    }  # fmt: skip
    for key, (master, tenant) in children.items():
        add(db, key, master=master, tenant=tenant)
    options = FAMILY | {
        "tenant": "tenant", "children": [CHILD | {"tenant": "tenant"}], "fallback_tenants": [nobody],
    }  # fmt: skip
    finding = await look(options)
    assert named(finding) == {
        "foreign_master": {"foreign0", "foreign1", "foreign2"},
        "tenant_missing": {"none0", "none1", "none2", "m0"},
        "tenant_fallback": {"fallback", "mf"},
    }
    assert {fault.count for fault in finding.faults} == {Bounds(1, 1)}
    assert all(len(fault.cure) == 1 for fault in finding.faults)
    assert Counter(KIND.fault_kinds[fault.key].runbook for fault in finding.faults) == {
        "flows-tenant": 9
    }
    (fault,) = [each for each in finding.faults if each.subject["flow"] == "foreign0"]
    assert fault.text.endswith("its tenant is tenant-b, that of master ma is Tenant-A")
    stuck = {
        row.labels["reason"]: row.values["stuck"]
        for row in finding.rows
        if "stuck" in row.values and row.labels["status"] == "active"
    }
    assert (stuck["foreign_master"], stuck["tenant_missing"], stuck["tenant_fallback"]) == (3, 3, 1)
    db.execute(
        "update cols.child set created_at = now(); update cols.master set created_at = now()"
    )
    assert named(await look(options)) == {}, "a minute to get its tenant"


def test_tenants_that_nobody_reads_are_refused():
    """`fallback_tenants` without a column, `begun_when` without evidence or without its column."""
    for wrong, problem in (
        ({"fallback_tenants": ["x"]}, "name the column of the tenant in tenant"),
        ({"children": [CHILD | {"begun_when": {}}]}, "names no evidence"),
        (
            {"children": [CHILD | {"begun_when": {"progress": 0}}]},
            "name the column of it in progress",
        ),
        ({"second_status": {"column": "status"}}, "status is the status itself"),
    ):
        with pytest.raises(ValidationError, match=problem):
            FlowsOptions.model_validate(FAMILY | wrong)
