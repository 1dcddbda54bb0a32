"""The progress report: where the platform stands, and what moved since the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sentinel.core.fault import Status
from sentinel.core.model import IncidentState, Section
from sentinel.probes import Kind
from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures import (
    AgentFact,
    ComponentFact,
    Figure,
    Period,
    ProgressFacts,
    Throughput,
)
from sentinel.reports.figures.episode import read_status
from sentinel.reports.figures.faults import describe_obstacle, describe_open, list_faults, list_open
from sentinel.reports.figures.measure import FigureSource, find_sources
from sentinel.reports.figures.period import watch_began
from sentinel.reports.figures.totals import (
    Earlier,
    collect_totals,
    earlier_each,
    measure_section,
    measure_since,
    read_each,
    read_earlier,
)
from sentinel.store import CheckView, ComponentView, Reader

MIN_SECONDS = 1.0
"""A rate over less than this says nothing."""
NAME = "progress"


def progress_facts(store: Reader, now: datetime, request: ReportRequest) -> ProgressFacts:
    """The facts of a progress report. Differences are taken from the totals of the last one."""
    checks, components, kinds = store.checks(), store.components(), request.kinds
    earlier = read_earlier(store, NAME, watch_began(store))
    blockers = _blockers(store, checks, components)
    _, accepted, cut = list_faults(store, Period(now, now), now)
    return ProgressFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline=_headline([view.status for view in components], blockers),
        since=earlier.at,
        throughput=_throughput(kinds, checks, earlier, now, request.target_per_hour),
        components=[_component(view) for view in components],
        agents=list_agents(kinds, checks, earlier),
        assignment=measure_section(kinds, checks, Section.ASSIGNMENT, earlier),
        delivery=measure_section(kinds, checks, Section.DELIVERY, earlier),
        work=measure_section(kinds, checks, Section.WORK, earlier),
        blockers=blockers,
        accepted=accepted,
        next_update=request.next_update,
        totals=collect_totals(kinds, checks),
        cut=cut,
    )


def _component(view: ComponentView) -> ComponentFact:
    return ComponentFact(
        view.name, view.status, view.since, view.detail, view.restarts, view.action
    )


# -- agents ----------------------------------------------------------------------------------------


def list_agents(
    kinds: Mapping[str, Kind], checks: Sequence[CheckView], earlier: Earlier
) -> list[AgentFact]:
    """Every agent with its tasks. Of several checks that see an agent, those that count its tasks
    are told; a check that counts none makes no zero of it.
    """
    held = {each.check.name: each for each in find_sources(kinds, checks, Section.HELD)}
    found: list[AgentFact] = []
    for source in find_sources(kinds, checks, Section.COMPLETED):
        found += _agents_of(source, held.get(source.check.name), earlier)
    counted = {agent.name for agent in found if _counts(agent)}
    told = [agent for agent in found if _counts(agent) or agent.name not in counted]
    return sorted(told, key=lambda agent: (agent.name, agent.check))


def _counts(agent: AgentFact) -> bool:
    return agent.tasks_to is not None or agent.tasks_open is not None


def _agents_of(
    source: FigureSource, held: FigureSource | None, earlier: Earlier
) -> Iterator[AgentFact]:
    """The agents that one check lists."""
    done, before = read_each(source), earlier_each(source, earlier)
    holds = {} if held is None else read_each(held)
    for name, labels in _listed(source).items():
        now, then = done.get(name), before.get(name)
        yield AgentFact(
            name=name,
            label=labels.get("name", ""),
            check=source.check.name,
            status=labels.get("status") or "unknown",
            tasks_from=then,
            tasks_to=now,
            done=_gained(now, then),
            tasks_open=holds.get(name),
        )


def _listed(source: FigureSource) -> dict[str, Mapping[str, str]]:
    """The labels of every row that names one, also of a row without a figure."""
    each = source.impact.each
    labels = (row.get("labels", {}) for row in source.check.rows)
    return {named[each]: named for named in labels if each in named}


def _gained(now: float | None, earlier: float | None) -> float | None:
    """The difference, or None when one is unknown or the counter went back (an agent table was
    reset).
    """
    if now is None or earlier is None or now < earlier:
        return None
    return now - earlier


# -- throughput ------------------------------------------------------------------------------------


def _throughput(
    kinds: Mapping[str, Kind],
    checks: Sequence[CheckView],
    earlier: Earlier,
    now: datetime,
    target: float | None,
) -> Throughput:
    """Tasks per hour since the last report: completed ones, else created ones, by the first check
    that counts them. Two checks may count the same tasks, so they are not added up.
    """
    seconds = (now - earlier.at).total_seconds() if earlier.at else 0.0
    why = "no check counts tasks"
    for section, verb in ((Section.COMPLETED, "completed"), (Section.CREATED, "created")):
        for source in find_sources(kinds, checks, section):
            gained, left_out = _count_tasks(source, earlier)
            if gained is not None and seconds >= MIN_SECONDS:
                basis = f"{gained:g} tasks {verb} in {seconds:.0f} s{left_out}"
                per_hour = gained * 3600 / seconds
                ratio = per_hour / target if target else None
                return Throughput(per_hour, target, ratio, basis, source.check.name)
            why = left_out or why
    return Throughput(None, target, None, f"not measured: {why}")


def _count_tasks(source: FigureSource, earlier: Earlier) -> tuple[float | None, str]:
    """(tasks, what the number leaves out), or (None, why there is none)."""
    if not source.impact.each:
        figure = measure_since(source, earlier)
        return figure.low, "" if figure.low is not None else _reason(figure)
    now, before = read_each(source), earlier_each(source, earlier)
    if not now:
        return None, ""
    gains = [_gained(count, before.get(name)) for name, count in now.items()]
    known = [gain for gain in gains if gain is not None]
    if not known:
        return None, "the first report has nothing to compare with"
    missing = len(gains) - len(known)
    left_out = f"; {missing} of {len(gains)} counts have no earlier value and are left out"
    return sum(known), left_out if missing else ""


def _reason(figure: Figure) -> str:
    return figure.basis.removeprefix("not measured: ")


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


def _headline(statuses: Sequence[str], blockers: Sequence[str]) -> str:
    if not statuses:
        return "Nothing to report: no component is being watched."
    up = sum(status == Status.UP for status in statuses)
    tail = f"{len(blockers)} blocker{'s' * (len(blockers) != 1)}" if blockers else "no blocker"
    return f"{up} of {len(statuses)} components up, {tail}."


REPORT = Report(
    name=NAME,
    summary="where the platform stands, and what moved since the last report",
    facts=progress_facts,
)
