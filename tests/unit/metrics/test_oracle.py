"""prometheus_client is the oracle: its parser reads the same from our text as from its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client import Counter as PeerCounter
from prometheus_client import Gauge as PeerGauge
from prometheus_client import Histogram as PeerHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sentinel.core.fault import Status
from sentinel.core.model import Finding, Histogram, Measurement, Result, Row
from sentinel.metrics import Metrics, safe_label
from sentinel.metrics.family import Counter, FigureFamily, Gauge, OwnHistogram
from sentinel.metrics.text import END

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BOUNDS = (0.1, 1.0, 2.5)
DECLARED = (
    Measurement("lag", 'Lag "so called".', "bus_lag_entries", "gauge", "", ("stream", "group")),
    Measurement("deep", "Back\\slash\nand line.", "bus_deep", "gauge", "", ("stream",)),
    Measurement("sent", "Sent.", "bus_sent_total", "counter", "", ("stream",)),
    Measurement("odd", "A counter without its suffix.", "bus_odd", "counter", "", ("stream",)),
    Measurement(
        "time", "Time.", "bus_time_seconds", "histogram", "", ("a_first", "stream", "zone")
    ),
    Measurement("inner", "Not exported."),
)
LABELS = ("stream", "group", "a_first", "zone")
NAMES = st.one_of(st.sampled_from(["a", "b", "", "\\", '"', "\n", "\ud800"]), st.text(max_size=8))
NUMBERS = st.one_of(
    st.floats(), st.integers(-(10**12), 10**12), st.sampled_from([0, 1e21, 5e-324, 1.5])
)
COUNTS = st.one_of(st.integers(0, 10**9), st.floats(0, 1e300))


@st.composite
def distributions(draw: st.DrawFn) -> Histogram:
    """A cumulative histogram."""
    steps = draw(st.lists(st.integers(0, 50), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1))
    sums = [sum(steps[: i + 1]) for i in range(len(steps))]
    return Histogram(BOUNDS, tuple(sums[:-1]), sums[-1], draw(st.floats(0, 1e6)))


VALUES = {
    "lag": NUMBERS, "deep": NUMBERS, "sent": COUNTS, "odd": COUNTS, "time": distributions(),
    "inner": NUMBERS,
}  # fmt: skip


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """A row of any labels with some figures."""
    labels = {label: draw(NAMES) for label in draw(st.sets(st.sampled_from(LABELS)))}
    names = draw(st.sets(st.sampled_from(sorted(VALUES))))
    return Row(labels, {name: draw(VALUES[name]) for name in sorted(names)})


TURNS = st.lists(
    st.tuples(st.sampled_from(["x", "y\\", "z"]), st.lists(rows(), max_size=4), st.booleans()),
    max_size=8,
)


class Oracle:
    """The same rows, collected by prometheus_client at each scrape."""

    def __init__(self) -> None:
        self.checks: dict[str, list[Row]] = {}

    def take(self, check: str, found: list[Row]) -> None:
        """What a failed check counted stays."""
        kept = []
        if not any(name in row.values for row in found for name in ("sent", "odd", "time")):
            counted = ("sent", "odd", "time")
            for row in self.checks.get(check, []):
                kept.append(Row(row.labels, {n: v for n, v in row.values.items() if n in counted}))
        self.checks[check] = found + kept

    def collect(self) -> Iterator[Metric]:
        """Families with any series."""
        for declared in DECLARED:
            series: dict[tuple[str, ...], Any] = {}
            for check, found in self.checks.items():
                for row in found:
                    if declared.metric and declared.name in row.values:
                        named = (str(row.labels.get(label, "")) for label in declared.labels)
                        labels = tuple(map(safe_label, (check, *named)))
                        series[labels] = row.values[declared.name]
            if series:
                yield make_metric(declared, series)


def make_metric(declared: Measurement, series: dict[tuple[str, ...], Any]) -> Metric:
    """A family of prometheus_client."""
    names = ("check", *declared.labels)
    if declared.type == "histogram":
        metric = HistogramMetricFamily(declared.metric, declared.help, labels=names)
        for labels, value in series.items():
            buckets = [(str(b), float(c)) for b, c in zip(value.bounds, value.counts, strict=True)]
            metric.add_metric(labels, [*buckets, ("+Inf", float(value.total))], value.sum)
        return metric
    kind = CounterMetricFamily if declared.type == "counter" else GaugeMetricFamily
    simple: Any = kind(declared.metric, declared.help, labels=names)
    for labels, value in series.items():
        simple.add_metric(labels, float(value))
    return simple


def read(text: bytes, parse: Callable[[str], Iterable[Metric]]) -> dict[str, Any]:
    """Families by name: type, help, and samples with their values as text, so that NaN is NaN."""
    found = {}
    for family in parse(text.decode()):
        assert family.name not in found, "a family in two parts"
        samples = [(s.name, tuple(sorted(s.labels.items())), repr(s.value)) for s in family.samples]
        assert len(samples) == len({each[:2] for each in samples}), "a series twice"
        found[family.name] = (family.type, family.documentation, sorted(samples))
    return found


def rows_only(text: bytes) -> bytes:
    """Without sentinel's own figures, which stand before them."""
    at = text.find(b"# HELP bus_")
    return text[at:] if at >= 0 else b"".join([b"# EOF\n"] * text.endswith(b"# EOF\n"))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(TURNS)
def test_rows_read_as_those_of_the_library(turns: list[tuple[str, list[Row], bool]]) -> None:
    """Any rows in any order, scraped in between or not; both formats, hostile names and numbers."""
    metrics, oracle = Metrics(), Oracle()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(oracle)  # type: ignore[arg-type] # a collector by its method
    for check, found, scraped in turns:
        oracle.take(check, found)
        metrics.observe(Result(check, Finding(Status.UP, "", found), NOW, 0.1, "t"), DECLARED)
        if scraped:
            metrics.render()
    text = rows_only(metrics.render())
    assert read(text, parse_text) == read(generate_latest(registry), parse_text)
    text = rows_only(metrics.render(openmetrics=True))
    assert read(text, parse_openmetrics) == read(generate_openmetrics(registry), parse_openmetrics)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["inc", "set", "observe", "remove", "scrape"]),
        NAMES.map(safe_label),
        st.floats(0, 100),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(OPERATIONS)
def test_own_figures_read_as_those_of_the_library(operations: list[tuple[str, str, float]]) -> None:
    """Counters, gauges and histograms, counted, taken out, counted again."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # it has no types
    peer = CollectorRegistry()
    theirs: dict[str, Any] = {
        "inc": PeerCounter("c_total", "C.", ["z", "a"], registry=peer),
        "set": PeerGauge("g", "G.", ["z", "a"], registry=peer),
        "observe": PeerHistogram("h", "H.", ["z", "a"], registry=peer, buckets=BOUNDS),
    }
    shape = Histogram(BOUNDS, (0, 0, 0), 0, 0.0)
    ours: dict[str, FigureFamily[Any]] = {
        "inc": FigureFamily("c_total", "counter", "C.", ["z", "a"], Counter),
        "set": FigureFamily("g", "gauge", "G.", ["z", "a"], Gauge),
        "observe": FigureFamily(
            "h", "histogram", "H.", ["z", "a"], lambda family, at: OwnHistogram(family, at, shape)
        ),
    }
    for what, name, value in operations:
        if what in ours:
            getattr(ours[what].labels(name, "x"), what)(value)
            getattr(theirs[what].labels(name, "x"), what)(value)
        elif what == "remove":
            for family in (*ours.values(), *theirs.values()):
                family.remove(name, "x")
        else:
            write(ours.values(), openmetrics=False)
    assert read(write(ours.values(), openmetrics=False), parse_text) == read(
        generate_latest(peer), parse_text
    )
    text = write(ours.values(), openmetrics=True) + END
    assert read(text, parse_openmetrics) == read(generate_openmetrics(peer), parse_openmetrics)


def write(families: Iterable[FigureFamily[Any]], *, openmetrics: bool) -> bytes:
    """Their whole text."""
    text = b""
    for family in families:
        for _ in family.patch():
            pass
        text += b"".join(family.pieces(openmetrics))
    return text


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_whole_exposition_is_read_and_written_back(openmetrics: bool) -> None:
    """Also families that have no series yet."""
    parse = parse_openmetrics if openmetrics else parse_text
    metrics = Metrics()
    text = metrics.render(openmetrics)
    found = read(text, parse)
    assert {"sentinel_build_info", "sentinel_faults", "sentinel_check_lateness_seconds"} <= set(
        found
    )
    assert all(math.isfinite(float(v)) for _, _, samples in found.values() for *_, v in samples)
    assert text.endswith(END) is openmetrics


GOLDEN = b"""\
# HELP bus_lag_entries Lag "so called".
# TYPE bus_lag_entries gauge
bus_lag_entries{check="x",group="g",stream="quo\\"te\\\\"} 3.0
bus_lag_entries{check="x",group="",stream="a\\\\nb~59900c43"} NaN
# HELP bus_sent_total Sent.
# TYPE bus_sent_total counter
bus_sent_total{check="x",stream="a\\\\nb~59900c43"} 7.0
# HELP bus_time_seconds Time.
# TYPE bus_time_seconds histogram
bus_time_seconds_bucket{a_first="",check="x",le="0.1",stream="s",zone="z"} 1.0
bus_time_seconds_bucket{a_first="",check="x",le="1.0",stream="s",zone="z"} 2.0
bus_time_seconds_bucket{a_first="",check="x",le="2.5",stream="s",zone="z"} 2.0
bus_time_seconds_bucket{a_first="",check="x",le="+Inf",stream="s",zone="z"} 4.0
bus_time_seconds_count{a_first="",check="x",stream="s",zone="z"} 4.0
bus_time_seconds_sum{a_first="",check="x",stream="s",zone="z"} 7.5
"""


def test_the_text_is_what_it_was() -> None:
    """Byte for byte."""
    metrics = Metrics()
    found = [
        Row({"stream": 'quo"te\\', "group": "g"}, {"lag": 3}),
        Row({"stream": "a\nb"}, {"lag": math.nan, "sent": 7.0}),
        Row({"stream": "s", "zone": "z"}, {"time": Histogram(BOUNDS, (1, 2, 2), 4, 7.5)}),
    ]
    metrics.observe(Result("x", Finding(Status.UP, "", found), NOW, 0.1, "t"), DECLARED)
    text = metrics.render()
    assert text[text.index(b"# HELP bus_") :] == GOLDEN
