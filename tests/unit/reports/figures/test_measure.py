"""Gains of counters, sums of rows, shares: and None wherever nobody measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.model import Fold, Impact, Section, Term
from sentinel.probes import load_kinds
from sentinel.reports.figures import Period
from sentinel.reports.figures.measure import (
    FigureSource,
    Gain,
    fold_now,
    gain_of,
    measure_now,
    read_number,
)
from sentinel.store import Sample
from tests.unit.reports.conftest import check, row

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def sample(when: float, value: float, stream: str = "a") -> Sample:
    return Sample(at(when), "c", "lost_total", {"stream": stream}, value)


PERIOD, LOST = Period(at(0), at(100)), Term("lost_total")


@pytest.mark.parametrize(
    ("samples", "gain"),
    [
        ([sample(60, 5)], None),
        ([sample(-60, 5)], None),
        ([sample(-60, 5), sample(60, 9)], Gain(4, at(-60), at(60))),
        (
            [sample(-60, 5), sample(120, 9), sample(120, 3, "b"), sample(180, 99)],
            Gain(7, at(-60), at(120)),
        ),
        ([sample(-60, 5), sample(60, 1)], Gain(1, at(-60), at(60), anew=True)),
        (
            [sample(-60, 5), sample(30, 7), sample(60, 1), sample(120, 9)],
            Gain(11, at(-60), at(120), anew=True),
        ),
        ([sample(-60, 5), sample(-60, 5, "b"), sample(60, 6)], None),
    ],
)
def test_gain_of_a_counter(samples: list[Sample], gain: Gain | None) -> None:
    """It needs a reading before and one after; a new series began at 0, and so did one that went
    back, also when it is beyond where it was by now; one that went away voids the gain.
    """
    assert gain_of(LOST, samples, PERIOD) == gain


def test_gain_of_a_label_that_was_not_there_before() -> None:
    """The measurement was read, without this outcome: it began at zero."""
    before = Sample(at(-60), "c", "settled", {"outcome": "ok"}, 10)
    after = [
        Sample(at(120), "c", "settled", {"outcome": word}, n)
        for word, n in (("ok", 12), ("bad", 3))
    ]
    gain = gain_of(Term("settled", {"outcome": "bad"}), [before, *after], PERIOD)
    assert gain == Gain(3, at(-60), at(120))


ROWS = [
    row({"queue": "a"}, held=3.0, age=5.0),
    row({"queue": "b"}, held=4.0, age=9.0),
    row({"queue": "b", "outcome": "ok"}, settled=9.0),
    row({"queue": "b", "outcome": "late"}, settled=1.0),
]


@pytest.mark.parametrize(
    ("term", "fold", "value"),
    [
        (Term("held"), Fold.SUM, 7),
        (Term("age"), Fold.LARGEST, 9),
        (Term("held", {"queue": "b"}), Fold.SUM, 4),
        (Term("settled", {"outcome": "never seen"}), Fold.SUM, 0),
        (Term("nowhere"), Fold.SUM, None),
        (Term("nowhere", sparse=True), Fold.SUM, 0),
    ],
)
def test_rows_as_they_are_now(term: Term, fold: Fold, value: float | None) -> None:
    """A measurement that is in no row was not measured; one with other labels is zero."""
    assert fold_now(check("c", "k", "x", rows=ROWS), (term,), fold) == value


def test_nothing_is_measured_by_a_check_without_rows() -> None:
    """A check that failed gives no rows: not even what is sparse is zero then."""
    assert fold_now(check("c", "k", "x"), (Term("nowhere", sparse=True),)) is None


def _share(rows: list[dict[str, object]]) -> tuple[float | None, float | None, str]:
    impact = Impact(
        "in time",
        Section.WORK,
        (Term("settled", {"outcome": "ok"}),),
        (Term("unsure"),),
        whole=(Term("settled"),),
        fold=Fold.SUM,
        unit="ratio",
    )
    figure = measure_now(FigureSource(impact, check("c", "k", "x", rows=rows), from_zero=True))
    return figure.low, figure.high, figure.basis


def test_share_of_a_whole() -> None:
    """Part ÷ whole, at most 1; of nothing there is no share."""
    assert _share(ROWS) == (0.9, 0.9, "of 10 at the last look")
    unsure = [*ROWS, row({}, unsure=5.0)]
    assert _share(unsure)[:2] == (0.9, 1.0)
    nothing = [row({"outcome": "ok"}, settled=0.0)]
    assert _share(nothing)[::2] == (None, "not measured: nothing to judge, at the last look")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        (0.5, 0.5),
        (True, None),
        ("7", None),
        (None, None),
        (float("nan"), None),
        ([1], None),
    ],
)
def test_numbers_of_rows(value: object, number: float | None) -> None:
    """Only a finite number is believed."""
    assert read_number(value) == number


def test_every_declared_figure_reads_declared_measurements() -> None:
    """A kind that renames a measurement takes its figures along, and no name is there twice."""
    for kind in load_kinds().values():
        types = {each.name: each.type for each in kind.measurements}
        names = [(impact.section, impact.name) for impact in kind.impact]
        assert len(set(names)) == len(names)
        for impact in kind.impact:
            assert impact.certain
            for term in impact.terms:
                assert term.measurement in types, f"{kind.name}: {impact.name}"
                if impact.fold is not Fold.GAIN:
                    assert types[term.measurement] == "gauge"
