"""Starts and stops the whole platform: dependents first to stop, dependencies first to start,
health before the next.

The steps are kept where the command line sees them; each ends with what was seen, not with what was
hoped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.fault import Status
from sentinel.core.order import Answer
from sentinel.engine.remediator import Remediator
from sentinel.engine.requests import OperatorRequests
from sentinel.remediation import START, STOP
from sentinel.store import Changes

PROGRESS = "progress"
PATIENCE = 300.0
"""Seconds that one component may take to become healthy, however long its start-up grace is."""
LOOK_EVERY = 0.1


@dataclass(slots=True)
class Conductor:
    """One movement of the platform at a time."""

    requests: OperatorRequests
    _moving: bool = False
    _steps: list[dict[str, str]] = field(default_factory=list)

    @property
    def _remediator(self) -> Remediator:
        return self.requests.remediator

    async def move(self, key: str, action: str, component: str, reason: str) -> Answer:
        """`start`, `stop` or `restart` one component or, with "", all.

        `key` names the order, so that whoever gave it finds its steps.
        """
        if self._moving:
            return Answer.refused("the platform is being moved already")
        refusal = self._remediator.automation.may_act(automatic=False)
        if refusal:
            return Answer.refused(refusal)
        self._moving, self._steps = True, []
        try:
            return await self._move(key, action, component, reason)
        finally:
            self._moving = False

    async def _move(self, key: str, action: str, component: str, reason: str) -> Answer:
        names = self._choose(component, {START, STOP} if action == "restart" else {action})
        if not names:
            what = component or "anything here"
            return Answer.refused(f"sentinel can't {action} {what}: it only watches")
        failed, count = 0, len(names)
        if action in {"stop", "restart"}:
            failed += await self._each(
                key, STOP, names[::-1], lambda name: self._stop(name, reason)
            )
        if action == "restart":  # one that does not stop must not keep all the others away
            names = [name for name in names if name in self._remediator.fleet.stopped]
        if action in {"start", "restart"}:
            failed += await self._each(key, START, names, self._start)
        done = f"{action}: {count} component{'s' * (count != 1)}"
        return Answer.failed(f"{failed} of {done}") if failed else Answer.done(f"{done} done")

    def _choose(self, component: str, actions: set[str]) -> list[str]:
        """Those that can be moved, dependencies first."""
        drivers, able = self._remediator.fleet.drivers, self._remediator.in_order()
        return [
            name for name in able if component in {"", name} and actions <= drivers[name].actions
        ]

    async def _each(
        self, key: str, verb: str, names: Sequence[str], act: Callable[[str], Awaitable[Answer]]
    ) -> int:
        """Act on one after the other; how many of them failed."""
        failures = 0
        for name in names:
            await self._show(key, name, verb, None)
            answer = await act(name)
            failures += not answer.is_done
            await self._show(key, name, verb, answer)
        return failures

    async def _show(self, key: str, name: str, verb: str, answer: Answer | None) -> None:
        """`word` is "" and `outcome` "…" while a step lasts."""
        step = {
            "component": name,
            "action": verb,
            "word": str(answer.word) if answer else "",
            "outcome": answer.line if answer else "…",
        }
        others = (each for each in self._steps if _is_other(each, step))
        self._steps = [*others, step]
        document = json.dumps({"order": key, "steps": self._steps})
        await self._remediator.recorder.record(Changes(meta={PROGRESS: document}))

    async def _stop(self, name: str, reason: str) -> Answer:
        """Stop it, after a restart that is under way."""
        remediator = self._remediator
        asked = remediator.monotonic()
        while (  # noqa: ASYNC110 - time is the remediator's
            remediator.acts_on(name) and remediator.monotonic() - asked < PATIENCE
        ):
            await asyncio.sleep(LOOK_EVERY)
        return await self.requests.stop(name, reason)

    async def _start(self, name: str) -> Answer:
        """Ask for the start and wait until its checks call it healthy."""
        remediator, picture = self._remediator, self._remediator.picture
        waiting, circumstances = remediator.fleet.waiting, remediator.circumstances
        asked = remediator.monotonic()
        await remediator.ask_start(name)
        patience = min(picture.components[name].restart.startup_grace, PATIENCE)
        while remediator.monotonic() - asked < patience:
            seen = picture.status_after(name, circumstances.instant(asked))
            if name not in waiting and seen is Status.UP:
                return Answer.done(f"healthy after {remediator.monotonic() - asked:.1f} s")
            await asyncio.sleep(LOOK_EVERY)
        if name in waiting:
            why = circumstances.find_missing(name) or "not started"
            return Answer.failed(f"{why}; it is started when that has changed")
        status = picture.present[name]
        return Answer.failed(f"not healthy within {patience:g} s, it is {status}")


def _is_other(step: Mapping[str, str], present: Mapping[str, str]) -> bool:
    return any(step[key] != present[key] for key in ("component", "action"))
