"""One file per check kind. A kind is a value: options, declared measurements, and `run`, which
knows only "once".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import REJECTED, STARTING, THRESHOLD, UNREACHABLE, FaultKind, Severity
from sentinel.core.model import Finding, Impact, Margin, Measurement, Sli
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.objective import LOOK_SLIS
from sentinel.shelf import LazyShelf


class Options(BaseModel):
    """Base of every kind's options: strict, frozen, unknown keys refused. Its fields are the YAML
    keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StreamPatterns(Options):
    """Which streams: options that the kinds of the bus share."""

    include: list[str] = Field(
        ["*"], min_length=1, description="glob patterns; each is a metric label"
    )
    exclude: list[str] = Field(["sentinel:*"], description="glob patterns that win over include")


class GroupPatterns(Options):
    """Which consumer groups: options that the kinds of the bus share."""

    include: list[str] = Field(["*"], min_length=1, description="glob patterns of groups to judge")
    exclude: list[str] = Field([], description="glob patterns that win over include")


class State(Protocol):
    """What a kind remembers between runs and over restarts, as a JSON document."""

    def dump(self) -> Any:
        """JSON-able document of everything that must survive a restart."""
        ...

    async def close(self) -> None:
        """Let go of tasks and connections that the state holds (a canary's reader)."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a probe may use in one run: its clients, its state, the clock, the trace id. Times in
    seconds.
    """

    check: str
    component: str
    trace_id: str
    interval: float
    timeout: float
    clients: Mapping[str, Any]
    state: Any
    utcnow: Callable[[], datetime]
    monotonic: Callable[[], float]
    stalled: Callable[[float], float]
    """`stalled(t)`: seconds for which our own event loop stood still since monotonic instant t."""
    supervised: Callable[[str], int | None] = lambda _component: None
    """Process id of a component that sentinel supervises, or None."""
    wall: Callable[[], datetime] | None = None
    """What the wall shows, where `utcnow` may not have taken over that it was set: for times that
    others wrote. Durations and windows of our own go by `utcnow`.
    """

    def read_wall(self) -> datetime:
        """Now, as others of this machine write it."""
        return (self.wall or self.utcnow)()

    def redis(self, role: str = "resource") -> RedisClient:
        """The Redis client that the check's option `role` names."""
        return cast(RedisClient, self.clients[role])

    def postgres(self, role: str = "resource") -> PostgresClient:
        """The PostgreSQL client that the check's option `role` names."""
        return cast(PostgresClient, self.clients[role])

    def http(self, role: str = "resource") -> HttpClient:
        """The HTTP client that the check's option `role` names."""
        return cast(HttpClient, self.clients[role])


def faults_of_target(runbook: str, *, rejected: str = "") -> tuple[FaultKind, ...]:
    """The faults of whatever a kind asks: they are what a TargetError that nobody caught becomes.

    `runbook` is for a target that does not answer, `rejected` for one that answers with an error of
    its own, the same where none is named.
    """
    parameters = ("resource",)
    return (
        FaultKind(UNREACHABLE, Severity.PAGE, runbook, "nobody answers there", parameters),
        FaultKind(STARTING, Severity.INFO, runbook, "it answers, and is still loading", parameters),
        FaultKind(
            REJECTED,
            Severity.PAGE,
            rejected or runbook,
            "it answers with an error of its own",
            parameters,
        ),
    )


def _one_request(_options: Any) -> int:
    return 1


def _no_clocks(_state: Any) -> Iterable[ColumnClock]:
    return ()


def _no_pledge(_options: Any, _dump: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """A check kind: everything that the rest of sentinel needs to know of it.

        `resources` maps option names to resource types: {"resource": "redis"} means that the option
        `resource` names a resource of type redis; when it is not given, the component's resource is
        taken, else the only one of that type. `load_state(document | None)` makes the state from what
        `dump` gave before, or afresh. `faults` are all that its findings may name; the runbook of the
        first one is also the one for a threshold that is crossed. `requests(options)` is how many HTTP
        requests one run may send, which a budget must allow. `impact` are the figures that reports
        show of it; a report knows no other. `margins` are what runs out: reports tell what is close.
    `slis` are what an objective can be set for beside the two of every kind, `up` and `working`.
    `board` names the dashboard that shows it, without its `sentinel-`.
    `patient`: what it remembers may be half a minute old after a kill, and no figure is false for
    it, at most wider; else it is written at once, run by run. Of a patient kind that holds for what
    `pledge(options, dump)` gives, parts of a dump that `load_state` gets over those that were
    written before (None: all of it).
    `clocks(state)` are those by which the columns are written that a run read: whether they are right
    shows what arrives between two looks.
    """

    name: str
    summary: str
    options: type[Options]
    run: Callable[[Any, Context], Awaitable[Finding]]
    measurements: tuple[Measurement, ...]
    faults: tuple[FaultKind, ...] = ()
    impact: tuple[Impact, ...] = ()
    margins: tuple[Margin, ...] = ()
    slis: tuple[Sli, ...] = ()
    board: str = "components"
    resources: Mapping[str, str] = field(default_factory=dict)
    load_state: Callable[[Any], State] | None = None
    patient: bool = False
    pledge: Callable[[Any, Any], Mapping[str, Any] | None] = _no_pledge
    default_every: float = 10.0
    requests: Callable[[Any], int] = _one_request
    clocks: Callable[[Any], Iterable[ColumnClock]] = _no_clocks
    formerly: Mapping[str, str] = field(default_factory=dict)
    """Names that it had, each with what to write instead."""
    fault_kinds: Mapping[str, FaultKind] = field(init=False, compare=False, repr=False)
    """Every fault that a check of this kind can have, by key: asked at every run."""

    def __post_init__(self) -> None:
        """A configured limit is a way to be wrong that every kind has."""
        runbook = self.faults[0].runbook if self.faults else ""
        limit = FaultKind(
            THRESHOLD, Severity.TICKET, runbook, "a measurement crossed its configured limit"
        )
        known = {each.key: each for each in (*self.faults, limit)}
        object.__setattr__(self, "fault_kinds", known)

    @property
    def pledges(self) -> bool:
        """Whether a part of its dump is written before the rest."""
        return self.pledge is not _no_pledge

    @property
    def counts(self) -> bool:
        """Whether it exports totals, which a kill must not take back."""
        return any(each.type != "gauge" for each in self.measurements)

    @property
    def sli_meanings(self) -> dict[str, str]:
        """Every SLI that an objective for a check of this kind may name, with what is good."""
        return {**{each.name: each.meaning for each in self.slis}, **LOOK_SLIS}


def load_kinds() -> Mapping[str, Kind]:
    """Every kind of this folder by name: a new file is a new kind, nothing else is edited."""
    return LazyShelf(__name__, Kind, "KIND")
