"""Judging what a driver sees: what wins when several things are seen at once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sentinel.core.fault import Status
from sentinel.core.servers.supervision import judge_supervised


@dataclass(frozen=True)
class Seen:
    """What a driver says."""

    running: bool | None = True
    pid: int | None = 7
    detail: str = "as seen"
    guidance: str = "look"
    healthy: bool | None = None
    busy: bool = False


@pytest.mark.parametrize(
    ("seen", "status", "keys"),
    [
        (Seen(), Status.UP, []),
        (Seen(healthy=True), Status.UP, []),
        (Seen(running=None, busy=True, healthy=False), Status.UNKNOWN, []),
        (Seen(running=False), Status.DOWN, ["not_running"]),
        (Seen(running=False, healthy=False), Status.DOWN, ["not_running"]),
        (Seen(healthy=False), Status.DOWN, ["unhealthy"]),
        (Seen(running=False, busy=True), Status.DEGRADED, ["busy"]),
        (Seen(healthy=False, busy=True), Status.DEGRADED, ["busy"]),
    ],
)
def test_what_wins(seen, status, keys):
    """Unseen before busy before not running before unhealthy; the words are the driver's, and a
    fault's name the component.
    """
    finding = judge_supervised("api", seen, 60.0, 1.0)
    assert finding.status is status
    assert [fault.key for fault in finding.faults] == keys
    assert finding.detail == ("api: as seen" if keys else "as seen")
    assert finding.key == ("pid", "7")
    for fault in finding.faults:
        assert (fault.status, fault.guidance) == (status, "look")
        assert (fault.subject, fault.parameters) == ({}, {"component": "api"})


@pytest.mark.parametrize(
    ("age", "pid", "status", "detail"),
    [
        (0.9, 7, Status.UNKNOWN, "starting (pid 7, 0.9 s)"),
        (0.0, None, Status.UNKNOWN, "starting (0.0 s)"),
        (1.0, 7, Status.UP, "as seen"),
    ],
)
def test_the_first_moments_prove_nothing(age, pid, status, detail):
    """Younger than it must be to count as started is unknown; exactly as old is up."""
    finding = judge_supervised("api", Seen(pid=pid), age, 1.0)
    assert (finding.status, finding.detail) == (status, detail)
    assert not finding.faults


def test_a_death_is_told_at_any_age():
    """It need not have lived for long."""
    finding = judge_supervised("api", Seen(running=False, pid=None), 0.1, 1.0)
    assert finding.status is Status.DOWN
    assert finding.key == ("pid", "–")


def test_without_a_word_of_the_driver_it_is_said_where_to_look():
    """Whether it heals by itself is what who is on call asks first."""
    (fault,) = judge_supervised("api", Seen(running=False, guidance=""), 60.0, 1.0).faults
    assert fault.guidance == "`sentinel status` says what is done about it, or why nothing is"
