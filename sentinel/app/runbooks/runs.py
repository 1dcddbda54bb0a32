"""Runs of runbooks that can be resumed: each step is in the store before it begins and when it
ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sentinel.adapters.process.handle import read_start_id
from sentinel.clock import utcnow
from sentinel.core.component.incident import Event
from sentinel.errors import ActionRefused, UsageError
from sentinel.runbook.act import Hands
from sentinel.runbook.plan import BookPlan, make_plan
from sentinel.runbook.run import Care, Question, run_plan
from sentinel.runbook.shelf import Shelf, digest_plan
from sentinel.runbook.transcript import StepRecord, Transcript, describe_kept, redact
from sentinel.store import Changes, Store
from sentinel.store.document import to_json
from sentinel.store.runbook import RUNNING, RunbookRun

INTERRUPTED = "interrupted"


def begin_run(plan: BookPlan, actor: str, incident: str) -> RunbookRun:
    """A run that has not done anything yet."""
    now = utcnow()
    run_id = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{plan.book.name}"
    return RunbookRun(
        id=run_id,
        book=plan.book.name,
        began=now,
        state=RUNNING,
        actor=actor,
        digest=digest_plan(plan),
        pid=os.getpid(),
        start_id=read_start_id(os.getpid()) or "",
        incident=incident,
        parameters=plan.parameters,
    )


def state_of(run: RunbookRun) -> str:
    """How a run stands: one whose process is gone without a word was interrupted."""
    if run.state != RUNNING:
        return run.state
    return RUNNING if run.start_id and read_start_id(run.pid) == run.start_id else INTERRUPTED


def pick_up(
    run: RunbookRun, shelf: Shelf, actor: str, supervised: Collection[str] | None = None
) -> tuple[RunbookRun, BookPlan]:
    """An ended or interrupted run as it goes on in this process, with its plan; what nobody told
    then is not known now.

    Raises ActionRefused while another process runs it, and UsageError when there is nothing to
    resume or the runbook was changed since.
    """
    state = state_of(run)
    if state == RUNNING:
        raise ActionRefused(
            f"{run.id} is still running (pid {run.pid})", "wait for its end, or end that process"
        )
    if state == "done":
        raise UsageError(
            f"{run.id} is done: there is nothing to resume",
            f"`sentinel runbook run {run.book}` begins a new one",
        )
    again = f"begin anew: sentinel runbook run {run.book}"
    if run.book not in shelf.books:
        raise UsageError(f"there is no runbook {run.book!r} any more", again)
    told = {name: value for name, value in run.parameters.items() if value}
    plan = make_plan(shelf.books[run.book], told, supervised=supervised, partial=True)
    if digest_plan(plan) != run.digest:
        raise UsageError(
            f"the runbook {run.book} was changed since {run.id}: its steps are others", again
        )
    mine = begin_run(plan, actor, run.incident)
    return replace(run, state=RUNNING, actor=actor, pid=mine.pid, start_id=mine.start_id), plan


def _tell_nobody(_number: int, _record: StepRecord) -> None:
    return


async def perform(
    store: Store,
    run: RunbookRun,
    plan: BookPlan,
    hands: Hands,
    confirm: Question,
    repeat: Question,
    tell: Callable[[int, StepRecord], None] = _tell_nobody,
    scrub: Callable[[str], str] = redact,
) -> Transcript:
    """Run or go on with a run, keeping every step; the transcript begins with the run, not with its
    resumption.

    `tell(n, record)` hears of every step at once: a change may take minutes.
    """
    kept = run
    store.save_run(kept)

    def note(number: int, record: StepRecord) -> None:
        nonlocal kept
        kept = replace(kept, steps={**kept.steps, str(number): to_json(record.kept)})
        store.save_run(kept)
        tell(number, record)

    earlier = {int(number): _read_record(document) for number, document in run.steps.items()}
    transcript = await run_plan(plan, hands, Care(confirm, repeat, note, earlier, scrub))
    store.save_run(replace(kept, state=transcript.outcome, ended=utcnow()))
    return replace(transcript, began=run.began)


def _read_record(document: Mapping[str, Any]) -> StepRecord:
    return StepRecord(**document)


def append_transcript(
    store: Store, incident: str, transcript: Transcript, scrub: Callable[[Any], Any], at: datetime
) -> None:
    """What was done by hand belongs into the incident's timeline."""
    event = Event("runbook", f"runbook {transcript.book}: {transcript.outcome}")
    evidence = scrub(describe_kept(transcript))
    store.commit(Changes(events=[(incident, at, event, evidence)]))
