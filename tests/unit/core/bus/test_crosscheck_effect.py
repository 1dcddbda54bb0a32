"""When an acknowledged message counts as one without effect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.bus.crosscheck import Delivered, SampleVerdict, TaskNow, decide_effect

NOW = 1_700_000_100.0
ENTRY = Delivered("s", "g", "1700000000000-0", "t", "a", acked=NOW - 60)
ASSIGNED = TaskNow(assigned=True, agent="a", assigned_at=1_700_000_000.0)


@pytest.mark.parametrize(
    ("entry", "task", "verdict"),
    [
        (replace(ENTRY, acked=None), ASSIGNED, SampleVerdict.WAIT),
        (ENTRY, replace(ASSIGNED, assigned=False), SampleVerdict.GOOD),
        (replace(ENTRY, acked=NOW - 29), ASSIGNED, SampleVerdict.WAIT),
        (replace(ENTRY, acked=NOW - 30), ASSIGNED, SampleVerdict.BAD),
        (replace(ENTRY, acked=NOW - 29), replace(ASSIGNED, assigned=False), SampleVerdict.GOOD),
        (ENTRY, None, SampleVerdict.UNMEASURABLE),
        (ENTRY, replace(ASSIGNED, agent="b"), SampleVerdict.UNMEASURABLE),
        (replace(ENTRY, agent=""), replace(ASSIGNED, agent="b"), SampleVerdict.BAD),
        (ENTRY, replace(ASSIGNED, assigned_at=None), SampleVerdict.BAD),
        (ENTRY, replace(ASSIGNED, assigned_at=1_700_000_010.0), SampleVerdict.BAD),
        (ENTRY, replace(ASSIGNED, assigned_at=1_700_000_010.1), SampleVerdict.UNMEASURABLE),
    ],
)
def test_only_a_task_that_stays_assigned_to_the_reader_is_bad(entry, task, verdict):
    """It has its time after the acknowledgement; who has the task of another assignment, another
    agent or of no row can't be judged by this entry.
    """
    assert decide_effect(entry, task, NOW, 30.0, 10.0) is verdict


def test_a_doubtful_assignment_time_accuses_nobody():
    """It may be of another zone: whether the task was given away again can't be told."""
    entry = Delivered("s", "g", f"{int(NOW * 1000)}-0", "t", "a", acked=NOW)
    task = TaskNow(True, "a", NOW - 1)
    assert decide_effect(entry, task, NOW + 60, 30, 10) is SampleVerdict.BAD
    doubtful = replace(task, is_doubtful=True)
    assert decide_effect(entry, doubtful, NOW + 60, 30, 10) is SampleVerdict.UNMEASURABLE
