"""Objectives and how they stand: targets for events that were judged once each, over a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sentinel.core.fault import Severity

UP, WORKING = "up", "working"
LOOK_SLIS = {
    UP: "looks that found the target up",
    WORKING: "looks that found the target up or degraded",
}
"""SLIs that every kind has: each observed verdict is one event, what nobody saw is none."""
MIN_EVENTS = 20
"""Fewer events are judged by nobody who was not told otherwise."""
MIN_WINDOW, MAX_WINDOW = 3600.0, 90 * 86400.0
"""Seconds that the window of an objective may have."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A target, as it is configured: so large a share of the events within `window` seconds is to
    be good. With fewer than `min_events` nothing is claimed and nobody is paged.
    """

    name: str
    check: str
    component: str
    sli: str
    target: float
    window: float
    min_events: int = MIN_EVENTS
    title: str = ""
    description: str = ""
    runbook: str = ""
    origin: str = field(default="", compare=False)
    """Where it is written, as file:line; only while the configuration is read."""

    @property
    def source(self) -> str:
        """What is counted for it: objectives for one SLI of one check share it."""
        return f"{self.check}/{self.sli}"

    @property
    def budget(self) -> float:
        """Share of events that may be bad: of 0.9 it is 0.1, and not what floats leave of it."""
        return round(1.0 - self.target, 12)


@dataclass(frozen=True, slots=True)
class Counts:
    """Events, how many of them were good, and for how many seconds somebody looked."""

    good: float = 0.0
    total: float = 0.0
    seen: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.good + other.good, self.total + other.total, self.seen + other.seen)

    def __bool__(self) -> bool:
        return bool(self.good or self.total or self.seen)

    @property
    def bad(self) -> float:
        """Events that were not good; less than none when the counters contradict each other."""
        return self.total - self.good

    @property
    def ratio(self) -> float | None:
        """Share of good events; of none there is no share."""
        return self.good / self.total if self.total > 0 else None

    def share(self, part: float) -> Counts:
        """As much of it as fell into a part of its time."""
        return Counts(self.good * part, self.total * part, self.seen * part)


@dataclass(frozen=True, slots=True)
class Slice:
    """What was counted for a source between two instants: a row of the store."""

    source: str
    began: datetime
    ended: datetime
    counts: Counts


class ObjectiveState(StrEnum):
    """Where an objective stands. Only `met` is a pass: what nobody measured is never met."""

    MET = "met"
    MISSED = "missed"
    INSUFFICIENT = "insufficient"
    """Fewer events than `min_events`."""
    NO_DATA = "no_data"
    """No event at all."""
    INVALID = "invalid"
    """More good events than events: what counts them is wrong, and so would be any figure."""


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast the budget was used up over the last so many seconds: 1 uses it up exactly within
    the objective's window. None where nothing happened. `events` and `bad` are what it is made of.
    """

    window: float
    rate: float | None
    events: float
    bad: float

    @property
    def share(self) -> float:
        """Share of bad events; none of none."""
        return self.bad / self.events if self.events > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until the budget is used up, if events go on as they did over the last hour up to
    three days: by the fastest and by the slowest of these rates. None: not at such a rate.
    """

    earliest: float | None = None
    latest: float | None = None


@dataclass(frozen=True, slots=True)
class ObjectiveStanding:
    """How an objective stood at an instant: what page, command line, reports and gate show.

    `ratio` is the share of good events within the window, `budget_left` the share of the error
    budget that is left: below zero it is overspent. Both are None while nothing is claimed.
    `observed` is the share of the window in which somebody looked; events of other times are in
    no figure. `maintenance` is how many seconds of the window people worked on the component:
    nothing of them is in any other figure.
    """

    objective: Objective
    at: datetime
    state: ObjectiveState
    counts: Counts
    ratio: float | None
    budget_left: float | None
    observed: float
    burns: tuple[Burn, ...]
    forecast: Forecast
    alarm: Severity | None = None
    """Whom its burn rate calls: as the alerts of Prometheus have it."""
    maintenance: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether it passes."""
        return self.state is ObjectiveState.MET

    def find_burn(self, window: float) -> Burn | None:
        """The burn over so many seconds, where it is measured."""
        return next((burn for burn in self.burns if burn.window == window), None)
