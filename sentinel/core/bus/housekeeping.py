"""Cleaning of the bus, decided: what would go, what is refused and why, plans that void themselves,
holds. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.bus.delivery import Id, parse_id
from sentinel.core.bus.delivery.stream import OLDEST_PLAUSIBLE
from sentinel.core.moment import Moment

PLAN_LIFE = 60.0
"""Seconds in which a plan may be applied (reliability.md §5)."""
CAP_WINDOW = 3600.0
STREAM_HOLD = 3600.0
"""Seconds for which a stream is left alone after its life was broken (measurement.md §9)."""
MAX_SAMPLES = 10
MAX_KNOWN = 50_000
"""Streams remembered per server; beyond it only those of the last look."""
LATEST_AHEAD = 86_400_000


@dataclass(frozen=True, slots=True)
class Chore:
    """One configured cleaning. `options` is its kind's own object, `settings` what it was made
    from; seconds.

    Without `every` and `cron` it is done by hand only. `dry_run` looks and tells, on schedule; a
    person's plan and apply are the word that it waits for. `settle` is the time after a suspected
    failover in which nothing is written.
    """

    name: str
    kind: str
    resource: str
    options: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    every: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    dry_run: bool = True
    max_per_hour: int = 1000
    settle: float = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """What would be cleaned at one place: `count` things, exactly `items` where they have names,
    else below `bound`.

    `command` is what is sent, as redis-cli would read it.
    """

    key: str
    count: int
    command: str
    samples: tuple[str, ...] = ()
    group: str = ""
    items: tuple[str, ...] = ()
    bound: str = ""
    note: str = ""
    needs: tuple[str, ...] = ()
    """Groups that must still be there."""

    @property
    def place(self) -> str:
        """For people: stream and group, or key."""
        return f"{self.key} {self.group}".strip()

    def first(self, n: int) -> Target:
        """Its first `n` things."""
        return replace(self, count=min(n, self.count), items=self.items[:n])

    def rest(self, n: int) -> Target:
        """Everything behind its first `n` things."""
        return replace(self, count=max(self.count - n, 0), items=self.items[n:])


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is not cleaned: the reason in one word (a metric label), where, the sentence, and what
    to do.
    """

    reason: str
    place: str
    text: str
    remedy: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Survey:
    """One look: what would go, what is refused. `looked` at so many places."""

    targets: tuple[Target, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    looked: int = 0

    @property
    def count(self) -> int:
        """How many things would go."""
        return sum(target.count for target in self.targets)


@dataclass(frozen=True, slots=True)
class Done:
    """What one command did: so many went, and those that had changed since the look were left."""

    count: int = 0
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class CleanPlan:
    """The first of the two steps of a dangerous action. `state`: open, applied, void; `outcome`
    what became of it.
    """

    id: str
    chore: str
    kind: str
    made: Moment
    by: str
    settings: Mapping[str, Any]
    targets: tuple[Target, ...]
    refusals: tuple[Refusal, ...] = ()
    state: str = "open"
    outcome: str = ""

    @property
    def count(self) -> int:
        """How many things would go."""
        return sum(target.count for target in self.targets)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a plan can't be applied, and what to do; an empty reason: it can."""

    reason: str = ""
    text: str = ""
    remedy: str = ""


APPLICABLE = Verdict()
_AGAIN = "make a new plan, look at it, and apply it within a minute"


def judge_plan(plan: CleanPlan | None, now: Moment) -> Verdict:
    """Whether a plan may still be applied, as far as it tells by itself."""
    if plan is None:
        return Verdict(
            "unknown",
            "there is no such plan",
            "`sentinel clean plan NAME` makes one and shows its id",
        )
    if plan.state == "applied":
        return Verdict(
            "applied",
            f"plan {plan.id} was already applied: {plan.outcome or 'outcome unknown'}",
            _AGAIN,
        )
    if plan.state != "open":
        return Verdict(plan.state, f"plan {plan.id} is {plan.state}: {plan.outcome}", _AGAIN)
    age = now.seconds_since(plan.made)
    if age > PLAN_LIFE or (now.at < plan.made.at and not _same_boot(now, plan.made)):
        return Verdict(
            "expired",
            f"plan {plan.id} is {age:.0f} s old, and a plan lives {PLAN_LIFE:.0f} s",
            _AGAIN,
        )
    return APPLICABLE


def _same_boot(one: Moment, other: Moment) -> bool:
    return bool(one.boot) and one.boot == other.boot


def judge_counts(plan: CleanPlan, counts: Sequence[int]) -> Verdict:
    """A count that changed since the plan voids it: somebody else is at work there."""
    for target, count in zip(plan.targets, counts, strict=True):
        if count != target.count:
            text = (
                f"void: {target.place} had {target.count:,} to clean when the plan was made, now"
                f" {count:,}"
            )
            return Verdict("changed", text, _AGAIN)
    return APPLICABLE


@dataclass(frozen=True, slots=True)
class Spent:
    """One reservation of the cap: `count` things, when."""

    at: Moment
    count: int


def remaining(cap: int, spent: Sequence[Spent], now: Moment) -> int:
    """How many more may go within the hour; a step of the wall clock refills nothing."""
    used = sum(each.count for each in spent if now.seconds_since(each.at) < CAP_WINDOW)
    return max(cap - used, 0)


# -- the bus may have lost its memory -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerSign:
    """Who a server is: process, replication history, and whether it was promoted (`second_offset` ≥
    0).
    """

    run_id: str
    replid: str
    second_offset: int = -1
    uptime: float = 0.0


@dataclass(frozen=True, slots=True)
class BusLife:
    """What is remembered of a server and its streams: entries ever added and last id; what was
    suspected, and when.
    """

    server: ServerSign | None = None
    streams: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    suspected: Moment | None = None
    why: str = ""
    broken: Mapping[str, Moment] = field(default_factory=dict)


def step_life(
    before: BusLife, server: ServerSign, streams: Mapping[str, tuple[int, str]], now: Moment
) -> BusLife:
    """Take one look in. Streams that were not looked at are kept; one that went back is marked as
    broken.
    """
    why = _suspect(before.server, server)
    went_back = [
        key
        for key, seen in streams.items()
        if key in before.streams and _is_back(before.streams[key], seen)
    ]
    broken = {key: at for key, at in before.broken.items() if now.seconds_since(at) < STREAM_HOLD}
    suspected, reason = (now, why) if why else (before.suspected, before.why)
    known = {**before.streams, **streams}
    kept = known if len(known) <= MAX_KNOWN else dict(streams)
    return BusLife(server, kept, suspected, reason, {**broken, **dict.fromkeys(went_back, now)})


def _suspect(before: ServerSign | None, seen: ServerSign) -> str:
    """measurement.md §1.8: a new process may have lost its tail, a new history is a failover."""
    if before is None:
        return "it was promoted from replica at an unknown time" if seen.second_offset >= 0 else ""
    if before.replid != seen.replid:
        return "its replication history changed: a failover, or a restart without one"
    return "its process was restarted" if before.run_id != seen.run_id else ""


def _is_back(before: tuple[int, str], seen: tuple[int, str]) -> bool:
    return seen[0] < before[0] or parse_id(seen[1]) < parse_id(before[1])


def find_hold(life: BusLife, key: str, now: Moment, settle: float) -> str:
    """Why nothing may be written to a stream now, or "" (reliability.md A22)."""
    server = life.server
    if server is None:
        return "nothing is known of this server's past"
    if life.suspected is not None and now.seconds_since(life.suspected) < settle:
        return f"data loss suspected: {life.why}"
    if server.uptime < settle:
        return f"the server runs for {server.uptime:.0f} s only: what it lost is not known yet"
    if key in life.broken and now.seconds_since(life.broken[key]) < STREAM_HOLD:
        return "its counters went back: it was recreated or rolled back within the last hour"
    return ""


# -- streams --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GroupState:
    """One group as the trim sees it: last delivered id, oldest pending id (None without)."""

    name: str
    delivered: str
    oldest_pending: str | None = None


def find_floor(groups: Sequence[GroupState], keep_from: str) -> tuple[str, str]:
    """The lowest id that must stay, and who holds it: a group's name, or `(retention)`.

    measurement.md §9: the minimum over the groups of the oldest pending id and the last delivered
    id + 1, and never younger than the retention. The script on the server computes the same in the
    moment of the trim.
    """
    floors = [(parse_id(keep_from), keep_from, "(retention)")]
    for group in groups:
        after = following_id(group.delivered)
        floors.append((parse_id(after), after, group.name))
        if group.oldest_pending is not None:
            floors.append((parse_id(group.oldest_pending), group.oldest_pending, group.name))
    _, floor, holder = min(floors, key=lambda each: each[0])
    return floor, holder


def following_id(entry: str) -> str:
    """The next id; of a sequence too long for the server's doubles the id itself, which keeps one
    entry more.
    """
    ms, _, sequence = entry.partition("-")
    return entry if len(sequence) > 15 else f"{ms}-{int(sequence) + 1}"


def is_time(entry: Id, now_ms: int) -> bool:
    """Whether an id can be the time of its publication."""
    return OLDEST_PLAUSIBLE <= entry[0] <= now_ms + LATEST_AHEAD


@dataclass(frozen=True, slots=True)
class Member:
    """A consumer of a group: what it holds, and the seconds since it was last heard of."""

    name: str
    pending: int
    quiet: float


def choose_heir(
    members: Sequence[Member], leaving: str, alive_within: float, wanted: str = ""
) -> str:
    """The healthy consumer that takes over: the one that was named, else the one that holds least;
    "" for none.
    """
    healthy = [
        each
        for each in members
        if each.name and each.name != leaving and each.quiet <= alive_within
    ]
    fitting = [each for each in healthy if wanted in {"", each.name}]
    return min(fitting, key=lambda each: (each.pending, each.name)).name if fitting else ""
