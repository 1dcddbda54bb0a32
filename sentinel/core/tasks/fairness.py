"""Fairness between tenants: does one of them wait much longer for an agent than the others?

Waits are of single tasks, open ones by their age; a wait within the deadline counts as the
deadline, because below it nobody is worse off. Only tenants with enough tasks are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TenantWait:
    """How long one tenant waits: 90th percentile and mean in seconds, of `tasks`, of which
    `waiting` are open.
    """

    tenant: str
    p90: float
    mean: float
    tasks: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Spread:
    """All tenants with enough tasks, in figures, and the most delayed of them, worst first.

    `best` is the smallest p90, `waited` the sum of all waits of all `tasks`; `means` and `squares`
    are sums over tenants of the mean wait and its square. Seconds.
    """

    tenants: int = 0
    tasks: int = 0
    best: float = 0.0
    waited: float = 0.0
    means: float = 0.0
    squares: float = 0.0
    worst: Sequence[TenantWait] = field(default=())

    @property
    def is_enough(self) -> bool:
        """Whether there is anybody to compare with."""
        return self.tenants > 1

    @property
    def ratio(self) -> float:
        """Largest p90 wait ÷ smallest; 1 when all are equal."""
        return self.worst[0].p90 / self.best if self.worst and self.best > 0 else 1.0

    @property
    def jain(self) -> float:
        """Jain's index of the mean waits, (Σx)² ÷ n·Σx²: 1 when all wait alike, 1/n when one does
        all the waiting.
        """
        return self.means**2 / (self.tenants * self.squares) if self.squares > 0 else 1.0

    def starved(self, limit: float) -> list[TenantWait]:
        """Tenants whose p90 is `limit` × the smallest p90 *and* whose mean is `limit` × the mean of
        all others.

        Both, because one short outage puts 11 % of one tenant's tasks above its p90 and 9 % of
        another's below it.
        """
        if not self.is_enough:
            return []
        return [
            wait
            for wait in self.worst
            if wait.p90 >= limit * self.best and self._is_apart(wait, limit)
        ]

    def _is_apart(self, wait: TenantWait, limit: float) -> bool:
        others = self.tasks - wait.tasks
        return wait.mean * others >= limit * (self.waited - wait.mean * wait.tasks)

    def describe(self, limit: float) -> dict[str, Any]:
        """Figures for the evidence: names of tenants are samples, never labels."""
        if not self.is_enough:
            return {"verdict": "insufficient data", "tenants": self.tenants}
        return {
            "tenants": self.tenants,
            "p90_ratio": self.ratio,
            "jain_index": self.jain,
            "least_delayed_p90_seconds": self.best,
            "most_delayed": [_describe(wait) for wait in self.worst[:5]],
            "starved": [wait.tenant for wait in self.starved(limit)],
        }


def _describe(wait: TenantWait) -> dict[str, Any]:
    return {
        "tenant": wait.tenant,
        "p90_seconds": wait.p90,
        "mean_seconds": wait.mean,
        "tasks": wait.tasks,
        "unassigned": wait.waiting,
    }
