"""Which burn rates call somebody: four pairs of windows, as in the SRE workbook, chapter 5.

Sentinel judges by them itself, and the rules for Prometheus are made of the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sentinel.core.fault import Severity
from sentinel.core.objective.value import Burn, Objective

WINDOWS: Mapping[str, float] = {
    "5m": 300.0,
    "30m": 1800.0,
    "1h": 3600.0,
    "2h": 7200.0,
    "6h": 21600.0,
    "1d": 86400.0,
    "3d": 259200.0,
}
"""Seconds of each window, by its name in PromQL."""
OUTAGE = 0.9
"""Share of bad events that is an outage at any target."""


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """The budget burns `factor` times too fast, over a long time and still over a short one.

    `bad` is how many bad events there must be within the long window: one of two is no page.
    """

    word: str
    severity: Severity
    factor: float
    long: str
    short: str
    bad: int

    def limit(self, objective: Objective) -> float:
        """Share of bad events above which it calls. At a low target so many times the budget may be
        more than everything: an outage calls all the same.
        """
        return min(round(self.factor * objective.budget, 12), OUTAGE)


BURN_ALERTS = (
    BurnAlert("fast", Severity.PAGE, 14.4, "1h", "5m", 5),
    BurnAlert("slow", Severity.PAGE, 6.0, "6h", "30m", 10),
    BurnAlert("day", Severity.TICKET, 3.0, "1d", "2h", 10),
    BurnAlert("week", Severity.TICKET, 1.0, "3d", "6h", 15),
)


def choose_alerts(objective: Objective) -> tuple[BurnAlert, ...]:
    """Those whose long window is no longer than the objective's own."""
    return tuple(each for each in BURN_ALERTS if WINDOWS[each.long] <= objective.window)


def judge_burn(objective: Objective, burns: Mapping[float, Burn]) -> Severity | None:
    """Whom the burn rates call now, or nobody; `burns` by their window in seconds."""
    for alert in choose_alerts(objective):
        long, short = burns[WINDOWS[alert.long]], burns[WINDOWS[alert.short]]
        enough = long.events >= objective.min_events and long.bad >= alert.bad
        if enough and min(long.share, short.share) > alert.limit(objective):
            return alert.severity
    return None
