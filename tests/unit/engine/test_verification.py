"""What became of an attempt: each limit at its edge, without a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Incident, IncidentState, RestartPolicy
from sentinel.core.moment import Moment
from sentinel.engine.verification import PASSES, Verification

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
POLICY = RestartPolicy(startup_grace=30.0, success_after=10.0)
ATTEMPT = Attempt("i1", 1, "worker", "restart", "down", T0, boot="b", uptime=100.0)
INCIDENT = Incident("i1", "worker", T0 - timedelta(seconds=4), IncidentState.OPEN, Status.DOWN, "x")


class Ledger:
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.known: list[Attempt] = []
        self.written: list[tuple[Attempt, Event]] = []

    def replace(self, attempt: Attempt) -> None:
        self.known.append(attempt)

    async def finish(self, attempt: Attempt, event: Event) -> None:
        self.written.append((attempt, event))


async def judge(
    seconds: float,
    up_for: float | None = None,
    *,
    passes: int = 0,
    ended: str = "",
    pid: int | None = 7,
    attempts: Sequence[Attempt] = (ATTEMPT,),
    before: dict[str, Status] | None = None,
) -> tuple[Attempt, Event] | None:
    """What is written so many seconds after the attempt; up for so long, or down."""
    now = Moment(T0 + timedelta(seconds=seconds), "b", 100.0 + seconds)
    since = None if up_for is None else now.at - timedelta(seconds=up_for)
    incident = replace(INCIDENT, recovered=since, before=before or {})
    picture: Any = SimpleNamespace(
        compare=lambda _name, _incident: Status.DOWN if up_for is None else Status.UP,
        passes=lambda _incident: passes,
    )
    driver: Any = SimpleNamespace(pid=pid, how_ended=ended)
    ledger: Any = Ledger()
    work = Verification(picture, ledger, now, POLICY).judge(attempts, incident, driver)
    if work is None:
        assert ledger.known == []
        return None
    await work
    (written,) = ledger.written
    assert ledger.known == [written[0]], "nothing is judged twice"
    return written


async def test_nothing_is_certain_yet() -> None:
    """It runs, is not healthy, and has time."""
    assert await judge(29.9) is None


async def test_not_healthy_within_its_grace() -> None:
    """At the limit it has failed."""
    written = await judge(30.0)
    assert written is not None
    assert written[0].verdict == "failed"
    assert written[1] == Event("attempt failed", "attempt 1: not healthy within 30 s")


async def test_ended_again() -> None:
    """At once, in the words of the driver."""
    written = await judge(1.0, ended="exit 3", pid=None)
    assert written is not None
    assert written[0].verdict == "failed"
    assert written[1].text == "attempt 1: exit 3 after the restart"


@pytest.mark.parametrize(("pid", "ended"), [(7, "exit 3"), (None, "")])
async def test_an_end_of_before_is_none(pid: int | None, ended: str) -> None:
    """It runs again, or whoever owns it tells of no process: it has its time."""
    assert await judge(1.0, ended=ended, pid=pid) is None


async def test_health_from_before_the_attempt_proves_nothing() -> None:
    """It was up for longer than the attempt is old."""
    assert await judge(12.0, up_for=12.0, passes=9) is None
    written = await judge(12.0, up_for=11.9, passes=9)
    assert written is not None
    assert written[0].verdict == "recovered"


@pytest.mark.parametrize(
    ("up_for", "passes", "recovered"),
    [(10.0, PASSES, True), (9.9, PASSES, False), (10.0, PASSES - 1, False)],
)
async def test_healthy_for_long_enough(up_for: float, passes: int, recovered: bool) -> None:
    """By time and by checks; until then nothing more is written."""
    noted = replace(ATTEMPT, recovered_in=2.0)
    written = await judge(20.0, up_for, passes=passes, attempts=[noted])
    if recovered:
        assert written is not None
        assert (written[0].verdict, written[0].recovered_in) == ("recovered", 2.0)
        assert written[1] == Event("attempt recovered", "attempt 1: healthy for 10 s")
    else:
        assert written is None


@pytest.mark.parametrize(
    ("seconds", "up_for", "text"),
    [
        (20.0, 10.0, "attempt 1: as before the failure for 10 s"),
        (6.0, 1.0, "worker is as before the failure 9.00 s after the failure was noticed"),
        (30.0, None, "attempt 1: not as before the failure within 30 s"),
    ],
)
async def test_what_was_degraded_before_need_not_be_up(
    seconds: float, up_for: float | None, text: str
) -> None:
    """And nobody says that it is healthy."""
    before = {"worker-load": Status.DEGRADED}
    attempt = replace(ATTEMPT, recovered_in=None if up_for == 1.0 else 2.0)
    written = await judge(seconds, up_for, passes=PASSES, before=before, attempts=[attempt])
    assert written is not None
    assert written[1].text == text


async def test_the_time_to_recover_is_noted_once() -> None:
    """From the failure's first notice: four seconds before the attempt."""
    written = await judge(6.0, up_for=1.0)
    assert written is not None
    assert (written[0].recovered_in, written[0].verdict) == (9.0, "")
    assert written[1].text == "worker is healthy 9.00 s after the failure was noticed"


@pytest.mark.parametrize(
    ("ended", "seconds"), [(timedelta(seconds=-1), 6.0), (timedelta(seconds=-9), 9.0), (None, 9.0)]
)
async def test_after_an_attempt_that_failed_its_end_counts(
    ended: timedelta | None, seconds: float
) -> None:
    """The later one of both; where the end is not known, the incident's start."""
    before = replace(ATTEMPT, ended=None if ended is None else T0 + ended)
    written = await judge(6.0, up_for=1.0, attempts=[before, replace(ATTEMPT, n=2)])
    assert written is not None
    assert written[0].recovered_in == seconds
