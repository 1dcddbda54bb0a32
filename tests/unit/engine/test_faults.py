"""Faults of a check from turn to turn, and as lines of a timeline."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.component.health import Health
from sentinel.core.fault import (
    Acceptance,
    Fault,
    FaultKind,
    FaultStep,
    Severity,
    StandingFault,
    Status,
)
from sentinel.core.fault.loss import acceptance_command
from sentinel.core.model import Check, Finding
from sentinel.engine.fault_lines import MAX_LINES, bound_lines, describe_begun, describe_standing
from sentinel.engine.faults import MAX_TEXT, Faults
from sentinel.engine.picture import WatchedCheck
from sentinel.metrics import Metrics
from sentinel.probes import Context, Kind, Options
from sentinel.store import Changes
from tests.exposition import read_sample

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORD = Acceptance("slow", {"stream": "old*"}, "is replaced", NOW + timedelta(days=1))


async def run(_options: object, _context: Context) -> Finding:
    raise AssertionError


def hide(found: object) -> object:
    """A scrubber that knows one secret, at any depth."""
    if isinstance(found, dict):
        return {key: hide(value) for key, value in found.items()}
    return found.replace("hunter2", "***") if isinstance(found, str) else found


@pytest.fixture
def faults(metrics: Metrics) -> Faults:
    """With a scrubber."""
    return Faults(metrics, hide)


@pytest.fixture
def watched(metrics: Metrics) -> WatchedCheck:
    """A check that accepts slowness of old streams."""
    check = Check("a", "kind", "bus", 10.0, 5.0, None, accept=(WORD,))
    slowness = FaultKind("slow", Severity.TICKET, "slow", "a stream is slow")
    gone = FaultKind("gone", Severity.PAGE, "gone", "a stream is gone")
    kind = Kind("kind", "", Options, run, (), faults=(slowness, gone))
    metrics.add_check(check)
    return WatchedCheck(check, kind, Health(), at=NOW)


def slow(stream: str, status: Status = Status.DEGRADED, **facts: object) -> Fault:
    return Fault("slow", {"stream": stream}, status, f"stream {stream} is slow", **facts)  # type: ignore[arg-type]


def found(*some: Fault, status: Status = Status.DEGRADED) -> Finding:
    return Finding(status, "figures", faults=some)


def streams(watched: WatchedCheck) -> list[str]:
    return [each.fault.subject["stream"] for each in watched.standing]


# -- from turn to turn -----------------------------------------------------------------------------


def test_what_begins_stands_and_ends(faults: Faults, watched: WatchedCheck) -> None:
    """Each change is written once; a look at the same is none."""
    changes = Changes()
    faults.take(watched, found(slow("s"), slow("t")), changes)
    assert (streams(watched), len(changes.faults)) == (["s", "t"], 2)
    changes = Changes()
    faults.take(watched, found(slow("s"), slow("t")), changes)
    assert changes.faults == []
    watched.at = NOW + timedelta(seconds=10)
    faults.take(watched, found(slow("t")), changes)
    (over,) = changes.faults
    assert (over.fault.subject, over.began, over.ended) == ({"stream": "s"}, NOW, watched.at)
    assert [each.fault.subject for each in watched.moved.ended] == [{"stream": "s"}]


def test_a_look_that_could_not_see_ends_nothing(faults: Faults, watched: WatchedCheck) -> None:
    """What it can't judge stands beside what was bad; an older doubt does not stay."""
    faults.take(watched, found(slow("s"), slow("x", Status.UNKNOWN)), Changes())
    faults.take(watched, found(slow("y", Status.UNKNOWN), status=Status.UNKNOWN), Changes())
    assert streams(watched) == ["s", "y"]
    faults.take(watched, found(status=Status.UP), Changes())
    assert streams(watched) == []


def test_how_many_have_a_fault_is_exported(
    faults: Faults, watched: WatchedCheck, metrics: Metrics
) -> None:
    """Those that count, and those that are accepted."""
    faults.take(watched, found(slow("s"), slow("old-1"), slow("old-2")), Changes())
    labels = {"check": "a", "component": "bus", "fault": "slow"}
    assert read_sample(metrics, "sentinel_faults", **labels) == 1
    assert read_sample(metrics, "sentinel_faults_accepted", **labels) == 2


def test_when_a_fault_began_is_exported(
    faults: Faults, watched: WatchedCheck, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the next look, before any scrape, no longer finds it; not of what is accepted, or
    could not be judged.
    """
    monkeypatch.setattr("sentinel.metrics.figure.utcnow", lambda: NOW)
    labels = {"check": "a", "component": "bus"}
    faults.take(watched, found(slow("old-1"), slow("x", Status.UNKNOWN)), Changes())
    name = "sentinel_fault_last_begun_timestamp_seconds"
    assert read_sample(metrics, name, fault="slow", **labels) is None
    faults.take(watched, found(slow("s")), Changes())
    faults.take(watched, found(status=Status.UP), Changes())
    assert read_sample(metrics, name, fault="slow", **labels) == NOW.timestamp()


def test_what_is_accepted_makes_no_check_bad(faults: Faults, watched: WatchedCheck) -> None:
    """Nothing else is wrong: it is up, and says why."""
    finding = faults.take(watched, found(slow("old-1")), Changes())
    assert finding.status is Status.UP
    assert finding.detail == "nothing but what is accepted; 1 accepted; figures"
    assert watched.standing[0].accepted == WORD


def test_what_else_is_wrong_still_does(faults: Faults, watched: WatchedCheck) -> None:
    """By its own status, and in its own words."""
    bad = found(slow("old-1", Status.DOWN), slow("s"), status=Status.DOWN)
    finding = faults.take(watched, bad, Changes())
    assert finding.status is Status.DEGRADED
    assert finding.detail == "stream s is slow; 1 accepted; figures"


def test_without_acceptance_a_finding_stays_as_it_is(faults: Faults, watched: WatchedCheck) -> None:
    """Also one that is up, or unknown, beside something accepted."""
    assert faults.take(watched, found(slow("s")), Changes()).detail == "figures"
    for status in (Status.UP, Status.UNKNOWN):
        finding = faults.take(watched, found(slow("old-1"), status=status), Changes())
        assert (finding.status, finding.detail) == (status, "figures")


def test_of_two_that_are_down_the_graver_is_the_line(faults: Faults, watched: WatchedCheck) -> None:
    """A kind names them as it finds them: by status, then by who must hear of it."""
    gone = Fault("gone", {"stream": "g"}, Status.DOWN, "stream g is gone", guidance="make it")
    some = (slow("s"), slow("t", Status.DOWN), gone)
    finding = Finding(Status.DOWN, "stream s is slow; and 2 more; figures", faults=some)
    taken = faults.take(watched, finding, Changes())
    assert taken.detail == "stream g is gone; and 2 more; figures"
    assert taken.guidance == "make it"
    assert streams(watched) == ["g", "t", "s"]
    odd = replace(finding, detail="figures first")
    assert faults.take(watched, odd, Changes()).detail == "figures first"


def test_no_part_of_a_fault_shows_a_secret(faults: Faults, watched: WatchedCheck) -> None:
    """Names, text, commands, guidance and parameters come from the platform."""
    leaky = slow("hunter2", cure=("PING hunter2",), guidance="hunter2", parameters={"a": "hunter2"})
    finding = faults.take(watched, found(leaky), Changes())
    assert "hunter2" not in repr(finding) + repr(watched.standing)
    assert finding.faults[0].cure == ()  # with another name in it, it would be about another thing


def test_the_longest_names_keep_their_command(faults: Faults, watched: WatchedCheck) -> None:
    """Whatever a shell needs of quotes: it is shown whole, and accepts this loss alone."""
    name = "'" * 290
    command = acceptance_command("a", "slow", {"stream": name, "group": name})
    assert len(command) > MAX_TEXT
    finding = faults.take(watched, found(slow("orders", cure=(command, "x" * 9000))), Changes())
    assert finding.faults[0].cure == (command,)
    assert shlex.split(command)[6] == f"stream={name}"


# -- as lines --------------------------------------------------------------------------------------


def standing(stream: str, **facts: object) -> StandingFault:
    made = StandingFault("a", "bus", slow(stream), NOW, Status.DEGRADED)
    return replace(made, **facts)  # type: ignore[arg-type]


def test_begun_changed_and_over() -> None:
    """In this order; a figure that moved is no news."""
    moved, worse = standing("m"), standing("w", fault=slow("w", Status.DOWN))
    step = FaultStep(
        begun=(standing("b"),),
        changed=(moved, worse),
        ended=(standing("e"),),
        turned=frozenset({worse.fault.identity}),
    )
    told = [(event.kind, event.text) for event, _ in describe_standing(step)]
    assert told == [
        ("fault", "stream b is slow (degraded)"),
        ("fault changed", "stream w is slow (down)"),
        ("fault over", "stream e is slow (degraded)"),
    ]


def test_an_acceptance_is_told_with_its_end() -> None:
    """And its reason; the evidence names check, fault and subject."""
    ((event, evidence),) = describe_begun([standing("old-1", accepted=WORD)])
    assert event.text == "stream old-1 is slow (degraded), accepted until 2026-03-02: is replaced"
    assert evidence == {"check": "a", "fault": "slow", "stream": "old-1"}


@pytest.mark.parametrize(
    ("count", "lines", "last"),
    [
        (MAX_LINES, MAX_LINES, "stream 9 is slow (degraded)"),
        (MAX_LINES + 1, MAX_LINES + 1, "1 more: `sentinel faults` lists those that stand"),
        (MAX_LINES + 30, MAX_LINES + 1, "30 more: `sentinel faults` lists those that stand"),
    ],
)
def test_lines_of_one_turn_are_bounded(count: int, lines: int, last: str) -> None:
    """Ten, and how many there are besides."""
    told = bound_lines(describe_begun(standing(str(n)) for n in range(count)))
    assert len(told) == lines
    assert told[-1][0].text == last
