"""Starts, adopts, restarts components. The core decides; here it is journaled, done and verified."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sentinel.coordination import Refused
from sentinel.core.fault import Status
from sentinel.core.incident import Event
from sentinel.core.model import Attempt, Component, Incident, IncidentState
from sentinel.core.moment import Moment
from sentinel.core.remediation.brake import Recent
from sentinel.core.remediation.restart import Decision, Reason, Situation, decide_restart
from sentinel.engine.automation import Automation
from sentinel.engine.journal import Journal
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.supervision import STARTED_AFTER, name_of_check
from sentinel.engine.verification import Verification
from sentinel.metrics import Metrics
from sentinel.remediation import Driver, Outcome
from sentinel.store import Changes, ProcessRow

log = structlog.get_logger()

LOOK_AFTER = STARTED_AFTER + 0.05
"""Seconds after a start: then its checks can tell."""
REFUSED_FOR = 10.0
"""Seconds until a claim that the ledger has refused is tried again."""
REFUSED = "refused: "


@dataclass(slots=True)
class Remediator:
    """Every attempt is a journal row before it is an act; every guard is asked before the row is
    written.
    """

    pipeline: Pipeline
    recorder: Recorder
    journal: Journal
    automation: Automation
    metrics: Metrics
    moment: Callable[[], Moment]
    monotonic: Callable[[], float]
    trigger: Callable[[str], None]
    quiet_until: datetime
    journal_lost: datetime | None = None
    drivers: dict[str, Driver] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    """Components that were stopped on request, are being restarted on request, or wait to be
    started: not judged.
    """
    waiting: dict[str, float] = field(default_factory=dict)
    """Components to be started as soon as what they need was seen healthy after this monotonic
    instant.
    """
    _supervised: set[str] = field(default_factory=set)
    _decisions: dict[str, Decision] = field(default_factory=dict)
    _asked: dict[str, datetime | None] = field(default_factory=dict)
    _opened: dict[str, float] = field(default_factory=dict)
    """Monotonic instants at which the open incidents began."""
    _busy: dict[str, None] = field(default_factory=dict)
    _refused: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Why the ledger refused a claim, and when (monotonic)."""
    _quiet_ends: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """A wall clock that is set must not prolong the quiet time after the start."""
        self._quiet_ends = self.monotonic() + (self.quiet_until - self.moment().at).total_seconds()

    def instant(self, monotonic: float) -> datetime:
        """A monotonic instant on the wall clock as it is now."""
        return self.moment().at - timedelta(seconds=self.monotonic() - monotonic)

    def acts_on(self, name: str) -> bool:
        """Whether it is being restarted right now."""
        return name in self._busy

    def in_order(self) -> list[str]:
        """Components with a driver, what they need first; a reload may have brought a dependency
        last.
        """
        return sorted(self.drivers, key=lambda name: len(self._needed(name)))

    # -- start and stop ---------------------------------------------------------------------------

    async def manage(
        self,
        component: Component,
        driver: Driver,
        row: ProcessRow | None,
        *,
        supervises: bool = True,
    ) -> None:
        """Take a component into hand: adopt what runs, start what never ran, leave the dead to the
        budget.
        """
        name = component.name
        self.drivers[name] = driver
        driver.watch(lambda how: self._on_end(name, how))
        incident = self.pipeline.incidents.get(name)
        self.metrics.add_supervised(name, exhausted=incident is not None and incident.exhausted)
        self.journal.load(name)
        if row is not None and not row.wanted and not row.with_platform:
            self.stopped.add(name)
        if supervises:
            self._supervised.add(name)
            await self._take_up(name, driver, row)
            await self.journal.settle_interrupted(name, driver.start_id)
        else:
            driver.adopt(row.start_id if row else "")
            self._spawn(self._look_first(name, driver))

    async def _look_first(self, name: str, driver: Driver) -> None:
        """Its manager may take seconds to answer: others are not kept waiting."""
        await driver.observe()
        await self.journal.settle_interrupted(name, driver.start_id)

    def release(self, name: str) -> None:
        """Let a component go: it is no longer in the configuration, or another driver takes it
        over.
        """
        driver = self.drivers.pop(name)
        if name in self.waiting:  # it was not stopped on request: a new driver starts it
            self.stopped.discard(name)
        for memory in (self.started, self.waiting, self._decisions):
            memory.pop(name, None)
        self._supervised.discard(name)
        driver.close()
        log.info("component_released", component=name, pid=driver.pid)

    async def _take_up(self, name: str, driver: Driver, row: ProcessRow | None) -> None:
        if (row is None or row.wanted) and driver.adopt(row.start_id if row else ""):
            age = (self.moment().at - row.started).total_seconds() if row else STARTED_AFTER
            self.started[name] = self.monotonic() - max(age, 0)
            await self._note_process(name, driver)
            log.info("component_adopted", component=name, pid=driver.pid)
        elif row is not None and row.wanted:
            driver.how_ended = (
                "does not run" if self._is_known_dead(name) else "ended while sentinel was away"
            )
        elif name not in self.stopped:
            self.start_when_ready(name)

    def _is_known_dead(self, name: str) -> bool:
        """Whether the sentinel before this one saw that it had ended, and it was not back."""
        incident = self.pipeline.incidents.get(name)
        if (
            incident is None
            or incident.state is not IncidentState.OPEN
            or incident.status is not Status.DOWN
        ):
            return False
        return incident.check == name_of_check(name)

    def start_when_ready(self, name: str) -> None:
        """Start it once everything that it needs is healthy: a process that runs is not enough."""
        self.waiting[name] = self.monotonic()
        self.stopped.add(name)
        for dependency in self._needed(name):
            for check in self.pipeline.checks_of(dependency):
                self.trigger(check)

    async def ask_start(self, name: str) -> None:
        """`start_when_ready` at a person's word: a sentinel that ends meanwhile starts it the next
        time.
        """
        driver = self.drivers[name]
        if driver.pid is None:
            await self._note_process(name, driver, wanted=False, with_platform=True)
        self.start_when_ready(name)

    def missing(self, name: str) -> str:
        """What a waiting component waits for, or ""."""
        since = self.instant(self.waiting[name])
        for dependency in self.pipeline.components[name].depends_on:
            if dependency not in self.pipeline.components:
                continue
            status = self.pipeline.status_after(dependency, since)
            if dependency in self.stopped or status is not Status.UP:
                return (
                    f"waits for {dependency}, which is"
                    f" {'stopped' if dependency in self.stopped else status}"
                )
        return ""

    def _start_ready_ones(self) -> None:
        if not self.waiting or self.automation.may_act(automatic=False):
            return
        for name in [
            name for name in self.waiting if name not in self._busy and not self.missing(name)
        ]:
            del self.waiting[name]
            self._spawn(self._first_start(name))

    async def _first_start(self, name: str) -> None:
        """The intent is noted first: a sentinel that ends in between finds the process by its mark."""
        await self.recorder.record(
            Changes(processes=[ProcessRow(name, 0, "", self.moment().at, True)])
        )
        await self.start(name)

    def note_start(self, name: str, driver: Driver, outcome: Outcome) -> None:
        """It was started just now: its grace begins, and its check looks soon."""
        self.started[name] = self.monotonic()
        if not outcome.done:
            driver.how_ended = outcome.detail
        self.trigger(name_of_check(name))
        for check in self.pipeline.checks_of(name):
            asyncio.get_running_loop().call_later(LOOK_AFTER, self.trigger, check)

    async def _note_process(
        self, name: str, driver: Driver, *, wanted: bool = True, with_platform: bool = False
    ) -> None:
        row = ProcessRow(
            name, driver.pid or 0, driver.start_id, self.moment().at, wanted, with_platform
        )
        await self.recorder.record(Changes(processes=[row]))

    async def stop_all(self) -> None:
        """Stop what sentinel is the parent of, dependents first; the next start of sentinel starts
        it again.
        """
        await self._end_actions()
        for name in reversed(self.in_order()):
            if name in self._supervised:
                await self._stop(
                    name, with_platform=name not in self.stopped or name in self.waiting
                )

    async def stop(self, name: str) -> Outcome:
        """Stop a component on request: no failure, no incident, no restart, until it is started on
        request.
        """
        return await self._stop(name, with_platform=False)

    async def _stop(self, name: str, *, with_platform: bool) -> Outcome:
        driver = self.drivers[name]
        known = name in self.stopped
        self.stopped.add(name)
        self.waiting.pop(name, None)
        outcome = await self._guarded(driver.stop())
        if not outcome.done and not known:
            self.stopped.discard(name)
        await self._note_process(name, driver, wanted=not outcome.done, with_platform=with_platform)
        log.info("component_stopped", component=name, done=outcome.done, detail=outcome.detail)
        return outcome

    async def start(self, name: str) -> Outcome:
        """Start a component now."""
        driver = self.drivers[name]
        self.waiting.pop(name, None)
        outcome = await self._guarded(driver.start())
        self.stopped.discard(name)
        self.note_start(name, driver, outcome)
        await self._note_process(name, driver)
        log.info("component_started", component=name, done=outcome.done, detail=outcome.detail)
        return outcome

    async def close(self) -> None:
        """End running actions; components go on."""
        await self._end_actions()
        for driver in self.drivers.values():
            driver.close()

    async def _end_actions(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what happens -----------------------------------------------------------------------------

    def _on_end(self, name: str, how: str) -> None:
        log.warning("component_ended", component=name, how=how)
        self.trigger(name_of_check(name))

    def describe(self, name: str) -> tuple[str, int | None, int]:
        """For people: why nothing is being done (or what is), process id, restarts so far."""
        driver = self.drivers.get(name)
        restarts = sum(bool(attempt.outcome) for attempt in self.journal.all(name))
        decision = self._decisions.get(name)
        text = _explain(decision) if decision else ""
        if name in self.waiting:
            text = self.missing(name) or self.automation.may_act(automatic=False) or "starts"
        elif name in self.stopped and name not in self._busy:
            text = f"stopped on request: `sentinel start {name}`"
        return text, driver.pid if driver else None, restarts

    def consider(self) -> None:
        """Look at every component: verify attempts, decide anew, act when nothing objects."""
        self.metrics.halted.set(self.automation.is_halted())
        self._look_at_all()
        self._start_ready_ones()
        for name in self.drivers:
            try:
                self._consider(name)
            except Exception as error:  # noqa: BLE001 - an error about one component must not leave the others alone
                self._swallow("consider_raised", error, component=name)

    def _consider(self, name: str) -> None:
        incident = self.pipeline.incidents.get(name)
        if incident is None or name in self.stopped:
            self._decisions.pop(name, None)
            return
        self._ask_dependencies(name)
        self._verify(name, incident)
        policy = self.pipeline.components[name].restart
        self._follow(name, incident, decide_restart(policy, self.situation(name), self.moment()))

    def _look_at_all(self) -> None:
        """Brake and breaker, which know no single component."""
        incidents = self.pipeline.incidents
        judged = [
            name
            for name, incident in incidents.items()
            if not incident.blocked_by and name not in self.stopped
        ]
        down = [name for name in judged if self.pipeline.statuses[name] is Status.DOWN]
        groups = (
            {name: each.group for name, each in self.pipeline.components.items()} if down else {}
        )
        for changes in (
            self.automation.look(groups, down, early=self.monotonic() < self._quiet_ends),
            self.automation.judge(self.journal.verdicts(self.automation.closed_at())),
        ):
            if changes:
                self._spawn(self.recorder.record(changes))

    def situation(self, name: str) -> Situation:
        """All that a decision about a component needs."""
        lost, reset, incident = (
            self.journal_lost,
            self.journal.resets.get(name),
            self.pipeline.incidents.get(name),
        )
        full = len(self._busy) >= self.automation.limits.concurrent or name in self._busy
        return Situation(
            incident=incident,
            status=self.pipeline.statuses[name],
            observed=self.pipeline.is_observed_down(name),
            attempts=self.journal.since_reset(name),
            dependencies=self._dependencies(name),
            actions_enabled=self.automation.enabled,
            halted=self.automation.is_halted(),
            busy=", ".join(self._busy) if full else "",
            flapping=self.pipeline.is_flapping(name),
            journal_lost=lost is not None and (reset is None or reset.at < lost),
            journal_unwritable=not (self.recorder.writable and self.journal.writable),
            settling_until=self._settling_until(name),
            quiet_until=self.instant(self._quiet_ends),
            down_for=self._down_for(incident) if incident else 0.0,
            fenced=self.automation.fenced,
            breaker=self.automation.breaker.reason if self.automation.breaker.opened else "",
            brake=self.automation.brake(name),
            limit=self._refusal(name)
            or self.automation.limit(name, [*self.journal.recent(), *self._begun()]),
        )

    def _begun(self) -> list[Recent]:
        """Actions that are decided and not journaled yet: several may be decided at one look."""
        claimed = {
            name
            for name in self._busy
            if any(not attempt.outcome for attempt in self.journal.all(name))
        }
        return [Recent(name, 0.0) for name in self._busy if name not in claimed]

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
        """The start-up grace of a component begins anew when something that it needs has recovered."""
        incidents = (self.pipeline.incidents.get(dependency) for dependency in self._needed(name))
        recovered = [
            incident.recovered
            for incident in incidents
            if incident is not None and incident.recovered
        ]
        recovered = [
            at for at in recovered if at <= self.moment().at
        ]  # else the wall clock was set back since
        grace = timedelta(seconds=self.pipeline.components[name].restart.startup_grace)
        return max(recovered) + grace if recovered else None

    def _dependencies(self, name: str) -> Mapping[str, Status]:
        """Every transitive dependency with what was seen of it since this component failed last."""
        since = self._failed_at(name) or self.moment().at
        return {each: self.pipeline.status_after(each, since) for each in self._needed(name)}

    def _failed_at(self, name: str) -> datetime | None:
        """When it went down, or its last attempt ended: what was healthy before that may not be any
        more.
        """
        since, incident = self.pipeline.since.get(name), self.pipeline.incidents.get(name)
        mine = self.journal.of_incident(incident) if incident is not None else []
        ended = mine[-1].ended if mine else None
        if since is None or ended is None or ended > self.moment().at:
            return since
        return max(since, ended)

    def _needed(self, name: str) -> list[str]:
        """Every transitive dependency of a component."""
        found: dict[str, None] = {}
        waiting = list(self.pipeline.components[name].depends_on)
        while waiting:
            dependency = waiting.pop()
            if dependency not in found and dependency in self.pipeline.components:
                found[dependency] = None
                waiting += self.pipeline.components[dependency].depends_on
        return list(found)

    def is_held(self, name: str) -> bool:
        """Whether nothing of a component is an incident now.

        It, or something that it needs, is stopped on request; or it was started just now, lives,
        and was not seen healthy yet: in its start-up grace only its own death counts.
        """
        return any(
            each in self.stopped or self._starts(each) for each in (name, *self._needed(name))
        )

    def _starts(self, name: str) -> bool:
        driver, started = self.drivers.get(name), self.started.get(name)
        if driver is None or started is None or driver.how_ended:
            return False
        age = self.monotonic() - started
        since = self.moment().at - timedelta(seconds=age)
        grace = self.pipeline.components[name].restart.startup_grace
        return age < grace and self.pipeline.status_after(name, since) is not Status.UP

    def _ask_dependencies(self, name: str) -> None:
        """An old "up" proves nothing: have every dependency checked again, once for each failure of
        `name`.
        """
        since = self._failed_at(name)
        if self.pipeline.statuses[name] is not Status.DOWN or self._asked.get(name) == since:
            return
        self._asked[name] = since
        for dependency in self._needed(name):
            for check in self.pipeline.checks_of(dependency):
                self.trigger(check)

    def _follow(self, name: str, incident: Incident, decision: Decision) -> None:
        before = self._decisions.get(name)
        self._decisions[name] = decision
        if before is None or before.reason is not decision.reason:
            log.info("restart_decision", component=name, reason=decision.reason, text=decision.text)
        if decision.act:
            self._busy[name] = None
            self._spawn(self._act(name, incident))
        elif (
            decision.reason is Reason.BUDGET_SPENT
            and not incident.exhausted
            and self.automation.enabled
        ):
            self._spawn(self._exhaust(incident, decision.text))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._swallow("action_raised", error)

    def _swallow(self, event: str, error: BaseException, **facts: str) -> None:
        self.metrics.swallowed.labels("remediator").inc()
        log.error(event, error=repr(error), **facts)

    async def _guarded(self, act: Awaitable[Outcome]) -> Outcome:
        """Drivers never raise. After one that does all the same, nothing may stay open or stopped
        for ever.
        """
        try:
            return await act
        except Exception as error:  # noqa: BLE001 - whatever it is, the journal has to have an end of it
            self._swallow("driver_raised", error)
            return Outcome(False, f"its driver raised {error!r}", known=False)

    # -- act --------------------------------------------------------------------------------------

    async def _act(self, name: str, incident: Incident) -> None:
        n = self.journal.next_number(incident.id, name)
        try:
            outcome = await self.carry_out(name, incident.id, n, incident.summary, by="sentinel")
            if outcome.detail.startswith(REFUSED) and self.journal.writable:
                self._refused[name] = (outcome.detail.removeprefix(REFUSED), self.monotonic())
            if name in self.drivers:
                await self._note_process(name, self.drivers[name])
            if outcome.futile:
                await self._exhaust(incident, outcome.detail)
        finally:
            self._busy.pop(name, None)

    async def act_on_request(
        self, name: str, incident: str, n: int, reason: str, by: str
    ) -> Outcome:
        """One journaled restart beside the automatic ones; the caller has asked `decide_request`."""
        self._busy[name] = None
        known = name in self.stopped
        self.stopped.add(name)
        try:
            outcome = await self.carry_out(name, incident, n, reason, by)
        finally:
            self._busy.pop(name, None)
            if not known:
                self.stopped.discard(name)
        if outcome.done:
            self.stopped.discard(name)
            self.waiting.pop(name, None)
        wanted = name not in self.stopped
        await self._note_process(
            name, self.drivers[name], wanted=wanted, with_platform=name in self.waiting
        )
        return outcome

    async def carry_out(self, name: str, incident: str, n: int, reason: str, by: str) -> Outcome:
        """Journal, ask the kill switch once more, restart, write what became of it."""
        driver, component = self.drivers[name], self.pipeline.components[name]
        intent = replace(
            self.journal.intend(component, incident, n, reason),
            by=by,
            target=driver.start_id,
            command=_hash(component.options),
        )
        attempt = await self.journal.claim(intent, component)
        if isinstance(attempt, Refused):
            return Outcome(False, f"{REFUSED}{attempt.reason}")
        refusal = self.automation.may_act(automatic=by == "sentinel")
        outcome = (
            Outcome(False, refusal)
            if refusal
            else await self._guarded(driver.restart(f"{incident}/{n}"))
        )
        if not refusal:
            self.note_start(name, driver, outcome)
        await self._conclude_act(attempt, outcome)
        return outcome

    async def _conclude_act(self, attempt: Attempt, outcome: Outcome) -> None:
        now = self.moment()
        ended = replace(
            attempt,
            outcome=outcome.word,
            detail=outcome.detail,
            ended=now.at,
            ended_uptime=now.uptime,
            start_id=outcome.start_id,
            verdict="failed" if outcome.word == "failed" else "",
        )
        kind = {"done": "restarted", "failed": "attempt failed"}.get(
            outcome.word, "attempt unknown"
        )
        await self.journal.finish(ended, Event(kind, f"{attempt.component}: {outcome.detail}"))

    async def _exhaust(self, incident: Incident, why: str) -> None:
        """Give up, once, and say so with the next manual step."""
        current = self.pipeline.incidents.get(incident.component)
        if current is None or current.id != incident.id or current.exhausted:
            return
        name = incident.component
        self.metrics.exhausted.labels(name).set(1)
        text = (
            f"{why}; next: repair it{self._where_its_log_is(name)}, then `sentinel reset {name}"
            " --reason …`"
        )
        await self.pipeline.change_incident(
            replace(current, exhausted=True, escalated=True), Event("exhausted", text)
        )
        policy = self.pipeline.components[name].restart
        if (
            min(policy.max_attempts, policy.per_hour, policy.per_day) > 0
        ):  # else nothing was tried that did not help
            await self.recorder.record(self.automation.note_exhausted())

    def _where_its_log_is(self, name: str) -> str:
        return f" (log: {name}.log in the state folder)" if name in self._supervised else ""

    def _verify(self, name: str, incident: Incident) -> None:
        """Judge the last attempt by what the checks saw after it."""
        mine = self.journal.of_incident(incident)
        if not mine or mine[-1].verdict or not mine[-1].outcome:
            return
        policy = self.pipeline.components[name].restart
        work = Verification(self.pipeline, self.journal, self.moment(), policy).judge(
            mine, incident, self.drivers[name]
        )
        if work is not None:
            self._spawn(work)


def _hash(options: object) -> str:
    """Tells whether two attempts started the same thing, without writing down what it was."""
    return hashlib.sha256(repr(options).encode()).hexdigest()[:16]


def _explain(decision: Decision) -> str:
    """Why, and until when if time will change it."""
    if decision.reason is Reason.NOT_DOWN:
        return ""
    until = f", until {decision.not_before:%H:%M:%S} UTC" if decision.not_before else ""
    return f"{decision.text}{until}"
