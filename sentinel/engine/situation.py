"""Gathers what a decision about a component needs, from everything that knows a part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sentinel.core.component.incident import BAD
from sentinel.core.fault import Status
from sentinel.core.model import Incident
from sentinel.core.moment import Moment
from sentinel.core.remediation.brake import Recent
from sentinel.core.remediation.restart import Decision, Reason, Situation
from sentinel.engine.automation import Automation
from sentinel.engine.fleet import Fleet
from sentinel.engine.journal import Journal
from sentinel.engine.picture import Picture
from sentinel.engine.recorder import Recorder

REFUSED_FOR = 10.0
"""Seconds until a claim that the ledger has refused is tried again."""


@dataclass(slots=True)
class Circumstances:
    """Reads everything and acts upon nothing."""

    picture: Picture
    fleet: Fleet
    journal: Journal
    automation: Automation
    recorder: Recorder
    moment: Callable[[], Moment]
    monotonic: Callable[[], float]
    quiet: float = 0.0
    """Seconds from now without an automatic action: the daemon has just started."""
    journal_lost: Moment | None = None
    _opened: dict[str, float] = field(default_factory=dict)
    """Monotonic instants at which the open incidents began."""
    _refused: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Why the ledger refused a claim, and when (monotonic)."""
    _quiet_ends: float = 0.0
    _released: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of what was started of late: that start, and when it was seen healthy after it (monotonic)."""

    def __post_init__(self) -> None:
        """A wall clock that is set must not prolong the quiet time after the start."""
        self._quiet_ends = self.monotonic() + self.quiet

    def instant(self, monotonic: float) -> datetime:
        """A monotonic instant on the wall clock as it is now."""
        return self.moment().at - timedelta(seconds=self.monotonic() - monotonic)

    @property
    def is_early(self) -> bool:
        """Whether the daemon has just started and has not seen everybody yet."""
        return self.monotonic() < self._quiet_ends

    def note_refusal(self, name: str, why: str) -> None:
        """The ledger has refused a claim: the next look must not claim again at once."""
        self._refused[name] = (why, self.monotonic())

    # -- what a decision needs --------------------------------------------------------------------

    def of(self, name: str, *, now: bool = True) -> Situation:
        """All that a decision about a component needs. Not `now`: halted or not as it was a moment
        ago, for who asks once more before the act.
        """
        lost = self.journal.is_lost(name, self.journal_lost)
        incident = self.picture.incidents.get(name)
        automation, busy = self.automation, self.fleet.busy
        full = len(busy) >= automation.restraint.limits.concurrent or name in busy
        return Situation(
            incident=incident,
            status=self.picture.present[name],
            observed=self.picture.is_observed_down(name),
            attempts=self.journal.since_reset(name),
            dependencies=self._dependencies(name),
            actions_enabled=automation.enabled,
            halted=automation.is_halted(now=now),
            busy=", ".join(busy) if full else "",
            flapping=self.picture.is_flapping(name),
            journal_lost=lost,
            journal_unwritable=not (self.recorder.writable and self.journal.writable),
            settling_until=self._settling_until(name),
            quiet_until=self.instant(self._quiet_ends),
            down_for=self._down_for(incident) if incident else 0.0,
            doubted=automation.doubt,
            fenced=automation.fenced,
            breaker=automation.breaker.reason if automation.breaker.opened else "",
            brake=automation.brake(name),
            limit=self._refusal(name) or automation.limit(name, self._recent()),
        )

    def _recent(self) -> list[Recent]:
        """Actions of late, and those that are decided and not journaled yet: several may be decided
        at one look.
        """
        claimed = {
            name
            for name in self.fleet.busy
            if any(not attempt.outcome for attempt in self.journal.all(name))
        }
        begun = [Recent(name, 0.0) for name in self.fleet.busy if name not in claimed]
        return [*self.journal.recent(), *begun]

    def _refusal(self, name: str) -> tuple[str, float] | None:
        why, at = self._refused.get(name, ("", -REFUSED_FOR))
        left = at + REFUSED_FOR - self.monotonic()
        return (why, left) if why and left > 0 else None

    def _down_for(self, incident: Incident) -> float:
        """Seconds since the incident opened; by the wall clock only for the time before this
        sentinel saw it.
        """
        before = max((self.moment().at - incident.opened).total_seconds(), 0.0)
        return self.monotonic() - self._opened.setdefault(incident.id, self.monotonic() - before)

    def _settling_until(self, name: str) -> datetime | None:
        """The start-up grace begins anew when something that the component needs has recovered."""
        now = self.moment().at
        incidents = map(self.picture.incidents.get, self.picture.needed(name))
        recovered = [
            healed
            for incident in incidents
            # Later than now: the wall clock was set back since.
            if incident and (healed := incident.recovered or incident.settled) and healed <= now
        ]
        return max(recovered) + self._grace(name) if recovered else None

    def _grace(self, name: str) -> timedelta:
        return timedelta(seconds=self.picture.components[name].restart.startup_grace)

    def _dependencies(self, name: str) -> Mapping[str, Status]:
        """Every transitive dependency with what was seen of it since this component failed last."""
        since = self.failed_at(name) or self.moment().at
        needed = self.picture.needed(name)
        return {each: self.picture.status_after(each, since) for each in needed}

    def failed_at(self, name: str) -> datetime | None:
        """When it went down, or its last attempt ended: what was healthy before that may not be any
        more.
        """
        since, incident = self.picture.present_since.get(name), self.picture.incidents.get(name)
        mine = self.journal.of_incident(incident) if incident is not None else []
        ended = mine[-1].ended if mine else None
        if since is None or ended is None or ended > self.moment().at:
            return since
        return max(since, ended)

    # -- who is not judged ------------------------------------------------------------------------

    def is_held(self, name: str) -> bool:
        """Whether nothing of a component is an incident now.

        It, or something that it needs, is stopped on request; or it was started just now, lives,
        and was not seen healthy yet: in its start-up grace only its own death counts. When what it
        needs has become healthy, the first look that begins after that decides.
        """
        needed = self.picture.needed(name)
        if any(each in self.fleet.stopped or self._starts(each) for each in (name, *needed)):
            return True
        released = [self._released[each][1] for each in needed if each in self._released]
        return bool(released) and not self._is_bad_by_itself(name, self.instant(max(released)))

    def note_look(self, name: str) -> None:
        """A turn of a component: from the first good one after its start on, what needs it is
        judged by what is seen of it then.
        """
        started, now = self.fleet.started.get(name), self.monotonic()
        if started is None or now - started >= self._grace(name).total_seconds():
            return
        if self._starts(name):
            self._released.pop(name, None)
        elif self._released.get(name, (None, 0.0))[0] != started:
            self._released[name] = (started, now)

    def _is_bad_by_itself(self, name: str, since: datetime) -> bool:
        """Whether a component is bad for more than a look that began before an instant; what one
        look proves, and what was lost, no dependency explains.
        """
        status = self.picture.statuses.get(name)
        return any(
            watched.certain or watched.lost in BAD or watched.is_bad_since(since)
            for watched in self.picture.of(name)
            if watched.shown is status
        )

    def _starts(self, name: str) -> bool:
        driver, started = self.fleet.drivers.get(name), self.fleet.started.get(name)
        if driver is None or started is None or driver.how_ended:
            return False
        age = timedelta(seconds=self.monotonic() - started)
        since = self.moment().at - age
        return age < self._grace(name) and self.picture.status_after(name, since) is not Status.UP

    def why_unjudged(self, name: str) -> str:
        """Why a component that does not run is no failure: it waits for what it needs, or somebody
        stopped it; else "".
        """
        fleet = self.fleet
        if name not in fleet.stopped or fleet.pid_of(name) is not None:
            return ""
        if name in fleet.waiting:
            return self._describe_action(name)
        return "restarted on request" if name in fleet.busy else "stopped on request"

    def find_missing(self, name: str) -> str:
        """What a waiting component waits for, or ""."""
        since, stopped = self.instant(self.fleet.waiting[name]), self.fleet.stopped
        for dependency in self.picture.components[name].depends_on:
            if dependency not in self.picture.components:
                continue
            status = self.picture.status_after(dependency, since)
            if dependency in stopped or status is not Status.UP:
                what = "stopped" if dependency in stopped else status
                return f"waits for {dependency}, which is {what}"
        return ""

    # -- for people -------------------------------------------------------------------------------

    def describe(self, name: str) -> tuple[str, int | None, int]:
        """Why nothing is being done (or what is), process id, restarts so far."""
        restarts = sum(bool(attempt.outcome) for attempt in self.journal.all(name))
        return self._describe_action(name), self.fleet.pid_of(name), restarts

    def _describe_action(self, name: str) -> str:
        fleet = self.fleet
        if name in fleet.waiting:
            return self.find_missing(name) or self.automation.may_act(automatic=False) or "starts"
        if name in fleet.stopped and name not in fleet.busy:
            return f"stopped on request: `sentinel start {name}`"
        decision, incident = fleet.decisions.get(name), self.picture.incidents.get(name)
        why = _explain(decision) if decision else ""
        is_well = self.picture.present.get(name) is Status.UP
        if not why and is_well and incident is not None and incident.settled is not None:
            return "nothing to restart; accept what was lost: `sentinel faults` shows how"
        return why


def _explain(decision: Decision) -> str:
    """Why, and until when if time will change it."""
    if decision.reason is Reason.NOT_DOWN:
        return ""
    until = f", until {decision.not_before:%H:%M:%S} UTC" if decision.not_before else ""
    return f"{decision.text}{until}"
