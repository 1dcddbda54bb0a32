"""The check that every component with a driver has: what the driver sees, in the words of findings."""

from __future__ import annotations

import asyncio

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Component
from sentinel.engine.fleet import Fleet
from sentinel.engine.supervision import NoOptions, make_check, make_kind, name_of_check
from sentinel.probes import Context
from sentinel.remediation import Observation


class Driver:
    """Sees what it is told, or nothing for ever."""

    def __init__(self, seen: Observation | None) -> None:
        self.seen = seen

    async def observe(self) -> Observation:
        if self.seen is None:
            await asyncio.sleep(600)
        return self.seen


async def judge(seen, *, started=0.0, stopped=(), timeout=5.0, now=100.0):
    """What the check says of a driver that sees this."""
    kind = make_kind(Fleet({"orders": Driver(seen)}, {"orders": started}, set(stopped)))
    context = Context(
        check="orders.process", component="orders", trace_id="", interval=2.0, timeout=timeout, clients={}, state=None,
        utcnow=lambda: None, monotonic=lambda: now, stalled=lambda _since: 0.0,
    )  # fmt: skip
    return await kind.run(NoOptions(), context)


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (Observation(True, "a", 7, "runs (pid 7)"), Status.UP),
        (Observation(True, "a", None, "runs", healthy=True), Status.UP),
        (Observation(False, detail="exited"), Status.DOWN),
        (Observation(None, detail="no rights"), Status.UNKNOWN),
        (Observation(True, "a", 7, "unhealthy", healthy=False), Status.DOWN),
        (Observation(False, detail="is being restarted", busy=True), Status.DEGRADED),
        (Observation(True, detail="paused", busy=True), Status.DEGRADED),
        (Observation(None, detail="no rights", busy=True), Status.UNKNOWN),
    ],
)
async def test_what_is_seen_is_the_status(seen, status):
    """Runs: up. Does not, or fails its own health check: down. Its manager is at work: degraded.
    Unseen: unknown.
    """
    finding = await judge(seen)
    named = f"orders: {seen.detail}" if finding.faults else seen.detail
    assert (finding.status, finding.detail) == (status, named)
    assert finding.key == ("pid", "7" if seen.pid else "–")


@pytest.mark.parametrize(
    ("seen", "key"),
    [
        (Observation(False, detail="exited"), "not_running"),
        (Observation(True, healthy=False, detail="unhealthy"), "unhealthy"),
        (Observation(True, busy=True, healthy=False, detail="restarts"), "busy"),
    ],
)
async def test_what_is_wrong_is_a_declared_fault_of_the_component(seen, key):
    """The component itself is the subject, and named; the runbook is told its name."""
    (fault,) = (await judge(seen)).faults
    assert (fault.key, fault.subject, fault.text) == (key, {}, f"orders: {seen.detail}")
    assert fault.parameters == {"component": "orders"}
    assert key in make_kind(Fleet()).fault_kinds


async def test_what_runs_starts_or_can_not_be_seen_has_no_fault():
    """Nobody is blamed without a sight of what is wrong."""
    for seen, started in (
        (Observation(True, detail="runs"), 0.0),
        (Observation(True, detail="runs"), 99.9),
        (Observation(None, detail="no rights", busy=True), 0.0),
    ):
        assert not (await judge(seen, started=started)).faults


async def test_guidance_is_kept():
    """What to do about it comes from the driver."""
    assert (
        await judge(Observation(None, detail="x", guidance="allow it in polkit"))
    ).guidance == "allow it in polkit"


async def test_a_driver_that_does_not_answer_is_unknown():
    """Within the check's own timeout, so that it is not taken for one of ours."""
    finding = await judge(None, timeout=0.1)
    assert (finding.status, finding.detail) == (
        Status.UNKNOWN,
        "its driver did not answer within 90 ms",
    )


async def test_the_first_second_is_no_proof():
    """A process must live for a second to count as started; one that died is down at once."""
    finding = await judge(Observation(True, "a", 7, "runs"), started=99.5)
    assert (finding.status, finding.detail) == (Status.UNKNOWN, "starting (pid 7, 0.5 s)")
    assert (await judge(Observation(False, detail="exited"), started=99.5)).status is Status.DOWN
    assert (
        await judge(Observation(True, "a", None, "runs"), started=99.5)
    ).detail == "starting (0.5 s)"


async def test_who_was_stopped_on_request_is_not_judged():
    """Neither up nor a failure, and its driver is not even asked."""
    finding = await judge(None, stopped={"orders"})
    assert finding.status is Status.UNKNOWN
    assert finding.detail.endswith(": not judged")


def test_the_check_has_no_opinion():
    """Hard at the first sight, both ways."""
    check = make_check(Component("orders", driver="systemd"))
    assert check.name == name_of_check("orders") == "orders.process"
    health = check.health
    assert (health.failures, health.of, health.recoveries, health.recovery_time) == (1, 1, 1, 0.0)
