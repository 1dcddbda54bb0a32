"""When each check ran last, in one small row for all: a view is written when it says something new,
and its figures are as old as it says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sentinel.store import CheckView
from sentinel.store.document import read_instant, write_instant

LOOKS = "looks"
"""Under this word the daemon remembers it: JSON, {at: instant, ran: {check: [seconds before, runs]}}."""
ROUNDED = timedelta(seconds=0.01)


def write_looks(at: datetime, ran: Mapping[str, tuple[datetime, int]]) -> str:
    """As it was at an instant: when each check began last, and how often it ran."""
    found = {name: [round((at - last).total_seconds(), 2), n] for name, (last, n) in ran.items()}
    return json.dumps({"at": write_instant(at), "ran": found}, separators=(",", ":"))


def lay_looks_over(views: Iterable[CheckView], word: str | None) -> list[CheckView]:
    """The views with when they ran last, where that is later than what they tell of."""
    known: dict[str, Any] = json.loads(word) if word else {"at": "", "ran": {}}
    return [_lay_over(view, known["at"], *known["ran"].get(view.name, (0.0, -1))) for view in views]


def _lay_over(view: CheckView, noted: str, ago: float, runs: int) -> CheckView:
    if runs < view.runs:
        return view
    at = read_instant(noted)
    looked = at - timedelta(seconds=ago)
    if view.last_run is not None and looked < view.last_run - ROUNDED:  # of an earlier start
        return view
    return replace(view, runs=runs, looked=looked, noted=at)
