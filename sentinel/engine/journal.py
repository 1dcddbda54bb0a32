"""The attempts of every component, in memory and in the ledger: a row exists before its act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cmp_to_key

import structlog

from sentinel.coordination import ClaimPolicy, Coordinator, Refused
from sentinel.core.component.incident import Event
from sentinel.core.model import Attempt, Component, Incident
from sentinel.core.moment import Moment, read_moment
from sentinel.core.remediation.brake import Recent
from sentinel.core.remediation.restart import UNCOUNTED
from sentinel.core.schedule import shard_of
from sentinel.errors import StateError, StateStalled
from sentinel.metrics import Metrics
from sentinel.store import Store

log = structlog.get_logger()

KEPT = 2000
"""Attempts of one component in memory: far more than any cap lets happen within a day."""
BY_HAND = "by-hand"
"""In place of an incident: attempts upon a component that has none. No cap of an incident holds for
them.
"""


@dataclass(slots=True)
class Journal:
    """What was attempted. Budgets are counted here and enforced once more by the ledger."""

    coordinator: Coordinator
    store: Store
    metrics: Metrics
    moment: Callable[[], Moment]
    concurrent: int = 1
    writable: bool = True
    resets: dict[str, Moment] = field(default_factory=dict)
    losses: dict[str, Moment] = field(default_factory=dict)
    """Since when the budget of a component counts as spent, because a row of it was damaged."""
    _attempts: dict[str, list[Attempt]] = field(default_factory=dict)

    def load(self, name: str) -> list[Attempt]:
        """What an earlier sentinel attempted, and when the budget was reset; the attempts."""
        self._attempts[name] = self.store.attempts(component=name, limit=KEPT)
        reset = self.store.meta(f"reset/{name}")
        if reset:
            self.resets[name] = read_moment(reset)
        lost = self.store.lost(name)
        if lost:
            self.losses[name] = read_moment(lost)
        return self.all(name)

    def is_lost(self, name: str, everything: Moment | None = None) -> bool:
        """Whether it is not known what was attempted; `everything`: since when that holds for all."""
        reset = self.resets.get(name)
        losses = [lost for lost in (everything, self.losses.get(name)) if lost is not None]
        return any(reset is None or not reset.is_after(lost) for lost in losses)

    def reset(self, name: str, now: Moment) -> None:
        """Attempts until now count into no budget any more."""
        self.resets[name] = now

    def note_writable(self, *, writable: bool = True) -> None:
        """Whether the ledger could be written just now."""
        self.writable = writable

    def all(self, name: str) -> list[Attempt]:
        """Every known attempt of a component, oldest first."""
        return list(self._attempts.get(name, ()))

    def since_reset(self, name: str) -> list[Attempt]:
        """The attempts that count into budgets."""
        reset = self.resets.get(name)
        return [a for a in self._attempts.get(name, ()) if reset is None or a.began.is_after(reset)]

    def of_incident(self, incident: Incident) -> list[Attempt]:
        """The attempts of one incident by number."""
        mine = (a for a in self._attempts.get(incident.component, ()) if a.incident == incident.id)
        return sorted(mine, key=lambda attempt: attempt.n)

    def is_watched(self, incident: Incident) -> bool:
        """Whether nobody knows yet whether the latest restart in an incident holds."""
        latest = self.of_incident(incident)[-1:]
        return any(not each.verdict and each.outcome != "failed" for each in latest)

    def recent(self) -> list[Recent]:
        """Every automatic action upon any component, with its age."""
        now = self.moment()
        every = (a for mine in self._attempts.values() for a in mine if a.by not in UNCOUNTED)
        return [Recent(attempt.component, now.seconds_since(attempt.began)) for attempt in every]

    def verdicts(self, since: Moment | None) -> list[str]:
        """Verdicts of sentinel's own attempts after an instant, oldest first."""
        judged = [
            a for mine in self._attempts.values() for a in mine if a.verdict and a.by == "sentinel"
        ]
        judged.sort(key=cmp_to_key(_in_order))
        return [a.verdict for a in judged if since is None or a.began.is_after(since)]

    def next_number(self, incident: str, name: str) -> int:
        """The number of the next attempt of an incident."""
        return (
            max((a.n for a in self._attempts.get(name, ()) if a.incident == incident), default=0)
            + 1
        )

    def intend(
        self, component: Component, incident: str, n: int, reason: str, action: str = "restart"
    ) -> Attempt:
        """An intent as it will be written down, before anything is done."""
        now = self.moment()
        return Attempt(
            incident, n, component.name, action, reason, now.at, boot=now.boot, uptime=now.uptime
        )

    async def claim(self, attempt: Attempt, component: Component) -> Attempt | Refused:
        """Write the intent. What can't be journaled is not done."""
        by_hand = attempt.incident == name_by_hand(component.name)
        policy = ClaimPolicy(0 if by_hand else component.restart.max_attempts, self.concurrent)
        by = "" if attempt.by == "sentinel" else f" ({attempt.by})"
        event = Event(
            "attempt", f"attempt {attempt.n}: {attempt.action} of {attempt.component}{by}"
        )
        try:
            claimed = await self.coordinator.claim_attempt(
                attempt, shard_of(component.name), policy, [event]
            )
        except StateError as error:
            self.writable = False
            if isinstance(error, StateStalled):  # the row may come later: its number is taken
                unsure = replace(attempt, outcome="unknown", detail=error.message, verdict="failed")
                self._attempts.setdefault(attempt.component, []).append(unsure)
            log.error("journal_not_writable", component=attempt.component, error=error.message)
            return Refused(f"the journal can't be written: {error.message}")
        if isinstance(claimed, Refused):
            log.error(
                "claim_refused", incident=attempt.incident, n=attempt.n, reason=claimed.reason
            )
            return claimed
        self._attempts.setdefault(attempt.component, []).append(claimed)
        return claimed

    async def finish(self, attempt: Attempt, *events: Event) -> None:
        """Write what became of an attempt."""
        self.replace(attempt)
        if attempt.verdict or attempt.outcome == "failed":
            self.metrics.attempts.labels(
                attempt.component, attempt.verdict or attempt.outcome
            ).inc()
        await self.coordinator.finish_attempt(attempt, events)

    def replace(self, attempt: Attempt) -> None:
        """Put the newer version of an attempt into the memory at once, so that nothing is judged
        twice.
        """
        key = (attempt.incident, attempt.n)
        mine = self._attempts.get(attempt.component, [])
        self._attempts[attempt.component] = [
            attempt if (a.incident, a.n) == key else a for a in mine
        ]

    async def settle_interrupted(self, name: str, start_id: str) -> None:
        """A row without outcome is spent: sentinel ended between the intent and its end.

        The target's start id tells whether the act happened: `start_id` runs now, `target` ran
        before.
        """
        for attempt in self.all(name):
            if not attempt.outcome:
                text = (
                    "sentinel ended during this attempt: spent,"
                    f" {_what_happened(attempt, start_id)}"
                )
                now = self.moment()
                unknown = replace(
                    attempt, outcome="unknown", detail=text, ended=now.at, ended_uptime=now.uptime
                )
                await self.finish(unknown, Event("attempt unknown", f"attempt {attempt.n}: {text}"))


def name_by_hand(component: str) -> str:
    """What stands for the incident in attempts upon a component that has none."""
    return f"{BY_HAND}-{component}"


def _what_happened(attempt: Attempt, start_id: str) -> str:
    if not start_id or not attempt.target:
        return "outcome unknown"
    return "and nothing was done" if start_id == attempt.target else "and it was restarted"


def _in_order(one: Attempt, other: Attempt) -> int:
    """A clock that was set back between two attempts does not change which came first."""
    return one.began.is_after(other.began) - other.began.is_after(one.began)
