"""Places where failed messages end: dead letters and retries in streams, lists and sorted sets.

What the server tells differs by type. A stream knows the age of its oldest entry and counts
everything ever added; a sorted set knows when each entry is due; a list knows its length only,
unless its entries carry a time. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sentinel.core.bus.age import IdMark, find_age
from sentinel.core.bus.arrivals import Arrivals, HeldArrivals
from sentinel.core.bus.delivery.stream import format_id, parse_id
from sentinel.core.moment import read_instant
from sentinel.core.moment.arrival import NewestTime
from sentinel.core.moment.skew import ColumnClock, tell_cure, tell_skew

EARLIEST = 1e9
"""Epoch seconds (the year 2001) below which a number is no time of day."""
LATEST_AHEAD = 10 * 366 * 86400.0
"""A retry is not due in more than ten years: such a score has another unit."""
MIN_SPAN = 30.0
"""Growth is not judged over a shorter time."""
MAX_SAMPLES = 60


@dataclass(frozen=True, slots=True)
class KeyReading:
    """One key of a place. Instants are epoch seconds by the server's clock.

    `added`: everything ever added, where the server counts it. `oldest`: when the oldest entry was
    added, of a sorted set when the earliest is due; None when nothing is there or it can't be
    known. `overdue`: entries due for longer than tolerated, None where nothing is ever due. `ends`:
    ids of the first and last entry. `timed`: else `oldest` is when it was seen first, for ids that
    are no times. `latest`: of entries that carry a time, the latest at either end. `problem`: what
    of this key can't be known, and `remedy`; `read`: False when it could not be read at all.
    """

    key: str
    entries: int = 0
    added: int | None = None
    oldest: float | None = None
    overdue: int | None = None
    ends: tuple[str, ...] = ()
    latest: float | None = None
    problem: str = ""
    remedy: str = ""
    read: bool = True
    timed: bool = True

    @property
    def newest(self) -> float:
        """When the newest entry of a stream was added, as its id says; 0 without one."""
        return int(self.ends[-1].partition("-")[0]) / 1000 if self.ends else 0.0


@dataclass(slots=True)
class PlaceHistory:
    """What is remembered of one place: per key (entries, added), the total added, and the depth
    over a window.
    """

    keys: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    added: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)
    complete: bool = False
    held: dict[str, HeldArrivals] = field(default_factory=dict)
    """Origins of which too much came, and it is still there."""
    firsts: dict[str, IdMark] = field(default_factory=dict)
    """Per stream the first entry, and when it was seen first."""
    looked: float = 0.0

    def date(self, now: float, readings: Sequence[KeyReading]) -> list[KeyReading]:
        """The readings of a look at `now`, those of streams with the age of their oldest entry: by
        its id where that can be a time, else since it was seen first (measurement.md §11.9).
        """
        dated = [self._date(now, reading) if reading.ends else reading for reading in readings]
        filled = {reading.key for reading in readings if reading.ends}
        self.firsts = {key: mark for key, mark in self.firsts.items() if key in filled}
        self.looked = now
        return dated

    def _date(self, now: float, reading: KeyReading) -> KeyReading:
        first, known = parse_id(reading.ends[0]), self.firsts.get(reading.key)
        if known is None or known.id != first:
            was_empty = self.keys.get(reading.key, (1, 0))[0] == 0
            known = self.firsts[reading.key] = IdMark(first, now, self.looked if was_empty else 0.0)
        age = find_age(first, now, [known])
        if age is None:
            return reading
        return replace(reading, oldest=now - age.seconds, timed=age.timed)

    def take(
        self,
        now: float,
        readings: Sequence[KeyReading],
        window: float,
        *,
        complete: bool,
        whole: bool,
    ) -> None:
        """Take in one look at `now`. `complete`: the discovery of keys just ended, so that others
        are gone; `whole`: every known key was read, so that the depth is right."""
        for reading in readings:
            if reading.read:
                self.added += self._count_added(reading)
                self.keys[reading.key] = (reading.entries, reading.added)
        if complete:
            seen = {reading.key for reading in readings}
            self.keys = {key: known for key, known in self.keys.items() if key in seen}
        self.complete = self.complete or complete
        if whole:
            self._sample(now, sum(reading.entries for reading in readings), window)

    def _count_added(self, reading: KeyReading) -> int:
        """At least so many were added since the last look. What was there at the first look is not
        counted.
        """
        known = self.keys.get(reading.key)
        if known is None:
            return (
                (reading.entries if reading.added is None else reading.added)
                if self.complete
                else 0
            )
        entries, added = known
        if reading.added is None or added is None:
            return max(0, reading.entries - entries)
        return reading.added - added if reading.added >= added else reading.added

    def _sample(self, now: float, entries: int, window: float) -> None:
        self.samples = [(at, depth) for at, depth in self.samples if now - window <= at < now]
        if len(self.samples) >= MAX_SAMPLES:
            self.samples = self.samples[:1] + self.samples[2::2]
        self.samples.append((now, entries))

    def find_growth(self) -> float | None:
        """Entries per minute by which the place grew over the window; None while it is too short to
        tell.
        """
        if not self.samples:
            return None
        (begin, before), (end, after) = self.samples[0], self.samples[-1]
        return (after - before) / (end - begin) * 60 if end - begin >= MIN_SPAN else None

    def dump(self) -> list[Any]:
        """JSON-able document."""
        keys = {key: list(known) for key, known in self.keys.items()}
        held = {origin: list(asdict(each).values()) for origin, each in self.held.items()}
        samples = [list(sample) for sample in self.samples]
        firsts = {k: [format_id(each.id), each.at, each.after] for k, each in self.firsts.items()}
        dates = [firsts, self.looked] if self.looked else []
        more = [held, *dates] if held or dates else []
        return [keys, self.added, samples, self.complete, *more]

    @classmethod
    def load(cls, document: Sequence[Any]) -> PlaceHistory:
        """What `dump` gave; before arrivals were held it had four parts, before first entries were
        dated five.
        """
        keys, added, samples, complete, *rest = document
        known = {key: (entries, total) for key, (entries, total) in keys.items()}
        held = {origin: HeldArrivals(*each) for origin, each in (rest[0] if rest else {}).items()}
        marks, looked = rest[1:] or ({}, 0.0)
        firsts = {key: IdMark(parse_id(first), *times) for key, (first, *times) in marks.items()}
        depths = [(at, depth) for at, depth in samples]
        return cls(known, added, depths, complete, held, firsts, looked)


@dataclass(frozen=True, slots=True)
class PlaceLimits:
    """What is tolerated in one place; None: anything. Seconds; growth in entries per minute,
    arrivals in entries from one origin.
    """

    max_entries: int | None
    max_age: float | None
    max_overdue: int | None
    max_growth: float | None
    max_arrivals: int | None = None
    growth_window: float = 300.0


@dataclass(frozen=True, slots=True)
class PlaceStanding:
    """One place now: sums over its keys. `growth` in entries per minute; `arrivals` None where
    nobody asked for them, `held` by origin what came before and is still there.
    """

    name: str
    type: str
    readings: Sequence[KeyReading]
    now: float
    added: int
    growth: float | None
    arrivals: Arrivals | None = None
    held: Mapping[str, HeldArrivals] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether every key could be read."""
        return all(reading.read for reading in self.readings)

    @property
    def added_exact(self) -> bool:
        """Whether the server itself counts what is added."""
        return bool(self.readings) and all(reading.added is not None for reading in self.readings)

    @property
    def entries(self) -> int:
        """Entries of all keys that could be read."""
        return sum(reading.entries for reading in self.readings)

    @property
    def age(self) -> float | None:
        """Seconds: of the oldest entry, of a sorted set how long the earliest is past due. None
        when not known.
        """
        times = [
            reading.oldest
            for reading in self.readings
            if reading.entries and reading.oldest is not None
        ]
        if times:
            return max(0.0, self.now - min(times))
        return None if self.entries else 0.0

    @property
    def timed(self) -> bool:
        """Whether the age is that of the oldest entry; else it is at least so old."""
        return all(reading.timed for reading in self.readings if reading.entries)

    @property
    def overdue(self) -> int | None:
        """Entries that are due for longer than tolerated."""
        counts = [reading.overdue for reading in self.readings if reading.overdue is not None]
        return sum(counts) if counts or not self.readings else None


def read_time(raw: bytes, path: str, zone: str = "UTC") -> float | None:
    """Epoch seconds at a dotted path of a JSON entry; None when there is none.

    Takes epoch seconds, epoch milliseconds and ISO 8601; a text without an offset is of `zone`.
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return read_instant(value, zone)


def screen_times(
    reading: KeyReading, watch: NewestTime, clock: ColumnClock, now: float
) -> KeyReading:
    """The same, without its age where the times of its entries are of another zone or clock:
    they lie ahead, or a new one came old by quarters of an hour.
    """
    off = watch.see(reading.latest, now, clock.zone)
    if off is None or reading.problem:
        return reading
    problem, remedy = tell_skew(clock, off, now), tell_cure(clock)
    return replace(reading, oldest=None, problem=problem, remedy=remedy)
