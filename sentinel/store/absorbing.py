"""Turns of the pipeline that wait for a disk, put together: what is believed is there once, what
happened is there as often as it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sentinel.store import Changes

MAX_SAMPLES = 200_000
"""Points of figures that wait together; older ones are left out."""
_REPLACED: dict[str, Callable[[Any], object]] = {
    "checks": lambda view: view.name,
    "components": lambda view: view.name,
    "incidents": lambda incident: incident.id,
    "attempts": lambda attempt: (attempt.incident, attempt.n),
    "processes": lambda row: row.component,
    "faults": lambda each: (
        each.check,
        each.fault.key,
        frozenset(each.fault.subject.items()),
        each.began,
    ),
    "slices": lambda each: (each.source, each.began),
}
"""Lists of which the latest element counts, and by what it is known."""


def put_all_together(turns: Sequence[Changes]) -> list[Changes]:
    """These turns as few ones, in their order. Faults of before the clock was set follow it only when
    they are written: there it takes one more. What it costs grows with the number of turns.
    """
    found, at = list[Changes](), 0
    while at < len(turns):
        whole, count = put_together(turns[at:])
        found.append(whole)
        at += count
    return found


def put_together(turns: Sequence[Changes]) -> tuple[Changes, int]:
    """The first of these turns as one, and how many that are; they stay as they are."""
    count, has_faults = 0, False
    for turn in turns:
        if turn.clock_step and has_faults:
            break
        count, has_faults = count + 1, has_faults or bool(turn.faults)
    if count == 1:
        return turns[0], 1
    whole = Changes()
    _take_in(whole, turns[:count])
    return whole, count


def _take_in(whole: Changes, turns: Sequence[Changes]) -> None:
    whole.clock_step = sum((turn.clock_step for turn in turns), whole.clock_step)
    for name, key in _REPLACED.items():
        newest: dict[object, Any] = {}
        for turn in (whole, *turns):
            for each in getattr(turn, name):
                known = key(each)
                newest.pop(known, None)
                newest[known] = each
        setattr(whole, name, list(newest.values()))
    for turn in turns:
        for name in (
            "health",
            "probe_state",
            "tallies",
            "standings",
            "meta",
            "payloads",
            "answers",
        ):
            getattr(whole, name).update(getattr(turn, name))
        for name in ("transitions", "events", "gaps", "samples", "orders", "audit"):
            getattr(whole, name).extend(getattr(turn, name))
    del whole.samples[:-MAX_SAMPLES]
