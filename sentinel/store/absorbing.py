"""Turns of the pipeline that wait for a disk, put together: what is believed is there once, what
happened is there as often as it did.
"""

from __future__ import annotations

from collections.abc import Callable
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


def absorb(earlier: Changes, later: Changes) -> bool:
    """Take the later turn into the earlier one: written, both are as one after the other. False
    when that can't be: faults of before the clock was set follow it only when they are written.
    """
    if later.clock_step and earlier.faults:
        return False
    earlier.clock_step += later.clock_step
    for name, key in _REPLACED.items():
        newest: dict[object, Any] = {}
        for each in (*getattr(earlier, name), *getattr(later, name)):
            newest.pop(key(each), None)
            newest[key(each)] = each
        setattr(earlier, name, list(newest.values()))
    for name in ("health", "probe_state", "marks", "standings", "meta"):
        getattr(earlier, name).update(getattr(later, name))
    for name in ("transitions", "events", "gaps", "samples", "orders"):
        getattr(earlier, name).extend(getattr(later, name))
    del earlier.samples[:-MAX_SAMPLES]
    return True
