"""May sentinel restart this component now? A decision with its reason; reliability.md §3.

The budget is counted from journaled attempts: a row that exists is spent, whatever became of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Backoff, Incident, IncidentState, RestartPolicy
from sentinel.core.moment import Moment

UNCOUNTED = ("operator", "watch")
"""Who restarts beside the budget: a person, and a change of the component's own files. Neither is a
failure.
"""


class Reason(StrEnum):
    """Why an attempt is made, put off or refused; also the label of metrics and logs."""

    ACT = "act"
    NOT_DOWN = "not_down"
    BLIND = "blind"
    OBSERVE = "observe"
    HALTED = "halted"
    EXHAUSTED = "exhausted"
    BUDGET_SPENT = "budget_spent"
    BLOCKED = "blocked"
    SETTLING = "settling"
    BUSY = "busy"
    STARTUP_GRACE = "startup_grace"
    DAEMON_GRACE = "daemon_grace"
    BACKOFF = "backoff"
    FLAPPING = "flapping"
    JOURNAL_LOST = "journal_lost"
    JOURNAL_UNWRITABLE = "journal_unwritable"
    STATE_DOUBTED = "state_doubted"
    BRAKED = "braked"
    BREAKER_OPEN = "breaker_open"
    LIMITED = "limited"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision needs, gathered by the engine. Instants are aware UTC."""

    incident: Incident | None
    status: Status
    observed: bool
    attempts: Sequence[Attempt]
    """Attempts of this component since its last reset, oldest first."""
    dependencies: Mapping[str, Status] = field(default_factory=dict)
    """Every transitive dependency with the status seen since the component went down; older
    verdicts are unknown.
    """
    actions_enabled: bool = True
    halted: bool = False
    busy: str = ""
    flapping: bool = False
    journal_lost: bool = False
    journal_unwritable: bool = False
    settling_until: datetime | None = None
    """A dependency has just recovered: until then the component may still recover by itself."""
    quiet_until: datetime | None = None
    """No automatic action before this instant: the daemon has just started."""
    down_for: float = 0.0
    """Seconds since the incident opened."""
    doubted: str = ""
    """Why the state is not certainly the one that was here."""
    fenced: str = ""
    """Why another sentinel, and not this one, may act."""
    breaker: str = ""
    """Why the breaker of automation is open."""
    brake: str = ""
    """How many are down together."""
    limit: tuple[str, float] | None = None
    """Why all components together were acted upon enough, and for how many more seconds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`act` with attempt number `n`; else why not, and `not_before` when waiting would help."""

    act: bool
    reason: Reason
    text: str
    n: int = 0
    not_before: datetime | None = None


def decide_restart(policy: RestartPolicy, situation: Situation, now: Moment) -> Decision:
    """Walk the guards in the order in which a person would ask; the first that objects is the
    reason.
    """
    incident = situation.incident
    if (
        incident is None
        or incident.state is not IncidentState.OPEN
        or situation.status is not Status.DOWN
    ):
        return _no(Reason.NOT_DOWN, "not down")
    if not situation.observed:
        return _no(Reason.BLIND, "the verdict is not observed (stale, unknown or our own stall)")
    mine = [attempt for attempt in situation.attempts if attempt.incident == incident.id]
    number, spent = max((attempt.n for attempt in mine), default=0) + 1, _automatic(mine)
    return (
        _permission(incident, situation)
        or _blocked(situation)
        or _budget(policy, spent, _automatic(situation.attempts), now)
        or _world(situation, now)
        or _backoff(policy, situation, incident, mine, len(spent) + 1, now)
        or _observe(situation)
        or Decision(
            True, Reason.ACT, f"attempt {len(spent) + 1} of {policy.max_attempts}", n=number
        )
    )


def decide_request(
    policy: RestartPolicy, situation: Situation, now: Moment, *, budgeted: bool
) -> Decision:
    """May a restart that somebody asked for be made now? `budgeted`: by a runbook, under the
    automatic budget.

    A person may act on a healthy component, on one that is blocked or exhausted, and with the
    breaker open. Nobody acts while halted, fenced, without a journal, or beside another action.
    """
    incident = situation.incident
    mine = [a for a in situation.attempts if incident is not None and a.incident == incident.id]
    spent = _automatic(mine)
    return (
        _request_permission(situation)
        or (budgeted and _budget(policy, spent, _automatic(situation.attempts), now))
        or Decision(
            True, Reason.ACT, "on request", n=max((attempt.n for attempt in mine), default=0) + 1
        )
    )


def _no(reason: Reason, text: str, not_before: datetime | None = None) -> Decision:
    return Decision(False, reason, text, not_before=not_before)


@dataclass(frozen=True, slots=True)
class RestartsLeft:
    """How many automatic attempts a component has left: in its open incident, within the hour, the
    day. The least of them counts.
    """

    incident: int
    hour: int
    day: int

    @property
    def least(self) -> int:
        """So many may still come, as things are now."""
        return min(self.incident, self.hour, self.day)


def count_restarts_left(
    policy: RestartPolicy, attempts: Sequence[Attempt], incident: str, now: Moment
) -> RestartsLeft:
    """What the budget of a component still allows. `attempts` are those of its last day at least;
    `incident` is its open one, "" without.
    """
    spent = _automatic(attempts)
    ages = [now.seconds_since(attempt.began) for attempt in spent]
    return RestartsLeft(
        max(0, policy.max_attempts - sum(each.incident == incident for each in spent)),
        max(0, policy.per_hour - sum(age < 3600 for age in ages)),
        max(0, policy.per_day - sum(age < 24 * 3600 for age in ages)),
    )


def _automatic(attempts: Sequence[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if attempt.by not in UNCOUNTED]


def _permission(incident: Incident, situation: Situation) -> Decision | None:
    if incident.exhausted:
        cure = f"`sentinel reset {incident.component} --reason repaired`"
        return _no(Reason.EXHAUSTED, f"exhausted: after repair {cure}")
    if situation.journal_lost:
        return _no(
            Reason.JOURNAL_LOST, "the journal was lost: every budget counts as spent until a reset"
        )
    refused = _request_permission(replace(situation, busy=""))
    if refused:
        return refused
    if situation.breaker:
        return _no(
            Reason.BREAKER_OPEN,
            f"automation is off: {situation.breaker}; after a look:"
            " `sentinel breaker close --reason …`",
        )
    return None


def _observe(situation: Situation) -> Decision | None:
    """The last guard: "would restart" is said only of what really would be."""
    if situation.actions_enabled:
        return None
    return _no(Reason.OBSERVE, "observe mode: would restart (actions.enabled is false)")


def _request_permission(situation: Situation) -> Decision | None:
    if situation.doubted:
        text = f"{situation.doubted}: `sentinel state accept --reason …`"
        return _no(Reason.STATE_DOUBTED, text)
    if situation.journal_unwritable:
        return _no(
            Reason.JOURNAL_UNWRITABLE,
            "the journal can't be written: what can't be journaled is not done",
        )
    if situation.fenced:
        return _no(Reason.FENCED, f"fenced: {situation.fenced}")
    if situation.halted:
        return _no(Reason.HALTED, "halted by an operator: `sentinel resume`")
    if situation.busy:
        return _no(Reason.BUSY, f"one action at a time: {situation.busy} is running")
    return None


def _blocked(situation: Situation) -> Decision | None:
    """Before the budget: nobody gives up on a component whose dependency is away, or that falls
    with many others.
    """
    for name, status in situation.dependencies.items():
        if status is not Status.UP:
            return _no(Reason.BLOCKED, f"blocked by {name}, which is {status}")
    if situation.brake:
        text = f"braked until fewer are: {situation.brake}, taken for one common cause"
        return _no(Reason.BRAKED, text)
    return None


def _budget(
    policy: RestartPolicy, spent: Sequence[Attempt], recent: Sequence[Attempt], now: Moment
) -> Decision | None:
    if policy.max_attempts == 0:
        return _no(Reason.BUDGET_SPENT, "this component is never restarted (max_attempts is 0)")
    waiting = spent and not _is_judged(spent[-1], policy, now)
    if len(spent) >= policy.max_attempts and not waiting:
        return _no(
            Reason.BUDGET_SPENT, f"all {policy.max_attempts} attempts of this incident failed"
        )
    if waiting:
        left = policy.startup_grace - now.seconds_since(spent[-1].began)
        return _no(
            Reason.STARTUP_GRACE,
            f"attempt {spent[-1].n} may still succeed",
            now.at + timedelta(seconds=left),
        )
    for limit, hours in ((policy.per_hour, 1), (policy.per_day, 24)):
        if sum(now.seconds_since(attempt.began) < hours * 3600 for attempt in recent) >= limit:
            return _no(Reason.BUDGET_SPENT, f"{limit} attempts within {hours} h")
    return None


def _is_judged(attempt: Attempt, policy: RestartPolicy, now: Moment) -> bool:
    """An attempt counts as failed once its verdict is in, or its start-up grace is over."""
    return bool(attempt.verdict) or now.seconds_since(attempt.began) >= policy.startup_grace


def _world(situation: Situation, now: Moment) -> Decision | None:
    if situation.settling_until is not None and now.at < situation.settling_until:
        return _no(
            Reason.SETTLING, "a dependency has just recovered: grace", situation.settling_until
        )
    if situation.quiet_until is not None and now.at < situation.quiet_until:
        return _no(Reason.DAEMON_GRACE, "sentinel has just started", situation.quiet_until)
    if situation.flapping:
        return _no(Reason.FLAPPING, "flapping: restarts would not help")
    if situation.busy:
        return _no(Reason.BUSY, f"one action at a time: {situation.busy} is running")
    if situation.limit:
        why, seconds = situation.limit
        return _no(Reason.LIMITED, f"{why}: that is the limit", now.at + timedelta(seconds=seconds))
    return None


def _backoff(
    policy: RestartPolicy,
    situation: Situation,
    incident: Incident,
    mine: Sequence[Attempt],
    n: int,
    now: Moment,
) -> Decision | None:
    waited = now.seconds_since(mine[-1].finished) if mine else situation.down_for
    left = backoff_delay(policy.backoff, n, incident.id) - waited
    if left <= 0:
        return None
    return _no(
        Reason.BACKOFF,
        f"attempt {n} of {policy.max_attempts} waits",
        now.at + timedelta(seconds=left),
    )


def backoff_delay(backoff: Backoff, n: int, seed: str) -> float:
    """Seconds before attempt n ≥ 1. The jitter is drawn from `seed`, so a restart of sentinel draws
    the same.
    """
    plain = backoff.first if n == 1 else backoff.initial * backoff.factor ** (n - 2)
    digest = hashlib.blake2b(f"{seed}/{n}".encode(), digest_size=8).digest()
    unit = int.from_bytes(digest) / 2**64
    return min(plain, backoff.max) * (1 + backoff.jitter * (2 * unit - 1))
