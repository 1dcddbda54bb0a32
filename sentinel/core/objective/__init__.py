"""Objectives: events that were judged once each against a target, the error budget that is left of
it, and how fast it burns.
"""

from sentinel.core.objective.burn import BURN_ALERTS, WINDOWS, BurnAlert, choose_alerts
from sentinel.core.objective.count import Count, Marks, Tally, count_gains, count_look
from sentinel.core.objective.history import SLICE, SliceHistory
from sentinel.core.objective.judge import judge, judge_slices
from sentinel.core.objective.value import (
    LOOK_SLIS,
    MAX_WINDOW,
    MIN_EVENTS,
    MIN_WINDOW,
    Burn,
    Counts,
    Forecast,
    Objective,
    ObjectiveStanding,
    ObjectiveState,
    Slice,
)

__all__ = [
    "BURN_ALERTS",
    "LOOK_SLIS",
    "MAX_WINDOW",
    "MIN_EVENTS",
    "MIN_WINDOW",
    "SLICE",
    "WINDOWS",
    "Burn",
    "BurnAlert",
    "Count",
    "Counts",
    "Forecast",
    "Marks",
    "Objective",
    "ObjectiveStanding",
    "ObjectiveState",
    "Slice",
    "SliceHistory",
    "Tally",
    "choose_alerts",
    "count_gains",
    "count_look",
    "judge",
    "judge_slices",
]
