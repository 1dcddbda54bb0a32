"""The critical path: the chain of milestones whose times add up to the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sentinel.core.component.dependencies import put_in_order

Needs = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """`names` in their order, `seconds` of all of them; `slack`: by how much each milestone may be
    late before the end is. `unknown`: milestones without a duration, taken as 0: the end is later.
    """

    names: tuple[str, ...]
    seconds: float
    slack: Mapping[str, float]
    unknown: tuple[str, ...]


def find_critical_path(needs: Needs, durations: Mapping[str, float | None]) -> CriticalPath:
    """Of milestones that need each other (no circle), with the seconds that each still takes; None
    where nobody knows. What is over takes 0 and is on no path.
    """
    order = put_in_order(list(durations), needs)
    length = {name: durations[name] or 0.0 for name in order}
    begin: dict[str, float] = {}
    for name in order:
        begin[name] = max((begin[n] + length[n] for n in needs[name] if n in length), default=0.0)
    end = max((begin[name] + length[name] for name in order), default=0.0)
    return CriticalPath(
        _walk_back(needs, begin, length, end),
        end,
        _find_slack(order, needs, begin, length, end),
        tuple(name for name in order if durations[name] is None),
    )


def _walk_back(
    needs: Needs, begin: Mapping[str, float], length: Mapping[str, float], end: float
) -> tuple[str, ...]:
    """From the last milestone to the first, always to the need that ended last."""
    if end <= 0:
        return ()
    name = min((n for n in begin if begin[n] + length[n] == end), key=lambda n: (-length[n], n))
    path = [name]
    while begin[name] > 0:
        latest = begin[name]
        known = [n for n in needs[name] if n in begin]
        name = min(n for n in known if begin[n] + length[n] == latest)
        path.append(name)
    return tuple(n for n in reversed(path) if length[n] > 0)


def _find_slack(
    order: list[str],
    needs: Needs,
    begin: Mapping[str, float],
    length: Mapping[str, float],
    end: float,
) -> dict[str, float]:
    latest = dict.fromkeys(order, end)
    for name in reversed(order):
        for need in needs[name]:
            if need in latest:
                latest[need] = min(latest[need], latest[name] - length[name])
    return {name: latest[name] - begin[name] - length[name] for name in order}
