"""When automation switches itself off: each cause by itself, and what switches a cause off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.remediation.breaker import BreakerPolicy, Record, find_cause

POLICY = BreakerPolicy()
GOOD, BAD = "recovered", "failed"
OPENS = {
    "two given up": (Record(exhausted=[1.0, 899.0]), "2 components exhausted within 15 min"),
    "attempts that do not help": (
        Record(verdicts=[BAD, GOOD, BAD, GOOD, BAD, BAD]),
        "only 2 of the last 6 attempts",
    ),
    "sentinel crashes": (
        Record(starts=[1.0, 300.0, 599.0]),
        "sentinel itself crashed 3 times within 10 min",
    ),
    "sentinel stood still": (Record(longest_stall=5.1), "stood still for 5.1 s"),
}
STAYS = {
    "nothing": Record(),
    "one given up": Record(exhausted=[1.0]),
    "two given up, one long ago": Record(exhausted=[1.0, 901.0]),
    "half helped": Record(verdicts=[BAD, GOOD, BAD, GOOD, BAD, GOOD]),
    "only five": Record(verdicts=[BAD] * 5),
    "bad once, good lately": Record(verdicts=[BAD] * 6 + [GOOD] * 3 + [BAD, GOOD, BAD]),
    "two crashes": Record(starts=[1.0, 2.0]),
    "three crashes, one long ago": Record(starts=[1.0, 2.0, 601.0]),
    "two given up, one just out of its window": Record(exhausted=[1.0, 900.0]),
    "three crashes, one just out of its window": Record(starts=[1.0, 2.0, 600.0]),
    "a short stall": Record(longest_stall=5.0),
}
OFF = {"exhausted": 0, "last_attempts": 0, "starts": 0, "stall": 0.0}


@pytest.mark.parametrize(("record", "text"), OPENS.values(), ids=OPENS)
def test_each_cause_opens_it(record, text):
    """One cause alone is enough, and is named."""
    assert text in find_cause(POLICY, record)


@pytest.mark.parametrize("record", STAYS.values(), ids=STAYS)
def test_less_does_not(record):
    """One short of each cause leaves it closed."""
    assert find_cause(POLICY, record) == ""


@pytest.mark.parametrize("key", OFF)
def test_a_cause_can_be_switched_off(key):
    """0 switches off this cause and no other."""
    policy = replace(POLICY, **{key: OFF[key]})
    open_still = [find_cause(policy, record) != "" for record, _ in OPENS.values()]
    assert open_still.count(False) == 1
    assert open_still[list(OFF).index(key)] is False
