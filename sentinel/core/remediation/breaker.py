"""The breaker of automation: when sentinel's own acting does not help, or sentinel itself is ill, a
person decides.

It opens by itself and is closed by an operator only (reliability.md §3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.core.moment import Moment


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """What opens it; counts, seconds, ratio. A count or a time of 0 switches that cause off.

    `starts` counts starts of sentinel after an end that was not in order: an upgrade is no illness.
    """

    exhausted: int = 2
    exhausted_window: float = 900.0
    last_attempts: int = 6
    success_share: float = 0.5
    starts: int = 3
    starts_window: float = 600.0
    stall: float = 5.0
    stall_window: float = 120.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Open since `opened` for `reason`; closed when `opened` is None. What was before `closed`
    counts no more.
    """

    opened: Moment | None = None
    reason: str = ""
    closed: Moment | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What sentinel knows of itself: ages in seconds; `verdicts` of concluded attempts, oldest
    first.
    """

    exhausted: Sequence[float] = ()
    verdicts: Sequence[str] = ()
    starts: Sequence[float] = ()
    longest_stall: float = 0.0


def find_cause(policy: BreakerPolicy, record: Record) -> str:
    """Why the breaker opens, or ""."""
    given_up = sum(age < policy.exhausted_window for age in record.exhausted)
    if policy.exhausted and given_up >= policy.exhausted:
        return f"{given_up} components exhausted within {policy.exhausted_window / 60:g} min"
    last = list(record.verdicts)[-policy.last_attempts :] if policy.last_attempts else []
    good = last.count("recovered")
    if (
        policy.last_attempts
        and len(last) == policy.last_attempts
        and good < policy.success_share * len(last)
    ):
        return f"only {good} of the last {len(last)} attempts helped"
    starts = sum(age < policy.starts_window for age in record.starts)
    if policy.starts and starts >= policy.starts:
        return f"sentinel itself crashed {starts} times within {policy.starts_window / 60:g} min"
    if policy.stall and record.longest_stall > policy.stall:
        return f"sentinel itself stood still for {record.longest_stall:.1f} s"
    return ""
