"""The memory of flows: bounds, ages, and who may prove what."""

from __future__ import annotations

import json

import pytest

from sentinel.core.flow_history import OTHER, History, Look
from sentinel.core.stall import (
    Order,
    Sight,
    age_in_status,
    compare,
    first_look,
    is_true,
    read_number,
    read_progress,
)


def sights(n, status="active", now=0.0):
    return [Sight(f"f{i}", "t", status, now) for i in range(n)]


def test_stays_are_known_only_from_their_beginning():
    """A flow that was there before sentinel has no stay; one that came between two looks has an upper bound."""
    history = History()
    history.look("flows", Look(0.0, sights(1)), Order())
    history.look("flows", Look(10.0, [*sights(1, now=10.0), Sight("new", "t", "active", 10.0)]), Order())
    over = [Sight("f0", "t", "done", 30.0), Sight("new", "t", "done", 30.0)]
    history.look("flows", Look(30.0, [], over), Order())
    assert history.observed["t", "active"].total == 1
    assert history.observed["t", "active"].sum == 30
    assert history.transitions["t", "active", "done"] == 2


def test_rows_that_are_deleted_have_left_their_status():
    """A platform that deletes what is done: a transition, a stay, and no blocked passage."""
    history = History()
    history.look("flows", Look(0.0, []), Order())
    history.look("flows", Look(10.0, sights(2, now=10.0)), Order())
    history.look("flows", Look(20.0, sights(1, now=20.0)), Order())
    assert history.transitions == {("t", "_new_", "active"): 2, ("t", "active", "_deleted_"): 1}
    assert history.observed["t", "active"].total == 1
    assert ("t", "active") not in history.passages
    history.look("flows", Look(30.0, [], saw_all=False), Order())
    assert history.transitions["t", "active", "_deleted_"] == 1


def test_after_an_incomplete_look_nothing_new_has_entered():
    """A flow beyond the bound of the last look may be old: no entry, no stay."""
    history = History()
    history.look("flows", Look(0.0, sights(1), saw_all=False), Order())
    history.look("flows", Look(10.0, sights(2, now=10.0)), Order())
    assert history.transitions == {}
    assert history.tables["flows"].flows["f1"].entered is None


def test_a_stay_does_not_begin_before_creation():
    """Created 2 s ago, the look before was 10 s ago: entered at most 2 s ago."""
    history = History()
    history.look("flows", Look(0.0, []), Order())
    history.look("flows", Look(10.0, [Sight("a", "t", "active", 10.0, created_age=2.0)]), Order())
    assert history.tables["flows"].flows["a"].entered == 8.0


def test_labels_and_transitions_are_bounded():
    """50 pairs, 200 transitions, 50 types; the rest is `_other_`, and nothing is lost from the sums."""
    history = History()
    history.look("flows", Look(0.0, []), Order())
    many = [Sight(f"f{i}", f"type {i}", f"status {i}", 1.0) for i in range(300)]
    history.look("flows", Look(1.0, many), Order())
    assert len(history.pairs) == 50
    assert len(history.transitions) == 201
    assert sum(history.transitions.values()) == 300
    assert history.transitions[OTHER, OTHER, OTHER] == 100
    assert len({key[0] for key in history.regressions}) == 51


def test_everything_survives_json():
    """A history that was written and read is the same."""
    history = History()
    history.look("flows", Look(0.0, []), Order())
    history.look("flows", Look(1.0, sights(3, now=1.0)), Order())
    history.look("flows", Look(2.0, sights(2, now=2.0), [Sight("f2", "t", "done", 2.0)]), Order())
    history.settle({("t", "active")}, 2.0)
    history.confirm({("a", "b"): 0.0}, 60.0, 2.0)
    document = json.loads(json.dumps(history.dump()))
    assert History(document).dump() == history.dump()


def test_a_suspicion_must_last_without_a_break():
    """60 s seen by us, or proven; one look without it begins anew."""
    history = History()
    assert history.confirm({("a",): 0.0, ("b",): 61.0}, 60.0, 0.0) == {("b",)}
    assert history.confirm({("a",): 0.0}, 60.0, 60.0) == {("a",)}
    assert history.confirm({}, 60.0, 61.0) == set()
    assert history.confirm({("a",): 0.0}, 60.0, 62.0) == set()


@pytest.mark.parametrize(
    ("sight", "trust", "age"),
    [
        (Sight("a", "t", "new", 100.0, created_age=70.0, changed_age=5.0), True, 70.0),
        (Sight("a", "t", "active", 100.0, created_age=70.0, changed_age=50.0), True, 50.0),
        (Sight("a", "t", "active", 100.0, created_age=70.0, changed_age=50.0), False, 10.0),
        (Sight("a", "t", "active", 100.0, changed_age=5.0, status_age=33.0), True, 33.0),
        (Sight("a", "t", "active", 100.0, changed_age=-7200.0, status_age=-7200.0), True, 10.0),
        (Sight("a", "t", "new", 100.0, created_age=-7200.0), True, 10.0),
    ],
)
def test_age_in_status(sight, trust, age):
    """Exact by its column and in the initial status, else the longest lower bound; a future instant proves nothing."""
    memory = first_look(Sight("a", "t", sight.status, 90.0), Order(), None)
    assert age_in_status(sight, memory, "new", trust_changed=trust) == age


def test_change_of_value_is_what_moves():
    """updated_at alone moves nothing; phase, counters, flags, progress do."""
    first = Sight("a", "t", "active", 0.0, progress=1.0, counters=("1",), flags=(False,), phase="x")
    memory = first_look(first, Order(), None)
    touched, _ = compare(
        memory, Sight("a", "t", "active", 9.0, None, 0.0, None, 1.0, "x", ("1",), (False,)), Order(), 0
    )
    assert touched.moved == 0.0
    for change in ({"progress": 2.0}, {"counters": ("2",)}, {"flags": (True,)}, {"phase": "y"}):
        values = {"progress": 1.0, "counters": ("1",), "flags": (False,), "phase": "x"} | change
        assert compare(memory, Sight("a", "t", "active", 9.0, **values), Order(), 0)[0].moved == 9.0


def test_a_regression_is_one_event():
    """Falling is counted once, not at every look after it."""
    order = Order({"new": 0, "active": 1})
    memory = first_look(Sight("a", "t", "active", 0.0, progress=50.0), order, None)
    memory, change = compare(memory, Sight("a", "t", "new", 1.0, progress=20.0), order, 0.0)
    assert change.regressions == ("progress", "status")
    _, change = compare(memory, Sight("a", "t", "new", 2.0, progress=20.0), order, 1.0)
    assert change.regressions == ()


def test_values_as_people_store_them():
    """R12: text, percent signs, NaN and infinity; booleans of SQL and JSON; nothing of nothing is no progress."""
    assert [read_number(text) for text in ("45%", " 16.7 ", "n/a", None, "", "nan", "inf")] == [
        45.0, 16.7, None, None, None, None, None,
    ]  # fmt: skip
    assert [read_progress(texts) for texts in (["5"], ["1", "4"], ["1", "0"], ["1", None], [])] == [
        5,
        25,
        None,
        None,
        None,
    ]
    assert [is_true(text) for text in ("true", "T", "1", "false", "", None)] == [True, True, True, False, False, False]
