"""From judged flows to the finding of kind `flows`: a fault for each stuck flow, rows, samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.fault import Fault, Status, headline, judge, sort_faults
from sentinel.core.flows.history import OTHER, Flow, History, Pair
from sentinel.core.flows.skewed import describe_clocks, find_skewed, find_unsure_workers
from sentinel.core.flows.stuck import Crew
from sentinel.core.flows.tenancy import FALLBACK, FOREIGN, MISSING, TENANCY
from sentinel.core.flows.verdict import FlowVerdict
from sentinel.core.model import Finding, Row
from sentinel.core.moment import from_unix
from sentinel.core.moment.skew import TOLERANCE
from sentinel.core.quantity import Bounds, format_duration, format_label, format_names

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
    "second_overdue": "look at what keeps the second status of these flows",
    "statuses_differ": "find out which of the two columns is right, and who failed to write the other",
    MISSING: "find out who creates flows without a tenant, and give this one its own",
    FALLBACK: "the tenant was not known when it was created: give it the one that it is for",
    FOREIGN: "a tenant's work hangs under another one's: stop it, then correct master or tenant",
}
_UNREADABLE = (
    "correct the column in phase_flags or phase_log, or name the values that mean done in done"
)
_UNMAPPED = "name each status under active, waiting or terminal, or map it under statuses"
_OF_WORKER = frozenset({"worker_unknown", "worker_dead"})
_SAMPLES = 5
_LIMITS = 50
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Reservations:
    """What was not read: `limit` open flows per table, when there were more; table → (problem,
    remedy). `crew`: the workers, of whom not all may be sure.
    """

    limit: int | None = None
    troubles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    crew: Crew | None = None


@dataclass(slots=True)
class _Group:
    """The open flows of one type and status."""

    count: int = 0
    since: float = float("inf")
    skewed: int = 0
    stuck: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Tally:
    """One pass over all flows."""

    count: int = 0
    groups: dict[Pair, _Group] = field(default_factory=dict)
    loud: list[Flow] = field(default_factory=list)
    unmapped: Counter[str] = field(default_factory=Counter)
    ahead: list[float] = field(default_factory=list)
    unsure: dict[str, list[Flow]] = field(default_factory=dict)
    misfits: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, flow: Flow, table: str, now: float) -> None:
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
        if flow.sight.misfit:
            for column, why in flow.sight.misfit:
                self.misfits.setdefault((table, column), []).append(why)
        if flow.unsure:
            self.unsure.setdefault(table, []).append(flow)
        created = flow.sight.created
        group.skewed += flow.is_skewed
        if created is not None and created > now + TOLERANCE:
            self.ahead.append(created - now)


@dataclass(frozen=True, slots=True)
class StuckFlow:
    """One flow that is stuck for one reason; `table`: where it is, "" where there is only one;
    `show`: the statement that shows it, up to its id.
    """

    flow: Flow
    reason: str
    table: str = ""
    show: str = ""

    @property
    def called(self) -> str:
        """`Order 17 (f-7)`."""
        return format_label(self.flow.sight.id, self.flow.sight.name)

    def fault(self, now: float) -> Fault:
        """Of this flow alone. Flows of several tables may share an id: then the table tells."""
        sight, flow = self.flow.sight, self.flow
        where = {"table": self.table} if self.table else {}
        subject = {**where, "flow": sight.id[:_LONGEST]}
        worker = {"agent": sight.worker[:_LONGEST]} if self.reason in _OF_WORKER else {}
        return Fault(
            self.reason,
            subject,
            Status.DEGRADED,
            f"flow {self.called}{self._tell_standing(now)}: {flow.reasons[self.reason]:.300}",
            since=from_unix(flow.moved if self.reason == "no_progress" else flow.since),
            count=Bounds(1, 1) if self.reason in TENANCY else None,
            cure=(f"{self.show}{_quote(sight.id)};",) if self.show else (),
            guidance=REMEDIES[self.reason],
            parameters={**subject, **worker},
        )

    def _tell_standing(self, now: float) -> str:
        """Type and status, unless the reason itself tells how long it has been there."""
        sight, age = self.flow.sight, format_duration(self.flow.age(now))
        status = "" if self.reason == "overdue" else f"{sight.status:.60} for {age}"
        told = [text for text in (f"{sight.type:.60}", status) if text]
        return f" ({', '.join(told)})" if told else ""


def _quote(text: str) -> str:
    """A constant of SQL."""
    return "'" + text.replace("'", "''") + "'"


def make_finding(
    history: History, verdict: FlowVerdict, reasons: Sequence[str], left_out: Reservations
) -> Finding:
    """The finding of one run; `reasons`: all that can be found with this configuration."""
    tally, now = _count(verdict), verdict.now
    wrong = _find_stuck(verdict, reasons)
    of_times = list(_find_doubts_of_times(verdict, tally, left_out))
    found = [*_find_faults(wrong, now), *_find_doubts(tally, left_out)]
    faults = sort_faults([*found, *of_times])
    figures = [*_describe(wrong, tally), *_describe_reading(tally, left_out)]
    figures += [each.text for each in of_times if each is not faults[0]]
    return Finding(
        judge(faults),
        "; ".join([headline(faults), *figures] if faults else figures),
        list(_rows(history, verdict, tally, reasons)),
        _evidence(wrong, tally, left_out, verdict),
        faults[0].guidance if faults else "",
        ("stuck", f"{len(tally.loud)}/{tally.count}"),
        faults,
    )


def _count(verdict: FlowVerdict) -> _Tally:
    tally = _Tally()
    for label, table in zip(verdict.labels, verdict.tables, strict=True):
        for flow in table.values():
            tally.count += 1
            tally.add(flow, label, verdict.now)
    return tally


def _find_stuck(verdict: FlowVerdict, reasons: Sequence[str]) -> dict[str, list[StuckFlow]]:
    """Stuck flows by reason, in the order of `reasons`, those that are longest in their status
    first.
    """
    loud: dict[str, list[StuckFlow]] = {reason: [] for reason in reasons}
    for n, (name, table) in enumerate(zip(verdict.labels, verdict.tables, strict=True)):
        show = verdict.shows[n] if verdict.shows else ""
        for flow in table.values():
            for reason in flow.reasons.keys() & loud.keys():
                loud[reason].append(StuckFlow(flow, reason, name, show))
    return {
        reason: sorted(found, key=lambda each: each.flow.since)
        for reason, found in loud.items()
        if found
    }


def _find_faults(wrong: Mapping[str, Sequence[StuckFlow]], now: float) -> Iterator[Fault]:
    for reason, found in wrong.items():
        if reason == "no_exits":
            yield from _find_blocked(found)
        else:
            yield from (stuck.fault(now) for stuck in found)


def _find_blocked(found: Sequence[StuckFlow]) -> Iterator[Fault]:
    """A status that nobody leaves is one fault, however many flows are in it."""
    groups: dict[Pair, list[StuckFlow]] = {}
    for stuck in found:
        groups.setdefault(stuck.flow.pair, []).append(stuck)
    for (type_, status), members in groups.items():
        subject = {"flow_type": type_[:_LONGEST], "status": status[:_LONGEST]}
        names = format_names([member.called for member in members])
        why = members[0].flow.reasons["no_exits"]
        text = f"status {status:.60} of {type_:.60}: {why}; {len(members)} are in it: {names}"
        count = Bounds(len(members), len(members))
        guidance = REMEDIES["no_exits"]
        yield Fault("no_exits", subject, Status.DEGRADED, text, count=count, guidance=guidance)


def _find_doubts(tally: _Tally, left_out: Reservations) -> Iterator[Fault]:
    """What can't be judged blames nobody, and leaves the others judged."""
    for status, n in tally.unmapped.most_common():
        shown = f"{status or 'NULL':.60}"
        flows = "flow is" if n == 1 else "flows are"
        text = f"{n} {flows} in status {shown!r}, which nobody mapped"
        subject, count = {"status": shown}, Bounds(n, n)
        yield Fault(
            "unmapped_status", subject, Status.UNKNOWN, text, count=count, guidance=_UNMAPPED
        )
    for (table, column), why in tally.misfits.items():
        where = {"table": table} if table else {}
        rows = f"{len(why)} flow{'s' if len(why) > 1 else ''}"
        yield Fault(
            "unreadable_phase",
            {**where, "column": column[:_LONGEST]},
            Status.UNKNOWN,
            f"phases of {rows} are not judged: {column:.80} {why[0]:.200}",
            count=Bounds(len(why), len(why)),
            guidance=_UNREADABLE,
        )
    for name, (problem, remedy) in left_out.troubles.items():
        text, subject = f"{name:.80} is not judged: {problem}", {"table": name[:_LONGEST]}
        yield Fault("unjudged", subject, Status.UNKNOWN, text, guidance=remedy)


def _find_doubts_of_times(
    verdict: FlowVerdict, tally: _Tally, left_out: Reservations
) -> Iterator[Fault]:
    for label, screen in zip(verdict.labels, verdict.screens, strict=False):
        yield from find_skewed(label, tally.unsure.get(label, ()), screen, verdict.now)
    yield from find_unsure_workers(left_out.crew)


def _describe(wrong: Mapping[str, Sequence[StuckFlow]], tally: _Tally) -> Iterator[str]:
    """Of the whole check: how many are open and stuck, and by reason who."""
    yield f"{tally.count} open, {len(tally.loud) or 'none'} stuck"
    for reason, found in wrong.items():
        names = format_names([stuck.called for stuck in found])
        yield f"{len(found)} {reason.replace('_', ' ')}: {names}"


def _describe_reading(tally: _Tally, left_out: Reservations) -> Iterator[str]:
    """Of the reading: what was cut, and clocks that are wrong."""
    if left_out.troubles:
        yield f"not judged: {format_names(list(left_out.troubles))}"
    if left_out.limit is not None:
        yield f"only the oldest {left_out.limit} open flows were read"
    if tally.ahead:
        by = format_duration(max(tally.ahead))
        yield (
            f"{len(tally.ahead)} created in the future, by up to {by}: a clock or a time zone is"
            " wrong"
        )


def _evidence(
    wrong: Mapping[str, Sequence[StuckFlow]],
    tally: _Tally,
    left_out: Reservations,
    verdict: FlowVerdict,
) -> dict[str, Any]:
    evidence: dict[str, Any] = {"limits": _tell_limits(verdict)} if verdict.longest else {}
    evidence |= {
        reason: [_sample(reason, stuck.flow, verdict.now) for stuck in found[:_SAMPLES]]
        for reason, found in wrong.items()
    }
    if tally.unmapped:
        evidence["unmapped"] = dict(tally.unmapped.most_common(20))
    if clocks := describe_clocks(verdict.screens, left_out.crew):
        evidence["zones"] = clocks
    if left_out.troubles:
        evidence["not_judged"] = {
            name: f"{text}; {remedy}" for name, (text, remedy) in left_out.troubles.items()
        }
    return evidence


def _tell_limits(verdict: FlowVerdict) -> list[dict[str, Any]]:
    """Of each type and status that was asked for: the limit, where it comes from, what is known."""
    told = []
    for (type_, status), limit in list(verdict.longest.items())[:_LIMITS]:
        known = limit.lesson
        learned = (
            {}
            if known is None
            else {
                "learned": known.seconds is not None,
                "stays": known.n,
                "stays_needed": known.needed,
                "alarms_per_stay": float(f"{known.risk:.2g}"),
            }
        )
        place = {"flow_type": type_[:80], "status": status[:80]}
        told.append({**place, "seconds": round(limit.seconds, 3), "from": limit.source, **learned})
    return told


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
    for key, n in history.settled.items():
        yield Row({"flow_type": key[0], "outcome": key[1]}, {"settled": float(n)})
    for kind, stays in history.observed.items():
        yield Row(_labels(kind), {"dwell": stays.histogram()})


def _labels(pair: Sequence[str]) -> dict[str, str]:
    return {"flow_type": pair[0], "status": pair[1]}


def _group_rows(
    verdict: FlowVerdict, pair: Pair, group: _Group, reasons: Sequence[str]
) -> Iterator[Row]:
    labels = _labels(pair)
    oldest = max(0.0, verdict.now - group.since)
    counts = {"open": float(group.count), "skewed": float(group.skewed)}
    yield Row(labels, {**counts, "oldest_age_seconds": oldest})
    if (limit := verdict.longest.get(pair)) is not None and pair[0] != OTHER:
        yield Row(labels, {"stuck_threshold": limit.seconds})
        if (known := limit.lesson) is not None:
            yield Row(labels, {"stays": float(known.n), "stays_needed": float(known.needed)})
    for reason in reasons:
        yield Row({**labels, "reason": reason}, {"stuck": float(group.stuck[reason])})
