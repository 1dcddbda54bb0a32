"""Decisions about cleaning: floors, caps, plans, holds, heirs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.bus.delivery import parse_id
from sentinel.core.bus.housekeeping import (
    BusLife,
    CleanPlan,
    GroupState,
    Member,
    ServerSign,
    Spent,
    Target,
    choose_heir,
    find_floor,
    find_hold,
    following_id,
    judge_counts,
    judge_plan,
    remaining,
    step_life,
)
from sentinel.core.moment import Moment

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NOW = Moment(T0, "boot", 1000.0)
SERVER = ServerSign("run", "replid", -1, 10_000.0)
TARGETS = (Target("a", 3, "…", group="g", items=("1", "2", "3")), Target("b", 2, "…", bound="5-0"))
PLAN = CleanPlan("id", "chore", "kind", NOW, "me", {}, TARGETS)
IDS = st.tuples(st.integers(1, 50), st.integers(0, 5)).map(lambda pair: f"{pair[0]}-{pair[1]}")


def later(seconds: float, wall: float | None = None, boot: str = "boot") -> Moment:
    """A moment after NOW; `wall` when the wall clock says something else."""
    return Moment(T0 + timedelta(seconds=seconds if wall is None else wall), boot, 1000.0 + seconds)


@settings(deadline=None)
@given(st.lists(st.tuples(IDS, st.none() | IDS), max_size=5), IDS)
def test_the_floor_is_at_or_below_everything_that_is_owed(groups, keep):
    """No undelivered entry, no pending entry and no young entry lies below the floor."""
    states = [
        GroupState(f"g{i}", delivered, pending) for i, (delivered, pending) in enumerate(groups)
    ]
    floor, holder = find_floor(states, keep)
    assert parse_id(floor) <= parse_id(keep)
    for state in states:
        assert parse_id(floor) <= parse_id(following_id(state.delivered))
        assert state.oldest_pending is None or parse_id(floor) <= parse_id(state.oldest_pending)
    assert holder in {"(retention)", *(state.name for state in states)}


def test_the_following_id_is_never_rounded():
    """A sequence that a double can't hold stays itself, which keeps one entry more."""
    assert following_id("5-0") == "5-1"
    assert following_id(f"5-{10**15 - 1}") == f"5-{10**15}"
    assert following_id(f"5-{2**60}") == f"5-{2**60}"


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (later(10), 4),
        (later(3599), 4),
        (later(3601), 10),
        (later(10, wall=86_400), 4),
        (later(10, wall=-86_400), 4),
        (later(10, wall=7200, boot="next"), 10),
        (later(10, wall=-10, boot="next"), 4),
    ],
)
def test_the_cap_refills_with_uptime_only(now, left):
    """10 an hour, 6 spent: a step of the wall clock refills nothing; over a reboot the wall clock
    is all there is.
    """
    assert remaining(10, [Spent(NOW, 6)], now) == left
    assert remaining(5, [Spent(NOW, 6)], later(1)) == 0


@pytest.mark.parametrize(
    ("plan", "now", "reason"),
    [
        (PLAN, later(0), ""),
        (PLAN, later(60), ""),
        (PLAN, later(60.1), "expired"),
        (PLAN, later(61, wall=1), "expired"),
        (PLAN, later(1, wall=10_000), ""),
        (PLAN, later(1, wall=-5, boot="next"), "expired"),
        (None, later(0), "unknown"),
        (replace(PLAN, state="applied"), later(0), "applied"),
        (replace(PLAN, state="void"), later(0), "void"),
    ],
)
def test_a_plan_can_be_applied_for_a_minute_and_once(plan, now, reason):
    """Each refusal has a reason, a sentence and what to do."""
    verdict = judge_plan(plan, now)
    assert verdict.reason == reason
    assert bool(verdict.text) == bool(verdict.remedy) == bool(reason)


def test_a_changed_count_voids():
    """More or fewer than planned, at any place."""
    assert judge_counts(PLAN, [3, 2]).reason == ""
    for counts in ([2, 2], [4, 2], [3, 1], [3, 0]):
        assert judge_counts(PLAN, counts).reason == "changed"


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (SERVER, ""),
        (replace(SERVER, uptime=20_000.0), ""),
        (replace(SERVER, replid="other"), "replication history"),
        (replace(SERVER, run_id="other"), "restarted"),
        (replace(SERVER, uptime=5.0), "runs for 5 s"),
    ],
)
def test_a_failover_or_restart_holds_for_the_settling_time(seen, word):
    """Held for `settle`, then free; a young server is held without any memory."""
    life = step_life(step_life(BusLife(), SERVER, {}, NOW), seen, {}, later(10))
    assert word in find_hold(life, "s", later(11), 600.0)
    assert bool(find_hold(life, "s", later(11), 600.0)) == bool(word)
    settled = replace(life, server=replace(seen, uptime=9999.0))
    assert find_hold(settled, "s", later(700), 600.0) == ""


def test_a_promoted_replica_is_suspected_at_first_sight_only():
    """`second_repl_offset` says that a failover was, not when: held once, then believed."""
    promoted = replace(SERVER, second_offset=77)
    life = step_life(BusLife(), promoted, {}, NOW)
    assert "promoted" in find_hold(life, "s", later(1), 600.0)
    again = step_life(life, promoted, {}, later(650))
    assert find_hold(again, "s", later(651), 600.0) == ""
    assert find_hold(BusLife(), "s", NOW, 0.0) != ""


def test_a_stream_that_went_back_is_held_for_an_hour_and_its_neighbour_is_not():
    """Fewer entries ever added, or an older last id."""
    first = step_life(BusLife(), SERVER, {"a": (10, "5-0"), "b": (10, "5-0"), "c": (1, "1-0")}, NOW)
    second = step_life(
        first, SERVER, {"a": (3, "9-0"), "b": (11, "4-0"), "c": (2, "2-0")}, later(10)
    )
    for key in "ab":
        assert "counters went back" in find_hold(second, key, later(3609), 0.0)
        assert find_hold(second, key, later(3611), 0.0) == ""
    assert find_hold(second, "c", later(11), 0.0) == ""
    third = step_life(second, SERVER, {}, later(20))
    assert third.streams["a"] == (3, "9-0")
    assert "a" in third.broken


MEMBERS = [
    Member("full", 9, 1.0),
    Member("empty", 0, 1.0),
    Member("silent", 0, 99.0),
    Member("", 0, 0.0),
]


@pytest.mark.parametrize(
    ("leaving", "wanted", "heir"),
    [
        ("x", "", "empty"),
        ("empty", "", "full"),
        ("x", "full", "full"),
        ("x", "silent", ""),
        ("full", "full", ""),
    ],
)
def test_the_heir_is_healthy_and_another_one(leaving, wanted, heir):
    """The named one when it is healthy, else the one that holds least; never who leaves, the silent
    or the nameless.
    """
    assert choose_heir(MEMBERS, leaving, 60.0, wanted) == heir


def test_parts_of_a_target_add_up():
    """Portions have the items and the counts of the whole, each once."""
    target = Target("a", 5, "…", items=tuple("vwxyz"))
    assert target.first(2).items + target.rest(2).items == target.items
    assert target.first(2).count + target.rest(2).count == 5
    assert (target.first(9).count, target.rest(9).count) == (5, 0)
