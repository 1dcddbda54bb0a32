"""The check that every component with a driver has without asking: does it run, as its driver sees
it?
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sentinel.core.fault import FaultKind, Severity, Status
from sentinel.core.model import Check, Component, Finding, HealthPolicy
from sentinel.core.quantity import format_duration
from sentinel.core.servers.supervision import judge_supervised
from sentinel.engine.fleet import Fleet
from sentinel.probes import Context, Kind, Options
from sentinel.remediation import LOOK_EVERY, Driver, Observation

STARTED_AFTER = 1.0
"""Seconds a process must live to count as started (supervisord's `startsecs`)."""
PATIENCE = 0.9
"""Share of the check's timeout after which a driver that does not answer is given up."""
FAULTS = tuple(
    FaultKind(key, severity, "process-down", meaning, ("component",))
    for key, severity, meaning in (
        ("not_running", Severity.PAGE, "it does not run"),
        ("unhealthy", Severity.PAGE, "it runs, and its manager's own health check fails"),
        ("busy", Severity.INFO, "its manager is at work on it"),
    )
)


class NoOptions(Options):
    """Supervision has no options."""


def name_of_check(component: str) -> str:
    """The implicit check of a component with a driver."""
    return f"{component}.process"


def make_check(component: Component) -> Check:
    """A death is no matter of opinion: hard at the first sight, healthy at the first sight."""
    policy = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
    return Check(
        name_of_check(component.name),
        "supervision",
        component.name,
        LOOK_EVERY,
        5.0,
        NoOptions(),
        health=policy,
    )


def make_kind(fleet: Fleet) -> Kind:
    """The kind over the live drivers; who was stopped on request is neither up nor a failure."""

    async def run(_options: NoOptions, context: Context) -> Finding:
        if context.component in fleet.stopped:
            return Finding(
                Status.UNKNOWN,
                "stopped on request, or waits to be started: not judged",
                key=("pid", "–"),
            )
        driver = fleet.drivers[context.component]
        seen = await _observe(driver, PATIENCE * context.timeout)
        age = context.monotonic() - fleet.started.get(context.component, 0.0)
        finding = judge_supervised(context.component, seen, age, STARTED_AFTER)
        note = fleet.notes.get(context.component, "")
        return replace(finding, detail=f"{finding.detail}; {note}") if note else finding

    return Kind("supervision", "Does a component with a driver run?", NoOptions, run, (), FAULTS)


async def _observe(driver: Driver, seconds: float) -> Observation:
    try:
        async with asyncio.timeout(seconds):
            return await driver.observe()
    except TimeoutError:
        text = f"its driver did not answer within {format_duration(seconds)}"
        return Observation(
            None, detail=text, guidance="is the manager of this component frozen or overloaded?"
        )
