"""Kind `bus_ledger`: what waits in dead-letter and retry places, since when, and is it growing?

An acknowledgement may mean that a handler failed and put the message elsewhere (platforms.md R1):
so the elsewhere is counted. `added_total` is exact for streams on Redis 7.0 and Valkey, and a lower
bound for lists and sorted sets: what came and went between two runs is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sentinel.adapters.bus import place_reader
from sentinel.adapters.bus.place_reader import (
    MAX_KEYS,
    KeyScan,
    find_keys,
    read_arrivals,
    read_clock,
    read_keys,
)
from sentinel.adapters.redis import RedisClient
from sentinel.core.bus.arrivals import hold_arrivals
from sentinel.core.bus.dead_letter import (
    KeyReading,
    PlaceHistory,
    PlaceLimits,
    PlaceStanding,
    screen_times,
)
from sentinel.core.bus.ledger_finding import LEDGER_KINDS, find_place_faults, suggest_look
from sentinel.core.fault import Fault, Status, headline, judge, sort_faults
from sentinel.core.model import Finding, Fold, Impact, Measurement, Row, Section, Term
from sentinel.core.moment.arrival import NewestTime
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.core.quantity import format_duration
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, Zone

MAX_SHOWN = 10


class LedgerPlace(Options):
    """One dead-letter or retry place."""

    name: str = Field(min_length=1, description="name of the place; a metric label")
    type: Literal["stream", "list", "zset"] = Field(
        description="type of the key; zset: the score is the due time"
    )
    key: str = Field(min_length=1, description="key, or glob pattern of keys")
    required: bool = Field(
        False, description="unknown when no such key exists; else that means empty"
    )
    max_entries: int | None = Field(
        100, ge=0, description="degraded with more entries; null: any number"
    )
    max_age: Duration | None = Field(
        None,
        gt=0,
        description=(
            "degraded when the oldest entry is older; zset: when the earliest is due for longer"
        ),
    )
    overdue_after: Duration = Field(
        60.0, description="zset: an entry is overdue so long after it is due"
    )
    max_overdue: int | None = Field(
        0, ge=0, description="zset: degraded with more overdue entries; null: any number"
    )
    max_growth: float | None = Field(
        None, ge=0, description="degraded when it grows by more entries per minute"
    )
    score: Literal["seconds", "milliseconds"] = Field(
        "seconds", description="zset: unit of the score, since 1970"
    )
    time_field: str | None = Field(
        None,
        min_length=1,
        description="list: dotted path to a time in the JSON of an entry; without it no age",
    )
    zone: Zone | None = Field(
        None,
        description="list: zone of times without an offset, such as Europe/Athens; default: UTC",
    )

    max_arrivals: int | None = Field(
        None,
        ge=0,
        description="stream: degraded when more entries come from one origin within arrivals_within",
    )
    arrivals_within: Duration = Field(
        60.0, gt=0, description="stream: the time over which arrivals are counted"
    )
    origin: str | None = Field(
        None,
        min_length=1,
        description="stream: dotted path to the stream that an entry came from, into JSON, too",
    )

    @model_validator(mode="after")
    def _arrivals_are_of_streams(self) -> LedgerPlace:
        if self.type != "stream" and (self.max_arrivals is not None or self.origin):
            raise ValueError(f"a {self.type} does not tell what came when: only a stream does")
        if self.origin and self.max_arrivals is None:
            raise ValueError("origin names who sent what arrives: give max_arrivals, too")
        if self.zone and not (self.type == "list" and self.time_field):
            raise ValueError("zone is of the times of a list: give time_field, or leave it out")
        return self

    @property
    def clock(self) -> ColumnClock:
        """By which clock the times of entries are read."""
        place = f"{self.time_field} in {self.key}"
        if self.zone is None:
            return ColumnClock(place, Basis.ASSUMED, source="texts without an offset")
        return ColumnClock(place, Basis.DECLARED, self.zone, source="`zone:` of the place")

    @property
    def target(self) -> place_reader.WatchedPlace:
        """What to read."""
        return place_reader.WatchedPlace(
            self.name,
            self.type,
            self.key,
            unit=1000.0 if self.score == "milliseconds" else 1.0,
            tolerance=self.overdue_after,
            time_field=self.time_field or "",
            zone=self.zone or "UTC",
            origin=self.origin or "",
            arrivals_within=None if self.max_arrivals is None else self.arrivals_within,
        )

    @property
    def limits(self) -> PlaceLimits:
        """What is tolerated."""
        return PlaceLimits(
            self.max_entries, self.max_age, self.max_overdue, self.max_growth, self.max_arrivals
        )

    def limits_over(self, growth_window: float) -> PlaceLimits:
        """The same, growth taken over so many seconds."""
        return replace(self.limits, growth_window=growth_window)


class LedgerOptions(Options):
    """Options of `bus_ledger`."""

    resource: str | None = Field(None, description="Redis resource that carries the places")
    places: list[LedgerPlace] = Field(
        min_length=1,
        max_length=50,
        description="dead-letter and retry places",
        examples=['[{name: dead, type: stream, key: "dead:*"}]'],
    )
    growth_window: Duration = Field(
        300.0, ge=60, description="growth per minute is taken over this time"
    )

    @field_validator("places")
    @classmethod
    def _check_names(cls, places: list[LedgerPlace]) -> list[LedgerPlace]:
        names = [place.name for place in places]
        if len(set(names)) < len(names):
            raise ValueError("two places have the same name")
        return places


class LedgerState:
    """History of each place by name; the discovery of keys, and what is known of the times of their
    entries, begin anew after a restart.
    """

    def __init__(self, document: Any = None) -> None:
        self.histories = {
            name: PlaceHistory.load(found) for name, found in (document or {}).items()
        }
        self.scans: dict[tuple[str, str, str], KeyScan] = {}
        self.newest: dict[tuple[str, str], NewestTime] = {}

    def dump(self) -> Any:
        """JSON-able document."""
        return {name: history.dump() for name, history in self.histories.items()}

    async def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class PlaceSight:
    """One place as it was read. `blind`: what can't be known of it, with the remedy."""

    place: LedgerPlace
    standing: PlaceStanding
    blind: Sequence[tuple[str, str]]
    limits: PlaceLimits

    @property
    def faults(self) -> list[Fault]:
        """The limits that it passes, and what can't be known."""
        return find_place_faults(self.standing, self.limits, self.blind)

    @property
    def status(self) -> Status:
        """degraded: a limit is passed; unknown: something can't be read."""
        return judge(self.faults)


async def run(options: LedgerOptions, context: Context) -> Finding:
    """Look at every place once, judge each."""
    client, state = context.redis(), context.state
    now = await read_clock(client)
    sights = [
        await _look(place, client, state, now, options.growth_window) for place in options.places
    ]
    ordered = sorted(sights, key=lambda sight: -sight.status.rank)
    faults = sort_faults(fault for sight in ordered for fault in sight.faults)
    entries = sum(sight.standing.entries for sight in sights)
    return Finding(
        status=judge(faults),
        detail=_describe(faults, sights),
        rows=[_row(sight.standing) for sight in sights],
        evidence={"places": [_show(sight) for sight in ordered]},
        guidance=faults[0].guidance if faults else "",
        key=("dead letters and retries", f"{entries:,}"),
        faults=faults,
    )


async def _look(
    place: LedgerPlace, client: RedisClient, state: LedgerState, now: float, window: float
) -> PlaceSight:
    """Read a place and take it into its history."""
    target = place.target
    scan = state.scans.setdefault((place.name, place.type, place.key), KeyScan())
    keys, complete = await find_keys(client, target, scan)
    readings = await read_keys(client, target, keys[:MAX_KEYS], now)
    readings = [_screen(place, state, each, now) for each in readings]
    history = state.histories.setdefault(place.name, PlaceHistory())
    readings = history.date(now, readings)
    found_all = scan.passes > 0 or not target.is_pattern
    if len(keys) > MAX_KEYS:
        complete = history.complete = False
    whole = found_all and all(reading.read for reading in readings)
    history.take(now, readings, window, complete=complete, whole=whole)
    blind = _find_blind(place, readings, len(keys), found_all=found_all)
    arrivals = None
    try:
        arrivals = await read_arrivals(client, target, keys[:MAX_KEYS], readings, now)
    except (SubjectError, NotMeasurable) as error:
        blind.append((f"arrivals: {error.message}", error.guidance))
    filled = [(reading.entries, reading.ends) for reading in readings if reading.ends]
    history.held = hold_arrivals(history.held, arrivals, place.max_arrivals, filled, now)
    growth = history.find_growth()
    standing = PlaceStanding(
        place.name, place.type, readings, now, history.added, growth, arrivals, history.held
    )
    return PlaceSight(place, standing, blind, place.limits_over(window))


def _screen(place: LedgerPlace, state: LedgerState, reading: KeyReading, now: float) -> KeyReading:
    """Times of entries that are of another zone tell no age."""
    if not place.time_field:
        return reading
    watch = state.newest.setdefault((place.name, reading.key), NewestTime())
    return screen_times(reading, watch, place.clock, now)


def _find_blind(
    place: LedgerPlace, readings: Sequence[KeyReading], count: int, *, found_all: bool
) -> list[tuple[str, str]]:
    """What can't be known of a place: (problem, remedy) each."""
    troubled = (each for each in readings if each.problem)
    blind = [(f"{each.key}: {each.problem}", each.remedy) for each in troubled]
    if not found_all:
        remedy = "wait: a large keyspace takes several runs"
        blind.append((f"still looking for keys like {place.key}", remedy))
    if count > MAX_KEYS:
        problem = f"more than {MAX_KEYS:,} keys match {place.key}, the rest is not read"
        blind.append((problem, "narrow the pattern"))
    if place.required and not any(each.entries or each.problem for each in readings):
        remedy = "correct the key, or required: false where an empty place has no key"
        blind.append((f"no key {place.key}", remedy))
    return blind


# -- words ----------------------------------------------------------------------------------------


def _describe(faults: Sequence[Fault], sights: Sequence[PlaceSight]) -> str:
    """One line: the worst fault, then how much waits in each place."""
    news = [headline(faults)] if faults else []
    return "; ".join([*news, *(_describe_place(sight.standing) for sight in sights)])


def _describe_place(standing: PlaceStanding) -> str:
    least = "" if standing.known else "at least "
    return f"{standing.name}: {least}{standing.entries:,}{_describe_age(standing)}"


def _describe_age(standing: PlaceStanding) -> str:
    if not standing.entries or not standing.age:
        return ""
    return (
        f", {'past due for' if standing.type == 'zset' else 'oldest'}"
        f" {'' if standing.timed else 'at least '}{format_duration(standing.age)}"
    )


def _show(sight: PlaceSight) -> dict[str, Any]:
    """For the evidence: figures and ids, never a content."""
    standing = sight.standing
    fullest = sorted(
        (r for r in standing.readings if r.entries), key=lambda reading: -reading.entries
    )
    return {
        "place": standing.name,
        "type": standing.type,
        "key": sight.place.key,
        "status": sight.status.value,
        "entries": standing.entries,
        "oldest_age_seconds": standing.age,
        "overdue": standing.overdue,
        "growth_per_minute": standing.growth,
        "arrivals": standing.arrivals.describe() if standing.arrivals else None,
        "added": standing.added,
        "added_is_exact": standing.added_exact,
        "passed": [fault.text for fault in sight.faults if fault.status is Status.DEGRADED],
        "not_known": [
            {"problem": problem, "remedy": remedy} for problem, remedy in sight.blind[:MAX_SHOWN]
        ],
        "keys": [
            {"key": r.key, "entries": r.entries, "ids": list(r.ends)} for r in fullest[:MAX_SHOWN]
        ],
        "look": list(suggest_look(standing)) if standing.entries else [],
    }


def _row(standing: PlaceStanding) -> Row:
    values = {
        "entries": float(standing.entries) if standing.known else None,
        "added_total": float(standing.added),
        "oldest_age_seconds": standing.age if standing.known else None,
        "overdue_entries": None if standing.overdue is None else float(standing.overdue),
        "growth_per_minute": standing.growth,
    }
    return Row(
        {"place": standing.name},
        {name: value for name, value in values.items() if value is not None},
    )


def _declare(name: str, help_text: str, type_: str = "gauge", unit: str = "entries") -> Measurement:
    return Measurement(name, help_text, f"sentinel_bus_ledger_{name}", type_, unit, ("place",))


KIND = Kind(
    name="bus_ledger",
    summary=(
        "Dead-letter and retry places (streams, lists, sorted sets): depth, oldest, overdue, growth;"
        " which streams dead letters come from"
    ),
    options=LedgerOptions,
    run=run,
    board="bus",
    resources={"resource": "redis"},
    load_state=LedgerState,
    patient=True,
    faults=(*LEDGER_KINDS, *faults_of_target("bus-unreachable")),
    default_every=10.0,
    measurements=(
        _declare("entries", "Entries in the place."),
        _declare(
            "oldest_age_seconds",
            "Age of the oldest entry; of a sorted set: how long the earliest is due.",
            unit="seconds",
        ),
        _declare(
            "overdue_entries", "Entries of a sorted set that are due for longer than tolerated."
        ),
        _declare(
            "added_total",
            "Entries added since the watch began; a lower bound but for streams.",
            "counter",
        ),
        Measurement(
            "growth_per_minute", "Entries per minute over the window.", "", "gauge", "", ("place",)
        ),
    ),
    impact=(
        Impact(
            "entries added to dead-letter and retry places, at least",
            Section.INCIDENT,
            (Term("added_total"),),
        ),
        Impact(
            "entries in dead-letter and retry places",
            Section.DELIVERY,
            (Term("entries"),),
            fold=Fold.SUM,
        ),
    ),
)
