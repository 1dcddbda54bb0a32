"""Lives of agents: the row that counts, the name that people gave, what is forgotten with it."""

from __future__ import annotations

import pytest

from sentinel.core.agents.registration import (
    ACTIVE,
    HOUR,
    INACTIVE,
    SLEEPING,
    UNMAPPED,
    Arrivals,
    FileAge,
    RegisteredAgent,
    Registration,
    Takeovers,
    merge,
    read_registration,
)

NOW = 1_700_000_000.0
STATUSES = {"up": ACTIVE, "nap": SLEEPING, "off": INACTIVE}


def one(*rows: Registration) -> RegisteredAgent:
    (agent,) = merge(rows, STATUSES).values()
    return agent


@pytest.mark.parametrize(
    ("texts", "status"),
    [
        (("off", "nap", "up"), ACTIVE),
        (("off", "nap"), SLEEPING),
        (("off", "odd"), UNMAPPED),
        (("off",), INACTIVE),
    ],
)
def test_the_most_alive_row_counts(texts: tuple[str, ...], status: str) -> None:
    """Whatever order they come in."""
    for order in (texts, texts[::-1]):
        assert one(*(Registration("a", text) for text in order)).status == status


def test_of_equal_rows_the_newest_counts() -> None:
    """By beat, then by registration."""
    old = Registration("a", "up", NOW - 9, registered=NOW, name="old")
    new = Registration("a", "up", NOW, registered=NOW - 9, name="new")
    assert one(old, new).name == one(new, old).name == "new"
    later = Registration("a", "up", NOW, registered=NOW, name="later")
    assert one(new, later).name == "later"


def test_rows_of_one_start_are_counted() -> None:
    """Two active rows of one boot are one too many; of two boots each is one; an inactive is none."""
    rows = [Registration("a", "up", NOW, boot="x")] * 2
    assert one(*rows).rows == 2
    assert one(rows[0], Registration("a", "up", NOW, boot="y")).rows == 1
    assert one(*rows, Registration("a", "up", NOW, boot="y")).rows == 2
    assert one(rows[0], Registration("a", "off", NOW, boot="x")).rows == 1
    assert one(Registration("a", "off")).rows == 1


def test_a_problem_of_any_row_is_told() -> None:
    """The first of them."""
    rows = [Registration("a", "up"), Registration("a", "off", problem="seen is no time: 'x'")]
    assert one(*rows).problem == "seen is no time: 'x'"


NAMES = {"status": "state", "last_heartbeat": "seen", "name": "called"}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"called": "planner"}, "planner"),
        ({"called": 17}, "17"),
        ({"called": None}, ""),
        ({}, ""),
    ],
)
def test_names_that_people_gave(fields: dict[str, object], name: str) -> None:
    """A text, or what is written as one; none is none."""
    assert read_registration("a-1", fields, NAMES).name == name
    assert one(read_registration("a-1", {"state": "UP", **fields}, NAMES)).name == name


def test_without_a_mapping_nothing_is_read() -> None:
    """A field that no option names is none of ours."""
    row = read_registration("a", {"state": "up", "called": "planner"}, {"status": None})
    assert row == Registration("a", "")


def active(name: str, registered: float | None = None, boot: str = "") -> RegisteredAgent:
    return RegisteredAgent(name, ACTIVE, registered=registered, boot=boot)


def test_a_life_that_comes_back_is_no_new_one() -> None:
    """Rows appear and disappear; an agent that left altogether and returns registers anew."""
    arrivals = Arrivals()
    first, second = active("a", 1.0, "x"), active("a", 2.0, "y")
    totals = [arrivals.see([each], NOW + n) for n, each in enumerate((first, second, first))]
    assert totals == [0, 1, 1]
    assert arrivals.see([], NOW + 3) == 1
    assert arrivals.see([first], NOW + 4) == 2


def test_registrations_of_the_last_hour() -> None:
    """By agent; older ones are forgotten."""
    arrivals = Arrivals()
    arrivals.see([], NOW)
    arrivals.see([active("a", 1.0)], NOW + 1)
    arrivals.see([active("a", 2.0), active("b", 1.0)], NOW + 2)
    assert arrivals.last_hour(NOW + 2) == {"a": 2, "b": 1}
    assert arrivals.last_hour(NOW + 1.5 + HOUR) == {"a": 1, "b": 1}


def test_after_a_restart_only_known_times_count() -> None:
    """Registered since the last look, by its own time; without one nobody knows."""
    for registered, total in ((NOW + 1, 4), (NOW, 3), (None, 3)):
        arrivals = Arrivals(3, NOW)
        assert arrivals.see([active("a", registered)], NOW + 60) == total


def test_takeovers_are_forgotten() -> None:
    """A ttl after the last return, and when the agent left the registry; only active ones count."""
    takeovers, ttl = Takeovers(), 60.0
    for n, boot in enumerate("ABA"):
        found = takeovers.see({"a": active("a", boot=boot)}, NOW + n, ttl)
    assert found == {"a": ("A", "B")}
    assert takeovers.see({"a": active("a", boot="A")}, NOW + 62, ttl) == {"a": ("A", "B")}
    assert takeovers.see({"a": active("a", boot="A")}, NOW + 63, ttl) == {}
    asleep = Takeovers()
    for n, boot in enumerate("ABA"):
        sleeper = RegisteredAgent("a", SLEEPING, boot=boot)
        assert asleep.see({"a": sleeper}, NOW + n, ttl) == {}


def test_an_agent_that_left_is_no_second_process_when_it_returns() -> None:
    """Its boots are forgotten with it."""
    takeovers = Takeovers()
    for n, boot in enumerate("AB"):
        takeovers.see({"a": active("a", boot=boot)}, NOW + n, 60.0)
    takeovers.see({}, NOW + 2, 60.0)
    assert takeovers.see({"a": active("a", boot="A")}, NOW + 3, 60.0) == {}


@pytest.mark.parametrize(
    ("age", "found"),
    [
        (FileAge(NOW - 600), 0),
        (FileAge(NOW - 601), 1),
        (FileAge(NOW, NOW - 600), 0),
        (FileAge(NOW, NOW - 601), 1),
        (FileAge(NOW, NOW + 2), 0),
        (FileAge(NOW, NOW + 3), 1),
        (FileAge(NOW, None, NOW - 2), 0),
        (FileAge(NOW, None, NOW - 3), 1),
        (FileAge(NOW - 601, NOW - 1300, NOW - 3), 3),
    ],
)
def test_the_age_of_a_file_at_its_limits(age: FileAge, found: int) -> None:
    """Ten minutes without a write, two seconds of difference between clocks."""
    assert len(age.find_faults(NOW, 600.0, 2.0)) == found
