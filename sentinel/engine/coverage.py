"""How much of what was due was really seen: the share of runs with an observed verdict in the last
hour.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

HOUR = 3600.0
BUCKET = 60.0


class Coverage:
    """Counts runs by minute. A skipped slot and a verdict that is unknown or blind were due and not
    seen.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets: deque[list[float]] = deque()

    def note(self, *, due: int, seen: int) -> None:
        """Add runs that were due, and how many of them gave an observed verdict."""
        now = self._monotonic()
        if not self._buckets or now - self._buckets[-1][0] >= BUCKET:
            self._buckets.append([now, 0, 0])
        self._buckets[-1][1] += due
        self._buckets[-1][2] += seen
        while now - self._buckets[0][0] > HOUR:
            self._buckets.popleft()

    def note_skipped(self, count: int) -> None:
        """Add slots in which a run was due and none began."""
        self.note(due=count, seen=0)

    def ratio(self) -> float:
        """Seen per due in the last hour; 1 before anything was due."""
        due = sum(bucket[1] for bucket in self._buckets)
        return sum(bucket[2] for bucket in self._buckets) / due if due else 1.0
