"""When something runs next: at a fixed rate, or by the calendar."""

from sentinel.core.schedule.fixed_rate import (
    SHARDS,
    first_due,
    next_due,
    phase,
    recheck_delay,
    shard_of,
)

__all__ = ["SHARDS", "first_due", "next_due", "phase", "recheck_delay", "shard_of"]
