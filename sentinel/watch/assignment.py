"""How `task_assignment` reads: windows, looks at the axis of creation, followed tasks, trends.

A window is counted at the age of the deadline and looked at until `settle_after`: what becomes
visible meanwhile is counted in it, what comes later is late, and what lies whole hours off is
skewed (`sentinel/core/tasks/ledger.py`). When rows come late, later windows are counted later.
What one step reads is taken in with no await between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.tasks import reader
from sentinel.adapters.tasks.queries import TaskStatements
from sentinel.core.tasks import assignment, ledger
from sentinel.core.tasks.assignment import CohortWindow, Horizon
from sentinel.core.tasks.fairness import Spread
from sentinel.core.tasks.ledger import AxisRow, Classes, Counted
from sentinel.core.tasks.rows import OpenTasks
from sentinel.core.tasks.state import AssignmentState, Part
from sentinel.core.tasks.tracker import TaskPoll, Tracker, TrackerRules

PROVE_EVERY = 60.0
LOOK_SOON = 10.0
"""Seconds between looks at the whole axis while times of other zones are seen; else a minute."""
TRENDS_EVERY = 30.0
SHOWN_TASKS = 3

Measured = tuple[list[float], list[OpenTasks]]
"""The newest latencies, and what is open."""


@dataclass(frozen=True, slots=True)
class PollTimes:
    """The kind's options of time, in seconds."""

    deadline: float
    settle_after: float
    stages_after: float
    window: float
    follow: float


@dataclass(frozen=True, slots=True)
class AssignmentPoll:
    """What one run works with; `monotonic` in seconds."""

    times: PollTimes
    statements: TaskStatements
    client: PostgresClient
    state: AssignmentState
    horizon: Horizon
    holder: str
    monotonic: float

    async def tasks(
        self, sql: str, start: datetime, end: datetime, **more: Any
    ) -> list[dict[str, Any]]:
        """Run one of the statements over the tasks created in [start, end)."""
        return await self.client.query(sql, self.statements.within(start, end, **more))

    async def part(self, sql: str, start: float, end: float) -> list[dict[str, Any]]:
        """Run one of the statements over a part of the axis of creation."""
        return await self.client.query(sql, self.statements.between(start, end))

    def ago(self, seconds: float) -> datetime:
        """An instant before this run, by the server's clock."""
        return self.horizon.now - timedelta(seconds=seconds)

    @property
    def now(self) -> float:
        """This run, on the axis of creation."""
        return self.statements.axis(self.horizon.now)

    @property
    def look_every(self) -> float:
        """Seconds between looks at all that may be: sooner while there are reasons to."""
        return LOOK_SOON if self.state.is_odd(self.horizon.now.timestamp()) else PROVE_EVERY

    @property
    def final(self) -> float:
        """Where windows become final, on the axis."""
        return self.now - max(self.times.settle_after, assignment.SHOWN_WITHIN)


async def measure(poll: AssignmentPoll, follows: bool) -> Measured:
    """Settle what is due and look at what came late; the newest latencies, and what is open."""
    found = await (_track if follows else _count_cohorts)(poll)
    await _stage(poll)
    await _follow_trends(poll)
    return found


# --- method A: deadline cohorts -------------------------------------------------------------------


async def _count_cohorts(poll: AssignmentPoll) -> Measured:
    """Both passes; the newest 50 000 latencies of the window, and what is open."""
    if poll.state.tracker is not None:
        await _leave_tracker(poll, poll.state.tracker)
    await _settle(poll)
    settled = poll.statements.axis(poll.state.settled_to or poll.horizon.exact)
    for stretch in await _look(poll, settled):
        rows = await poll.part(poll.statements.settle, stretch.start, stretch.end)
        poll.state.recount(stretch, rows, poll.horizon, poll.now - stretch.start)
    await _observe(poll)
    rows = await poll.tasks(poll.statements.sample, poll.ago(poll.times.window), poll.horizon.now)
    return rows[0]["latencies"] or [], await _read_open(poll)


async def _leave_tracker(poll: AssignmentPoll, tracker: Tracker) -> None:
    """It counted other tasks than the watermarks say: those behind its floor, too."""
    state, axis = poll.state, poll.statements.axis
    floor = axis(datetime.fromtimestamp(tracker.floor or 0.0, UTC))
    taken = []
    for low, high in state.ledger.free(floor, axis(poll.horizon.exact)):
        taken.append((low, high, (await poll.part(poll.statements.count, low, high))[0]["n"]))
    for low, high, n in taken:
        state.ledger.settle(low, high, None, n)
    state.tracker, state.settled_to = None, poll.horizon.exact
    state.observed_to = poll.horizon.exact


async def _settle(poll: AssignmentPoll) -> None:
    """The SLI pass: every task at the age of its deadline, into exactly one class."""
    state, axis = poll.state, poll.statements.axis
    start = state.settled_to = state.settled_to or poll.horizon.exact
    lateness = state.lateness(poll.horizon.now.timestamp())
    delay = max(poll.times.deadline, min(lateness, poll.times.settle_after))
    for window in assignment.due_windows(start, poll.horizon, delay):
        parts: list[Part] = []
        for low, high in state.ledger.free(axis(window.start), axis(window.end)):
            parts.append((low, high, await poll.part(poll.statements.settle, low, high)))
        state.settle(parts, window, poll.horizon, poll.final)


async def _observe(poll: AssignmentPoll) -> None:
    """The histogram pass: every task at the age `settle_after`."""
    start = poll.state.observed_to = poll.state.observed_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.times.settle_after):
        rows = await _read_sound(poll, poll.statements.histogram, window)
        for row in rows:
            poll.state.queue(row["queue"]).observe(row["buckets"], row["n"], float(row["seconds"]))
        poll.state.observed_to = window.end


async def _read_sound(poll: AssignmentPoll, sql: str, window: CohortWindow) -> list[dict[str, Any]]:
    """Rows of a window without the parts in which others were counted ahead of their time."""
    axis, rows = poll.statements.axis, []
    for low, high in poll.state.ledger.sound(axis(window.start), axis(window.end)):
        rows += await poll.part(sql, low, high)
    return rows


async def _read_open(poll: AssignmentPoll) -> list[OpenTasks]:
    """Open tasks by queue. The whole lookback once a minute, else from the oldest one known on."""
    state, now = poll.state, poll.horizon.now
    start = poll.ago(state.reach.open)
    if state.open_since is not None and poll.monotonic - state.swept_at < poll.look_every:
        start = max(start, state.open_since)
    else:
        state.swept_at = poll.monotonic
    # With cohorts a table may lack an id: then tasks are counted and not named.
    sql = poll.statements.open_named if state.id_type else poll.statements.open
    span = poll.statements.may_be_open(start, now + timedelta(seconds=1))
    rows = await poll.client.query(sql, span)
    found = [_read_open_row(state, row) for row in rows]
    # By where they lie on the axis: what another zone lays behind must be met again.
    oldest = max(0.0, *(row["oldest"] for row in rows)) if rows else 0.0
    state.open_since = min(poll.horizon.capped, now - timedelta(seconds=oldest + 1))
    return found


def _read_open_row(state: AssignmentState, row: Mapping[str, Any]) -> OpenTasks:
    queue, ids = row["queue"], row["ids"] or ()
    ages = [max(0.0, age) for age in row["ages"] or ()]
    return OpenTasks(state.label(queue), row["n"], ages, ids=ids, name=queue or "")


# --- method B: each task by its id ----------------------------------------------------------------


async def _track(poll: AssignmentPoll) -> Measured:
    """One snapshot of new and followed tasks; the latencies of the newest tasks of the window, and
    what is open.
    """
    state, horizon, times = poll.state, poll.horizon, poll.times
    # It begins where the windows of the other method ended, if there were any.
    begin = state.settled_to.timestamp() if state.settled_to else None
    tracker = state.tracker or Tracker({"floor": begin})
    is_sweep = poll.monotonic - state.swept_at >= poll.look_every
    lookback = state.reach.open if is_sweep or state.tracker is None else None
    seen, taken = await reader.read_poll(
        poll.client,
        poll.statements,
        state.id_type,
        tracker,
        horizon,
        lookback,
        state.ledger,
        times.settle_after,
    )
    _take(poll, tracker, seen)
    state.tracker, state.swept_at = tracker, state.swept_at if lookback is None else poll.monotonic
    for low, high, n in taken:
        classes: Classes | None = {(None, "seen"): n} if high > poll.final else None
        state.ledger.settle(low, high, classes, n)
    state.settled_to = assignment.due_until(horizon, times.deadline)
    state.observed_to = assignment.due_until(horizon, times.settle_after)
    floor = datetime.fromtimestamp(tracker.floor or 0.0, UTC)
    for stretch in await _look(poll, poll.statements.axis(floor)):
        await _follow_late(poll, tracker, stretch)
    waits, names = tracker.waits(horizon.now.timestamp()), tracker.name_oldest(SHOWN_TASKS)
    still_open = [
        OpenTasks(state.label(queue), len(ages), ages, returned, names[queue], queue or "")
        for queue, (ages, returned) in waits.items()
    ]
    return tracker.latencies(poll.ago(times.window).timestamp()), still_open


def _take(poll: AssignmentPoll, tracker: Tracker, seen: TaskPoll) -> None:
    times = poll.times
    rules = TrackerRules(times.deadline, times.settle_after, times.follow)
    tally = tracker.apply(seen, rules)
    poll.state.take(tally, poll.horizon, times.deadline, times.settle_after)


async def _follow_late(poll: AssignmentPoll, tracker: Tracker, stretch: Counted) -> None:
    """Tasks that became visible behind the floor: by their ids it is known which are new."""
    rows = await reader.read_stretch(poll.client, poll.statements, stretch)
    if any(row["created"] < tracker.kept for row in rows):
        poll.state.late_arrivals += max(0, len(rows) - stretch.n)
        poll.state.ledger.recount(stretch, {(None, "seen"): len(rows)})
        return
    seen = reader.make_poll(poll.horizon, tracker.floor or 0.0, poll.times.settle_after, rows)
    _take(poll, tracker, seen)
    poll.state.ledger.recount(stretch, {(None, "seen"): len(rows)})


# --- both -----------------------------------------------------------------------------------------


async def _look(poll: AssignmentPoll, settled: float) -> list[Counted]:
    """What became visible where windows were counted, up to `settled` on the axis: the stretches to
    count again. Those that are not final each time, the whole axis once a minute.
    """
    state, now = poll.state, poll.now
    is_whole = state.looked_at is None or poll.monotonic - state.looked_at >= poll.look_every
    recent = [each for each in state.ledger.stretches if each.classes is not None]
    if is_whole:
        since, until = now - state.reach.look, now + ledger.AHEAD
    elif recent:
        since, until = recent[0].start, recent[-1].end
    else:
        return []
    edges = state.ledger.edges(now, settled, since, until)
    span = poll.statements.between(since, until, edges=edges)
    rows = [AxisRow(**row) for row in await poll.client.query(poll.statements.look, span)]
    sighting = state.ledger.see(rows, edges, now, settled, poll.final)
    if is_whole:
        state.ledger.close(now, now - ledger.BACK)
    state.note_sighting(sighting, poll.horizon, now if is_whole else None)
    state.looked_at = poll.monotonic if is_whole else state.looked_at
    return list(sighting.again)


async def _stage(poll: AssignmentPoll) -> None:
    """Durations of the stages: every task at the age `stages_after`."""
    if not poll.statements.stages:
        return
    start = poll.state.staged_to = poll.state.staged_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.times.stages_after):
        poll.state.stage(await _read_sound(poll, poll.statements.stages, window), window)


async def _follow_trends(poll: AssignmentPoll) -> None:
    """Twice a minute: what was assigned and completed in the last hour, and how long each tenant
    waits.

    A look that fails is not repeated at once: it costs one run, and its figures are missing and not
    old.
    """
    state = poll.state
    if state.trends_at is not None and poll.monotonic - state.trends_at < TRENDS_EVERY:
        return
    state.trends_at, state.throughput, state.spread = poll.monotonic, None, Spread()
    start = poll.ago(state.reach.throughput)
    state.note_throughput(await poll.tasks(poll.statements.throughput, start, poll.horizon.now))
    state.spread = await _read_spread(poll)


async def _read_spread(poll: AssignmentPoll) -> Spread:
    if not poll.statements.tenants:
        return Spread()
    reach = poll.state.reach
    start, oldest = poll.ago(reach.tenants), poll.ago(reach.open)
    return reader.read_spread(
        await poll.tasks(poll.statements.tenants, start, poll.horizon.now, oldest=oldest)
    )
