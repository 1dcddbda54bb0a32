"""Is a flow stuck, and why: each rule at its limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.flows.standing import find_standing
from sentinel.core.flows.stuck import (
    Change,
    Crew,
    FlowMemory,
    FlowRules,
    FlowSight,
    Worker,
    WorkOrder,
    compare,
    find_reasons,
    first_look,
    is_full,
)

NOW = 10_000.0
RULES = FlowRules("new", no_progress_after=1800.0, full=100.0, full_after=60.0)
ORDER = WorkOrder({"new": 0, "plan": 1, "run": 2}, {"a": 0, "b": 1}, "new")


def reasons(
    sight: FlowSight,
    *,
    rules: FlowRules = RULES,
    memory: FlowMemory | None = None,
    age: float = 0.0,
    still: float = 0.0,
) -> dict[str, str]:
    known = memory or first_look(sight, ORDER, None, NOW)
    return find_reasons(sight, replace(known, moved=NOW - still), rules, age, 3600.0, NOW)


def test_overdue_beyond_the_longest_normal_stay() -> None:
    """At the limit it is normal."""
    sight = FlowSight("f", "t", "run")
    assert reasons(sight, age=3600.0) == {}
    assert reasons(sight, age=3661.0) == {"overdue": "in run for 1 h 1 min, the limit is 1 h"}


def test_no_progress_of_a_flow_that_has_begun() -> None:
    """Nobody has begun an initial one; a rule that is off finds nothing."""
    sight = FlowSight("f", "t", "run")
    assert reasons(sight, still=1800.0) == {}
    assert list(reasons(sight, still=1801.0)) == ["no_progress"]
    assert reasons(replace(sight, status="new"), still=9000.0) == {}
    assert reasons(sight, rules=replace(RULES, no_progress_after=None), still=9000.0) == {}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"progress": 50.0}, {"progress": 20.0}, "progress fell from 50 to 20"),
        ({"status": "run"}, {"status": "plan"}, "back in plan"),
        ({"status": "run"}, {"status": "new"}, "back in new"),
        ({"phase": "B"}, {"phase": "a"}, "back in phase a"),
    ],
)
def test_regression_until_it_is_made_good(
    before: dict[str, object], after: dict[str, object], text: str
) -> None:
    """Behind where it has been it is a regression, also at later looks; then no more."""
    begin = FlowSight("f", "t", "run")
    high, low = replace(begin, **before), replace(begin, **after)  # type: ignore[arg-type]
    memory = first_look(high, ORDER, None, 0.0)
    assert reasons(high, memory=memory) == {}
    for at in (1.0, 2.0):
        memory, _ = compare(memory, low, ORDER, at - 1, at)
        assert reasons(low, memory=memory) == {"regression": text}
    memory, _ = compare(memory, high, ORDER, 2.0, 3.0)
    assert reasons(high, memory=memory) == {}


def test_a_status_without_a_rank_is_no_step_back() -> None:
    """`odd` is in no order: neither it nor the way back from it says anything."""
    sight = FlowSight("f", "t", "run")
    memory = first_look(sight, ORDER, None, 0.0)
    memory, change = compare(memory, replace(sight, status="odd"), ORDER, 0.0, 1.0)
    assert change.regressions == ()
    assert reasons(replace(sight, status="odd"), memory=memory) == {}


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((True, True, False), None),
        ((False, False, False), None),
        ((False, True, False), "b is done, a is not"),
        ((True, False, True), "c is done, b is not"),
    ],
)
def test_phases_out_of_order(flags: tuple[bool, ...], text: str | None) -> None:
    """A later one is done before an earlier one."""
    rules = replace(RULES, phase_flags=("a", "b", "c"))
    found = reasons(FlowSight("f", "t", "run", flags=flags), rules=rules)
    assert found.get("phase_order") == text


def test_full_but_open() -> None:
    """After a minute without a change; never where nothing is full."""
    sight = FlowSight("f", "t", "run", progress=100.0)
    assert reasons(sight, still=59.0) == {}
    assert list(reasons(sight, still=60.0)) == ["full_but_open"]
    assert not is_full(sight, replace(RULES, full=None))
    assert not is_full(replace(sight, progress=None), RULES)
    assert not is_full(replace(sight, progress=99.9), RULES)


CREW = Crew(
    "agents", {"live": Worker(60.0), "dead": Worker(61.0), "asleep": Worker(None, sleeps=True)}, 60
)


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ("live", None),
        ("asleep", None),
        ("dead", "worker_dead"),
        ("stranger", "worker_unknown"),
    ],
)
def test_workers(worker: str, reason: str | None) -> None:
    """Alive up to the limit; asleep by right; dead; unknown."""
    rules = replace(RULES, has_worker=True, crew=CREW)
    found = reasons(FlowSight("f", "t", "run", worker=worker), rules=rules)
    assert list(found) == ([reason] if reason else [])


def test_without_a_worker() -> None:
    """Late where it is overdue, or beyond a limit of its own; an initial flow needs none."""
    rules = replace(RULES, has_worker=True, crew=CREW)
    sight = FlowSight("f", "t", "run")
    assert reasons(sight, rules=rules, age=3600.0) == {}
    assert list(reasons(sight, rules=rules, age=3601.0)) == ["overdue", "no_worker"]
    hasty = replace(rules, no_worker_after=10.0)
    assert reasons(sight, rules=hasty, age=10.0) == {}
    assert list(reasons(sight, rules=hasty, age=11.0)) == ["no_worker"]
    assert reasons(replace(sight, status="new"), rules=hasty, age=11.0) == {}


def test_without_a_registry_of_workers_nobody_is_dead() -> None:
    """Whoever is named counts as there."""
    rules = replace(RULES, has_worker=True)
    assert reasons(FlowSight("f", "t", "run", worker="anybody"), rules=rules) == {}


# --- what changed since the look before -----------------------------------------------------------


def test_a_change_of_status_has_a_stay_between_bounds() -> None:
    """From the earliest possible entry to now; unknown where the beginning is unknown."""
    memory = first_look(FlowSight("f", "t", "plan"), ORDER, 100.0, 110.0)
    _, change = compare(memory, FlowSight("f", "t", "run"), ORDER, 190.0, 200.0)
    assert (change.before, change.after, change.stay) == ("plan", "run", 100.0)
    unknown = first_look(FlowSight("f", "t", "plan"), ORDER, None, 110.0)
    _, change = compare(unknown, FlowSight("f", "t", "run"), ORDER, 190.0, 200.0)
    assert change.stay is None


@pytest.mark.parametrize(
    ("status", "created", "entered", "since"),
    [
        ("new", 50.0, 50.0, 50.0),
        ("new", 110.0, 110.0, 110.0),
        ("new", 111.0, 100.0, 110.0),
        ("new", None, 100.0, 110.0),
        ("run", 50.0, 100.0, 110.0),
    ],
)
def test_an_initial_flow_entered_its_status_when_it_was_created(
    status: str, created: float | None, entered: float, since: float
) -> None:
    """Only the initial one, and not in the future: else between the look before and now."""
    memory = first_look(FlowSight("f", "t", status, created=created), ORDER, 100.0, 110.0)
    assert (memory.entered, memory.since) == (entered, since)


def test_an_unchanged_flow_changes_nothing() -> None:
    """Not even what is known of updated_at."""
    sight = FlowSight("f", "t", "plan", changed=50.0)
    memory = first_look(sight, ORDER, None, 60.0)
    assert compare(memory, sight, ORDER, 60.0, 70.0) == (memory, Change())


@pytest.mark.parametrize(
    ("changed", "touched"), [(None, True), (98.0, True), (97.0, False), (150.0, True)]
)
def test_whether_updated_at_is_kept(changed: float | None, touched: bool) -> None:
    """A value changed since the look at 100: a row that still says 97 is not kept up to date."""
    memory = first_look(FlowSight("f", "t", "run", progress=1.0), ORDER, None, 100.0)
    after = FlowSight("f", "t", "run", progress=2.0, changed=changed)
    assert compare(memory, after, ORDER, 100.0, 200.0)[1].is_touched is touched


def test_an_entry_in_the_future_tells_nothing() -> None:
    """A wrong clock makes no flow younger."""
    sight = FlowSight("f", "t", "run", entered=NOW + 1)
    memory = first_look(sight, ORDER, None, NOW - 50)
    assert find_standing(sight, memory, "new", NOW, trust_changed=True).since == NOW - 50
    told = replace(sight, entered=NOW - 500)
    assert find_standing(told, memory, "new", NOW, trust_changed=True).since == NOW - 500


def test_only_work_moves_the_mark() -> None:
    """updated_at, the worker and the name are no progress."""
    sight = FlowSight("f", "t", "run", progress=1.0)
    for change in ({"changed": 9.0}, {"worker": "w"}, {"name": "n"}, {"waits": True}):
        assert replace(sight, **change).mark == sight.mark  # type: ignore[arg-type]
    for change in ({"status": "x"}, {"progress": 2.0}, {"phase": "p"}, {"flags": (True,)}):
        assert replace(sight, **change).mark != sight.mark  # type: ignore[arg-type]
