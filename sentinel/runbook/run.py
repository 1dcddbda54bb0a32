"""Runs a plan, step by step, and writes down what happened. Dry by default: it then shows the plan
and runs nothing.

Every step is noted before it begins and after it ended, so that a run that was interrupted can be
resumed: what is settled stays, and a change that was begun without an end is looked at before it
may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sentinel.core.quantity import format_duration
from sentinel.errors import SentinelError
from sentinel.runbook.act import ActEnding, Hands, await_condition, describe_condition, do
from sentinel.runbook.book import Argv, BookStep, RedisCommand, Runbook
from sentinel.runbook.plan import NO_NAMES, BookPlan, make_plan
from sentinel.runbook.safety import shows_command_lines, shows_content
from sentinel.runbook.transcript import BEGUN, StepRecord, Transcript, redact

UNKNOWN_OUTCOME = "begun before the interruption, outcome unknown"
Question = Callable[[BookStep], bool]


def _refuse(_step: BookStep) -> bool:
    return False


def _forget(_number: int, _record: StepRecord) -> None:
    """Nobody keeps this run."""


@dataclass(frozen=True, slots=True)
class Care:
    """How a run is watched over.

    `confirm` is asked before every change, `repeat` before one whose outcome is unknown; `note(n,
    record)` keeps the record of step n, before it begins and when it ended; `earlier` are the
    records of the run that is resumed.
    """

    confirm: Question = _refuse
    repeat: Question = _refuse
    note: Callable[[int, StepRecord], None] = _forget
    earlier: Mapping[int, StepRecord] = field(default_factory=dict)
    scrub: Callable[[str], str] = redact
    """Takes known secrets out of what a step says and shows, before anybody keeps or reads it."""


def show_plan(plan: BookPlan, now: datetime) -> Transcript:
    """The dry run: what would be done, and nothing is."""
    records = tuple(_plan_record(step) for step in plan.steps)
    return Transcript(
        plan.book.name, plan.book.title, plan.parameters, True, now, now, "dry run", records
    )


async def run_runbook(
    book: Runbook,
    parameters: Mapping[str, str],
    hands: Hands,
    *,
    dry_run: bool = True,
    confirm: Question = _refuse,
    known: Mapping[str, Collection[str]] = NO_NAMES,
) -> Transcript:
    """Plan and run a runbook with these parameters. Raises UsageError for wrong ones, before
    anything runs.
    """
    plan = make_plan(book, parameters, known)
    return show_plan(plan, hands.now()) if dry_run else await run_plan(plan, hands, Care(confirm))


async def run_plan(plan: BookPlan, hands: Hands, care: Care) -> Transcript:
    """Run the steps of a plan.

    Every step that changes something is confirmed first; a false precondition stops the run, and so
    does a changing step that fails or is not verified; a reading step that fails is written down
    and the run goes on.
    """
    began, records, outcome = hands.now(), [], ""
    for number, step in enumerate(plan.steps):
        if outcome:
            records.append(StepRecord(step.name, str(step.run), step.changes, "not reached"))
            continue
        known = care.earlier.get(number)
        settled = known is not None and known.is_settled
        record = (
            known
            if known is not None and settled
            else await _StepRun(number, step, hands, care).run(known)
        )
        records.append(record)
        outcome = _end_of_run(record)
    failed = any(record.outcome == "failed" for record in records)
    outcome = outcome or ("done with failures" if failed else "done")
    book = plan.book
    return Transcript(
        book.name, book.title, plan.parameters, False, began, hands.now(), outcome, tuple(records)
    )


def keep_reading(plan: BookPlan) -> BookPlan:
    """The plan without the steps that change something."""
    return replace(plan, steps=tuple(step for step in plan.steps if not step.changes))


def _end_of_run(record: StepRecord) -> str:
    """Why the run ends with this record, or ""."""
    if record.outcome in {"stopped", "declined"}:
        return record.outcome
    return "failed" if record.outcome == "failed" and record.changes else ""


def _plan_record(step: BookStep) -> StepRecord:
    if step.skip:
        what = f"skipped: {step.skip}"
        return StepRecord(step.name, str(step.run), step.changes, "planned", what)
    parts = [f"at most {format_duration(step.timeout)}"]
    if step.precondition is not None:
        parts.append(f"only if {describe_condition(step.precondition)}")
    if step.verify is not None:
        parts.append(f"then until {describe_condition(step.verify)}")
    return StepRecord(step.name, str(step.run), step.changes, "planned", "; ".join(parts))


class _StepRun:
    """One step of one run."""

    def __init__(self, number: int, step: BookStep, hands: Hands, care: Care) -> None:
        self._number, self._step, self._hands, self._care = number, step, hands, care
        self._began = time.monotonic()

    async def run(self, known: StepRecord | None) -> StepRecord:
        """Do the step and note its end; `known` is what an interrupted run wrote of it."""
        record = await self._do(known)
        self._care.note(self._number, record)
        return record

    async def _do(self, known: StepRecord | None) -> StepRecord:
        step = self._step
        if step.skip:
            return self._record("skipped", step.skip)
        shows = isinstance(step.run, Argv) and shows_command_lines(step.run.argv)
        if shows and not step.command_lines:  # a value may have made it so
            return self._record("failed", "not run: it would show command lines")
        in_doubt = step.changes and known is not None and known.outcome == BEGUN
        if in_doubt and step.verify is not None:
            after = await do(step.verify, self._hands, step.timeout)
            if after.holds:
                return self._record("done", f"{UNKNOWN_OUTCOME}; verified: {after.text}")
        if step.precondition is not None:
            before = await do(step.precondition, self._hands, step.timeout)
            if not before.holds:
                why = f"precondition false: {describe_condition(step.precondition)}: {before.text}"
                return self._record("stopped", why)
        return await (self._change(in_doubt=in_doubt) if step.changes else self._act())

    async def _change(self, *, in_doubt: bool) -> StepRecord:
        """Asked first; then the kill switch and the audit log have the last word, right before the
        act.
        """
        ask = self._care.repeat if in_doubt else self._care.confirm
        if not ask(self._step):
            why = f"{UNKNOWN_OUTCOME}, not confirmed: not repeated" if in_doubt else "not confirmed"
            return self._record("declined", f"{why}: nothing was changed by this step")
        try:
            await self._hands.permit(self._step)
        except SentinelError as error:
            return self._record("failed", error.message)
        return await self._act()

    async def _act(self) -> StepRecord:
        step = self._step
        self._care.note(self._number, self._record(BEGUN))
        done = await do(step.run, self._hands, step.timeout)
        if step.changes and done.outcome == "skipped":
            done = replace(done, outcome="failed")
        if done.outcome != "done" or step.verify is None:
            return self._record(done.outcome, done.text, done.output)
        return await self._verify(done)

    async def _verify(self, done: ActEnding) -> StepRecord:
        step = self._step
        if step.verify is None:
            return self._record("done", done.text, done.output)
        after = await await_condition(step.verify, self._hands, step.timeout)
        if after.holds:
            return self._record("done", f"{done.text}; verified: {after.text}", done.output)
        what = (
            f"not verified in {format_duration(step.timeout)}: {describe_condition(step.verify)}:"
            f" {after.text}"
        )
        return self._record("failed", what, done.output)

    def _record(self, outcome: str, detail: str = "", output: str = "") -> StepRecord:
        seconds = None if outcome == BEGUN else time.monotonic() - self._began
        step = self._step
        content = isinstance(step.run, RedisCommand) and shows_content(step.run.argv)
        private = content or step.command_lines
        return StepRecord(
            step.name,
            self._care.scrub(str(step.run)),
            step.changes,
            outcome,
            redact(self._care.scrub(detail)),
            redact(self._care.scrub(output)),
            seconds,
            private,
        )
