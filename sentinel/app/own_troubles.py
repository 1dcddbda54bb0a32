"""What of sentinel itself does not work: for the page, the status and the figures."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel.core.quantity import format_duration, format_times
from sentinel.log import count_dropped, stuck_for
from sentinel.metrics import Metrics
from sentinel.metrics.cap import describe_left_out

TOLD_FOR = 600.0
"""Seconds for which it is said that something failed."""
SAID_BY_CHECK = "runner"
"""What a probe raises is what its check says of itself."""
LOG = "log"
SCHEDULE = "schedule"
READER = "what reads its stderr stands still, or that disk is full"


@dataclass(slots=True)
class OwnTroubles:
    """Counts over the last ten minutes, by part."""

    metrics: Metrics
    dropped: Callable[[], int] = count_dropped
    stuck: Callable[[], float] = stuck_for
    monotonic: Callable[[], float] = time.monotonic
    state: Callable[[], str] = str
    """Why the state can't be written, or ""."""
    _totals: dict[str, float] = field(default_factory=dict)
    _recent: deque[tuple[float, str, int]] = field(default_factory=deque)

    def look(self) -> list[str]:
        """One sentence for each part that failed of late, or does not work now."""
        now = self.monotonic()
        for part, total in self._count().items():
            more, self._totals[part] = int(total - self._totals.get(part, 0)), total
            if more > 0:
                self._recent.append((now, part, more))
                self.metrics.log_dropped.inc(more if part == LOG else 0)
        while self._recent and now - self._recent[0][0] > TOLD_FOR:
            self._recent.popleft()
        counts = Counter[str]()
        for _, part, more in self._recent:
            counts[part] += more
        told = [_describe(part, counts[part]) for part in sorted(counts)]
        seconds = self.stuck()
        if seconds:
            told.append(
                f"nobody has taken a line of its log for {format_duration(seconds)}: {READER}"
            )
        if trouble := self.state():
            told.append(f"its state can't be written: {trouble}")
        if self.metrics.left_out:
            told.append(describe_left_out(self.metrics.left_out))
        return [f"sentinel itself: {each}" for each in told]

    def _count(self) -> dict[str, float]:
        """Since the start."""
        found: dict[str, float] = {LOG: self.dropped(), SCHEDULE: self.metrics.shed}
        for (part,), count in self.metrics.swallowed.figures().items():
            if part != SAID_BY_CHECK:
                found[part] = count
        return found


def _describe(part: str, count: int) -> str:
    if part == LOG:
        return f"{count:,} lines of its log were dropped within 10 min: {READER}"
    if part == SCHEDULE:
        return (
            f"it does not keep up: {count:,} runs of checks were left out within 10 min, those first"
            " that run most often; give checks longer intervals, or sentinel more of a processor"
        )
    return (
        f"its part {part} failed {format_times(count)} within 10 min; its log says what was raised"
    )
