"""What holds every cleaning back: dry run, kill switch, cap, audit, holds, and the two steps of a
person.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.core.moment import Moment
from sentinel.errors import ActionRefused, StateError, TargetError, UsageError
from sentinel.store.sqlite import SqliteStore
from tests.integration.cleaning_bench import GROUP, KEY, KINDS, make_chore, opened

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def bench(valkey, tmp_path):
    """On Valkey."""
    async with opened(valkey.port, tmp_path) as made:
        yield made


def poison(bench, count: int) -> list[str]:
    """So many entries that were delivered too often."""
    if not bench.redis.exists(KEY):
        bench.group()
    bench.publish(count)
    ids = bench.read(count)
    bench.age(ids, deliveries=9)
    return ids


def after(bench, place: str, effect) -> None:
    """Do something right after the housekeeper did the first thing of this name."""
    plain = getattr(bench.keeper, place)

    async def twisted(*arguments):
        found = await plain(*arguments)
        effect()
        return found

    bench.keeper = _subclass(bench.keeper, place, twisted)


def _subclass(keeper, place, function):
    made = type("Twisted", (type(keeper),), {place: staticmethod(function)})
    twisted = made(
        keeper.store, keeper.call, keeper.clients, keeper.metrics, keeper.moment, keeper.may_act
    )
    twisted.configure(list(keeper.chores.values()))
    return twisted


async def grown_up(bench) -> None:
    """Wait until the server runs for a second by its own count."""
    while bench.redis.info("server")["uptime_in_seconds"] < 1:
        await asyncio.sleep(0.05)


# -- on schedule ----------------------------------------------------------------------------------


async def test_dry_run_is_the_default_and_changes_nothing(bench):
    """A chore as it is shipped looks, counts and tells; nothing is written, neither there nor in
    the audit log.
    """
    ids = poison(bench, 7)
    bench.use(replace(make_chore("poison"), dry_run=True))
    bench.redis.config_resetstat()
    run = await bench.keeper.run("poison")
    assert (run.outcome, run.found, run.removed) == ("dry_run", 7, 0)
    assert set(bench.pending()) == set(ids)
    assert bench.audit() == []
    assert {"cmdstat_xadd", "cmdstat_xack"}.isdisjoint(bench.redis.info("commandstats"))
    assert bench.count("sentinel_housekeeping_found", chore="poison") == 7
    assert bench.count("sentinel_housekeeping_runs_total", chore="poison", outcome="dry_run") == 1


async def test_the_kill_switch_is_read_right_before_each_command(bench):
    """Halted before: nothing. Halted between the audit row and the command: nothing either, and the
    log says so.
    """
    ids = poison(bench, 250)
    bench.refusal = "halted"
    assert (await bench.keeper.run("poison")).outcome == "refused"
    assert bench.dead_letters() == bench.audit() == []
    bench.refusal = ""
    after(bench, "_audit", lambda: setattr(bench, "refusal", "halted now"))
    run = await bench.keeper.run("poison")
    assert (run.outcome, run.removed) == ("refused", 0)
    assert [action for _, action, _ in bench.audit()] == ["clean", "clean ended"]
    assert "not done: halted now" in bench.audit()[1][2]
    assert set(bench.pending()) == set(ids)
    assert bench.store.cleaning.left("poison", 100_000, bench.moment) == 100_000


async def test_halted_after_the_first_portion_the_second_is_not_done(bench):
    """Portions of 100: the switch falls after the first: exactly 100 are gone."""
    poison(bench, 250)
    after(bench, "_settle", lambda: setattr(bench, "refusal", "halted"))
    assert (await bench.keeper.run("poison")).removed == 100
    assert (len(bench.dead_letters()), len(bench.pending())) == (100, 150)


async def test_the_audit_row_is_there_before_the_effect(bench):
    """When the log can't be written nothing is done; when it can, the intent stands before the
    outcome.
    """
    poison(bench, 3)

    def fail():
        raise StateError("disk full")

    plain = bench.keeper
    after(bench, "_reserve", fail)
    assert (await bench.keeper.run("poison")).outcome == "failed"
    bench.keeper = plain
    real, bench.store.add_audit = bench.store.add_audit, lambda *_: fail()
    assert (await bench.keeper.run("poison")).outcome == "failed"
    assert len(bench.pending()) == 3
    bench.store.add_audit = real
    await bench.keeper.run("poison")
    rows = bench.audit()
    assert [(who, action) for who, action, _ in rows] == [
        ("sentinel", "clean"),
        ("sentinel", "clean ended"),
    ]
    assert "XACK" in rows[0][2]
    assert "cleaned 3 of 3 entries" in rows[1][2]
    assert bench.store.verify_audit().whole


async def test_the_cap_per_hour_holds_over_restarts_and_clock_jumps(bench):
    """7 of 20 an hour; a new process, a wall clock a day ahead or an hour back refill nothing; an
    hour does.
    """
    poison(bench, 20)
    capped = make_chore("poison", max_per_hour=7)
    run = await bench.use(capped).run("poison")
    assert (run.removed, run.refused) == (7, 1)
    assert bench.count("sentinel_housekeeping_refused_total", chore="poison", reason="cap") == 1
    for seconds, wall in ((60, 86_400), (60, -3600), (60, 60)):
        bench.later(seconds, wall=wall)
        bench.store.close()
        bench.store = SqliteStore(bench.folder, owner=True)
        bench.keeper = bench.make_keeper(capped)
        assert (await bench.keeper.run("poison")).removed == 0
    bench.later(3600)
    assert (await bench.keeper.run("poison")).removed == 7
    assert len(bench.pending()) == 6


async def test_a_lost_reply_stays_spent_and_is_not_repeated(bench):
    """F17: nobody knows whether it happened: the cap counts it, the log says "outcome unknown", the
    run ends.
    """
    poison(bench, 5)
    kind = KINDS["poison"]

    async def lost(options, room, part):
        await kind.act(options, room, part)
        raise TargetError("no answer in time")

    bench.use(make_chore("poison", max_per_hour=8))
    bench.keeper.kinds = {**KINDS, "poison": replace(kind, act=lost)}
    assert (await bench.keeper.run("poison")).outcome == "failed"
    assert bench.store.cleaning.left("poison", 8, bench.moment) == 3
    assert "outcome unknown" in bench.audit()[-1][2]
    bench.keeper.kinds = KINDS
    assert (await bench.keeper.run("poison")).found == 0
    assert len(bench.dead_letters()) == 5


async def test_a_full_cap_returns_what_was_not_cleaned(bench):
    """What the server left because it changed is given back to the cap."""
    ids = poison(bench, 4)
    bench.use(make_chore("poison", max_per_hour=4))
    after(bench, "_reserve", lambda: bench.ack(ids[:3]))
    run = await bench.keeper.run("poison")
    assert (run.removed, run.refused) == (1, 3)
    assert bench.store.cleaning.left("poison", 4, bench.moment) == 3


# -- holds ----------------------------------------------------------------------------------------


async def test_a22_nothing_is_cleaned_after_a_suspected_failover(bench):
    """A22: the replication history changed: held for `settle`, then done; a person's plan is held
    as well.
    """
    await grown_up(bench)
    poison(bench, 3)
    bench.use(make_chore("poison"))
    assert (await bench.keeper.run("poison")).removed == 3
    poison(bench, 4)
    bench.redis.execute_command("DEBUG", "CHANGE-REPL-ID")
    bench.use(make_chore("poison", settle=0.5))
    run = await bench.keeper.run("poison")
    assert (run.outcome, run.removed) == ("refused", 0)
    assert "failover" in run.detail
    assert bench.count("sentinel_housekeeping_refused_total", chore="poison", reason="hold") == 4
    with pytest.raises(ActionRefused, match="data loss suspected"):
        await bench.keeper.plan("poison", {}, "me")
    bench.later(1)
    assert (await bench.keeper.run("poison")).removed == 4


async def test_a_young_server_and_a_recreated_stream_are_left_alone(bench):
    """What a server lost at its start is not known; a stream whose counters went back is held for
    an hour.
    """
    poison(bench, 2)
    bench.use(make_chore("poison", settle=10**9))
    assert "runs for" in (await bench.keeper.run("poison")).detail
    bench.redis.delete(KEY)
    poison(bench, 1)
    bench.use(make_chore("poison"))
    assert "recreated" in (await bench.keeper.run("poison")).detail
    bench.later(3599)
    assert (await bench.keeper.run("poison")).removed == 0
    bench.later(2)
    assert (await bench.keeper.run("poison")).removed == 1


async def test_a_failover_between_plan_and_apply_holds_the_apply(bench):
    """The plan was good; then the history changed: nothing is done."""
    poison(bench, 2)
    bench.use(make_chore("poison", settle=0.5))
    await grown_up(bench)
    plan = await bench.keeper.plan("poison", {}, "me")
    bench.redis.execute_command("DEBUG", "CHANGE-REPL-ID")
    with pytest.raises(ActionRefused, match="data loss suspected"):
        await bench.keeper.apply(plan.id, "me")
    assert len(bench.pending()) == 2


# -- two steps ------------------------------------------------------------------------------------


async def test_plan_shows_and_apply_does_exactly_that_once(bench):
    """The plan has count, samples and command; apply does it, also for a chore in dry run; and once
    only.
    """
    ids = poison(bench, 12)
    bench.use(replace(make_chore("poison"), dry_run=True))
    plan = await bench.keeper.plan("poison", {}, "alice")
    assert plan.count == 12
    assert plan.targets[0].samples == tuple(ids[:10])
    assert f"XACK {KEY} {GROUP}" in plan.targets[0].command
    assert set(bench.pending()) == set(ids)
    assert (await bench.keeper.apply(plan.id, "bob")).removed == 12
    assert {who for who, _, _ in bench.audit()} == {"bob"}
    with pytest.raises(ActionRefused, match="already applied: done: 12 of 12"):
        await bench.keeper.apply(plan.id, "bob")


async def test_a_plan_lives_a_minute_whatever_the_wall_clock_says(bench):
    """60 s by uptime: good; 61 s: expired, also when the wall clock was set back meanwhile; unknown
    ids are refused.
    """
    poison(bench, 2)
    plan = await bench.keeper.plan("poison", {}, "me")
    bench.later(60, wall=100_000)
    late = await bench.keeper.plan("poison", {}, "me")
    assert (await bench.keeper.apply(plan.id, "me")).removed == 2
    bench.later(61, wall=-500_000)
    with pytest.raises(ActionRefused, match="a plan lives 60 s") as error:
        await bench.keeper.apply(late.id, "me")
    assert "new plan" in error.value.guidance
    with pytest.raises(ActionRefused, match="no such plan"):
        await bench.keeper.apply("0000", "me")
    bench.moment = Moment(bench.moment.at, "another boot", 1.0)
    with pytest.raises(ActionRefused, match="a plan lives 60 s"):
        await bench.keeper.apply(late.id, "me")


@pytest.mark.parametrize(
    "change", ["consumer reads", "entry acknowledged", "entry claimed", "trimmed", "key expires"]
)
async def test_a_changed_count_voids_the_plan(bench, change):
    """A race between plan and apply: nothing at all is done, and the plan stays void."""
    name, effect = {
        "consumer reads": ("idle_consumers", lambda: bench.read(1, "ghost")),
        "entry acknowledged": ("poison", lambda: bench.ack(list(bench.pending())[:1])),
        "entry claimed": (
            "reclaim",
            lambda: bench.redis.xclaim(KEY, GROUP, "x", 0, list(bench.pending())[:1]),
        ),
        "trimmed": ("safe_trim", lambda: bench.redis.xtrim(KEY, maxlen=950, approximate=False)),
        "key expires": ("keys_without_ttl", lambda: bench.redis.expire("cache:1", 1000)),
    }[change]
    bench.group()
    bench.publish(1000)
    bench.redis.xgroup_createconsumer(KEY, GROUP, "ghost")
    bench.redis.xgroup_createconsumer(KEY, GROUP, "live")
    ids = bench.read(900)
    bench.ack(ids[:800])
    bench.age(ids[800:], deliveries=9)
    bench.redis.mset({"cache:1": "v", "cache:2": "v"})
    chore = (
        make_chore("idle_consumers", silent_for="1s", spare=["live"])
        if name == "idle_consumers"
        else make_chore(name)
    )
    bench.use(chore)
    if name == "idle_consumers":
        await asyncio.sleep(1.1)
    plan = await bench.keeper.plan(name, {}, "me")
    assert plan.count > 0
    effect()
    before = (
        bench.live(),
        bench.pending(),
        bench.consumers(),
        bench.redis.ttl("cache:2"),
        bench.dead_letters(),
    )
    with pytest.raises(ActionRefused, match="when the plan was made, now"):
        await bench.keeper.apply(plan.id, "me")
    assert before == (
        bench.live(),
        bench.pending(),
        bench.consumers(),
        bench.redis.ttl("cache:2"),
        bench.dead_letters(),
    )
    with pytest.raises(ActionRefused, match="is void"):
        await bench.keeper.apply(plan.id, "me")


async def test_apply_is_held_back_by_halt_cap_and_a_changed_configuration(bench):
    """Refused, and the plan stays good: it can be applied when the reason is gone."""
    poison(bench, 5)
    bench.use(make_chore("poison"))
    plan = await bench.keeper.plan("poison", {}, "me")
    bench.refusal = "halted"
    with pytest.raises(ActionRefused, match="halted"):
        await bench.keeper.apply(plan.id, "me")
    bench.refusal = ""
    bench.use(make_chore("poison", max_per_hour=4))
    with pytest.raises(ActionRefused, match="5 planned, and 4 of the 4 an hour are left"):
        await bench.keeper.apply(plan.id, "me")
    bench.use(make_chore("poison", dead_letter="agent:else:dlq"))
    with pytest.raises(ActionRefused, match="configuration of poison was changed"):
        await bench.keeper.apply(plan.id, "me")
    bench.use(make_chore("drain"))
    with pytest.raises(ActionRefused, match="not configured any more"):
        await bench.keeper.apply(plan.id, "me")
    assert bench.dead_letters() == []
    bench.use(make_chore("poison"))
    assert (await bench.keeper.apply(plan.id, "me")).removed == 5


async def test_an_apply_that_was_cut_off_is_not_repeated(bench):
    """The daemon ends in the middle of an apply: the plan is spent, what was reserved too, and a
    new plan is needed.
    """
    poison(bench, 6)
    kind, begun = KINDS["poison"], asyncio.Event()

    async def hang(*_arguments):
        begun.set()
        await asyncio.sleep(3600)

    bench.use(make_chore("poison", max_per_hour=10))
    plan = await bench.keeper.plan("poison", {}, "me")
    bench.keeper.kinds = {**KINDS, "poison": replace(kind, act=hang)}
    task = asyncio.create_task(bench.keeper.apply(plan.id, "me"))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench.keeper = bench.make_keeper(make_chore("poison", max_per_hour=10))
    with pytest.raises(ActionRefused, match="already applied: outcome unknown"):
        await bench.keeper.apply(plan.id, "me")
    assert bench.store.cleaning.left("poison", 10, bench.moment) == 4
    assert [action for _, action, _ in bench.audit()] == ["clean"]


async def test_wrong_names_and_parameters_of_a_plan(bench):
    """Unknown chores and parameters are usage errors that name the known ones; numbers come as
    words.
    """
    with pytest.raises(UsageError, match="no chore 'x'"):
        await bench.keeper.plan("x", {}, "me")
    poison(bench, 3)
    assert (await bench.keeper.plan("poison", {"more_than": "8"}, "me")).count == 3
    assert (await bench.keeper.plan("poison", {"more_than": "9"}, "me")).count == 0
    with pytest.raises(ActionRefused, match="more_than"):
        await bench.keeper.plan("poison", {"more_than": "many"}, "me")
    with pytest.raises(UsageError, match="no parameter") as error:
        await bench.keeper.plan("poison", {"dead_letter": "x"}, "me")
    assert "more_than" in error.value.guidance


# -- killed in between ----------------------------------------------------------------------------

KILLS = 25


def test_sigkill_at_any_moment_loses_and_doubles_nothing_and_the_cap_holds(valkey, tmp_path):
    """25 times a housekeeper is killed while it moves poison: each entry is once here or once
    there; ≤ the cap.
    """
    folder = tmp_path / "state"
    script = Path(__file__).with_name("cleaning_victim.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, str(script), str(valkey.port), str(folder), str(KILLS)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["killed"] >= 3, facts
    assert facts["lost"] == facts["doubled"] == facts["unannounced"] == 0, facts
    assert 0 < facts["moved"] <= facts["cap"], facts
    assert facts["audit_whole"], facts
