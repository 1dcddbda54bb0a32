"""Tasks followed one by one: the exact latency of each, re-assignments, missing times
(measurement.md §3.3).

A poll reads, in one snapshot, the tasks created since a floor and the tasks that are followed. The
floor stays behind the commit horizon, so a task that becomes visible late is still found; ids tell
what is known already. Each task is counted in one class, once. Pure: a poll's rows go in, a tally
comes out.

What lies between two polls is not seen: a task given back and assigned again meanwhile shows only
its last assignment. An instant that no column holds is known as an interval, between the last look
before and the first after.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from sentinel.core.tasks.assignment import SHOWN_WITHIN

OVERLAP = 5.0
MAX_OPEN = 50_000
MAX_ARRIVALS = 50_000
MAX_FOLLOWED = 5_000
FOLLOW_BATCH = 500
"""Assigned tasks are looked at in turns, so many in a poll: only open ones are read in each."""

WaitBounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class TaskSight:
    """One row as a snapshot showed it. `kind` is its class, `status` is `open`, `assigned` or
    `other`.

    `created`, `assigned` and `now` (read after the snapshot) are epoch seconds of the server,
    `latency` is seconds.
    """

    id: str
    queue: str | None
    kind: str
    status: str
    created: float
    assigned: float | None
    latency: float | None
    now: float


@dataclass(frozen=True, slots=True)
class TrackerRules:
    """Seconds: the deadline, the age that ends the histogram, and how long an assigned task is
    still looked at.
    """

    deadline: float
    settle_after: float
    follow: float


@dataclass(frozen=True, slots=True)
class TaskPoll:
    """What one snapshot showed. `asked` are the ids looked up, `floor` is the next one; epoch
    seconds.

    Ids of tasks created since `keep` are remembered: what becomes visible late is looked for among
    them. Whatever is stamped before `final` was visible in it; deadlines are judged at `due` (the capped
    horizon).
    `untracked` tasks were counted and not read. `backlog` are open tasks from before the floor:
    they are followed, but not counted (they are from before the watch, opened again, or bear
    another time than that of their creation).
    """

    arrivals: Sequence[TaskSight]
    asked: Sequence[str]
    sights: Sequence[TaskSight]
    final: float
    due: float
    floor: float
    keep: float = math.inf
    backlog: Sequence[TaskSight] = ()
    untracked: int = 0


@dataclass(slots=True)
class TaskTally:
    """What a poll adds. Latencies in seconds, infinite for a task still open at `settle_after`;
    bounds: least, most.
    """

    settled: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    latencies: list[tuple[str | None, float]] = field(default_factory=list)
    reassigned: list[tuple[str | None, WaitBounds]] = field(default_factory=list)
    missing: list[WaitBounds] = field(default_factory=list)


@dataclass(slots=True)
class Task:
    """One followed task; epoch seconds. `counted` in a class, `observed`: done with the histogram."""

    queue: str | None
    created: float
    counted: bool = False
    observed: bool = False
    taken: bool = False
    """Seen assigned, with a status that says so: a status that waits again then means that it was
    given back.
    """
    closed: bool = False
    assigned: float | None = None
    seen: float | None = None
    """When it was last seen open, at the earliest."""
    held: float | None = None
    """When it was last seen assigned, at the earliest; None: never assigned."""
    returned: float | None = None
    """When it was first seen to be given back, at the latest."""
    missing: WaitBounds | None = None
    until: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Open now: never assigned, or given back."""
        return not self.closed and (self.held is None or self.returned is not None)

    @property
    def is_settled(self) -> bool:
        """Only a re-assignment can still be learned from it."""
        return self.counted and self.observed and not self.is_waiting


_VALUES = attrgetter(*(each.name for each in fields(Task)))


class Tracker:
    """The tasks that are followed, and the ids known since the floor. Bounded: see the constants of
    this module.
    """

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        known = document or {}
        self.floor: float | None = known.get("floor")
        self.seen: dict[str, float] = dict(known.get("seen", {}))
        self.kept: float = known.get("kept", math.inf)
        """Since when created ids are remembered, all of them."""
        self.open = _load(known.get("open", ()))
        self.followed = _load(known.get("followed", ()))
        self.newest: deque[tuple[float, float]] = deque(maxlen=MAX_OPEN)

    def dump(self) -> dict[str, Any]:
        """JSON-able document. The newest latencies are not in it: quantiles begin again after a
        restart.
        """
        return {
            "floor": self.floor,
            "seen": dict(self.seen),
            "kept": self.kept,
            "open": [[name, *_VALUES(task)] for name, task in self.open.items()],
            "followed": [[name, *_VALUES(task)] for name, task in self.followed.items()],
        }

    @property
    def waiting(self) -> dict[str, Task]:
        """Open tasks by id."""
        return {name: task for name, task in self.open.items() if task.is_waiting}

    def waits(self, now: float) -> dict[str | None, tuple[list[float], list[float]]]:
        """Queue → ages of its tasks that were never assigned; seconds, at least, since others were
        given back.
        """
        found: dict[str | None, tuple[list[float], list[float]]] = {}
        for task in self.waiting.values():
            ages, returned = found.setdefault(task.queue, ([], []))
            if task.returned is None:
                ages.append(max(0.0, now - task.created))
            else:
                returned.append(max(0.0, now - task.returned))
        return found

    def name_oldest(self, most: int) -> dict[str | None, list[str]]:
        """Queue → ids of those of its tasks that wait longest."""
        found: dict[str | None, list[tuple[float, str]]] = {}
        for name, task in self.waiting.items():
            since = task.created if task.returned is None else task.returned
            found.setdefault(task.queue, []).append((since, name))
        return {
            queue: [name for _, name in heapq.nsmallest(most, tasks)]
            for queue, tasks in found.items()
        }

    def latencies(self, since: float) -> list[float]:
        """Latencies of tasks created since then, of the newest 50 000 assignments."""
        return [latency for created, latency in self.newest if created >= since]

    def to_look_up(self) -> list[str]:
        """Every open task, and the assigned ones whose turn it is."""
        return [
            *self.open,
            *(name for name, _ in zip(self.followed, range(FOLLOW_BATCH), strict=False)),
        ]

    def apply(self, poll: TaskPoll, rules: TrackerRules) -> TaskTally:
        """Take in one poll, all of it at once."""
        tally = TaskTally()
        for sight in poll.backlog:
            if sight.id not in self.open and sight.id not in self.followed:
                self._place(
                    sight.id,
                    Task(sight.queue, sight.created, True, True, seen=poll.final),
                    sight,
                    rules,
                )
        for sight in self._new(poll.arrivals):
            self._follow(sight.id, Task(sight.queue, sight.created), sight, poll, rules, tally)
        found = {sight.id: sight for sight in poll.sights}
        for name in poll.asked:
            self._look(name, found.get(name), poll, rules, tally)
        self._forget(poll, tally)
        return tally

    def _new(self, arrivals: Iterable[TaskSight]) -> Iterator[TaskSight]:
        for sight in arrivals:
            is_known = sight.id in self.seen or sight.id in self.open or sight.id in self.followed
            self.seen[sight.id] = sight.created
            if not is_known:
                yield sight

    def _look(
        self,
        name: str,
        sight: TaskSight | None,
        poll: TaskPoll,
        rules: TrackerRules,
        tally: TaskTally,
    ) -> None:
        task = self.open.pop(name, None) or self.followed.pop(name, None)
        if task is None:
            return
        if sight is None:
            _count_gone(task, tally)
        else:
            self._follow(name, task, sight, poll, rules, tally)

    def _follow(
        self,
        name: str,
        task: Task,
        sight: TaskSight,
        poll: TaskPoll,
        rules: TrackerRules,
        tally: TaskTally,
    ) -> None:
        is_first = task.assigned is None
        _see(task, sight, poll.final, tally)
        if is_first and task.assigned is not None and sight.kind in ("in_deadline", "late"):
            self.newest.append((task.created, sight.latency or 0.0))
        _expire(task, poll.due, rules, tally)
        self._place(name, task, sight, rules)

    def _place(self, name: str, task: Task, sight: TaskSight, rules: TrackerRules) -> None:
        if not task.is_settled:
            task.until = None
            self.open[name] = task
            return
        task.until = task.until or sight.now + rules.follow
        if sight.now < task.until:
            self.followed[name] = task

    def _forget(self, poll: TaskPoll, tally: TaskTally) -> None:
        """Advance the floor, and let go of what is beyond the bounds: of open tasks the newest."""
        self.floor = poll.floor
        since = poll.floor if len(self.seen) > MAX_ARRIVALS else min(poll.keep, poll.floor)
        # What was forgotten once is not known again: after a crowd it takes a while.
        self.kept = since if since >= self.kept else min(self.kept, poll.floor)
        self.seen = {name: created for name, created in self.seen.items() if created >= since}
        tally.settled[None, "untracked"] += poll.untracked
        if len(self.open) > MAX_OPEN:
            by_age = sorted(self.open, key=lambda name: self.open[name].created)
            for name in by_age[MAX_OPEN:]:
                tally.settled[None, "untracked"] += not self.open.pop(name).counted
        while len(self.followed) > MAX_FOLLOWED:
            del self.followed[next(iter(self.followed))]


def _load(rows: Iterable[Sequence[Any]]) -> dict[str, Task]:
    tasks = {}
    for name, *values in rows:
        task = Task(*values)
        task.missing = (task.missing[0], task.missing[1]) if task.missing else None
        tasks[name] = task
    return tasks


def _see(task: Task, sight: TaskSight, final: float, tally: TaskTally) -> None:
    if sight.kind == "unassigned" or (task.taken and sight.status == "open"):
        _see_open(task, sight, final, tally)
    elif _is_assigned(task, sight):
        _see_assigned(task, sight, final, tally)
    else:
        task.closed = True


def _is_assigned(task: Task, sight: TaskSight) -> bool:
    """What is not open is assigned, or ended while it waited: for the first time, or after it was
    given back.
    """
    if task.returned is not None:
        return sight.status == "assigned" or sight.assigned not in (None, task.assigned)
    return task.held is not None or sight.kind != "censored"


def _see_open(task: Task, sight: TaskSight, final: float, tally: TaskTally) -> None:
    task.closed, task.seen = False, final
    if task.held is not None and task.returned is None:
        if task.assigned is None:
            _count_missing(task, tally)
        task.returned = sight.now


def _see_assigned(task: Task, sight: TaskSight, final: float, tally: TaskTally) -> None:
    task.closed = False
    if task.held is None:
        if sight.assigned is None:
            task.missing = (
                max(0.0, (task.seen or task.created) - task.created),
                sight.now - task.created,
            )
    elif task.returned is not None or (
        task.assigned and sight.assigned not in (None, task.assigned)
    ):
        tally.reassigned.append((task.queue, _bound(task, sight, task.held)))
        task.returned = None
    if sight.assigned is not None:
        if task.assigned is None:
            _count_first(task, sight, tally)
        task.assigned = sight.assigned
    task.held, task.taken = final, task.taken or sight.status != "open"


def _bound(task: Task, sight: TaskSight, held: float) -> WaitBounds:
    """Least and most seconds from the give-back to the new assignment; a kept old time tells
    nothing of the new one.
    """
    if sight.assigned is not None and sight.assigned != task.assigned:
        least = sight.assigned - task.returned if task.returned is not None else 0.0
        most = sight.assigned - held
    else:
        least, most = (task.seen or held) - (task.returned or sight.now), sight.now - held
    return max(0.0, least), max(0.0, least, most)


def _count_first(task: Task, sight: TaskSight, tally: TaskTally) -> None:
    """The first assignment by its own time: nothing that comes later overwrites it."""
    if not task.counted:
        tally.settled[task.queue, sight.kind] += 1
    if not task.observed and sight.kind in ("in_deadline", "late"):
        tally.latencies.append((task.queue, sight.latency or 0.0))
    task.counted = task.observed = True


def _count_missing(task: Task, tally: TaskTally) -> None:
    """The status said that it was assigned; when, is known by the looks before and after only."""
    if not task.counted:
        tally.settled[task.queue, "missing"] += 1
        tally.missing.append(task.missing or (0.0, math.inf))
    task.counted = task.observed = True


def _count_gone(task: Task, tally: TaskTally) -> None:
    """A deleted row was censored, unless something is known of it already."""
    if task.held is not None and task.assigned is None:
        _count_missing(task, tally)
    elif not task.counted:
        tally.settled[task.queue, "deleted"] += 1


def _expire(task: Task, due: float, rules: TrackerRules, tally: TaskTally) -> None:
    """What age decides: a task that nobody took at the deadline, and at the end of the histogram."""
    if task.created <= due - max(rules.deadline, SHOWN_WITHIN) and task.held is None:
        if not task.counted:
            tally.settled[task.queue, "censored" if task.closed else "unassigned"] += 1
        task.counted, task.observed = True, task.observed or task.closed
    if task.observed or task.created > due - max(rules.settle_after, SHOWN_WITHIN):
        return
    if task.held is None:
        tally.latencies.append((task.queue, math.inf))
        task.observed = True
    elif task.assigned is None:
        _count_missing(task, tally)
