"""Two polls in a row: what must be the same, what must have moved on, and by how much."""

from __future__ import annotations

import pytest

from sentinel.core.agents.confirmation import Confirmation, count_mismatches, sample_names
from sentinel.core.agents.suspects import KINDS, SAMPLES, Suspect


def ghost(life: float = 1.0) -> dict[str, dict[str, Suspect]]:
    return {"ghost": {"a": Suspect(life=(life, ""))}}


def zombie(at: float, *others: float) -> dict[str, dict[str, Suspect]]:
    """Signs of one or several sources; two need two that go on."""
    signs = {str(n): each for n, each in enumerate((at, *others))}
    return {"zombie": {"a": Suspect(signs=signs, needed=len(signs), margin=0.5)}}


def test_one_poll_proves_nothing() -> None:
    """The kind is told, without a name."""
    assert Confirmation().confirm(ghost()) == {"ghost": {}}


def test_the_second_poll_proves_it_of_the_same_life() -> None:
    """A restart in between begins anew."""
    polls = Confirmation()
    polls.confirm(ghost())
    assert polls.confirm(ghost()) == ghost()
    assert polls.confirm(ghost(life=2.0)) == {"ghost": {}}
    assert polls.confirm(ghost(life=2.0)) == ghost(life=2.0)


def test_polls_must_follow_each_other() -> None:
    """Once well in between, and it counts from one again; so does it under another kind."""
    polls = Confirmation()
    polls.confirm(ghost())
    polls.confirm({"ghost": {}})
    assert polls.confirm(ghost()) == {"ghost": {}}
    assert polls.confirm({"deaf": ghost()["ghost"]}) == {"deaf": {}}


def test_what_is_proven_needs_no_second_poll() -> None:
    """Such as a clock that is read twice anyway."""
    found = {"flapping": {"a": Suspect(proven=True), "b": Suspect()}}
    assert list(Confirmation().confirm(found)["flapping"]) == ["a"]


@pytest.mark.parametrize(("moved", "again"), [(0.0, False), (0.5, False), (0.75, True)])
def test_a_sign_must_move_on_by_more_than_its_margin(moved: float, again: bool) -> None:
    """What is left of a time to live is not exact."""
    polls = Confirmation()
    polls.confirm(zombie(100.0))
    assert ("a" in polls.confirm(zombie(100.0 + moved))["zombie"]) is again


def test_small_moves_add_up_from_the_first_sight() -> None:
    """The first sign is kept: half a second at a time is life too."""
    polls = Confirmation()
    polls.confirm(zombie(100.0))
    assert polls.confirm(zombie(100.4)) == {"zombie": {}}
    assert "a" in polls.confirm(zombie(100.8))["zombie"]


@pytest.mark.parametrize(
    ("second", "again"), [((101.0, 101.0), True), ((101.0, 100.0), False), ((100.0,), False)]
)
def test_as_many_signs_as_are_needed(second: tuple[float, ...], again: bool) -> None:
    """Of two, both must go on; the one before a restart does not."""
    polls = Confirmation()
    polls.confirm(zombie(100.0, 100.0))
    assert ("a" in polls.confirm(zombie(*second))["zombie"]) is again


def test_a_sign_that_is_new_did_not_move() -> None:
    """It has no earlier one to be compared with."""
    polls = Confirmation()
    polls.confirm({"twin": {"a": Suspect(signs={"c1": 1.0}, needed=1)}})
    assert polls.confirm({"twin": {"a": Suspect(signs={"c2": 9.0}, needed=1)}}) == {"twin": {}}


def test_every_kind_is_counted() -> None:
    """By subjects: tasks where one stands for several; zero where nothing is."""
    found = {"ghost": {"a": Suspect(), "b": Suspect()}, "orphan": {"c": Suspect(5)}}
    counts = count_mismatches(found)
    assert tuple(counts) == KINDS
    assert (counts["ghost"], counts["orphan"], counts["deaf"]) == (2, 5, 0)


@pytest.mark.parametrize(
    ("suspect", "shown"),
    [
        (Suspect(), "a"),
        (Suspect(sample=("t1", "t2", "t3", "t4")), "a (t1, t2, t3)"),
        (
            Suspect(sample=("t1",), asleep=("z1", "z2", "z3", "z4")),
            "a (only asleep: z1, z2, z3, t1)",
        ),
    ],
)
def test_a_name_with_what_it_stands_for(suspect: Suspect, shown: str) -> None:
    """At most three things; who sleeps first."""
    assert sample_names({"a": suspect}) == [shown]


def test_names_are_sorted_and_bounded() -> None:
    """The first twenty."""
    found = {f"a{n:02}": Suspect() for n in reversed(range(SAMPLES + 1))}
    assert sample_names(found) == [f"a{n:02}" for n in range(SAMPLES)]
