"""The figures of objectives: events that were counted, and where each objective stands.

Rules for Prometheus are made of the two counters: however many series an SLI has, an objective has
two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sentinel.core.objective import WINDOWS, Counts, Objective, ObjectiveStanding, ObjectiveState
from sentinel.metrics.family import Counter, FigureFamily, Gauge

EVENTS = "sentinel_objective_events_total"
GOOD = "sentinel_objective_good_total"
LABELS = ("objective", "check", "component")
BURNS: Mapping[float, str] = {seconds: name for name, seconds in WINDOWS.items()}

Gauges = Callable[..., FigureFamily[Gauge]]
Counters = Callable[..., FigureFamily[Counter]]


@dataclass(slots=True)
class ObjectiveFigures:
    """The families, and whose series there are."""

    events: FigureFamily[Counter]
    good: FigureFamily[Counter]
    target: FigureFamily[Gauge]
    ratio: FigureFamily[Gauge]
    left: FigureFamily[Gauge]
    observed: FigureFamily[Gauge]
    lasts: FigureFamily[Gauge]
    burn: FigureFamily[Gauge]
    state: FigureFamily[Gauge]

    def add(self, objective: Objective, counted: Counts) -> None:
        """Counters as far as they were `counted`, and the target, before the first event:
        `increase()` sees that one. Those that are there already stay.
        """
        labels = _labels_of(objective)
        for family, total in ((self.events, counted.total), (self.good, counted.good)):
            counter = family.labels(*labels)
            counter.inc(max(total - counter.value, 0.0))
        self.target.labels(*labels).set(objective.target)

    def remove(self, objective: Objective) -> None:
        """Take out every series of an objective that the configuration no longer has."""
        labels = _labels_of(objective)
        for family in (self.events, self.good, self.target):
            family.remove(*labels)
        self._show_figures(labels, {})
        self._show(self.burn, labels, dict.fromkeys(WINDOWS))
        self._show(self.state, labels, dict.fromkeys(ObjectiveState))

    def count(self, objective: Objective, counts: Counts) -> None:
        """So many more events, and so many of them good."""
        labels = _labels_of(objective)
        self.events.labels(*labels).inc(counts.total)
        self.good.labels(*labels).inc(counts.good)

    def show(self, standing: ObjectiveStanding) -> None:
        """Where an objective stands; what is not known is no series."""
        labels = _labels_of(standing.objective)
        figures = {
            "ratio": standing.ratio,
            "left": standing.budget_left,
            "observed": standing.observed,
            "lasts": standing.forecast.earliest,
        }
        self._show_figures(labels, figures)
        self._show(self.burn, labels, {BURNS[each.window]: each.rate for each in standing.burns})
        state: dict[str, float | None] = dict.fromkeys(ObjectiveState)
        self._show(self.state, labels, {**state, standing.state: 1.0})

    def _show_figures(self, labels: tuple[str, ...], figures: Mapping[str, float | None]) -> None:
        for name in ("ratio", "left", "observed", "lasts"):
            _put(getattr(self, name), labels, figures.get(name))

    def _show(
        self,
        family: FigureFamily[Gauge],
        labels: tuple[str, ...],
        figures: Mapping[str, float | None],
    ) -> None:
        for word, figure in figures.items():
            _put(family, (*labels, str(word)), figure)


def _put(family: FigureFamily[Gauge], labels: Collection[str], figure: float | None) -> None:
    if figure is None:
        family.remove(*labels)
    else:
        family.labels(*labels).set(figure)


def _labels_of(objective: Objective) -> tuple[str, str, str]:
    return objective.name, objective.check, objective.component


def declare_objectives(gauges: Gauges, counters: Counters) -> ObjectiveFigures:
    """Every family of objectives; `gauges` and `counters` make one of a name, a text, labels."""
    return ObjectiveFigures(
        events=counters(EVENTS, "Events that an objective counts.", *LABELS),
        good=counters(GOOD, "Good ones among the events of an objective.", *LABELS),
        target=gauges("sentinel_objective_target_ratio", "Share that has to be good.", *LABELS),
        ratio=gauges(
            "sentinel_objective_ratio", "Share that was good, within the window.", *LABELS
        ),
        left=gauges(
            "sentinel_objective_error_budget_remaining_ratio",
            "Share of the error budget that is left; below zero it is overspent.",
            *LABELS,
        ),
        observed=gauges(
            "sentinel_objective_observed_ratio",
            "Share of the window in which its check looked.",
            *LABELS,
        ),
        lasts=gauges(
            "sentinel_objective_budget_lasts_seconds",
            "Time until the budget is used up at the fastest burn rate from an hour to three days.",
            *LABELS,
        ),
        burn=gauges(
            "sentinel_objective_burn_rate",
            "How many times too fast the budget burns, by window.",
            *LABELS,
            "window",
        ),
        state=gauges("sentinel_objective_state", "1: its label is the state.", *LABELS, "state"),
    )
