"""Roll-ups: the totals that incidents are counted from, written when one of them has moved.

A stretch in which nothing moved is two readings, its first and its last, so that whoever looks for
the reading before or after an instant finds what stood then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sentinel.core.model import Row, Section, Term
from sentinel.engine.picture import Picture, WatchedCheck
from sentinel.store import LOOK_DURATION, ROLLED_UP_WITHIN, Sample

DURATION_EVERY = 300.0
DURATIONS_A_DAY = 20_000
"""Rows of all checks together: the totals that incidents are counted from share the room."""

Series = tuple[str, tuple[tuple[str, str], ...]]
Totals = Mapping[Series, float]

_OF_THE_PAST = (Section.INCIDENT, Section.POSITION)


def find_totals(watched: WatchedCheck) -> Totals:
    """The latest totals of a check by measurement and labels, as far as its kind counts the cost of
    an incident from them, or tells how far a log was; reports read no others of the past. A
    measurement that counts other things only is there with no labels, at 0: it was looked at.
    """
    found: dict[Series, float] = {}
    for impact in watched.kind.impact:
        if impact.section in _OF_THE_PAST and watched.finding is not None:
            for term in impact.terms:
                found |= _read_term(term, watched.finding.rows)
    return found


def _read_term(term: Term, rows: Sequence[Row]) -> dict[Series, float]:
    name, found, measured = term.measurement, dict[Series, float](), False
    for row in rows:
        value = row.values.get(name)
        if isinstance(value, int | float):
            measured = True
            if term.fits(row.labels):
                found[name, tuple(row.labels.items())] = float(value)
    return found or ({(name, ()): 0.0} if measured else {})


def find_trends(watched: WatchedCheck) -> Totals:
    """The largest value of each figure that reports draw as a curve."""
    found: dict[Series, float] = {}
    for impact in watched.kind.impact:
        if impact.trend and watched.finding is not None:
            name = impact.certain[0].measurement
            values = [
                value
                for row in watched.finding.rows
                if isinstance(value := row.values.get(name), int | float)
            ]
            found |= {(name, ()): float(max(values))} if values else {}
    return found


@dataclass(slots=True)
class _Stretch:
    """Totals since when they have not moved, until when that was seen, and the reading that was
    written last.
    """

    totals: Totals
    seen: datetime
    written: datetime

    def read(self, check: str) -> list[Sample]:
        """As they stood when they were seen last; a later one is written."""
        self.written = self.seen
        return [
            Sample(self.seen, check, name, dict(labels), value)
            for (name, labels), value in self.totals.items()
        ]


@dataclass(slots=True)
class RollUps:
    """What was written of each check."""

    picture: Picture
    _stretches: dict[str, _Stretch] = field(default_factory=dict)

    def take(self) -> list[Sample]:
        """The readings that are to be written now."""
        now, found = self.picture.utcnow(), list[Sample]()
        known, self._stretches = self._stretches, {}
        for watched in self.picture.watched():
            name, totals = watched.check.name, find_totals(watched)
            before = known.get(name)
            if totals:
                found += self._follow(name, totals, before, now)
            elif before is not None:  # it could not look: what stood then may stand still
                self._stretches[name] = before
            found += [
                Sample(now, name, measurement, {}, value)
                for (measurement, _), value in find_trends(watched).items()
            ]
        return found

    def _follow(
        self, name: str, totals: Totals, before: _Stretch | None, now: datetime
    ) -> list[Sample]:
        if before is not None and before.totals == totals:
            self._stretches[name], before.seen = before, now
            is_due = not timedelta() <= now - before.written < ROLLED_UP_WITHIN
            return before.read(name) if is_due else []
        ended = before.read(name) if before is not None and before.seen > before.written else []
        begun = self._stretches[name] = _Stretch(totals, now, now)
        return ended + begun.read(name)

    def end(self) -> list[Sample]:
        """The last readings that are not written yet, before sentinel ends."""
        open_ones = self._stretches.items()
        return [
            sample
            for name, each in open_ones
            if each.seen > each.written
            for sample in each.read(name)
        ]


@dataclass(slots=True)
class LookDurations:
    """How long the latest look of each check took, now and then, for the curve on its page."""

    picture: Picture
    _due: datetime | None = None

    def take(self) -> list[Sample]:
        """The readings that are to be written now: the more checks, the rarer."""
        now, watched = self.picture.utcnow(), self.picture.watched()
        if self._due is not None and now < self._due <= now + self._pause(len(watched)):
            return []
        self._due = now + self._pause(len(watched))
        return [
            Sample(now, each.check.name, LOOK_DURATION, {}, each.result.duration)
            for each in watched
            if each.result is not None
        ]

    @staticmethod
    def _pause(checks: int) -> timedelta:
        """A clock that was set back must not silence it for longer."""
        return timedelta(seconds=max(DURATION_EVERY, checks * 86400 / DURATIONS_A_DAY))
