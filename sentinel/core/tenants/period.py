"""What the records of a period show: how often each way was tried at each place, and what came of it.
Pure.

A stretch without a try that could be judged is the longest for which nobody can say anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sentinel.core.tenants.trial import ERROR, LEAK, PASS, TrialRecord


@dataclass(frozen=True, slots=True)
class TrialSum:
    """One way to get at one place, over a period. `blind`: the longest time in seconds without a try
    that could be judged, the beginning and the end of the period included.
    """

    check: str
    way: str
    place: str
    passed: int = 0
    leaked: int = 0
    unjudged: int = 0
    first: datetime | None = None
    last: datetime | None = None
    blind: float = 0.0
    leaks: Sequence[tuple[datetime, datetime]] = ()

    @property
    def tries(self) -> int:
        """All of them."""
        return self.passed + self.leaked + self.unjudged


def add_up(
    records: Iterable[tuple[str, TrialRecord]], began: datetime, ended: datetime
) -> list[TrialSum]:
    """Each (check, record) in the order in which they were written; those of the period count, one that
    reaches into it counts whole.
    """
    sums: dict[tuple[str, str, str], TrialSum] = {}
    for check, record in records:
        if record.ended < began or record.began > ended:
            continue
        for way, place, result in record.list_places():
            key = (check, way, place)
            sums[key] = _add(sums.get(key) or TrialSum(check, way, place), record, result, began)
    return [_end(each, ended, began) for _, each in sorted(sums.items())]


def _add(so_far: TrialSum, record: TrialRecord, result: str, began: datetime) -> TrialSum:
    if result == ERROR:
        return replace(so_far, unjudged=so_far.unjudged + record.looks)
    blind = max(so_far.blind, record.pause, _between(so_far.last or began, record.began))
    found = replace(so_far, blind=blind, first=so_far.first or record.began, last=record.ended)
    if result == PASS:
        return replace(found, passed=found.passed + record.looks)
    if result != LEAK:
        return found
    leaks = list(found.leaks)
    if leaks and leaks[-1][1] >= record.began:
        leaks[-1] = leaks[-1][0], record.ended
    else:
        leaks.append((record.began, record.ended))
    return replace(found, leaked=found.leaked + record.looks, leaks=tuple(leaks))


def _end(each: TrialSum, ended: datetime, began: datetime) -> TrialSum:
    return replace(each, blind=max(each.blind, _between(each.last or began, ended)))


def _between(earlier: datetime, later: datetime) -> float:
    return max(0.0, (later - earlier).total_seconds())
