"""What /metrics says, as Prometheus' own client reads it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from sentinel.metrics import Metrics

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def read_samples(text: str) -> Samples:
    """Every sample by name and sorted labels; a series that is there twice is an error."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def read_sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One figure, or None."""
    return read_samples(metrics.render().decode()).get((name, tuple(sorted(labels.items()))))
