"""From a compared census to the finding of kind `registry`: faults, rows, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.agents.capability import count_live
from sentinel.core.agents.census import (
    Census,
    CensusRules,
    Vitals,
    find_unreadable,
    has_heartbeats,
)
from sentinel.core.agents.confirmation import count_mismatches, sample_names
from sentinel.core.agents.mismatch import REMEDIES, Comparison, find_mismatches, find_none_alive
from sentinel.core.agents.registration import ACTIVE, SLEEPING
from sentinel.core.agents.skewed import SKEWED_AGENTS, UNTOLD_CLOCK, describe_clocks, find_skewed
from sentinel.core.agents.suspects import KINDS, Suspects
from sentinel.core.fault import Fault, FaultKind, Severity, Status, headline, judge, sort_faults
from sentinel.core.model import Finding, Row
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.quantity import Bounds, format_names

_UNMAPPED = "name each status under agents.active, sleeping or inactive"
_UNREADABLE = "write heartbeats as seconds, milliseconds or ISO 8601, or correct the mapping"
_MAX_CAPABILITIES = 100
_MAX_REPORTED = 200
_SAMPLES = 20


_AGENT = ("agent",)


def _declare(
    key: str,
    meaning: str,
    parameters: tuple[str, ...] = _AGENT,
    severity: Severity = Severity.TICKET,
) -> FaultKind:
    return FaultKind(key, severity, "registry-mismatch", meaning, parameters)


def _declare_doubt(key: str, meaning: str) -> FaultKind:
    return FaultKind(key, Severity.TICKET, "sentinel-blind", meaning)


REGISTRY_KINDS = (
    _declare("ghost", "registered as active, without a heartbeat"),
    _declare("none_alive", "no active agent is alive", (), Severity.PAGE),
    _declare("deaf", "alive, and nobody reads its stream", ("agent", "stream", "group")),
    _declare("unregistered", "reads the bus without being registered"),
    _declare("zombie", "beats without being registered as active"),
    _declare("orphan", "open tasks of an agent that is gone"),
    _declare("twin", "one agent twice"),
    _declare("split", "two processes under one name"),
    _declare("flapping", "registers again and again"),
    _declare("uncovered", "tasks wait for a capability that no live agent has", ()),
    _declare("uncovered_combination", "no single live agent has all that tasks need", ()),
    _declare("clock_ahead", "heartbeats in the future"),
    _declare("clock_behind", "fresh heartbeats with an old time"),
    _declare("stale_file", "nobody writes the registry file any more", ("file",)),
    _declare_doubt("unmapped_status", "a status that no list names"),
    _declare_doubt("unreadable_heartbeat", "a heartbeat that is no time"),
    SKEWED_AGENTS,
    _declare_doubt("unjudged", "a part of the comparison that can't be read"),
)


@dataclass(frozen=True, slots=True)
class CensusFacts:
    """What the finding tells beside the mismatches.

    `rules`, `flapping_above`: the limits of the comparison; `tasks_counted`: whether tasks are
    configured; `done`: completed tasks by agent, of the time `done_since`; `unmapped`: status texts
    that no list names; `troubles`: subject → (problem, remedy), where a subject can't be judged;
    `beating`: who has a fresh heartbeat, registered or not; `limit`: set when more agents are
    registered than were read; `clocks`: of times without a zone of their own, `registry`, `beats` …
    """

    rules: CensusRules = field(default_factory=CensusRules)
    flapping_above: int = 10
    tasks_counted: bool = False
    done: Mapping[str, int] = field(default_factory=dict)
    done_since: str = ""
    unmapped: Mapping[str, int] = field(default_factory=dict)
    troubles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    registrations: int = 0
    last_hour: Mapping[str, int] = field(default_factory=dict)
    beating: int = 0
    limit: int | None = None
    clocks: Mapping[str, ColumnClock] = field(default_factory=dict)


def make_finding(
    census: Census, confirmed: Suspects, live: set[str], vitals: Vitals, facts: CensusFacts
) -> Finding:
    """The finding of one run; `live`: agents that are registered as active and alive."""
    counts = count_mismatches(confirmed)
    clock = facts.clocks.get("registry") or facts.clocks.get("beats") or UNTOLD_CLOCK
    seen = Comparison.of(census, vitals, facts.rules, facts.flapping_above, clock)
    faults = _find_faults(seen, confirmed, live, facts)
    statuses = [agent.status for agent in (census.agents or {}).values()]
    active = statuses.count(ACTIVE)
    figures = _figures(seen, confirmed, len(live), active, statuses.count(SLEEPING), facts)
    return Finding(
        judge(faults),
        "; ".join([headline(faults), *figures] if faults else figures),
        rows=_rows(census, counts, live, vitals, facts),
        evidence=_evidence(census, confirmed, counts, facts),
        guidance=faults[0].guidance if faults else "",
        key=_key(census, len(live), active),
        faults=faults,
    )


def _key(census: Census, live: int, active: int) -> tuple[str, str]:
    """Who is alive, is only known where somebody beats."""
    if has_heartbeats(census):
        return ("live agents", f"{live} of {active}")
    return ("active agents", f"{active}")


def _find_faults(
    seen: Comparison, confirmed: Suspects, live: set[str], facts: CensusFacts
) -> list[Fault]:
    """Who is wrong, then what can't be judged; the worst first."""
    gone = find_none_alive(seen, live) if confirmed.get("ghost") else []
    return sort_faults([*gone, *find_mismatches(seen, confirmed), *_doubts(seen, facts)])


def _doubts(seen: Comparison, facts: CensusFacts) -> Iterator[Fault]:
    """What can't be judged: each blames nobody, and leaves the others judged."""
    for status, n in sorted(facts.unmapped.items(), key=lambda item: -item[1]):
        shown = f"{status or 'NULL':.60}"
        agents = "agent is" if n == 1 else "agents are"
        text = f"{n} {agents} in status {shown!r}, which nobody mapped"
        subject, count = {"status": shown}, Bounds(n, n)
        yield _doubt("unmapped_status", subject, text, _UNMAPPED, count)
    for part, (problem, remedy) in facts.troubles.items():
        yield _doubt("unjudged", {"part": part[:200]}, f"{part}: {problem}", remedy)
    for name, found in find_unreadable(seen.census).items():
        text = f"{seen.call(name)}: its heartbeat is no time: {found:.80}"
        yield _doubt("unreadable_heartbeat", {"agent": name[:200]}, text, _UNREADABLE)
    yield from find_skewed(_find_unsure(seen), seen.clock, seen.call, seen.rules, seen.now)


def _find_unsure(seen: Comparison) -> dict[str, float]:
    """Active agents that can't be told alive or dead."""
    agents, unsure = seen.census.agents or {}, seen.vitals.unsure
    return {
        name: ahead
        for name, ahead in unsure.items()
        if name in agents and agents[name].status == ACTIVE
    }


def _doubt(
    key: str, subject: Mapping[str, str], text: str, guidance: str, count: Bounds | None = None
) -> Fault:
    return Fault(key, subject, Status.UNKNOWN, text, count=count, guidance=guidance)


def _figures(
    seen: Comparison, confirmed: Suspects, live: int, active: int, asleep: int, facts: CensusFacts
) -> list[str]:
    """Of the whole check: who is alive, and by kind of mismatch how many and who."""
    resting = f", {asleep} asleep" if asleep else ""
    unsure = len(_find_unsure(seen))
    unknown = f", {unsure} not known" if unsure else ""
    alive = f"{live} of {active} active agents live{unknown}"
    if not has_heartbeats(seen.census):
        noun = "agent is" if active == 1 else "agents are"
        alive = (
            f"{active} {noun} active by the registry; no heartbeat is configured to tell who lives"
        )
    figures = [f"{alive}{resting}"]
    for kind, suspects in confirmed.items():
        if suspects:
            names = format_names([seen.call(name) for name in sorted(suspects)])
            figures.append(f"{len(suspects)} {kind.replace('_', ' ')}: {names}")
    if facts.troubles:
        figures.append(f"not judged: {format_names(list(facts.troubles))}")
    if facts.limit:
        figures.append(f"only the first {facts.limit} agents were compared")
    return figures


def _evidence(
    census: Census, confirmed: Suspects, counts: Mapping[str, int], facts: CensusFacts
) -> dict[str, Any]:
    often = sorted(facts.last_hour.items(), key=lambda item: -item[1])[:_SAMPLES]
    several: dict[str, Any] = {
        "unmapped_statuses": dict(list(facts.unmapped.items())[:_SAMPLES]),
        "not_judged": {
            subject: f"{problem}; {remedy}" if remedy else problem
            for subject, (problem, remedy) in list(facts.troubles.items())[:_SAMPLES]
        },
        "unreadable_heartbeats": dict(list(find_unreadable(census).items())[:_SAMPLES]),
        "registrations_last_hour": dict(often),
        "truncated": f"only the first {facts.limit} agents were compared" if facts.limit else "",
        "zones": describe_clocks(facts.clocks.values()),
    }
    return {
        "mismatches": {
            kind: {"count": n, "sample": sample_names(confirmed[kind]), "remedy": REMEDIES[kind]}
            for kind, n in counts.items()
            if n
        },
        "agents": _per_agent(census, facts),
        "completed_tasks_counted": facts.done_since,
        **{name: found for name, found in several.items() if found},
    }


def _per_agent(census: Census, facts: CensusFacts) -> dict[str, dict[str, Any]]:
    """Task counts by agent, for reports; at most 200 agents, the busiest first."""
    open_tasks = {work.agent: work.count for work in census.work}
    agents = census.agents or {}

    def busiest(name: str) -> tuple[int, str]:
        return -(open_tasks.get(name, 0) + facts.done.get(name, 0)), name

    return {
        name: {
            "status": agents[name].status,
            "tasks_completed": facts.done.get(name, 0),
            "tasks_open": open_tasks.get(name, 0),
        }
        for name in sorted(agents, key=busiest)[:_MAX_REPORTED]
    }


def _rows(
    census: Census, counts: Mapping[str, int], live: set[str], vitals: Vitals, facts: CensusFacts
) -> list[Row]:
    rows = [
        Row({"source": source}, {"agents": float(n)})
        for source, n in _sources(census, facts).items()
    ]
    rows += [Row({"kind": kind}, {"agent_mismatches": float(counts[kind])}) for kind in KINDS]
    rows += [
        Row({"capability": name}, {"capability_live_agents": float(n)})
        for name, n in _coverage(census, live).items()
    ]
    values = {
        "agent_registrations": float(facts.registrations),
        "agent_registrations_last_hour": float(sum(facts.last_hour.values())),
        "capability_uncovered_tasks": float(counts["uncovered"] + counts["uncovered_combination"]),
    }
    agents = (census.agents or {}).values()
    ages = [
        vitals.ages[agent.id]
        for agent in agents
        if agent.status == ACTIVE and agent.id in vitals.ages and agent.id not in vitals.unsure
    ]
    if ages:
        values["agent_heartbeat_oldest_age_seconds"] = max(0.0, *ages)
    return [*rows, *_agent_rows(census, facts), Row({}, values)]


def _agent_rows(census: Census, facts: CensusFacts) -> list[Row]:
    """One row for each agent that reports tell of; a figure that nobody counts is not in it."""
    rows, agents = [], census.agents or {}
    for name, told in _per_agent(census, facts).items():
        values: dict[str, float] = {}
        if facts.tasks_counted and "tasks" not in facts.troubles:
            values["agent_tasks_open"] = float(told["tasks_open"])
            # Those of a lookback come and go: their difference is not what was done meanwhile.
            if facts.done_since == "ever":
                values["agent_tasks_completed"] = float(told["tasks_completed"])
        labels = {"agent": name, "name": agents[name].name, "status": told["status"]}
        rows.append(Row(labels, values))
    return rows


def _sources(census: Census, facts: CensusFacts) -> dict[str, int]:
    """Agents per configured source; a source that is not configured has no series."""
    sources = {"registry": len(census.agents or {})}
    if has_heartbeats(census):
        sources["heartbeat"] = facts.beating
    if census.after is not None:
        sources["bus"] = len({consumer.agent for consumer in census.after.consumers})
    if facts.tasks_counted:
        sources["tasks"] = len(census.work)
    return sources


def _coverage(census: Census, live: set[str]) -> dict[str, int]:
    """Live agents per capability that agents offer or tasks demand; at most 100."""
    agents = census.agents or {}
    wanted = {name for demand in census.demands for name in demand.capabilities}
    offered = {name for agent in agents.values() for name in agent.capabilities}
    names = [*sorted(wanted), *sorted(offered - wanted)][:_MAX_CAPABILITIES]
    return count_live(names, {name: agents[name].capabilities for name in live})
