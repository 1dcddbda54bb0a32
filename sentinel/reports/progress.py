"""The progress report: where the platform stands, and what moved since the last one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sentinel.core.fault import Status
from sentinel.core.model import IncidentState, Section
from sentinel.core.progress.standing import WorkState
from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures import Period
from sentinel.reports.figures.agents import list_agents
from sentinel.reports.figures.automation import list_automations
from sentinel.reports.figures.component import describe_component
from sentinel.reports.figures.episode import read_status
from sentinel.reports.figures.faults import describe_obstacle, describe_open, list_faults, list_open
from sentinel.reports.figures.measure import read_number
from sentinel.reports.figures.milestone import picture_work
from sentinel.reports.figures.period import last_look, watch_began
from sentinel.reports.figures.target import list_targets
from sentinel.reports.figures.throughput import measure_throughput
from sentinel.reports.figures.totals import (
    collect_totals,
    measure_section,
    read_earlier,
)
from sentinel.reports.figures.track import list_tracks, plan_sync
from sentinel.reports.figures.work import MilestoneFact, ProgressFacts
from sentinel.store import CheckView, ComponentView, Reader

NAME = "progress"


def progress_facts(store: Reader, now: datetime, request: ReportRequest) -> ProgressFacts:
    """The facts of a progress report. Differences are taken from the totals of the last one."""
    checks, components, kinds = store.checks(), store.components(), request.kinds
    earlier = read_earlier(store, NAME, watch_began(store))
    work = picture_work(store, request.plan, _read_before(store), now)
    blockers = _blockers(store, checks, components) + _list_late(work.milestones)
    _, accepted, cut = list_faults(store, Period(now, now), now)
    agents = list_agents(kinds, checks, earlier)
    return ProgressFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline=_headline([view.status for view in components], blockers, work.milestones),
        since=earlier.at,
        throughput=measure_throughput(
            kinds, checks, earlier, last_look(store, now), request.target_per_hour
        ),
        components=[describe_component(view, request.owners) for view in components],
        agents=agents,
        assignment=measure_section(kinds, checks, Section.ASSIGNMENT, earlier),
        delivery=measure_section(kinds, checks, Section.DELIVERY, earlier),
        work=measure_section(kinds, checks, Section.WORK, earlier),
        blockers=blockers,
        accepted=accepted,
        tracks=list_tracks(request.plan, work.milestones, agents),
        milestones=work.milestones,
        dependencies=work.dependencies,
        path=work.path,
        automations=list_automations(store, request.automations, earlier.at),
        targets=list_targets(store, request, now),
        sync=plan_sync(
            request.plan, work.milestones, work.path, len(blockers), request.next_update
        ),
        next_update=request.next_update,
        totals=collect_totals(kinds, checks),
        cut=cut,
    )


def _read_before(store: Reader) -> dict[str, float]:
    """The ratio of each milestone as the last report told it."""
    last = next(iter(store.reports(NAME, limit=1)), None)
    told = last.facts.get("milestones") if last is not None else None
    found = {}
    for each in told if isinstance(told, list) else ():
        ratio = read_number(each.get("ratio")) if isinstance(each, dict) else None
        if ratio is not None:
            found[str(each.get("name"))] = ratio
    return found


def _list_late(milestones: Sequence[MilestoneFact]) -> list[str]:
    """Milestones that are overdue, and those on the critical path that nobody measures."""
    late = [
        f"milestone {each.title}: {note}"
        for each in milestones
        for note in each.notes
        if note.startswith("overdue")
    ]
    unseen = [each for each in milestones if each.state == WorkState.UNKNOWN]
    return late + [f"milestone {each.title} is {each.basis}" for each in unseen]


# -- blockers --------------------------------------------------------------------------------------


def _blockers(
    store: Reader, checks: Sequence[CheckView], components: Sequence[ComponentView]
) -> list[str]:
    """What is bad now; a component that is healthy again and merely observed blocks nothing."""
    blockers, standing = [], store.faults()
    for incident in list_open(store):
        if incident.state is IncidentState.OPEN:
            blockers += describe_open(incident, standing, components)
            blockers += describe_obstacle(incident)
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


def _headline(
    statuses: Sequence[str], blockers: Sequence[str], milestones: Sequence[MilestoneFact]
) -> str:
    if not statuses and not milestones:
        return "Nothing to report: no component is being watched."
    up = sum(status == Status.UP for status in statuses)
    tail = f"{len(blockers)} blocker{'s' * (len(blockers) != 1)}" if blockers else "no blocker"
    done = sum(each.state == WorkState.DONE for each in milestones)
    reached = f"{done} of {len(milestones)} milestones done, " if milestones else ""
    return f"{reached}{up} of {len(statuses)} components up, {tail}."


REPORT = Report(
    name=NAME,
    summary="where the platform stands, and what moved since the last report",
    facts=progress_facts,
)
