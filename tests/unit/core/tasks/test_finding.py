"""Which queue waits, which is late, which tenant is starved: each with its own figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.fault import Fault, Status, judge
from sentinel.core.moment import from_unix
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.core.quantity import MANY, Bounds
from sentinel.core.tasks.fairness import Spread, TenantWait
from sentinel.core.tasks.finding import (
    ASK_THE_ASSIGNER,
    SKEWED_TIMES,
    AssignmentFacts,
    AssignmentLimits,
    Minute,
    SkewFacts,
    count_waiting,
    describe_waiting,
    find_faults,
)
from sentinel.core.tasks.rows import OpenTasks
from sentinel.probes.task_assignment import KIND

NOW = 1_700_000_000.0
LIMITS = AssignmentLimits(
    unassigned_degraded=2.0, unassigned_down=5.0, objective=0.99, min_events=20
)
QUIET = AssignmentFacts(NOW, "public.tasks")


def find(**facts: object) -> list[Fault]:
    return find_faults(replace(QUIET, **facts), LIMITS)  # type: ignore[arg-type]


def waiting(*ages: float, queue: str = "mail", **facts: object) -> OpenTasks:
    return OpenTasks(queue, len(ages), ages, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, Status.UP),
        ({"waiting": [waiting(1.9)], "minute": Minute(100, 100)}, Status.UP),
        ({"waiting": [waiting(2.0)], "minute": Minute(100, 100)}, Status.DEGRADED),
        ({"waiting": [waiting(5.0)], "minute": Minute(100, 100)}, Status.DOWN),
        ({"minute": Minute(98, 100)}, Status.DEGRADED),
        ({"minute": Minute(99, 100)}, Status.UP),
        ({"minute": Minute(0, 19)}, Status.UP),
        ({"minute": Minute(0, 20)}, Status.DEGRADED),
        ({"minute": Minute(0, 0, 3)}, Status.UNKNOWN),
        ({"minute": Minute(100, 100, 1)}, Status.UP),
        ({"minute": Minute(100, 100, 2)}, Status.UNKNOWN),
        ({"minute": Minute(18, 18, 1)}, Status.UP),
        ({"minute": Minute(40, 50, 950)}, Status.UNKNOWN),
        ({"minute": Minute(39, 50, 949)}, Status.DEGRADED),
        ({"skew": SkewFacts(ahead=1)}, Status.UNKNOWN),
        ({"skew": SkewFacts(ahead=1), "minute": Minute(1, 1)}, Status.UP),
        ({"waiting": [waiting(9.0)], "minute": Minute(0, 0, 3)}, Status.DOWN),
        ({"missed": 20}, Status.UNKNOWN),
        ({"missed": 19}, Status.UP),
        ({"missed": 20, "minute": Minute(1, 1)}, Status.UP),
    ],
)
def test_verdicts(facts: dict[str, object], status: Status) -> None:
    """The oldest open task, the share of the last minute, impossible clocks: each at its limit."""
    assert judge(find(**facts)) is status


CREATED_AT = ColumnClock("t.created_at", Basis.DISAGREED, "UTC", ("Europe/Athens",))
ASSIGNED_AT = ColumnClock("t.assigned_at", Basis.TYPED)


@pytest.mark.parametrize(
    ("minute", "ahead", "odd", "text"),
    [
        (
            Minute(0, 0, 3), (0, 0.0), ("created_at", 7200.0),
            "all 3 tasks of the last minute have impossible times: times of t.created_at are 2 h"
            " ahead of the server's clock: they look like Europe/Athens",
        ),
        (
            Minute(50, 50, 30), (0, 0.0), ("created_at", 0.0),
            "30 of 80 tasks of the last minute have impossible times: times of t.created_at are of"
            " more than one zone",
        ),
        (
            Minute(), (48, 32350.0), None,
            "48 tasks have impossible times: times of t.created_at are 9 h ahead of the server's"
            " clock: they look like UTC+9",
        ),
        (
            Minute(), (1, 700.0), None,
            "1 tasks have impossible times: times of t.created_at are 11 min 40 s ahead of the"
            " server's clock",
        ),
        (
            Minute(0, 0, 9), (0, 0.0), ("assigned_at", -7200.0),
            "all 9 tasks of the last minute have impossible times: t.assigned_at is about 2 h"
            " before t.created_at",
        ),
    ],
)  # fmt: skip
def test_the_zone_that_is_suspected_is_named(minute, ahead, odd, text) -> None:
    """By how much, and which zone it looks like; the cure is to declare it."""
    skew = SkewFacts(CREATED_AT, ASSIGNED_AT, *ahead, odd)
    (fault,) = find(minute=minute, skew=skew)
    assert fault.text == f"table public.tasks: {text}"
    assert ("declare `zone:`" in fault.guidance) == (odd is None or odd[0] == "created_at")


def test_a_queue_that_waits() -> None:
    """Its oldest task, how many wait too long, some of their ids; since that task was created."""
    tasks = waiting(7.5, 6.0, 3.0, 2.0, 0.1, ids=("t1", "t2", "t3"))
    (fault,) = find(waiting=[tasks])
    assert fault == Fault(
        "unassigned",
        {"queue": "mail"},
        Status.DOWN,
        "queue mail: the oldest unassigned task waits 7.5 s (limit 5.0 s); 4 wait for longer than"
        " 2.0 s: tasks t1, t2, t3 and 1 more",
        since=from_unix(NOW - 7.5),
        count=Bounds(4, 4),
        guidance=ASK_THE_ASSIGNER,
        parameters={"queue": "mail", "table": "public.tasks"},
    )


def test_each_queue_is_judged_by_itself() -> None:
    """One down, one degraded, one well: the worst first, each with its own limit."""
    faults = find(
        waiting=[
            waiting(3.0, queue="slow", ids=("s",)),
            waiting(0.1, queue="well"),
            waiting(9.0, queue="hung"),
        ]
    )
    assert [(each.subject["queue"], each.status) for each in faults] == [
        ("hung", Status.DOWN),
        ("slow", Status.DEGRADED),
    ]
    assert "waits 3.0 s (limit 2.0 s); 1 waits for longer than 2.0 s: task s" in faults[1].text
    assert faults[0].text.endswith("; 1 waits for longer than 2.0 s")


def test_tasks_that_were_given_back_wait_too() -> None:
    """By the time since the give-back."""
    (fault,) = find(waiting=[OpenTasks("mail", 1, (0.5,), (3.0, 4.0))])
    assert (fault.count, fault.status) == (Bounds(2, 2), Status.DEGRADED)
    assert fault.since == from_unix(NOW - 4.0)


def test_of_very_many_only_a_lower_bound_is_known() -> None:
    """The oldest ages were read, and all of them are late; where one is not, the rest is younger."""
    assert count_waiting(OpenTasks("q", 900, (9.0, 8.0)), 2.0) == Bounds(2, MANY)
    assert count_waiting(OpenTasks("q", 900, (9.0, 1.0)), 2.0) == Bounds(1, 1)
    (fault,) = find(waiting=[OpenTasks("q", 900, (9.0, 8.0), ids=("a", "b"))])
    assert "; 2 or more wait for longer than 2.0 s: tasks a, b" in fault.text


def test_a_queue_beyond_the_labels_keeps_its_name() -> None:
    """Its metrics share a label, its fault does not."""
    tasks = waiting(9.0, queue="_other_", name="queue 77")
    assert find(waiting=[tasks])[0].subject == {"queue": "queue 77"}


def test_late_queues() -> None:
    """Below the objective with enough tasks of its own, though all together are above it."""
    minutes = {"well": Minute(5000, 5000), "late": Minute(15, 20), "few": Minute(0, 19)}
    (fault,) = find(minute=Minute(5015, 5039), minutes=minutes)
    assert fault.subject == {"queue": "late"}
    assert fault.text == (
        "queue late: 75 % of 20 tasks of the last minute were assigned in 100 ms (objective 99 %)"
    )
    assert (fault.count, fault.status) == (Bounds(5, 5), Status.DEGRADED)


def test_all_together_are_late() -> None:
    """Then each queue below the objective is named, however few its tasks; the worst first."""
    minutes = {"a": Minute(9, 10), "b": Minute(2, 10), "c": Minute(5, 5), "idle": Minute()}
    faults = find(minute=Minute(16, 25), minutes=minutes)
    assert [each.subject for each in faults] == [{"queue": "b"}, {"queue": "a"}]


def test_a_minute_of_an_older_version_has_no_queues() -> None:
    """The sum is judged, and no queue is blamed."""
    (fault,) = find(minute=Minute(0, 20))
    assert (fault.key, fault.subject) == ("late", {})
    assert fault.text.startswith("all queues: 0 % of 20 tasks")


def spread(*waits: TenantWait) -> Spread:
    return Spread(
        len(waits),
        sum(each.tasks for each in waits),
        min(each.p90 for each in waits),
        sum(each.mean * each.tasks for each in waits),
        sum(each.mean for each in waits),
        sum(each.mean**2 for each in waits),
        sorted(waits, key=lambda each: -each.p90),
    )


def test_a_starved_tenant() -> None:
    """Named with its own wait, and by how much it is longer."""
    fair = [TenantWait(name, 0.1, 0.1, 100, 0) for name in "abc"]
    poor = TenantWait("poor", 60.0, 30.0, 50, 7)
    (fault,) = find(spread=spread(*fair, poor))
    assert fault.text == (
        "tenant poor: nine of ten tasks wait up to 1 min, 600 × as long as those of the tenant that"
        " waits least (limit 10 ×)"
    )
    assert (fault.subject, fault.count) == ({"tenant": "poor"}, Bounds(7, 7))
    assert find(spread=spread(*fair)) == []


def test_what_can_not_be_judged_blames_the_clock_and_nobody_else() -> None:
    """Impossible times, and rows that no time of creation shows; neither, once a task is settled."""
    (skewed,) = find(minute=Minute(0, 0, 3), missed=99)
    assert (skewed.key, skewed.subject, skewed.count) == (
        "skewed",
        {"table": "public.tasks"},
        Bounds(3, 3),
    )
    assert skewed.guidance == SKEWED_TIMES
    (missed,) = find(missed=30)
    assert missed.text.startswith("table public.tasks: 30 tasks were inserted, none with a time")
    assert "now()" in missed.guidance


def test_evidence_has_counts_and_ids() -> None:
    """Of queues that wait too long, the longest first."""
    tasks = [waiting(3.0, queue="a", ids=("x",)), waiting(9.0, queue="b"), waiting(1.0, queue="c")]
    assert describe_waiting(replace(QUIET, waiting=tasks), LIMITS) == {
        "b": {"tasks": "1", "oldest_seconds": 9.0, "sample": []},
        "a": {"tasks": "1", "oldest_seconds": 3.0, "sample": ["x"]},
    }


def test_every_fault_is_declared() -> None:
    """With its runbook and its parameters."""
    poor = spread(TenantWait("a", 0.1, 0.1, 99, 0), TenantWait("poor", 60.0, 30.0, 50, 7))
    faults = [
        *find(waiting=[waiting(9.0)], minute=Minute(0, 20), spread=poor),
        *find(missed=20),
        *find(minute=Minute(0, 0, 1)),
    ]
    assert {each.key for each in faults} == {"unassigned", "late", "starved", "missed", "skewed"}
    for fault in faults:
        kind = KIND.fault_kinds[fault.key]
        assert kind.runbook
        assert fault.parameters.keys() <= set(kind.parameters)
