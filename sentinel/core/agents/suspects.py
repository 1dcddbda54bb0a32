"""What one look at four sets shows that does not fit: candidates for a mismatch, by kind and name.

Mismatches of one poll are only candidates; they count when two polls in a row saw them, of the same
registration (`confirmation`). A kind whose source is not configured stays empty: what was not read
accuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from sentinel.core.agents.capability import CapabilityGap, find_gaps
from sentinel.core.agents.census import (
    Beats,
    Census,
    CensusRules,
    Consumer,
    Listeners,
    Vitals,
    active_agents,
    find_unreadable,
    has_fresh_beat,
    is_new,
    live_agents,
)
from sentinel.core.agents.registration import INACTIVE, SLEEPING, Life, RegisteredAgent

KINDS = (
    "ghost",
    "deaf",
    "unregistered",
    "zombie",
    "orphan",
    "twin",
    "split",
    "flapping",
    "uncovered",
    "uncovered_combination",
    "clock_ahead",
    "clock_behind",
    "stale_file",
)
SAMPLES = 20
ANOTHER_BEAT = 0.5
"""Seconds by which a beat must move on to be another one: what is left of a time to live is not
exact.
"""
_ATTEMPT_AGAIN = 1.0
"""Seconds by which the instant of a consumer's last attempt must move on to be another attempt."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A candidate for a mismatch.

    `count`: how many subjects it stands for; `sample`: names to show; `asleep`: who would cover it,
    if awake. It is confirmed when the next poll sees it of the same `life`, with a later sign in
    `signs` for at least `needed` of them; `proven`: at once.
    """

    count: int = 1
    sample: tuple[str, ...] = ()
    life: Life | None = None
    signs: Mapping[str, float] = field(default_factory=dict)
    needed: int = 0
    proven: bool = False
    margin: float = 0.0
    asleep: tuple[str, ...] = ()


Suspects = dict[str, dict[str, Suspect]]


def find_suspects(census: Census, rules: CensusRules, vitals: Vitals) -> Suspects:
    """Every kind of mismatch that this reading shows, by kind and name. A kind without a source
    stays empty.
    """
    found: Suspects = {kind: {} for kind in KINDS}
    found["clock_ahead"] = {name: Suspect() for name in vitals.ahead}
    found["clock_behind"] = {name: Suspect() for name in vitals.behind}
    found["twin"] = _twins(census)
    if census.agents is not None:
        found |= _find_against_registry(census, census.agents, rules, vitals)
    return found


def _find_against_registry(
    census: Census, agents: Mapping[str, RegisteredAgent], rules: CensusRules, vitals: Vitals
) -> Suspects:
    """What only a registry can show."""
    live = live_agents(census, rules, vitals)
    doubtful = find_unreadable(census).keys() | vitals.unsure.keys()
    # Whose heartbeat tells nothing is neither called dead nor counted out as cover for a task.
    dead = active_agents(census).keys() - live - doubtful
    return {
        "ghost": {name: Suspect(life=agents[name].life) for name in sorted(dead)},
        "split": _splits(census, rules, vitals),
        "zombie": _zombies(census, agents, rules, vitals),
        "orphan": _orphans(census, agents, dead),
        "unregistered": _strangers(census, agents, rules),
        "deaf": _deaf(census, agents, live, rules),
        **_uncovered(census, agents, live | doubtful),
    }


def _orphans(
    census: Census, agents: Mapping[str, RegisteredAgent], dead: Set[str]
) -> dict[str, Suspect]:
    """Open work of agents that are gone, or that are registered and dead."""
    lost = [work for work in census.work if work.agent not in agents or work.agent in dead]
    return {work.agent: Suspect(work.count, work.sample) for work in lost if work.count}


def _uncovered(
    census: Census, agents: Mapping[str, RegisteredAgent], live: Set[str]
) -> dict[str, dict[str, Suspect]]:
    """Demands that no single live agent covers: a capability is missing, or the combination."""
    found: dict[str, dict[str, Suspect]] = {"uncovered": {}, "uncovered_combination": {}}
    for gap in _gaps(census, agents, live):
        kind = "uncovered" if gap.missing else "uncovered_combination"
        demand = gap.demand
        found[kind][demand.name] = Suspect(demand.count, demand.sample, asleep=gap.asleep)
    return found


def _gaps(
    census: Census, agents: Mapping[str, RegisteredAgent], live: Set[str]
) -> list[CapabilityGap]:
    awake = {name: agents[name].capabilities for name in live if name in agents}
    sleeping = [agent for agent in agents.values() if agent.status == SLEEPING]
    return find_gaps(census.demands, awake, {each.id: each.capabilities for each in sleeping})


def _strangers(
    census: Census, agents: Mapping[str, RegisteredAgent], rules: CensusRules
) -> dict[str, Suspect]:
    """Who reads without being registered, before the registry was read and after it.

    A consumer that left in disorder stays listed: only another attempt proves it there.
    """
    before = census.before
    if before is None:
        return {}
    there = {consumer.agent for consumer in (census.after or before).consumers}
    found: dict[str, dict[str, float]] = {}
    for consumer in before.consumers:
        is_stranger = consumer.agent not in agents and consumer.agent in there
        # Idle for longer, it may be a name that was left behind, which nobody reads under.
        if is_stranger and consumer.idle <= rules.quiet:
            found.setdefault(consumer.agent, {})[consumer.name] = before.now - consumer.idle
    return {agent: _seen_again(names, 1, _ATTEMPT_AGAIN) for agent, names in found.items()}


def _seen_again(signs: Mapping[str, float], needed: int, margin: float) -> Suspect:
    """A suspect that must give `needed` of its signs anew before it counts."""
    sample = tuple(sorted(signs)[:SAMPLES])
    return Suspect(sample=sample, signs=signs, needed=needed, margin=margin)


def _deaf(
    census: Census,
    agents: Mapping[str, RegisteredAgent],
    live: Set[str],
    rules: CensusRules,
) -> dict[str, Suspect]:
    """Live agents, settled for a while, for which nobody reads."""
    bus = census.after
    if bus is None:
        return {}
    held = held_consumers(bus)
    modern = any(consumer.tells_attempts for consumer in bus.consumers)
    settled = [name for name in live if not is_new(agents[name], census, rules)]
    return {
        name: Suspect(life=agents[name].life)
        for name in settled
        if name not in bus.unjudged
        and is_deaf(held.get(name, ()), bus.waiting.get(name, 0.0), rules, lists_all=modern)
    }


def held_consumers(bus: Listeners) -> dict[str, list[Consumer]]:
    """Consumers by agent."""
    held: dict[str, list[Consumer]] = {}
    for consumer in bus.consumers:
        held.setdefault(consumer.agent, []).append(consumer)
    return held


def is_deaf(mine: Sequence[Consumer], waits: float, rules: CensusRules, *, lists_all: bool) -> bool:
    """Whether nobody reads for an agent with these consumers, whose oldest unread entry `waits` so
    many seconds.

    Idle time alone proves nothing: it grows in a long block and while a batch is worked on. It
    counts when entries wait. Old servers don't list a consumer that has never received anything
    (measurement.md §1.7.1): unless the server `lists_all`, an agent without a consumer is deaf only
    when entries wait.
    """
    if mine:
        return waits > rules.quiet and all(consumer.idle > rules.quiet for consumer in mine)
    return waits > rules.quiet or lists_all


def _zombies(
    census: Census, agents: Mapping[str, RegisteredAgent], rules: CensusRules, vitals: Vitals
) -> dict[str, Suspect]:
    """Fresh beats of agents that are not registered, or registered as inactive: before the registry
    was read and after.

    Who comes then is not in the first reading, who goes takes its beat away, so that it is not in
    the last.
    """
    before, after = census.beats_before or Beats(), census.beats or Beats()
    stayed = [name for name in before.at if name in after.at]
    told = {name for name in vitals.by_change if has_fresh_beat(name, rules, vitals)}
    fresh = {
        name: before.at[name]
        for name in stayed
        if name in told or before.now - before.at[name] <= rules.ttl
    }
    for name, agent in agents.items():
        if agent.beat is not None and has_fresh_beat(name, rules, vitals):
            fresh.setdefault(name, agent.beat)
    by_right = {name for name, agent in agents.items() if agent.status != INACTIVE}
    return {
        name: Suspect(signs={"": at}, needed=1, margin=ANOTHER_BEAT)
        for name, at in fresh.items()
        if name not in by_right
    }


def _splits(census: Census, rules: CensusRules, vitals: Vitals) -> dict[str, Suspect]:
    """Agents with two boot ids whose beats are fresh, by rows or by names of heartbeats. Where the
    times of an agent do not tell that, both must go on.
    """
    boots: dict[str, dict[str, float]] = {}
    ttl = {name: float("inf") for name in vitals.by_change}
    for name, agent in (census.agents or {}).items():
        _add_fresh(boots, name, agent.boots, census.now, ttl.get(name, rules.ttl))
    if census.beats is not None:
        for name, beats in census.beats.boots.items():
            _add_fresh(boots, name, beats, census.beats.now, ttl.get(name, rules.ttl))
    return _several(boots.items(), ANOTHER_BEAT)


def _several(found: Iterable[tuple[str, Mapping[str, float]]], margin: float) -> dict[str, Suspect]:
    """Names that show two signs or more, of which two must go on: the one before a restart ends."""
    return {name: _seen_again(signs, 2, margin) for name, signs in found if len(signs) > 1}


def _add_fresh(
    boots: dict[str, dict[str, float]],
    name: str,
    beats: Mapping[str, float | None],
    now: float,
    ttl: float,
) -> None:
    for boot, beat in beats.items():
        if beat is not None and now - beat <= ttl:
            boots.setdefault(name, {})[boot] = beat


def _twins(census: Census) -> dict[str, Suspect]:
    """One agent with several active rows, or with several consumers of one group that hold entries
    and all read on.

    A consumer of a former start keeps its entries, but reads no more.
    """
    doubled = [agent for agent in (census.agents or {}).values() if agent.rows > 1]
    rows = {agent.id: Suspect(sample=(f"{agent.rows} rows",)) for agent in doubled}
    bus = census.after or Listeners()
    places: dict[tuple[str, str, str], dict[str, float]] = {}
    for consumer in bus.consumers:
        if consumer.pending:
            place = (consumer.agent, consumer.stream, consumer.group)
            places.setdefault(place, {})[consumer.name] = bus.now - consumer.idle
    # Several places of one agent: the last one with two readers is told.
    return rows | _several(
        ((agent, signs) for (agent, *_), signs in places.items()), _ATTEMPT_AGAIN
    )
