"""Objectives: events are counted as Prometheus counts them, and nothing is claimed that nobody saw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Severity, Status
from sentinel.core.model import Histogram, Row, Sli, Term
from sentinel.core.objective import (
    BURN_ALERTS,
    Counts,
    Objective,
    ObjectiveState,
    Slice,
    SliceHistory,
    choose_alerts,
    count_gains,
    count_look,
    judge_slices,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SLI = Sli("in_time", "in time", (Term("settled"),), (Term("settled", {"outcome": "ok"}),))
BAD_SLI = Sli("found", "found", (Term("samples"),), bad=(Term("missing"),))
DAY = 86400.0


def objective(**given: float | int) -> Objective:
    """An objective of 99 % over 30 days, but for what is given."""
    values = {"target": 0.99, "window": 30 * DAY, **given}
    return Objective("o", "c", "x", "in_time", **values)  # type: ignore[arg-type]


def rows(**outcomes: float) -> list[Row]:
    """Rows of one stream by outcome."""
    return [Row({"stream": "s", "outcome": o}, {"settled": n}) for o, n in outcomes.items()]


def slices(*counted: tuple[float, float, float], length: float = 300.0) -> list[Slice]:
    """Slices that ended so many seconds ago, with good events of all."""
    found = []
    for ago, good, total in counted:
        ended = NOW - timedelta(seconds=ago)
        began = ended - timedelta(seconds=length)
        found.append(Slice("o", began, ended, Counts(good, total, length)))
    return sorted(found, key=lambda each: each.began)


def test_the_first_look_claims_nothing() -> None:
    """What was counted before an objective was there is nobody's; from then on everything counts."""
    first = count_gains(SLI, rows(ok=900, late=100), None)
    second = count_gains(SLI, rows(ok=990, late=110), first.marks)
    assert (first.counts, second.counts) == (Counts(), Counts(90, 100))


@pytest.mark.parametrize(
    ("then", "gained"),
    [
        (rows(ok=7, late=1), Counts(7, 8)),
        ([*rows(ok=10, late=2), *rows(lost=5)], Counts(0, 5)),
        ([], Counts()),
        (rows(ok=12), Counts(2, 2)),
    ],
    ids=["began anew at zero", "a new series", "a failed look", "a series is gone"],
)
def test_gains_are_counted_as_prometheus_does(then: list[Row], gained: Counts) -> None:
    """A reset begins at zero, a new series at zero; what is gone gains nothing."""
    assert (
        count_gains(SLI, then, count_gains(SLI, rows(ok=10, late=2), None).marks).counts == gained
    )


def test_a_series_that_comes_back_goes_on() -> None:
    """A stream that could not be looked at for a while is not counted a second time."""
    first = count_gains(SLI, rows(ok=10, late=2), None)
    away = count_gains(SLI, rows(late=2), first.marks)
    assert count_gains(SLI, rows(ok=11, late=2), away.marks).counts == Counts(1, 1)


def test_series_that_are_gone_are_forgotten_when_there_are_too_many() -> None:
    """Names that come and go do not fill the memory."""
    marks = count_gains(SLI, [Row({"stream": str(n)}, {"settled": 1}) for n in range(20_000)], None)
    assert len(count_gains(SLI, rows(ok=1), marks.marks).marks) == 1


def test_an_sli_may_count_what_was_bad() -> None:
    """Good is then all but the bad ones; a histogram and other figures are not counted."""
    shape = Histogram((1.0,), (0,), 0, 0.0)
    before = count_gains(BAD_SLI, [Row({}, {"samples": 0, "missing": 0, "seconds": shape})], None)
    then = count_gains(
        BAD_SLI, [Row({}, {"samples": 50, "missing": 2, "seconds": shape})], before.marks
    )
    assert then.counts == Counts(48, 50)


@pytest.mark.parametrize(
    ("sli", "verdict", "counted"),
    [
        ("up", Status.UP, Counts(1, 1)),
        ("up", Status.DEGRADED, Counts(0, 1)),
        ("working", Status.DEGRADED, Counts(1, 1)),
        ("working", Status.DOWN, Counts(0, 1)),
        ("up", Status.UNKNOWN, Counts()),
    ],
)
def test_a_look_is_an_event_unless_it_was_blind(sli: str, verdict: Status, counted: Counts) -> None:
    """Unknown is neither good nor bad: it is no event."""
    assert count_look(sli, verdict) == counted


@pytest.mark.parametrize(
    ("counted", "state", "ratio", "left"),
    [
        ((), ObjectiveState.NO_DATA, None, None),
        (((0, 0, 0),), ObjectiveState.NO_DATA, None, None),
        (((0, 10, 10),), ObjectiveState.INSUFFICIENT, None, None),
        (((0, 995, 1000),), ObjectiveState.MET, 0.995, 0.5),
        (((0, 990, 1000),), ObjectiveState.MET, 0.99, 0.0),
        (((0, 980, 1000),), ObjectiveState.MISSED, 0.98, -1.0),
        (((0, 1001, 1000),), ObjectiveState.INVALID, None, None),
        (((31 * DAY, 0, 1000), (0, 995, 1000)), ObjectiveState.MET, 0.995, 0.5),
    ],
    ids=["none", "nobody", "few", "met", "exactly", "missed", "more good than all", "too old"],
)
def test_state_and_budget(
    counted: tuple[tuple[float, float, float], ...],
    state: ObjectiveState,
    ratio: float | None,
    left: float | None,
) -> None:
    """Only what was measured enough is met or missed, and has a ratio and a budget."""
    found = judge_slices(objective(), slices(*counted), NOW)
    assert (found.state, found.ratio, found.is_met) == (state, ratio, state is ObjectiveState.MET)
    assert found.budget_left == (None if left is None else pytest.approx(left))


def test_events_weigh_and_not_intervals() -> None:
    """A quiet hour in which everything failed is as much as its events are."""
    found = judge_slices(objective(), slices((0, 9_990, 10_000), (DAY, 0, 10)), NOW)
    assert found.ratio == pytest.approx(9_990 / 10_010)


def test_a_time_that_nobody_saw_is_not_claimed() -> None:
    """What was observed is told beside every figure: here a day of thirty, with a gap."""
    found = judge_slices(objective(), slices((0, 50, 50), (20 * DAY, 50, 50), length=DAY / 2), NOW)
    assert found.observed == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    ("counted", "alarm"),
    [
        (((0, 400, 500),), Severity.PAGE),
        (((0, 0, 10),), None),
        (((0, 99, 100),), None),
        (((0, 19, 20), (600, 16, 20)), None),
        (((1800, 0, 100),), Severity.TICKET),
        (((0, 9_600, 10_000),), Severity.TICKET),
    ],
    ids=[
        "20 % bad",
        "ten events",
        "within budget",
        "four bad ones",
        "over for half an hour",
        "4 %",
    ],
)
def test_burning_calls_somebody(
    counted: tuple[tuple[float, float, float], ...], alarm: Severity | None
) -> None:
    """Long and short window must burn, with enough events and enough bad ones."""
    assert judge_slices(objective(), slices(*counted), NOW).alarm is alarm


def test_an_outage_calls_at_a_low_target() -> None:
    """14.4 times a budget of 20 % is more than everything, and a total outage pages all the same."""
    assert judge_slices(objective(target=0.8), slices((0, 0, 100)), NOW).alarm is Severity.PAGE


def test_alerts_fit_into_the_window() -> None:
    """An objective over a day has no alert that looks back for three."""
    assert [each.long for each in choose_alerts(objective(window=DAY))] == ["1h", "6h", "1d"]
    assert choose_alerts(objective()) == BURN_ALERTS


def test_forecast_has_a_range() -> None:
    """From the fastest and the slowest rate of late; no end where one of them burns nothing."""
    steady = judge_slices(objective(), slices((0, 995, 1000)), NOW)
    assert steady.forecast.earliest == steady.forecast.latest == pytest.approx(30 * DAY)
    over = judge_slices(objective(), slices((7200, 995, 1000), (0, 1000, 1000)), NOW)
    assert (over.forecast.latest, over.forecast.earliest is None) == (None, False)
    spent = judge_slices(objective(), slices((0, 900, 1000)), NOW)
    assert spent.forecast.earliest == 0.0


def test_a_slice_that_a_window_cuts_counts_in_proportion() -> None:
    """The last five minutes of a slice that began ten minutes ago are half of it."""
    history = SliceHistory(slices((0, 50, 100), length=600))
    assert history.count_since(NOW - timedelta(seconds=300)).total == pytest.approx(50)
    assert history.count_since(NOW) == Counts()


def test_what_is_too_old_is_left_out() -> None:
    """Nothing that a window can ask for goes with it."""
    history = SliceHistory(slices(*((300.0 * n, 1, 1) for n in range(10_000))))
    before = history.count_since(NOW - timedelta(days=3))
    history.forget(NOW - timedelta(days=3))
    assert len(history) < 1000
    assert history.count_since(NOW - timedelta(days=3)).total == pytest.approx(before.total)


def test_a_clock_that_goes_back_loses_nothing() -> None:
    """What was counted after the clock was set back counts, though it seems to be earlier."""
    history = SliceHistory(slices((0, 1, 1)))
    history.add(slices((3600, 5, 5))[0])
    assert history.count_since(NOW - timedelta(hours=2)).total == pytest.approx(6)


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 0.99, 0.995, 0.999])
def test_exactly_at_the_limit_nobody_is_called(target: float) -> None:
    """As many bad events as there may be: kept, the budget is used up, and the burn is not above 1."""
    found = judge_slices(objective(target=target), slices((0, 1000 * target, 1000)), NOW)
    assert (found.state, found.alarm) == (ObjectiveState.MET, None)
    assert found.budget_left == pytest.approx(0, abs=1e-9)


def test_no_burn_is_told_over_more_than_the_window() -> None:
    """Of what is older there are no slices: a rate over it would be that of the window."""
    found = judge_slices(objective(window=6 * 3600.0), slices((0, 9, 10), (DAY, 0, 10)), NOW)
    rates = {each.window: each.rate for each in found.burns}
    assert rates[6 * 3600.0] == pytest.approx(10)
    assert (rates[DAY], rates[3 * DAY]) == (None, None)


def test_counters_that_contradict_each_other_burn_nothing_that_is_known() -> None:
    """Within the hour more were good than there were; within the month that is made up for."""
    found = judge_slices(objective(), slices((0, 12, 10), (20 * DAY, 90, 100)), NOW)
    rates = {each.window: each.rate for each in found.burns}
    assert (found.state, rates[3600.0]) == (ObjectiveState.MISSED, None)
