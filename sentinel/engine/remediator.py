"""Starts, adopts, restarts supervised components. The core decides; here it is journaled, done and verified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from sentinel.core.incident import Event
from sentinel.core.model import Attempt, Component, Incident, IncidentState, Status
from sentinel.core.restart import Decision, Reason, Situation, decide_restart
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.supervision import STARTED_AFTER, name_of_check
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.remediation import Outcome
from sentinel.remediation.process import ProcessDriver
from sentinel.store import Changes, ProcessRow, Store

log = structlog.get_logger()


@dataclass(slots=True)
class Remediator:
    """One action at a time; every attempt is a journal row before it is an act."""

    pipeline: Pipeline
    recorder: Recorder
    store: Store
    metrics: Metrics
    utcnow: Callable[[], datetime]
    monotonic: Callable[[], float]
    trigger: Callable[[str], None]
    halt_file: Path
    actions_enabled: bool
    quiet_until: datetime
    journal_lost: datetime | None = None
    drivers: dict[str, ProcessDriver] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    """Components that were stopped on request."""
    _attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    _resets: dict[str, datetime] = field(default_factory=dict)
    _decisions: dict[str, Decision] = field(default_factory=dict)
    _asked: dict[str, datetime | None] = field(default_factory=dict)
    _busy: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # -- start and stop ---------------------------------------------------------------------------

    async def manage(self, component: Component, driver: ProcessDriver, row: ProcessRow | None) -> None:
        """Take a component under supervision: adopt what runs, start what never ran, leave the dead to the budget."""
        self.drivers[component.name] = driver
        driver.watch(lambda how: self._on_end(component.name, how))
        incident = self.pipeline.incidents.get(component.name)
        self.metrics.add_supervised(component.name, exhausted=incident is not None and incident.exhausted)
        self._attempts[component.name] = self._spent(component.name)
        await self._settle_interrupted(component.name)
        reset = self.store.meta(f"reset/{component.name}")
        if reset:
            self._resets[component.name] = datetime.fromisoformat(reset)
        if (row is None or row.wanted) and driver.adopt(row.start_id if row else ""):
            age = (self.utcnow() - row.started).total_seconds() if row else STARTED_AFTER
            self.started[component.name] = self.monotonic() - max(age, 0)
            await self.recorder.record(Changes(processes=[self._row(component.name, driver)]))
            log.info("component_adopted", component=component.name, pid=driver.pid)
        elif row is not None and row.wanted:
            driver.how_ended = "ended while sentinel was away"
        else:
            await self._first_start(component.name, driver)

    def _spent(self, name: str) -> list[Attempt]:
        """Attempts of the last day, and all of the incident that is open, however old."""
        since = self.utcnow() - timedelta(days=1)
        incident = self.pipeline.incidents.get(name)
        return self.store.attempts(component=name, since=min(since, incident.opened) if incident else since)

    async def _settle_interrupted(self, name: str) -> None:
        """A row without outcome is spent, outcome unknown: sentinel ended between the intent and its end."""
        for attempt in self._attempts[name]:
            if not attempt.outcome:
                text = "sentinel ended during this attempt: spent, outcome unknown"
                unknown = replace(attempt, outcome="unknown", detail=text, ended=self.utcnow())
                await self._keep(unknown, Event("attempt unknown", f"attempt {attempt.n}: {text}"))

    async def _first_start(self, name: str, driver: ProcessDriver) -> None:
        if self.is_halted():
            driver.how_ended = "was not started: halted"
            return
        await self.recorder.record(Changes(processes=[ProcessRow(name, 0, "", self.utcnow(), True)]))
        outcome = await driver.start()
        self._note_start(name, driver, outcome)
        await self.recorder.record(Changes(processes=[self._row(name, driver)]))
        log.info("component_started", component=name, done=outcome.done, detail=outcome.detail)

    def _note_start(self, name: str, driver: ProcessDriver, outcome: Outcome) -> None:
        self.started[name] = self.monotonic()
        if not outcome.done:
            driver.how_ended = outcome.detail
        asyncio.get_running_loop().call_later(1.05, self.trigger, name_of_check(name))
        self.trigger(name_of_check(name))

    def _row(self, name: str, driver: ProcessDriver) -> ProcessRow:
        return ProcessRow(name, driver.pid or 0, driver.start_id, self.utcnow(), True)

    async def stop_all(self) -> None:
        """Stop every supervised component, dependents first; not counted as failures."""
        for name in reversed(list(self.drivers)):
            await self.stop(name)

    async def stop(self, name: str) -> Outcome:
        """Stop a component on request: no failure, no incident, no restart."""
        driver = self.drivers[name]
        self.stopped.add(name)
        outcome = await driver.stop()
        if not outcome.done:
            self.stopped.discard(name)
        row = ProcessRow(name, driver.pid or 0, driver.start_id, self.utcnow(), not outcome.done)
        await self.recorder.record(Changes(processes=[row]))
        log.info("component_stopped", component=name, done=outcome.done, detail=outcome.detail)
        return outcome

    async def close(self) -> None:
        """End running actions; components go on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for driver in self.drivers.values():
            driver.close()

    # -- what happens -----------------------------------------------------------------------------

    def _on_end(self, name: str, how: str) -> None:
        log.warning("component_ended", component=name, how=how)
        self.trigger(name_of_check(name))

    def is_halted(self) -> bool:
        """The kill switch: anything but a certain "no such file" counts as halted."""
        try:
            self.halt_file.stat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def describe(self, name: str) -> tuple[str, int | None, int]:
        """For people: why nothing is being done (or what is), process id, restarts so far."""
        driver = self.drivers.get(name)
        restarts = sum(bool(attempt.outcome) for attempt in self._attempts.get(name, ()))
        decision = self._decisions.get(name)
        text = decision.text if decision and decision.reason is not Reason.NOT_DOWN else ""
        return text, driver.pid if driver else None, restarts

    def attempts(self, name: str) -> list[Attempt]:
        """Attempts of a component in the last day, oldest first."""
        return list(self._attempts.get(name, ()))

    def consider(self) -> None:
        """Look at every supervised component: verify attempts, decide anew, act when nothing objects."""
        self.metrics.halted.set(self.is_halted())
        for name in self.drivers:
            incident = self.pipeline.incidents.get(name)
            if incident is None:
                self._decisions.pop(name, None)
                continue
            self._ask_dependencies(name)
            self._verify(name, incident)
            decision = decide_restart(
                self.pipeline.components[name].restart, self._situation(name, incident), self._now()
            )
            self._follow(name, incident, decision)

    def _now(self) -> datetime:
        return self.utcnow()

    def _situation(self, name: str, incident: Incident) -> Situation:
        lost = self.journal_lost
        reset = self._resets.get(name)
        return Situation(
            incident=incident,
            status=self.pipeline.statuses[name],
            observed=self.pipeline.is_observed_down(name),
            attempts=[a for a in self._attempts.get(name, ()) if reset is None or a.intended > reset],
            dependencies=self._dependencies(name),
            actions_enabled=self.actions_enabled,
            halted=self.is_halted(),
            busy=self._busy,
            flapping=self.pipeline.is_flapping(name),
            journal_lost=lost is not None and (reset is None or reset < lost),
            journal_unwritable=not self.recorder.writable,
            settling_until=self._settling_until(name),
            quiet_until=self.quiet_until,
        )

    def _settling_until(self, name: str) -> datetime | None:
        """The start-up grace of a component begins anew when something that it needs has recovered."""
        incidents = (self.pipeline.incidents.get(dependency) for dependency in self._needed(name))
        recovered = [incident.recovered for incident in incidents if incident is not None and incident.recovered]
        grace = timedelta(seconds=self.pipeline.components[name].restart.startup_grace)
        return max(recovered) + grace if recovered else None

    def _dependencies(self, name: str) -> Mapping[str, Status]:
        """Every transitive dependency with what was seen of it since this component went down."""
        since = self.pipeline.since.get(name, self.utcnow())
        return {each: self.pipeline.status_after(each, since) for each in self._needed(name)}

    def _needed(self, name: str) -> list[str]:
        """Every transitive dependency of a component."""
        found: dict[str, None] = {}
        waiting = list(self.pipeline.components[name].depends_on)
        while waiting:
            dependency = waiting.pop()
            if dependency not in found:
                found[dependency] = None
                waiting += self.pipeline.components[dependency].depends_on
        return list(found)

    def _ask_dependencies(self, name: str) -> None:
        """An old "up" proves nothing: have every dependency checked again, once for each failure of `name`."""
        since = self.pipeline.since.get(name)
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
            self._busy = name
            self._spawn(self._act(name, incident, decision.n))
        elif decision.reason is Reason.BUDGET_SPENT and not incident.exhausted:
            self._spawn(self._exhaust(incident, decision.text))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.metrics.swallowed.labels("dispatcher").inc()
            log.error("action_raised", error=repr(task.exception()))

    # -- act --------------------------------------------------------------------------------------

    async def _act(self, name: str, incident: Incident, n: int) -> None:
        """Journal, check the kill switch once more, stop what is left, start, write what became of it."""
        driver = self.drivers[name]
        attempt = Attempt(incident.id, n, name, "restart", incident.summary, self.utcnow())
        try:
            if not await self._claim(attempt):
                return
            outcome = await self._restart(driver)
            self._note_start(name, driver, outcome)
            ended = replace(
                attempt,
                outcome="done" if outcome.done else "failed",
                detail=outcome.detail,
                ended=self.utcnow(),
                start_id=outcome.start_id,
                verdict="" if outcome.done else "failed",
            )
            await self._keep(
                ended, Event("restarted" if outcome.done else "attempt failed", f"{name}: {outcome.detail}")
            )
            await self.recorder.record(Changes(processes=[self._row(name, driver)]))
        finally:
            self._busy = ""

    async def _claim(self, attempt: Attempt) -> bool:
        """The row is the fence: what can't be journaled is not done."""
        try:
            claimed = await self.recorder.call(lambda: self.store.claim_attempt(attempt))
        except StateError as error:
            self.recorder.writable = False
            log.error("journal_not_writable", component=attempt.component, error=error.message)
            return False
        self._attempts.setdefault(attempt.component, []).append(attempt)
        if not claimed:
            log.error("attempt_already_claimed", incident=attempt.incident, n=attempt.n)
            return False
        event = Event("attempt", f"attempt {attempt.n}: restart of {attempt.component}")
        await self.recorder.record(Changes(events=[(attempt.incident, attempt.intended, event, {})]))
        return True

    async def _restart(self, driver: ProcessDriver) -> Outcome:
        if self.is_halted():
            return Outcome(False, "halted between intent and act")
        stopped = await driver.stop()
        return await driver.start() if stopped.done else stopped

    async def _keep(self, attempt: Attempt, *events: Event) -> None:
        """Remember what became of an attempt."""
        self._replace(attempt)
        if attempt.verdict or attempt.outcome == "failed":
            self.metrics.attempts.labels(attempt.component, attempt.verdict or attempt.outcome).inc()
        now = self.utcnow()
        entries: list[tuple[str, datetime, Event, Mapping[str, Any]]] = [
            (attempt.incident, now, event, {}) for event in events
        ]
        await self.recorder.record(Changes(attempts=[attempt], events=entries))

    def _replace(self, attempt: Attempt) -> None:
        """Put the newer version of an attempt into the memory at once, so that nothing is judged twice."""
        key = (attempt.incident, attempt.n)
        mine = self._attempts[attempt.component]
        self._attempts[attempt.component] = [attempt if (a.incident, a.n) == key else a for a in mine]

    async def _exhaust(self, incident: Incident, why: str) -> None:
        """Give up, once, and say so with the next manual step."""
        current = self.pipeline.incidents.get(incident.component)
        if current is None or current.id != incident.id or current.exhausted:
            return
        name = incident.component
        self.metrics.exhausted.labels(name).set(1)
        text = f"{why}; next: repair it (log: {name}.log in the state folder), then `sentinel reset {name} --reason …`"
        await self.pipeline.change_incident(replace(current, exhausted=True, escalated=True), Event("exhausted", text))

    # -- verify -----------------------------------------------------------------------------------

    def _verify(self, name: str, incident: Incident) -> None:
        """Judge the last attempt by what the checks saw after it."""
        mine = [attempt for attempt in self._attempts.get(name, ()) if attempt.incident == incident.id]
        if not mine or mine[-1].verdict or not mine[-1].outcome:
            return
        attempt, policy, now = mine[-1], self.pipeline.components[name].restart, self.utcnow()
        status, since = self.pipeline.statuses[name], self.pipeline.since.get(name, now)
        if status is Status.UP and since > attempt.intended:
            self._verify_health(attempt, incident, policy.success_after, since, now)
        elif self.drivers[name].pid is None and self.drivers[name].how_ended:
            self._conclude(attempt, "failed", f"{self.drivers[name].how_ended} after the restart")
        elif now >= attempt.intended + timedelta(seconds=policy.startup_grace):
            self._conclude(attempt, "failed", f"not healthy within {policy.startup_grace:g} s")

    def _verify_health(
        self, attempt: Attempt, incident: Incident, success_after: float, since: datetime, now: datetime
    ) -> None:
        if attempt.recovered_in is None:
            seconds = (since - self._noticed(attempt, incident)).total_seconds()
            attempt = replace(attempt, recovered_in=round(seconds, 3))
            self._replace(attempt)
            event = Event("healthy", f"{attempt.component} is healthy {seconds:.2f} s after the failure was noticed")
            self._spawn(self._keep(attempt, event))
        if (now - since).total_seconds() >= success_after:
            self._conclude(attempt, "recovered", f"healthy for {success_after:g} s")

    def _noticed(self, attempt: Attempt, incident: Incident) -> datetime:
        """When the failure behind this attempt was noticed: the end of the attempt before, or the incident's start."""
        before = [a for a in self._attempts[attempt.component] if a.incident == incident.id and a.n == attempt.n - 1]
        return max(incident.opened, before[0].ended or incident.opened) if before else incident.opened

    def _conclude(self, attempt: Attempt, verdict: str, text: str) -> None:
        concluded = replace(attempt, verdict=verdict)
        self._replace(concluded)
        self._spawn(self._keep(concluded, Event(f"attempt {verdict}", f"attempt {attempt.n}: {text}")))

    # -- operators --------------------------------------------------------------------------------

    async def restart_on_request(self, name: str, reason: str) -> str:
        """Restart at an operator's word: under the kill switch and one at a time, outside the automatic budget."""
        driver = self.drivers.get(name)
        if driver is None:
            return f"refused: {name} is not supervised by sentinel"
        if self.is_halted():
            return "refused: halted (`sentinel resume`)"
        if self._busy:
            return f"refused: one action at a time, {self._busy} is being restarted"
        self._busy = name
        try:
            outcome = await self._restart(driver)
            self.stopped.discard(name)
            self._note_start(name, driver, outcome)
            await self.recorder.record(Changes(processes=[self._row(name, driver)]))
        finally:
            self._busy = ""
        incident = self.pipeline.incidents.get(name)
        if incident is not None:
            event = Event("operator", f"restarted by an operator: {reason} ({outcome.detail})")
            await self.pipeline.change_incident(incident, event)
        return outcome.detail if outcome.done else f"failed: {outcome.detail}"

    async def reset(self, name: str, reason: str) -> str:
        """Give a component a full budget again: the present incident ends here, a new one may open."""
        now = self.utcnow()
        incident = self.pipeline.incidents.get(name)
        if name not in self.pipeline.components:
            return f"unknown component {name}"
        self._resets[name] = now
        self.pipeline.forget_failures(name)
        self.metrics.exhausted.labels(name).set(0)
        await self.recorder.record(Changes(meta={f"reset/{name}": now.isoformat()}))
        if incident is not None:
            closed = replace(incident, state=IncidentState.CLOSED, closed=now, exhausted=False)
            await self.pipeline.change_incident(closed, Event("reset", f"reset by an operator: {reason}"))
        self.trigger(name_of_check(name))
        return "reset"
