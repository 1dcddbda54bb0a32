"""Two columns of status in one row: the flow's own, and one that another part of the platform
keeps. Each has its limits; together they must make sense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.flows.stuck import FlowSight


@dataclass(frozen=True, slots=True)
class SecondRules:
    """What is normal for the second status; all statuses canonical.

    `limits` by status, else what is learned, else `static`, in seconds. `conflicts`: statuses and
    second statuses that contradict each other. `end_together`: both are over, or none is.
    """

    column: str
    terminal: frozenset[str]
    waiting: frozenset[str] = frozenset()
    limits: Mapping[str, float] = field(default_factory=dict)
    static: float = 3600.0
    conflicts: Sequence[tuple[frozenset[str], frozenset[str]]] = ()
    end_together: bool = True


def find_conflict(sight: FlowSight, terminal: frozenset[str], rules: SecondRules) -> str:
    """How the two contradict each other, in words; "" where they agree, or one says nothing."""
    second = sight.second.status if sight.second is not None else ""
    if not second or not sight.status:
        return ""
    ended = sight.status in terminal, second in rules.terminal
    at_odds = rules.end_together and ended[0] != ended[1]
    if at_odds or any(sight.status in one and second in other for one, other in rules.conflicts):
        return f"status is {sight.status:.60}, {rules.column:.60} is {second:.60}"
    return ""
