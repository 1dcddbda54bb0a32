"""Judging what the driver of a component sees: does it run? Pure."""

from __future__ import annotations

from typing import Protocol

from sentinel.core.fault import Fault, Status
from sentinel.core.model import Finding


class DriverSight(Protocol):
    """What a driver sees. `running` None: can't be known, and `detail` has the reason. `busy`: its
    manager is at work on it.
    """

    @property
    def running(self) -> bool | None: ...  # noqa: D102
    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102
    @property
    def guidance(self) -> str: ...  # noqa: D102
    @property
    def healthy(self) -> bool | None: ...  # noqa: D102
    @property
    def busy(self) -> bool: ...  # noqa: D102


LOOK_AT_STATUS = "`sentinel status` says what is done about it, or why nothing is"
"""Where a driver has no better word: who is on call must know whether it heals by itself."""


def judge_supervised(component: str, seen: DriverSight, age: float, proven: float) -> Finding:
    """`age`: seconds since we have started it; it counts as started after `proven` seconds. Who
    can't be seen is unknown, never down.
    """
    key = ("pid", "–" if seen.pid is None else str(seen.pid))
    if seen.running is None:
        return Finding(Status.UNKNOWN, seen.detail, guidance=seen.guidance, key=key)
    if fault := _find_fault(component, seen, running=seen.running):
        return Finding(fault.status, fault.text, guidance=fault.guidance, key=key, faults=(fault,))
    if age < proven:
        pid = "" if seen.pid is None else f"pid {seen.pid}, "
        return Finding(Status.UNKNOWN, f"starting ({pid}{age:.1f} s)", key=key)
    return Finding(Status.UP, seen.detail, key=key)


def _find_fault(component: str, seen: DriverSight, *, running: bool) -> Fault | None:
    """While its manager is at work, what else is seen is on its way to change."""
    if seen.busy:
        word, status = "busy", Status.DEGRADED
    elif not running:
        word, status = "not_running", Status.DOWN
    elif seen.healthy is False:
        word, status = "unhealthy", Status.DOWN
    else:
        return None
    text, parameters = f"{component}: {seen.detail}", {"component": component}
    guidance = seen.guidance or LOOK_AT_STATUS
    return Fault(word, {}, status, text, guidance=guidance, parameters=parameters)
