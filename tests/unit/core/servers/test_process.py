"""Judging processes: each state, each limit, and which process it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.core.moment import Moment
from sentinel.core.servers.process import (
    Descriptors,
    PidFileLook,
    PidFileVerdict,
    ProcessFigures,
    ProcessLimits,
    ProcessLook,
    find_absent,
    judge_pid_file,
    judge_processes,
)

ONE = ProcessFigures(12, "python3", "S", 1.0, 3, 700, 1.7e9, 1_000_000)
TWO = replace(ONE, pid=13)
LOOK = ProcessLook("planner", [ONE, TWO], {12: Descriptors(90, 100)}, 1.5)
AT = ProcessLimits(least=2, most=2, resident=2_000_000, cpu=1.5, descriptors=0.9)
NAMED = {"process": "python3", "pid": "12"}


def judge(limits: ProcessLimits = AT, **changes):
    """Faults of the good look with something else in it."""
    return judge_processes(replace(LOOK, **changes), limits)


def test_figures_at_their_limits_are_no_faults():
    """Limits themselves are good, and so is what is not known or not limited."""
    assert judge() == []
    assert judge(ProcessLimits(cpu=1.0), cpu=None) == []
    assert judge(ProcessLimits(), cpu=99.0, descriptors={12: Descriptors(9999, None)}) == []


@pytest.mark.parametrize("state", ["R", "S", "D", "I"])
def test_living_states_are_no_faults(state):
    """What waits, lives."""
    assert judge(processes=[replace(ONE, state=state), TWO]) == []


@pytest.mark.parametrize(
    ("state", "key", "status", "words"),
    [
        ("Z", "zombie", Status.DOWN, "is a zombie"),
        ("X", "dead", Status.DOWN, "is dead"),
        ("T", "stopped", Status.DEGRADED, "is stopped (SIGSTOP)"),
        ("t", "traced", Status.DEGRADED, "by a debugger"),
    ],
)
def test_each_bad_state_names_the_process(state, key, status, words):
    """Its name and pid are subject, sentence and parameters."""
    (fault,) = judge(processes=[replace(ONE, state=state), TWO])
    assert (fault.key, fault.subject, fault.status) == (key, NAMED, status)
    assert fault.text.startswith("planner: process python3 pid 12 ")
    assert words in fault.text
    assert fault.parameters == {"component": "planner", **NAMED}
    assert fault.cure == (("kill -CONT 12",) if state == "T" else ())


@pytest.mark.parametrize(
    ("changes", "key", "status", "words"),
    [
        ({"processes": [ONE]}, "too_few", Status.DOWN, "1 processes, at least 2"),
        ({"cpu": 1.51}, "cpu", Status.DEGRADED, "uses 1.51 cores, more than 1.5"),
    ],
)
def test_each_limit_broken_together_is_a_fault_of_the_component(changes, key, status, words):
    """Without a process to name, the component begins the sentence."""
    (fault,) = judge(**changes)
    assert (fault.key, fault.subject, fault.status) == (key, {}, status)
    assert fault.text.startswith("planner: ")
    assert words in fault.text
    assert fault.parameters == {"component": "planner"}


def test_memory_is_that_of_all_together():
    """Two of 1 MB are over 1.9 MB."""
    (fault,) = judge(ProcessLimits(resident=1_900_000))
    assert fault.key == "memory"
    assert "1.9 MiB of memory, more than 1.8 MiB" in fault.text


def test_too_many_is_degraded():
    """One more than there may be."""
    (fault,) = judge(ProcessLimits(most=1))
    assert (fault.key, fault.status) == ("too_many", Status.DEGRADED)


def test_open_files_are_judged_each():
    """The process that is near its own limit is named, not its neighbour."""
    files = {12: Descriptors(90, 100), 13: Descriptors(19, 20)}
    (fault,) = judge(descriptors=files)
    assert (fault.key, fault.subject["pid"]) == ("files", "13")
    assert "has 19 of its 20 files open, more than 90 %" in fault.text


def test_every_process_is_named():
    """Three zombies are three faults."""
    zombies = [replace(ONE, pid=pid, state="Z") for pid in (1, 2, 3)]
    faults = judge(ProcessLimits(), processes=zombies)
    assert [fault.subject["pid"] for fault in faults] == ["1", "2", "3"]


def test_figures_of_all():
    """Memory is summed, the share of files is the highest; of none it is 0."""
    assert LOOK.resident == 2_000_000
    assert LOOK.descriptor_share == 0.9
    assert replace(LOOK, descriptors={}).descriptor_share == 0.0
    assert Descriptors(5, None).share == Descriptors(5, 0).share == 0.0


def test_nobody_there():
    """Down, with the reason and the next step."""
    fault = find_absent("planner", "no command line has 'x'", "start it")
    assert (fault.key, fault.status) == ("not_running", Status.DOWN)
    assert fault.text == "planner: not running: no command line has 'x'"
    assert fault.guidance == "start it"


def test_hostile_name_is_printable():
    """A process may name itself anything."""
    assert replace(ONE, name="a\x1b[2J\n").subject["process"] == r"a\x1b[2J\n"


# -- whose number stands in a pid file -------------------------------------------------------------

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
SAME, REPLACED, UNSURE = PidFileVerdict.SAME, PidFileVerdict.REPLACED, PidFileVerdict.UNSURE


def at(uptime: float, boot: str = "b1", *, step: float = 0.0) -> Moment:
    """T0 is the uptime 0 of the first boot; the date was set by `step`."""
    return Moment(T0 + timedelta(seconds=uptime + step), boot, uptime)


def file_look(uptime: float, ticks: int | None = 7, sign: str = "f", **given) -> PidFileLook:
    verdict = given.pop("verdict", SAME)
    return PidFileLook(at(uptime, **given), sign, ticks, verdict)


@pytest.mark.parametrize("step", [3600.0, -3600.0, 86400.0])
def test_a_process_that_is_known_stays_the_same(step):
    """Whatever the date says by now: boot, number and start are those of the look before."""
    now = file_look(200, step=step)
    assert judge_pid_file(file_look(100), now, at(50, step=step), T0) is SAME


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (None, file_look(100), SAME),
        (file_look(100), file_look(200, ticks=9), REPLACED),  # somebody else has the number
        (file_look(100, ticks=None), file_look(200), REPLACED),  # nobody had it
        (file_look(100), file_look(5, boot="b2"), REPLACED),  # the file is of another boot
        (file_look(100, verdict=REPLACED), file_look(200), REPLACED),
        (file_look(100, verdict=UNSURE), file_look(200), SAME),  # the date was set back again
        (file_look(100, verdict=UNSURE), file_look(200, ticks=9), REPLACED),
        (file_look(100, ticks=9, sign="old"), file_look(200), SAME),  # restarted, file written
        (file_look(100, ticks=None, sign=""), file_look(200), SAME),
        (file_look(100, sign="old"), file_look(5, boot="b2"), SAME),
    ],
)
def test_whose_number_it_is(before, now, verdict):
    """The process began 50 s after the boot, and the file was written then."""
    assert judge_pid_file(before, now, at(50), T0 + timedelta(seconds=50)) is verdict


@pytest.mark.parametrize(
    ("before", "now", "uptime", "verdict"),
    [
        (None, file_look(100), 50, UNSURE),
        (file_look(100, verdict=UNSURE), file_look(200), 50, UNSURE),
        (
            file_look(40, sign="old"),
            file_look(60),
            39,
            SAME,
        ),  # older than the look, so than the file
        (file_look(40, sign="old"), file_look(60), 50, REPLACED),  # nobody set the date in between
        (file_look(40, sign="old"), file_look(60, step=3600), 50, UNSURE),
        (file_look(40, sign="old"), file_look(60, boot="b2"), 50, UNSURE),
    ],
)
def test_when_only_the_wall_clock_speaks_against_it(before, now, uptime, verdict):
    """By the wall the process is younger than its file by more than two seconds."""
    started = at(uptime, now.at.boot, step=3600)
    assert judge_pid_file(before, now, started, T0 + timedelta(seconds=uptime)) is verdict


def test_two_seconds_are_the_grain_of_the_clocks():
    """A daemon writes its file when it has begun."""
    for seconds, verdict in ((2.0, SAME), (2.1, UNSURE)):
        written = T0 + timedelta(seconds=50 - seconds)
        assert judge_pid_file(None, file_look(100), at(50), written) is verdict
