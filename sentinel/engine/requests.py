"""What people ask for: restart, start, stop, reset, close the breaker. Journaled and guarded like
automation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from sentinel.core.incident import Event
from sentinel.core.model import IncidentState
from sentinel.core.remediation.restart import decide_request
from sentinel.engine.journal import name_by_hand, write_moment
from sentinel.engine.remediator import Remediator
from sentinel.engine.supervision import name_of_check
from sentinel.remediation import RELOAD, RESTART, START, STOP, Outcome
from sentinel.store import Changes


@dataclass(frozen=True, slots=True)
class Requests:
    """The outcome of each is one line that begins with `refused` or `failed` when it was not done."""

    remediator: Remediator

    async def restart(self, name: str, reason: str, *, by: str = "operator") -> str:
        """Restart at somebody's word: journaled, under the kill switch, one at a time.

        A `runbook` acts under the automatic budget; an `operator` may go beyond it.
        """
        refusal = self._refuse(name, RESTART)
        if refusal:
            return refusal
        policy, incident = (
            self.remediator.pipeline.components[name].restart,
            self.remediator.pipeline.incidents.get(name),
        )
        situation = self.remediator.situation(name)
        decision = decide_request(
            policy, situation, self.remediator.moment(), budgeted=by == "runbook"
        )
        if not decision.act:
            return f"refused: {decision.text}"
        key = incident.id if incident else name_by_hand(name)
        n = self.remediator.journal.next_number(key, name)
        outcome = await self.remediator.act_on_request(name, key, n, reason, by)
        await self._note(name, f"restarted by {_whom(by)}: {reason} ({outcome.detail})")
        return _line(outcome)

    async def start(self, name: str, reason: str) -> str:
        """Start what was stopped on request, or does not run."""
        return await self._do(name, START, reason, lambda: self.remediator.start(name))

    async def stop(self, name: str, reason: str) -> str:
        """Stop a component until it is started on request."""
        return await self._do(name, STOP, reason, lambda: self.remediator.stop(name))

    async def reload(self, name: str, reason: str) -> str:
        """Have a component read its configuration again."""
        return await self._do(name, RELOAD, reason, lambda: self._reload(name))

    async def _reload(self, name: str) -> Outcome:
        return await self.remediator.drivers[name].reload()

    async def _do(
        self, name: str, action: str, reason: str, act: Callable[[], Awaitable[Outcome]]
    ) -> str:
        refusal = (
            self._refuse(name, action)
            or self.remediator.automation.may_act(automatic=False)
            or (
                f"one action at a time: {name} is being restarted"
                if self.remediator.acts_on(name)
                else ""
            )
        )
        if refusal:
            return refusal if refusal.startswith("refused") else f"refused: {refusal}"
        outcome = await act()
        await self._note(name, f"{action} by an operator: {reason} ({outcome.detail})")
        return _line(outcome)

    def _refuse(self, name: str, action: str) -> str:
        driver = self.remediator.drivers.get(name)
        if driver is None:
            return f"refused: {name} has no driver: sentinel only watches it"
        return "" if action in driver.actions else f"refused: {action} is not configured for {name}"

    async def _note(self, name: str, text: str) -> None:
        incident = self.remediator.pipeline.incidents.get(name)
        if incident is not None:
            await self.remediator.pipeline.change_incident(incident, Event("operator", text))

    async def reset(self, name: str, reason: str, expects: str = "") -> str:
        """Give a component a full budget again: the present incident ends here, a new one may open.

        `expects` is what the person saw who asks for it (`describe_budget`): when that has changed,
        nothing is done.
        """
        remediator = self.remediator
        pipeline, journal, now = remediator.pipeline, remediator.journal, remediator.moment()
        if name not in pipeline.components:
            return f"unknown component {name}"
        known = pipeline.incidents.get(name)
        seen = describe_budget(
            known.id if known else "", len(journal.of_incident(known)) if known else 0
        )
        if expects and expects != seen:
            return f"refused: meanwhile it is {seen}, it was {expects}: look again"
        journal.resets[name] = now
        pipeline.forget_failures(name)
        remediator.metrics.exhausted.labels(name).set(0)
        await remediator.recorder.record(Changes(meta={f"reset/{name}": write_moment(now)}))
        incident = pipeline.incidents.get(name)
        if incident is not None:
            closed = replace(incident, state=IncidentState.CLOSED, closed=now.at, exhausted=False)
            await pipeline.change_incident(
                closed, Event("reset", f"reset by an operator: {reason}")
            )
        remediator.trigger(name_of_check(name))
        return "reset"

    async def close_breaker(self, reason: str) -> str:
        """Let automation act again."""
        automation = self.remediator.automation
        was = automation.breaker.opened is not None
        await self.remediator.recorder.record(automation.close_breaker(reason))
        return "closed" if was else "was not open"

    async def resume(self) -> str:
        """Forget a halt that came by a signal while the HALT file could not be written."""
        self.remediator.automation.halted_by_signal = False
        return "resumed"


def describe_budget(incident: str, attempts: int) -> str:
    """An incident with its attempts, in the words in which a reset is planned and applied."""
    return f"incident {incident} with {attempts} attempts" if incident else "without an incident"


def _whom(by: str) -> str:
    return {
        "operator": "an operator",
        "runbook": "a runbook",
        "watch": "a change of its files",
    }.get(by, by)


def _line(outcome: Outcome) -> str:
    return outcome.detail if outcome.done else f"failed: {outcome.detail}"
