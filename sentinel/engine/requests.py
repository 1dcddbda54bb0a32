"""What people ask for: restart, start, stop, reset, close the breaker. Journaled and guarded like
automation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sentinel.coordination import Refused
from sentinel.core.component.incident import Event
from sentinel.core.moment import write_moment
from sentinel.core.order import Answer
from sentinel.core.remediation.restart import Reason, decide_request
from sentinel.engine.journal import name_by_hand
from sentinel.engine.remediator import Remediator
from sentinel.engine.supervision import name_of_check
from sentinel.remediation import RELOAD, RESTART, START, STOP, Outcome
from sentinel.store import Changes

_REASON = "reason"
_WHOM = {"operator": "an operator", "runbook": "a runbook", "watch": "a change of its files"}


@dataclass(frozen=True, slots=True)
class OperatorRequests:
    """Each ends with an answer: done, refused before anything was done, or failed."""

    remediator: Remediator

    async def restart(self, name: str, reason: str, *, by: str = "operator") -> Answer:
        """Restart at somebody's word: journaled, under the kill switch, one at a time.

        A `runbook` acts under the automatic budget; an `operator` may go beyond it.
        """
        remediator = self.remediator
        refusal = self._refuse(name, RESTART)
        if refusal:
            return Answer.refused(refusal)
        if name in remediator.fleet.starting:
            return _refuse(Reason.BUSY, remediator.describe_act(name))
        policy = remediator.picture.components[name].restart
        incident = remediator.picture.incidents.get(name)
        situation, now = remediator.circumstances.of(name), remediator.moment()
        decision = decide_request(policy, situation, now, budgeted=by == "runbook")
        if not decision.act:
            return _refuse(decision.reason, decision.text)
        key = incident.id if incident else name_by_hand(name)
        n = remediator.journal.next_number(key, name)
        outcome = await remediator.act_on_request(name, key, n, reason, by)
        if isinstance(outcome, Refused):
            return Answer.refused(outcome.reason)
        await self._note(name, f"restarted by {_WHOM.get(by, by)}: {reason} ({outcome.detail})")
        return _answer(outcome)

    async def start(self, name: str, reason: str) -> Answer:
        """Start what was stopped on request, or does not run."""
        return await self._do(name, START, reason, lambda: self.remediator.start(name))

    async def stop(self, name: str, reason: str) -> Answer:
        """Stop a component until it is started on request."""
        return await self._do(name, STOP, reason, lambda: self.remediator.stop(name))

    async def reload(self, name: str, reason: str) -> Answer:
        """Have a component read its configuration again."""
        return await self._do(name, RELOAD, reason, lambda: self._reload(name))

    async def _reload(self, name: str) -> Outcome:
        return await self.remediator.fleet.drivers[name].reload()

    async def _do(
        self, name: str, action: str, reason: str, act: Callable[[], Awaitable[Outcome]]
    ) -> Answer:
        refusal = self._refuse(name, action) or self.remediator.automation.may_act(automatic=False)
        if refusal:
            return Answer.refused(refusal)
        if self.remediator.acts_on(name):
            return _refuse(Reason.BUSY, self.remediator.describe_act(name))
        outcome = await act()
        await self._note(name, f"{action} by an operator: {reason} ({outcome.detail})")
        return _answer(outcome)

    def _refuse(self, name: str, action: str) -> str:
        driver = self.remediator.fleet.drivers.get(name)
        if driver is None:
            return f"{name} has no driver: sentinel only watches it"
        if action in driver.actions:
            return ""
        return f"{action} is not configured for {name}: `sentinel kinds` has the keys of its driver"

    async def _note(self, name: str, text: str) -> None:
        await self.remediator.incidents.note(name, Event("operator", text))

    async def reset(self, name: str, reason: str, expects: str = "") -> Answer:
        """Give a component a full budget again: the present incident ends here, a new one may open.

        `expects` is what the person saw who asks for it (`describe_budget`): when that has changed,
        nothing is done.
        """
        remediator = self.remediator
        if name not in remediator.picture.components:
            return Answer.unknown(f"unknown component {name}")
        seen = self._describe_budget(name)
        if expects and expects != seen:
            return Answer.refused(f"meanwhile it is {seen}, it was {expects}: look again")
        now = remediator.moment()
        remediator.journal.reset(name, now)
        remediator.picture.forget_failures(name)
        await remediator.recorder.record(Changes(meta={f"reset/{name}": write_moment(now)}))
        await remediator.incidents.close(name, Event("reset", f"reset by an operator: {reason}"))
        remediator.wanted.ask(name_of_check(name))
        return Answer.done("reset")

    def _describe_budget(self, name: str) -> str:
        known = self.remediator.picture.incidents.get(name)
        attempts = self.remediator.journal.of_incident(known) if known else []
        return describe_budget(known.id if known else "", len(attempts))

    async def close_breaker(self, reason: str) -> Answer:
        """Let automation act again."""
        automation = self.remediator.automation
        was = automation.breaker.opened is not None
        await self.remediator.recorder.record(automation.close_breaker(reason))
        return Answer.done("closed" if was else "was not open")

    async def resume(self) -> Answer:
        """Forget a halt that came by a signal while the HALT file could not be written."""
        self.remediator.automation.resume()
        return Answer.done("resumed")


def describe_budget(incident: str, attempts: int) -> str:
    """An incident with its attempts, in the words in which a reset is planned and applied."""
    return f"incident {incident} with {attempts} attempts" if incident else "without an incident"


def is_put_off(answer: Answer) -> bool:
    """Whether it was refused for an action that ends by itself: the same may be asked again."""
    return answer.document.get(_REASON) == Reason.BUSY


def _refuse(reason: Reason, text: str) -> Answer:
    return Answer.refused(text, {_REASON: str(reason)})


def _answer(outcome: Outcome) -> Answer:
    return Answer.done(outcome.detail) if outcome.done else Answer.failed(outcome.detail)
