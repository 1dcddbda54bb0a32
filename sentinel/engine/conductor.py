"""Starts and stops the whole platform: dependents first to stop, dependencies first to start,
health before the next.

The steps are kept where the command line sees them; each ends with what was seen, not with what was
hoped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sentinel.core.fault import Status
from sentinel.engine.remediator import Remediator
from sentinel.engine.requests import Requests
from sentinel.remediation import START, STOP
from sentinel.store import Changes

PROGRESS = "progress"
PATIENCE = 300.0
"""Seconds that one component may take to become healthy, however long its start-up grace is."""
LOOK_EVERY = 0.1


@dataclass(slots=True)
class Conductor:
    """One movement of the platform at a time."""

    requests: Requests
    _moving: bool = False
    _steps: list[dict[str, str]] = field(default_factory=list)

    @property
    def _remediator(self) -> Remediator:
        return self.requests.remediator

    async def move(self, key: str, action: str, component: str, reason: str) -> str:
        """`start`, `stop` or `restart` one component or, with "", all; one line about the outcome.

        `key` names the order, so that whoever gave it finds its steps.
        """
        if self._moving:
            return "refused: the platform is being moved already"
        refusal = self._remediator.automation.may_act(automatic=False)
        if refusal:
            return f"refused: {refusal}"
        self._moving, self._steps = True, []
        try:
            return await self._move(key, action, component, reason)
        finally:
            self._moving = False

    async def _move(self, key: str, action: str, component: str, reason: str) -> str:
        names = self._choose(component, {START, STOP} if action == "restart" else {action})
        if not names:
            return (
                f"refused: sentinel can't {action} {component or 'anything here'}: it only watches"
            )
        failed = 0
        if action in {"stop", "restart"}:
            failed += await self._each(
                key, STOP, names[::-1], lambda name: self._stop(name, reason)
            )
        if action == "restart":  # one that does not stop must not keep all the others away
            names, count = [name for name in names if name in self._remediator.stopped], len(names)
        else:
            count = len(names)
        if action in {"start", "restart"}:
            failed += await self._each(key, START, names, self._start)
        done = f"{action}: {count} component{'s' * (count != 1)}"
        return f"failed: {failed} of {done}" if failed else f"{done} done"

    def _choose(self, component: str, actions: set[str]) -> list[str]:
        """Those that can be moved, dependencies first."""
        drivers, able = self._remediator.drivers, self._remediator.in_order()
        return [
            name for name in able if component in {"", name} and actions <= drivers[name].actions
        ]

    async def _each(
        self, key: str, verb: str, names: Sequence[str], act: Callable[[str], Awaitable[str]]
    ) -> int:
        """Act on one after the other; how many of them failed."""
        failures = 0
        for name in names:
            await self._show(key, name, verb, "…")
            outcome = await act(name)
            failures += outcome.startswith(("failed", "refused"))
            await self._show(key, name, verb, outcome)
        return failures

    async def _show(self, key: str, name: str, verb: str, outcome: str) -> None:
        step = {"component": name, "action": verb, "outcome": outcome}
        self._steps = [
            *(each for each in self._steps if (each["component"], each["action"]) != (name, verb)),
            step,
        ]
        document = json.dumps({"order": key, "steps": self._steps})
        await self._remediator.recorder.record(Changes(meta={PROGRESS: document}))

    async def _stop(self, name: str, reason: str) -> str:
        """Stop it, after a restart that is under way."""
        asked = self._remediator.monotonic()
        while (  # noqa: ASYNC110 - time is the remediator's
            self._remediator.acts_on(name) and self._remediator.monotonic() - asked < PATIENCE
        ):
            await asyncio.sleep(LOOK_EVERY)
        return await self.requests.stop(name, reason)

    async def _start(self, name: str) -> str:
        """Ask for the start and wait until its checks call it healthy."""
        remediator = self._remediator
        asked = remediator.monotonic()
        await remediator.ask_start(name)
        patience = min(remediator.pipeline.components[name].restart.startup_grace, PATIENCE)
        while remediator.monotonic() - asked < patience:
            seen = remediator.pipeline.status_after(name, remediator.instant(asked))
            if name not in remediator.waiting and seen is Status.UP:
                return f"healthy after {remediator.monotonic() - asked:.1f} s"
            await asyncio.sleep(LOOK_EVERY)
        if name in remediator.waiting:
            return (
                f"failed: {remediator.missing(name) or 'not started'}; it is started when that has"
                " changed"
            )
        return (
            f"failed: not healthy within {patience:g} s, it is {remediator.pipeline.statuses[name]}"
        )
