"""A budget of requests, spread over its window: what several checks may ask of one server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks again and again: at most `requests` at a time, each `every` seconds."""

    name: str
    requests: int
    every: float

    def need(self, window: float) -> int:
        """The most requests that fall into any window of so many seconds."""
        return self.requests * (math.floor(window / self.every) + 1)


@dataclass(frozen=True, slots=True)
class RequestBudget:
    """At most `requests` in any `window` seconds. `at_once` of them may come together, the others
    evenly; `planned` is what is asked in a window when all goes well. At 0 nobody said, and all may
    come together.
    """

    requests: int
    window: float
    at_once: int = 0
    planned: int = 0

    def share(self, askers: Sequence[Asker]) -> RequestBudget:
        """The same budget for these: each may ask, and once more when its answer was bad."""
        together = sum(each.requests for each in askers)
        planned = sum(each.need(self.window) for each in askers)
        return RequestBudget(self.requests, self.window, min(2 * together, self.requests), planned)

    def find_interval(self, askers: Sequence[Asker]) -> int | None:
        """Whole seconds between two runs at which the budget lasts for all of them, or None."""
        runs = self.requests // max(sum(each.requests for each in askers), 1)
        return math.floor(self.window / runs) + 1 if runs else None

    @property
    def spacing(self) -> float:
        """Seconds in which one request comes back. What may come together is kept apart, so that the
        window is kept, too; but who has planned more is not held back.
        """
        even = max(self.requests - self.at_once, min(self.planned, self.requests), 1)
        return self.window / even


@dataclass(slots=True)
class Pacer:
    """What is left of a budget. Instants are monotonic seconds."""

    budget: RequestBudget
    _sent: deque[float] = field(default_factory=deque)
    _level: float = 0.0
    """Requests that have not come back yet, at the instant of the latest."""

    def take(self, now: float) -> float:
        """Take one request, and 0; or the seconds until there is one, and nothing is taken."""
        budget = self.budget
        while self._sent and self._sent[0] <= now - budget.window:
            self._sent.popleft()
        level = self._find_level(now)
        waits = [0.0]
        if len(self._sent) >= budget.requests:
            waits.append(self._sent[0] + budget.window - now)
        if budget.at_once and level > budget.at_once - 1 + _ROUNDING:
            waits.append((level - budget.at_once + 1) * budget.spacing)
        if max(waits) == 0.0:
            self._sent.append(now)
            self._level = level + 1
        return max(waits)

    def follow(self, budget: RequestBudget) -> None:
        """Go on under another budget: what was sent counts."""
        self.budget = budget

    def _find_level(self, now: float) -> float:
        since = now - self._sent[-1] if self._sent else self.budget.window
        return max(self._level - since / self.budget.spacing, 0.0)


_ROUNDING = 1e-9
