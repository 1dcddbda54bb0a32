"""Synthetic tasks through a small platform whose hops are broken by a known number: exactly that is
found, per hop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter

import psycopg
import pytest

from sentinel.core.fault import Status
from sentinel.errors import TargetError
from sentinel.probes.workflow_canary import KIND
from tests.integration.workflow_bench import HOPS, NEVER, OUTCOMES, TASKS, Rig, conserved, facts


@pytest.fixture
async def rig(postgres, make_context):
    rig = Rig(postgres.dsn(), make_context)
    rig.execute(TASKS)
    yield rig
    await rig.close()


async def test_a_healthy_platform(rig):
    """The first run only promises; then ten tasks come through, every hop is measured, every row is
    cleaned up.
    """
    assert (await rig.run()).status is Status.UNKNOWN
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0
    for _ in range(10):
        token, finding = await rig.send()
        assert conserved(finding)
        rig.move(token)
    finding = await rig.drain()
    assert (finding.status, finding.key) == (Status.UP, ("workflow", "10 of 10"))
    assert (facts(finding)["sent"], facts(finding)["ok"], facts(finding)["cleaned"]) == (10, 10, 10)
    hops = {
        row.labels["hop"]: row.values["hop_seconds"]
        for row in finding.rows
        if "hop_seconds" in row.values
    }
    assert {hop: histogram.total for hop, histogram in hops.items()} == dict.fromkeys(
        (*HOPS, "total"), 10
    )
    assert hops["started"].sum == pytest.approx(0.1, abs=1e-3)
    assert hops["total"].sum == pytest.approx(0.4, abs=1e-3)
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0


async def test_every_row_fits_its_declaration(rig):
    """Labels of each row are those that its measurements declare; the series exist from the first
    run on.
    """
    finding = await rig.run()
    declared = {m.name: set(m.labels) for m in KIND.measurements}
    assert {name for row in finding.rows for name in row.values} == set(declared)
    assert all(declared[name] == set(row.labels) for row in finding.rows for name in row.values)
    ends = {
        (row.labels["outcome"], row.labels["hop"])
        for row in finding.rows
        if "outcomes" in row.values
    }
    assert {outcome for outcome, _ in ends} == set(OUTCOMES)
    assert {("stuck", hop) for hop in HOPS} <= ends


PLAN = {
    "ok": 6,
    "late created": 2,
    "late assigned": 3,
    "late started": 1,
    "late completed": 2,
    "stuck assigned": 3,
    "stuck started": 2,
    "stuck completed": 4,
    "lost assigned": 1,
    "lost started": 2,
    "lost completed": 1,
    "failed assigned": 1,
    "failed started": 2,
    "failed completed": 3,
    "failed result": 4,
}


def play(rig, token, end):
    """Make a task end as told."""
    outcome, _, hop = end.partition(" ")
    if outcome == "ok":
        rig.move(token)
    elif outcome == "late":
        rig.move(token, late=hop)
    elif hop == "result":
        rig.move(token, result="garbage")
    else:
        before = HOPS[HOPS.index(hop) - 1]
        rig.move(token, before, status={"failed": "FAILED"}.get(outcome))
        return outcome == "lost"
    return False


@pytest.mark.parametrize("restarts", [False, True])
async def test_every_fault_is_found_at_its_hop(rig, restarts):
    """A known number of each fault in any order, with kills in between: exactly these, none
    invented, no row left.
    """
    rig.execute(
        "INSERT INTO {schema}.tasks (id, kind, payload)"
        " SELECT gen_random_uuid(), 'real', '{}' FROM generate_series(1, 5)"
    )
    script = [
        end
        for end, count in PLAN.items()
        for _ in range(count)
        if not restarts or "late" not in end
    ]
    random.shuffle(script)
    doomed, findings = [], [await rig.run()]
    for number, end in enumerate(script):
        token, finding = await rig.send()
        findings.append(finding)
        for gone in doomed:
            rig.vanish(gone)
        doomed = [token] if play(rig, token, end) else []
        if restarts and number % 3 == 2:
            rig.reload()
            await rig.look()
    await rig.look()  # the last doomed one is seen before it vanishes
    for gone in doomed:
        rig.vanish(gone)
    finding = await rig.drain()
    assert all(conserved(each) for each in [*findings, finding])
    expected = Counter(script)
    found = Counter(finding.evidence["ends"])
    came_through = found.pop("orphan", 0) + found.pop("ok", 0)
    assert came_through == expected.pop("ok")
    assert found == expected
    assert facts(finding)["orphan"] == 0 or restarts
    assert rig.value("SELECT count(*) FROM {schema}.tasks WHERE kind = 'real'") == 5
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 5
    assert facts(finding)["cleanup_failures"] == 0


async def test_the_failing_hop_is_named_before_a_task_is_given_up(rig):
    """Tasks over their deadline are degraded at that hop while they are on their way; three given
    up are down.
    """
    rig.options = rig.configure(patience=1000, down_after=3)
    await rig.run()
    for _ in range(3):
        token, _ = await rig.send()
        rig.move(token, "assigned")
    await asyncio.sleep(0.3)
    rig.clock += 0.3
    finding = await rig.look()
    assert finding.status is Status.DEGRADED
    (fault,) = finding.faults
    assert fault.subject == {"path": "0", "hop": "started"}
    assert finding.detail.startswith(
        "path 0, hop started: 3 of the last 3 synthetic tasks failed at it: 3 overdue"
    )
    assert "streams" in finding.guidance
    assert facts(finding)["open"] == 3
    rig.options = rig.configure()
    finding = await rig.drain()
    assert finding.status is Status.DOWN
    assert "hop started: 3 of the last 3 synthetic tasks never came through it" in finding.detail
    assert finding.faults[0].key == "never_through"
    assert conserved(finding)


# --- kills --------------------------------------------------------------------------------------


async def test_kills_leave_no_unknown_task(rig):
    """Killed before or after the state was stored: every row that was made is counted once and
    cleaned up.
    """
    rig.execute("CREATE TABLE {schema}.made (id uuid)")
    rig.execute(
        "CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO {schema}.made VALUES (NEW.id); RETURN NULL; END'"
    )
    rig.execute(
        "CREATE TRIGGER note AFTER INSERT ON {schema}.tasks FOR EACH ROW EXECUTE FUNCTION {schema}.note()"
    )
    await rig.run()
    for number in range(12):
        await rig.send(store=number % 2 == 0)
        for token in list(rig.state.fleet.open):
            if number % 3:
                rig.move(token)
        rig.reload()
        if number % 4:
            rig.reload()
        await rig.look()
    finding = await rig.drain()
    counts, made = facts(finding), rig.value("SELECT count(*) FROM {schema}.made")
    assert conserved(finding)
    assert made >= 12
    assert counts["sent"] == made
    assert counts["orphan"] + counts["stuck"] == made
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0


async def test_a_promise_that_was_not_kept_is_forgotten(rig):
    """Killed after the promise and before the send: no task, no outcome, and the path goes on."""
    await rig.run()
    rig.reload()
    finding = await rig.drain()
    assert (facts(finding)["sent"], facts(finding)["open"]) == (0, 0)
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    assert facts(await rig.drain())["ok"] == 1


async def test_a_lost_memory_finds_its_own_rows_only(rig):
    """Without any state, rows that bear our marker are orphans: finished ones came through, the
    rest is stuck.
    """
    rig.options = rig.configure(cleanup={"keep": NEVER})
    await rig.run()
    for number in range(4):
        token, _ = await rig.send()
        if number < 3:
            rig.move(token)
    foreign = json.dumps({"canary": "sentinel-canary:1:0123456789ab:1"})
    rig.execute(
        "INSERT INTO {schema}.tasks (id, kind, payload) VALUES (gen_random_uuid(), 'real', %s)",
        foreign,
    )
    old = "UPDATE {schema}.tasks SET created_at = created_at - interval '2 hours' WHERE payload ->> 'canary' LIKE %s"
    rig.execute(old, "sentinel-canary:0:%:1")
    rig.options = rig.configure()
    rig.stored = None
    rig.reload()
    finding = await rig.drain()
    assert (facts(finding)["sent"], facts(finding)["cleaned"]) == (3, 3)
    assert finding.evidence["ends"] == {"orphan": 2, "stuck assigned": 1}
    assert conserved(finding)
    assert (
        rig.value("SELECT count(*) FROM {schema}.tasks") == 2
    )  # older than the lookback, and of another path


async def test_our_own_stall_voids_lateness_only(rig):
    """A late task while sentinel stood still is an orphan; a wrong result is wrong all the same."""
    await rig.run()
    for token, ending in (
        [(await rig.send())[0], {"late": "assigned"}],
        [(await rig.send())[0], {"result": "garbage"}],
    ):
        rig.move(token, **ending)
    finding = await rig.look(stalled=lambda _since: 0.2)
    counts = facts(finding)
    assert (counts["late"], counts["orphan"], counts["blind"], counts["failed"]) == (0, 1, 1, 1)
    assert conserved(finding)


async def test_a_result_in_text_is_opened_and_one_that_is_none_is_wrong(rig):
    """JSON inside a text is read; a text that is no JSON is garbage, and a failure of the result."""
    await rig.run()
    for text in ("{token}", None):
        token, _ = await rig.send()
        rig.move(token)
        result = json.dumps(json.dumps({"echo": token}) if text else "done!")
        rig.execute(
            "UPDATE {schema}.tasks SET result = %s WHERE payload ->> 'canary' = %s", result, token
        )
    finding = await rig.drain()
    assert finding.evidence["ends"] == {"ok": 1, "failed result": 1}


async def test_clocks_that_disagree_are_counted_and_not_judged(rig):
    """An assignment time of another time zone is no latency: the hop counts as passed when it was
    seen.
    """
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    rig.execute("UPDATE {schema}.tasks SET assigned_at = assigned_at + interval '8 hours'")
    finding = await rig.drain()
    assert (facts(finding)["ok"], facts(finding)["clock_disagreements"]) == (1, 1)


async def test_times_without_a_zone(rig):
    """Local times of Tokyo: with `zone:` every hop is measured, and rows that a former life left
    behind are found; without it they are of another clock, and no failure.
    """
    rig.execute("SET timezone = 'Asia/Tokyo'")
    for column in ("created_at", "assigned_at", "started_at", "completed_at"):
        rig.execute(f"ALTER TABLE {{schema}}.tasks ALTER {column} TYPE timestamp")
    known = {"table": f"{rig.schema}.tasks", "marker": "payload", "agent": "agent"}
    for zone, skewed in (("Asia/Tokyo", 0), (None, 3)):
        rig.state, rig.options = KIND.load_state(None), rig.configure(rows={**known, "zone": zone})
        await rig.run()
        for _ in range(3):
            rig.move((await rig.send())[0])
        finding = await rig.drain()
        assert (finding.status, facts(finding)["ok"]) == (Status.UP, 3)
        assert rig.state.fleet.record.skewed == skewed
    rig.options = rig.configure(rows={**known, "zone": "Asia/Tokyo"})
    token, _ = await rig.send()
    rig.move(token, "assigned")
    rig.state = KIND.load_state(None)
    await rig.look()
    assert list(rig.state.fleet.open) == [token]


async def test_a_renamed_path_still_cleans_up_after_the_old_one(rig):
    """What the state knows is followed and removed under its old name, whatever the path is called
    now.
    """
    rig.options = rig.configure(cleanup={"keep": NEVER})
    await rig.run()
    for _ in range(2):
        token, _ = await rig.send()
        rig.move(token)
    rig.options = rig.configure(path="other")
    finding = await rig.drain()
    assert (facts(finding)["ok"], facts(finding)["cleaned"]) == (2, 2)
    assert rig.value("SELECT count(*) FROM {schema}.tasks") == 0


async def test_a_database_that_is_away_invents_nothing(own_postgres, make_context):
    """Down while it is away; afterwards every task has ended once."""
    rig = Rig(own_postgres.dsn(), make_context)
    rig.execute(TASKS)
    await rig.run()
    token, _ = await rig.send()
    rig.move(token)
    own_postgres.stop()
    for _ in range(2):
        with pytest.raises(TargetError):
            await rig.run()
    own_postgres.start()
    rig.db = psycopg.connect(own_postgres.dsn(), autocommit=True)
    finding = None
    async with asyncio.timeout(30):
        while finding is None:
            with contextlib.suppress(TargetError):
                finding = await rig.run()
            await asyncio.sleep(0.1)
    finding = await rig.drain()
    assert conserved(finding)
    assert facts(finding)["ok"] == 1
    await rig.close()
