"""Signs of life: what a beat says, and what we saw of it, when clocks are wrong."""

from __future__ import annotations

import pytest

from sentinel.core.agents.census import Beats, Census, CensusRules
from sentinel.core.agents.pulse import Pulse
from sentinel.core.agents.registration import RegisteredAgent

RULES = CensusRules(ttl=60.0, ahead=2.0)
NOW = 1_700_000_000.0


def read(pulse: Pulse, at: float, **beats: float):
    """One reading at NOW + at: beats by agent, relative to NOW."""
    found = {name: NOW + beat for name, beat in beats.items()}
    return pulse.see(Census(beats=Beats(found, NOW + at)), RULES)


@pytest.mark.parametrize(("beat", "age"), [(0, 10.0), (-50, 60.0), (10, 0.0), (12, -2.0)])
def test_age_of_a_beat_by_its_own_time(beat, age):
    """As long as it is not ahead by more than clocks may differ."""
    found = read(Pulse(), 10, a=beat)
    assert found.ages == {"a": age}
    assert not found.ahead
    assert not found.behind


def test_a_beat_in_the_future_is_judged_by_when_we_saw_it():
    """A dead agent would look alive for hours."""
    pulse = Pulse()
    assert read(pulse, 0, a=3600).ages == {"a": 0.0}
    found = read(pulse, 90, a=3600)
    assert found.ages == {"a": 90.0}
    assert found.ahead == {"a"}
    assert read(pulse, 100, a=3700).ages == {"a": 0.0}


def test_a_new_beat_that_says_to_be_old_is_a_sign_of_life():
    """It was not there at the look before: its clock is behind."""
    pulse = Pulse()
    read(pulse, 0, a=-3600)
    found = read(pulse, 10, a=-3590)
    assert found.ages == {"a": 0.0}
    assert found.behind == {"a"}
    assert read(pulse, 40, a=-3590).ages == {"a": 30.0}


def test_a_clock_behind_is_told_only_while_it_matters():
    """Silent for longer than the time to live: it is dead, not late."""
    pulse = Pulse()
    read(pulse, 0, a=-3600)
    read(pulse, 10, a=-3590)
    found = read(pulse, 71, a=-3590)
    assert found.ages == {"a": 61.0}
    assert not found.behind


def test_an_old_beat_at_the_first_look_is_old():
    """Nobody saw it change."""
    found = read(Pulse(), 0, a=-3600)
    assert found.ages == {"a": 3600.0}
    assert not found.behind


def test_the_newest_of_several_sources_counts():
    """A registry that lags behind the heartbeats makes no ghost."""
    agent = RegisteredAgent("a", "active", beat=NOW - 500)
    census = Census({"a": agent}, NOW, beats=Beats({"a": NOW - 5}, NOW))
    assert Pulse().see(census, RULES).ages == {"a": 5.0}


def test_agents_without_a_beat_have_no_age():
    """They are not dead: nothing is known of them."""
    census = Census({"a": RegisteredAgent("a", "active")}, NOW)
    assert Pulse().see(census, RULES).ages == {}


def test_an_agent_that_left_is_forgotten():
    """When it comes back, its beat is the first one that we see."""
    pulse = Pulse()
    read(pulse, 0, a=3600)
    read(pulse, 10)
    assert read(pulse, 90, a=3600).ages == {"a": 0.0}
