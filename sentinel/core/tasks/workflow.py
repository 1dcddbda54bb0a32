"""Which hop of a path fails, and by what figures: the judgement of `workflow_canary`.

Pure: from the last ends of synthetic tasks, and from the hops that tasks on their way wait for
beyond the deadline, to one fault for each hop at which too many failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.fault import Fault, Status
from sentinel.core.moment import from_unix
from sentinel.core.quantity import Bounds, format_duration
from sentinel.core.tasks.synthetic import (
    ASSIGNED,
    COMPLETED,
    CREATED,
    FAILURES,
    HOPS,
    NEVER_DONE,
    PUBLISHED,
    RESULT,
    STARTED,
)

REMEDIES = {
    CREATED: "does the API (or the insert) really make the row, and does it commit? Read its log",
    ASSIGNED: "does the assigner run, does it see open tasks, and is an agent free that fits them?",
    PUBLISHED: (
        "assigned but not on the bus: look for refused XADD or errors of serialization in the"
        " producer's log"
    ),
    STARTED: (
        "do the agents live and read their streams? Compare the checks of the bus and the registry"
    ),
    COMPLETED: "the agent began and did not finish: read its log, and the dead letters",
    RESULT: "the agent says done and the result is wrong: compare the row's result with the task",
}
_FIRST_VERDICT = "the first verdict comes with the next runs"
STALE_AFTER = 3600.0
"""Seconds: a verdict that rests on tasks that were all sent earlier is none."""
Ending = tuple[str, str]
"""Outcome and hop; the outcome `overdue` is that of a task on its way."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`failures` of the last `of` are degraded, `down_after` in a row that never came through are
    down.
    """

    failures: int
    of: int
    down_after: int


def judge_path(
    path: str, recent: Sequence[Ending], waiting: Sequence[str], rule: Rule
) -> list[Fault]:
    """The hops at which a path fails, the one to look at first; `recent` has the oldest first.

    Tasks that wait beyond the deadline are failures already, only their kind is open.
    """
    tail = list(recent)[-rule.down_after :]
    if len(tail) == rule.down_after and all(outcome in NEVER_DONE for outcome, _ in tail):
        return _tell_hops("never_through", path, tail, tail, rule)
    window = [*recent, *(("overdue", hop) for hop in waiting)][-rule.of :]
    failed = [end for end in window if end[0] in FAILURES or end[0] == "overdue"]
    if len(failed) >= rule.failures:
        return _tell_hops("hop_failing", path, failed, window, rule)
    return []


def judge_silence(path: str, recent: Sequence[Ending]) -> list[Fault]:
    """Without any end nothing is known of a path."""
    if recent:
        return []
    text = f"path {path}: no synthetic task has ended yet"
    return [Fault("no_verdict", {"path": path}, Status.UNKNOWN, text, guidance=_FIRST_VERDICT)]


def _tell_hops(
    key: str, path: str, failed: Sequence[Ending], window: Sequence[Ending], rule: Rule
) -> list[Fault]:
    hops = Counter(hop for _, hop in failed)
    # What follows depends on what comes before: of equals the earliest.
    order = (*HOPS, RESULT)
    ranked = sorted(hops, key=lambda hop: (-hops[hop], order.index(hop)))
    return [_tell_hop(key, path, hop, failed, len(window), rule) for hop in ranked]


def _tell_hop(
    key: str, path: str, hop: str, failed: Sequence[Ending], last: int, rule: Rule
) -> Fault:
    mine = [end for end in failed if end[1] == hop]
    is_down = key == "never_through"
    what = "never came through it" if is_down else "failed at it"
    limit = f"{rule.down_after} in a row" if is_down else f"{rule.failures} of {rule.of}"
    subject = {"path": path, "hop": hop}
    return Fault(
        key,
        subject,
        Status.DOWN if is_down else Status.DEGRADED,
        f"path {path}, hop {hop}: {len(mine)} of the last {last} synthetic tasks {what}:"
        f" {count_ends(mine)} (limit of the path: {limit})",
        count=Bounds(len(mine), len(mine)),
        guidance=REMEDIES[hop],
        parameters=subject,
    )


def count_ends(ends: Sequence[Ending]) -> str:
    """`2 stuck, 1 late`: the most frequent first."""
    counts = Counter(outcome for outcome, _ in ends).most_common()
    return ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in counts)


def judge_pause(path: str, file: str | None, last_sent: float, now: float) -> list[Fault]:
    """A pause that was forgotten: nothing was sent for an hour, and the last verdict is an old one.
    Unix seconds.
    """
    since = now - last_sent
    if since < STALE_AFTER:
        return []
    is_known = last_sent > 0
    ago = (
        f"the last task was sent {format_duration(since)} ago"
        if is_known
        else "no task was ever sent"
    )
    return [
        Fault(
            "paused",
            {"path": path},
            Status.UNKNOWN,
            f"path {path}: sending is paused, {ago} (limit {format_duration(STALE_AFTER)})",
            since=from_unix(last_sent) if is_known else None,
            guidance=f"remove {file} to go on",
        )
    ]


def drop_repeated(faults: Sequence[Fault]) -> list[Fault]:
    """Each once: what is met for every task on its way is one fault."""
    first: Mapping[object, Fault] = {fault.identity: fault for fault in reversed(faults)}
    return [fault for fault in faults if first[fault.identity] is fault]
