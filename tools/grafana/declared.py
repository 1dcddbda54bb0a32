"""Every metric that the product declares: of kinds, of sentinel itself, and of its recording rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from sentinel.metrics import Metrics
from sentinel.probes import load_kinds

RULES = Path(__file__).resolve().parents[2] / "dashboards" / "rules"
SCRAPED = frozenset({"instance", "job", "platform"})
"""Labels that the scrape adds."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One name of a sample; `labels` is None where a recording rule may have any."""

    name: str
    type: str
    labels: frozenset[str] | None

    def list_samples(self) -> Iterator[Declared]:
        """What Prometheus stores of it: a histogram is three."""
        if self.type != "histogram" or self.labels is None:
            yield self
            return
        yield Declared(f"{self.name}_bucket", "counter", self.labels | {"le"})
        yield Declared(f"{self.name}_count", "counter", self.labels)
        yield Declared(f"{self.name}_sum", "counter", self.labels)


@cache
def list_declared() -> Mapping[str, Declared]:
    """All of them by the names of their samples."""
    everything = (*_of_kinds(), *_of_sentinel(), *_of_rules())
    return {sample.name: sample for each in everything for sample in each.list_samples()}


def _of_kinds() -> Iterator[Declared]:
    for kind in load_kinds().values():
        for each in kind.measurements:
            if each.metric:
                yield Declared(each.metric, each.type, SCRAPED | {"check", *each.labels})


def _of_sentinel() -> Iterator[Declared]:
    for family in Metrics().families:
        yield Declared(family.sample, family.kind, SCRAPED | set(family.label_names))


def _of_rules() -> Iterator[Declared]:
    yield Declared("ALERTS", "gauge", None)
    for file in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    yield Declared(rule["record"], "gauge", None)
