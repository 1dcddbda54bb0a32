"""Reading steps of runbooks that run by themselves when an incident opens: bounded, beside
everything else.

The pipeline puts an order `diagnose` into the transaction that announces the incident. Here it is
carried out by a task of its own: with a deadline, a few at a time, so many an hour. It reads while
halted, too: it changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.places import find_told, plan_here
from sentinel.config import Configuration
from sentinel.core.component.incident import Event
from sentinel.core.model import Finding, Incident, IncidentState
from sentinel.core.moment import Moment
from sentinel.core.notice.text import shorten
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.core.quantity import format_duration
from sentinel.engine.picture import CheckState
from sentinel.engine.recorder import Recorder
from sentinel.errors import SentinelError, UsageError
from sentinel.runbook.act import Hands
from sentinel.runbook.plan import BookPlan
from sentinel.runbook.run import Care, keep_reading, run_plan
from sentinel.runbook.transcript import StepRecord, Transcript, describe_kept
from sentinel.store import Changes, Store

log = structlog.get_logger()

TOO_LATE = timedelta(minutes=10)
HOUR = 3600.0


class Diagnosis:
    """Carries out `diagnose` orders."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        bookcase: Bookcase,
        store: Store,
        recorder: Recorder,
        make_hands: Callable[[], Hands],
        scrub: Callable[[Any], Any],
        moment: Callable[[], Moment],
    ) -> None:
        self._configuration, self._bookcase = configuration, bookcase
        self._store, self._recorder = store, recorder
        self._make_hands, self._scrub, self._moment = make_hands, scrub, moment
        self._tasks: dict[str, asyncio.Task[Answer]] = {}
        self._begun: deque[Moment] = deque()

    async def carry_out(self, order: Order) -> Answer | None:
        """Begin a diagnosis, or tell how it ended; None while it runs or waits for its turn."""
        task = self._tasks.get(order.key)
        if task is not None:
            return self._conclude(order.key, task) if task.done() else None
        refusal = self._refuse(order)
        if refusal:
            return refusal
        if len(self._tasks) >= self._configuration().runbooks.concurrent:
            return None
        self._begun.append(self._moment())
        self._tasks[order.key] = asyncio.create_task(self._diagnose(order))
        return None

    def _conclude(self, key: str, task: asyncio.Task[Answer]) -> Answer:
        del self._tasks[key]
        if task.cancelled():
            return Answer.failed("it was cut short")
        error = task.exception()
        if error is not None:
            log.error("diagnosis_raised", key=key, error=repr(error))
        return Answer.failed(repr(error)) if error is not None else task.result()

    def _refuse(self, order: Order) -> Answer | None:
        now, limit = self._moment(), self._configuration().runbooks.per_hour
        while self._begun and now.seconds_since(self._begun[0]) > HOUR:
            self._begun.popleft()
        if now.at - datetime.fromisoformat(str(order.payload["at"])) > TOO_LATE:
            return Answer.refused("not diagnosed: too late")
        if len(self._begun) >= limit:
            return Answer.refused(f"not diagnosed: {limit} diagnoses within an hour")
        return None

    async def _diagnose(self, order: Order) -> Answer:
        """Run the reading steps and put what they gave into the incident's timeline; the outcome."""
        incident = self._store.incident(str(order.payload["incident"]))
        if incident is None or incident.state is IncidentState.CLOSED:
            return Answer.refused("not diagnosed: the incident is closed")
        name = str(order.payload["runbook"])
        try:
            transcript = await self._read(name, incident)
        except SentinelError as error:
            await self._note(incident, f"runbook {name} can't be run: {error.message}", {})
            return Answer.failed(error.message)
        await self._note(incident, summarize(transcript), describe_kept(transcript))
        return Answer.done(transcript.outcome)

    async def _read(self, name: str, incident: Incident) -> Transcript:
        """At the deadline what was read so far is the transcript."""
        configuration, records, began = (
            self._configuration(),
            dict[int, StepRecord](),
            self._moment().at,
        )
        book = self._bookcase.shelf.books.get(name)
        if book is None:
            raise UsageError(
                "it is not on the shelf any more", "`sentinel validate` says what is wrong with it"
            )
        told = find_told(book, incident, self._store)
        plan = keep_reading(plan_here(book, configuration, incident, {}, told, partial=True))
        try:
            async with asyncio.timeout(configuration.runbooks.deadline):
                care = Care(note=records.__setitem__, scrub=self._scrub)
                return await run_plan(plan, self._make_hands(), care)
        except TimeoutError:
            outcome = f"ended at its deadline of {format_duration(configuration.runbooks.deadline)}"
            return _cut_short(plan, records, began, self._moment().at, outcome)

    async def _note(self, incident: Incident, text: str, evidence: Mapping[str, Any]) -> None:
        event = Event("diagnosis", str(self._scrub(text)))
        entry = (incident.id, self._moment().at, event, self._scrub(dict(evidence)))
        await self._recorder.record(Changes(events=[entry]))

    async def close(self) -> None:
        """End what runs. The orders stay, and are carried out after the next start if it comes
        soon.
        """
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def find_latest(
    results: Sequence[CheckState],
    name: str,
    now: datetime,
    rerun: Callable[[Order], Awaitable[Answer]],
) -> Finding | None:
    """What a check of the daemon said within its last interval; what is older is asked for anew
    (None then).
    """
    known = next((row for row in results if row[0].name == name), None)
    if known is None:
        raise UsageError(f"there is no check {name!r}", "`sentinel check list` lists them")
    check, result, finding, *_ = known
    if (
        result is not None
        and finding is not None
        and (now - result.started).total_seconds() <= 2 * check.every
    ):
        return finding
    await rerun(Order(OrderKind.CHECK, "", name))
    return None


def summarize(transcript: Transcript) -> str:
    """One line: how much was learned, and which check said what."""
    done = sum(record.outcome == "done" for record in transcript.records)
    said = f"runbook {transcript.book}: {done} of {len(transcript.records)} reading steps answered"
    bad = [
        record for record in transcript.records if record.detail.startswith(("down:", "degraded:"))
    ]
    return "; ".join(
        [
            said,
            *(
                shorten(f"{record.act.removeprefix('check ')} is {record.detail}", 160)
                for record in bad[:2]
            ),
        ]
    )


def _cut_short(
    plan: BookPlan, records: dict[int, StepRecord], began: datetime, ended: datetime, outcome: str
) -> Transcript:
    steps = enumerate(plan.steps)
    kept = tuple(
        records.get(n, StepRecord(step.name, str(step.run), step.changes, "not reached"))
        for n, step in steps
    )
    return Transcript(
        plan.book.name, plan.book.title, plan.parameters, False, began, ended, outcome, kept
    )
