"""Is a flow stuck, and why? One row now, compared with what is remembered of it (measurement.md
§5).

Judged by change of value, never by updated_at alone (platforms.md R13). Instants, and `now`, in
Unix seconds of the server's clock. Statuses are canonical: lower case, after the configured
mapping.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.flows.clock import TimeScreen
from sentinel.core.flows.phase import PhaseStep, find_out_of_order, find_skipped, went_back
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.quantity import format_duration, format_label, read_number

AHEAD = 2.0
PLAIN = TimeScreen()


@dataclass(frozen=True, slots=True)
class FlowSight:
    """One flow as read; it is the same at each look until its row changes.

    `entered`: when it entered its status, where a column tells it; `changed` is updated_at; `name`:
    what people call it. `begun`: columns that say that it works; `log`: its phases as it wrote them;
    `misfit`: columns that are not what the mapping says, each with why. `second`: the same flow by
    its second column of status.
    """

    id: str
    type: str
    status: str
    created: float | None = None
    changed: float | None = None
    entered: float | None = None
    progress: float | None = None
    phase: str = ""
    counters: tuple[str, ...] = ()
    flags: tuple[bool, ...] = ()
    worker: str = ""
    waits: bool = False
    name: str = ""
    tenant: str = ""
    begun: tuple[str, ...] = ()
    log: tuple[PhaseStep, ...] = ()
    misfit: tuple[tuple[str, str], ...] = ()
    second: FlowSight | None = None

    @property
    def mark(self) -> str:
        """Short digest of everything whose change is progress."""
        values = repr((self.status, self.progress, self.phase, self.counters, self.flags))
        return hashlib.blake2b(
            values.encode("utf-8", "backslashreplace"), digest_size=8
        ).hexdigest()


@dataclass(frozen=True, slots=True)
class FlowMemory:
    """What is remembered of a flow.

    `since`: in this status at least since then; `entered`: earliest possible entry, None when it
    was there before sentinel looked; `moved`: last change of `mark`; `peak`, `rank`, `phase`: how
    far it has been.
    """

    status: str
    since: float
    entered: float | None
    progress: float | None
    moved: float
    mark: str
    peak: float | None = None
    rank: int = -1
    phase: int = -1
    last_rank: int = -1
    last_phase: int = -1
    type: str = ""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Ranks of statuses and phases in the order of work, by lower-case name; `initial`: the status
    of creation.
    """

    statuses: Mapping[str, int] = field(default_factory=dict)
    phases: Mapping[str, int] = field(default_factory=dict)
    initial: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a flow since the last look. `stay` in seconds, None when its beginning is
    unknown.
    """

    before: str = ""
    after: str = ""
    stay: float | None = None
    regressions: tuple[str, ...] = ()
    is_touched: bool | None = None
    """Whether updated_at tells of the change of values; None when no value changed."""


def first_look(
    sight: FlowSight,
    order: WorkOrder,
    previous: float | None,
    now: float,
    screen: TimeScreen = PLAIN,
) -> FlowMemory:
    """Remember a flow that is new to us; `previous`: the look before, at which it was not there
    (None: unknown; then nothing but its columns tells what was before now).
    """
    rank, phase = order.statuses.get(sight.status, -1), order.phases.get(sight.phase.lower(), -1)
    exact = screen.settle("entered", sight.entered, previous, now)
    created = screen.settle("created", sight.created, previous, now)
    if exact is None and sight.status == order.initial:
        exact = created
    entered = exact
    if exact is None and previous is not None:
        entered = previous if created is None else max(previous, created)
    return FlowMemory(
        sight.status,
        now if exact is None or previous is None else exact,
        entered,
        sight.progress,
        now,
        sight.mark,
        sight.progress,
        rank,
        phase,
        rank,
        phase,
        sight.type,
    )


def compare(
    before: FlowMemory,
    sight: FlowSight,
    order: WorkOrder,
    previous: float,
    now: float,
    screen: TimeScreen = PLAIN,
) -> tuple[FlowMemory, Change]:
    """The memory after this look, and what changed. `previous`: instant of the look before."""
    rank, phase = order.statuses.get(sight.status, -1), order.phases.get(sight.phase.lower(), -1)
    same = sight.status == before.status
    exact = None if same else screen.settle("entered", sight.entered, previous, now)
    left = now if exact is None else exact
    entered = before.entered if same else (previous if exact is None else exact)
    since = before.since if same else left
    mark = sight.mark
    moved = now if mark != before.mark else before.moved
    peaks = [value for value in (before.peak, sight.progress) if value is not None]
    memory = FlowMemory(
        sight.status,
        since,
        entered,
        sight.progress,
        moved,
        mark,
        max(peaks, default=None),
        max(before.rank, rank),
        max(before.phase, phase),
        rank,
        phase,
        sight.type,
    )
    regressions = tuple(_find_regressions(before, sight, rank, phase))
    fresh = sight.changed is None or sight.changed >= previous - AHEAD
    touched = fresh if mark != before.mark else None
    if same:
        return memory, Change(regressions=regressions, is_touched=touched)
    stay = None if before.entered is None else max(0.0, left - before.entered)
    return memory, Change(before.status, sight.status, stay, regressions, touched)


def _find_regressions(before: FlowMemory, sight: FlowSight, rank: int, phase: int) -> Iterator[str]:
    if (
        before.progress is not None
        and sight.progress is not None
        and sight.progress < before.progress
    ):
        yield "progress"
    if 0 <= rank < before.last_rank:
        yield "status"
    if 0 <= phase < before.last_phase:
        yield "phase"


# --- judgement ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Worker:
    """A row of the worker registry: seconds since its heartbeat (None: never), whether it sleeps by
    right, and what people call it. `is_unsure`: nobody can tell yet whether it lives.
    """

    age: float | None
    sleeps: bool = False
    name: str = ""
    is_unsure: bool = False


@dataclass(frozen=True, slots=True)
class Crew:
    """The registry of workers; a heartbeat older than `ttl` seconds is no life. `clock`: by which
    heartbeats are written.
    """

    name: str
    workers: Mapping[str, Worker]
    ttl: float
    clock: ColumnClock | None = None

    def has_live(self, worker: str) -> bool:
        """Whether a worker is registered, and beats or sleeps by right; who is unsure is not
        blamed.
        """
        known = self.workers.get(worker)
        if known is None:
            return False
        if known.sleeps or known.is_unsure:
            return True
        return known.age is not None and known.age <= self.ttl

    @property
    def unsure(self) -> list[str]:
        """Of whom nobody can tell yet whether they live, as people call them."""
        return [
            format_label(key, worker.name)
            for key, worker in self.workers.items()
            if worker.is_unsure and not worker.sleeps
        ]


@dataclass(frozen=True, slots=True)
class FlowRules:
    """What is normal for the flows of one table; seconds. None switches a rule off."""

    initial: str
    order: WorkOrder = field(default_factory=WorkOrder)
    waiting: frozenset[str] = frozenset()
    no_progress_after: float | None = None
    has_worker: bool = False
    no_worker_after: float | None = None
    full: float | None = None
    full_after: float = 60.0
    crew: Crew | None = None
    phase_flags: Sequence[str] = ()
    terminal: frozenset[str] = frozenset()


def find_reasons(
    sight: FlowSight, memory: FlowMemory, rules: FlowRules, age: float, longest: float, now: float
) -> dict[str, str]:
    """Reason → what blocks it, in words; empty for a flow that moves. Those that wait for people
    are not asked for.

    `age`: seconds in its status; `longest`: the longest normal stay.
    """
    begun, still = sight.status != rules.initial, now - memory.moved
    found: dict[str, str] = {}
    if age > longest:
        found["overdue"] = (
            f"in {sight.status} for {format_duration(age)}, the limit is {format_duration(longest)}"
        )
    if begun and rules.no_progress_after is not None and still > rules.no_progress_after:
        limit = format_duration(rules.no_progress_after)
        found["no_progress"] = f"no value changed for {format_duration(still)} (limit {limit})"
    phases = rules.order.phases
    if text := _gone_back(sight, memory, phases):
        found["regression"] = text
    flags = find_out_of_order(rules.phase_flags, sight.flags)
    if text := flags or find_skipped(sight.log, phases):
        found["phase_order"] = text
    if is_full(sight, rules) and max(still, 0.0) >= rules.full_after:
        limit = format_duration(rules.full_after)
        found["full_but_open"] = (
            f"progress is {sight.progress:g}, status is still {sight.status} (limit {limit})"
        )
    return {**found, **_find_worker_reasons(sight, rules, age, overdue="overdue" in found)}


def _gone_back(sight: FlowSight, memory: FlowMemory, phases: Mapping[str, int]) -> str:
    if memory.peak is not None and sight.progress is not None and sight.progress < memory.peak:
        return f"progress fell from {memory.peak:g} to {sight.progress:g}"
    if 0 <= memory.last_rank < memory.rank:
        return f"back in {sight.status}"
    if 0 <= memory.last_phase < memory.phase:
        return f"back in phase {sight.phase:.40}"
    phase = went_back(sight.log, phases)
    return f"back in phase {phase:.40}" if phase else ""


def is_full(sight: FlowSight, rules: FlowRules) -> bool:
    """Whether its progress says that it should be over."""
    return rules.full is not None and sight.progress is not None and sight.progress >= rules.full


def _find_worker_reasons(
    sight: FlowSight, rules: FlowRules, age: float, *, overdue: bool
) -> dict[str, str]:
    """No worker, an unknown one, a dead one. Without a registry only the first can be told."""
    if not rules.has_worker:
        return {}
    if not sight.worker:
        return _find_no_worker(sight, rules, age, overdue=overdue)
    crew = rules.crew
    if crew is None:
        return {}
    if crew.has_live(sight.worker):
        return {}
    worker = crew.workers.get(sight.worker)
    if worker is None:
        return {"worker_unknown": f"worker {sight.worker:.80} is not in {crew.name}"}
    limit = format_duration(crew.ttl)
    silent = (
        "that never beat"
        if worker.age is None
        else f"silent for {format_duration(worker.age)} (limit {limit})"
    )
    return {"worker_dead": f"worker {format_label(sight.worker, worker.name)} {silent}"}


def _find_no_worker(
    sight: FlowSight, rules: FlowRules, age: float, *, overdue: bool
) -> dict[str, str]:
    """Begun, and nobody has it: for longer than its own limit, or than is normal at all."""
    if sight.status == rules.initial:
        return {}
    limit = rules.no_worker_after
    if limit is not None and age > limit:
        return {"no_worker": f"no worker has it (limit {format_duration(limit)})"}
    return {"no_worker": "no worker has it, and it is overdue"} if overdue else {}


# --- values as they are stored ------------------------------------------------------------------


def read_progress(texts: Sequence[str | None]) -> float | None:
    """One column: its number. Two: done of all, in percent."""
    numbers = [read_number(text) for text in texts]
    if not numbers or numbers[0] is None:
        return None
    if len(numbers) == 1:
        return numbers[0]
    return 100 * numbers[0] / numbers[1] if numbers[1] else None
