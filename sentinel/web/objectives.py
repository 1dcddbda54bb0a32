"""How every objective stands, as JSON-able documents: the page, the API and `sentinel objectives`
show these.
"""

from __future__ import annotations

from typing import Any

from sentinel.core.objective import (
    WINDOWS,
    Forecast,
    ObjectiveStanding,
    ObjectiveState,
)
from sentinel.core.quantity import format_duration
from sentinel.store import Reader
from sentinel.store.document import to_json

Document = dict[str, Any]
NAMES = {seconds: name for name, seconds in WINDOWS.items()}
SHOWN = {
    ObjectiveState.MET: "up",
    ObjectiveState.MISSED: "down",
    ObjectiveState.INSUFFICIENT: "unknown",
    ObjectiveState.NO_DATA: "unknown",
    ObjectiveState.INVALID: "unknown",
}
"""As which status a state is shown: only one of them is good."""
WORDS = {
    ObjectiveState.NO_DATA: "no data",
    ObjectiveState.INVALID: "invalid: more good events than events",
}


def list_objectives(store: Reader) -> list[Document]:
    """Every objective by name, as it stood at the last look. Shares are ratios, times seconds; what
    nobody measured is null.
    """
    return [describe_objective(each) for each in store.objectives()]


def describe_objective(standing: ObjectiveStanding) -> Document:
    """One objective: target, state, events, budget, burn rates, forecast; `…_text` for people."""
    objective, counts = standing.objective, standing.counts
    document: Document = to_json(
        {
            "name": objective.name,
            "title": objective.title or objective.name,
            "description": objective.description,
            "check": objective.check,
            "component": objective.component,
            "sli": objective.sli,
            "target": objective.target,
            "window": objective.window,
            "min_events": objective.min_events,
            "runbook": objective.runbook,
            "at": standing.at,
            "state": standing.state,
            "status": "degraded" if standing.is_met and standing.alarm else SHOWN[standing.state],
            "state_text": WORDS.get(standing.state, standing.state.value),
            "good": counts.good,
            "events": counts.total,
            "ratio": standing.ratio,
            "budget_left": standing.budget_left,
            "observed": standing.observed,
            "maintenance": standing.maintenance,
            "alarm": standing.alarm,
            "burn": {NAMES[each.window]: each.rate for each in standing.burns},
            "budget_lasts": [standing.forecast.earliest, standing.forecast.latest],
        }
    )
    return document | _texts(standing)


def _texts(standing: ObjectiveStanding) -> Document:
    counts, objective = standing.counts, standing.objective
    seen, worked = format_duration(counts.seen), standing.maintenance
    left_out = f", {format_duration(worked)} of maintenance left out" if worked else ""
    return {
        "target_text": f"{show_share(objective.target)} over {format_duration(objective.window)}",
        "ratio_text": show_share(standing.ratio),
        "events_text": f"{counts.good:,.0f} of {counts.total:,.0f}",
        "budget_text": show_share(standing.budget_left, 0),
        "observed_text": f"{seen} of {format_duration(objective.window)}{left_out}",
        "forecast_text": _show_forecast(standing.forecast),
        "alarm_text": f"burns: {standing.alarm}" if standing.alarm else "",
    }


def show_share(share: float | None, digits: int = 3) -> str:
    """A share in percent, cut and never rounded up: 99.9996 % is not 100 %."""
    if share is None:
        return "–"
    scale = 10**digits
    cut = (share * 100 * scale + 1e-6) // 1 / scale
    return f"{cut:.{digits}f}".rstrip("0").rstrip(".") + " %" if digits else f"{cut:.0f} %"


def _show_forecast(forecast: Forecast) -> str:
    earliest, latest = forecast.earliest, forecast.latest
    if earliest is None:
        return "–"
    if earliest <= 0:
        return "used up"
    if latest is None:
        return f"{format_duration(earliest)} or more"
    if latest < 1.1 * earliest:
        return format_duration(earliest)
    return f"{format_duration(earliest)} to {format_duration(latest)}"
