"""Signs of life over several looks, whose clocks may be wrong."""

from __future__ import annotations

import pytest

from sentinel.core.agents.census import (
    Beats,
    Census,
    CensusRules,
    Vitals,
    active_agents,
    find_unreadable,
    has_fresh_beat,
    has_heartbeats,
    is_new,
    live_agents,
)
from sentinel.core.agents.pulse import Pulse
from sentinel.core.agents.registration import RegisteredAgent
from sentinel.core.moment.skew import Basis

NOW = 1_700_000_000.0
RULES = CensusRules(ttl=60, quiet=30, ahead=2)


def active(name: str, **facts: object) -> RegisteredAgent:
    return RegisteredAgent(name, "active", **facts)  # type: ignore[arg-type]


def beats(now: float, **at: float) -> Census:
    return Census(now=now, beats=Beats(at, now))


def looks(*censuses: Census) -> Vitals:
    pulse = Pulse()
    for census in censuses:
        vitals = pulse.see(census, RULES)
    return vitals


def test_the_newest_sign_of_any_source_counts() -> None:
    """By that source's own clock."""
    census = Census(
        agents={"a": active("a", beat=NOW - 9)}, now=NOW, beats=Beats({"a": NOW + 497}, NOW + 500)
    )
    assert looks(census).ages == {"a": 3.0}


@pytest.mark.parametrize(("ahead", "wrong"), [(2.0, False), (2.1, True)])
def test_a_clock_ahead_at_its_limit(ahead: float, wrong: bool) -> None:
    """Two seconds are tolerated; then the age is that of the change."""
    vitals = looks(beats(NOW, a=NOW + ahead))
    assert (vitals.ahead == {"a"}) is wrong
    assert vitals.ages["a"] == (0.0 if wrong else -ahead)


def test_a_beat_that_moves_by_less_than_half_a_second_is_the_same() -> None:
    """What is left of a time to live is not exact: it proves no life."""
    still = looks(beats(NOW, a=NOW + 100), beats(NOW + 50, a=NOW + 100.4))
    assert still.ages["a"] == 50.0
    moved = looks(beats(NOW, a=NOW + 100), beats(NOW + 50, a=NOW + 100.5))
    assert moved.ages["a"] == 0.0


def test_a_beat_that_came_old_is_a_clock_behind() -> None:
    """It was not there 5 s ago, and says to be an hour old: alive for a ttl from when we saw it."""
    steps = [beats(NOW, a=NOW - 3600), beats(NOW + 5, a=NOW - 3590)]
    assert (looks(*steps).ages["a"], looks(*steps).behind) == (0.0, {"a"})
    fading = [*steps, beats(NOW + 65, a=NOW - 3590)]
    assert (looks(*fading).ages["a"], looks(*fading).behind) == (60.0, {"a"})
    dead = [*steps, beats(NOW + 66, a=NOW - 3590)]
    assert (looks(*dead).ages["a"], looks(*dead).behind) == (61.0, set())


def test_a_beat_may_be_as_old_as_the_gap_and_the_tolerance() -> None:
    """An hour and two seconds old after a gap of an hour: right; a little older is a clock behind."""
    for age, behind in ((3602.0, set()), (3602.5, {"a"})):
        vitals = looks(beats(NOW, a=NOW - 9000), beats(NOW + 3600, a=NOW + 3600 - age))
        assert vitals.behind == behind


def test_a_gap_between_two_looks_explains_an_old_beat() -> None:
    """We were away for an hour: a beat of that hour has a right clock."""
    vitals = looks(beats(NOW, a=NOW), beats(NOW + 3600, a=NOW + 1800))
    assert (vitals.ages["a"], vitals.behind) == (1800.0, set())


def test_who_is_gone_is_forgotten() -> None:
    """A beat that returns after a look without it is judged as if it were the first."""
    pulse = Pulse()
    pulse.see(beats(NOW, a=NOW + 900), RULES)
    assert pulse.see(beats(NOW + 30), RULES).ages == {}
    assert pulse.see(beats(NOW + 60, a=NOW + 900), RULES).ages == {"a": 0.0}


# --- other zones ----------------------------------------------------------------------------------

HOUR = 3600.0


def unsure(*censuses: Census) -> set[str]:
    """Who is neither alive nor dead after these looks."""
    return set(looks(*censuses).unsure)


def test_a_beat_ahead_is_neither_life_nor_death_until_it_changes() -> None:
    """A ttl after the first sight it is death, with its change it is life."""
    first = beats(NOW, a=NOW + 9 * HOUR)
    assert looks(first).unsure == {"a": 9 * HOUR}
    assert not has_fresh_beat("a", RULES, looks(first))
    assert unsure(first, beats(NOW + 60, a=NOW + 9 * HOUR)) == {"a"}
    dead = looks(first, beats(NOW + 61, a=NOW + 9 * HOUR))
    assert (dict(dead.unsure), dead.ages, dead.by_change) == ({}, {"a": 61.0}, {"a"})
    alive = looks(first, beats(NOW + 30, a=NOW + 9 * HOUR + 30))
    assert has_fresh_beat("a", RULES, alive)


@pytest.mark.parametrize(
    ("age", "is_open"),
    [
        (8 * HOUR + 20, True),
        (5.75 * HOUR + 60, True),
        (0.5 * HOUR, True),
        (26 * HOUR, True),
        (8 * HOUR + 61, False),
        (8 * HOUR - 1, False),
        (0.25 * HOUR + 20, False),
        (27 * HOUR, False),
        (120, False),
    ],
)
def test_a_beat_that_is_old_by_quarters_of_an_hour_may_be_of_another_zone(
    age: float, is_open: bool
) -> None:
    """By those that two zones can be apart, and by less than a ttl more: at first sight nobody
    knows; a ttl later it is as old as it says.
    """
    first = beats(NOW, a=NOW - age)
    assert (unsure(first) == {"a"}) is is_open
    assert looks(first).ages["a"] == age
    later = looks(first, beats(NOW + 61, a=NOW - age))
    assert (dict(later.unsure), later.ages["a"]) == ({}, age + 61)
    moved = looks(first, beats(NOW + 10, a=NOW - age + 10))
    assert has_fresh_beat("a", RULES, moved)


def unzoned(now: float, beat: float) -> Census:
    """A look at a column whose writers have several zones."""
    agents = {"a": active("a", beat=beat)}
    return Census(agents, now, beat_basis=Basis.DISAGREED)


@pytest.mark.parametrize("off", [-8 * HOUR, 0.0, 9 * HOUR])
def test_of_several_zones_only_the_change_tells(off: float) -> None:
    """Whatever the time says, also when it looks fresh."""
    first = unzoned(NOW, NOW + off)
    assert looks(first).unsure == {"a": off}
    assert not live_agents(first, RULES, looks(first))
    moved = unzoned(NOW + 5, NOW + 5 + off)
    assert live_agents(moved, RULES, looks(first, moved)) == {"a"}
    stopped = unzoned(NOW + 66, NOW + 5 + off)
    assert looks(first, moved, stopped).ages == {"a": 61.0}
    assert live_agents(stopped, RULES, looks(first, moved, stopped)) == set()
    dead = unzoned(NOW + 61, NOW + off)
    vitals = looks(first, dead)
    assert (live_agents(dead, RULES, vitals), dict(vitals.unsure)) == (set(), {})


def test_a_zone_that_is_declared_meanwhile_is_no_sign_of_life() -> None:
    """Every beat differs then, and none has come."""
    census = Census({"a": active("a", beat=NOW - 8 * HOUR - 300)}, NOW, zone="UTC")
    later = Census({"a": active("a", beat=NOW - 300)}, NOW + 5, zone="America/Los_Angeles")
    assert live_agents(later, RULES, looks(census, later)) == set()


def test_another_source_may_tell() -> None:
    """A heartbeat outside of the registry that is fresh by its own clock is life."""
    agents = {"a": active("a", beat=NOW + 9 * HOUR)}
    assert unsure(Census(agents, NOW, beats=Beats({"a": NOW - 5}, NOW))) == set()
    assert unsure(Census(agents, NOW, beats=Beats({"a": NOW - 500}, NOW))) == {"a"}


def registered(now: float, at: float, basis: Basis, *more: str) -> Census:
    """A look at agents that have not beaten yet."""
    agents = {name: active(name, registered=at) for name in ("a", *more)}
    return Census(agents, now, beats=Beats({}, now), registered_basis=basis)


def test_a_registration_of_another_zone_may_be_new() -> None:
    """Ahead of the clock, or of several zones: for a ttl nobody knows whether it had to beat."""
    for basis, at in ((Basis.TYPED, NOW + 9 * HOUR), (Basis.DISAGREED, NOW - 8 * HOUR)):
        first = registered(NOW, at, basis)
        assert unsure(first) == {"a"}
        assert unsure(first, registered(NOW + 61, at, basis)) == set()


def test_a_registration_that_came_old_may_be_new() -> None:
    """Where only the catalog tells the zone; what was there at the first look is believed."""
    at = NOW - 8 * HOUR
    for basis, found in ((Basis.DISCOVERED, {"b"}), (Basis.ASSUMED, {"b"}), (Basis.TYPED, set())):
        first = registered(NOW, at, basis)
        assert unsure(first) == set()
        assert unsure(first, registered(NOW + 5, at, basis, "b")) == found


# --- who is alive ---------------------------------------------------------------------------------


def test_without_heartbeats_the_registry_is_believed() -> None:
    """Nobody is called dead for a sign that nobody gives."""
    census = Census(agents={"a": active("a"), "z": RegisteredAgent("z", "sleeping")}, now=NOW)
    assert not has_heartbeats(census)
    assert live_agents(census, RULES, Vitals({})) == {"a"}
    assert list(active_agents(census)) == ["a"]


@pytest.mark.parametrize(
    ("age", "registered", "alive"),
    [
        (60.0, None, True),
        (60.1, None, False),
        (None, None, False),
        (None, NOW - 60, True),
        (None, NOW - 61, False),
        (None, NOW + 1, False),
    ],
)
def test_alive_by_a_beat_or_a_fresh_registration(
    age: float | None, registered: float | None, alive: bool
) -> None:
    """Each at its limit; a registration in the future is none."""
    census = Census(agents={"a": active("a", registered=registered)}, now=NOW, beats=Beats({}, NOW))
    vitals = Vitals({} if age is None else {"a": age})
    assert (live_agents(census, RULES, vitals) == {"a"}) is alive
    assert has_fresh_beat("a", RULES, vitals) is (age == 60.0)
    assert is_new(active("a", registered=registered), census, RULES) is (registered == NOW - 60)


def test_unreadable_heartbeats_of_both_sources() -> None:
    """Of rows and of the key; what is told of the key wins."""
    rows = {"a": active("a", problem="seen is no time"), "b": active("b", problem="x")}
    census = Census(agents=rows, beats=Beats(unreadable={"b": "7", "c": "8"}))
    assert find_unreadable(census) == {"a": "seen is no time", "b": "7", "c": "8"}
    assert find_unreadable(Census()) == {}
