"""Every metric of sentinel itself, and the collector that turns the latest findings into
exposition.

Gauges of a check that failed are removed, not frozen; counters and histograms stay and never go
back. Hostile label values come out as valid text; the number of series is capped and what is
dropped is counted.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from sentinel import __version__
from sentinel.clock import utcnow
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Measurement, Result, Row
from sentinel.core.model import Histogram as HistogramValue

MAX_LABEL = 200
MAX_SERIES = 20_000
STATUSES = tuple(Status)
OUTCOMES = ("ok", "error", "timeout", "skipped")
ATTEMPT_OUTCOMES = ("recovered", "failed")


def safe_label(value: str) -> str:
    """Any text as a label value: no lone surrogates, no control characters, at most 200 characters.

    What had to be changed ends with `~` and a digest of the original, so that two hostile names
    never become one series.
    """
    clean = value.encode("utf-8", "backslashreplace").decode()
    clean = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in clean
    )
    if clean == value and len(clean) <= MAX_LABEL:
        return clean
    original = value.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(original, digest_size=4).hexdigest()
    return f"{clean[: MAX_LABEL - len(digest) - 1]}~{digest}"


@dataclass(slots=True)
class _Exported:
    measurements: Mapping[str, Measurement]
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class _Described:
    """What a check is of, the faults that it may have, and those that somebody bears."""

    component: str
    kind: str
    resource: str
    faults: tuple[str, ...]
    borne: tuple[str, ...]


@dataclass(slots=True)
class _Family:
    measurement: Measurement
    series: dict[tuple[str, ...], float | HistogramValue] = field(default_factory=dict)


class Metrics:
    """Sentinel's own figures, and the latest rows of every check."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a `_created` series for each counter tells nobody anything
        self.registry = CollectorRegistry(auto_describe=False)
        self._checks: dict[str, _Exported] = {}
        self._described: dict[str, _Described] = {}
        self._own_figures()
        self.registry.register(_Findings(self))

    def _own_figures(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

        gauge("sentinel_build_info", "Version of sentinel.", "version").labels(__version__).set(1)
        durations = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
        self.probe_duration = histogram(
            "sentinel_probe_duration_seconds", "Duration of runs.", durations, "check"
        )
        self.probe_runs = counter(
            "sentinel_probe_runs_total", "Runs of a check by outcome.", "check", "outcome"
        )
        self.last_success = gauge(
            "sentinel_probe_last_success_timestamp_seconds",
            "When a check last gave an observed verdict.",
            "check",
        )
        self.interval = gauge(
            "sentinel_probe_interval_seconds", "Configured interval of a check.", "check"
        )
        self.check_status = gauge(
            "sentinel_check_status", "1 for the hard status.", "check", "component", "status"
        )
        self.check_info = gauge(
            "sentinel_check_info", "What a check is of.", "check", "component", "kind", "resource"
        )
        self.faults = gauge(
            "sentinel_faults", "Subjects that have a fault.", "check", "component", "fault"
        )
        self.accepted = gauge(
            "sentinel_faults_accepted",
            "Subjects that have a fault which somebody accepted.",
            "check",
            "component",
            "fault",
        )
        self.component_status = gauge(
            "sentinel_component_status", "1 for the status.", "component", "status"
        )
        lags = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
        self.loop_lag = histogram(
            "sentinel_event_loop_lag_seconds", "Lateness of the event loop's heartbeat.", lags
        )
        self.overdue = gauge(
            "sentinel_checks_overdue", "Checks whose last run is older than two intervals."
        )
        self.coverage = gauge(
            "sentinel_coverage_ratio", "Share of due runs that gave an observed verdict, last hour."
        )
        self.unobserved = counter(
            "sentinel_unobserved_seconds_total", "Time in which sentinel was stalled."
        )
        self.standstills = counter(
            "sentinel_standstills_total", "Times that the event loop stood still for too long."
        )
        self.log_dropped = counter(
            "sentinel_log_lines_dropped_total", "Lines of the log that nobody took in time."
        )
        self.persisted = gauge(
            "sentinel_state_persisted_timestamp_seconds", "When the state was last committed."
        )
        self.incidents_open = gauge(
            "sentinel_incidents_open", "Incidents that are not closed.", "component"
        )
        self.attempts = counter(
            "sentinel_restart_attempts_total", "Attempts by outcome.", "component", "outcome"
        )
        self.exhausted = gauge(
            "sentinel_component_exhausted", "1 when the restart budget is spent.", "component"
        )
        self.halted = gauge("sentinel_actions_halted", "1 while the kill switch is on.")
        self.breaker_open = gauge(
            "sentinel_automation_breaker_open", "1 while automation has switched itself off."
        )
        self.braked = gauge(
            "sentinel_mass_failure_brakes", "Groups whose members fail together; none is restarted."
        )
        self.actions_enabled = gauge(
            "sentinel_actions_enabled", "1 when sentinel may act, 0 in observe mode."
        )
        self.chore_runs = counter(
            "sentinel_housekeeping_runs_total", "Runs of a chore by outcome.", "chore", "outcome"
        )
        self.chore_removed = counter(
            "sentinel_housekeeping_removed_total", "Things that a chore cleaned.", "chore"
        )
        self.chore_found = gauge(
            "sentinel_housekeeping_found", "Things to clean at the last look.", "chore"
        )
        self.chore_refused = counter(
            "sentinel_housekeeping_refused_total",
            "Things that a chore left, by reason.",
            "chore",
            "reason",
        )
        self.chore_last_run = gauge(
            "sentinel_housekeeping_last_run_timestamp_seconds", "When a chore last ended.", "chore"
        )
        self.reload_ok = gauge(
            "sentinel_config_last_reload_successful", "1 when the last reload was good."
        )
        self.reload_time = gauge(
            "sentinel_config_last_reload_success_timestamp_seconds", "Last good (re)load."
        )
        self.swallowed = counter(
            "sentinel_unclassified_errors_total", "Errors of sentinel's own code.", "place"
        )
        self.page_refused = counter(
            "sentinel_page_refused_total", "Connections that the page cut or refused.", "reason"
        )
        self.dropped = counter("sentinel_series_dropped_total", "Series not exported.", "reason")
        places = ("runner", "dispatcher", "scheduler", "recorder", "remediator", "daemon", "page")
        for place in places:
            self.swallowed.labels(place)
        for reason in ("cap", "invalid"):
            self.dropped.labels(reason)

    def add_check(self, name: str, component: str, interval: float) -> None:
        """Create the label sets of a check at zero, so that `rate()` sees the first failure."""
        for outcome in OUTCOMES:
            self.probe_runs.labels(name, outcome)
        self.probe_duration.labels(name)
        self.interval.labels(name).set(interval)
        self.set_check_status(name, component, Status.UNKNOWN)

    def describe_check(self, check: Check, faults: Iterable[str]) -> None:
        """What a check is of, and its faults, each at zero until one is found; accepted ones are
        counted where the configuration accepts any.
        """
        self._forget_description(check.name)
        resource = ",".join(sorted(set(check.resources.values())))
        borne = tuple(sorted({each.fault for each in check.accept}))
        known = _Described(check.component, check.kind, resource, tuple(faults), borne)
        self._described[check.name] = known
        self.check_info.labels(check.name, known.component, known.kind, resource).set(1)
        self.set_faults(check.name, {}, {})

    def set_faults(
        self, check: str, standing: Mapping[str, int], accepted: Mapping[str, int]
    ) -> None:
        """How many subjects have each fault of a check, and for how many somebody accepted it."""
        known = self._described[check]
        for fault in known.faults:
            self.faults.labels(check, known.component, fault).set(standing.get(fault, 0))
        for fault in known.borne:
            self.accepted.labels(check, known.component, fault).set(accepted.get(fault, 0))

    def _forget_description(self, name: str) -> None:
        known = self._described.pop(name, None)
        if known is None:
            return
        self.check_info.remove(name, known.component, known.kind, known.resource)
        for fault in known.faults:
            self.faults.remove(name, known.component, fault)
        for fault in known.borne:
            self.accepted.remove(name, known.component, fault)

    def add_supervised(self, component: str, *, exhausted: bool) -> None:
        """Create the label sets of a supervised component at zero."""
        for outcome in ATTEMPT_OUTCOMES:
            self.attempts.labels(component, outcome)
        self.exhausted.labels(component).set(exhausted)

    def remove_check(self, name: str, component: str) -> None:
        """Remove every series of a check that the configuration no longer has."""
        self._checks.pop(name, None)
        self._forget_description(name)
        for outcome in OUTCOMES:
            self.probe_runs.remove(name, outcome)
        for metric in (self.probe_duration, self.interval, self.last_success):
            metric.remove(name)
        for status in STATUSES:
            self.check_status.remove(name, component, status.value)

    def remove_component(self, name: str) -> None:
        """Remove every series of a component that the configuration no longer has."""
        for status in STATUSES:
            self.component_status.remove(name, status.value)
        for outcome in ATTEMPT_OUTCOMES:
            self.attempts.remove(name, outcome)
        for metric in (self.incidents_open, self.exhausted):
            metric.remove(name)

    def remove_chore(self, name: str, outcomes: Iterable[str]) -> None:
        """Remove every series of a chore that the configuration no longer has; refusals stay until
        the next start.
        """
        for outcome in outcomes:
            self.chore_runs.remove(name, outcome)
        for metric in (self.chore_removed, self.chore_found, self.chore_last_run):
            with suppress(KeyError):
                metric.remove(name)

    def set_check_status(self, name: str, component: str, status: Status) -> None:
        """One 0/1 series per status."""
        for each in STATUSES:
            self.check_status.labels(name, component, each.value).set(each is status)

    def set_component_status(self, name: str, status: Status) -> None:
        """One 0/1 series per status."""
        for each in STATUSES:
            self.component_status.labels(name, each.value).set(each is status)

    def observe(self, result: Result, measurements: Iterable[Measurement]) -> None:
        """Take a result in: its duration and outcome, and the rows of its finding."""
        self.probe_runs.labels(result.check, result.outcome).inc()
        self.probe_duration.labels(result.check).observe(result.duration)
        declared = {measurement.name: measurement for measurement in measurements}
        before = self._checks.get(result.check)
        kept = [] if before is None else _without_gauges(before)
        fresh = result.finding.status is not Status.UNKNOWN
        if fresh:
            self.last_success.labels(result.check).set(utcnow().timestamp() - result.duration)
        rows = list(result.finding.rows)
        if not _has_counts(
            result.finding, declared
        ):  # it failed, perhaps with a gauge that says so
            rows += kept
        self._checks[result.check] = _Exported(declared, rows)

    def exported(self) -> Iterator[tuple[str, _Exported]]:
        """Checks and their rows, by name. Every series bears its check: two never shadow each other."""
        yield from sorted(self._checks.items())

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)


def _has_counts(finding: Finding, declared: Mapping[str, Measurement]) -> bool:
    names = {name for row in finding.rows for name in row.values}
    return any(declared[name].type != "gauge" for name in names if name in declared)


def _without_gauges(exported: _Exported) -> list[Row]:
    rows = []
    for row in exported.rows:
        values = {
            name: value
            for name, value in row.values.items()
            if name in exported.measurements and exported.measurements[name].type != "gauge"
        }
        rows.append(Row(row.labels, values))
    return rows


class _Findings:
    """A prometheus_client collector over the latest rows."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Families of every declared measurement that has a metric name."""
        families: dict[str, _Family] = {}
        count = 0
        for check, exported in self._metrics.exported():
            for measurement, labels, value in _series(check, exported):
                count += 1
                if count > MAX_SERIES:
                    self._metrics.dropped.labels("cap").inc()
                    continue
                family = families.setdefault(measurement.metric, _Family(measurement))
                if not _fits(family.measurement, measurement, value):
                    self._metrics.dropped.labels("invalid").inc()
                else:
                    family.series[labels] = value
        yield from map(_metric, families.values())


def _series(
    check: str, exported: _Exported
) -> Iterator[tuple[Measurement, tuple[str, ...], float | HistogramValue]]:
    for row in exported.rows:
        for name, value in row.values.items():
            measurement = exported.measurements.get(name)
            if measurement is not None and measurement.metric:
                named = (str(row.labels.get(label, "")) for label in measurement.labels)
                labels = tuple(map(safe_label, (check, *named)))
                yield measurement, labels, value


def _fits(first: Measurement, measurement: Measurement, value: float | HistogramValue) -> bool:
    """One family has one set of labels and one type, and a value of that type: anything else would
    end the scrape.
    """
    if first.labels != measurement.labels or first.type != measurement.type:
        return False
    if isinstance(value, HistogramValue):
        return first.type == "histogram" and len(value.bounds) == len(value.counts)
    whole = isinstance(value, int) and abs(value) <= sys.float_info.max  # a float overflows beyond
    return first.type != "histogram" and (whole or isinstance(value, float))


def _metric(family: _Family) -> Metric:
    declared = family.measurement
    if declared.type == "histogram":
        return _histogram(family)
    kind = CounterMetricFamily if declared.type == "counter" else GaugeMetricFamily
    metric: Metric = kind(declared.metric, declared.help, labels=("check", *declared.labels))
    for labels, value in family.series.items():
        if isinstance(value, int | float):
            metric.add_metric(labels, float(value))  # type: ignore[attr-defined]
    return metric


def _histogram(family: _Family) -> Metric:
    declared = family.measurement
    metric = HistogramMetricFamily(
        declared.metric, declared.help, labels=("check", *declared.labels)
    )
    for labels, value in family.series.items():
        if isinstance(value, HistogramValue):
            buckets = [
                (str(bound), float(count))
                for bound, count in zip(value.bounds, value.counts, strict=True)
            ]
            metric.add_metric(labels, [*buckets, ("+Inf", float(value.total))], value.sum)
    return metric
