"""Cleaning under guards, without a server: caps, switches, holds, refusals, plan and apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import Field

from sentinel.adapters.bus.housekeeping import NoScript
from sentinel.core.bus.housekeeping import Chore, Done, Refusal, Survey, Target
from sentinel.engine.housekeeper import MAX_SHOWN, OUTCOMES, Housekeeper
from sentinel.errors import ActionRefused, SubjectError, TargetUnreachable, UsageError
from sentinel.housekeeping import ChoreKind, ChoreOptions
from sentinel.metrics import Metrics
from sentinel.store.sqlite import SqliteStore
from tests.exposition import read_samples
from tests.unit.engine.conftest import Clock

RUN_ID = "1" * 40


class SweepOptions(ChoreOptions):
    """What a chore of this test may say."""

    least: int = Field(1, ge=1)
    heir: str = ""
    key: str = "orders"


class Server:
    """Answers INFO as one process that has run for a day."""

    def __init__(self) -> None:
        self.run_id, self.uptime = RUN_ID, 86_400

    async def call(self, *command: Any) -> bytes:
        assert command == ("INFO",)
        text = f"run_id:{self.run_id}\r\nmaster_replid:r\r\nuptime_in_seconds:{self.uptime}\r\n"
        return text.encode()


class Bench:
    """A housekeeper with one chore of one kind, whose looks and acts are in the test's hands."""

    def __init__(self, store: SqliteStore, metrics: Metrics, clock: Clock) -> None:
        self.server, self.store, self.metrics, self.clock = Server(), store, metrics, clock
        self.found = Survey()
        self.counts: list[int] | None = None
        self.acted: list[Target] = []
        self.act: Callable[[Target], Done] = lambda part: Done(part.count)
        self.stops: list[str] = []
        self.kind = ChoreKind(
            "sweep", "", SweepOptions, "entries", self._survey, self._recount, self._act,
            portion=2, parameters=("least", "heir"),
        )  # fmt: skip
        self.keeper = self._make()
        self.chore = Chore(
            "tidy", "sweep", "bus", SweepOptions(), {"key": "orders"}, dry_run=False, settle=600.0
        )
        self.keeper.configure([self.chore])

    def _make(self) -> Housekeeper:
        async def call(function: Callable[[], Any]) -> Any:
            return function()

        parts = (self.store, call, {"bus": self.server}, self.metrics, self.clock.moment)
        return Housekeeper(*parts, self.may_act, kinds={"sweep": self.kind})

    def use(self, kind: ChoreKind | None = None, **changes: Any) -> None:
        """Another configuration."""
        if kind is not None:
            self.keeper.kinds = {"sweep": kind}
        self.chore = replace(self.chore, **changes)
        self.keeper.configure([self.chore])

    def may_act(self) -> str:
        """What the test wants to be said, question by question; then nothing."""
        return self.stops.pop(0) if self.stops else ""

    async def _survey(self, options: SweepOptions, _room: object) -> Survey:
        self.options = options
        return self.found

    async def _recount(self, _options: object, _room: object, target: Target) -> int:
        return self.counts.pop(0) if self.counts else target.count

    async def _act(self, _options: object, _room: object, part: Target) -> Done:
        self.acted.append(part)
        return self.act(part)

    def audit(self) -> list[str]:
        """Actions written down, oldest first."""
        return [row.action for row in reversed(self.store.audit())]


@pytest.fixture
def bench(store: SqliteStore, metrics: Metrics, clock: Clock) -> Bench:
    """Nothing to clean yet."""
    return Bench(store, metrics, clock)


def named(*items: str, key: str = "orders*") -> Target:
    return Target(key, len(items), f"XDEL {key}", items=items)


def count(bench: Bench, outcome: str) -> float:
    value: float = bench.metrics.chore_runs.labels("tidy", outcome).value
    return value


# -- on schedule -----------------------------------------------------------------------------------


async def test_nothing_to_do(bench: Bench) -> None:
    """Is an outcome, remembered and counted."""
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.found, run.removed, run.refused, run.detail) == (
        "nothing",
        0,
        0,
        0,
        "",
    )
    assert bench.store.cleaning.last_run("tidy") == run
    assert [count(bench, outcome) for outcome in OUTCOMES] == [0, 0, 1, 0, 0]


async def test_a_dry_run_only_looks(bench: Bench) -> None:
    """With something to clean it is one; without it there was nothing."""
    bench.use(dry_run=True)
    assert (await bench.keeper.run("tidy")).outcome == "nothing"
    bench.found = Survey((named("a", "b"),))
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.found, run.removed) == ("dry_run", 2, 0)
    assert (bench.acted, bench.audit()) == ([], [])


async def test_it_goes_in_portions(bench: Bench) -> None:
    """Two at a time, each written down before and after."""
    bench.found = Survey((named("a", "b", "c"), named("d")))
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.found, run.removed, run.refused) == ("done", 4, 4, 0)
    assert [part.items for part in bench.acted] == [("a", "b"), ("c",), ("d",)]
    assert bench.audit() == ["clean", "clean ended"] * 3
    assert bench.metrics.chore_removed.labels("tidy").value == 4


async def test_what_has_no_names_goes_on_until_nothing_more_goes(bench: Bench) -> None:
    """Three below a bound; the second command finds none."""
    bench.found = Survey((Target("orders*", 5, "XTRIM", bound="9-0"),))
    done = [Done(2), Done(0)]
    bench.act = lambda _part: done.pop(0)
    run = await bench.keeper.run("tidy")
    assert (run.removed, [part.count for part in bench.acted]) == (2, [2, 2])


async def test_named_things_that_were_left_do_not_stop_the_others(bench: Bench) -> None:
    """None of the first two went, for a reason that is counted."""
    bench.found = Survey((named("a", "b", "c"),))
    left = Refusal("in_work", "orders*", "delivered too lately", count=2)
    bench.act = lambda part: Done(0, (left,)) if "a" in part.items else Done(1)
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.removed, run.refused) == ("done", 1, 2)
    assert run.detail == "orders*: delivered too lately"
    assert bench.metrics.chore_refused.labels("tidy", "in_work").value == 2


async def test_the_cap_of_an_hour(bench: Bench) -> None:
    """Three may go, the rest waits; an hour later three more."""
    bench.use(max_per_hour=3)
    bench.found = Survey((named("a", "b", "c", "d", "e"),))
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.removed, run.refused) == ("done", 3, 1)
    assert run.detail == "orders*: the cap of 3 an hour is spent"
    assert [part.items for part in bench.acted] == [("a", "b"), ("c",)]
    assert (await bench.keeper.run("tidy")).outcome == "refused"
    bench.clock.now += 3600
    assert (await bench.keeper.run("tidy")).removed == 3


async def test_what_did_not_go_is_given_back_to_the_cap(bench: Bench) -> None:
    """Only the effect counts."""
    bench.use(max_per_hour=2)
    bench.found = Survey((named("a", "b"),))
    bench.act = lambda _part: Done(0)
    assert (await bench.keeper.run("tidy")).outcome == "nothing"
    bench.act = lambda part: Done(part.count)
    assert (await bench.keeper.run("tidy")).removed == 2


@pytest.mark.parametrize(
    ("stops", "removed", "audit"),
    [
        (["halted"], 0, []),
        (["", "halted"], 0, ["clean", "clean ended"]),
        (["", "", "halted"], 2, ["clean", "clean ended"]),
    ],
)
async def test_the_switches_are_read_before_every_command(
    bench: Bench, stops: list[str], removed: int, audit: list[str]
) -> None:
    """Before the reservation, and once more right before the effect; nothing follows."""
    bench.found = Survey((named("a", "b", "c"), named("d")))
    bench.stops = stops
    run = await bench.keeper.run("tidy")
    assert (run.removed, run.outcome) == (removed, "done" if removed else "refused")
    assert run.detail == "orders*: halted"
    assert bench.audit() == audit
    assert bench.store.cleaning.left("tidy", 10, bench.clock.moment()) == 10 - removed


async def test_a_server_that_permits_no_script(bench: Bench) -> None:
    """Refused with a remedy, given back to the cap, nothing follows."""
    bench.found = Survey((named("a"), named("b")))

    def refuse(_part: Target) -> Done:
        raise NoScript("no EVAL here", "permit it")

    bench.act = refuse
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.detail) == ("refused", "orders*: no EVAL here; permit it")
    assert len(bench.acted) == 1
    assert bench.store.cleaning.left("tidy", 10, bench.clock.moment()) == 10


async def test_a_lost_reply_leaves_the_cap_spent(bench: Bench) -> None:
    """It may have happened: failed, and written down as unknown."""
    bench.found = Survey((named("a", "b"),))

    def break_off(_part: Target) -> Done:
        raise TargetUnreachable("connection lost", "start it")

    bench.act = break_off
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.detail) == ("failed", "tidy: connection lost; next: start it")
    assert bench.audit() == ["clean", "clean failed"]
    assert bench.store.cleaning.left("tidy", 10, bench.clock.moment()) == 8


async def test_one_subject_does_not_stop_the_others(bench: Bench) -> None:
    """A stream that became something else is told."""
    bench.found = Survey((named("a", key="odd*"), named("b")))

    def odd(part: Target) -> Done:
        if part.key == "odd*":
            raise SubjectError("is a string", "exclude it")
        return Done(part.count)

    bench.act = odd
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.removed) == ("done", 1)
    assert run.detail == "odd*: is a string; next: exclude it"


@pytest.mark.parametrize(("uptime", "outcome"), [(599, "refused"), (600, "done")])
async def test_a_young_server_is_left_alone(bench: Bench, uptime: int, outcome: str) -> None:
    """What it lost is not known yet."""
    bench.server.uptime = uptime
    bench.found = Survey((named("a", "b"),))
    run = await bench.keeper.run("tidy")
    assert run.outcome == outcome
    assert run.found == (2 if outcome == "done" else 0)


async def test_a_suspected_loss_holds_for_a_while(bench: Bench) -> None:
    """The process is another one than at the last look."""
    bench.found = Survey((named("a"),))
    assert (await bench.keeper.run("tidy")).outcome == "done"
    bench.server.run_id = "2" * 40
    run = await bench.keeper.run("tidy")
    assert (run.outcome, run.refused) == ("refused", 1)
    assert "its process was restarted" in run.detail
    bench.clock.now += 600
    assert (await bench.keeper.run("tidy")).outcome == "done"


async def test_only_three_refusals_are_told(bench: Bench) -> None:
    """With the remedy of the first; all of them are counted."""
    refusals = tuple(Refusal("pending", f"s{n}", "holds", f"r{n}", count=2) for n in range(5))
    bench.found = Survey(refusals=refusals)
    run = await bench.keeper.run("tidy")
    assert run.detail == "s0: holds; s1: holds; s2: holds; next: r0"
    assert (run.outcome, run.refused) == ("refused", 10)


def test_a_chore_that_is_gone_leaves_no_series(bench: Bench) -> None:
    """The others have all outcomes at zero."""
    bench.keeper.configure([replace(bench.chore, name="other")])
    samples = read_samples(bench.metrics.render().decode())
    chores = {value for _, labels in samples for name, value in labels if name == "chore"}
    assert chores == {"other"}


# -- two steps -------------------------------------------------------------------------------------


async def test_a_plan_is_applied_once(bench: Bench) -> None:
    """Exactly what it showed; who made it and who applied it is written down."""
    bench.found = Survey((named("a", "b"),))
    plan = await bench.keeper.plan("tidy", {}, "ann")
    assert (plan.count, plan.by, plan.settings) == (2, "ann", {"key": "orders"})
    assert bench.acted == []
    run = await bench.keeper.apply(plan.id, "bob")
    assert (run.outcome, run.removed) == ("done", 2)
    kept = bench.store.cleaning.plan(plan.id)
    assert kept is not None
    assert (kept.state, kept.outcome) == ("applied", "done: 2 of 2 entries")
    assert {row.actor for row in bench.store.audit()} == {"bob"}
    with pytest.raises(ActionRefused, match="already applied"):
        await bench.keeper.apply(plan.id, "bob")


async def test_parameters_of_one_plan(bench: Bench) -> None:
    """A number is read where the option is one, a word stays a word."""
    bench.found = Survey((named("a"),))
    plan = await bench.keeper.plan("tidy", {"least": "7", "heir": "12"}, "ann")
    assert plan.settings == {"key": "orders", "least": 7, "heir": "12"}
    assert bench.options == SweepOptions(least=7, heir="12")
    await bench.keeper.apply(plan.id, "ann")
    with pytest.raises(UsageError, match="'key' is no parameter of tidy"):
        await bench.keeper.plan("tidy", {"key": "x"}, "ann")
    with pytest.raises(UsageError, match="there is no chore 'other'"):
        await bench.keeper.plan("other", {}, "ann")
    for wrong in ("0", "-1", "x"):
        with pytest.raises(ActionRefused, match=r"^least: "):
            await bench.keeper.plan("tidy", {"least": wrong}, "ann")


@pytest.mark.parametrize(
    ("reason", "targets", "whole", "refused"),
    [
        ("pending", True, False, False),
        ("pending", False, False, True),
        ("pending", True, True, True),
        ("in_work", True, True, False),
        ("in_work", False, False, True),
    ],
)
async def test_what_a_plan_may_leave_out(
    bench: Bench, reason: str, targets: bool, whole: bool, refused: bool
) -> None:
    """A kind that is whole leaves nothing out but what is in work; with nothing left it is refused."""
    bench.use(replace(bench.kind, whole=whole))
    refusal = Refusal(reason, "orders g", "not now", "wait")
    bench.found = Survey((named("a"),) if targets else (), (refusal,))
    if refused:
        with pytest.raises(ActionRefused, match=r"^orders g: not now$"):
            await bench.keeper.plan("tidy", {}, "ann")
    else:
        assert (await bench.keeper.plan("tidy", {}, "ann")).refusals == (refusal,)


async def test_refusals_kept_with_a_plan_are_bounded(bench: Bench) -> None:
    """The first hundred."""
    refusals = tuple(Refusal("pending", str(n), "x") for n in range(MAX_SHOWN + 1))
    bench.found = Survey((named("a"),), refusals)
    assert len((await bench.keeper.plan("tidy", {}, "ann")).refusals) == MAX_SHOWN


async def test_a_plan_that_does_not_hold_any_more(bench: Bench) -> None:
    """Switched off, held, more than the cap allows, another count: nothing is done."""
    bench.found = Survey((named("a", "b"),))
    plan = await bench.keeper.plan("tidy", {}, "ann")
    bench.stops = ["halted"]
    with pytest.raises(ActionRefused, match="halted"):
        await bench.keeper.apply(plan.id, "ann")
    bench.use(max_per_hour=1)
    with pytest.raises(ActionRefused, match="2 planned, and 1 of the 1 an hour are left"):
        await bench.keeper.apply(plan.id, "ann")
    bench.use(max_per_hour=2)
    bench.server.run_id = "2" * 40
    with pytest.raises(ActionRefused, match="data loss suspected"):
        await bench.keeper.apply(plan.id, "ann")
    bench.server.run_id = RUN_ID
    assert bench.acted == []


async def test_a_count_that_changed_voids_the_plan(bench: Bench) -> None:
    """For good."""
    bench.found = Survey((named("a", "b"),))
    plan = await bench.keeper.plan("tidy", {}, "ann")
    bench.counts = [1]
    with pytest.raises(ActionRefused, match=r"had 2 to clean .* now 1"):
        await bench.keeper.apply(plan.id, "ann")
    with pytest.raises(ActionRefused, match="is void"):
        await bench.keeper.apply(plan.id, "ann")
    assert bench.acted == []


async def test_a_plan_expires(bench: Bench) -> None:
    """At a minute it lives."""
    bench.found = Survey((named("a"),))
    plans = [await bench.keeper.plan("tidy", {}, "ann") for _ in range(2)]
    bench.clock.now += 60
    assert (await bench.keeper.apply(plans[0].id, "ann")).outcome == "done"
    bench.clock.now += 0.5
    with pytest.raises(ActionRefused, match="a plan lives 60 s"):
        await bench.keeper.apply(plans[1].id, "ann")
    with pytest.raises(ActionRefused, match="there is no such plan"):
        await bench.keeper.apply("nonsense", "ann")


async def test_a_plan_of_another_configuration(bench: Bench) -> None:
    """Its own parameters may differ, what the configuration says may not."""
    bench.found = Survey((named("a"),))
    plan = await bench.keeper.plan("tidy", {"least": "2"}, "ann")
    bench.use(settings={"key": "others"})
    with pytest.raises(ActionRefused, match="was changed since the plan was made"):
        await bench.keeper.apply(plan.id, "ann")
    bench.use(settings={"key": "orders", "least": 5})
    assert (await bench.keeper.apply(plan.id, "ann")).outcome == "done"
    plan = await bench.keeper.plan("tidy", {}, "ann")
    bench.keeper.configure([])
    with pytest.raises(ActionRefused, match="is not configured any more"):
        await bench.keeper.apply(plan.id, "ann")


async def test_an_apply_that_breaks_off(bench: Bench) -> None:
    """The plan is spent, and says so."""
    bench.found = Survey((named("a", "b", "c"),))
    plan = await bench.keeper.plan("tidy", {}, "ann")

    def break_off(part: Target) -> Done:
        if "c" in part.items:
            raise TargetUnreachable("connection lost", "start it")
        return Done(part.count)

    bench.act = break_off
    run = await bench.keeper.apply(plan.id, "ann")
    assert (run.outcome, run.removed) == ("failed", 2)
    kept = bench.store.cleaning.plan(plan.id)
    assert kept is not None
    assert (kept.state, kept.outcome) == ("applied", "failed: 2 of 3 entries")
