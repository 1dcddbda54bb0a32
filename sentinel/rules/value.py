"""Rules for Prometheus as values: records and alerts, in groups, in files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sentinel.core.fault import Severity
from sentinel.core.foreign.visible import make_visible

NOBODY = "none"
"""Severity of what always fires: it calls nobody."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where whoever is called finds runbooks and dashboards: addresses without a slash at the end."""

    runbooks: str
    dashboards: str

    def runbook(self, name: str) -> str:
        """Address of a runbook."""
        return f"{verbatim(self.runbooks)}/{quote(name, safe='')}"

    def board(self, name: str, *labels: str) -> str:
        """Address of a dashboard, limited to what an alert is about: labels are its variables."""
        query = "&".join(f"var-{label}={{{{ $labels.{label} }}}}" for label in labels)
        return f"{verbatim(self.dashboards)}/d/sentinel-{name}{f'?{query}' if query else ''}"


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A recording rule."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        document: dict[str, Any] = {"record": self.name, "expr": self.expr}
        return document | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. It fires when `expr` has held for `hold` seconds, and goes on for `keep`."""

    name: str
    expr: str
    severity: Severity | str
    summary: str
    description: str
    runbook_url: str
    dashboard: str
    hold: float = 0.0
    keep: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_labels(self) -> dict[str, str]:
        """What it adds to the labels of its series."""
        own = {key: verbatim(value) for key, value in self.labels.items()}
        return {"severity": str(self.severity), **own}

    @property
    def annotations(self) -> dict[str, str]:
        """What people read."""
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": self.runbook_url,
            "dashboard": self.dashboard,
        }

    def document(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        document: dict[str, Any] = {"alert": self.name, "expr": self.expr}
        for key, seconds in (("for", self.hold), ("keep_firing_for", self.keep)):
            if seconds:
                document[key] = write_time(seconds)
        return document | {"labels": self.all_labels, "annotations": self.annotations}


Rule = RecordingRule | Alert


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated one after the other."""

    name: str
    rules: Sequence[Rule]

    def document(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        return {"name": self.name, "rules": [rule.document() for rule in self.rules]}


def write_time(seconds: float) -> str:
    """A duration as PromQL has it, in its largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{math.ceil(seconds * 1000)}ms"


def write_share(share: float) -> str:
    """A share as a person would write it."""
    return f"{share:.10g}"


def name_alert(*words: str) -> str:
    """`SentinelBusDeliveryLost` of `bus_delivery`, `lost`."""
    parts = (part for word in words for part in re.split(r"[^A-Za-z0-9]+", word))
    return "Sentinel" + "".join(part[:1].upper() + part[1:] for part in parts)


def quote_label(text: str) -> str:
    """A label's value in a selector."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def plain(text: str) -> str:
    """A text of ours or of a configuration inside an annotation: one line in which nothing is a
    template, and nothing invisible.
    """
    return verbatim(" ".join(make_visible(text).split()))


def verbatim(text: str) -> str:
    """A text in the words of Go's templates: braces that would begin an action become one that
    writes them. Prometheus reads annotations and the labels of alerts so.
    """
    return re.sub(r"\{{2,}", lambda braces: f'{{{{"{braces[0]}"}}}}', text)
