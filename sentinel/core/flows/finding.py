"""From judged flows to the finding of kind `flows`: rows, samples, remedies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.fault import Status
from sentinel.core.flows.history import OTHER, Flow, History, Pair
from sentinel.core.flows.stuck import AHEAD
from sentinel.core.flows.verdict import FlowVerdict
from sentinel.core.model import Finding, Row
from sentinel.core.quantity import format_duration

REMEDIES = {
    "overdue": "look at these flows and what works on them",
    "no_progress": "the row is there, its values stand still: look at its worker",
    "regression": "find out who set progress, status or phase back",
    "phase_order": "a later phase is done before an earlier one: look at what skipped it",
    "full_but_open": "the work is done: close the flow, or find what should have closed it",
    "no_worker": "assign a worker",
    "worker_unknown": "the worker is not registered: assign another one",
    "worker_dead": "restart the worker, or hand its flows to a live one",
    "no_exits": "flows enter this status and none leaves it: look at what should take them on",
    "master_initialized": "the child works, the master was never told: set its status",
    "master_finished": "the master is over, the child goes on: stop the child or mend the master",
    "child_finished": "every child is over, the master waits on: move it on",
    "no_master": "correct the reference of the child, or set require_master: false",
}
_UNMAPPED = "unmapped: name each status under active, waiting or terminal, or map it under statuses"
_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Reservations:
    """What was not read: `limit` open flows per table, when there were more; table → (problem,
    remedy).
    """

    limit: int | None = None
    troubles: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """The open flows of one type and status."""

    count: int = 0
    since: float = float("inf")
    stuck: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Tally:
    """One pass over all flows."""

    count: int = 0
    groups: dict[Pair, _Group] = field(default_factory=dict)
    loud: list[Flow] = field(default_factory=list)
    unmapped: Counter[str] = field(default_factory=Counter)
    ahead: list[float] = field(default_factory=list)

    def add(self, flow: Flow, now: float) -> None:
        """Count one flow."""
        group = self.groups.get(flow.pair)
        if group is None:
            group = self.groups[flow.pair] = _Group()
        group.count += 1
        group.since = min(group.since, flow.since)
        if flow.reasons:
            self.loud.append(flow)
            group.stuck.update(flow.reasons.keys())
        if not flow.is_mapped:
            self.unmapped[flow.sight.status] += 1
        created = flow.sight.created
        if created is not None and created > now + AHEAD:
            self.ahead.append(created - now)


def make_finding(
    history: History, verdict: FlowVerdict, reasons: Sequence[str], left_out: Reservations
) -> Finding:
    """The finding of one run; `reasons`: all that can be found with this configuration."""
    tally, now = _Tally(), verdict.now
    for flow in verdict.flows:
        tally.count += 1
        tally.add(flow, now)
    stuck = {reason: [flow for flow in tally.loud if reason in flow.reasons] for reason in reasons}
    wrong = {
        reason: sorted(found, key=lambda flow: flow.since)
        for reason, found in stuck.items()
        if found
    }
    said = [_said(reason, found, now) for reason, found in wrong.items()]
    said += _doubts(tally, left_out)
    return Finding(
        _status(tally, left_out),
        "; ".join(said) or f"{tally.count} open, none stuck",
        list(_rows(history, verdict, tally, reasons)),
        _evidence(wrong, tally, left_out, now),
        "; ".join(
            [*(f"{reason}: {REMEDIES[reason]}" for reason in wrong), *_remedies(tally, left_out)]
        ),
        ("stuck", f"{len(tally.loud)}/{tally.count}"),
    )


def _status(tally: _Tally, left_out: Reservations) -> Status:
    if tally.loud:
        return Status.DEGRADED
    return Status.UNKNOWN if tally.unmapped or left_out.troubles else Status.UP


def _doubts(tally: _Tally, left_out: Reservations) -> Iterator[str]:
    for status, n in tally.unmapped.most_common(3):
        yield f"{n} in status {status or 'NULL'!r:.60}, which nobody mapped"
    for name, (problem, _) in left_out.troubles.items():
        yield f"{name:.80} is not judged: {problem}"
    if left_out.limit is not None:
        yield f"only the oldest {left_out.limit} open flows were read"
    if tally.ahead:
        by = format_duration(max(tally.ahead))
        yield (
            f"{len(tally.ahead)} created in the future, by up to {by}: a clock or a time zone is"
            " wrong"
        )


def _remedies(tally: _Tally, left_out: Reservations) -> Iterator[str]:
    if tally.unmapped:
        yield _UNMAPPED
    yield from (f"{name}: {remedy}" for name, (_, remedy) in left_out.troubles.items() if remedy)


def _evidence(
    wrong: Mapping[str, Sequence[Flow]], tally: _Tally, left_out: Reservations, now: float
) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        reason: [_sample(reason, flow, now) for flow in found[:_SAMPLES]]
        for reason, found in wrong.items()
    }
    if tally.unmapped:
        evidence["unmapped"] = dict(tally.unmapped.most_common(20))
    if left_out.troubles:
        evidence["not_judged"] = {
            name: f"{text}; {remedy}" for name, (text, remedy) in left_out.troubles.items()
        }
    return evidence


def _said(reason: str, flows: Sequence[Flow], now: float) -> str:
    oldest, word = flows[0], reason.replace("_", " ")
    age = format_duration(oldest.age(now))
    return f"{len(flows)} {word}, such as {oldest.sight.id:.40} ({oldest.sight.status}, {age})"


def _sample(reason: str, flow: Flow, now: float) -> dict[str, Any]:
    return {
        "id": flow.sight.id[:80],
        "type": flow.sight.type[:80],
        "status": flow.sight.status[:80],
        "worker": flow.sight.worker[:80],
        "age_seconds": round(flow.age(now), 1),
        "blocked_by": flow.reasons[reason][:300],
    }


def _rows(
    history: History, verdict: FlowVerdict, tally: _Tally, reasons: Sequence[str]
) -> Iterator[Row]:
    for pair, group in tally.groups.items():
        yield from _group_rows(verdict, pair, group, reasons)
    for key, n in history.transitions.items():
        yield Row({"flow_type": key[0], "from": key[1], "to": key[2]}, {"transitions": float(n)})
    for key, n in history.regressions.items():
        yield Row({"flow_type": key[0], "kind": key[1]}, {"regressions": float(n)})
    for kind, stays in history.observed.items():
        yield Row(_labels(kind), {"dwell": stays.histogram()})


def _labels(pair: Sequence[str]) -> dict[str, str]:
    return {"flow_type": pair[0], "status": pair[1]}


def _group_rows(
    verdict: FlowVerdict, pair: Pair, group: _Group, reasons: Sequence[str]
) -> Iterator[Row]:
    labels = _labels(pair)
    oldest = max(0.0, verdict.now - group.since)
    yield Row(labels, {"open": float(group.count), "oldest_age_seconds": oldest})
    if (longest := verdict.longest.get(pair, 0.0)) and pair[0] != OTHER:
        yield Row(labels, {"stuck_threshold": longest})
    for reason in reasons:
        yield Row({**labels, "reason": reason}, {"stuck": float(group.stuck[reason])})
