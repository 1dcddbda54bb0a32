"""What is said of agents whose times are of another zone or clock."""

from __future__ import annotations

import pytest

from sentinel.core.agents.census import CensusRules
from sentinel.core.agents.skewed import (
    SKEWED_AGENTS,
    UNTOLD_CLOCK,
    describe_clocks,
    find_skewed,
    guess_offset,
)
from sentinel.core.fault import Status
from sentinel.core.moment.skew import Basis, ColumnClock

NOW, HOUR = 1_700_000_000.0, 3600.0
RULES = CensusRules(ttl=60)
NAIVE = ColumnClock("agents.seen", Basis.DISCOVERED, "UTC", source="TimeZone of the server")


def told(unsure: dict[str, float], clock: ColumnClock = NAIVE) -> list[str]:
    return [fault.text for fault in find_skewed(unsure, clock, str.upper, RULES, NOW)]


@pytest.mark.parametrize(
    ("ahead", "off"),
    [
        (-8 * HOUR - 20, -8 * HOUR),
        (-8 * HOUR - 60, -8 * HOUR),
        (9 * HOUR, 9 * HOUR),
        (9 * HOUR - 40, 9 * HOUR),
        (5.75 * HOUR - 3, 5.75 * HOUR),
        (400.4, 400.0),
        (-8 * HOUR - 300, -8 * HOUR - 300),
    ],
)
def test_the_offset_of_a_beat_made_within_its_time_to_live(ahead: float, off: float) -> None:
    """A difference of zones where one explains it, else what there is."""
    assert guess_offset(ahead, RULES) == off


def test_agents_of_one_offset_are_one_fault() -> None:
    """With their number, who they are, and the zone that the times look like."""
    faults = find_skewed(
        {"b": -8 * HOUR - 5, "a": -8 * HOUR - 9, "c": 9 * HOUR - 1}, NAIVE, str, RULES, NOW
    )
    assert [str(fault.count) for fault in faults] == ["2", "1"]
    assert faults[0].text == (
        "times of agents.seen are 8 h behind the server's clock: they look like UTC-8; whether 2"
        " agents live can't be told before they change, within 1 min: a, b"
    )
    assert "UTC+9; whether 1 agent lives can't be told" in faults[1].text
    assert {fault.status for fault in faults} == {Status.UNKNOWN}
    assert {fault.key for fault in faults} == {SKEWED_AGENTS.key}
    assert "`zone:`" in faults[0].guidance


def test_several_zones_are_named() -> None:
    """No offset can be told then: all are one fault."""
    mixed = ColumnClock("agents.seen", Basis.DISAGREED, "UTC", ("Asia/Tokyo",), "roles a, b")
    (text,) = told({"a": 5.0, "b": -70.0}, mixed)
    assert text.startswith("agents.seen is read as UTC, or Asia/Tokyo (roles a, b); whether 2")
    assert text.endswith(": A, B")


def test_nothing_is_said_of_nobody() -> None:
    """And a clock is described once, whatever it is used for."""
    assert told({}) == []
    assert describe_clocks([NAIVE, NAIVE]) == [NAIVE.describe()]
    assert describe_clocks([]) == []
    assert "heartbeats" in told({"a": 9 * HOUR}, UNTOLD_CLOCK)[0]
