"""From what was seen of agents to the finding of kind `agent_progress`: who gets nowhere, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.agents.census import CensusRules
from sentinel.core.agents.progress import (
    REASONS,
    AgentMemory,
    AgentSight,
    ProgressRules,
    Standstill,
    find_standstills,
)
from sentinel.core.agents.skewed import UNTOLD_CLOCK, describe_clocks, find_skewed
from sentinel.core.fault import Fault, Status, headline, judge, sort_faults
from sentinel.core.model import Finding, Row
from sentinel.core.moment import from_unix
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.quantity import Bounds, format_duration, format_label, format_names

REMEDIES = {
    "no_progress": (
        "look at the agent's log and its open task; restart it, or hand the task to another agent"
    ),
    "repeated_step": (
        "the agent is in a loop: stop it, look at the step it repeats, mend or cancel its task"
    ),
    "spending": (
        "the agent spends without result: stop it before the budget is gone, then look at its task"
    ),
}
_UNMAPPED = "name each status under active, sleeping or inactive"
_SAMPLES = 5
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class ProgressDoubts:
    """What can't be judged: statuses that nobody mapped, by number of agents; part of the check →
    (problem, remedy); `limit` is set when there are more agents than were read.

    `unsure`: who can't be told awake, as of `Vitals`; `clock`: by which heartbeats are written, for
    `ttl` seconds each; `now`: Unix seconds; `naive`: of all times that have no zone of their own.
    """

    unmapped: Counter[str] = field(default_factory=Counter)
    troubles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    limit: int | None = None
    unsure: Mapping[str, float] = field(default_factory=dict)
    clock: ColumnClock = UNTOLD_CLOCK
    ttl: float = 60.0
    now: float = 0.0
    naive: Sequence[ColumnClock] = ()


@dataclass(frozen=True, slots=True)
class Idler:
    """An agent that gets nowhere in one way."""

    sight: AgentSight
    how: Standstill

    @property
    def called(self) -> str:
        """`planner (agent-7)`."""
        return format_label(self.sight.id, self.sight.name)

    @property
    def fault(self) -> Fault:
        """Of this agent alone."""
        subject = {"agent": self.sight.id[:_LONGEST]}
        return Fault(
            self.how.reason,
            subject,
            Status.DEGRADED,
            f"{self.called}: {self.how.seen} (limit {self.how.limit})",
            since=from_unix(self.how.since) if self.how.since is not None else None,
            guidance=REMEDIES[self.how.reason],
            parameters=subject,
        )


def judge_progress(
    sights: Sequence[AgentSight],
    memories: Mapping[str, AgentMemory],
    rules: ProgressRules,
    doubts: ProgressDoubts,
) -> Finding:
    """The finding of one run; every agent of `sights` has its memory."""
    idlers = _find_idlers(sights, memories, rules)
    beating = CensusRules(ttl=doubts.ttl)
    skewed = find_skewed(doubts.unsure, doubts.clock, str, beating, doubts.now)
    faults = sort_faults([*(idler.fault for idler in idlers), *skewed, *_find_doubts(doubts)])
    by_reason = {
        reason: [each for each in idlers if each.how.reason == reason] for reason in REASONS
    }
    waits = [each.now - memories[each.id].waited for each in sights if each.is_awake and each.open]
    awake = sum(sight.is_awake for sight in sights)
    stalled = len({idler.sight.id for idler in idlers})
    figures = _describe(by_reason, awake, waits, doubts)
    return Finding(
        judge(faults),
        "; ".join([headline(faults), *figures] if faults else figures),
        _make_rows(by_reason, waits),
        {**_make_samples(by_reason), **_show_doubts(doubts)},
        faults[0].guidance if faults else "",
        ("stalled", f"{stalled}/{awake}"),
        faults,
    )


def _find_idlers(
    sights: Sequence[AgentSight], memories: Mapping[str, AgentMemory], rules: ProgressRules
) -> list[Idler]:
    """Reason by reason, the one for longest first."""
    found = [
        Idler(sight, how)
        for sight in sights
        for how in find_standstills(sight, memories[sight.id], rules)
    ]
    never = float("inf")
    return sorted(found, key=lambda each: (REASONS.index(each.how.reason), each.how.since or never))


def _find_doubts(doubts: ProgressDoubts) -> Iterator[Fault]:
    """Each blames nobody, and leaves the others judged."""
    for status, n in doubts.unmapped.most_common():
        shown = f"{status or 'NULL':.60}"
        agents = "agent is" if n == 1 else "agents are"
        text = f"{n} {agents} in status {shown!r}, which nobody mapped"
        subject, count = {"status": shown}, Bounds(n, n)
        yield Fault(
            "unmapped_status", subject, Status.UNKNOWN, text, count=count, guidance=_UNMAPPED
        )
    for part, (problem, remedy) in doubts.troubles.items():
        text = f"{part} not judged: {problem}"
        yield Fault("unjudged", {"part": part}, Status.UNKNOWN, text, guidance=remedy)


def _describe(
    by_reason: Mapping[str, Sequence[Idler]],
    awake: int,
    waits: Sequence[float],
    doubts: ProgressDoubts,
) -> list[str]:
    """Of the whole check: who is at work, how many get nowhere in which way, and who."""
    longest = format_duration(max(waits, default=0.0))
    unknown = f", {len(doubts.unsure)} not known" if doubts.unsure else ""
    figures = [f"{awake} awake{unknown}, {len(waits)} at work, longest without progress {longest}"]
    for reason, idlers in by_reason.items():
        if idlers:
            names = format_names([idler.called for idler in idlers])
            figures.append(f"{len(idlers)} {reason.replace('_', ' ')}: {names}")
    if doubts.troubles:
        figures.append(f"not judged: {format_names(list(doubts.troubles))}")
    if doubts.limit is not None:
        figures.append(f"only {doubts.limit} agents were read")
    return figures


def _make_rows(by_reason: Mapping[str, Sequence[Idler]], waits: Sequence[float]) -> list[Row]:
    """Every reason has its series, also at zero."""
    rows = [
        Row({"reason": reason}, {"stalled": float(len(idlers))})
        for reason, idlers in by_reason.items()
    ]
    values = {"working": float(len(waits)), "longest_wait": max(waits, default=0.0)}
    return [*rows, Row({}, values)]


def _make_samples(by_reason: Mapping[str, Sequence[Idler]]) -> dict[str, list[dict[str, Any]]]:
    """The first few of each reason."""
    return {
        reason: [_make_sample(idler) for idler in idlers[:_SAMPLES]]
        for reason, idlers in by_reason.items()
        if idlers
    }


def _make_sample(idler: Idler) -> dict[str, Any]:
    sight = idler.sight
    return {
        "agent": sight.id[:80],
        "status": sight.status[:80],
        "open": sight.open,
        "seen": idler.how.seen,
    }


def _show_doubts(doubts: ProgressDoubts) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if doubts.unmapped:
        found["unmapped"] = dict(doubts.unmapped.most_common(20))
    if doubts.troubles:
        found["not_judged"] = {
            part: f"{problem}; {remedy}" for part, (problem, remedy) in doubts.troubles.items()
        }
    if doubts.naive:
        found["zones"] = describe_clocks(doubts.naive)
    return found
