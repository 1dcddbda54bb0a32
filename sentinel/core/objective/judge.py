"""Where an objective stands: state, error budget, burn rates, forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sentinel.core.objective.burn import WINDOWS, judge_burn
from sentinel.core.objective.history import SliceHistory
from sentinel.core.objective.value import (
    Burn,
    Counts,
    Forecast,
    Objective,
    ObjectiveStanding,
    ObjectiveState,
    Slice,
)

FORECAST_BY = tuple(WINDOWS[name] for name in ("1h", "6h", "1d", "3d"))
SPURIOUS = 1e-6
"""Events by which sums of shares may differ: no contradiction of the counters."""


def judge(
    objective: Objective, count: Callable[[float], Counts], now: datetime
) -> ObjectiveStanding:
    """How an objective stands; `count` gives what was counted over the last so many seconds."""
    counts = count(objective.window)
    state = _decide_state(objective, counts)
    burns = {window: _burn(objective, window, count) for window in WINDOWS.values()}
    sound = state in {ObjectiveState.MET, ObjectiveState.MISSED}
    left = 1.0 - counts.bad / counts.total / objective.budget if sound else None
    return ObjectiveStanding(
        objective=objective,
        at=now,
        state=state,
        counts=counts,
        ratio=counts.ratio if sound else None,
        budget_left=left,
        observed=min(counts.seen / objective.window, 1.0),
        burns=tuple(burns.values()),
        forecast=_forecast(objective, left, burns),
        alarm=None if state is ObjectiveState.INVALID else judge_burn(objective, burns),
    )


def judge_slices(objective: Objective, slices: Sequence[Slice], now: datetime) -> ObjectiveStanding:
    """How an objective stood at an instant, from the rows of the store until then."""
    history = SliceHistory(each for each in slices if each.began < now)
    return judge(
        objective, lambda window: history.count_since(now - timedelta(seconds=window)), now
    )


def _decide_state(objective: Objective, counts: Counts) -> ObjectiveState:
    if counts.good > counts.total + SPURIOUS:
        return ObjectiveState.INVALID
    if counts.total <= 0:
        return ObjectiveState.NO_DATA
    if counts.total < objective.min_events - SPURIOUS:
        return ObjectiveState.INSUFFICIENT
    allowed = counts.total * objective.budget
    return ObjectiveState.MET if counts.bad <= allowed + SPURIOUS else ObjectiveState.MISSED


def _burn(objective: Objective, window: float, count: Callable[[float], Counts]) -> Burn:
    """No rate over more than the objective's own window, for what is older is not kept; nor where
    more events are good than there were.
    """
    if window > objective.window:
        return Burn(window, None, 0.0, 0.0)
    counts = count(window)
    if counts.bad < -SPURIOUS:
        return Burn(window, None, 0.0, 0.0)
    bad = max(counts.bad, 0.0)
    rate = bad / counts.total / objective.budget if counts.total > SPURIOUS else None
    return Burn(window, rate, max(counts.total, 0.0), bad)


def _forecast(objective: Objective, left: float | None, burns: dict[float, Burn]) -> Forecast:
    if left is None:
        return Forecast()
    if left <= 0:
        return Forecast(0.0, 0.0)
    rates = [burns[window] for window in FORECAST_BY if window <= objective.window]
    known = [each.rate for each in rates if each.rate is not None]
    ends = [left * objective.window / rate if rate > 0 else None for rate in known]
    finite = [end for end in ends if end is not None]
    latest = max(finite) if finite and len(finite) == len(ends) else None
    return Forecast(min(finite, default=None), latest)
