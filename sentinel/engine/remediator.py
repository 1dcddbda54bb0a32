"""Starts, adopts, restarts components. The core decides; here it is journaled and done."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from sentinel.coordination import Refused
from sentinel.core.component.dependencies import put_in_order
from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Component, Incident, IncidentState
from sentinel.core.moment import Moment
from sentinel.core.remediation.restart import Decision, Reason, decide_restart
from sentinel.engine.automation import Automation
from sentinel.engine.fleet import Fleet
from sentinel.engine.incidents import Incidents
from sentinel.engine.journal import Journal
from sentinel.engine.picture import Picture
from sentinel.engine.recorder import Recorder
from sentinel.engine.scheduler import WantedChecks
from sentinel.engine.situation import Circumstances
from sentinel.engine.supervision import STARTED_AFTER, name_of_check
from sentinel.engine.verification import Verification
from sentinel.metrics import Metrics
from sentinel.remediation import Driver, Outcome
from sentinel.store import Changes, ProcessRow

log = structlog.get_logger()

LOOK_AFTER = STARTED_AFTER + 0.05
"""Seconds after a start: then its checks can tell."""
REST, LONGEST_REST = 9.0, 0.25
"""Times as long as it took to consider, nothing is considered again because of a result: so it takes
a tenth of the time at most, however many results come. A disk that kept it waiting is not waited for
any longer than this many seconds.
"""


@dataclass(slots=True)
class Remediator:
    """Every attempt is a journal row before it is an act; every guard is asked before the row is
    written.
    """

    picture: Picture
    fleet: Fleet
    circumstances: Circumstances
    incidents: Incidents
    journal: Journal
    automation: Automation
    recorder: Recorder
    metrics: Metrics
    wanted: WantedChecks
    moment: Callable[[], Moment]
    monotonic: Callable[[], float]
    _asked: dict[str, datetime | None] = field(default_factory=dict)
    _rests_until: float = float("-inf")
    _rest: asyncio.TimerHandle | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def acts_on(self, name: str) -> bool:
        """Whether it is being started or restarted right now."""
        return name in self.fleet.busy or name in self.fleet.starting

    def describe_act(self, name: str) -> str:
        """Why nothing else is done to it now."""
        act = "restarted" if name in self.fleet.busy else "started"
        return f"one action at a time: {name} is being {act}"

    def in_order(self) -> list[str]:
        """Components with a driver, what they need first; a reload may have brought a dependency
        last.
        """
        return put_in_order(self.fleet.drivers, self.picture.depends_on())

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
        self.fleet.drivers[name] = driver
        driver.watch(lambda how: self._on_end(name, how))
        incident = self.picture.incidents.get(name)
        self.metrics.add_supervised(name, exhausted=incident is not None and incident.exhausted)
        self.journal.load(name)
        if row is None and name in self.journal.losses:
            # It ran, stood or was stopped: nobody knows, so it is not started as if it were new.
            row = ProcessRow(name, 0, "", self.moment().at, True)
        if row is not None and not row.wanted and not row.with_platform:
            self.fleet.stopped.add(name)
        if supervises:
            self.fleet.supervised.add(name)
            await self._take_up(name, driver, row)
            await self.journal.settle_interrupted(name, driver.start_id)
        else:
            self._adopt(name, driver, row)
            self._spawn(self._look_first(name, driver))

    async def _look_first(self, name: str, driver: Driver) -> None:
        """Its manager may take seconds to answer: others are not kept waiting."""
        await driver.observe()
        await self.journal.settle_interrupted(name, driver.start_id)

    def release(self, name: str) -> None:
        """Let a component go: it is no longer in the configuration, or another driver takes it
        over.
        """
        driver = self.fleet.release(name)
        driver.close()
        log.info("component_released", component=name, pid=driver.pid)

    async def _take_up(self, name: str, driver: Driver, row: ProcessRow | None) -> None:
        adopted = self._adopt(name, driver, row) if row is None or row.wanted else False
        if adopted is None:  # what can't be told is not said, and nothing is started beside it
            return
        if adopted:
            age = (self.moment().at - row.started).total_seconds() if row else STARTED_AFTER
            self.fleet.started[name] = self.monotonic() - max(age, 0)
            await self._note_process(name, driver)
            log.info("component_adopted", component=name, pid=driver.pid)
        elif row is not None and row.wanted:
            driver.how_ended = (
                "does not run" if self._is_known_dead(name) else "ended while sentinel was away"
            )
        elif name not in self.fleet.stopped:
            self.start_when_ready(name)

    def _adopt(self, name: str, driver: Driver, row: ProcessRow | None) -> bool | None:
        """Drivers never raise; the trouble of one that does is that of its component alone: None."""
        try:
            return driver.adopt(row.start_id if row else "")
        except Exception as error:  # noqa: BLE001 - the other components are still to come
            self._swallow("adoption_raised", error, component=name)
            return None

    def _is_known_dead(self, name: str) -> bool:
        """Whether the sentinel before this one saw that it had ended, and it was not back."""
        incident = self.picture.incidents.get(name)
        if (
            incident is None
            or incident.state is not IncidentState.OPEN
            or incident.status is not Status.DOWN
        ):
            return False
        return incident.check == name_of_check(name)

    def start_when_ready(self, name: str) -> None:
        """Start it once everything that it needs is healthy: a process that runs is not enough."""
        self.fleet.waiting[name] = self.monotonic()
        self.fleet.stopped.add(name)
        self._ask_needed(name)

    def _ask_needed(self, name: str) -> None:
        """Have every dependency checked again."""
        for dependency in self.picture.needed(name):
            for check in self.picture.checks_of(dependency):
                self.wanted.ask(check)

    async def ask_start(self, name: str) -> None:
        """`start_when_ready` at a person's word: a sentinel that ends meanwhile starts it the next
        time.
        """
        driver = self.fleet.drivers[name]
        if driver.pid is None:
            await self._note_process(name, driver, wanted=False, with_platform=True)
        self.start_when_ready(name)

    def _start_ready_ones(self) -> None:
        if not self.fleet.waiting or self.automation.may_act(automatic=False):
            return
        if not (self.recorder.writable and self.journal.writable):
            return
        for name in [
            name
            for name in self.fleet.waiting
            if not self.acts_on(name) and not self.circumstances.find_missing(name)
        ]:
            del self.fleet.waiting[name]
            self.fleet.starting.add(name)
            self._spawn(self._first_start(name))

    async def _first_start(self, name: str) -> None:
        """Its intent is noted first: a sentinel that ends in between finds the process again."""
        try:
            row = ProcessRow(name, 0, "", self.moment().at, True)
            await self.recorder.record(Changes(processes=[row]))
            await self.start(name)
        finally:
            self.fleet.starting.discard(name)

    def note_start(self, name: str, driver: Driver, outcome: Outcome) -> None:
        """It was started just now: its grace begins, and its check looks soon."""
        self.fleet.started[name] = self.monotonic()
        if not outcome.done:
            driver.how_ended = outcome.detail
        self.wanted.ask(name_of_check(name))
        for check in self.picture.checks_of(name):
            asyncio.get_running_loop().call_later(LOOK_AFTER, self.wanted.ask, check)

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
            if name in self.fleet.supervised:
                await self._stop(
                    name, with_platform=name not in self.fleet.stopped or name in self.fleet.waiting
                )

    async def stop(self, name: str) -> Outcome:
        """Stop a component on request: no failure, no incident, no restart, until it is started on
        request.
        """
        return await self._stop(name, with_platform=False)

    async def _stop(self, name: str, *, with_platform: bool) -> Outcome:
        driver = self.fleet.drivers[name]
        known = name in self.fleet.stopped
        self.fleet.stopped.add(name)
        self.fleet.waiting.pop(name, None)
        outcome = await self._guarded(driver.stop())
        if not outcome.done and not known:
            self.fleet.stopped.discard(name)
        await self._note_process(name, driver, wanted=not outcome.done, with_platform=with_platform)
        log.info("component_stopped", component=name, done=outcome.done, detail=outcome.detail)
        return outcome

    async def start(self, name: str) -> Outcome:
        """Start a component now."""
        driver = self.fleet.drivers[name]
        self.fleet.waiting.pop(name, None)
        outcome = await self._guarded(driver.start())
        self.fleet.stopped.discard(name)
        if outcome.done:
            self.picture.begin_anew(name)
        self.note_start(name, driver, outcome)
        await self._note_process(name, driver)
        log.info("component_started", component=name, done=outcome.done, detail=outcome.detail)
        return outcome

    async def close(self) -> None:
        """End running actions; components go on."""
        await self._end_actions()
        for driver in self.fleet.drivers.values():
            driver.close()

    async def _end_actions(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what happens -----------------------------------------------------------------------------

    def _on_end(self, name: str, how: str) -> None:
        log.warning("component_ended", component=name, how=how)
        self.wanted.ask(name_of_check(name))

    def heed(self, check: str) -> None:
        """A check has a new result. Where something may follow from it, it is considered at
        once, or as soon as the rest is over; else whoever considers now and then soon will.
        """
        watched = self.picture.check(check)
        is_bad = watched is not None and watched.check.component in self.picture.incidents
        if self._rest is not None or not (is_bad or self._may_have_to_act()):
            return
        left = self._rests_until - self.monotonic()
        if left <= 0:
            self._consider_and_rest()
        else:
            self._rest = asyncio.get_running_loop().call_later(left, self._consider_and_rest)

    def _may_have_to_act(self) -> bool:
        """Whether any component with a driver is bad, or waits to be started."""
        is_bad = not self.picture.incidents.keys().isdisjoint(self.fleet.drivers)
        return is_bad or bool(self.fleet.waiting)

    def _consider_and_rest(self) -> None:
        self._rest, begun = None, self.monotonic()
        try:
            self.consider()
        except Exception as error:  # noqa: BLE001 - the result that it came with is none the worse
            self._swallow("consider_raised", error)
        ended = self.monotonic()
        self._rests_until = ended + min(REST * (ended - begun), LONGEST_REST)

    def consider(self) -> None:
        """Look at every component: verify attempts, decide anew, act when nothing objects."""
        self.metrics.halted.set(self.automation.is_halted(now=self._may_have_to_act()))
        self._look_at_all()
        self._start_ready_ones()
        for name in self.fleet.drivers:
            try:
                self._consider(name)
            except Exception as error:  # noqa: BLE001 - the others still need it
                self._swallow("consider_raised", error, component=name)

    def _consider(self, name: str) -> None:
        incident = self.picture.incidents.get(name)
        if incident is None or name in self.fleet.stopped:
            self.fleet.decisions.pop(name, None)
            return
        self._ask_dependencies(name)
        self._verify(name, incident)
        policy = self.picture.components[name].restart
        self._follow(
            name,
            incident,
            decide_restart(policy, self.circumstances.of(name, now=False), self.moment()),
        )

    def _look_at_all(self) -> None:
        """Brake and breaker, which know no single component."""
        incidents = self.picture.incidents
        judged = [
            name
            for name, incident in incidents.items()
            if not incident.blocked_by and name not in self.fleet.stopped
        ]
        down = [name for name in judged if self.picture.present[name] is Status.DOWN]
        groups = (
            {name: each.group for name, each in self.picture.components.items()} if down else {}
        )
        for changes in (
            self.automation.look(groups, down, early=self.circumstances.is_early),
            self.automation.judge(self.journal.verdicts(self.automation.closed_at())),
        ):
            if changes:
                self._spawn(self.recorder.record(changes))

    def _ask_dependencies(self, name: str) -> None:
        """An old "up" proves nothing: have every dependency checked again, once for each failure of
        `name`.
        """
        since = self.circumstances.failed_at(name)
        if self.picture.present[name] is not Status.DOWN or self._asked.get(name) == since:
            return
        self._asked[name] = since
        self._ask_needed(name)

    def _follow(self, name: str, incident: Incident, decision: Decision) -> None:
        before = self.fleet.decisions.get(name)
        self.fleet.decisions[name] = decision
        if before is None or before.reason is not decision.reason:
            log.info("restart_decision", component=name, reason=decision.reason, text=decision.text)
        if decision.act:
            self.fleet.busy[name] = None
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
        except Exception as error:  # noqa: BLE001 - the journal has to have an end
            self._swallow("driver_raised", error)
            return Outcome(False, f"its driver raised {error!r}", known=False)

    # -- act --------------------------------------------------------------------------------------

    async def _act(self, name: str, incident: Incident) -> None:
        n = self.journal.next_number(incident.id, name)
        try:
            outcome = await self._carry_out(name, incident.id, n, incident.summary, "sentinel")
            if name in self.fleet.drivers:
                await self._note_process(name, self.fleet.drivers[name])
            if isinstance(outcome, Refused):
                self._note_refusal(name, outcome)
            elif outcome.futile:
                await self._exhaust(incident, outcome.detail)
        finally:
            self.fleet.busy.pop(name, None)

    def _note_refusal(self, name: str, refused: Refused) -> None:
        if self.journal.writable:  # else the situation says so by itself
            self.circumstances.note_refusal(name, refused.reason)

    async def act_on_request(
        self, name: str, incident: str, n: int, reason: str, by: str
    ) -> Outcome | Refused:
        """One journaled restart on request; the caller has asked `decide_request`."""
        self.fleet.busy[name] = None
        known = name in self.fleet.stopped
        self.fleet.stopped.add(name)
        try:
            outcome = await self._carry_out(name, incident, n, reason, by)
        finally:
            self.fleet.busy.pop(name, None)
            if not known:
                self.fleet.stopped.discard(name)
        if isinstance(outcome, Outcome) and outcome.done:
            self.fleet.stopped.discard(name)
            self.fleet.waiting.pop(name, None)
        wanted = name not in self.fleet.stopped
        await self._note_process(
            name, self.fleet.drivers[name], wanted=wanted, with_platform=name in self.fleet.waiting
        )
        return outcome

    async def _carry_out(
        self, name: str, incident: str, n: int, reason: str, by: str
    ) -> Outcome | Refused:
        """Journal, ask the kill switch once more, restart, write what became of it."""
        driver, component = self.fleet.drivers[name], self.picture.components[name]
        intent = replace(
            self.journal.intend(component, incident, n, reason),
            by=by,
            target=driver.start_id,
            command=_hash(component.options),
        )
        attempt = await self.journal.claim(intent, component)
        if isinstance(attempt, Refused):
            return attempt
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
        current = self.picture.incidents.get(incident.component)
        if current is None or current.id != incident.id or current.exhausted:
            return
        name = incident.component
        text = (
            f"{why}; next: repair it{self._where_its_log_is(name)}, then `sentinel reset {name}"
            " --reason …`"
        )
        await self.incidents.exhaust(current, Event("exhausted", text))
        policy = self.picture.components[name].restart
        if (
            min(policy.max_attempts, policy.per_hour, policy.per_day) > 0
        ):  # else nothing was tried that did not help
            await self.recorder.record(self.automation.note_exhausted())

    def _where_its_log_is(self, name: str) -> str:
        return f" (log: {name}.log in the state folder)" if name in self.fleet.supervised else ""

    def _verify(self, name: str, incident: Incident) -> None:
        """Judge the last attempt by what the checks saw after it."""
        mine = self.journal.of_incident(incident)
        if not mine or mine[-1].verdict or not mine[-1].outcome:
            return
        policy = self.picture.components[name].restart
        work = Verification(self.picture, self.journal, self.moment(), policy).judge(
            mine, incident, self.fleet.drivers[name]
        )
        if work is not None:
            self._spawn(work)


def _hash(options: object) -> str:
    """Tells whether two attempts started the same thing, without writing down what it was."""
    return hashlib.sha256(repr(options).encode()).hexdigest()[:16]
