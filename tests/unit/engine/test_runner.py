"""Every ending of a run becomes a Result; a verdict taken while sentinel stood still blames nobody."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from sentinel.adapters.own_process.run import RUN
from sentinel.core.fault import Fault, FaultKind, Severity, Status
from sentinel.core.model import Check, ErrorClass, Finding, Quality, Row
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.errors import (
    NotMeasurable,
    StateError,
    SubjectError,
    TargetRejected,
    TargetStarting,
    TargetUnreachable,
    WrongTarget,
    name_resource,
)
from sentinel.probes import Kind, Options

FINE = Finding(Status.UP, "fine", [Row({}, {"n": 1.0})])


@pytest.fixture
def runner(guard, metrics):
    """A runner on the real clock."""
    return Runner({}, guard, metrics, lambda: datetime.now(UTC), time.monotonic, lambda _name: None)


async def ended(runner, run, *, timeout=5.0, resources=None):
    """The result of one run of a probe."""
    check = Check("a", "kind", "planner", 10.0, timeout, Options(), resources or {})
    return await runner.run(check, Kind("kind", "", Options, run, ()))


def raising(error):
    """A probe that raises."""

    async def run(_options, _context):
        raise error

    return run


async def test_a_finding(runner):
    """The finding, as it is, with trace id, duration and quality."""

    async def run(_options, context):
        run.context = context
        return FINE

    result = await ended(runner, run)
    assert (result.finding, result.outcome, result.error_class) == (FINE, "ok", None)
    assert result.quality is Quality.OBSERVED
    assert re.fullmatch("[0-9a-f]{32}", result.trace_id)
    assert run.context.trace_id == result.trace_id
    assert result.duration >= 0


async def test_a_line_of_the_log_is_named_after_its_run(runner):
    """Whatever a probe writes has its check and trace id, and nothing is left of it after the run."""
    seen = []

    async def run(_options, context):
        seen.append((RUN.get(), ("a", context.trace_id)))
        return FINE

    await ended(runner, run)
    assert seen[0][0] == seen[0][1]
    assert RUN.get() is None


@pytest.mark.parametrize(
    ("error", "status", "error_class"),
    [
        (TargetUnreachable("refused", "start it"), Status.DOWN, ErrorClass.TEMPORARY),
        (TargetStarting("loading"), Status.DEGRADED, ErrorClass.TEMPORARY),
        (TargetRejected("OOM"), Status.DEGRADED, ErrorClass.TEMPORARY),
        (WrongTarget("is no redis"), Status.UNKNOWN, ErrorClass.PERMANENT),
        (SubjectError("no such table"), Status.UNKNOWN, ErrorClass.PERMANENT),
        (NotMeasurable("no permission"), Status.UNKNOWN, ErrorClass.OURS),
    ],
)
async def test_errors_of_the_target(runner, error, status, error_class):
    """The verdict that the error justifies, its message and its guidance; who is to blame is named."""
    result = await ended(runner, raising(error))
    assert (result.finding.status, result.outcome, result.error_class) == (
        status,
        "error",
        error_class,
    )
    named = f"planner: {error.message}" if error.fault else error.message
    assert (result.finding.detail, result.finding.guidance) == (named, error.guidance)


@pytest.mark.parametrize(
    ("answered", "blamed"), [("database", "database"), ("", "bus"), ("bus node-1", "bus")]
)
async def test_an_error_is_of_the_resource_that_it_came_from(runner, answered, blamed):
    """A check asks two: who fell silent is named in the sentence and told to the runbook; where the
    client did not say so, or named a node, it is the first.
    """

    async def run(_options, _context):
        with name_resource(answered):
            raise TargetUnreachable("refused")

    runner.clients = {"bus": object(), "database": object()}
    asked = {"resource": "bus", "tasks": "database"}
    (fault,) = (await ended(runner, run, resources=asked)).finding.faults
    assert (fault.text, fault.parameters) == (f"{blamed}: refused", {"resource": blamed})


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        OSError(5, "x"),
        StateError("x"),
        AssertionError(),
        RecursionError(),
        SystemExit(3),
        BaseExceptionGroup("a panic of a library", [GeneratorExit()]),
        Exception(),
    ],
)
async def test_any_other_exception_is_ours(runner, metrics, error):
    """Unknown, never down; counted; the kind is named."""
    result = await ended(runner, raising(error))
    assert (result.finding.status, result.error_class) == (Status.UNKNOWN, ErrorClass.OURS)
    assert "sentinel's own error in kind kind" in result.finding.detail
    assert metrics.swallowed.labels("runner").value == 1


async def test_an_error_of_ours_is_counted_each_time_and_written_once(runner, metrics):
    """The same one every second fills no log; another one is written."""
    with capture_logs() as lines:
        for error in (ValueError("x"), ValueError("x"), ValueError("y"), ValueError("x")):
            await ended(runner, raising(error))
    assert [line["error"] for line in lines] == [repr(ValueError(word)) for word in "xyx"]
    assert metrics.swallowed.labels("runner").value == 4


async def test_the_timeout_of_the_check_is_ours(runner):
    """A probe that does not end by itself says nothing about its target."""

    async def run(_options, _context):
        await asyncio.sleep(60)

    result = await ended(runner, run, timeout=0.05)
    assert (result.finding.status, result.outcome) == (Status.UNKNOWN, "timeout")
    assert result.error_class is ErrorClass.OURS
    assert "timeout of 0.05 s" in result.finding.detail


async def test_a_run_that_is_cancelled_from_within_is_ours(runner):
    """A stray CancelledError of a library is an ending like any other."""
    result = await ended(runner, raising(asyncio.CancelledError()))
    assert (result.finding.status, result.error_class) == (Status.UNKNOWN, ErrorClass.OURS)
    assert "cancelled" in result.finding.detail


async def test_a_run_that_is_cancelled_from_outside_ends(runner):
    """The scheduler's own cancellation is obeyed, not reported."""

    async def run(_options, _context):
        await asyncio.sleep(60)

    task = asyncio.create_task(ended(runner, run))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_missing_client_is_ours(runner):
    """A resource that is not there any more blames nobody."""
    result = await ended(runner, raising(AssertionError), resources={"resource": "bus"})
    assert (result.finding.status, result.finding.detail) == (
        Status.UNKNOWN,
        "no client for resource bus",
    )


async def test_the_state_is_dumped_after_the_run(runner, metrics):
    """What the kind wants to remember travels with the result; a dump that fails costs only the
    memory.
    """

    class State:
        def dump(self):
            return {"n": 5}

    async def run(_options, _context):
        return FINE

    runner.states["a"] = State()
    assert (await ended(runner, run)).state == {"n": 5}
    runner.states["a"] = object()
    result = await ended(runner, run)
    assert (result.state, result.finding) == (None, FINE)
    assert metrics.swallowed.labels("runner").value == 1


# -- standstill -----------------------------------------------------------------------------------


@pytest.fixture
def stalled_runner(metrics, clock):
    """A runner whose clock the test moves."""
    guard = PauseGuard(clock.monotonic, clock.utcnow, metrics)
    return Runner({}, guard, metrics, clock.utcnow, clock.monotonic, lambda _name: None)


def moving(clock, guard, seconds, finding, *, beat):
    """A probe during which the loop stands still for some seconds."""

    async def run(_options, _context):
        clock.now += seconds
        if beat:
            guard.beat()
        if isinstance(finding, Exception):
            raise finding
        return finding

    return run


@pytest.mark.parametrize("beat", [True, False])
@pytest.mark.parametrize(
    "finding",
    [
        TargetUnreachable("refused"),
        TargetStarting("loading"),
        Finding(Status.DOWN, "refused"),
        Finding(Status.DEGRADED, "x"),
    ],
)
async def test_a_failure_during_a_standstill_is_unknown_and_blind(
    stalled_runner, clock, finding, beat
):
    """Whether the heartbeat has noticed it already or not; the detail tells what it would have
    been.
    """
    result = await ended(
        stalled_runner, moving(clock, stalled_runner.guard, 2.0, finding, beat=beat)
    )
    assert (result.finding.status, result.quality) == (Status.UNKNOWN, Quality.BLIND)
    assert "sentinel itself stood still" in result.finding.detail
    assert "would have said" in result.finding.detail


async def test_a_success_during_a_standstill_is_a_success(stalled_runner, clock):
    """The target did answer."""
    result = await ended(stalled_runner, moving(clock, stalled_runner.guard, 2.0, FINE, beat=True))
    assert (result.finding.status, result.quality) == (Status.UP, Quality.OBSERVED)


async def test_a_failure_without_a_standstill_is_a_failure(stalled_runner, clock):
    """A gap before the run excuses nothing, nor does a heartbeat that is a little late."""
    clock.now += 60.0
    stalled_runner.guard.beat()
    down = TargetUnreachable("refused")
    result = await ended(stalled_runner, moving(clock, stalled_runner.guard, 0.3, down, beat=True))
    assert (result.finding.status, result.quality) == (Status.DOWN, Quality.OBSERVED)


LOST = FaultKind("lost", Severity.PAGE, "book", "it is lost", ("stream",))


def say(status, *faults):
    """A probe that finds this."""

    async def run(_options, _context):
        return Finding(status, "as found", faults=faults)

    return run


def fault(key="lost", status=Status.DOWN, **parameters):
    """A fault of a stream."""
    return Fault(key, {"stream": "a"}, status, "stream a: 3 lost", parameters=parameters)


async def judged(runner, run):
    """The finding of one run of a kind that declares `lost`."""
    check = Check("a", "kind", "component", 10.0, 5.0, Options())
    return (await runner.run(check, Kind("kind", "", Options, run, (), (LOST,)))).finding


@pytest.mark.parametrize(
    "run",
    [
        say(Status.DOWN, fault(stream="a")),
        say(Status.DEGRADED, fault(status=Status.DEGRADED), fault(status=Status.UNKNOWN)),
        say(Status.UNKNOWN, fault(status=Status.UNKNOWN)),
        say(Status.UP),
        say(Status.UNKNOWN),
    ],
)
async def test_a_verdict_that_names_its_faults(runner, run):
    """It is taken as it is."""
    assert await judged(runner, run) == await run(None, None)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (say(Status.DOWN), "it is down without a fault"),
        (say(Status.DOWN, fault(status=Status.DEGRADED)), "its faults say degraded"),
        (say(Status.DEGRADED, fault()), "its faults say down"),
        (say(Status.UP, fault()), "its faults say down"),
        (say(Status.UNKNOWN, fault()), "its faults say down"),
        (say(Status.DOWN, fault("stolen")), "nobody declared the fault 'stolen'"),
        (say(Status.DOWN, fault(group="g")), "tells group, which nobody declared"),
    ],
)
async def test_a_verdict_that_rests_on_nothing_is_our_own_error(runner, run, says):
    """The target is not called down by a kind that can't say what is wrong with whom."""
    finding = await judged(runner, run)
    assert finding.status is Status.UNKNOWN
    assert says in finding.detail
    assert "own error in kind kind" in finding.detail
    assert finding.faults == ()
