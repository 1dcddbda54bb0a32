"""All tables of flows at one look: limits, blocked statuses, disagreements that last, late masters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sentinel.core.flows.dwell import DAY, NOTHING, Passage, Stays, find_bucket
from sentinel.core.flows.family import FinishedChild, Kin, MasterRules
from sentinel.core.flows.history import OTHER, Flow, FlowLook, History
from sentinel.core.flows.lasting import Families, Family
from sentinel.core.flows.stuck import Crew, FlowRules, FlowSight, Worker
from sentinel.core.flows.table import StayLimit, TableRules
from sentinel.core.flows.verdict import FlowVerdict, judge

NOW = 1_000_000.0
WORKS = "it moved"
RULES = FlowRules("new")
MASTERS = MasterRules("new", frozenset({"done"}))
ALONE = Families(MASTERS, [], 60.0)


def table(
    name: str = "flows", rules: FlowRules = RULES, static: float = 3600.0, **more: object
) -> TableRules:
    return TableRules(name, rules, {}, static, **more)  # type: ignore[arg-type]


def look(
    history: History,
    *sights: FlowSight,
    now: float = NOW,
    rules: TableRules | None = None,
) -> dict[str, Flow]:
    """One look at one table."""
    given = rules or table()
    verdict = judge(history, [FlowLook(now, list(sights))], [given], ALONE, now)
    return {flow.sight.id: flow for flow in verdict.flows}


def running(key: str, **facts: object) -> FlowSight:
    return FlowSight(key, "t", "run", **facts)  # type: ignore[arg-type]


# --- which limit ----------------------------------------------------------------------------------


def reasons_after(history: History, seconds: float, rules: TableRules) -> list[str]:
    """Of a flow that has been in its status for so long."""
    look(history, running("f"), now=NOW - seconds, rules=rules)
    return list(look(history, running("f"), rules=rules)["f"].reasons)


def test_the_static_limit_while_none_is_learned() -> None:
    """An hour, where nothing else is known."""
    assert reasons_after(History(), 3600.0, table()) == []
    assert reasons_after(History(), 3601.0, table()) == ["overdue"]


def learned(seconds: float) -> History:
    """A history of 1000 stays of so long, a week of them."""
    history = History()
    history.told["t", "run"] = Stays.of({find_bucket(seconds): 1000}, NOW - 8 * DAY, [seconds] * 10)
    return history


def test_a_learned_limit_wins_over_the_static_one() -> None:
    """Unless learning is off."""
    assert reasons_after(learned(100.0), 101.0, table()) == ["overdue"]
    assert reasons_after(learned(9000.0), 5000.0, table()) == []
    assert reasons_after(learned(100.0), 101.0, table(learn=False)) == []


def test_the_budget_of_alarms_decides_what_is_enough() -> None:
    """A thousand stays in eight days are enough for one alarm a week, and not for one in three."""
    assert reasons_after(learned(100.0), 101.0, table(alarms_per_week=1.0)) == ["overdue"]
    assert reasons_after(learned(100.0), 101.0, table(alarms_per_week=1 / 3)) == []


def test_a_late_flow_tells_where_its_limit_comes_from() -> None:
    """Learned of how many; or how many there are and how many are needed; nothing if configured."""
    texts = {}
    for name, history, rules in (
        ("learned", learned(100.0), table()),
        ("few", History(), table(static=100.0)),
        ("off", History(), table(static=100.0, learn=False)),
        ("configured", learned(9.0), replace(table(), limits={"run": 100.0})),
    ):
        look(history, running("f"), now=NOW - 120, rules=rules)
        texts[name] = look(history, running("f"), rules=rules)["f"].reasons["overdue"]
    late = "in run for 2 min, the limit is 1 min 40 s"
    assert texts == {
        "learned": f"{late} (learned of 1000 stays: 1 in 875 is longer)",
        "few": f"{late} (configured; not learned: 0 of 99 stays are known)",
        "off": late,
        "configured": late,
    }


def test_a_configured_limit_wins_over_all() -> None:
    """By status."""
    rules = replace(table(), limits={"run": 50.0})
    assert reasons_after(learned(9000.0), 51.0, rules) == ["overdue"]
    assert reasons_after(learned(10.0), 49.0, rules) == []


def test_the_limit_that_was_asked_for_is_told() -> None:
    """By type and status, the longest of all tables."""
    verdict = judge(History(), [FlowLook(NOW, [running("f")])], [table()], ALONE, NOW)
    assert verdict.longest == {("t", "run"): StayLimit(3600.0, "overdue_after", NOTHING)}


# --- exempt flows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sight", [running("f", waits=True), FlowSight("f", "t", "paused")])
def test_who_waits_for_people_is_never_stuck(sight: FlowSight) -> None:
    """By a flag of its row, or by its status."""
    rules = table(rules=replace(RULES, waiting=frozenset({"paused"})), static=1.0)
    history = History()
    look(history, sight, now=NOW - 9000, rules=rules)
    flow = look(history, sight, rules=rules)["f"]
    assert (flow.waits, flow.is_exempt, flow.reasons) == (True, True, {})


def test_a_status_that_nobody_mapped_is_not_judged() -> None:
    """It is told, and blames nobody; where the configuration names none, every status is known."""
    history, rules = History(), table(static=1.0, known=frozenset({"run"}))
    odd = FlowSight("f", "t", "odd")
    look(history, odd, now=NOW - 9000, rules=rules)
    flow = look(history, odd, rules=rules)["f"]
    assert (flow.is_mapped, flow.reasons) == (False, {})
    assert reasons_after(History(), 9000.0, table(static=1.0)) == ["overdue"]


# --- a status that nobody leaves ------------------------------------------------------------------


def blocked(entries: int, since: float, stays: Stays | None = None) -> dict[str, str]:
    """Reasons of a flow in a status that so many entered since so long."""
    history = History()
    look(history, running("f"), now=NOW - 30)
    history.passages["t", "run"] = Passage(NOW - since, entries)
    if stays is not None:
        history.told["t", "run"] = stays
    return look(history, running("f"), rules=table(static=1800.0))["f"].reasons


def test_a_blocked_status() -> None:
    """More than one entered, and none left for as long as the status may last."""
    assert blocked(3, 1799.0) == {}
    assert blocked(3, 1800.0) == {"no_exits": "3 entered run in 30 min, none left"}
    assert blocked(1, 9000.0) == {}


def test_a_blocked_status_by_what_is_usual() -> None:
    """Ten medians, a quarter of an hour at least, once ten stays are known."""
    assert list(blocked(3, 900.0, Stays.of({0: 10}, 0.0))) == ["no_exits"]
    assert blocked(3, 899.0, Stays.of({0: 10}, 0.0)) == {}
    assert blocked(3, 900.0, Stays.of({0: 9}, 0.0)) == {}


def test_what_is_summed_up_has_no_blocked_status() -> None:
    """Beyond fifty pairs many statuses share a label: none of them is blocked by the others."""
    history = History()
    history.pairs = {(f"t{n}", "s"): None for n in range(50)}
    look(history, running("f"), now=NOW - 9000)
    history.passages[OTHER, OTHER] = Passage(NOW - 9000, 50)
    flow = look(history, running("f"))["f"]
    assert flow.pair == (OTHER, OTHER)
    assert "no_exits" not in flow.reasons


# --- what is kept ---------------------------------------------------------------------------------


def test_a_quiet_flow_is_kept_until_its_time_has_come() -> None:
    """The same object while there is nothing to say; judged anew when it may be late."""
    history, sight = History(), running("f")
    first = look(history, sight, now=NOW)["f"]
    assert look(history, sight, now=NOW + 3000)["f"] is first
    late = look(history, sight, now=NOW + 3601)["f"]
    assert late is not first
    assert list(late.reasons) == ["overdue"]


def test_a_worker_that_dies_wakes_a_quiet_flow() -> None:
    """Its row does not change; its worker does."""
    alive, dead = (Crew("agents", {"w": Worker(age)}, 60.0) for age in (1.0, 99.0))
    history, sight = History(), running("f", worker="w")
    for crew, reasons in ((alive, []), (alive, []), (dead, ["worker_dead"])):
        rules = table(rules=replace(RULES, has_worker=True, crew=crew))
        assert list(look(history, sight, rules=rules)["f"].reasons) == reasons


def test_a_flow_that_stands_still_wakes_up() -> None:
    """By its last progress, long before it is overdue."""
    history, sight = History(), running("f", progress=5.0)
    rules = table(rules=replace(RULES, no_progress_after=600.0))
    assert look(history, sight, now=NOW, rules=rules)["f"].reasons == {}
    assert look(history, sight, now=NOW + 600, rules=rules)["f"].reasons == {}
    assert list(look(history, sight, now=NOW + 601, rules=rules)["f"].reasons) == ["no_progress"]


# --- families -------------------------------------------------------------------------------------

MASTER = FlowSight("m", "master", "run")
CHILD = FlowSight("c", "child", "run")
BOTH = [table("masters", static=100.0), table("children", static=9000.0)]


def families(
    kin: list[Kin] | None = None, done: list[FinishedChild] | None = None, **more: object
) -> Families:
    return Families(MASTERS, [Family(kin or [], done or [], True, 1)], 60.0, **more)  # type: ignore[arg-type]


def look_both(
    history: History,
    given: Families,
    now: float,
    masters: FlowLook | None,
    children: FlowLook | None,
) -> FlowVerdict:
    return judge(history, [masters, children], BOTH, given, now)


def test_a_disagreement_counts_when_it_lasts() -> None:
    """Two transactions write master and child: what is gone at the next look never counted."""
    history, over = History(), replace(MASTER, status="done")
    given = families([Kin(CHILD, over, WORKS)])
    for now, found in ((NOW, {}), (NOW + 59, {}), (NOW + 60, {"master_finished"})):
        verdict = look_both(history, given, now, FlowLook(now, []), FlowLook(now, [CHILD]))
        assert verdict.tables[1]["c"].reasons.keys() == set(found)
    assert verdict.tables[1]["c"].reasons["master_finished"] == "master m is done"


def test_a_master_beyond_the_read_rows_gets_an_entry() -> None:
    """It is stuck, read or not; in its own table."""
    history, new = History(), replace(MASTER, status="new")
    given = families([Kin(CHILD, new, WORKS)])
    for now in (NOW, NOW + 60):
        verdict = look_both(history, given, now, FlowLook(now, []), FlowLook(now, [CHILD]))
    assert list(verdict.tables[0]["m"].reasons) == ["master_initialized"]
    assert verdict.tables[1]["c"].reasons == {}


@pytest.mark.parametrize(("complete", "found"), [(True, ["child_finished"]), (False, [])])
def test_not_all_children_could_be_read(complete: bool, found: list[str]) -> None:
    """Then nobody knows whether a master's children are all over."""
    done = [FinishedChild(replace(MASTER, changed=NOW - 900), "c", "done", NOW - 900)]
    given = families(done=done, is_complete=complete)
    looks = FlowLook(NOW, [MASTER]), FlowLook(NOW, [])
    verdict = look_both(History(), given, NOW, *looks)
    assert list(verdict.tables[0]["m"].reasons) == found


def late_master(child: FlowSight) -> FlowVerdict:
    """A master that is overdue above a working child."""
    history, given = History(), families([Kin(child, MASTER, WORKS)])
    for now in (NOW - 200, NOW):
        looks = FlowLook(now, [MASTER]), FlowLook(now, [child])
        verdict = look_both(history, given, now, *looks)
    return verdict


def test_a_late_master_is_blocked_by_its_child() -> None:
    """Its reason names the child and what that does."""
    (reason,) = late_master(CHILD).tables[0]["m"].reasons.values()
    basis = "(configured; not learned: 0 of 99 stays are known)"
    assert reason == f"in run for 3 min 20 s, the limit is 1 min 40 s {basis}; child c is run"


@pytest.mark.parametrize("kin", [Kin(CHILD, None, WORKS), Kin(CHILD, MASTER, WORKS)])
def test_kin_of_which_one_was_not_read_explains_nothing(kin: Kin) -> None:
    """An orphan, and a master that is over or beyond the bound: no row to tell it of."""
    history, given = History(), families([kin])
    verdict = look_both(history, given, NOW, FlowLook(NOW, []), FlowLook(NOW, [CHILD]))
    assert verdict.tables == [{}, {"c": verdict.tables[1]["c"]}]
    verdict = look_both(history, given, NOW, FlowLook(NOW, [MASTER]), FlowLook(NOW, []))
    assert verdict.tables[0]["m"].reasons == {}


def test_a_master_whose_child_waits_for_people_is_not_late() -> None:
    """It does so itself."""
    assert late_master(replace(CHILD, waits=True)).tables[0]["m"].reasons == {}


def test_a_table_that_was_not_read_has_no_flows_and_keeps_its_history() -> None:
    """Nothing of it is judged, and nothing of it is called deleted."""
    history, given = History(), families()
    look_both(history, given, NOW, FlowLook(NOW, [MASTER]), FlowLook(NOW, [CHILD]))
    verdict = look_both(history, given, NOW + 30, FlowLook(NOW + 30, [MASTER]), None)
    assert (list(verdict.tables[0]), verdict.tables[1]) == (["m"], {})
    assert "c" in history.tables["children"].flows
    assert history.transitions == {}


# --- each stay is settled once --------------------------------------------------------------------


def settled(history: History) -> tuple[int, int]:
    """Stays in time, and those that were too long."""
    return history.settled["t", "in_time"], history.settled["t", "late"]


def in_status(name: str, status: str, since: float) -> FlowSight:
    return FlowSight(name, "t", status, entered=since, created=since, changed=since)


def test_a_stay_is_settled_once() -> None:
    """At its end, or when it is found too long, for it may never end; over a restart, too."""
    history = History()
    rules = table(rules=FlowRules("new", waiting=frozenset({"asks"}), terminal=frozenset({"done"})))

    def see(now: float, *sights: FlowSight, over: Sequence[FlowSight] = ()) -> tuple[int, int]:
        judge(history, [FlowLook(now, list(sights), list(over))], [rules], ALONE, now)
        return settled(history)

    old, young = in_status("old", "new", NOW - 4000), in_status("young", "new", NOW - 10)
    assert see(NOW, old, young) == (0, 1)
    assert see(NOW + 10, old, young) == (0, 1)
    history = History(json.loads(json.dumps(history.dump())))
    assert see(NOW + 20, old, young) == (0, 1)
    old, young = in_status("old", "active", NOW + 25), in_status("young", "active", NOW + 25)
    assert see(NOW + 30, old, young) == (1, 1)
    young = in_status("young", "asks", NOW + 35)
    assert see(NOW + 40, old, young) == (2, 1)
    young = in_status("young", "active", NOW + 45)
    assert see(NOW + 50, old, young) == (2, 1), "to wait for people is no stay"
    assert see(NOW + 5000, old, young) == (2, 3)
    over = [in_status("young", "done", NOW + 5005)]
    assert see(NOW + 5010, old, over=over) == (2, 3)
    assert see(NOW + 5020, in_status("new", "new", NOW + 5011)) == (2, 3)
    assert see(NOW + 5030) == (3, 3), "who deletes what is done has done it"
