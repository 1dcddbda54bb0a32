"""Who is registered, who beats, who listens, who has work: four sets, compared (measurement.md §4).

Mismatches of one poll are only candidates; they count when two polls in a row saw them, of the same
registration. The sets must be read in this order, which removes the races of starting and stopping:
heartbeats and consumers, registry with tasks, heartbeats, consumers again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.agents.capability import CapabilityGap, Demand, find_gaps
from sentinel.core.agents.registration import ACTIVE, INACTIVE, SLEEPING, Life, RegisteredAgent

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
class Consumer:
    """A consumer of a stream's group. `idle` in seconds; `tells_attempts`: the server resets it at
    every attempt.
    """

    agent: str
    stream: str
    name: str
    idle: float
    pending: int
    tells_attempts: bool
    group: str = ""


@dataclass(frozen=True, slots=True)
class Listeners:
    """What the bus knows. `waiting`: agent → age in seconds of the oldest entry that waits on the
    agent's stream.

    `unjudged`: agents whose stream can't be judged, with the reason. `now`: Unix seconds of the bus
    server.
    """

    consumers: tuple[Consumer, ...] = ()
    waiting: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    unjudged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beats:
    """Heartbeats outside of the registry: agent → Unix seconds, and by boot id where names tell it.

    `now`: Unix seconds of their source. `unreadable`: agent → what there is in place of a time.
    """

    at: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    boots: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """Open tasks of one agent: how many, and up to 20 ids."""

    agent: str
    count: int
    sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CensusRules:
    """Times in seconds: `ttl` of a heartbeat, `quiet` of a consumer, tolerated clock difference."""

    ttl: float = 60.0
    quiet: float = 60.0
    ahead: float = 2.0


@dataclass(frozen=True, slots=True)
class Census:
    """One reading of the four sets; None: this source is not configured. `now`: Unix seconds of the
    registry.

    `beats_before` and `before` were read before the registry, `beats` and `after` after it.
    """

    agents: Mapping[str, RegisteredAgent] | None = None
    now: float = 0.0
    beats_before: Beats | None = None
    beats: Beats | None = None
    before: Listeners | None = None
    after: Listeners | None = None
    work: Sequence[Work] = ()
    demands: Sequence[Demand] = ()


@dataclass(frozen=True, slots=True)
class Suspect:
    """A candidate for a mismatch.

    `count`: how many subjects it stands for; `sample`: names to show. It is confirmed when the next
    poll sees it of the same `life`, with a later sign in `signs` for at least `needed` of them;
    `proven`: at once.
    """

    count: int = 1
    sample: tuple[str, ...] = ()
    life: Life | None = None
    signs: Mapping[str, float] = field(default_factory=dict)
    needed: int = 0
    proven: bool = False
    margin: float = 0.0


Suspects = dict[str, dict[str, Suspect]]


@dataclass(frozen=True, slots=True)
class Vitals:
    """Who shows signs of life: seconds since the newest one by agent; whose clock is wrong, and
    how.
    """

    ages: Mapping[str, float]
    ahead: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()


def has_heartbeats(census: Census) -> bool:
    """Whether any heartbeat source is there; without one nobody is called a ghost."""
    return census.beats is not None or any(
        agent.beat is not None for agent in (census.agents or {}).values()
    )


def live_agents(census: Census, rules: CensusRules, vitals: Vitals) -> set[str]:
    """Registered as active, with a fresh heartbeat where heartbeats are known; a fresh registration
    is one, too.
    """
    agents = _active(census)
    if not has_heartbeats(census):
        return set(agents)
    return {name for name, agent in agents.items() if _is_alive(agent, census, rules, vitals)}


def _is_alive(agent: RegisteredAgent, census: Census, rules: CensusRules, vitals: Vitals) -> bool:
    return _is_new(agent, census, rules) or vitals.ages.get(agent.id, rules.ttl + 1) <= rules.ttl


def _is_new(agent: RegisteredAgent, census: Census, rules: CensusRules) -> bool:
    return agent.registered is not None and 0 <= census.now - agent.registered <= rules.ttl


def find_suspects(census: Census, rules: CensusRules, vitals: Vitals) -> Suspects:
    """Every kind of mismatch that this reading shows, by kind and name. A kind without a source
    stays empty.
    """
    found: Suspects = {kind: {} for kind in KINDS}
    found["clock_ahead"] = {name: Suspect() for name in vitals.ahead}
    found["clock_behind"] = {name: Suspect() for name in vitals.behind}
    found["twin"] = _twins(census)
    if census.agents is None:
        return found
    live = live_agents(census, rules, vitals)
    unreadable = _unreadable(census)
    dead = {
        name: agent
        for name, agent in _active(census).items()
        if name not in live and name not in unreadable
    }
    found["ghost"] = {name: Suspect(life=agent.life) for name, agent in dead.items()}
    found["split"] = _splits(census, rules)
    found["zombie"] = _zombies(census, rules, vitals)
    found["orphan"] = {
        work.agent: Suspect(work.count, work.sample)
        for work in census.work
        if work.count and (work.agent not in census.agents or work.agent in dead)
    }
    for gap in _gaps(census, live | unreadable):
        kind = "uncovered" if gap.missing else "uncovered_combination"
        asleep = (f"only asleep: {', '.join(gap.asleep[:3])}",) if gap.asleep else ()
        found[kind][gap.demand.name] = Suspect(gap.demand.count, (*asleep, *gap.demand.sample))
    if census.before is not None:
        found["unregistered"] = _strangers(
            census.before, census.after or census.before, census.agents, rules
        )
    if census.after is not None:
        settled = {name for name in live if not _is_new(census.agents[name], census, rules)}
        found["deaf"] = {
            name: Suspect(life=census.agents[name].life)
            for name in _deaf(settled, census.after, rules)
        }
    return found


def _gaps(census: Census, live: set[str]) -> list[CapabilityGap]:
    agents = census.agents or {}
    awake = {name: agents[name].capabilities for name in live if name in agents}
    asleep = {
        name: agent.capabilities for name, agent in agents.items() if agent.status == SLEEPING
    }
    return find_gaps(census.demands, awake, asleep)


def _active(census: Census) -> dict[str, RegisteredAgent]:
    return {name: agent for name, agent in (census.agents or {}).items() if agent.status == ACTIVE}


def _unreadable(census: Census) -> set[str]:
    """Agents whose heartbeat is no time: neither alive nor dead, as far as can be told."""
    return {name for name, agent in (census.agents or {}).items() if agent.problem} | {
        *(census.beats.unreadable if census.beats else ())
    }


def _strangers(
    before: Listeners, after: Listeners, agents: Mapping[str, RegisteredAgent], rules: CensusRules
) -> dict[str, Suspect]:
    """Who reads without being registered, before the registry was read and after it.

    A consumer that left in disorder stays listed: only another attempt proves it there.
    """
    found: dict[str, dict[str, float]] = {}
    there = {consumer.agent for consumer in after.consumers}
    for consumer in before.consumers:
        if (
            consumer.agent not in agents
            and consumer.agent in there
            and consumer.idle <= rules.quiet
        ):
            found.setdefault(consumer.agent, {})[consumer.name] = before.now - consumer.idle
    return {
        agent: Suspect(
            sample=tuple(sorted(names)[:SAMPLES]), signs=names, needed=1, margin=_ATTEMPT_AGAIN
        )
        for agent, names in found.items()
    }


def _deaf(agents: set[str], bus: Listeners, rules: CensusRules) -> set[str]:
    held: dict[str, list[Consumer]] = {}
    for consumer in bus.consumers:
        held.setdefault(consumer.agent, []).append(consumer)
    modern = any(consumer.tells_attempts for consumer in bus.consumers)
    return {
        name
        for name in agents - bus.unjudged.keys()
        if is_deaf(held.get(name, ()), bus.waiting.get(name, 0.0), rules, lists_all=modern)
    }


def is_deaf(mine: Sequence[Consumer], waits: float, rules: CensusRules, *, lists_all: bool) -> bool:
    """Whether nobody reads for an agent with these consumers, whose oldest unread entry `waits` so
    many seconds.

    Idle time alone proves nothing: it grows in a long block and while a batch is worked on. It
    counts when entries wait. Old servers don't list a consumer that has never received anything
    (§1.7.1): unless the server `lists_all`, an agent without a consumer is deaf only when entries
    wait.
    """
    if mine:
        return waits > rules.quiet and all(consumer.idle > rules.quiet for consumer in mine)
    return waits > rules.quiet or lists_all


def _zombies(census: Census, rules: CensusRules, vitals: Vitals) -> dict[str, Suspect]:
    """Fresh beats of agents that are not registered, or registered as inactive: before the registry
    was read and after.

    Who comes then is not in the first reading, who goes takes its beat away, so that it is not in
    the last.
    """
    agents, before, after = (
        census.agents or {},
        census.beats_before or Beats(),
        census.beats or Beats(),
    )
    fresh = {
        name: at
        for name, at in before.at.items()
        if before.now - at <= rules.ttl and name in after.at
    }
    for name, agent in agents.items():
        if agent.beat is not None and vitals.ages.get(name, rules.ttl + 1) <= rules.ttl:
            fresh.setdefault(name, agent.beat)
    silent = {name for name, agent in agents.items() if agent.status != INACTIVE}
    return {
        name: Suspect(signs={"": at}, needed=1, margin=ANOTHER_BEAT)
        for name, at in fresh.items()
        if name not in silent
    }


def _splits(census: Census, rules: CensusRules) -> dict[str, Suspect]:
    """Agents with two boot ids whose beats are fresh, by rows or by names of heartbeats."""
    boots: dict[str, dict[str, float]] = {}
    for name, agent in (census.agents or {}).items():
        _add_fresh(boots, name, agent.boots, census.now, rules)
    if census.beats is not None:
        for name, beats in census.beats.boots.items():
            _add_fresh(boots, name, beats, census.beats.now, rules)
    return {
        name: Suspect(
            sample=tuple(sorted(mine)[:SAMPLES]), signs=mine, needed=2, margin=ANOTHER_BEAT
        )
        for name, mine in boots.items()
        if len(mine) > 1
    }


def _add_fresh(
    boots: dict[str, dict[str, float]],
    name: str,
    beats: Mapping[str, float | None],
    now: float,
    rules: CensusRules,
) -> None:
    for boot, beat in beats.items():
        if beat is not None and now - beat <= rules.ttl:
            boots.setdefault(name, {})[boot] = beat


def _twins(census: Census) -> dict[str, Suspect]:
    """One agent with several active rows, or with several consumers of one group that hold entries
    and all read on.

    A consumer of a former start keeps its entries, but reads no more.
    """
    rows = {
        a.id: Suspect(sample=(f"{a.rows} rows",))
        for a in (census.agents or {}).values()
        if a.rows > 1
    }
    bus = census.after or Listeners()
    places: dict[tuple[str, str, str], dict[str, float]] = {}
    for consumer in bus.consumers:
        if consumer.pending:
            place = (consumer.agent, consumer.stream, consumer.group)
            places.setdefault(place, {})[consumer.name] = bus.now - consumer.idle
    return rows | {
        agent: Suspect(
            sample=tuple(sorted(names)[:SAMPLES]), signs=names, needed=2, margin=_ATTEMPT_AGAIN
        )
        for (agent, _, _), names in places.items()
        if len(names) > 1
    }


class Confirmation:
    """Two polls in a row, of the same registration; where signs are asked for, also a later one
    than the first seen.

    A zombie's last beat stays fresh for a while after it left, and so does the last attempt of a
    consumer.
    """

    def __init__(self) -> None:
        self._before: Suspects = {}

    def confirm(self, now: Suspects) -> Suspects:
        """The candidates that the poll before saw too."""
        confirmed: Suspects = {}
        for kind, suspects in now.items():
            known = self._before.get(kind, {})
            confirmed[kind] = {
                n: s
                for n, s in suspects.items()
                if s.proven or (n in known and _again(s, known[n]))
            }
            for name in suspects.keys() & known.keys():
                if suspects[name].needed:
                    suspects[name] = _keep_first(suspects[name], known[name])
        self._before = now
        return confirmed


def _again(suspect: Suspect, first: Suspect) -> bool:
    if suspect.life != first.life:
        return False
    later = [
        at for name, at in suspect.signs.items() if at > first.signs.get(name, at) + suspect.margin
    ]
    return len(later) >= suspect.needed


def _keep_first(suspect: Suspect, first: Suspect) -> Suspect:
    """With the signs that were seen first."""
    signs = {name: first.signs.get(name, at) for name, at in suspect.signs.items()}
    return Suspect(
        suspect.count,
        suspect.sample,
        suspect.life,
        signs,
        suspect.needed,
        suspect.proven,
        suspect.margin,
    )


def count_mismatches(confirmed: Suspects) -> dict[str, int]:
    """Subjects per kind: agents, or tasks for orphan and uncovered ones."""
    return {kind: sum(s.count for s in confirmed.get(kind, {}).values()) for kind in KINDS}


def sample_names(suspects: Mapping[str, Suspect]) -> list[str]:
    """At most 20 names, with what they stand for."""
    return [
        f"{name} ({', '.join(suspect.sample[:3])})" if suspect.sample else name
        for name, suspect in sorted(suspects.items())[:SAMPLES]
    ]
