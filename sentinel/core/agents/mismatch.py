"""What each mismatch of the registry says of one agent: its sentence, its figures, since when.

Pure: from the compared sets and a confirmed suspect to a `Fault`. The sentence names the agent as
people know it, `planner (agent-7)`; the subject keeps the id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sentinel.core.agents.census import Census, CensusRules, Listeners, Vitals
from sentinel.core.agents.registration import ACTIVE, RegisteredAgent
from sentinel.core.agents.skewed import UNTOLD_CLOCK, guess_offset
from sentinel.core.agents.suspects import KINDS, Suspect, Suspects, held_consumers
from sentinel.core.fault import Fault, Status
from sentinel.core.moment import from_unix
from sentinel.core.moment.skew import ColumnClock, find_offset, suspect_zone
from sentinel.core.quantity import Bounds, format_duration, format_label, format_names

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
COUNTS_TASKS = frozenset({"orphan", "uncovered", "uncovered_combination"})
_LABELS = {"uncovered": "capability", "uncovered_combination": "capability", "stale_file": "file"}
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Comparison:
    """What sentences are made of: one look, who is alive in it, the limits that were broken, and
    the clock by which heartbeats are written.
    """

    census: Census
    vitals: Vitals
    rules: CensusRules
    flapping_above: int = 10
    held: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clock: ColumnClock = UNTOLD_CLOCK

    @classmethod
    def of(
        cls,
        census: Census,
        vitals: Vitals,
        rules: CensusRules,
        flapping_above: int,
        clock: ColumnClock = UNTOLD_CLOCK,
    ) -> Comparison:
        """With the names of each agent's consumers looked up once."""
        consumers = held_consumers(census.after or Listeners())
        held = {name: [each.name for each in mine] for name, mine in consumers.items()}
        return cls(census, vitals, rules, flapping_above, held, clock)

    @property
    def now(self) -> float:
        """Unix seconds of the look."""
        return self.census.now

    def agent(self, name: str) -> RegisteredAgent | None:
        """The agent of that id, if it is registered."""
        return (self.census.agents or {}).get(name)

    def call(self, name: str) -> str:
        """How people call it: `planner (agent-7)`, or its id."""
        known = self.agent(name)
        return format_label(name, known.name if known is not None else "")

    def place(self, name: str) -> tuple[str, str]:
        """(stream, group) of an agent's own, both "" where none is known."""
        return (self.census.after or Listeners()).owned.get(name, ("", ""))

    def waits(self, name: str) -> float:
        """Seconds for which the oldest unread entry of an agent waits; 0.0 when there is none."""
        return (self.census.after or Listeners()).waiting.get(name, 0.0)

    def beats(self, name: str) -> Iterator[tuple[float, float]]:
        """(instant of the beat, instant of the look) by every source that has one."""
        known, beats = self.agent(name), self.census.beats
        if known is not None and known.beat is not None:
            yield known.beat, self.census.now
        if beats is not None and name in beats.at:
            yield beats.at[name], beats.now


def find_mismatches(seen: Comparison, confirmed: Suspects) -> list[Fault]:
    """One fault for each confirmed suspect, kind by kind in order of their names."""
    return [
        _make(seen, kind, name, suspect)
        for kind in KINDS
        for name, suspect in sorted(confirmed.get(kind, {}).items())
    ]


def find_none_alive(seen: Comparison, live: set[str]) -> list[Fault]:
    """That nobody is left is more than the sum of its ghosts."""
    agents = (seen.census.agents or {}).values()
    active = [agent.id for agent in agents if agent.status == ACTIVE]
    if live or not active or any(name in seen.vitals.unsure for name in active):
        return []
    names = format_names([seen.call(name) for name in sorted(active)])
    text = f"none of {len(active)} active agents is alive: {names}"
    guidance = "nobody is left: what do they share, a host, a database, the bus? Look there first"
    count = Bounds(len(active), len(active))
    return [Fault("none_alive", {}, Status.DOWN, text, count=count, guidance=guidance)]


def _make(seen: Comparison, kind: str, name: str, suspect: Suspect) -> Fault:
    label, bounded = _LABELS.get(kind, "agent"), name[:_LONGEST]
    parameters = {label: bounded} if label != "capability" else {}
    if kind == "deaf":
        stream, group = seen.place(name)
        parameters |= {"stream": stream, "group": group} if stream else {}
    return Fault(
        kind,
        {label: bounded},
        Status.DEGRADED,
        f"{_name_subject(seen, label, name)}: {_SENTENCES[kind](seen, name, suspect)}",
        since=_since(seen, kind, name),
        count=Bounds(suspect.count, suspect.count) if kind in COUNTS_TASKS else None,
        guidance=REMEDIES[kind],
        parameters=parameters,
    )


def _name_subject(seen: Comparison, label: str, name: str) -> str:
    return seen.call(name) if label == "agent" else f"{label} {name:.80}"


def _since(seen: Comparison, kind: str, name: str) -> datetime | None:
    """Only where a source tells it: the last beat of a ghost, the oldest entry of a deaf agent."""
    if kind == "ghost" and name in seen.vitals.ages:
        return from_unix(seen.census.now - seen.vitals.ages[name])
    bus = seen.census.after
    if kind == "deaf" and bus is not None and seen.waits(name) > 0:
        return from_unix(bus.now - seen.waits(name))
    return None


# --- sentences: what comes after the name ---------------------------------------------------------


def _ghost(seen: Comparison, name: str, _suspect: Suspect) -> str:
    limit, age = format_duration(seen.rules.ttl), seen.vitals.ages.get(name)
    if age is None:
        return f"registered as active, and has no heartbeat at all (limit {limit})"
    if name in seen.vitals.by_change:
        for_ = f"did not change for {format_duration(age)}"
        return f"registered as active, and its heartbeat {for_} or longer (limit {limit})"
    return f"registered as active, last heartbeat {format_duration(age)} ago (limit {limit})"


def _deaf(seen: Comparison, name: str, _suspect: Suspect) -> str:
    stream, mine = seen.place(name)[0], seen.held.get(name, ())
    place, waits = f" stream {stream:.80}" if stream else "", seen.waits(name)
    who = f"none of its consumers ({format_names(mine)}) reads" if mine else "no consumer reads"
    limit = format_duration(seen.rules.quiet)
    if not waits:
        return f"alive, and {who}{place} (limit {limit})"
    waiting = f"the oldest entry waits {format_duration(waits)} (limit {limit})"
    return f"alive, and {who}{place}: {waiting}"


def _unregistered(_seen: Comparison, _name: str, suspect: Suspect) -> str:
    return f"reads the bus as {format_names(suspect.sample)}, and is not registered"


def _zombie(seen: Comparison, name: str, _suspect: Suspect) -> str:
    known = seen.agent(name)
    how = "registered as inactive" if known is not None else "not registered"
    ago = [now - at for at, now in seen.beats(name)]
    if name in seen.vitals.by_change:
        ago = [seen.vitals.ages[name]]
    return f"beats, last {format_duration(max(0.0, min(ago, default=0.0)))} ago, and is {how}"


def _orphan(seen: Comparison, name: str, suspect: Suspect) -> str:
    limit = format_duration(seen.rules.ttl)
    how = "is not registered" if seen.agent(name) is None else f"has no heartbeat (limit {limit})"
    return f"holds {_describe_tasks(suspect, 'open')}, and {how}"


def _twin(_seen: Comparison, _name: str, suspect: Suspect) -> str:
    if not suspect.signs:
        return f"has {suspect.sample[0]} in the registry that are active, of one start"
    readers = format_names(suspect.sample)
    return f"{len(suspect.signs)} consumers of one group hold entries and read on: {readers}"


def _split(_seen: Comparison, _name: str, suspect: Suspect) -> str:
    return f"{len(suspect.sample)} starts go on under one name: {format_names(suspect.sample)}"


def _flapping(seen: Comparison, _name: str, suspect: Suspect) -> str:
    return f"registered {suspect.sample[0]} (limit {seen.flapping_above})"


def _uncovered(_seen: Comparison, _name: str, suspect: Suspect) -> str:
    return f"{_describe_tasks(suspect, 'waiting')}, and no live agent can do it"


def _uncovered_combination(_seen: Comparison, _name: str, suspect: Suspect) -> str:
    return f"{_describe_tasks(suspect, 'waiting')}, and no single live agent can do all of it"


def _clock_ahead(seen: Comparison, name: str, _suspect: Suspect) -> str:
    by = max((at - now for at, now in seen.beats(name)), default=0.0)
    limit, like = format_duration(seen.rules.ahead), _tell_zone(seen, by)
    return f"its heartbeat is {format_duration(by)} in the future{like} (limit {limit})"


def _clock_behind(seen: Comparison, name: str, _suspect: Suspect) -> str:
    by = min((now - at for at, now in seen.beats(name)), default=0.0)
    limit, like = format_duration(seen.rules.ttl), _tell_zone(seen, -by)
    return f"its fresh heartbeat says to be {format_duration(by)} old{like} (limit {limit})"


def _tell_zone(seen: Comparison, ahead: float) -> str:
    """`, as of UTC+9`, where the difference looks like one of zones."""
    off = guess_offset(ahead, seen.rules)
    return f", as of {suspect_zone(seen.clock, off, seen.now)}" if find_offset(off) else ""


def _stale_file(_seen: Comparison, _name: str, suspect: Suspect) -> str:
    return ", ".join(suspect.sample)


def _describe_tasks(suspect: Suspect, word: str) -> str:
    """`4 open tasks (t1, t2, t3 and 1 more; only asleep: z)`."""
    said = [format_names(suspect.sample, of=suspect.count)] if suspect.sample else []
    said += [f"only asleep: {format_names(suspect.asleep)}"] if suspect.asleep else []
    tasks = "task" if suspect.count == 1 else "tasks"
    return f"{suspect.count} {word} {tasks}" + (f" ({'; '.join(said)})" if said else "")


_SENTENCES: Mapping[str, Callable[[Comparison, str, Suspect], str]] = {
    "ghost": _ghost,
    "deaf": _deaf,
    "unregistered": _unregistered,
    "zombie": _zombie,
    "orphan": _orphan,
    "twin": _twin,
    "split": _split,
    "flapping": _flapping,
    "uncovered": _uncovered,
    "uncovered_combination": _uncovered_combination,
    "clock_ahead": _clock_ahead,
    "clock_behind": _clock_behind,
    "stale_file": _stale_file,
}
