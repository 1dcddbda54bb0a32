"""Every agent with its tasks: between two readings that reports keep, or since one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sentinel.core.model import Section
from sentinel.probes import Kind
from sentinel.reports.figures import AgentFact
from sentinel.reports.figures.measure import FigureSource, find_sources
from sentinel.reports.figures.totals import Earlier, earlier_each, read_each
from sentinel.store import CheckView


def list_agents(
    kinds: Mapping[str, Kind],
    checks: Sequence[CheckView],
    earlier: Earlier,
    later: Earlier | None = None,
) -> list[AgentFact]:
    """Every agent with its tasks, until `later`, else until now. Of several checks that see an
    agent, those that count its tasks are told; a check that counts none makes no zero of it.
    """
    held = {each.check.name: each for each in find_sources(kinds, checks, Section.HELD)}
    found: list[AgentFact] = []
    for source in find_sources(kinds, checks, Section.COMPLETED):
        found += _agents_of(source, held.get(source.check.name), earlier, later)
    counted = {agent.name for agent in found if _counts(agent)}
    told = [agent for agent in found if _counts(agent) or agent.name not in counted]
    return sorted(told, key=lambda agent: (agent.name, agent.check))


def _counts(agent: AgentFact) -> bool:
    return agent.tasks_to is not None or agent.tasks_open is not None


def _agents_of(
    source: FigureSource, held: FigureSource | None, earlier: Earlier, later: Earlier | None
) -> Iterator[AgentFact]:
    """The agents that one check lists."""
    done = read_each(source) if later is None else earlier_each(source, later)
    before = earlier_each(source, earlier)
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
            done=gained(now, then),
            tasks_open=holds.get(name),
        )


def _listed(source: FigureSource) -> dict[str, Mapping[str, str]]:
    """The labels of every row that names one, also of a row without a figure."""
    each = source.impact.each
    labels = (row.get("labels", {}) for row in source.check.rows)
    return {named[each]: named for named in labels if each in named}


def gained(now: float | None, earlier: float | None) -> float | None:
    """The difference, or None when one is unknown or the counter went back (an agent table was
    reset).
    """
    if now is None or earlier is None or now < earlier:
        return None
    return now - earlier
