"""The `systemd` driver: a unit that systemd owns. It is asked over D-Bus, and the end of each job
is waited for.

What systemd restarts by itself is left to it. What it does to a unit that ignores TERM is the
unit's own
`SendSIGKILL=` and `TimeoutStopSec=`.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from sentinel.adapters.systemd import UNAVAILABLE, Systemd, Unit
from sentinel.core.model import Component
from sentinel.remediation import (
    ACTIONS,
    RELOAD,
    RESTART,
    START,
    STOP,
    DriverContext,
    DriverKind,
    DriverOptions,
    Observation,
    Outcome,
    OutsideDriver,
)
from sentinel.strict.field import Duration

_METHODS = {START: "StartUnit", STOP: "StopUnit", RESTART: "RestartUnit", RELOAD: "ReloadUnit"}
_DONE = {START: "started", STOP: "stopped", RESTART: "restarted", RELOAD: "reloaded"}
_UNIT = re.compile(
    r"[A-Za-z0-9:_.\\@-]{1,240}\.(service|target|socket|timer|path|slice|scope|mount)"
)
_AT_WORK = ("auto-restart", "auto-restart-queued")


class SystemdOptions(DriverOptions):
    """Which unit, and on which bus."""

    unit: str = Field(
        description="the unit with its suffix, such as orders.service", examples=["orders.service"]
    )
    bus: str = Field(
        "system", min_length=1, description="system, user, or a D-Bus address (unix:path=…)"
    )
    deadline: Duration = Field(
        100.0, gt=0, description="time for a job; systemd's own TimeoutStopSec is 90 s"
    )

    @field_validator("unit")
    @classmethod
    def _is_unit(cls, name: str) -> str:
        if not _UNIT.fullmatch(name):
            raise ValueError("must be the whole name of a unit, such as orders.service")
        return name


class SystemdManager:
    """One unit."""

    actions = ACTIONS

    def __init__(self, options: SystemdOptions) -> None:
        self._options = options
        self._systemd = Systemd(options.bus)

    async def look(self) -> Observation:
        """ActiveState and SubState tell, InvocationID names the incarnation."""
        return observe(self._options.unit, await self._systemd.read(self._options.unit))

    async def act(self, action: str, key: str) -> Outcome:  # noqa: ARG002 - a job has no name that we could give
        """One job in mode "replace"; its result is the outcome."""
        name = self._options.unit
        refusal = refuse(action, await self._systemd.read(name))
        if refusal:
            return Outcome(False, f"refused: {refusal}")
        result = await self._systemd.run_job(_METHODS[action], name, self._options.deadline)
        if result == "done":
            return Outcome(True, f"{_DONE[action]} by systemd")
        return Outcome(
            False, f"systemd could not {action} it: job {result}", guidance=f"journalctl -u {name}"
        )

    def close(self) -> None:
        """Let go of the bus."""
        self._systemd.close()


def refuse(action: str, unit: Unit) -> str:
    """Why it is not acted upon, "" when nothing objects. A stop is always allowed: it ends
    systemd's own efforts.
    """
    if action == STOP:
        return ""
    if unit.sub in _AT_WORK:
        return f"systemd restarts it by itself ({unit.active}, {unit.sub}; {unit.restarts} so far)"
    if unit.has_job:
        return "systemd has a job of its own for it (systemctl list-jobs)"
    if action == RELOAD and not unit.can_reload:
        return "the unit has no ExecReload="
    return ""


def observe(name: str, unit: Unit) -> Observation:
    """A unit in our words."""
    pid = unit.main_pid or None
    start_id = f"{unit.invocation}/{unit.active_since}" if unit.invocation else ""
    state = f"{unit.active} ({unit.sub})"
    if unit.active in {"active", "reloading", "refreshing"}:
        return Observation(True, start_id, pid, f"{state}{f', pid {pid}' if pid else ''}")
    if unit.active in {"activating", "deactivating"}:
        count = f", restarted {unit.restarts} times by systemd" if unit.sub in _AT_WORK else ""
        return Observation(
            unit.active == "deactivating",
            start_id,
            pid,
            f"systemd is at work: {state}{count}",
            busy=True,
        )
    if unit.load != "loaded":
        return Observation(
            False, detail=f"unit {name}: {unit.load}", guidance=f"systemctl status {name}"
        )
    result = f", result {unit.result}" if unit.result not in {"", "success"} else ""
    return Observation(
        False, start_id, detail=f"unit {state}{result}", guidance=f"journalctl -u {name}"
    )


def _make(_component: Component, options: SystemdOptions, _context: DriverContext) -> OutsideDriver:
    return OutsideDriver(SystemdManager(options))


DRIVER = DriverKind(
    name="systemd",
    summary="A unit of systemd, asked over D-Bus; what systemd restarts by itself is left to it",
    options=SystemdOptions,
    make=_make,
    unavailable=UNAVAILABLE,
)
