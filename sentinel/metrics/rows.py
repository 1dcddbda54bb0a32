"""The latest rows of every check as series.

Gauges of a check that failed are removed, not frozen; counters and histograms stay and never go
back. Rows are only kept when they come; a scrape compares them with the series that there are, so
that a check which runs more often than it is scraped costs no more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeGuard

from sentinel.core.fault import Labels
from sentinel.core.model import Finding, Histogram, Measurement, Row
from sentinel.metrics.family import WHOLE, Distribution, FigureFamily, Series
from sentinel.metrics.text import are_names_valid, list_sample_names, write_number

EXACT = 2**53
"""Whole numbers below are floats without loss."""
SETTLED = 250
"""Figures that are compared between two rests: a quarter of a millisecond."""
Key = tuple[str, ...]
_NOTHING: Mapping[str, Measurement] = {}


@dataclass(slots=True)
class _Place:
    """A row as it came last: its labels, and the series of its figures (None: not exported). Rows
    mostly come in one order, and then nothing has to be looked up.
    """

    labels: Labels
    series: dict[str, Series | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Shown:
    """A check: what it declares, its rows that no scrape has seen yet, and its series by metric and
    labels. `keeps`: it failed, so what it counted before stays beside those rows. `steady`: its
    series are those of its places, no more and no less.
    """

    name: str
    measurements: Sequence[Measurement] = ()
    declared: Mapping[str, Measurement] = field(default_factory=lambda: _NOTHING)
    counted: frozenset[str] = frozenset()
    """The declared figures that are no gauges."""
    rows: Sequence[Row] | None = None
    keeps: bool = False
    steady: bool = False
    series: dict[Key, Series] = field(default_factory=dict)
    places: list[_Place] = field(default_factory=list)

    def has_counts(self, finding: Finding) -> bool:
        """Whether any figure that was found is not a gauge."""
        return any(not self.counted.isdisjoint(row.values) for row in finding.rows)

    def take(self, finding: Finding) -> None:
        """Take rows in. A failure, perhaps with a gauge that says so, keeps what was counted."""
        waiting = self.rows
        self.rows = finding.rows
        if not self.counted:
            return
        if self.has_counts(finding):
            self.keeps = False
        elif waiting is None:
            self.keeps = True
        else:
            self.rows = [*finding.rows, *self._without_gauges(waiting)]

    def _without_gauges(self, rows: Sequence[Row]) -> list[Row]:
        return [
            Row(
                row.labels,
                {name: value for name, value in row.values.items() if name in self.counted},
            )
            for row in rows
        ]


class RowBook:
    """The families that rows make. `refused(n)` is told of figures that cannot be exported;
    `reserved` are names that rows may not take.
    """

    def __init__(self, refused: Callable[[int], None], reserved: Set[str]) -> None:
        self.families: dict[str, FigureFamily[Series]] = {}
        self._declared: dict[str, Measurement] = {}
        self._refused, self._taken = refused, set(reserved)
        self._shown: dict[str, _Shown] = {}
        self._unsettled: dict[str, _Shown] = {}
        self._kinds: dict[
            tuple[Measurement, ...], tuple[Mapping[str, Measurement], frozenset[str]]
        ] = {}

    def take(self, check: str, finding: Finding, measurements: Sequence[Measurement]) -> None:
        """The latest rows of a check."""
        shown = self._shown.get(check)
        if shown is None:
            shown = self._shown[check] = _Shown(check)
        if shown.measurements is not measurements:
            if shown.measurements != measurements:
                self._forget(shown)
            shown.measurements = measurements
            shown.declared, shown.counted = self._declare(measurements)
        if finding.rows or shown.rows or shown.series:
            shown.take(finding)
            self._unsettled[check] = shown

    def _declare(
        self, measurements: Sequence[Measurement]
    ) -> tuple[Mapping[str, Measurement], frozenset[str]]:
        """By name, and which are no gauges; one value for all checks of a kind."""
        key = tuple(measurements)
        if key not in self._kinds:
            declared = {each.name: each for each in measurements}
            counted = (each.name for each in measurements if each.type != "gauge")
            self._kinds[key] = declared, frozenset(counted)
        return self._kinds[key]

    def remove(self, check: str) -> None:
        """Every series of a check that is no more."""
        shown = self._shown.pop(check, None)
        if shown is not None:
            self._unsettled.pop(check, None)
            shown.rows = None
            self._forget(shown)

    def settle(self) -> Iterator[None]:
        """Make series of the rows that came, with a rest each SETTLED figures. Whoever stops in
        between may begin anew.
        """
        count = 0
        for shown in list(self._unsettled.values()):
            rows = shown.rows
            for figures in self._settle(shown):
                count += figures
                if count < SETTLED:
                    continue
                yield
                count = 0
                if shown.rows is not rows:
                    break  # meanwhile others came, or the check is gone

    def _settle(self, shown: _Shown) -> Iterator[int]:
        """The rows of one check; the number of figures after each row."""
        rows, places = shown.rows or (), shown.places
        if shown.steady and len(rows) == len(places):
            for place, row in zip(places, rows, strict=True):
                if not _refresh(place, row):
                    break
                yield len(row.values)
            else:
                self._conclude(shown)
                yield 1
                return
        seen = set[Series]()
        for i, row in enumerate(rows):
            self._place(shown, _find_place(places, i, row), row, seen)
            yield len(row.values)
        self._sweep(shown, seen)
        self._conclude(shown)
        yield 1

    def _place(self, shown: _Shown, place: _Place, row: Row, seen: set[Series]) -> None:
        """One row that may be another one than before."""
        known = place.series
        for name, value in row.values.items():
            one = known[name] if name in known else self._find(shown, row, name, value, known)
            if one is not None and _put(one, shown.declared[name], value):
                seen.add(one)
            elif one is not None:
                self._refused(1)

    def _find(
        self,
        shown: _Shown,
        row: Row,
        name: str,
        value: float | Histogram,
        known: dict[str, Series | None],
    ) -> Series | None:
        """The series of a figure, which is made when it is new, and remembered in `known`."""
        measurement = shown.declared.get(name)
        if measurement is None or not measurement.metric:
            known[name] = None
            return None
        labels = [str(row.labels.get(each, "")) for each in measurement.labels]
        key = (measurement.metric, *labels)
        one = shown.series.get(key) or self._begin(shown.name, measurement, key, value)
        if one is None:
            self._refused(1)
        else:
            known[name] = shown.series[key] = one
        return one

    def _begin(
        self, check: str, measurement: Measurement, key: Key, value: float | Histogram
    ) -> Series | None:
        """A new series; None where the figure or its declaration does not fit the family."""
        if not _fits(measurement, value):
            return None
        family = self.families.get(measurement.metric)
        if family is None:
            if not self._may_begin(measurement):
                return None
            family = self.families[measurement.metric] = _make_family(measurement)
            self._declared[measurement.metric] = measurement
            self._taken |= list_sample_names(measurement.metric, measurement.type)
        first = self._declared[measurement.metric]
        if first.labels != measurement.labels or first.type != measurement.type:
            return None
        values = (check, *key[1:])
        if isinstance(value, Histogram):
            return family.admit(Distribution(family, len(family), value), values)
        return family.add(values)

    def _may_begin(self, measurement: Measurement) -> bool:
        """One name, one family: also where a line of it would look like one of another family."""
        names = list_sample_names(measurement.metric, measurement.type)
        return not names & self._taken and are_names_valid(
            measurement.metric, ("check", *measurement.labels)
        )

    def _sweep(self, shown: _Shown, seen: Set[Series]) -> None:
        """What is not among the rows goes, unless it was counted and stays."""
        del shown.places[len(shown.rows or ()) :]
        shown.steady = len(seen) == len(shown.series)
        if not shown.steady:
            self._drop(shown, [key for key, one in shown.series.items() if one not in seen])

    def _conclude(self, shown: _Shown) -> None:
        shown.rows = None
        self._unsettled.pop(shown.name, None)

    def _forget(self, shown: _Shown) -> None:
        shown.keeps = False
        self._drop(shown, list(shown.series))

    def _drop(self, shown: _Shown, keys: Sequence[Key]) -> None:
        shown.places.clear()  # they name series that go
        shown.steady = False
        for key in keys:
            family: FigureFamily[Series] = shown.series[key].family
            if shown.keeps and family.kind != "gauge":
                continue
            family.drop(shown.series.pop(key))
            if not family:
                gone = self._declared.pop(key[0])
                self._taken -= list_sample_names(gone.metric, gone.type)
                del self.families[key[0]]


def _find_place(places: list[_Place], at: int, row: Row) -> _Place:
    if at == len(places):
        places.append(_Place(row.labels))
    elif places[at].labels != row.labels:
        places[at] = _Place(row.labels)
    return places[at]


def _refresh(place: _Place, row: Row) -> bool:  # noqa: C901 - each call less is 2 ms a scrape
    """The figures of a row that is the same as before but for its numbers; False where more is to
    be done. The path of nearly every figure: it writes the line on the spot.
    """
    known, values = place.series, row.values
    if len(known) != len(values) or place.labels != row.labels:
        return False
    for name, value in values.items():
        if name not in known:
            return False
        one = known[name]
        if one is None:
            continue
        if type(value) is not float:
            if type(value) is int and -EXACT < value < EXACT:
                value = float(value)  # noqa: PLW2901 - a line has floats
            elif isinstance(one, Distribution) and _is_whole(value):
                one.take(value)
                continue
            else:
                return False
        if one.cut == WHOLE:
            return False
        if value != one.value:
            one.value = value
            lines, at = one.family.lines, one.at
            text = repr(value)
            if text[-1] in "nf":
                text = write_number(value)
            lines[at] = f"{lines[at][: one.cut]}{text}\n"
    return True


def _put(one: Series, measurement: Measurement, value: float | Histogram) -> bool:
    """Whether the figure is one that its series takes."""
    if not _fits(measurement, value):
        return False
    if isinstance(value, Histogram):
        if not isinstance(one, Distribution):
            return False
        one.take(value)
    else:
        one.put(float(value))
    return True


def _make_family(measurement: Measurement) -> FigureFamily[Series]:
    labels = ("check", *measurement.labels)
    return FigureFamily(measurement.metric, measurement.type, measurement.help, labels, Series)


def _is_whole(value: object) -> TypeGuard[Histogram]:
    return isinstance(value, Histogram) and len(value.bounds) == len(value.counts)


def _fits(measurement: Measurement, value: float | Histogram) -> bool:
    """A value of the declared type; anything else would end the scrape."""
    if isinstance(value, Histogram):
        return measurement.type == "histogram" and _is_whole(value)
    whole = isinstance(value, int) and abs(value) <= sys.float_info.max  # a float overflows beyond
    return measurement.type != "histogram" and (whole or isinstance(value, float))
