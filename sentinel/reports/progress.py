"""Facts of a progress report: where the platform stands, and what moved since the last report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sentinel.core.fault import Status
from sentinel.core.model import IncidentState
from sentinel.core.quantity import format_duration
from sentinel.reports.facts import (
    NOT_MEASURED,
    AgentFact,
    ComponentFact,
    Figure,
    Milestone,
    ProgressFacts,
    Throughput,
)
from sentinel.reports.measure import read_interval, read_number, read_section
from sentinel.reports.recovery import describe_obstacle, describe_standing, read_status, watch_began
from sentinel.store import CheckView, ComponentView, Reader
from sentinel.store.document import read_instant, write

BASELINE = "progress_baseline"
MIN_SECONDS = 1.0
"""A rate over less than this says nothing."""
_ASSIGNMENT = (
    ("tasks judged", "total", "", "since the watch began"),
    ("unassigned at their deadline", "unassigned", "", "since the watch began"),
    ("assignment p99", "p99_seconds", "seconds", "at the last run"),
)
_DELIVERY = (
    ("messages published", "published", "", "since the watch began"),
    ("messages acknowledged", "acknowledged", "", "since the watch began"),
    ("messages pending", "pending", "", "at the last run"),
    ("messages waiting", "waiting", "", "at the last run"),
    ("messages lost", "lost", "", "since the watch began"),
    ("delivery ratio", "ratio", "ratio", "since the watch began"),
    ("deadline", "deadline_seconds", "seconds", "configured"),
)


def progress_facts(
    store: Reader,
    now: datetime,
    *,
    target_per_hour: float | None,
    next_update: datetime | None = None,
) -> ProgressFacts:
    """The facts of a progress report. Differences are taken from the totals of the last progress
    report.
    """
    checks, components = store.checks(), store.components()
    totals = _totals(checks)
    before = _last_totals(store) or _first_totals(store, totals)
    since = before.at
    agents = _agents(checks, before)
    blockers = _blockers(store, checks, components)
    return ProgressFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline=_headline([view.status for view in components], blockers),
        since=since,
        components=[
            ComponentFact(
                view.name, view.status, view.since, view.detail, view.restarts, view.action
            )
            for view in components
        ],
        agents=agents,
        throughput=_throughput(totals, before, now, target_per_hour),
        assignment=[figure for check in checks for figure in _assignment(check)],
        delivery=[figure for check in checks for figure in _delivery(check)],
        blockers=blockers,
        milestones=[milestone for check in checks for milestone in _milestones(check)],
        next_update=next_update,
        totals=totals,
    )


class _Before:
    """What the last progress report had counted."""

    def __init__(self, at: datetime | None, totals: Mapping[str, Any]) -> None:
        self.at = at
        self.completed = _numbers(totals.get("completed"))
        self.assigned = _numbers(totals.get("assigned"))


def make_baseline(store: Reader, now: datetime) -> str:
    """What agents had completed when the watch began, for the first report; "" until a check has
    told it.
    """
    totals = _totals(store.checks())
    return write({"generated": now, "totals": totals}) if totals["completed"] else ""


def _first_totals(store: Reader, totals: Mapping[str, Mapping[str, float]]) -> _Before:
    """Before the first report: the baseline. Without one, tasks are counted since the watch began,
    from zero.
    """
    if baseline := store.meta(BASELINE):
        kept = json.loads(baseline)
        return _Before(_instant(kept["generated"]), kept["totals"])
    return _Before(watch_began(store), {"assigned": dict.fromkeys(totals["assigned"], 0)})


def _last_totals(store: Reader) -> _Before | None:
    last = next(iter(store.reports("progress", limit=1)), None)
    if last is None:
        return None
    totals = last.facts.get("totals")
    return _Before(
        _instant(last.facts.get("generated")) or last.at,
        totals if isinstance(totals, Mapping) else {},
    )


def _instant(value: Any) -> datetime | None:
    try:
        return read_instant(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {
        str(key): number for key, item in value.items() if (number := read_number(item)) is not None
    }


def _totals(checks: Sequence[CheckView]) -> dict[str, dict[str, float]]:
    """Counters of now: completed tasks by agent, tasks seen by assignment check."""
    completed = {
        name: number
        for name, facts in _agent_evidence(checks).items()
        if (number := read_number(facts.get("tasks_completed"))) is not None
    }
    assigned = {
        check.name: number
        for check in checks
        if (section := read_section(check, "assignment")) is not None
        and (number := read_number(section.get("total"))) is not None
    }
    return {"completed": completed, "assigned": assigned}


def _agent_evidence(checks: Sequence[CheckView]) -> dict[str, Mapping[str, Any]]:
    agents: dict[str, Mapping[str, Any]] = {}
    for check in checks:
        for name, facts in (read_section(check, "agents") or {}).items():
            if isinstance(facts, Mapping):
                agents[str(name)] = facts
    return agents


def _agents(checks: Sequence[CheckView], before: _Before) -> list[AgentFact]:
    return [
        _agent(name, facts, before.completed.get(name))
        for name, facts in sorted(_agent_evidence(checks).items())
    ]


def _agent(name: str, facts: Mapping[str, Any], earlier: float | None) -> AgentFact:
    done = read_number(facts.get("tasks_completed"))
    gained = _gained(done, earlier)
    status = str(facts.get("status") or "unknown")
    return AgentFact(name, status, earlier, done, gained, read_number(facts.get("tasks_open")))


def _gained(now: float | None, earlier: float | None) -> float | None:
    """The difference, or None when one is unknown or the counter went back (an agent table was
    reset).
    """
    if now is None or earlier is None or now < earlier:
        return None
    return now - earlier


def _throughput(
    totals: Mapping[str, Mapping[str, float]], before: _Before, now: datetime, target: float | None
) -> Throughput:
    """Tasks per hour since the last report: completed by agents, else those that the assignment
    check saw.
    """
    seconds = (now - before.at).total_seconds() if before.at else 0.0
    for key, verb, earlier in (
        ("completed", "completed", before.completed),
        ("assigned", "created", before.assigned),
    ):
        gains = [_gained(count, earlier.get(name)) for name, count in totals[key].items()]
        known = [gain for gain in gains if gain is not None]
        if known and seconds >= MIN_SECONDS:
            per_hour = sum(known) * 3600 / seconds
            basis = f"{sum(known):g} tasks {verb} in {seconds:.0f} s"
            if len(known) < len(gains):
                basis += (
                    f"; {len(gains) - len(known)} of {len(gains)} counts have no earlier value and"
                    " are left out"
                )
            return Throughput(per_hour, target, per_hour / target if target else None, basis)
    why = (
        "no check counts tasks"
        if not any(totals.values())
        else "the first report has nothing to compare with"
    )
    return Throughput(None, target, None, f"not measured: {why}")


def _assignment(check: CheckView) -> list[Figure]:
    section = read_section(check, "assignment")
    if section is None:
        return []
    total = read_number(section.get("total"))
    within = read_number(section.get("within_deadline", section.get("within_100ms")))
    deadline = read_number(section.get("deadline_seconds", 0.1))
    ratio = within / total if total and within is not None else None
    basis = (
        f"of {total:g} tasks since the watch began"
        if ratio is not None
        else "no task was judged yet"
    )
    figures = [
        Figure(
            f"assigned within {format_duration(deadline)}", ratio, ratio, "ratio", check.name, basis
        )
    ]
    return figures + _figures(check, section, _ASSIGNMENT)


def _delivery(check: CheckView) -> list[Figure]:
    section = read_section(check, "account")
    return [] if section is None else _figures(check, section, _DELIVERY)


def _figures(
    check: CheckView, section: Mapping[str, Any], names: Sequence[tuple[str, str, str, str]]
) -> list[Figure]:
    figures = []
    for name, key, unit, basis in names:
        value = read_interval(section.get(key))
        low, high = value or (None, None)
        figures.append(Figure(name, low, high, unit, check.name, basis if value else NOT_MEASURED))
    return figures


def _milestones(check: CheckView) -> list[Milestone]:
    listed = check.evidence.get("milestones")
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return []
    return [
        Milestone(
            str(item.get("name", "?")),
            str(item.get("status", "unknown")),
            str(item.get("evidence", "")),
        )
        for item in listed
        if isinstance(item, Mapping)
    ]


def _blockers(
    store: Reader, checks: Sequence[CheckView], components: Sequence[ComponentView]
) -> list[str]:
    """What is bad now; a component that is healthy again and merely observed blocks nothing."""
    blockers = []
    for incident in store.incidents(open_only=True):
        if incident.state is IncidentState.OPEN:
            blockers += [describe_standing(incident, components), *describe_obstacle(incident)]
    actions = {view.name: view.action for view in components if view.action}
    blind = [check for check in checks if read_status(check.status) is Status.UNKNOWN]
    return blockers + [
        _describe_unknown(check, actions.get(check.component, "")) for check in blind
    ]


def _describe_unknown(check: CheckView, action: str) -> str:
    """A process that is stopped on request, or waits to be started, is not a target that can't be
    seen.
    """
    if check.kind == "supervision" and action:
        return f"{check.component}: {action}"
    return f"sentinel is blind to {check.name}: {check.detail or 'not run yet'}"


def _headline(statuses: Sequence[str], blockers: Sequence[str]) -> str:
    if not statuses:
        return "Nothing to report: no component is being watched."
    up = sum(status == Status.UP for status in statuses)
    tail = f"{len(blockers)} blocker{'s' * (len(blockers) != 1)}" if blockers else "no blocker"
    return f"{up} of {len(statuses)} components up, {tail}."
