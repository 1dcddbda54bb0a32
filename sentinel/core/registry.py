"""Who is registered, who beats, who listens, who has work: four sets, compared (measurement.md §4).

Mismatches of one poll are only candidates; they count when two polls in a row saw them. The sets must be
read in this order, which removes the races of starting and stopping: consumers, registry with
tasks, heartbeats, consumers again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS = ("ghost", "deaf", "unregistered", "zombie", "orphan", "twin", "uncovered", "clock_ahead")
SAMPLES = 20

ACTIVE = "active"
SLEEPING = "sleeping"
INACTIVE = "inactive"
UNMAPPED = "unmapped"


@dataclass(frozen=True, slots=True)
class Agent:
    """A registry row. `status` is canonical; `beat` and `registered` are Unix seconds of the server's clock."""

    id: str
    status: str
    beat: float | None = None
    capabilities: frozenset[str] = frozenset()
    registered: float | None = None
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer of a stream's group. `idle` in seconds; `tells_attempts`: the server resets it at every attempt."""

    agent: str
    stream: str
    name: str
    idle: float
    pending: int
    tells_attempts: bool


@dataclass(frozen=True, slots=True)
class Listeners:
    """What the bus knows. `waiting`: agent → age in seconds of the oldest entry that waits on the agent's stream."""

    consumers: tuple[Consumer, ...] = ()
    waiting: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """Open tasks of one agent: how many, and up to 20 ids."""

    agent: str
    count: int
    sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """Tasks that wait for an agent with all of these capabilities."""

    capabilities: frozenset[str]
    count: int
    sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds: `ttl` of a heartbeat, `quiet` of a consumer, tolerated clock difference."""

    ttl: float = 60.0
    quiet: float = 60.0
    ahead: float = 2.0


@dataclass(frozen=True, slots=True)
class Census:
    """One reading of the four sets. None means that this source is not configured. `now`: Unix seconds, per source."""

    agents: Mapping[str, Agent] | None = None
    database_now: float = 0.0
    beats: Mapping[str, float] | None = None
    beats_now: float = 0.0
    before: Listeners | None = None
    after: Listeners | None = None
    work: Sequence[Work] = ()
    demands: Sequence[Demand] = ()


@dataclass(frozen=True, slots=True)
class Suspect:
    """A candidate for a mismatch: how many subjects it stands for, names to show, and the beat that raised it."""

    count: int = 1
    sample: tuple[str, ...] = ()
    beat: float | None = None


Suspects = dict[str, dict[str, Suspect]]


def heartbeat_age(census: Census, agent: str) -> float | None:
    """Seconds since the newest heartbeat from any source, by the clock of that source; None without one."""
    ages = []
    if census.beats is not None and agent in census.beats:
        ages.append(census.beats_now - census.beats[agent])
    row = (census.agents or {}).get(agent)
    if row is not None and row.beat is not None:
        ages.append(census.database_now - row.beat)
    return min(ages, default=None)


def has_heartbeats(census: Census) -> bool:
    """Whether any heartbeat source is there; without one nobody is called a ghost."""
    return census.beats is not None or any(agent.beat is not None for agent in (census.agents or {}).values())


def live_agents(census: Census, rules: Rules) -> set[str]:
    """Registered as active, with a fresh heartbeat where heartbeats are known."""
    beating = has_heartbeats(census)
    ages = {name: heartbeat_age(census, name) for name in _active(census)}
    return {name for name, age in ages.items() if not beating or (age is not None and age <= rules.ttl)}


def find_suspects(census: Census, rules: Rules) -> Suspects:
    """Every kind of mismatch that this reading shows, by kind and name. A kind without a source stays empty."""
    found: Suspects = {kind: {} for kind in KINDS}
    found["clock_ahead"] = {name: Suspect() for name in _ahead(census, rules)}
    found["twin"] = {name: Suspect(sample=names) for name, names in _twins(census).items()}
    if census.agents is None:
        return found
    live = live_agents(census, rules)
    found["ghost"] = {name: Suspect() for name in _active(census) - live}
    found["zombie"] = _zombies(census, rules)
    found["orphan"] = {
        work.agent: Suspect(work.count, work.sample)
        for work in census.work
        if work.count and (work.agent not in census.agents or work.agent in found["ghost"])
    }
    found["uncovered"] = _uncovered(census, live)
    if census.before is not None:
        found["unregistered"] = {
            c.agent: Suspect(sample=(c.name,))
            for c in census.before.consumers
            if c.agent not in census.agents and c.idle <= rules.quiet
        }
    if census.after is not None:
        found["deaf"] = {name: Suspect() for name in live & _deaf(live, census.after, rules)}
    return found


def _deaf(agents: set[str], bus: Listeners, rules: Rules) -> set[str]:
    held: dict[str, list[Consumer]] = {}
    for consumer in bus.consumers:
        held.setdefault(consumer.agent, []).append(consumer)
    modern = any(consumer.tells_attempts for consumer in bus.consumers)
    return {name for name in agents if is_deaf(held.get(name, ()), bus.waiting.get(name, 0.0), rules, lists_all=modern)}


def is_deaf(mine: Sequence[Consumer], waits: float, rules: Rules, *, lists_all: bool) -> bool:
    """Whether nobody reads for an agent with these consumers, whose oldest unread entry `waits` so many seconds.

    Idle time alone proves nothing: it grows in a long block and while a batch is worked on. It counts
    when entries wait. Old servers don't list a consumer that has never received anything (§1.7.1): unless
    the server `lists_all`, an agent without a consumer is deaf only when entries wait.
    """
    if mine:
        return waits > rules.quiet and all(consumer.idle > rules.quiet for consumer in mine)
    return waits > rules.quiet or lists_all


def _active(census: Census) -> set[str]:
    return {name for name, agent in (census.agents or {}).items() if agent.status == ACTIVE}


def _ahead(census: Census, rules: Rules) -> set[str]:
    names = {*(census.beats or {}), *(census.agents or {})}
    ages = {name: heartbeat_age(census, name) for name in names}
    return {name for name, age in ages.items() if age is not None and age < -rules.ahead}


def _zombies(census: Census, rules: Rules) -> dict[str, Suspect]:
    """Fresh beats of agents that are not registered, or registered as inactive."""
    agents = census.agents or {}
    fresh = {name: at for name, at in (census.beats or {}).items() if census.beats_now - at <= rules.ttl}
    for name, agent in agents.items():
        if agent.beat is not None and census.database_now - agent.beat <= rules.ttl:
            fresh.setdefault(name, agent.beat)
    silent = {name for name, agent in agents.items() if agent.status != INACTIVE}
    return {name: Suspect(beat=at) for name, at in fresh.items() if name not in silent}


def _twins(census: Census) -> dict[str, tuple[str, ...]]:
    """One agent with several rows, or with several consumers of one stream that all hold entries."""
    names: dict[tuple[str, str], list[str]] = {}
    for consumer in census.after.consumers if census.after else ():
        if consumer.pending:
            names.setdefault((consumer.agent, consumer.stream), []).append(consumer.name)
    twins = {agent: tuple(sorted(held)[:SAMPLES]) for (agent, _), held in names.items() if len(held) > 1}
    return {**{a.id: (f"{a.rows} rows",) for a in (census.agents or {}).values() if a.rows > 1}, **twins}


def _uncovered(census: Census, live: set[str]) -> dict[str, Suspect]:
    """Demands whose combination of capabilities no single live agent has."""
    agents = census.agents or {}
    offers = {agents[name].capabilities for name in live}
    return {
        " + ".join(sorted(demand.capabilities)): Suspect(demand.count, demand.sample)
        for demand in census.demands
        if demand.capabilities and not any(demand.capabilities <= offer for offer in offers)
    }


class Confirmation:
    """Two polls in a row. A zombie must also have beaten again: its last beat stays fresh for a while after it left."""

    def __init__(self) -> None:
        self._before: Suspects = {}

    def confirm(self, now: Suspects) -> Suspects:
        """The candidates that the poll before saw too."""
        confirmed: Suspects = {}
        for kind, suspects in now.items():
            known = self._before.get(kind, {})
            confirmed[kind] = {name: s for name, s in suspects.items() if name in known and _again(s, known[name])}
            for name in suspects.keys() & known.keys():
                if suspects[name].beat is not None:
                    suspects[name] = known[name]  # keeps the beat that was seen first
        self._before = now
        return confirmed


def _again(suspect: Suspect, first: Suspect) -> bool:
    return suspect.beat is None or (first.beat is not None and suspect.beat > first.beat)


def count_mismatches(confirmed: Suspects) -> dict[str, int]:
    """Subjects per kind: agents, or tasks for orphan and uncovered."""
    return {kind: sum(s.count for s in confirmed.get(kind, {}).values()) for kind in KINDS}


def sample_names(suspects: Mapping[str, Suspect]) -> list[str]:
    """At most 20 names, with what they stand for."""
    return [
        f"{name} ({', '.join(suspect.sample[:3])})" if suspect.sample else name
        for name, suspect in sorted(suspects.items())[:SAMPLES]
    ]


class Arrivals:
    """Counts registrations: ids that were not there before, or registered again. The first reading is the baseline."""

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self._known: dict[str, float | None] | None = None

    def see(self, agents: Iterable[Agent]) -> int:
        """Take one reading; the total so far."""
        now = {agent.id: agent.registered for agent in agents}
        if self._known is not None:
            known = self._known
            self.total += sum(name not in known or known[name] != at for name, at in now.items())
        self._known = now
        return self.total


_NAME_KEYS = ("name", "capability", "id", "type")


def read_capabilities(value: Any) -> frozenset[str]:
    """Capabilities as platforms write them: list of names, list of objects, object, JSON text, or `a, b`."""
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, Mapping):
        return frozenset(str(key) for key in value)
    if not isinstance(value, list):
        return frozenset()
    return frozenset(name for item in value if (name := _name_of(item)))


def _read_text(text: str) -> frozenset[str]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return read_capabilities(json.loads(text))
        except ValueError:
            pass  # an array of PostgreSQL as text: {a,b}
    return frozenset(part for raw in text.split(",") if (part := raw.strip(' {}[]"')))


def _name_of(item: Any) -> str:
    if isinstance(item, Mapping):
        return next((str(item[key]) for key in _NAME_KEYS if item.get(key)), "")
    return str(item) if item is not None else ""
