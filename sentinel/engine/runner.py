"""Runs one check once. Every ending becomes a Result, at this one place that never raises."""

from __future__ import annotations

import asyncio
import os
import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from sentinel.adapters.own_process.run import RUN
from sentinel.core.fault import Status, find_breach
from sentinel.core.model import Check, ErrorClass, Finding, Quality, Result
from sentinel.engine.pause import NOTICEABLE, PauseGuard
from sentinel.engine.upkeep import is_told_to_end
from sentinel.errors import NotMeasurable, SentinelError, TargetError
from sentinel.metrics import Metrics
from sentinel.probes import Context, Kind

log = structlog.get_logger()
_TRACES = random.Random(os.urandom(32))  # noqa: S311 - a name, no secret: no system call each
"""Names of runs."""


@dataclass(slots=True)
class Runner:
    """Holds what runs need: clients by resource, live state of each check, the pause guard, the
    clocks.
    """

    clients: Mapping[str, Any]
    guard: PauseGuard
    metrics: Metrics
    utcnow: Callable[[], datetime]
    monotonic: Callable[[], float]
    supervised: Callable[[str], int | None]
    states: dict[str, Any] = field(default_factory=dict)
    logged: dict[str, str] = field(default_factory=dict)
    """The last error of our own code by check, so that a flood is one line."""
    wall: Callable[[], datetime] | None = None
    """What probes compare with times that others wrote: the wall clock, when `utcnow` may not have
    taken over that it was set.
    """

    async def run(self, check: Check, kind: Kind) -> Result:
        """Run the probe with its timeout; classify; judge whether we were able to see."""
        trace_id = f"{_TRACES.getrandbits(128):032x}"
        started, begun = self.utcnow(), self.monotonic()
        named = RUN.set((check.name, trace_id))
        try:
            finding, outcome, error_class = await self._find(check, kind, trace_id)
        finally:
            RUN.reset(named)
        duration = self.monotonic() - begun
        quality = Quality.OBSERVED
        paused = self.guard.paused(begun)
        if paused > NOTICEABLE and finding.status is not Status.UP:
            quality, finding = Quality.BLIND, _blind(kind, finding, paused)
        dumped = self._dump(check)
        return Result(
            check.name, finding, started, duration, trace_id, quality, error_class, outcome, dumped
        )

    def _dump(self, check: Check) -> Any:
        """What the kind wants to remember; a dump that fails costs the memory, not the verdict."""
        state = self.states.get(check.name)
        try:
            return state.dump() if state is not None else None
        except Exception as error:  # noqa: BLE001 - as below
            self._log_once(check.name, error)
            return None

    async def _find(
        self, check: Check, kind: Kind, trace_id: str
    ) -> tuple[Finding, str, ErrorClass | None]:
        try:
            async with asyncio.timeout(check.timeout):
                finding = await kind.run(check.options, self._context(check, trace_id))
            _refuse_breach(kind, finding)
            return finding, "ok", None
        except TimeoutError:
            detail = f"gave no result within its timeout of {check.timeout:g} s"
            return (
                Finding(Status.UNKNOWN, detail, guidance="raise `timeout`"),
                "timeout",
                ErrorClass.OURS,
            )
        except TargetError as error:
            return _find_target_error(check, error), "error", error.error_class
        except BaseException as error:  # every ending becomes a value
            if is_told_to_end(error):
                raise
            if isinstance(error, asyncio.CancelledError):
                text = "sentinel's own error: the run was cancelled from within"
                return Finding(Status.UNKNOWN, text), "error", ErrorClass.OURS
            self._log_once(check.name, error)
            text = error.message if isinstance(error, SentinelError) else repr(error)
            detail = f"sentinel's own error in kind {check.kind}: {text}"
            return (
                Finding(Status.UNKNOWN, detail, guidance="report it with the log line"),
                "error",
                ErrorClass.OURS,
            )

    def _log_once(self, check: str, error: BaseException) -> None:
        """Count every error of our own; write each new one, not the same one every second."""
        self.metrics.swallowed.labels("runner").inc()
        if self.logged.get(check) != repr(error):
            self.logged[check] = repr(error)
            log.error("probe_raised", error=repr(error), where=traceback.format_exc(limit=-4))

    def _context(self, check: Check, trace_id: str) -> Context:
        clients = {}
        for role, name in check.resources.items():
            if name not in self.clients:
                raise NotMeasurable(f"no client for resource {name}")
            clients[role] = self.clients[name]
        return Context(
            check=check.name,
            component=check.component,
            trace_id=trace_id,
            interval=check.every,
            timeout=check.timeout,
            clients=clients,
            state=self.states.get(check.name),
            utcnow=self.utcnow,
            wall=self.wall,
            monotonic=self.monotonic,
            stalled=self.guard.paused,
            supervised=self.supervised,
        )


def _refuse_breach(kind: Kind, finding: Finding) -> None:
    """A verdict that does not say what is wrong with whom is our own error, and blames nobody."""
    breach = find_breach(finding.status, finding.faults, kind.fault_kinds)
    if breach:
        raise ValueError(f"{breach} (it would have said: {finding.detail})")


def _find_target_error(check: Check, error: TargetError) -> Finding:
    """What nobody caught is a fault of the target itself, or of nobody when we could not see."""
    if not error.fault:
        return Finding(error.status, error.message, guidance=error.guidance)
    fault = error.as_fault(_find_resource(check, error))
    if not fault.parameters:
        fault = replace(fault, text=f"{check.component}: {error.matter}")
    return Finding(fault.status, fault.text, guidance=fault.guidance, faults=(fault,))


def _find_resource(check: Check, error: TargetError) -> str:
    """The resource that the error came from: a check may ask several."""
    asked = list(check.resources.values())
    return error.resource if error.resource in asked else next(iter(asked), "")


def _blind(kind: Kind, finding: Finding, paused: float) -> Finding:
    """No verdict; what was counted as lost for good is counted once, and no later look finds it."""
    known = kind.fault_kinds
    lost = [each for each in finding.faults if each.key in known and known[each.key].lasting]
    detail = (
        f"not observed: sentinel itself stood still for {paused:.1f} s (would have said:"
        f" {finding.detail})"
    )
    return Finding(Status.UNKNOWN, detail, finding.rows, finding.evidence, faults=lost)
