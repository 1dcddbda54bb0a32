"""Limits over all components: mass failure, actions per window, share of a group."""

from __future__ import annotations

import pytest

from sentinel.core.remediation.brake import (
    ActionLimits,
    BrakePolicy,
    Crowd,
    Recent,
    brake_of,
    find_brakes,
    find_limit,
)

POLICY = BrakePolicy()
LIMITS = ActionLimits()


def crowd(agents: int, others: int, down: int) -> Crowd:
    """Agents in a group, others without one; the first `down` agents are down."""
    groups = {
        **{f"agent-{n}": "agents" for n in range(agents)},
        **{f"other-{n}": "" for n in range(others)},
    }
    return Crowd(groups, frozenset(f"agent-{n}" for n in range(down)))


@pytest.mark.parametrize(
    ("agents", "others", "down", "groups"),
    [
        (10, 100, 10, ["agents"]),
        (10, 100, 6, ["agents"]),
        (10, 100, 5, []),  # half is not more than half
        (4, 100, 2, []),  # fewer than three
        (4, 100, 3, ["agents"]),
        (10, 0, 10, ["", "agents"]),
        (10, 0, 3, [""]),  # 30 % of everything
        (10, 1, 3, []),  # 27 %
        (3, 0, 1, []),  # a third of everything, but one alone
        (0, 3, 0, []),
    ],
)
def test_when_the_brake_is_on(agents, others, down, groups):
    """More than half of a group and at least three, or 30 % of everything and at least three."""
    assert [brake.group for brake in find_brakes(POLICY, crowd(agents, others, down))] == groups


def test_what_the_brake_says_and_whom_it_holds():
    """It names how many of how many; it holds its group, and only the brake over everything holds
    the others.
    """
    brakes = find_brakes(POLICY, crowd(5, 100, 4))
    assert brakes[0].text == "4 of 5 agents down"
    assert brakes[0].members == ("agent-0", "agent-1", "agent-2", "agent-3")
    assert brake_of(brakes, "agents") is brakes[0]
    assert brake_of(brakes, "") is None
    assert brake_of(brakes, "workers") is None
    everything = find_brakes(POLICY, crowd(5, 0, 4))
    assert brake_of(everything, "workers").text == "4 of 5 components down"


def recent(*actions: tuple[str, float]) -> list[Recent]:
    """Actions of the past."""
    return [Recent(component, age) for component, age in actions]


def test_actions_per_window():
    """Three within five minutes; the fourth waits until the oldest of them is five minutes old."""
    done = recent(("a", 10.0), ("b", 20.0), ("c", 100.0), ("d", 301.0))
    assert find_limit(LIMITS, "x", Crowd(), done) == ("3 actions within 300 s", 200.0)
    assert find_limit(LIMITS, "x", Crowd(), done[:2]) is None
    assert find_limit(LIMITS, "x", Crowd(), done[2:]) is None


def test_an_action_leaves_its_window_at_its_end():
    """Exactly when the wait that was told is over."""
    done = recent(("a", 10.0), ("b", 20.0), ("c", 300.0))
    assert find_limit(LIMITS, "x", Crowd(), done) is None
    five = crowd(5, 0, 0)
    assert find_limit(LIMITS, "agent-1", five, recent(("agent-0", 600.0))) is None
    assert find_limit(LIMITS, "agent-1", five, recent(("agent-0", 599.0)))[1] == 1.0


def test_no_action_at_all_waits_for_its_window():
    """`per_window: 0` is a limit, too."""
    none = ActionLimits(per_window=0)
    assert find_limit(none, "x", Crowd(), []) == ("0 actions within 300 s", 300.0)


def test_share_of_a_group():
    """One of five agents within ten minutes; attempts on the same agent do not widen the blast
    radius.
    """
    five = crowd(5, 0, 0)
    why, wait = find_limit(LIMITS, "agent-1", five, recent(("agent-0", 400.0)))
    assert (why, wait) == ("1 of 5 agents were acted upon within 600 s", 200.0)
    assert (
        find_limit(LIMITS, "agent-0", five, recent(("agent-0", 400.0), ("agent-0", 320.0))) is None
    )
    assert find_limit(LIMITS, "agent-1", five, recent(("agent-0", 601.0))) is None
    assert find_limit(LIMITS, "other-1", crowd(5, 3, 0), recent(("agent-0", 400.0))) is None
    ten = crowd(10, 0, 0)
    assert find_limit(LIMITS, "agent-1", ten, recent(("agent-0", 400.0))) is None
    assert (
        find_limit(LIMITS, "agent-2", ten, recent(("agent-0", 400.0), ("agent-1", 350.0)))
        is not None
    )


def test_the_smallest_group_may_always_be_helped():
    """20 % of two is less than one: at least one is allowed."""
    assert find_limit(LIMITS, "agent-0", crowd(2, 0, 0), []) is None


def test_a_small_group_that_is_down_is_no_common_cause():
    """Two of two down in a big platform: more than half of the group, but fewer than the minimum."""
    assert find_brakes(POLICY, crowd(2, 100, 2)) == []


def test_who_is_in_no_group_is_in_no_group_limit():
    """Components without a group are not a group together."""
    alone = Crowd({"database": "", "bus": "", "proxy": ""})
    assert find_limit(LIMITS, "bus", alone, recent(("database", 10.0))) is None


def test_the_group_waits_for_its_youngest_action():
    """An agent that was acted upon twice counts once, with the later of the two, in whatever order
    they come.
    """
    five = crowd(5, 0, 0)
    for actions in (
        (("agent-0", 100.0), ("agent-0", 500.0)),
        (("agent-0", 500.0), ("agent-0", 100.0)),
    ):
        assert find_limit(LIMITS, "agent-1", five, recent(*actions))[1] == 500.0
