"""What `task_assignment` shows: each figure under its declared labels, nothing that is not measured."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.model import Histogram, Row
from sentinel.core.tasks.assignment import OUTCOMES, CohortWindow, Horizon
from sentinel.core.tasks.fairness import Spread, TenantWait
from sentinel.core.tasks.rows import (
    MEASUREMENTS,
    OpenTasks,
    Shown,
    describe_trends,
    make_rows,
)
from sentinel.core.tasks.state import AssignmentState
from sentinel.core.tasks.tracker import TaskTally

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HORIZON = Horizon(NOW, NOW - timedelta(seconds=3))
WINDOW = CohortWindow(NOW - timedelta(seconds=20), NOW - timedelta(seconds=10))
ALL = Shown(("queue_wait", "run"), completions=True, tenants=True, followed=True)
FAIR = [TenantWait("a", 1.0, 1.0, 30, 0), TenantWait("b", 4.0, 1.0, 30, 1)]


def filled() -> AssignmentState:
    """Two queues, some tasks of each class, stages, throughput, tenants, re-assignments."""
    state = AssignmentState()
    state.fit([0.1, 1.0])
    rows = [("a", "in_deadline", 7), ("a", "late", 2), ("b", "unassigned", 1), ("b", "offset", 4)]
    settled = [{"queue": queue, "class": kind, "n": n} for queue, kind, n in rows]
    state.settle([(0.0, 10.0, settled)], WINDOW, HORIZON, final=5.0)
    aside: Counter[tuple[str | None, str]] = Counter(
        {(None, "deleted"): 2, (None, "censored"): 3, (None, "untracked"): 5}
    )
    state.take(TaskTally(aside, reassigned=[("a", (0.05, 0.5))]), HORIZON, 0.1, 60.0)
    stage = {"stage": "run", "buckets": [1] * 11, "n": 2, "seconds": 8.0}
    state.stage([{**stage, "unfinished": 6, "skewed": 7}], WINDOW)
    state.note_throughput([{"queue": "a", "assigned": 40, "completed": 30}])
    state.spread = Spread(2, 60, 1.0, 60.0, 2.0, 2.0, sorted(FAIR, key=lambda w: -w.p90))
    state.queue("a").observe([8, 9], 9, 1.5)
    state.late_arrivals = 9
    return state


def rows_of(
    state: AssignmentState, shown: Shown = ALL, still_open: tuple[OpenTasks, ...] = ()
) -> list[Row]:
    return make_rows(state, still_open, HORIZON, "writer", shown)


def value(rows: list[Row], name: str, **labels: str) -> float | Histogram:
    """The one value with exactly these labels."""
    (found,) = [
        row.values[name] for row in rows if name in row.values and dict(row.labels) == labels
    ]
    return found


def names(rows: list[Row]) -> set[str]:
    return {name for row in rows for name in row.values}


def test_every_row_fits_its_declaration() -> None:
    """All measurements are there, under the labels that they declare; the p99 is added by the
    check, which knows whether enough tasks were seen for one.
    """
    declared = {each.name: set(each.labels) for each in MEASUREMENTS}
    assert declared.pop("assignment_p99_seconds") == set()
    rows = rows_of(filled())
    assert names(rows) == declared.keys()
    for row in rows:
        assert all(declared[name] == set(row.labels) for name in row.values)


def test_no_series_has_two_values() -> None:
    """A name with its labels is there once."""
    rows = rows_of(filled(), still_open=(OpenTasks("a", 1, (1.0,)), OpenTasks("b", 1, (2.0,))))
    series = [(name, tuple(sorted(row.labels.items()))) for row in rows for name in row.values]
    assert len(series) == len(set(series))


def test_what_is_not_configured_has_no_series() -> None:
    """No stages, no tenants, no re-assignments, no completions."""
    rows = rows_of(filled(), Shown())
    assert not names(rows) & {
        "stage_seconds",
        "stage_unfinished",
        "tenants_compared",
        "tenant_wait_ratio",
        "reassigned",
        "reassignment_seconds",
    }
    events = {row.labels["event"] for row in rows if "throughput_per_hour" in row.values}
    assert events == {"assigned"}


@pytest.mark.parametrize(
    ("queue", "outcome", "n"),
    [
        ("a", "in_deadline", 7),
        ("a", "late", 2),
        ("a", "unassigned", 0),
        ("b", "in_deadline", 0),
        ("b", "late", 0),
        ("b", "unassigned", 1),
    ],
)
def test_settled_tasks(queue: str, outcome: str, n: int) -> None:
    """Every outcome of every queue, also at zero."""
    assert outcome in OUTCOMES
    assert value(rows_of(filled()), "settled", queue=queue, outcome=outcome) == n


def test_open_tasks_of_a_queue() -> None:
    """Never assigned and given back count alike; the oldest of both; rows of one label add up."""
    still_open = (
        OpenTasks("a", 5, (9.0, 2.0), (11.0,)),
        OpenTasks("a", 2, (30.0,), name="another name"),
    )
    rows = rows_of(filled(), still_open=still_open)
    assert value(rows, "unassigned", queue="a") == 8
    assert value(rows, "oldest_unassigned_age_seconds", queue="a") == 30.0
    assert value(rows, "unassigned", queue="b") == 0
    assert value(rows, "oldest_unassigned_age_seconds", queue="b") == 0.0


def test_latencies() -> None:
    """Cumulative counts at the edges of the configured bounds."""
    found = value(rows_of(filled()), "assignment_seconds", queue="a")
    assert found == Histogram((0.1, 1.0), (8, 9), 9, 1.5)
    empty = value(rows_of(filled()), "assignment_seconds", queue="b")
    assert empty == Histogram((0.1, 1.0), (0, 0), 0, 0.0)


@pytest.mark.parametrize(
    ("reason", "n"), [("closed_unassigned", 3), ("deleted", 2), ("untracked", 5)]
)
def test_tasks_without_a_latency(reason: str, n: int) -> None:
    """By why they have none."""
    assert value(rows_of(filled()), "censored", reason=reason) == n


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("negative_latency", 0),
        ("offset_latency", 4),
        ("missing_timestamp", 0),
        ("late_arrivals", 9),
        ("watermark_lag_seconds", 10.0),
        ("tenants_compared", 2),
        ("tenant_wait_ratio", 4.0),
        ("tenant_wait_jain_index", 1.0),
    ],
)
def test_figures_of_the_whole_table(name: str, n: float) -> None:
    """Each once, without a label."""
    assert value(rows_of(filled()), name) == n


def test_the_horizon_names_its_holder() -> None:
    """How old the oldest transaction is, and whose."""
    assert value(rows_of(filled()), "horizon_hold_seconds", role="writer") == 3.0
    ahead = make_rows(AssignmentState(), (), Horizon(NOW, NOW + timedelta(seconds=1)), "", Shown())
    assert value(ahead, "horizon_hold_seconds", role="") == 0.0


def test_throughput_of_the_last_hour() -> None:
    """By queue and event; a queue without any has zeros; none while nothing was asked."""
    rows = rows_of(filled())
    assert value(rows, "throughput_per_hour", queue="a", event="completed") == 30
    assert value(rows, "throughput_per_hour", queue="b", event="assigned") == 0
    state = filled()
    state.throughput = None
    assert "throughput_per_hour" not in names(rows_of(state))


def test_stages_from_zero_on() -> None:
    """Each configured stage, passed or not."""
    rows = rows_of(filled())
    assert value(rows, "stage_unfinished", stage="run") == 6
    assert value(rows, "stage_skewed", stage="run") == 7
    waited = value(rows, "stage_seconds", stage="queue_wait")
    assert isinstance(waited, Histogram)
    assert waited.total == 0


def test_re_assignments_between_bounds() -> None:
    """At least 50 ms, at most half a second: both are told."""
    rows = rows_of(filled())
    assert value(rows, "reassigned", queue="a") == 1
    least = value(rows, "reassignment_seconds", bound="least")
    most = value(rows, "reassignment_seconds", bound="most")
    assert isinstance(least, Histogram)
    assert isinstance(most, Histogram)
    assert (least.counts, most.counts) == ((1, 1), (0, 1))


def test_one_tenant_is_compared_with_nobody() -> None:
    """No ratio of one."""
    state = filled()
    state.spread = Spread(1, 30, 1.0, 30.0, 1.0, 1.0, FAIR[:1])
    assert "tenant_wait_ratio" not in names(rows_of(state))
    assert value(rows_of(state), "tenants_compared") == 1


def test_sections_of_the_evidence() -> None:
    """Sums of all queues, means of stages, who waits longest, re-assignments."""
    found = describe_trends(filled(), ALL, 10.0)
    assert found["throughput_per_hour"] == {"assigned": 40, "completed": 30}
    assert found["stages"]["run"] == {"n": 2, "mean_seconds": 4.0, "unfinished": 6}
    assert found["stages"]["queue_wait"]["mean_seconds"] is None
    assert found["tenants"]["starved"] == []
    assert found["tenants"]["most_delayed"][0]["tenant"] == "b"
    assert found["reassignments"] == {
        "n": 1,
        "within_deadline": [0, 1],
        "missing_within_deadline": [0, 0],
    }
    assert describe_trends(filled(), Shown(), 10.0) == {"throughput_per_hour": {"assigned": 40}}
    assert describe_trends(AssignmentState(), Shown(), 10.0) == {}


def test_a_queue_is_called_by_its_own_name() -> None:
    """Where the label is not."""
    assert OpenTasks("_other_", name="mail").called == "mail"
    assert OpenTasks("default").called == "default"
    assert OpenTasks("default").oldest == 0.0
