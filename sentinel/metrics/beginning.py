"""When faults began: what came and went between two scrapes is told to whoever comes after it.

An instant, not a count. A count that appears at 1 has no increase, and one at 0 beforehand for
each fault that a kind declares would be twenty series of a healthy check. An instant needs none
before it, and its age is the same for a Prometheus that was away meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sentinel.metrics.family import FigureFamily, Gauge

KEPT = 3600.0
"""Seconds for which an instant is exported: rules ask for ten minutes, and a healthy check has no
series of this.
"""


@dataclass(slots=True)
class Beginnings:
    """The family, and which of its series each check has: by component and fault."""

    family: FigureFamily[Gauge]
    _of: dict[str, dict[tuple[str, str], Gauge]] = field(default_factory=dict)

    def note(self, check: str, component: str, begun: Mapping[str, float]) -> None:
        """Faults of a check began, by key: when the latest did, in seconds since the epoch."""
        for fault, at in begun.items():
            series = self.family.labels(check, component, fault)
            series.set(round(at, 3))
            self._of.setdefault(check, {})[component, fault] = series

    def forget(self, now: float) -> None:
        """Take out what began long ago, or by a clock that was set back since. `now` in seconds since
        the epoch.
        """
        for check, known in list(self._of.items()):
            for names in [key for key, each in known.items() if abs(now - each.value) > KEPT]:
                del known[names]
                self.family.remove(check, *names)
            if not known:
                del self._of[check]

    def remove(self, check: str) -> None:
        """Take out every series of a check that the configuration no longer has."""
        for names in self._of.pop(check, {}):
            self.family.remove(check, *names)


def declare_beginnings(gauges: Callable[..., FigureFamily[Gauge]]) -> Beginnings:
    """The family of them."""
    text = "When a fault last began that nobody had accepted; told for an hour."
    name = "sentinel_fault_last_begun_timestamp_seconds"
    return Beginnings(gauges(name, text, "check", "component", "fault"))
