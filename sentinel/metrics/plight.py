"""What stands in the way of components: those that flap, and those that wait for others."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel.metrics.family import FigureFamily, Gauge


@dataclass(slots=True)
class Plights:
    """The families, and for which one each component waits."""

    flapping: FigureFamily[Gauge]
    blocked: FigureFamily[Gauge]
    _by: dict[str, str] = field(default_factory=dict)

    def show(self, component: str, *, flapping: bool, blocked_by: str) -> None:
        """Whether a component flaps, and for which one it waits, "" for none."""
        self.flapping.labels(component).set(flapping)
        before = self._by.pop(component, "")
        if before and before != blocked_by:
            self.blocked.remove(component, before)
        if blocked_by:
            self._by[component] = blocked_by
            self.blocked.labels(component, blocked_by).set(1)

    def remove(self, component: str) -> None:
        """Take out every series of a component that the configuration no longer has."""
        self.flapping.remove(component)
        self.blocked.remove(component, self._by.pop(component, ""))
