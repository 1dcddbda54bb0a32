"""Figures about ourselves and about what is believed of components, every few seconds."""

from __future__ import annotations

from sentinel.engine.assembly import Engine
from sentinel.metrics import Metrics


def show_condition(engine: Engine, metrics: Metrics) -> None:
    """How sentinel keeps up, what it can't do, and which components flap or wait for others."""
    metrics.overdue.set(len(engine.scheduler.overdue()))
    metrics.coverage.set(engine.coverage.ratio())
    metrics.fenced.set(bool(engine.automation.fenced))
    for name in engine.picture.components:
        incident = engine.picture.incidents.get(name)
        metrics.plights.show(
            name,
            flapping=engine.picture.is_flapping(name),
            blocked_by=incident.blocked_by if incident is not None else "",
        )
