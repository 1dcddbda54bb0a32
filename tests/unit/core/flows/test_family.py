"""Masters and their children: four disagreements, each alone; how long it is proven."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.flows.family import (
    Disagreement,
    FinishedChild,
    Kin,
    MasterRules,
    find_disagreements,
)
from sentinel.core.flows.stuck import FlowSight

NOW = 1000.0
WORKS = "it moved"
RULES = MasterRules("new", frozenset({"done"}), frozenset({"paused"}))
CHILD = FlowSight("c", "child", "run", created=500.0, changed=900.0)
MASTER = FlowSight("m", "master", "run", changed=700.0)


def find(
    kin: list[Kin] | None = None,
    done: list[FinishedChild] | None = None,
    rules: MasterRules = RULES,
    working: frozenset[str] = frozenset(),
    *,
    need_master: bool = True,
) -> list[Disagreement]:
    given = find_disagreements(kin or [], done or [], rules, working, NOW, need_master=need_master)
    return list(given)


def master_in(status: str) -> FlowSight:
    return replace(MASTER, status=status)


def test_a_family_that_agrees() -> None:
    """A working master with a working child; an initial one whose child has not begun."""
    assert find([Kin(CHILD, MASTER, WORKS)]) == []
    assert find([Kin(CHILD, master_in("new"), "")]) == []


def test_an_orphan() -> None:
    """Proven since its creation; by right where no master is needed."""
    (found,) = find([Kin(CHILD, None, WORKS)])
    assert (found.reason, found.subject, found.of_master) == ("no_master", CHILD, False)
    assert found.proven == 500.0
    assert find([Kin(replace(CHILD, created=None), None, WORKS)])[0].proven == 0.0
    assert find([Kin(CHILD, None, WORKS)], need_master=False) == []


def test_a_master_that_is_over_before_its_child() -> None:
    """The child is stuck; both rows have been so since the later of their changes."""
    (found,) = find([Kin(CHILD, master_in("done"), WORKS)])
    assert (found.reason, found.subject, found.of_master) == ("master_finished", CHILD, False)
    assert (found.text, found.proven) == ("master m is done", 100.0)


def test_a_master_that_was_never_told() -> None:
    """The master is stuck, and is named once, however many children it has."""
    second = replace(CHILD, id="c2")
    kin = [Kin(each, master_in("new"), WORKS) for each in (CHILD, second)]
    (found,) = find(kin)
    assert (found.reason, found.subject.id, found.of_master) == ("master_initialized", "m", True)
    assert found.text == "child c works already: it moved"


def finished(status: str, changed: float | None = 800.0, **facts: object) -> FinishedChild:
    return FinishedChild(replace(MASTER, status=status, **facts), "c", "done", changed)  # type: ignore[arg-type]


def test_a_master_whose_children_are_all_over() -> None:
    """It waits on; not while another child works, nor while it waits for people itself."""
    (found,) = find(done=[finished("run")])
    assert (found.reason, found.text, found.proven) == ("child_finished", "child c is done", 200.0)
    assert find(done=[finished("run")], working=frozenset({"m"})) == []
    assert find(done=[finished("paused")]) == []
    assert find(done=[finished("run", waits=True)]) == []


def test_only_masters_that_wait_for_children_are_asked() -> None:
    """With statuses of waiting named, one at its own work is not."""
    rules = replace(RULES, waits_for_children=frozenset({"waiting"}))
    assert find(done=[finished("run")], rules=rules) == []
    assert [each.reason for each in find(done=[finished("waiting")], rules=rules)] == [
        "child_finished"
    ]


def test_an_initial_master_with_a_finished_child() -> None:
    """It was never told, whoever else works."""
    (found,) = find(done=[finished("new")], working=frozenset({"m"}))
    assert (found.reason, found.of_master) == ("master_initialized", True)


@pytest.mark.parametrize(
    ("rules", "changed"), [(replace(RULES, trusts_changed=False), 0.0), (RULES, None)]
)
def test_what_proves_nothing(rules: MasterRules, changed: float | None) -> None:
    """Times that are not kept, or not there: then it counts from when we saw it."""
    assert find(done=[finished("run", changed)], rules=rules)[0].proven == 0.0
