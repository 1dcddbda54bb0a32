"""Cleaning under guards: look, hold, reserve, audit, act, settle. On a calendar, or by a person's
plan and apply.

Right before each command the kill switch and `actions.enabled` are read again; the cap is taken and
the audit row written before the effect, so that a death in between costs budget and never a second
effect unseen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from sentinel.adapters.bus.housekeeping import BusCleaner, NoScript
from sentinel.adapters.redis import RedisClient
from sentinel.core.bus.housekeeping import (
    Chore,
    CleanPlan,
    Done,
    Refusal,
    Survey,
    Target,
    Verdict,
    find_hold,
    judge_counts,
    judge_plan,
    step_life,
)
from sentinel.core.moment import Moment
from sentinel.errors import ActionRefused, StateError, SubjectError, TargetError, UsageError
from sentinel.housekeeping import ChoreKind, Room, load_chores
from sentinel.metrics import Metrics
from sentinel.store import Store
from sentinel.store.plans import ChoreRun, Grant

log = structlog.get_logger()
T = TypeVar("T")

OUTCOMES = ("done", "dry_run", "nothing", "refused", "failed")
MAX_SHOWN = 100
"""Refusals kept with a plan."""


@dataclass(slots=True)
class _Work:
    """One run in progress. `stopped_by`: why nothing more is done."""

    chore: Chore
    kind: ChoreKind
    room: Room
    actor: str
    refusals: list[Refusal] = field(default_factory=list)
    removed: int = 0
    stopped_by: Refusal | None = None
    failed: bool = False
    dry: bool = False


@dataclass(slots=True)
class Housekeeper:
    """Runs chores. `call` runs a function of the store where it blocks nobody; `may_act` says why
    nothing may be done.

    Cleaning goes one at a time. `may_act` covers the kill switch, `actions.enabled` and a running
    action.
    """

    store: Store
    call: Callable[[Callable[[], Any]], Awaitable[Any]]
    clients: Mapping[str, Any]
    metrics: Metrics
    moment: Callable[[], Moment]
    may_act: Callable[[], str]
    chores: dict[str, Chore] = field(default_factory=dict)
    kinds: Mapping[str, ChoreKind] = field(default_factory=load_chores)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def configure(self, chores: Sequence[Chore]) -> None:
        """Take the chores of a configuration; their label sets exist from now on."""
        names = {chore.name for chore in chores}
        for gone in self.chores.keys() - names:
            self.metrics.remove_chore(gone, OUTCOMES)
        self.chores = {chore.name: chore for chore in chores}
        for chore in chores:
            self.metrics.chore_removed.labels(chore.name)
            for outcome in OUTCOMES:
                self.metrics.chore_runs.labels(chore.name, outcome)

    # -- on schedule ------------------------------------------------------------------------------

    async def run(self, name: str) -> ChoreRun:
        """One run of a chore as the calendar asks for it; never raises for a foreign system or a
        full disk.
        """
        chore = self.chores[name]
        async with self._lock:
            work = self._begin(chore, "sentinel")
            work.dry = chore.dry_run
            survey = Survey()
            try:
                survey = await self._survey(work)
                if not work.dry:
                    await self._carry_out(work, survey.targets)
            except (TargetError, StateError) as error:
                work.failed, work.stopped_by = (
                    True,
                    Refusal("failed", name, error.message, error.guidance),
                )
            return await self._conclude(work, survey)

    async def _conclude(self, work: _Work, survey: Survey) -> ChoreRun:
        refusals = [
            *survey.refusals,
            *work.refusals,
            *([work.stopped_by] if work.stopped_by else []),
        ]
        now = self.moment()
        outcome = _outcome_of(work, survey, refusals)
        refused = sum(refusal.count for refusal in refusals)
        detail = "; ".join(f"{each.place}: {each.text}".strip(": ") for each in refusals[:3])
        detail += f"; next: {refusals[0].remedy}" if refusals and refusals[0].remedy else ""
        run = ChoreRun(work.chore.name, now, outcome, survey.count, work.removed, refused, detail)
        self._measure(run, refusals)
        log.info(
            "chore_ran",
            chore=run.chore,
            outcome=outcome,
            found=run.found,
            removed=run.removed,
            refused=detail or None,
        )
        try:
            await self.call(lambda: self.store.cleaning.keep_run(run))
        except StateError as error:
            log.error("chore_not_remembered", chore=run.chore, error=error.message)
        return run

    def _measure(self, run: ChoreRun, refusals: Sequence[Refusal]) -> None:
        self.metrics.chore_runs.labels(run.chore, run.outcome).inc()
        self.metrics.chore_found.labels(run.chore).set(run.found)
        self.metrics.chore_last_run.labels(run.chore).set(run.at.at.timestamp())
        for refusal in refusals:
            self.metrics.chore_refused.labels(run.chore, refusal.reason).inc(refusal.count)

    # -- look -------------------------------------------------------------------------------------

    def _begin(self, chore: Chore, actor: str) -> _Work:
        client: RedisClient = self.clients[chore.resource]
        return _Work(chore, self.kinds[chore.kind], Room(BusCleaner(client)), actor)

    async def _survey(self, work: _Work) -> Survey:
        """What would go, without what must be left alone after a suspected loss of data."""
        survey = await work.kind.survey(work.chore.options, work.room)
        holds = await self._find_holds(work, [target.key for target in survey.targets])
        held = [
            Refusal(
                "hold",
                target.place,
                holds[target.key],
                "wait, or look at what happened",
                target.count,
            )
            for target in survey.targets
            if holds[target.key]
        ]
        targets = tuple(target for target in survey.targets if not holds[target.key])
        return replace(
            survey, targets=targets, refusals=(*survey.refusals, *held, *work.room.troubles)
        )

    async def _find_holds(self, work: _Work, keys: Sequence[str]) -> dict[str, str]:
        resource, now = work.chore.resource, self.moment()
        server = await work.room.cleaner.read_server()
        ledger = self.store.cleaning
        before = await self.call(lambda: ledger.life(resource))
        life = step_life(before, server, work.room.seen, now)
        await self.call(lambda: ledger.keep_life(resource, life))
        return {key: find_hold(life, key, now, work.chore.settle) for key in keys}

    # -- act --------------------------------------------------------------------------------------

    async def _carry_out(self, work: _Work, targets: Sequence[Target]) -> None:
        for target in targets:
            left = target
            while left.count and work.stopped_by is None:
                part = left.first(work.kind.portion)
                try:
                    done = await self._act(work, part)
                except SubjectError as error:
                    work.refusals.append(
                        Refusal("subject", target.place, error.message, error.guidance)
                    )
                    break
                if not part.items and not done.count:
                    break
                left = left.rest(len(part.items) or done.count)

    async def _act(self, work: _Work, part: Target) -> Done:
        """One command with everything around it. A lost reply leaves the reservation spent: it may
        have happened.
        """
        reason = self.may_act()
        if reason:
            return self._stop(work, "switched_off", part, reason)
        grant = await self._reserve(work, part)
        if grant.count < part.count:
            self._stop(
                work, "cap", part, f"the cap of {work.chore.max_per_hour:,} an hour is spent"
            )
        part = part.first(grant.count)
        if not part.count:
            return Done()
        await self._audit(work, "clean", part, part.command)
        reason = self.may_act()
        if reason:
            await self._settle(work, grant, part, Done(), f"not done: {reason}")
            return self._stop(work, "switched_off", part, reason)
        try:
            done = await work.kind.act(work.chore.options, work.room, part)
        except NoScript as error:
            await self._settle(work, grant, part, Done(), f"not done: {error.message}")
            return self._stop(work, "no_script", part, f"{error.message}; {error.guidance}")
        except TargetError as error:
            await self._audit(work, "clean failed", part, f"outcome unknown: {error.message}")
            raise
        await self._settle(
            work, grant, part, done, f"cleaned {done.count} of {part.count} {work.kind.noun}"
        )
        work.removed += done.count
        work.refusals += done.refusals
        self.metrics.chore_removed.labels(work.chore.name).inc(done.count)
        return done

    def _stop(self, work: _Work, reason: str, part: Target, text: str) -> Done:
        work.stopped_by = Refusal(reason, part.place, text)
        return Done()

    async def _reserve(self, work: _Work, part: Target) -> Grant:
        chore, now = work.chore, self.moment()
        ledger = self.store.cleaning
        grant: Grant = await self.call(
            lambda: ledger.reserve(chore.name, part.count, chore.max_per_hour, now)
        )
        return grant

    async def _settle(self, work: _Work, grant: Grant, part: Target, done: Done, text: str) -> None:
        await self.call(lambda: self.store.cleaning.settle(grant, done.count))
        await self._audit(work, "clean ended", part, text)

    async def _audit(self, work: _Work, action: str, part: Target, text: str) -> None:
        at, name = self.moment().at, work.chore.name
        scope = f" · below {part.bound}" if part.bound and not part.items else ""
        detail = f"{part.place}: {text}{scope}"
        if action == "clean":
            detail += f" · {part.count} {work.kind.noun}: {' '.join(part.items)[:2000]}".rstrip(
                ": "
            )
        await self.call(lambda: self.store.add_audit(at, work.actor, action, name, detail))

    # -- two steps --------------------------------------------------------------------------------

    async def plan(self, name: str, parameters: Mapping[str, Any], actor: str) -> CleanPlan:
        """The first step: look, and remember what would be done for a minute. Raises ActionRefused
        or TargetError.
        """
        chore = self._with_parameters(name, parameters)
        async with self._lock:
            work = self._begin(chore, actor)
            survey = await self._survey(work)
        refusals = [
            each for each in survey.refusals if each.reason != "in_work" or not survey.targets
        ]
        if refusals and (work.kind.whole or not survey.targets):
            worst = refusals[0]
            raise ActionRefused(f"{worst.place}: {worst.text}".removeprefix(": "), worst.remedy)
        plan = CleanPlan(
            secrets.token_hex(4),
            name,
            chore.kind,
            self.moment(),
            actor,
            chore.settings,
            survey.targets,
            survey.refusals[:MAX_SHOWN],
        )
        await self.call(lambda: self.store.cleaning.add_plan(plan))
        return plan

    def _with_parameters(self, name: str, parameters: Mapping[str, Any]) -> Chore:
        chore = self.chores.get(name)
        if chore is None:
            known = ", ".join(self.chores) or "none is configured (`housekeeping:`)"
            raise UsageError(f"there is no chore {name!r}", f"known: {known}")
        kind = self.kinds[chore.kind]
        for key in parameters:
            if key not in kind.parameters:
                known = ", ".join(kind.parameters) or "none"
                raise UsageError(f"{key!r} is no parameter of {name}", f"known: {known}")
        settings = {
            **chore.settings,
            **{key: _read_word(kind, key, word) for key, word in parameters.items()},
        }
        try:
            return replace(chore, settings=settings, options=kind.options.model_validate(settings))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            text = str(first["msg"]).removeprefix("Value error, ")
            place = ".".join(map(str, first["loc"]))
            raise ActionRefused(
                f"{place}: {text}".removeprefix(": "), "correct the parameter"
            ) from error

    async def apply(self, plan_id: str, actor: str) -> ChoreRun:
        """The second step: exactly what the plan showed, or nothing. Raises ActionRefused or
        TargetError.
        """
        async with self._lock:
            plan = await self.call(lambda: self.store.cleaning.plan(plan_id))
            _refuse(judge_plan(plan, self.moment()))
            chore = self._chore_of(plan)
            work = self._begin(chore, actor)
            await self._look_again(work, plan)
            _refuse(await self.call(lambda: self.store.cleaning.claim_plan(plan_id, self.moment())))
            return await self._apply(work, plan)

    def _chore_of(self, plan: CleanPlan) -> Chore:
        chore = self.chores.get(plan.chore)
        changed = "make a new plan"
        if chore is None or chore.kind != plan.kind:
            raise ActionRefused(f"chore {plan.chore} is not configured any more", changed)
        own = {
            key: value
            for key, value in plan.settings.items()
            if key not in self.kinds[chore.kind].parameters
        }
        now = {
            key: value
            for key, value in chore.settings.items()
            if key not in self.kinds[chore.kind].parameters
        }
        if _fingerprint(own) != _fingerprint(now):
            raise ActionRefused(
                f"the configuration of {plan.chore} was changed since the plan was made", changed
            )
        options = self.kinds[chore.kind].options.model_validate(plan.settings)
        return replace(chore, settings=plan.settings, options=options)

    async def _look_again(self, work: _Work, plan: CleanPlan) -> None:
        """Everything that can be known before the first effect: switches, cap, holds, counts."""
        reason = self.may_act()
        if reason:
            raise ActionRefused(
                reason, "`sentinel resume`, or `actions: {enabled: true}`, whichever it names"
            )
        left = await self.call(
            lambda: self.store.cleaning.left(plan.chore, work.chore.max_per_hour, self.moment())
        )
        if plan.count > left:
            text = (
                f"{plan.count:,} planned, and {left:,} of the {work.chore.max_per_hour:,} an hour"
                " are left"
            )
            raise ActionRefused(text, "wait, or raise max_per_hour of this chore")
        for target in plan.targets:
            if target.key and not target.key.endswith("*"):
                await work.room.shape(target.key)
        holds = await self._find_holds(work, [target.key for target in plan.targets])
        for place, hold in holds.items():
            if hold:
                raise ActionRefused(f"{place}: {hold}", "wait, or look at what happened")
        counts = [
            await work.kind.recount(work.chore.options, work.room, target)
            for target in plan.targets
        ]
        verdict = judge_counts(plan, counts)
        if verdict.reason:
            await self.call(lambda: self.store.cleaning.close_plan(plan.id, "void", verdict.text))
        _refuse(verdict)

    async def _apply(self, work: _Work, plan: CleanPlan) -> ChoreRun:
        survey = Survey(plan.targets)
        try:
            await self._carry_out(work, plan.targets)
        except (TargetError, StateError) as error:
            work.failed, work.stopped_by = (
                True,
                Refusal("failed", plan.chore, error.message, error.guidance),
            )
        run = await self._conclude(work, survey)
        text = f"{run.outcome}: {run.removed:,} of {plan.count:,} {work.kind.noun}"
        await self.call(lambda: self.store.cleaning.close_plan(plan.id, "applied", text))
        return run


def _refuse(verdict: Verdict) -> None:
    if verdict.reason:
        raise ActionRefused(verdict.text, verdict.remedy)


def _read_word(kind: ChoreKind, key: str, word: Any) -> Any:
    """A parameter as the command line has it: a number where the option is one."""
    number = (
        kind.options.model_fields[key].annotation is int
        and isinstance(word, str)
        and word.isdecimal()
    )
    return int(word) if number else word


def _fingerprint(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def _outcome_of(work: _Work, survey: Survey, refusals: Sequence[Refusal]) -> str:
    if work.failed:
        return "failed"
    if work.removed:
        return "done"
    if work.dry and survey.targets:
        return "dry_run"
    return "refused" if refusals else "nothing"
