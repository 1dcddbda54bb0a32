"""Does a child work? Its status alone is no evidence: where `active` is the status of creation, a
child that nobody has begun has it, too (platforms.md R14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.core.flows.stuck import FlowSight


@dataclass(frozen=True, slots=True)
class WorkSigns:
    """What proves that a child works, each of them alone; what is None or empty is not asked.

    `progress`: more than this; `flags`: columns that say so; `phases`: names of those behind
    `FlowSight.flags`. In a status of `unbegun` nothing proves it; with `by_status`, every other
    status does.
    """

    statuses: frozenset[str] = frozenset()
    unbegun: frozenset[str] = frozenset()
    by_status: bool = False
    progress: float | None = None
    flags: Sequence[str] = ()
    phases: Sequence[str] = ()


def find_work(sight: FlowSight, signs: WorkSigns) -> str:
    """The evidence in words; "" while there is none in the row itself."""
    if sight.status in signs.unbegun:
        return ""
    progress = sight.progress
    if signs.progress is not None and progress is not None and progress > signs.progress:
        return f"its progress is {progress:g}"
    if flags := [name for name in signs.flags if name in sight.begun]:
        return f"{flags[0]} says so"
    if phases := [name for name, flag in zip(signs.phases, sight.flags, strict=False) if flag]:
        return f"phase {phases[0]} is done"
    if signs.by_status or sight.status in signs.statuses:
        return f"status {sight.status}"
    return ""
