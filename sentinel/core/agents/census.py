"""Who is registered, who beats, who listens, who has work: four sets at one look (measurement.md
§4), and who of them is alive.

The sets must be read in this order, which removes the races of starting and stopping: heartbeats
and consumers, registry with tasks, heartbeats, consumers again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.agents.capability import Demand
from sentinel.core.agents.registration import ACTIVE, RegisteredAgent
from sentinel.core.moment.skew import Basis


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
    server. `owned`: agent → (stream, group) of its own, listened to or not.
    """

    consumers: tuple[Consumer, ...] = ()
    waiting: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    unjudged: Mapping[str, str] = field(default_factory=dict)
    owned: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beats:
    """Heartbeats outside of the registry: agent → Unix seconds, and by boot id where names tell it.

    `now`: Unix seconds of their source. `unreadable`: agent → what there is in place of a time.
    `basis`: on what the reading of their times rests, `zone`: in which those without one are read.
    """

    at: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    boots: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    basis: Basis = Basis.TYPED
    zone: str = ""


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
    `beat_basis`, `registered_basis`: on what the reading of the registry's own times rests; `zone`:
    in which its beats without one are read.
    """

    agents: Mapping[str, RegisteredAgent] | None = None
    now: float = 0.0
    beats_before: Beats | None = None
    beats: Beats | None = None
    before: Listeners | None = None
    after: Listeners | None = None
    work: Sequence[Work] = ()
    demands: Sequence[Demand] = ()
    beat_basis: Basis = Basis.TYPED
    registered_basis: Basis = Basis.TYPED
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """Who shows signs of life: seconds since the newest one by agent; whose clock is wrong, and
    how.

    `unsure`: who is neither alive nor dead, as far as can be told, with the seconds by which the
    time is ahead (else behind); `by_change`: whose age counts from when we saw the beat change.
    """

    ages: Mapping[str, float]
    ahead: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    unsure: Mapping[str, float] = field(default_factory=dict)
    by_change: frozenset[str] = frozenset()


def has_heartbeats(census: Census) -> bool:
    """Whether any heartbeat source is there; without one nobody is called a ghost."""
    return census.beats is not None or any(
        agent.beat is not None for agent in (census.agents or {}).values()
    )


def active_agents(census: Census) -> dict[str, RegisteredAgent]:
    """Agents that are registered as active, by id."""
    return {name: agent for name, agent in (census.agents or {}).items() if agent.status == ACTIVE}


def live_agents(census: Census, rules: CensusRules, vitals: Vitals) -> set[str]:
    """Registered as active, with a fresh heartbeat where heartbeats are known; a fresh registration
    is one, too.
    """
    agents = active_agents(census)
    if not has_heartbeats(census):
        return set(agents)
    return {name for name, agent in agents.items() if _is_alive(agent, census, rules, vitals)}


def _is_alive(agent: RegisteredAgent, census: Census, rules: CensusRules, vitals: Vitals) -> bool:
    if agent.id in vitals.unsure:
        return False
    return is_new(agent, census, rules) or has_fresh_beat(agent.id, rules, vitals)


def has_fresh_beat(name: str, rules: CensusRules, vitals: Vitals) -> bool:
    """Whether the newest heartbeat under this name is no older than the time to live, and known to
    be so.
    """
    return name not in vitals.unsure and vitals.ages.get(name, rules.ttl + 1) <= rules.ttl


def is_new(agent: RegisteredAgent, census: Census, rules: CensusRules) -> bool:
    """Whether it registered within the last time to live: it may not have beaten or listened yet."""
    return agent.registered is not None and 0 <= census.now - agent.registered <= rules.ttl


def find_unreadable(census: Census) -> dict[str, str]:
    """Agents whose heartbeat is no time, with what there is in its place: neither alive nor dead,
    as far as can be told.
    """
    rows = {name: agent.problem for name, agent in (census.agents or {}).items() if agent.problem}
    return rows | dict(census.beats.unreadable if census.beats else {})
