"""The check that every supervised component has without asking: does its process run?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sentinel.core.model import Check, Component, Finding, HealthPolicy, Status
from sentinel.probes import Context, Kind, Options
from sentinel.remediation.process import ProcessDriver

STARTED_AFTER = 1.0
"""Seconds a process must live to count as started (supervisord's `startsecs`)."""


class NoOptions(Options):
    """Supervision has no options."""


def name_of_check(component: str) -> str:
    """The implicit check of a supervised component."""
    return f"{component}.process"


def make_check(component: Component) -> Check:
    """A death is no matter of opinion: hard at the first sight, healthy at the first sight."""
    policy = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
    return Check(name_of_check(component.name), "supervision", component.name, 2.0, 5.0, NoOptions(), health=policy)


def make_kind(drivers: Mapping[str, ProcessDriver], started: Mapping[str, float], stopped: Collection[str]) -> Kind:
    """The kind over the live drivers.

    `started` has the monotonic instant of each start, `stopped` who was stopped on request: that is
    neither up nor a failure.
    """

    async def run(_options: NoOptions, context: Context) -> Finding:
        driver = drivers[context.component]
        pid = driver.pid
        if context.component in stopped:
            return Finding(Status.UNKNOWN, "stopped on request: not judged", key=("pid", "–"))
        if pid is None:
            how = driver.how_ended or "does not run"
            return Finding(Status.DOWN, f"process {how}", key=("pid", "–"))
        age = context.monotonic() - started.get(context.component, 0.0)
        if age < STARTED_AFTER:
            return Finding(Status.UNKNOWN, f"starting (pid {pid}, {age:.1f} s)", key=("pid", str(pid)))
        return Finding(Status.UP, f"runs (pid {pid})", key=("pid", str(pid)))

    return Kind("supervision", "Does the process of a supervised component run?", NoOptions, run, ())
