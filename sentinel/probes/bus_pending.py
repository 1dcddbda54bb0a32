"""Kind `bus_pending`: what was delivered and never acknowledged, why, and the command that would
cure it.

Overdue and payload gone are exact, or "… or more" when neither end of the list is within reach of a
page. Delivery counts are read page by page: the share covered is said. Redeliveries of entries
acknowledged between two runs are never seen, so `redeliveries_total` is a lower bound
(measurement.md §1.7). Nothing is ever claimed, acknowledged or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field, model_validator

from sentinel.core.bus.naming import Naming
from sentinel.core.bus.pending import NO_ENTRIES, Count, Roster
from sentinel.core.bus.pending_fault import Fault, Limits, Standing, find_faults
from sentinel.core.fault import Status
from sentinel.core.model import Finding, Measurement, Row
from sentinel.core.quantity import format_duration
from sentinel.probes import Context, GroupPatterns, Kind, Options, StreamPatterns
from sentinel.strict.field import Duration
from sentinel.watch.pending import GroupKey, Habits, Look, PendingWatch
from sentinel.watch.scope import Scope, Trouble

WORST = 20
ORDER = (
    "payload_missing",
    "poison",
    "dead_consumer",
    "overdue",
    "unknown_consumers",
    "ghost_consumers",
)


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
    def limits(self) -> Limits:
        """What is tolerated."""
        return Limits(
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
    faults = sorted(
        (
            fault
            for standing in look.standings
            if not standing.calm
            for fault in find_faults(standing, limits)
        ),
        key=lambda fault: (ORDER.index(fault.kind), -fault.count.n),
    )
    status = judge(look, faults)
    pending = sum(each.pending for each in look.standings)
    return Finding(
        status=status,
        detail=describe(look, faults, pending),
        rows=[
            *_rows(options, watch, look.standings),
            Row({}, {"pending_width_seconds": look.width}),
        ],
        evidence={
            "faults": [fault.describe() for fault in faults[:WORST]],
            "more_faults": max(0, len(faults) - WORST),
            "troubles": [_describe_trouble(trouble) for trouble in look.troubles[:WORST]],
            "delivery_counts": [
                _describe_coverage(each) for each in _worst_covered(look.standings)
            ],
            "redelivered": {
                "total": sum(watch.redeliveries.values()),
                "basis": (
                    "a lower bound: entries acknowledged between two runs take their count with"
                    " them"
                ),
            },
            "poll": {
                "streams": look.known,
                "read": look.read,
                "width_seconds": round(look.width, 3),
            },
            "atomic": watch.atomic,
        },
        guidance=_guide(status, faults, look.troubles),
        key=("pending", f"{pending:,}"),
    )


# -- judgement ------------------------------------------------------------------------------------


def judge(look: Look, faults: Sequence[Fault]) -> Status:
    """degraded: entries are stuck or consumers leak; unknown: something can't be judged, or there
    is nothing.
    """
    if faults or any(trouble.fault for trouble in look.troubles):
        return Status.DEGRADED
    if look.troubles or not look.standings:
        return Status.UNKNOWN
    return Status.UP


# -- words ----------------------------------------------------------------------------------------


def describe(look: Look, faults: Sequence[Fault], pending: int) -> str:
    """One line: the worst faults first, then what can't be judged, then the figures."""
    news = [f"{fault.stream} {fault.group}: {fault.text}" for fault in faults[:2]]
    news += [f"{len(faults) - 2} more faults"] if len(faults) > 2 else []
    news += [f"{trouble.subject}: {trouble.problem}" for trouble in look.troubles[:1]]
    news += [f"{len(look.troubles) - 1} more subjects not judged"] if len(look.troubles) > 1 else []
    if not look.standings:
        return "; ".join([*news, "no stream with a group matches: nothing to measure"])
    ages = [each.oldest for each in look.standings if each.oldest is not None]
    oldest = f", oldest {format_duration(max(ages))}" if ages else ""
    groups = len(look.standings)
    return "; ".join(
        [*news, f"{pending:,} pending in {groups:,} group{'s' * (groups != 1)}{oldest}"]
    )


def _guide(status: Status, faults: Sequence[Fault], troubles: Sequence[Trouble]) -> str:
    if status is Status.UP:
        return ""
    if faults:
        return faults[0].cure
    return troubles[0].remedy if troubles else "correct streams.include, or create the group"


def _describe_trouble(trouble: Trouble) -> dict[str, str]:
    return {"subject": trouble.subject, "problem": trouble.problem, "remedy": trouble.remedy}


def _worst_covered(standings: Sequence[Standing]) -> list[Standing]:
    partly = [each for each in standings if each.scanned < each.pending]
    return sorted(partly, key=lambda each: each.coverage)[:WORST]


def _describe_coverage(standing: Standing) -> dict[str, Any]:
    return {
        "stream": standing.stream,
        "group": standing.group,
        "pending": standing.pending,
        "read_this_run": standing.scanned,
        "covered_by_passes": round(standing.coverage, 4),
    }


# -- figures --------------------------------------------------------------------------------------


def _rows(options: PendingOptions, watch: PendingWatch, standings: Sequence[Standing]) -> list[Row]:
    members: dict[GroupKey, list[Standing]] = {}
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


def _gauges(found: Sequence[Standing]) -> dict[str, float]:
    busy = [each for each in found if each.pending]
    values = {
        "pending_entries": float(sum(each.pending for each in busy)),
        "pending_payload_missing_entries": _sum(each.missing for each in busy),
        "poison_entries": _sum(each.poison for each in busy),
        "redelivered_entries": _sum(each.redelivered for each in busy),
        "delivery_counts_covered_ratio": min([each.coverage for each in busy], default=1.0),
    }
    if all(each.overdue is not None for each in busy):
        values["pending_overdue_entries"] = _sum(each.overdue or NO_ENTRIES for each in busy)
        values["oldest_pending_age_seconds"] = max(
            [each.oldest or 0.0 for each in busy], default=0.0
        )
    return values


def _roster_gauges(rosters: Sequence[Roster]) -> dict[str, float]:
    """Of groups whose consumers have all been listed."""
    return {
        "pending_dead_consumer_entries": float(
            sum(each.dead_entries for each in rosters if each.dead)
        ),
        "ghost_consumers": float(sum(len(each.ghosts) for each in rosters)),
        "unknown_consumers": float(sum(len(each.unknown) for each in rosters)),
    }


def _sum(counts: Iterable[Count]) -> float:
    return float(sum(count.n for count in counts))


def _consumer_rows(labels: dict[str, str], rosters: Sequence[Roster]) -> list[Row]:
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

KIND = Kind(
    name="bus_pending",
    summary=(
        "Redis Streams: delivered and not acknowledged: overdue, poison, payload gone, dead and"
        " leaked consumers"
    ),
    options=PendingOptions,
    run=run,
    resources={"resource": "redis"},
    load_state=PendingState,
    default_every=10.0,
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
)
