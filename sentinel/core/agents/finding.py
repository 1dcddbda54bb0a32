"""From a compared census to the finding of kind `registry`: rows, evidence, remedies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.agents.capability import count_live
from sentinel.core.agents.census import (
    KINDS,
    Census,
    Suspects,
    Vitals,
    count_mismatches,
    has_heartbeats,
    sample_names,
)
from sentinel.core.agents.registration import ACTIVE, SLEEPING
from sentinel.core.fault import Status
from sentinel.core.model import Finding, Row

REMEDIES = {
    "ghost": "registered as active without a heartbeat: restart the agent, or set its status",
    "deaf": "alive but nobody reads its stream: restart the agent's consumer",
    "unregistered": "reads the bus without being registered: register it, or stop it",
    "zombie": "beats without being registered as active: stop the old process",
    "orphan": "open tasks of an agent that is gone: assign them again",
    "twin": "one agent twice: stop one of the processes",
    "split": "two processes are registered under one name: stop one, or give it a name of its own",
    "flapping": "registers again and again: read its log for what ends it",
    "uncovered": "no live agent has one of these capabilities: start one",
    "uncovered_combination": (
        "no single live agent has all of these: start one that has, or split the task"
    ),
    "clock_ahead": (
        "heartbeat in the future: correct the clock or the time zone, for a dead agent looks alive"
    ),
    "clock_behind": (
        "fresh heartbeat with an old time: correct the clock or the time zone, for it looks dead"
    ),
    "stale_file": "nobody writes the registry file any more: look at what should",
}
_UNMAPPED = "name each status under agents.active, sleeping or inactive"
_UNREADABLE = "write heartbeats as seconds, milliseconds or ISO 8601, or correct the mapping"
_MAX_CAPABILITIES = 100
_MAX_REPORTED = 200
_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class CensusFacts:
    """What the finding tells beside the mismatches.

    `tasks_counted`: whether tasks are configured; `done`: completed tasks by agent, of the time
    `done_since`;
    `unmapped`: status texts that no list names; `troubles`: subject → (problem, remedy), where a
    subject can't be judged; `beating`: who has a fresh heartbeat, registered or not; `limit`: set
    when more agents are registered than were read.
    """

    tasks_counted: bool = False
    done: Mapping[str, int] = field(default_factory=dict)
    done_since: str = ""
    unmapped: Mapping[str, int] = field(default_factory=dict)
    troubles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    registrations: int = 0
    last_hour: Mapping[str, int] = field(default_factory=dict)
    beating: int = 0
    limit: int | None = None


def make_finding(
    census: Census, confirmed: Suspects, live: set[str], vitals: Vitals, facts: CensusFacts
) -> Finding:
    """The finding of one run; `live`: agents that are registered as active and alive."""
    counts = count_mismatches(confirmed)
    wrong = {kind: n for kind, n in counts.items() if n}
    statuses = [agent.status for agent in (census.agents or {}).values()]
    active, asleep = statuses.count(ACTIVE), statuses.count(SLEEPING)
    doubts = _doubts(census, facts)
    said = [f"{n} {kind.replace('_', ' ')}" for kind, n in wrong.items()] + [
        text for text, _ in doubts[:3]
    ]
    healthy = f"{len(live)} of {active} active agents live" + (
        f", {asleep} asleep" if asleep else ""
    )
    return Finding(
        _status(wrong, doubted=bool(doubts), all_gone=bool(active and not live)),
        ", ".join(said) or healthy,
        rows=_rows(census, counts, live, vitals, facts),
        evidence=_evidence(census, confirmed, wrong, facts),
        guidance="; ".join(
            [*(f"{kind}: {REMEDIES[kind]}" for kind in wrong), *dict(doubts).values()]
        ),
        key=("live agents", f"{len(live)} of {active}"),
    )


def _status(wrong: Mapping[str, int], *, doubted: bool, all_gone: bool) -> Status:
    if wrong:
        return Status.DOWN if all_gone and "ghost" in wrong else Status.DEGRADED
    return Status.UNKNOWN if doubted else Status.UP


def _doubts(census: Census, facts: CensusFacts) -> list[tuple[str, str]]:
    """(what can't be judged, what to do about it): each blames nobody, and leaves the others
    judged.
    """
    texts = sorted(facts.unmapped.items(), key=lambda item: -item[1])
    found = [
        (f"{n} in status {text or 'NULL'!r:.60}, which nobody mapped", _UNMAPPED)
        for text, n in texts
    ]
    found += [
        (f"{subject}: {problem}", remedy) for subject, (problem, remedy) in facts.troubles.items()
    ]
    unreadable = _unreadable(census)
    if unreadable:
        name, text = next(iter(unreadable.items()))
        found.append(
            (
                (
                    f"{len(unreadable)} with a heartbeat that is no time, such as {name:.40}:"
                    f" {text:.80}"
                ),
                _UNREADABLE,
            )
        )
    return found


def _unreadable(census: Census) -> dict[str, str]:
    rows = {name: agent.problem for name, agent in (census.agents or {}).items() if agent.problem}
    return rows | dict(census.beats.unreadable if census.beats else {})


def _evidence(
    census: Census, confirmed: Suspects, wrong: Mapping[str, int], facts: CensusFacts
) -> dict[str, Any]:
    often = sorted(facts.last_hour.items(), key=lambda item: -item[1])[:_SAMPLES]
    several: dict[str, Any] = {
        "unmapped_statuses": dict(list(facts.unmapped.items())[:_SAMPLES]),
        "not_judged": {
            subject: f"{problem}; {remedy}" if remedy else problem
            for subject, (problem, remedy) in list(facts.troubles.items())[:_SAMPLES]
        },
        "unreadable_heartbeats": dict(list(_unreadable(census).items())[:_SAMPLES]),
        "registrations_last_hour": dict(often),
        "truncated": f"only the first {facts.limit} agents were compared" if facts.limit else "",
    }
    return {
        "mismatches": {
            kind: {"count": n, "sample": sample_names(confirmed[kind]), "remedy": REMEDIES[kind]}
            for kind, n in wrong.items()
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
        if agent.status == ACTIVE and agent.id in vitals.ages
    ]
    if ages:
        values["agent_heartbeat_oldest_age_seconds"] = max(0.0, *ages)
    return [*rows, Row({}, values)]


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
