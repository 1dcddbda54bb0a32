"""What the cross-check keeps over a restart, and how it reads what older versions kept."""

from __future__ import annotations

import json

from sentinel.core.bus.crosscheck import (
    PUBLISHED,
    Assignment,
    Delivered,
    ReadRange,
    SampleCount,
    SampleVerdict,
)
from sentinel.core.moment.arrival import NewestTime
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.watch.crosscheck import CrosscheckWatch
from sentinel.watch.crosscheck_clock import CrosscheckClock, is_odd, is_twofold

NOW, HOUR = 1_700_000_000.0, 3600.0


def test_what_is_written_is_read():
    """Everything but the turn of the streams."""
    watch = CrosscheckWatch(NOW, [Assignment("t", "a", "s", NOW, is_doubtful=True)])
    watch.open = [Delivered("s", "g", "1-0", "t", "a", "m", NOW)]
    watch.ranges = [ReadRange(NOW - 5, NOW, 30, ("t", "u"))]
    told = (NOW, "times of x are 2 h ahead", "declare")
    watch.clock = CrosscheckClock(
        NewestTime(NOW, NOW, 2 * HOUR), NOW, NOW + HOUR, NOW - 1, told, "as UTC"
    )
    watch.ledgers[PUBLISHED].add(NOW, [(SampleVerdict.SKEWED, {})], 300.0, arrivals=2)
    read = CrosscheckWatch.load(json.loads(json.dumps(watch.dump())))
    assert read == watch
    assert read.ledgers[PUBLISHED].total == SampleCount(skewed=1, arrivals=2)


def test_an_older_document_is_read():
    """It knew nothing of ranges, clocks and skewed tasks."""
    count = {"samples": 3, "bad": 1, "late": 0, "unmeasurable": 2}
    ledger = {"total": count, "recent": [[NOW, count]], "found": []}
    document = {
        "watermark": NOW,
        "suspects": [{"task": "t", "agent": "a", "stream": "s", "at": NOW}],
        "open": [],
        "positions": {"s": "5-0"},
        "drops": 4,
        "ledgers": {"db-bus": ledger, "bus-db": ledger},
    }
    watch = CrosscheckWatch.load(document)
    assert (watch.ranges, watch.clock) == ([], CrosscheckClock())
    assert watch.suspects == [Assignment("t", "a", "s", NOW)]
    assert watch.ledgers[PUBLISHED].window() == SampleCount(3, 1, 0, 2)


def test_times_of_one_task_that_cant_be():
    """A little before its creation is another clock's milliseconds; hours are another zone."""
    assert not is_odd(NOW - 60, NOW - 63, NOW)
    assert not is_odd(NOW - 60, NOW + 3, NOW)
    assert not is_odd(NOW - 1800, NOW - 900, NOW)
    assert is_odd(NOW - 60, NOW - 66, NOW)
    assert is_odd(NOW - 60, NOW + 6, NOW)
    assert is_odd(NOW - 60 - 2 * HOUR, NOW - 60, NOW)


def test_the_hour_that_occurs_twice():
    """Athens, 2026-10-25 00:30 and 01:30 UTC: both are half past three."""
    athens = ColumnClock("tasks.assigned_at", Basis.DECLARED, "Europe/Athens")
    first, second = 1_792_888_200.0, 1_792_891_800.0
    assert is_twofold(first, athens)
    assert is_twofold(second, athens)
    assert not is_twofold(second + HOUR, athens)
    assert not is_twofold(first, ColumnClock("tasks.assigned_at", Basis.TYPED, "Europe/Athens"))
    assert not is_twofold(first, None)
