"""The exposition stays valid, complete and bounded, whatever the labels and the values are."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.clock import utcnow
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Histogram, Measurement, Result, Row
from sentinel.metrics import MAX_LABEL, Metrics, safe_label
from sentinel.metrics.beginning import KEPT
from tests.exposition import read_samples

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LAG = Measurement("lag", "Lag.", "bus_lag_entries", "gauge", "entries", ("stream",))
SENT = Measurement("sent", "Sent.", "bus_sent_total", "counter", "entries", ("stream",))
TIME = Measurement("time", "Time.", "bus_time_seconds", "histogram", "seconds", ("stream",))
INNER = Measurement("inner", "For thresholds only.")
DECLARED = (LAG, SENT, TIME, INNER)
HOSTILE = [
    "\xff",
    "a\0b",
    "\x1b[31mred",
    "line\nbreak",
    "x" * 10_000,
    "\udcff\ud800",
    'quo"te\\',
    "",
    "☃",
    "\u2028",
    "{}",
]
TIMES = Histogram((0.1, 1.0), (1, 3), 4, 7.5)


def result(rows, status=Status.UP, check="bus-check", outcome="ok"):
    """A result with rows."""
    return Result(check, Finding(status, "x", rows), NOW, 0.01, "t", outcome=outcome)


def row(stream="a", **values):
    """One row of one stream."""
    return Row({"stream": stream}, values)


def parse(metrics):
    """Every sample of the exposition: {(name, labels): value}."""
    return read_samples(metrics.render().decode())


def value(metrics, name, **labels):
    """One figure, or None; a figure of a probe is that of `bus-check` where no check is named."""
    if name.startswith("bus_"):
        labels = {"check": "bus-check"} | labels
    return parse(metrics).get((name, tuple(sorted(labels.items()))))


def test_rows_come_out():
    """Gauges, counters and histograms of a finding; what has no metric does not."""
    metrics = Metrics()
    metrics.observe(result([row(lag=3.0, sent=7.0, time=TIMES, inner=1.0)]), DECLARED)
    found = parse(metrics)
    check, stream = ("check", "bus-check"), ("stream", "a")
    assert found["bus_lag_entries", (check, stream)] == 3.0
    assert found["bus_sent_total", (check, stream)] == 7.0
    assert [
        found["bus_time_seconds_bucket", (check, ("le", le), stream)]
        for le in ("0.1", "1.0", "+Inf")
    ] == [1, 3, 4]
    assert (
        found["bus_time_seconds_count", (check, stream)],
        found["bus_time_seconds_sum", (check, stream)],
    ) == (4, 7.5)
    assert not any("inner" in name for name, _ in found)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_labels_are_valid_exposition(name):
    """A parser reads back what `safe_label` made of the name, beside an honest one."""
    metrics = Metrics()
    metrics.observe(result([row(name, lag=1.0), row("honest", lag=2.0)]), DECLARED)
    assert value(metrics, "bus_lag_entries", stream=safe_label(name)) == 1.0
    assert value(metrics, "bus_lag_entries", stream="honest") == 2.0


@given(st.text(st.characters(codec=None), max_size=400))
def test_safe_labels_are_short_printable_and_utf8(name):
    """Any text at all."""
    label = safe_label(name)
    label.encode()
    assert len(label) <= MAX_LABEL
    assert label.isprintable()


def test_labels_stay_apart_when_they_are_readable():
    """Printable names of a normal length are left alone."""
    assert safe_label("agent_messages:agent-1 ünï") == "agent_messages:agent-1 ünï"


def test_gauges_of_a_failed_check_are_removed_and_counters_kept():
    """A frozen gauge would lie; a counter that vanishes would look like a reset."""
    metrics = Metrics()
    metrics.observe(result([row(lag=3.0, sent=7.0, time=TIMES)]), DECLARED)
    metrics.observe(result([], Status.UNKNOWN, outcome="error"), DECLARED)
    metrics.observe(result([], Status.DOWN, outcome="error"), DECLARED)
    assert value(metrics, "bus_lag_entries", stream="a") is None
    assert value(metrics, "bus_sent_total", stream="a") == 7.0
    assert value(metrics, "bus_time_seconds_count", stream="a") == 4.0
    metrics.observe(result([row(lag=4.0, sent=9.0)]), DECLARED)
    assert value(metrics, "bus_lag_entries", stream="a") == 4.0


def test_a_failure_that_has_a_gauge_to_say_so_keeps_the_counters():
    """`target_up 0` and `pg_up 0` come alone: what was counted is there all the same, once."""
    metrics = Metrics()
    metrics.observe(result([row(lag=3.0, sent=7.0, time=TIMES)]), DECLARED)
    metrics.observe(result([row("b", lag=0.0)], Status.DOWN), DECLARED)
    metrics.observe(result([row("b", lag=0.0)], Status.DOWN), DECLARED)
    assert value(metrics, "bus_lag_entries", stream="b") == 0.0
    assert value(metrics, "bus_lag_entries", stream="a") is None
    assert value(metrics, "bus_sent_total", stream="a") == 7.0
    assert value(metrics, "bus_time_seconds_count", stream="a") == 4.0
    metrics.observe(result([row("b", sent=1.0)]), DECLARED)
    assert value(metrics, "bus_sent_total", stream="a") is None


def test_runs_and_the_last_success():
    """Counted by outcome; an unknown verdict is no success. The time is that of the wall, with which
    Prometheus compares it.
    """
    metrics = Metrics()
    metrics.add_check(check_of())
    before = time.time() - result([]).duration
    metrics.observe(result([]), DECLARED)
    after = time.time() - result([]).duration
    metrics.observe(result([], Status.UNKNOWN, outcome="timeout"), DECLARED)
    metrics.skip("bus-check", 3)
    runs = {
        outcome: value(metrics, "sentinel_probe_runs_total", kind="demo", outcome=outcome)
        for outcome in ("ok", "error", "timeout", "skipped")
    }
    assert runs == {"ok": 1.0, "error": 0.0, "timeout": 1.0, "skipped": 3.0}
    assert value(metrics, "sentinel_check_runs_total", check="bus-check") == 2.0
    assert value(metrics, "sentinel_check_duration_seconds", check="bus-check") == 0.01
    assert value(metrics, "sentinel_probe_duration_seconds_count", kind="demo") == 2.0
    at = value(metrics, "sentinel_probe_last_success_timestamp_seconds", check="bus-check")
    assert before - 0.001 <= at <= after + 0.001


def test_label_sets_exist_from_the_start():
    """`rate()` sees the first failure because the counter was there at zero."""
    metrics = Metrics()
    metrics.add_check(check_of())
    for outcome in ("ok", "error", "timeout", "skipped"):
        assert value(metrics, "sentinel_probe_runs_total", kind="demo", outcome=outcome) == 0.0
    assert value(metrics, "sentinel_check_runs_total", check="bus-check") == 0.0
    for reason in ("cap", "invalid"):
        assert value(metrics, "sentinel_series_dropped_total", reason=reason) == 0.0


def test_two_checks_never_shadow_each_other():
    """The same figure of the same stream: each bears its check."""
    metrics = Metrics()
    metrics.observe(result([row(lag=2.0)], check="z-check"), DECLARED)
    metrics.observe(result([row(lag=1.0)], check="a-check"), DECLARED)
    assert value(metrics, "bus_lag_entries", check="a-check", stream="a") == 1.0
    assert value(metrics, "bus_lag_entries", check="z-check", stream="a") == 2.0
    metrics.observe(result([], Status.DOWN, check="a-check", outcome="error"), DECLARED)
    assert value(metrics, "bus_lag_entries", check="a-check", stream="a") is None
    assert value(metrics, "bus_lag_entries", check="z-check", stream="a") == 2.0


@pytest.mark.parametrize(
    ("one", "other"), [("x" * 300, "x" * 400), ("a\nb", "a\\nb"), ("\udc80", "\\udc80")]
)
def test_names_that_look_alike_stay_apart(one, other):
    """Names that differ only behind the cap of a label, or in how they are written out."""
    metrics = Metrics()
    metrics.observe(result([row(one, lag=1.0), row(other, lag=2.0)]), DECLARED)
    found = [figure for (name, _), figure in parse(metrics).items() if name == "bus_lag_entries"]
    assert sorted(found) == [1.0, 2.0]


def check_of(name="bus-check", **options):
    """A configured check."""
    return Check(name, "demo", "bus", 5.0, 1.0, None, resources={"resource": "valkey"}, **options)


def test_what_a_check_is_of():
    """One series joins check, component, kind, resource and status."""
    metrics = Metrics()
    metrics.add_check(check_of(), Status.DOWN)
    labels = {"check": "bus-check", "component": "bus", "kind": "demo", "resource": "valkey"}
    assert value(metrics, "sentinel_check_status", status="down", **labels) == 1.0


def test_faults_are_counted_by_key_and_accepted_ones_apart():
    """A series while the fault stands, and none before and after."""
    metrics = Metrics()
    metrics.add_check(check_of())
    labels = {"check": "bus-check", "component": "bus"}
    assert value(metrics, "sentinel_faults", fault="lost", **labels) is None
    metrics.set_faults("bus-check", {"lost": 3, "late": 0}, {"late": 1})
    assert value(metrics, "sentinel_faults", fault="lost", **labels) == 3.0
    assert value(metrics, "sentinel_faults", fault="late", **labels) is None
    assert value(metrics, "sentinel_faults_accepted", fault="late", **labels) == 1.0
    metrics.set_faults("bus-check", {"lost": 2}, {})
    assert value(metrics, "sentinel_faults", fault="lost", **labels) == 2.0
    assert value(metrics, "sentinel_faults_accepted", fault="late", **labels) is None
    metrics.set_faults("bus-check", {}, {})
    assert value(metrics, "sentinel_faults", fault="lost", **labels) is None


@pytest.mark.parametrize(
    "bad",
    [
        Measurement("lag", "Lag.", "bus_lag_entries", "counter", "", ("stream",)),
        Measurement("lag", "Lag.", "bus_lag_entries", "gauge", "", ("stream", "group")),
        Measurement("lag", "Lag.", "bus_lag_entries", "histogram", "", ("stream",)),
    ],
    ids=["type", "labels", "histogram"],
)
def test_two_declarations_of_one_metric_that_disagree(bad):
    """The one that came first stays, the other is counted; the scrape goes on."""
    metrics = Metrics()
    metrics.observe(result([row(lag=1.0)], check="a-check"), DECLARED)
    metrics.observe(result([row("b", lag=2.0)], check="b-check"), (bad,))
    assert value(metrics, "bus_lag_entries", check="a-check", stream="a") == 1.0
    assert value(metrics, "sentinel_series_dropped_total", reason="invalid") >= 1.0


@pytest.mark.parametrize("figure", [Histogram((0.1, 1.0), (1,), 4, 7.5), 5.0, TIMES])
def test_a_figure_that_does_not_fit_its_declaration(figure):
    """A histogram with a bound too many, a number for a histogram, a histogram for a gauge: the
    scrape goes on.
    """
    metrics = Metrics()
    name = "lag" if figure is TIMES else "time"
    metrics.observe(result([row(**{name: figure, "sent": 7.0})]), DECLARED)
    assert value(metrics, "bus_sent_total", stream="a") == 7.0
    assert value(metrics, "sentinel_series_dropped_total", reason="invalid") >= 1.0


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0, -1.5, 10**300])
def test_any_number_is_valid_exposition(number):
    """NaN and infinities are legal in Prometheus."""
    metrics = Metrics()
    metrics.observe(result([row(lag=number)]), DECLARED)
    assert value(metrics, "bus_lag_entries", stream="a") == pytest.approx(number, nan_ok=True)


def test_a_family_over_the_cap_is_left_out_whole_and_said():
    """Never a part of it; the others stay. It comes back when there is room for good."""
    metrics = Metrics(most=50)
    few = [row(f"s{i}", sent=1.0) for i in range(9)]
    metrics.observe(result([*few, *(row(f"s{i}", lag=1.0) for i in range(80))]), DECLARED)
    names = [name for name, _ in parse(metrics)]
    assert (names.count("bus_lag_entries"), names.count("bus_sent_total")) == (0, 9)
    assert metrics.left_out == {"bus_lag_entries": 80}
    assert value(metrics, "sentinel_series_left_out", family="bus_lag_entries") == 80.0
    assert value(metrics, "sentinel_series_dropped_total", reason="cap") == 240.0
    metrics.observe(result([*few, *(row(f"s{i}", lag=1.0) for i in range(30))]), DECLARED)
    names = [name for name, _ in parse(metrics)]
    assert (names.count("bus_lag_entries"), names.count("bus_sent_total")) == (30, 9)
    assert metrics.left_out == {}
    assert value(metrics, "sentinel_series_left_out", family="bus_lag_entries") is None


def test_a_status_is_one_series():
    """Its label is the status; the one before is gone."""
    metrics = Metrics()
    metrics.add_check(check_of())
    for status in Status:
        metrics.set_check_status("bus-check", status)
        metrics.set_component_status("bus", status)
        found = [dict(labels) for name, labels in parse(metrics) if name.endswith("_status")]
        assert [each["status"] for each in found] == [status.value, status.value]


def test_when_a_fault_began_is_told_for_an_hour(monkeypatch):
    """Also when it is over at the next look; not of what is an hour old, or a clock's slip."""
    metrics = Metrics()
    metrics.add_check(check_of())
    labels = {"check": "bus-check", "component": "bus", "fault": "lost"}
    name = "sentinel_fault_last_begun_timestamp_seconds"
    at, now = NOW.timestamp(), [NOW]
    monkeypatch.setattr("sentinel.metrics.figure.utcnow", lambda: now[0])
    assert value(metrics, name, **labels) is None
    metrics.beginnings.note("bus-check", "bus", {"lost": at - 7.0})
    metrics.beginnings.note("bus-check", "bus", {"lost": at, "late": at - KEPT - 1})
    assert value(metrics, name, **labels) == at
    assert value(metrics, name, **labels | {"fault": "late"}) is None
    metrics.add_check(check_of(), Status.DOWN)
    assert value(metrics, name, **labels) == at
    now[0] += timedelta(seconds=KEPT + 1)
    assert value(metrics, name, **labels) is None
    metrics.beginnings.note("bus-check", "bus", {"lost": now[0].timestamp()})
    now[0] -= timedelta(days=1)
    assert value(metrics, name, **labels) is None


def test_a_check_has_at_most_five_series_of_sentinels_own():
    """Whatever it is and however its runs end: four, and one for each fault while that stands."""
    metrics = Metrics()
    names = [f"c{i}" for i in range(20)]
    for name in names:
        metrics.add_check(check_of(name))
    empty = len(parse(Metrics()))
    for outcome, status in (("ok", Status.UP), ("error", Status.DOWN), ("timeout", Status.UNKNOWN)):
        for name in names:
            metrics.observe(result([], status, name, outcome), DECLARED)
            metrics.set_check_status(name, status)
            metrics.skip(name, 1)
            metrics.set_faults(name, {"unreachable": 1} if status is Status.DOWN else {}, {})
        found = [dict(labels).get("check") for _, labels in parse(metrics)]
        expected = 5 if status is Status.DOWN else 4
        assert {found.count(name) for name in names} == {expected}
    a_kind = 4 + 9  # runs by outcome, a histogram
    assert len(parse(metrics)) == empty + a_kind + 20 * 4


def test_a_check_without_a_verdict_is_stale_by_the_scrape_itself():
    """After three intervals, also when it never gave one; until it gives the next."""
    clock = [100.0]
    metrics = Metrics(monotonic=lambda: clock[0])
    metrics.add_check(check_of())
    labels = {"check": "bus-check", "component": "bus"}
    clock[0] += 15.0
    assert value(metrics, "sentinel_check_stale_seconds", **labels) is None
    clock[0] += 1.0
    assert value(metrics, "sentinel_check_stale_seconds", **labels) == 16.0
    metrics.observe(result([], Status.UNKNOWN, outcome="timeout"), DECLARED)
    assert value(metrics, "sentinel_check_stale_seconds", **labels) == 16.0
    metrics.observe(result([]), DECLARED)
    assert value(metrics, "sentinel_check_stale_seconds", **labels) is None
    clock[0] += 15.5
    assert value(metrics, "sentinel_check_stale_seconds", **labels) == 15.5


def test_a_check_that_is_described_anew_keeps_its_counters():
    """A reload is no reset; nothing of what it was of before is left."""
    metrics = Metrics()
    metrics.add_check(check_of())
    metrics.observe(result([row(sent=7.0)]), DECLARED)
    metrics.set_faults("bus-check", {"lost": 1}, {"late": 1})
    metrics.add_check(Check("bus-check", "other", "bus", 9.0, 1.0, None), Status.UP)
    assert value(metrics, "sentinel_check_runs_total", check="bus-check") == 1.0
    assert value(metrics, "bus_sent_total", stream="a") == 7.0
    text = metrics.render().decode()
    assert 'resource="valkey"' not in text
    assert "sentinel_faults{" not in text
    assert "sentinel_faults_accepted{" not in text


def test_a_removed_check_leaves_nothing():
    """No series of a check that the configuration no longer has; also when it never succeeded."""
    metrics = Metrics()
    for name in ("bus-check", "never-ran"):
        metrics.add_check(check_of(name))
    metrics.observe(result([row(lag=3.0, sent=7.0)]), DECLARED)
    metrics.set_faults("bus-check", {"lost": 1}, {"late": 1})
    metrics.beginnings.note("bus-check", "bus", {"lost": utcnow().timestamp()})
    metrics.remove_check("bus-check")
    metrics.remove_check("never-ran")
    text = metrics.render().decode()
    assert "bus-check" not in text
    assert "never-ran" not in text
    assert 'stream="a"' not in text


def test_a_number_that_no_float_holds():
    """A document of a target may have 400 digits: its series is dropped, no other one."""
    metrics = Metrics()
    metrics.observe(result([row(lag=10**400), row("b", lag=7)]), DECLARED)
    assert value(metrics, "bus_lag_entries", stream="b") == 7.0
    assert value(metrics, "sentinel_series_dropped_total", reason="invalid") >= 1.0
