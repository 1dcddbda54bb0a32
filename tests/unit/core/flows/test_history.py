"""The memory of flows: bounds, ages, and who may prove what."""

from __future__ import annotations

import json

import pytest

from sentinel.core.flows.history import OTHER, FlowLook, History
from sentinel.core.flows.memory import Packer, load_flows
from sentinel.core.flows.standing import find_standing
from sentinel.core.flows.stuck import (
    FlowMemory,
    FlowSight,
    WorkOrder,
    compare,
    first_look,
    read_progress,
)
from sentinel.core.quantity import is_true, read_number


def sights(n, status="active"):
    return [FlowSight(f"f{i}", "t", status) for i in range(n)]


def test_stays_are_known_only_from_their_beginning():
    """A flow that was there before sentinel has no stay; one that came between two looks has an
    upper bound.
    """
    history = History()
    history.look("flows", FlowLook(0.0, sights(1)), WorkOrder())
    history.look(
        "flows", FlowLook(10.0, [*sights(1), FlowSight("new", "t", "active")]), WorkOrder()
    )
    over = [FlowSight("f0", "t", "done"), FlowSight("new", "t", "done")]
    history.look("flows", FlowLook(30.0, [], over), WorkOrder())
    assert history.observed["t", "active"].total == 1
    assert history.observed["t", "active"].sum == 30
    assert history.transitions["t", "active", "done"] == 2


def test_rows_that_are_deleted_have_left_their_status():
    """A platform that deletes what is done: a transition, a stay, and no blocked passage."""
    history = History()
    history.look("flows", FlowLook(0.0, []), WorkOrder())
    history.look("flows", FlowLook(10.0, sights(2)), WorkOrder())
    history.look("flows", FlowLook(20.0, sights(1)), WorkOrder())
    assert history.transitions == {("t", "_new_", "active"): 2, ("t", "active", "_deleted_"): 1}
    assert history.observed["t", "active"].total == 1
    assert ("t", "active") not in history.passages
    history.look("flows", FlowLook(30.0, [], saw_all=False), WorkOrder())
    assert history.transitions["t", "active", "_deleted_"] == 1


def test_after_an_incomplete_look_nothing_new_has_entered():
    """A flow beyond the bound of the last look may be old: no entry, no stay."""
    history = History()
    history.look("flows", FlowLook(0.0, sights(1), saw_all=False), WorkOrder())
    history.look("flows", FlowLook(10.0, sights(2)), WorkOrder())
    assert history.transitions == {}
    assert history.tables["flows"].flows["f1"].entered is None


def test_the_instant_of_the_look_before_is_remembered():
    """What changed between two looks changed after the first of them: a row written in between is
    kept up to date, and its new status was entered after that look, not now.
    """
    history = History()
    history.look("flows", FlowLook(100.0, [FlowSight("a", "t", "plan", changed=50.0)]), WorkOrder())
    assert history.tables["flows"].looked == 100.0
    moved = FlowSight("a", "t", "run", changed=150.0)
    history.look("flows", FlowLook(200.0, [moved]), WorkOrder())
    past = history.tables["flows"]
    assert past.changed_is_kept, "written at 150, after the look at 100"
    assert past.flows["a"].entered == 100.0
    over = FlowSight("a", "t", "done", changed=250.0)
    history.look("flows", FlowLook(300.0, [], [over]), WorkOrder())
    assert history.observed["t", "run"].sum == 200.0, "from 100 at the earliest to 300"


def test_the_look_before_survives_a_restart():
    """Without it a flow that is new after the restart would have no known beginning."""
    history = History()
    history.look("flows", FlowLook(100.0, sights(1)), WorkOrder())
    document = json.loads(json.dumps(history.dump()))
    assert document["tables"]["flows"]["flows"][0] == 100.0, "counted from there, so it stays short"
    again = History(document)
    again.look("flows", FlowLook(200.0, sights(2)), WorkOrder())
    assert again.tables["flows"].flows["f1"].entered == 100.0
    assert again.transitions == {("t", "_new_", "active"): 1}


def test_the_first_look_of_all_knows_no_beginning():
    """The first look of all has no look before it: what it sees may be old."""
    history = History()
    history.look("flows", FlowLook(100.0, sights(1)), WorkOrder())
    assert history.tables["flows"].flows["f0"].entered is None
    assert history.transitions == {}


def test_a_stay_does_not_begin_before_creation():
    """Created 2 s ago, the look before was 10 s ago: entered at most 2 s ago."""
    history = History()
    history.look("flows", FlowLook(0.0, []), WorkOrder())
    history.look("flows", FlowLook(10.0, [FlowSight("a", "t", "active", created=8.0)]), WorkOrder())
    assert history.tables["flows"].flows["a"].entered == 8.0


def test_labels_and_transitions_are_bounded():
    """50 pairs, 200 transitions, 50 types; the rest is `_other_`, and nothing is lost from the
    sums.
    """
    history = History()
    history.look("flows", FlowLook(0.0, []), WorkOrder())
    many = [FlowSight(f"f{i}", f"type {i}", f"status {i}") for i in range(300)]
    history.look("flows", FlowLook(1.0, many), WorkOrder())
    assert len(history.pairs) == 50
    assert len(history.transitions) == 201
    assert sum(history.transitions.values()) == 300
    assert history.transitions[OTHER, OTHER, OTHER] == 100
    assert len({key[0] for key in history.regressions}) == 51


def test_everything_survives_json():
    """A history that was written and read is the same."""
    history = History()
    history.look("flows", FlowLook(0.0, []), WorkOrder())
    history.look("flows", FlowLook(1.0, sights(3)), WorkOrder())
    history.look("flows", FlowLook(2.0, sights(2), [FlowSight("f2", "t", "done")]), WorkOrder())
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
    ("sight", "trust", "since"),
    [
        (FlowSight("a", "t", "new", created=30.0, changed=95.0), True, 30.0),
        (FlowSight("a", "t", "active", created=30.0, changed=50.0), True, 50.0),
        (FlowSight("a", "t", "active", created=30.0, changed=50.0), False, 90.0),
        (FlowSight("a", "t", "active", changed=95.0, entered=67.0), True, 67.0),
        (FlowSight("a", "t", "active", changed=7300.0, entered=7300.0), True, 90.0),
        (FlowSight("a", "t", "new", created=7300.0), True, 90.0),
    ],
)
def test_in_status_since(sight, trust, since):
    """Exact by its column and in the initial status, else the earliest bound; a future instant
    proves nothing.
    """
    memory = first_look(FlowSight("a", "t", sight.status), WorkOrder(), None, 90.0)
    assert find_standing(sight, memory, "new", 100.0, trust_changed=trust).since == since


def test_change_of_value_is_what_moves():
    """updated_at alone moves nothing; phase, counters, flags, progress do."""
    values = {"progress": 1.0, "counters": ("1",), "flags": (False,), "phase": "x"}
    memory = first_look(FlowSight("a", "t", "active", **values), WorkOrder(), None, 0.0)
    touched, _ = compare(
        memory, FlowSight("a", "t", "active", changed=9.0, **values), WorkOrder(), 0.0, 9.0
    )
    assert touched.moved == 0.0
    for change in ({"progress": 2.0}, {"counters": ("2",)}, {"flags": (True,)}, {"phase": "y"}):
        moved, _ = compare(
            memory, FlowSight("a", "t", "active", **(values | change)), WorkOrder(), 0.0, 9.0
        )
        assert moved.moved == 9.0


def test_a_regression_is_one_event():
    """Falling is counted once, not at every look after it."""
    order = WorkOrder({"new": 0, "active": 1})
    memory = first_look(FlowSight("a", "t", "active", progress=50.0), order, None, 0.0)
    memory, change = compare(memory, FlowSight("a", "t", "new", progress=20.0), order, 0.0, 1.0)
    assert change.regressions == ("progress", "status")
    _, change = compare(memory, FlowSight("a", "t", "new", progress=20.0), order, 1.0, 2.0)
    assert change.regressions == ()


ODD = ["a b", "new\nline", "back\\slash\\n", "\\", "=", "-", "", "ü \t x"]


def test_every_memory_survives_as_text():
    """Odd ids, unknown values, ranks, fractions: what was packed comes back, to the millisecond."""
    memories = {
        key: FlowMemory(
            "active",
            1e9 + n,
            1e9 - n,
            n / 3,
            1e9 + 2 * n,
            FlowSight(key, "t", "s").mark,
            n / 2,
            n,
            -1,
            0,
            1,
            "t",
        )
        for n, key in enumerate(ODD)
    }
    memories["plain"] = FlowMemory(
        "new", 1e9 + 0.125, None, None, 1e9 + 0.125, FlowSight("x", "t", "s").mark
    )
    document = json.loads(json.dumps(Packer().dump(memories, 1e9 + 5)))
    assert load_flows(document) == memories
    assert load_flows(Packer().dump({}, 1e9)) == {}


def test_only_what_changed_is_packed_again():
    """The line of an unchanged memory is the same object, and one that is gone is forgotten."""
    packer, mark = Packer(), FlowSight("x", "t", "s").mark
    memories = {key: FlowMemory("active", 1e9, None, None, 1e9, mark) for key in ("a", "b", "c")}
    packer.dump(memories, 1e9)
    before = dict(packer.lines)
    memories["b"] = FlowMemory("active", 1e9, None, 5.0, 1e9 + 9, mark)
    del memories["c"]
    packer.dump(memories, 1e9 + 9)
    assert packer.lines["a"] is before["a"]
    assert packer.lines["b"] is not before["b"]
    assert packer.lines.keys() == {"a", "b"}


def test_documents_of_older_versions_are_read():
    """Lists by flow and by bucket, as they were dumped before: the same memory, the same limits."""
    mark = FlowSight("a", "t", "active").mark
    old = {
        "tables": {
            "flows": {
                "flows": {"a": ["active", 5.0, 4.0, 10.0, 6.0, mark, 20.0, 1, -1, 0, -1, "t"]},
                "looked": 9.0, "saw_all": True, "changed_is_kept": True,
            }
        },
        "sketches": [[["t", "active"], [[20, [[48, 60], [50, 2]]]]]],
    }  # fmt: skip
    history = History(json.loads(json.dumps(old)))
    assert history.tables["flows"].flows == {
        "a": FlowMemory("active", 5.0, 4.0, 10.0, 6.0, mark, 20.0, 1, -1, 0, -1, "t")
    }
    assert history.sketches["t", "active"].days == {20: {48: 60, 50: 2}}
    again = History(json.loads(json.dumps(history.dump())))
    assert again.tables["flows"].flows == history.tables["flows"].flows
    assert again.sketches["t", "active"].days == {20: {48: 60, 50: 2}}
    stays = again.sketches["t", "active"].summarise(20 * 86400.0)
    assert (stays.n, stays.first, stays.longest) == (62, 21 * 86400.0, ())


@pytest.mark.parametrize(
    "flows",
    [[], [1.0], [0.0, [["t", "s", "1 2 3"]]], [0.0, [["t", "s", "x = = AAAA - = - id"]]], "", 5],
)
def test_a_document_that_is_none_is_refused(flows):
    """It raises what the daemon sets aside: never a half-read memory."""
    past = {"flows": flows, "looked": 9.0, "saw_all": True, "changed_is_kept": True}
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        History({"tables": {"flows": past}})


def test_values_as_people_store_them():
    """R12: text, percent signs, NaN and infinity; booleans of SQL and JSON; nothing of nothing is
    no progress.
    """
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
    assert [is_true(text) for text in ("true", "T", "1", "false", "", None)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
