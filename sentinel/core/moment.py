"""An instant that no change of the wall clock can move: budgets must not refill when somebody sets the date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """Aware UTC for people, and seconds since boot (suspended time included) of the boot called `boot`."""

    at: datetime
    boot: str = ""
    uptime: float | None = None

    def seconds_since(self, earlier: Moment) -> float:
        """Seconds from an earlier moment to this one, never negative.

        By uptime when both are of one boot; over a reboot only the wall clock can tell.
        """
        if self.boot and self.boot == earlier.boot and self.uptime is not None and earlier.uptime is not None:
            return max(self.uptime - earlier.uptime, 0.0)
        return max((self.at - earlier.at).total_seconds(), 0.0)
