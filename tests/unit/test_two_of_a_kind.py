"""Two checks of one kind side by side, of every kind: none hides or changes a figure of the other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sentinel.core.fault import Fault, Status
from sentinel.core.model import Check, Finding, Histogram, Measurement, Result, Row
from sentinel.metrics import Metrics
from sentinel.probes import Kind, load_kinds
from tests.exposition import Samples, read_sample, read_samples

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
KINDS = load_kinds()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_good_and_a_bad_one(kind: Kind) -> None:
    """The good one's figures and zeros are all there, and stay when the other one fails."""
    metrics = Metrics()
    for name in ("good", "bad"):
        check = Check(name, kind.name, f"{name}-component", 5.0, 1.0, None)
        metrics.add_check(check)
    observe(metrics, kind, "good", Finding(Status.UP, "well", rows(kind, 1.0)))
    observe(metrics, kind, "bad", Finding(Status.UP, "well", rows(kind, 7.0)))
    before = series_of(metrics, "good")
    fault = Fault(kind.faults[0].key if kind.faults else "threshold", {}, Status.DOWN, "away")
    observe(metrics, kind, "bad", Finding(Status.DOWN, "away", faults=(fault,)))
    metrics.set_faults("bad", {fault.key: 1}, {})
    assert series_of(metrics, "good") == before
    exported = {name for name, _ in before}
    for measurement in kind.measurements:
        assert not measurement.metric or any(
            name.startswith(measurement.metric) for name in exported
        )
    assert counted(metrics, "good", fault.key) is None
    assert counted(metrics, "bad", fault.key) == 1.0


def observe(metrics: Metrics, kind: Kind, check: str, finding: Finding) -> None:
    """One run of a check."""
    metrics.observe(Result(check, finding, NOW, 0.01, "t"), kind.measurements)


def rows(kind: Kind, value: float) -> list[Row]:
    """Every figure that a kind declares, of a subject that both checks have."""
    return [
        Row(dict.fromkeys(each.labels, "same"), {each.name: figure(each, value)})
        for each in kind.measurements
    ]


def figure(measurement: Measurement, value: float) -> float | Histogram:
    """A value of the declared type."""
    if measurement.type != "histogram":
        return value
    return Histogram((0.1, 1.0), (1, int(value)), int(value), value)


def series_of(metrics: Metrics, check: str) -> Samples:
    """Every sample that bears a check."""
    found = read_samples(metrics.render().decode())
    return {key: value for key, value in found.items() if ("check", check) in key[1]}


def counted(metrics: Metrics, check: str, fault: str) -> float | None:
    """What `sentinel_faults` says."""
    labels = {"check": check, "component": f"{check}-component", "fault": fault}
    return read_sample(metrics, "sentinel_faults", **labels)
