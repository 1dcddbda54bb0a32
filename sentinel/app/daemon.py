"""Configuration → running daemon: start, reload, stop."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from sentinel.app.calendar import Calendar
from sentinel.app.condition import show_condition
from sentinel.app.desk import OrderDesk
from sentinel.app.ending import Step, end_in_order
from sentinel.app.enrolment import Enrolment
from sentinel.app.exposure import follow_certificate, load_certificate, refuse_exposure
from sentinel.app.following import FILES_KEY, Following
from sentinel.app.housekeeping import BUSY, find_amnesia
from sentinel.app.listening import listen
from sentinel.app.membership import Membership, make_member
from sentinel.app.notifying import Notifying, make_notifying
from sentinel.app.orders import make_orders
from sentinel.app.own_troubles import OwnTroubles
from sentinel.app.owning import own_store
from sentinel.app.reading import beside, load_beside
from sentinel.app.reloading import compare, keep_known, tell_what_is_kept, tell_what_lapsed
from sentinel.app.roster import CheckRoster
from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.diagnosis import Diagnosis, find_latest
from sentinel.app.runbooks.hands import ReadingHands
from sentinel.app.runbooks.places import describe_conditions
from sentinel.app.runbooks.shown import make_known
from sentinel.app.signs import SignsOfLife
from sentinel.app.wiring import Clients, restraint_of
from sentinel.config import Configuration
from sentinel.core.model import Check, Finding, Result
from sentinel.core.moment import read_moment, write_moment
from sentinel.core.order import Answer, Order
from sentinel.engine.aside import Aside
from sentinel.engine.assembly import Engine, Surroundings, make_engine
from sentinel.engine.breath import Breath
from sentinel.engine.clock import SteadyClock
from sentinel.engine.garbage import Garbage
from sentinel.engine.housekeeper import Housekeeper
from sentinel.engine.present import PresentReader
from sentinel.engine.upkeep import Upkeep, is_told_to_end
from sentinel.engine.watchdog import Vitals, Watchdog
from sentinel.errors import ConfigurationError, StateError
from sentinel.log import learn_secrets
from sentinel.metrics import Metrics
from sentinel.probes import load_kinds
from sentinel.redaction import Redaction
from sentinel.store import BEAT, HELD_KEY, OWN_KEY, Changes, Gap
from sentinel.store.folder import FolderLock
from sentinel.store.salvage import JOURNAL_LOST
from sentinel.store.tokens import USED_KEY
from sentinel.strict.attempt import REMEDY, describe_surprise
from sentinel.web.page import OpenPage

log = structlog.get_logger()

CONSIDER_EVERY = 0.25
BEAT_EVERY = 2.0
MIN_GAP = 5.0
CHECK_PATIENCE = 15.0


class Daemon:
    """One sentinel on one state folder."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.redaction = Redaction(configuration.secrets)
        self.metrics = Metrics()
        self.clock = SteadyClock()
        self.following = Following(str(configuration.folder.resolve()), pid=os.getpid())
        self.upkeep = Upkeep(self.metrics)
        self.own_troubles = OwnTroubles(self.metrics)
        self._garbage = Garbage()
        self._signs = SignsOfLife(self.clock.moment)
        self.begin_anew: Callable[[], None] = lambda: None
        """What is done when a state can be read that could not when sentinel started."""
        self.ask_reload: Callable[[], None] = lambda: None
        """What is done when the page is told to have the configuration read anew."""
        self._halted = self._enrolled = False
        self._page: OpenPage | None = None
        self._lock = FolderLock(configuration.state)

    # -- start ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the state folder, remember, listen, supervise, schedule. Raises SentinelError."""
        configuration = self.configuration
        await beside(lambda: refuse_exposure(configuration))
        certificate = await load_certificate(configuration.access)
        self.store = await own_store(self._lock)
        if beat := self.store.meta(BEAT):
            self.clock.resume(read_moment(beat))
        self.clients = Clients(configuration.resources)
        self.bookcase = Bookcase(lambda: self.configuration)
        self.engine = make_engine(self._gather())
        if self._halted:  # by a signal that came before
            self.halt()
        self.own_troubles.state = lambda: self.engine.recorder.trouble
        self._wire(self.engine)
        await self.membership.start(make_member(self.clock.utcnow()))
        await self._remember_start()
        present, utcnow = PresentReader.over(self.store, self.engine.recorder), self.clock.utcnow
        self._page = await listen(
            lambda: self.configuration,
            present,
            self.metrics,
            self._ready,
            utcnow,
            partial(self.engine.recorder.settle, counted=True),
            self.bookcase.text_of,
            OrderDesk(self.store, configuration.state, self.ask_reload),
            certificate,
            make_known(lambda: self.configuration, self.bookcase, present),
            self.engine.hub,
        )
        self._page.used.update(json.loads(self.store.meta(USED_KEY) or "{}"))
        if certificate is not None:
            followed = certificate
            self.upkeep.keep(
                "certificate",
                lambda: follow_certificate(followed, lambda: self.configuration.access),
            )
        self.upkeep.keep("pause_guard", self.engine.guard.run)
        await self.enrolment.add_components(configuration.components)
        await self.enrolment.take_objectives(configuration.objectives)
        await self.enrolment.add_checks(configuration.checks, configuration.components)
        self._enrolled = True
        await self.enrolment.reconsider_unwatched()
        await self.notifying.start()  # knows of maintenance, in which looks are no events
        self.upkeep.keep("scheduler", self.engine.scheduler.loop)
        self.upkeep.keep("dispatcher", self.notifying.dispatcher.run)
        self.upkeep.keep("daemon", lambda: self._keep_doing(CONSIDER_EVERY, self._consider))
        self.upkeep.keep("daemon", lambda: self._keep_doing(BEAT_EVERY, self._beat))
        self.upkeep.once("runbooks", beside(self.bookcase.reload))
        self.calendar.start()
        self.upkeep.once("calendar", self.calendar.take_baseline())
        self.upkeep.keep("retention", self.calendar.keep_forgetting)
        self.upkeep.once("state", self.calendar.look_through_state())
        await self.engine.file_watch.follow(self.engine.picture.components)
        self._note_reload(good=True)
        self._garbage.begin()
        self.watchdog.start()
        checks = len(configuration.checks)
        log.info("started", platform=configuration.platform, checks=checks, url=self.url)
        tell_what_lapsed(configuration)

    def _gather(self) -> Surroundings:
        """What the engine is made from."""
        configuration, lost = self.configuration, self.store.meta(JOURNAL_LOST)
        return Surroundings(
            store=self.store,
            metrics=self.metrics,
            clock=self.clock,
            folder=configuration.state,
            restraint=restraint_of(configuration),
            kinds=load_kinds(),
            clients=self.clients,
            runbooks=self.bookcase,
            scrub=self.redaction.scrub,
            quiet=configuration.start_grace,
            journal_lost=read_moment(lost) if lost else None,
        )

    def _wire(self, engine: Engine) -> None:
        """What stands around the engine: who runs which check, calendar, housekeeping, orders."""
        store, recorder, utcnow = self.store, engine.recorder, self.clock.utcnow
        self.membership = Membership(engine.coordinator, engine.automation, engine.journal)
        self.roster = CheckRoster(
            engine.kinds,
            store,
            engine.runner,
            engine.picture,
            engine.scheduler,
            self.membership,
            self.upkeep,
        )
        self.diagnosis = self._make_diagnosis(engine)
        self.housekeeper = Housekeeper(
            store, recorder.call, self.clients, self.metrics, self.clock.moment, self._may_clean
        )
        self.housekeeper.configure(self.configuration.chores)
        picture, clients, configured = engine.picture, self.clients, lambda: self.configuration
        self.calendar = Calendar(
            configured,
            store,
            recorder,
            picture,
            self.housekeeper,
            clients,
            utcnow,
            lambda: self.url,
        )
        self.aside = Aside()
        self.watchdog = Watchdog(
            Vitals(engine.guard, engine.scheduler, recorder),
            self.configuration.standstill,
            self.configuration.state,
            self.metrics,
        )
        self.notifying = self._make_notifying(engine)
        self.enrolment = Enrolment(
            store, engine, self.roster, self.clients, self.configuration.state / "log"
        )

    def _make_diagnosis(self, engine: Engine) -> Diagnosis:
        store = self.store
        return Diagnosis(
            lambda: self.configuration,
            self.bookcase,
            store,
            engine.recorder,
            lambda: ReadingHands(
                self.configuration, self.configuration.state, store, self._latest_finding
            ),
            self.redaction.scrub,
            self.clock.moment,
        )

    def _make_notifying(self, engine: Engine) -> Notifying:
        orders = make_orders(
            engine.requests,
            engine.conductor,
            self.housekeeper,
            self.aside,
            self._do_check,
            engine.pipeline,
            self.diagnosis.carry_out,
            self.clock.moment,
        )
        return make_notifying(
            self.store,
            engine,
            self.metrics,
            self.clock.utcnow,
            orders,
            self.aside,
            self.upkeep,
            lambda: self.configuration,
            lambda: self.url,
            lambda: engine.recorder.writable and self.watchdog.sees_life,
        )

    def _may_clean(self) -> str:
        """Why nothing may be cleaned in this very moment, or ""."""
        refusal = self.engine.automation.may_act(automatic=True) or find_amnesia(
            self.store, self.clock.moment()
        )
        return refusal or (BUSY if self.store.cleaning.running_attempts() else "")

    async def _remember_start(self) -> None:
        """The time since the last beat of the sentinel before this one was not observed."""
        now, beat = self.clock.utcnow(), self.store.meta(BEAT)
        now_is = self.configuration
        self.following.take(now_is.digest, now, len(now_is.checks), now_is.chores)
        crashed = beat is not None and not self.store.meta("stopped")
        await self.engine.recorder.record(self.engine.automation.load(crashed=crashed))
        gaps = []
        away = self.clock.moment().seconds_since(read_moment(beat)) if beat else 0.0
        if away > MIN_GAP:
            gaps.append(Gap(now - timedelta(seconds=away), now, "sentinel was not running"))
        meta = {
            "started": now.isoformat(),
            "platform": self.configuration.platform,
            BEAT: write_moment(self.clock.moment()),
            "stopped": "",
            FILES_KEY: self.following.dump(),
        }
        first = self.store.meta("watching_since") or now.isoformat()
        changes = Changes(gaps=gaps, meta={**meta, "watching_since": first})
        await self.engine.recorder.record(changes)
        self.engine.incidents.note_away(*self.store.gaps(since=now - timedelta(days=1)))

    @property
    def url(self) -> str:
        """Address of the status page."""
        return self._page.url if self._page is not None else ""

    def _ready(self) -> tuple[bool, str]:
        if not self.engine.recorder.writable:
            return False, f"the state can't be written: {self.engine.recorder.trouble}"
        if not self._enrolled:
            return False, "not every check is known yet"
        waiting = self.engine.picture.count_unseen()
        return not waiting, f"{waiting} checks have no result yet" if waiting else "ready"

    # -- run --------------------------------------------------------------------------------------

    async def _keep_doing(self, every: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do it for ever: one failure must not end what keeps sentinel alive, and is counted."""
        while True:
            await asyncio.sleep(every)
            try:
                await work()
            except BaseException as error:
                if is_told_to_end(error):
                    raise
                self.metrics.swallowed.labels("daemon").inc()
                log.error("loop_raised", work=work.__name__, error=repr(error))

    async def _consider(self) -> None:
        """Time alone may make an attempt due: backoff over, dependency back, grace over."""
        self.engine.remediator.consider()

    async def _beat(self) -> None:
        """Sign of life for the next start, and figures about ourselves."""
        self._garbage.tend()
        show_condition(self.engine, self.metrics)
        if self.engine.picture.calm and (step := self.clock.settle()):
            await self._follow_clock(step)
        self.calendar.follow_clock()
        if await self.membership.tick():
            self.roster.place()
        await self.enrolment.tell_store()
        if self.store.is_unseen:
            log.error("begins_anew", error=self.engine.recorder.trouble)
            self.begin_anew()
        words = {
            HELD_KEY: json.dumps(self.engine.automation.conditions()),
            FILES_KEY: self.following.dump(),
            OWN_KEY: json.dumps(self.own_troubles.look()),
            USED_KEY: json.dumps(self._page.used if self._page is not None else {}),
            **describe_conditions(self.bookcase.shelf),
        }
        changes = self.engine.objectives.settle()
        changes.meta = self._signs.choose(words, self.engine.picture.looks)
        along = bool(changes.tallies)  # written with what the checks remember: the same pages
        changes.gaps = self.engine.guard.take_gaps()
        await self.engine.recorder.later(changes, along=along)

    async def _follow_clock(self, step: float) -> None:
        """What is known happened as long ago as before: only its time has another name now."""
        beat = {BEAT: write_moment(self.clock.moment())}  # by it commands read what follows
        changes = Changes(clock_step=timedelta(seconds=step), meta=beat)
        for watched in self.engine.picture.follow_clock(step):
            self.engine.views.show_check(watched, changes)
            changes.health[watched.check.name] = watched.health
        picture = self.engine.picture
        changes.incidents.extend([*picture.incidents.values(), *picture.beneath.values()])
        await self.engine.recorder.record(changes)

    async def write_report(self, kind: str, incident_id: str | None = None) -> list[Path]:
        """Write a report of what is known now; the paths."""
        return await self.calendar.write_report(kind, incident_id)

    async def _latest_finding(self, name: str) -> Finding:
        """What a check says now, without a run more than needed."""
        finding = await find_latest(self.results(), name, self.clock.utcnow(), self._do_check)
        return finding or next(
            found for check, _, found, *_ in self.results() if check.name == name
        )

    async def _do_check(self, order: Order) -> Answer:
        """Run a check now, in the daemon, with its memory; its view in the store then has the
        result.
        """
        picture, name = self.engine.picture, order.subject
        if picture.check(name) is None:
            return Answer.unknown(f"unknown check {name}")
        before = picture.last_result(name)
        self.engine.scheduler.trigger(name)
        async with asyncio.timeout(CHECK_PATIENCE):
            while picture.last_result(name) is before:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        await self.engine.recorder.settle(check=name)  # who asked reads it in the store
        return Answer.done("done")

    # -- reload and stop --------------------------------------------------------------------------

    async def reload(self, environment: Mapping[str, str] | None = None) -> bool:
        """Read the configuration anew. A broken one changes nothing: the old one stays in force,
        whatever was raised while it was read or put in its place.
        """
        was = self.configuration
        self.following.begin(self.clock.utcnow())
        try:
            fresh = await load_beside(was.folder, environment)
            await self._replace(fresh)
        except ConfigurationError as error:
            problems = [str(problem) for problem in error.problems]
            self._note_reload(good=False, digest=error.digest, why=problems)
            log.error("reload_refused", problems=problems)
            return False
        except StateError as error:
            self._note_reload(good=False, why=[error.message])
            log.error(
                "reload_not_remembered",
                error=error.message,
                guidance="mend the state folder, then reload again",
            )
            return False
        except BaseException as error:  # nobody but its operator ends a daemon
            if is_told_to_end(error):
                raise
            await self._go_back(was, error)
            return False
        self._note_reload(good=True, digest=fresh.digest)
        log.info("reloaded", checks=len(fresh.checks))
        tell_what_is_kept(was, fresh)
        tell_what_lapsed(fresh)
        return True

    async def _go_back(self, was: Configuration, error: BaseException) -> None:
        """What could not be put in force is taken out again."""
        self._note_reload(good=False, why=[f"can't be put in force: {describe_surprise(error)}"])
        log.error("reload_failed", error=describe_surprise(error), guidance=REMEDY)
        try:
            await self._replace(was)
        except BaseException as again:
            if is_told_to_end(again):
                raise
            log.error(
                "reload_half_done",
                error=describe_surprise(again),
                guidance="mend the configuration and reload, or start sentinel anew",
            )

    async def _replace(self, fresh: Configuration) -> None:
        old = self.configuration
        fresh, differences = await beside(lambda: (keep_known(old, fresh), compare(old, fresh)))
        watched = self.enrolment.checks_by_component()
        self.redaction.learn(fresh.secrets)
        learn_secrets(fresh.secrets)
        await self.clients.follow(fresh.resources)
        self.configuration = replace(fresh, listen=old.listen, state=old.state)
        breath = Breath()
        for name in differences.gone:
            await self.roster.remove(name)
            await breath.draw()
        for name in differences.left:
            await self._release(name, gone=True)
        await self.enrolment.add_components(differences.joined)
        for component in differences.redriven:
            await self._release(component.name, gone=False)
            await self.enrolment.add_components([component])
        # In the order of the new configuration, which is that of the dependencies.
        self.engine.picture.replace_components(fresh.components)
        self.engine.automation.configure(restraint_of(self.configuration))
        self.calendar.follow()
        await self.engine.file_watch.follow(self.engine.picture.components)
        await self.notifying.follow()
        await beside(self.bookcase.reload)
        await self.enrolment.take_objectives(fresh.objectives)
        for check in differences.changed:
            if check.name in differences.other_kind:
                await self.roster.remove(check.name)
            await self.engine.scheduler.remove(check.name)
            await breath.draw()
        await self.enrolment.add_checks(differences.changed, self.configuration.components)
        await self.enrolment.reconsider_left(watched)

    async def _release(self, name: str, *, gone: bool) -> None:
        if self.engine.remediator.acts_on(name):
            self.following.waits = f"the action on {name} that is under way"
        await self.enrolment.release(name, gone=gone)
        self.following.waits = ""

    def halt(self) -> None:
        """The kill switch by signal: at once in memory, and as the file that `sentinel resume`
        takes away. From any thread, and before the engine is there, too.
        """
        self._halted = True
        if hasattr(self, "engine"):
            self.engine.automation.halt("SIGUSR1")

    def _note_reload(self, *, good: bool, digest: str = "", why: Sequence[str] = ()) -> None:
        self.metrics.reload_ok.set(good)
        if good:
            self.metrics.reload_time.set_to_current_time()
            took = self.configuration
            count, now = len(took.checks), self.clock.utcnow()
            self.following.take(digest or took.digest, now, count, took.chores)
        else:
            self.following.refuse(digest, self.clock.utcnow(), why)

    async def stop(self, *, stop_components: bool = False, within: float | None = None) -> None:
        """End in order: no new work, actions, components if asked, states, clients, store; all of
        it `within` so many seconds, if need be without what does not end.
        """
        steps: list[Step] = []
        if hasattr(self, "notifying"):
            steps.append(("notices", self.notifying.dispatcher.close))
        steps.append(("tasks", self.upkeep.close))
        if self._page is not None:
            steps.append(("page", self._page.close))
        if hasattr(self, "enrolment"):  # the last thing that is wired
            steps += self._steps_of_engine(stop_components=stop_components)
        if hasattr(self, "clients"):
            steps.append(("clients", self.clients.close))
        if hasattr(self, "engine"):
            steps += [
                ("last words", self._say_goodbye),
                ("store", lambda: beside(self._close_store)),
            ]
        await end_in_order(steps, self.metrics, within)
        self._lock.release()

    def _steps_of_engine(self, *, stop_components: bool) -> list[Step]:
        engine = self.engine
        self.watchdog.stop()
        self.calendar.stop()
        return [
            ("watches", engine.file_watch.close),
            ("orders", self.aside.close),
            ("checks", engine.scheduler.stop),
            *([("components", engine.remediator.stop_all)] if stop_components else []),
            ("diagnoses", self.diagnosis.close),
            ("actions", engine.remediator.close),
            ("roll-ups", lambda: engine.recorder.record(self.calendar.end())),
            ("shards", lambda: self.membership.leave(self.clock.utcnow())),
            ("memories", self.roster.close),
        ]

    async def _say_goodbye(self) -> None:
        now, changes = self.clock.utcnow(), self.engine.objectives.settle(last=True)
        changes.meta = {BEAT: write_moment(self.clock.moment()), "stopped": now.isoformat()}
        await self.engine.recorder.record(changes)

    def _close_store(self) -> None:
        self.engine.recorder.close()
        self.store.close()

    # -- what others read -------------------------------------------------------------------------

    def results(self) -> list[tuple[Check, Result | None, Any, Any, int]]:
        """Every check with its latest result, finding, health and number of runs."""
        return self.engine.picture.results()

    def pid_of(self, component: str) -> int | None:
        """The process of a component, as its driver knows it."""
        return self.engine.fleet.pid_of(component)

    def all_run(self) -> bool:
        """Whether every component with a driver has a process."""
        return all(driver.pid for driver in self.engine.fleet.drivers.values())

    async def stop_component(self, name: str) -> None:
        """Stop a supervised component on request."""
        await self.engine.remediator.stop(name)
