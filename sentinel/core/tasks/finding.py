"""Is the assigner bad, for which queue, and by what figures: the judgement of `task_assignment`.

The oldest open task comes first, because a hung assigner settles nothing. Pure: what one poll knows
goes in, faults come out. Ages in seconds of the server's clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.fault import Fault, Status, sort_faults
from sentinel.core.moment import from_unix
from sentinel.core.moment.skew import (
    LEAST_OFFSET,
    QUARTER,
    TOLERANCE,
    ColumnClock,
    tell_cure,
    tell_skew,
)
from sentinel.core.quantity import MANY, Bounds, format_duration, format_names
from sentinel.core.tasks.fairness import Spread, TenantWait
from sentinel.core.tasks.rows import OpenTasks
from sentinel.core.tasks.state import CREATED

ASK_THE_ASSIGNER = (
    "does the assigner run, does it see the open tasks, and is an agent free that fits them?"
)
SKEWED_TIMES = (
    "some tasks were assigned before they were created: naive utcnow() into timestamptz, or a wrong"
    " clock"
)
_UNSEEN_TIMES = (
    "compare created_at of a new row with now(): naive times in another zone, a wrong clock, a bulk"
    " load?"
)
_STARVED = "does one tenant fill the queue, or can only few agents take the tasks of this one?"
_SAMPLES = 20
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class AssignmentLimits:
    """When the assigner is judged bad; seconds, ratio, count, and how many times longer than others
    a tenant may wait.
    """

    unassigned_degraded: float
    unassigned_down: float
    objective: float
    min_events: int
    unfair_above: float = 10.0
    deadline: float = 0.1
    """Seconds in which a task should be assigned."""


@dataclass(frozen=True, slots=True)
class Minute:
    """Tasks of the last minute: assigned in time, settled at all, with times that can't be."""

    good: int = 0
    settled: int = 0
    skewed: int = 0


@dataclass(frozen=True, slots=True)
class SkewFacts:
    """What is known of the clocks of the two columns, and of times that can't be: `ahead`: rows
    that lie ahead of the server's clock, the newest of them by `newest` seconds; `odd`: the column
    and the seconds by which most times were off lately.
    """

    created: ColumnClock | None = None
    assigned: ColumnClock | None = None
    ahead: int = 0
    newest: float = 0.0
    odd: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class AssignmentFacts:
    """What one poll knows. `now`: Unix seconds; `waiting`: open tasks by queue; `minute`: of all
    tasks, `minutes`: by queue; `spread`: between tenants; `missed`: tasks that were inserted lately
    although none was counted.
    """

    now: float
    table: str
    waiting: Sequence[OpenTasks] = ()
    minute: Minute = field(default_factory=Minute)
    minutes: Mapping[str, Minute] = field(default_factory=dict)
    spread: Spread = field(default_factory=Spread)
    missed: int = 0
    skew: SkewFacts = field(default_factory=SkewFacts)


def find_faults(facts: AssignmentFacts, limits: AssignmentLimits) -> list[Fault]:
    """Everything that is wrong, the worst first; queue by queue, tenant by tenant."""
    return sort_faults(
        [
            *_find_unassigned(facts, limits),
            *_find_late(facts, limits),
            *_find_starved(facts, limits),
            *_find_blind(facts, limits),
        ]
    )


# --- queues ---------------------------------------------------------------------------------------


def _find_unassigned(facts: AssignmentFacts, limits: AssignmentLimits) -> Iterator[Fault]:
    """Queues whose oldest open task waits too long, the longest first."""
    late = [each for each in facts.waiting if each.oldest >= limits.unassigned_degraded]
    for tasks in sorted(late, key=lambda each: -each.oldest):
        is_down = tasks.oldest >= limits.unassigned_down
        limit = limits.unassigned_down if is_down else limits.unassigned_degraded
        count = count_waiting(tasks, limits.unassigned_degraded)
        noun = "task" if len(tasks.ids[: count.lo]) == 1 else "tasks"
        sample = f": {noun} {_name_tasks(tasks, count)}" if tasks.ids else ""
        verb = "waits" if count == Bounds(1, 1) else "wait"
        text = (
            f"queue {tasks.called:.80}: the oldest unassigned task waits"
            f" {format_duration(tasks.oldest)} (limit {format_duration(limit)});"
            f" {count} {verb} for longer than {format_duration(limits.unassigned_degraded)}{sample}"
        )
        yield Fault(
            "unassigned",
            {"queue": tasks.called[:_LONGEST]},
            Status.DOWN if is_down else Status.DEGRADED,
            text,
            since=from_unix(facts.now - tasks.oldest),
            count=count,
            guidance=ASK_THE_ASSIGNER,
            parameters={"queue": tasks.called[:_LONGEST], "table": facts.table},
        )


def count_waiting(tasks: OpenTasks, longer: float) -> Bounds:
    """Open tasks of a queue that wait for at least so long. Of very many only the oldest ages were
    read: when all of these are late, there may be more.
    """
    late = sum(age >= longer for age in (*tasks.ages, *tasks.returned))
    is_cut = len(tasks.ages) < tasks.n and min(tasks.ages, default=0.0) >= longer
    return Bounds(late, MANY) if is_cut else Bounds(late, late)


def _name_tasks(tasks: OpenTasks, count: Bounds) -> str:
    return format_names(tasks.ids[: count.lo], of=count.lo)


def _find_late(facts: AssignmentFacts, limits: AssignmentLimits) -> Iterator[Fault]:
    """Queues whose share in time is below the objective: with enough tasks of their own, or when
    all together are below it.
    """
    skewed = facts.minute.skewed  # of which queue they are, is not known
    overall = is_poor(facts.minute, limits, limits.min_events, skewed)
    least = 1 if overall else limits.min_events
    poor = {
        queue: minute
        for queue, minute in facts.minutes.items()
        if is_poor(minute, limits, least, skewed)
    }
    for queue, minute in sorted(poor.items(), key=lambda item: item[1].good - item[1].settled):
        subject = {"queue": queue[:_LONGEST]}
        yield _tell_late(subject, f"queue {queue:.80}", minute, facts.table, limits)
    # What an older version stored has no queues: for its last minute only the sum is known.
    if overall and not poor:
        yield _tell_late({}, "all queues", facts.minute, facts.table, limits)


def is_poor(minute: Minute, limits: AssignmentLimits, least: int, skewed: int = 0) -> bool:
    """Whether the share in time is below the objective, of `least` tasks or more; even if `skewed`
    ones were all in time.
    """
    good, tasks = minute.good + skewed, minute.settled + skewed
    return minute.settled >= least and good < limits.objective * tasks


def _tell_late(
    subject: Mapping[str, str], called: str, minute: Minute, table: str, limits: AssignmentLimits
) -> Fault:
    share, late = 100 * minute.good / minute.settled, minute.settled - minute.good
    return Fault(
        "late",
        subject,
        Status.DEGRADED,
        f"{called}: {share:.4g} % of {minute.settled} tasks of the last minute were assigned in"
        f" {format_duration(limits.deadline)} (objective {100 * limits.objective:g} %)",
        count=Bounds(late, late),
        guidance=ASK_THE_ASSIGNER,
        parameters={**subject, "table": table},
    )


# --- tenants --------------------------------------------------------------------------------------


def _find_starved(facts: AssignmentFacts, limits: AssignmentLimits) -> Iterator[Fault]:
    for wait in facts.spread.starved(limits.unfair_above):
        yield _tell_starved(wait, facts, limits)


def _tell_starved(wait: TenantWait, facts: AssignmentFacts, limits: AssignmentLimits) -> Fault:
    ratio = wait.p90 / facts.spread.best if facts.spread.best > 0 else float("inf")
    text = (
        f"tenant {wait.tenant:.80}: nine of ten tasks wait up to {format_duration(wait.p90)},"
        f" {ratio:.3g} × as long as those of the tenant that waits least"
        f" (limit {limits.unfair_above:g} ×)"
    )
    return Fault(
        "starved",
        {"tenant": wait.tenant[:_LONGEST]},
        Status.DEGRADED,
        text,
        count=Bounds(wait.waiting, wait.waiting),
        guidance=_STARVED,
        parameters={"tenant": wait.tenant[:_LONGEST], "table": facts.table},
    )


# --- what can't be judged -------------------------------------------------------------------------


def _find_blind(facts: AssignmentFacts, limits: AssignmentLimits) -> Iterator[Fault]:
    """Times that can't be: when no other task was settled, or so many have them that the share in
    time is open, nothing is known.
    """
    subject = {"table": facts.table}
    if _is_blinded(facts, limits):
        yield _tell_skewed(facts, subject)
    elif not facts.minute.settled and facts.missed >= limits.min_events:
        text = (
            f"table {facts.table:.80}: {facts.missed} tasks were inserted, none with a time of"
            " creation near that: clock or time zone?"
        )
        count = Bounds(facts.missed, facts.missed)
        yield Fault("missed", subject, Status.UNKNOWN, text, count=count, guidance=_UNSEEN_TIMES)


def _is_blinded(facts: AssignmentFacts, limits: AssignmentLimits) -> bool:
    minute = facts.minute
    if not minute.settled:
        return minute.skewed > 0 or facts.skew.ahead > 0
    tasks = minute.settled + minute.skewed
    return tasks >= limits.min_events and minute.skewed > (1 - limits.objective) * tasks


def _tell_skewed(facts: AssignmentFacts, subject: Mapping[str, str]) -> Fault:
    minute, skew = facts.minute, facts.skew
    if not minute.skewed:
        text = f"{skew.ahead} tasks have impossible times"
    elif minute.settled:
        of = minute.settled + minute.skewed
        text = f"{minute.skewed} of {of} tasks of the last minute have impossible times"
    else:
        text = f"all {minute.skewed} tasks of the last minute have impossible times"
    why, cure = _explain_skew(facts)
    return Fault(
        "skewed",
        subject,
        Status.UNKNOWN,
        f"table {facts.table:.80}: {text}{why}",
        count=Bounds(max(minute.skewed, skew.ahead), max(minute.skewed, skew.ahead)),
        guidance=cure,
    )


def _explain_skew(facts: AssignmentFacts) -> tuple[str, str]:
    """Whose times, by how much, in which zone they seem to be; and the cure."""
    skew = facts.skew
    column, off = skew.odd or (CREATED if skew.ahead else "", _guess_offset(skew.newest))
    if column == CREATED and skew.created:
        return f": {tell_skew(skew.created, off, facts.now)}", tell_cure(skew.created)
    if column and skew.created and skew.assigned:
        way = "after" if off > 0 else "before"
        cure = tell_cure(skew.assigned) if skew.assigned.is_naive else SKEWED_TIMES
        apart = f"about {format_duration(abs(off))} {way}" if off else way
        return f": {skew.assigned.column} is {apart} {skew.created.column}", cure
    return " (clock or time zone)", SKEWED_TIMES


def _guess_offset(newest: float) -> float:
    """What rows are ahead by, when only the newest of them is known, which is older than now."""
    return newest if newest < LEAST_OFFSET - TOLERANCE else math.ceil(newest / QUARTER) * QUARTER


def describe_waiting(facts: AssignmentFacts, limits: AssignmentLimits) -> dict[str, Any]:
    """For the evidence: queues with tasks that wait too long, with a few ids of the oldest."""
    late = [each for each in facts.waiting if each.oldest >= limits.unassigned_degraded]
    return {
        tasks.called[:_LONGEST]: {
            "tasks": str(count_waiting(tasks, limits.unassigned_degraded)),
            "oldest_seconds": round(tasks.oldest, 3),
            "sample": [name[:80] for name in tasks.ids],
        }
        for tasks in sorted(late, key=lambda each: -each.oldest)[:_SAMPLES]
    }
