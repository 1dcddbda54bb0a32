"""When a check runs next. Fixed rate, no drift: (previous due, now) → next due. Monotonic seconds."""

from __future__ import annotations

import hashlib
import math


def phase(name: str) -> float:
    """A stable place in [0, 1) made from the name, so that first runs spread over their interval."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def first_due(name: str, interval: float, now: float) -> float:
    """First run within one interval (at most 10 s) after the start, at the check's own phase."""
    return now + phase(name) * min(interval, 10.0)


def next_due(due: float, interval: float, now: float) -> tuple[float, int]:
    """The next slot after `now` on the grid of `due`, and how many slots were skipped."""
    if now < due + interval:
        return due + interval, 0
    slots = math.floor((now - due) / interval)
    return due + (slots + 1) * interval, slots


def recheck_delay(interval: float) -> float:
    """Faster re-check while a failure is soft: max(2 s, interval/5), never slower than the
    interval.
    """
    return min(interval, max(2.0, interval / 5))


SHARDS = 4096


def shard_of(name: str) -> int:
    """The shard of a name, 0 ≤ shard < 4096."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % SHARDS
