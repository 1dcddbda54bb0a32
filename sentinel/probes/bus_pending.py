"""Kind `bus_pending`: what was delivered and never acknowledged, why, and the command that would
cure it.

Overdue and payload gone are exact, or "… or more" when neither end of the list is within reach of a
page. Delivery counts are read page by page: the share covered is said. Redeliveries of entries
acknowledged between two runs are never seen, so `redeliveries_total` is a lower bound
(measurement.md §1.7). Nothing is ever claimed, acknowledged or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from sentinel.core.bus.finding import (
    BLIND_KINDS,
    PLACE,
    count_noun,
    describe_faults,
    find_nothing,
)
from sentinel.core.bus.naming import Naming
from sentinel.core.bus.pending import ConsumerRoster
from sentinel.core.bus.pending_fault import (
    PendingCase,
    PendingLimits,
    PendingStanding,
    find_cases,
)
from sentinel.core.fault import Fault, FaultKind, Severity, headline, judge, sort_faults
from sentinel.core.model import Finding, Fold, Impact, Measurement, Row, Section, Term
from sentinel.core.quantity import Bounds, format_duration
from sentinel.probes import (
    Context,
    GroupPatterns,
    Kind,
    Options,
    StreamPatterns,
    faults_of_target,
)
from sentinel.strict.field import Duration
from sentinel.watch.pending import PendingWatch
from sentinel.watch.pending_look import GroupKey, Habits, PendingLook
from sentinel.watch.scope import Scope

WORST = 20


class PendingOptions(Options):
    """Options of `bus_pending`."""

    resource: str | None = Field(None, description="Redis resource that carries the streams")
    streams: StreamPatterns = Field(StreamPatterns(), description="which streams are watched")
    groups: GroupPatterns = Field(GroupPatterns(), description="which consumer groups are judged")
    deadline: Duration = Field(
        60.0, gt=0, description="overdue: not acknowledged so long after publishing"
    )
    max_overdue: int = Field(0, ge=0, description="degraded when a group has more overdue entries")
    poison_after: int = Field(
        5,
        ge=1,
        lt=1000,
        description="poison: delivered more often; must exceed the restarts of a consumer",
    )
    block: Duration = Field(5.0, gt=0, description="the longest blocking read of a consumer")
    handler_time: Duration = Field(
        60.0, gt=0, description="the longest time a handler works on one entry"
    )
    dead_after: Duration | None = Field(
        None,
        description=(
            "a consumer that holds entries and is silent for longer is dead; default 3 × (block +"
            " handler)"
        ),
    )
    known_consumers: list[str] = Field(
        ["*"], min_length=1, description="glob patterns of expected consumer names"
    )
    ghost_after: Duration = Field(
        86400.0, gt=0, description="a consumer that holds nothing is a ghost after so long"
    )
    max_ghosts: int = Field(
        100, ge=0, description="degraded when a group has more ghosts: consumer names leak"
    )
    dead_letter: str = Field(
        "dead_letter_queue", description="stream that the shown cure moves poison to"
    )
    consumers_every: int = Field(
        6, ge=1, description="list the consumers of quiet or large groups every so many runs"
    )
    max_streams: int = Field(1000, ge=1, description="watch at most so many streams")
    streams_per_run: int = Field(
        250,
        ge=2,
        description=(
            "look at so many streams a run, first where something pends, at the others in turn"
        ),
    )

    @model_validator(mode="after")
    def _check_patience(self) -> PendingOptions:
        if self.dead_after is not None and self.dead_after <= self.block + self.handler_time:
            raise ValueError(
                "dead_after must exceed block + handler_time: a busy consumer is silent for so long"
            )
        return self

    @property
    def limits(self) -> PendingLimits:
        """What is tolerated."""
        return PendingLimits(
            deadline=self.deadline,
            max_overdue=self.max_overdue,
            poison_after=self.poison_after,
            min_idle=self.handler_time,
            dead_after=self.dead_after or 3 * (self.block + self.handler_time),
            ghost_after=self.ghost_after,
            max_ghosts=self.max_ghosts,
            dead_letter=self.dead_letter,
        )

    @property
    def scope(self) -> Scope:
        """What is watched."""
        streams, groups = self.streams, self.groups
        limits = self.max_streams, self.streams_per_run
        return Scope(streams.include, streams.exclude, groups.include, groups.exclude, *limits)

    @property
    def naming(self) -> Naming:
        """Labels: patterns where there are any."""
        return Naming(self.streams.include, self.groups.include)


class PendingState:
    """Cursors, redelivered entries and totals; made at the first run."""

    def __init__(self, document: Any = None) -> None:
        self.watch = PendingWatch.load(document) if document else PendingWatch()

    def dump(self) -> Any:
        """JSON-able document."""
        return self.watch.dump()

    async def close(self) -> None:
        """Nothing is held open."""


async def run(options: PendingOptions, context: Context) -> Finding:
    """Look at every group once, name what is wrong."""
    watch: PendingWatch = context.state.watch
    limits = options.limits
    habits = Habits(options.known_consumers, options.consumers_every)
    look = await watch.look(context.redis(), options.scope, options.naming, limits, habits)
    cases = [*find_cases(look.standings, limits), *look.crowded]
    faults = _list_faults(look, cases)
    pending = sum(each.pending for each in look.standings)
    return Finding(
        status=judge(faults),
        detail=describe(look, faults, pending),
        rows=[
            *_rows(options, watch, look.standings),
            Row({}, {"pending_width_seconds": look.width}),
        ],
        evidence=_show(watch, look, cases),
        guidance=faults[0].guidance if faults else "",
        key=("pending", f"{pending:,}"),
        faults=faults,
    )


def _list_faults(look: PendingLook, cases: Sequence[PendingCase]) -> list[Fault]:
    """What is wrong, then what can't be judged."""
    nothing = [] if look.standings else [find_nothing()]
    return sort_faults([*(case.fault for case in cases), *look.unjudged, *nothing])


# -- words ----------------------------------------------------------------------------------------


def describe(look: PendingLook, faults: Sequence[Fault], pending: int) -> str:
    """One line: the worst fault, then the figures of all groups."""
    news = [headline(faults)] if faults else []
    if not look.standings:
        return "; ".join(news)
    ages = [each.oldest for each in look.standings if each.oldest is not None]
    oldest = f", the oldest for {format_duration(max(ages))}" if ages else ""
    groups = count_noun(len(look.standings), "group")
    return "; ".join([*news, f"in all: {pending:,} pending in {groups}{oldest}"])


def _show(
    watch: PendingWatch, look: PendingLook, cases: Sequence[PendingCase]
) -> Mapping[str, Any]:
    """For the evidence: samples of the worst faults, and what the figures rest on."""
    return {
        "faults": [case.describe() for case in cases[:WORST]],
        "more_faults": max(0, len(cases) - WORST),
        "not_judged": describe_faults(look.unjudged, WORST),
        "delivery_counts": [_describe_coverage(each) for each in _worst_covered(look.standings)],
        "redelivered": {
            "total": sum(watch.redeliveries.values()),
            "basis": (
                "a lower bound: entries acknowledged between two runs take their count with them"
            ),
        },
        "poll": {
            "streams": look.known,
            "read": look.read,
            "width_seconds": round(look.width, 3),
        },
        "atomic": watch.atomic,
    }


def _worst_covered(standings: Sequence[PendingStanding]) -> list[PendingStanding]:
    partly = [each for each in standings if each.scanned < each.pending]
    return sorted(partly, key=lambda each: each.coverage)[:WORST]


def _describe_coverage(standing: PendingStanding) -> dict[str, Any]:
    return {
        "stream": standing.stream,
        "group": standing.group,
        "pending": standing.pending,
        "read_this_run": standing.scanned,
        "covered_by_passes": round(standing.coverage, 4),
    }


# -- figures --------------------------------------------------------------------------------------


def _rows(
    options: PendingOptions, watch: PendingWatch, standings: Sequence[PendingStanding]
) -> list[Row]:
    members: dict[GroupKey, list[PendingStanding]] = {}
    naming = options.naming
    for standing in standings:
        members.setdefault(watch.label(naming, (standing.stream, standing.group)), []).append(
            standing
        )
    rows = []
    for (stream, group), found in members.items():
        labels = {"stream": stream, "group": group}
        rosters = [each.roster for each in found if each.roster is not None]
        listed = rosters if len(rosters) == len(found) else []
        rows += [Row(labels, {**_gauges(found), **(_roster_gauges(listed) if listed else {})})]
        rows += _consumer_rows(labels, listed) if listed else []
    totals = {label: watch.redeliveries.get(label, 0) for label in [*watch.redeliveries, *members]}
    rows += [
        Row({"stream": s, "group": g}, {"redeliveries_total": float(n)})
        for (s, g), n in totals.items()
    ]
    return rows


def _gauges(found: Sequence[PendingStanding]) -> dict[str, float]:
    busy = [each for each in found if each.pending]
    return {
        "pending_entries": float(sum(each.pending for each in busy)),
        "pending_payload_missing_entries": _sum(each.missing for each in busy),
        "poison_entries": _sum(each.poison for each in busy),
        "redelivered_entries": _sum(each.redelivered for each in busy),
        "delivery_counts_covered_ratio": min([each.coverage for each in busy], default=1.0),
        "pending_overdue_entries": _sum(each.overdue for each in busy),
        "oldest_pending_age_seconds": max([each.oldest or 0.0 for each in busy], default=0.0),
    }


def _roster_gauges(rosters: Sequence[ConsumerRoster]) -> dict[str, float]:
    """Of groups whose consumers have all been listed."""
    return {
        "pending_dead_consumer_entries": float(
            sum(each.dead_entries for each in rosters if each.dead)
        ),
        "ghost_consumers": float(sum(len(each.ghosts) for each in rosters)),
        "unknown_consumers": float(sum(len(each.unknown) for each in rosters)),
    }


def _sum(counts: Iterable[Bounds]) -> float:
    return float(sum(count.lo for count in counts))


def _consumer_rows(labels: dict[str, str], rosters: Sequence[ConsumerRoster]) -> list[Row]:
    """Consumers by sign of life, of the groups that have been listed."""
    counts = {
        "active": sum(each.active for each in rosters),
        "idle": sum(each.idle for each in rosters),
        "dead": sum(len(each.dead) for each in rosters),
    }
    return [
        Row({**labels, "state": state}, {"consumers": float(count)})
        for state, count in counts.items()
    ]


def _declare(name: str, help_text: str, type_: str = "gauge", unit: str = "entries") -> Measurement:
    return Measurement(name, help_text, f"sentinel_bus_{name}", type_, unit, _GROUP)


def _inform(name: str, help_text: str, unit: str = "entries") -> Measurement:
    """For thresholds only: `bus_delivery` exports the metric, or it is too fine for one."""
    return Measurement(name, help_text, "", "gauge", unit, _GROUP)


_GROUP = ("stream", "group")
_HELD = (*PLACE, "consumer")
FAULTS = (
    FaultKind(
        "overdue", Severity.PAGE, "bus-pending", "pending entries are past the deadline", _HELD
    ),
    FaultKind(
        "dead_consumer", Severity.PAGE, "bus-pending", "a silent consumer holds entries", _HELD
    ),
    FaultKind(
        "payload_missing",
        Severity.TICKET,
        "bus-pending",
        "pending entries whose payload was trimmed: nothing can process them",
        PLACE,
    ),
    FaultKind(
        "poison", Severity.TICKET, "poison-messages", "entries are delivered again and again", PLACE
    ),
    FaultKind(
        "unknown_consumers", Severity.TICKET, "bus-pending", "consumers nobody expects", PLACE
    ),
    FaultKind(
        "ghost_consumers",
        Severity.TICKET,
        "bus-pending",
        "many consumers hold nothing and are long silent: names leak",
        PLACE,
    ),
    FaultKind(
        "too_many_consumers",
        Severity.TICKET,
        "bus-pending",
        "a group has more consumers than can be listed: names leak",
        PLACE,
    ),
    FaultKind("group_missing", Severity.INFO, "bus-pending", "no stream has this group", PLACE),
    *BLIND_KINDS,
    *faults_of_target("bus-unreachable"),
)

KIND = Kind(
    name="bus_pending",
    summary=(
        "Redis Streams: delivered and not acknowledged: overdue, poison, payload gone, dead and"
        " leaked consumers"
    ),
    options=PendingOptions,
    run=run,
    board="bus",
    resources={"resource": "redis"},
    load_state=PendingState,
    patient=True,
    default_every=10.0,
    faults=FAULTS,
    measurements=(
        _inform("pending_entries", "Delivered, not yet acknowledged."),
        _inform(
            "pending_overdue_entries",
            "Pending past the deadline; a lower bound beyond 1000 at both ends.",
        ),
        _inform("oldest_pending_age_seconds", "Age of the oldest unacknowledged entry.", "seconds"),
        _declare(
            "pending_dead_consumer_entries",
            "Pending entries held by consumers that are silent for too long.",
        ),
        _declare(
            "poison_entries", "Pending entries delivered too often, of those whose count was read."
        ),
        _declare(
            "redelivered_entries",
            "Pending entries delivered more than once, of those whose count was read.",
        ),
        _declare("pending_payload_missing_entries", "Pending entries whose payload was trimmed."),
        _declare("redeliveries_total", "Redeliveries seen to happen; a lower bound.", "counter"),
        _inform(
            "delivery_counts_covered_ratio",
            "Share of pending entries whose delivery count was read.",
            "ratio",
        ),
        Measurement(
            "pending_width_seconds",
            "Age of the oldest look at a stream: with many streams they take turns.",
            "sentinel_bus_pending_width_seconds",
            "gauge",
            "seconds",
        ),
        _inform("ghost_consumers", "Consumers that hold nothing and are long silent.", ""),
        _inform("unknown_consumers", "Consumers whose name matches no expected pattern.", ""),
        Measurement(
            "consumers",
            "Consumers by sign of life: dead ones hold entries.",
            "sentinel_bus_consumers",
            "gauge",
            "",
            (*_GROUP, "state"),
        ),
    ),
    impact=(
        Impact(
            "messages redelivered, at least",
            Section.INCIDENT,
            (Term("redeliveries_total", sparse=True),),
            basis="entries acknowledged between two looks take their count with them",
        ),
        Impact(
            "messages held by dead consumers",
            Section.DELIVERY,
            (Term("pending_dead_consumer_entries"),),
            fold=Fold.SUM,
        ),
        Impact(
            "messages delivered too often",
            Section.DELIVERY,
            (Term("poison_entries"),),
            fold=Fold.SUM,
        ),
    ),
)
