"""Registry rows as agents: which row counts, who registered again, and who runs twice."""

from __future__ import annotations

import pytest

from sentinel.core.agents.registration import (
    HOUR,
    Arrivals,
    FileAge,
    Registration,
    Takeovers,
    merge,
    read_registration,
)

STATUSES = {"active": "active", "idle": "active", "sleeping": "sleeping", "gone": "inactive"}
NOW = 1_700_000_000.0


def row(id_="a", status="active", beat=None, registered=None, boot="", problem=""):
    """One row of the registry."""
    return Registration(id_, status, beat, frozenset(), registered, boot, problem)


def agents(*rows):
    """The agents that these rows are."""
    return merge(rows, STATUSES)


# -- merging --------------------------------------------------------------------------------------


def test_one_row_is_one_agent():
    """Its status in our words, its life as it says."""
    found = agents(row(status="idle", beat=5.0, registered=1.0, boot="b1"))["a"]
    assert (found.status, found.beat, found.life, found.rows) == ("active", 5.0, (1.0, "b1"), 1)
    assert found.boots == {"b1": 5.0}


@pytest.mark.parametrize(
    ("rows", "beat"),
    [
        ((row(beat=1.0), row(beat=2.0)), 2.0),
        ((row(beat=1.0), row(status="sleeping", beat=9.0)), 1.0),
        ((row(status="sleeping", beat=1.0), row(status="odd", beat=9.0)), 1.0),
        ((row(status="odd", beat=1.0), row(status="gone", beat=9.0)), 1.0),
        ((row(beat=None, registered=1.0), row(beat=3.0)), 3.0),
    ],
)
def test_the_row_that_counts(rows, beat):
    """Active before sleeping before unmapped before inactive; then the newest beat."""
    assert agents(*rows)["a"].beat == beat
    assert agents(*reversed(rows))["a"].beat == beat


def test_status_that_nobody_mapped():
    """It is told as such, not taken for another."""
    assert agents(row(status="odd"))["a"].status == "unmapped"


def test_rows_of_one_boot_that_are_active_twice():
    """There should be one; two boots are two lives, and each has its beat."""
    twice = agents(row(boot="b1", beat=1.0), row(boot="b1", beat=2.0))["a"]
    assert (twice.rows, twice.boots) == (2, {"b1": 2.0})
    two = agents(row(boot="b1", beat=1.0), row(boot="b2", beat=2.0))["a"]
    assert (two.rows, two.boots) == (1, {"b1": 1.0, "b2": 2.0})
    assert len(two.lives) == 2


def test_a_problem_of_any_row_is_told():
    """Also when another row counts."""
    assert agents(row(beat=9.0), row(problem="no time"))["a"].problem == "no time"


def test_agents_are_told_apart_by_id():
    """Two of them."""
    assert set(agents(row("a"), row("b"), row("a"))) == {"a", "b"}


# -- arrivals -------------------------------------------------------------------------------------


def see(arrivals: Arrivals, now: float, *rows) -> int:
    """One reading."""
    return arrivals.see(agents(*rows).values(), now)


def test_the_first_reading_is_the_baseline():
    """Who was there before us did not arrive."""
    arrivals = Arrivals()
    assert see(arrivals, NOW, row("a", registered=1.0), row("b", registered=2.0)) == 0
    assert see(arrivals, NOW + 1, row("a", registered=1.0), row("b", registered=2.0)) == 0


def test_a_new_life_and_a_new_agent_are_arrivals():
    """By time or by boot id; each once."""
    arrivals = Arrivals()
    see(arrivals, NOW, row("a", registered=1.0, boot="x"))
    assert see(arrivals, NOW + 1, row("a", registered=5.0, boot="x")) == 1
    assert see(arrivals, NOW + 2, row("a", registered=5.0, boot="y")) == 2
    assert see(arrivals, NOW + 3, row("a", registered=5.0, boot="y"), row("b")) == 3
    assert arrivals.last_hour(NOW + 3) == {"a": 2, "b": 1}


def test_a_life_that_comes_back_is_no_new_one():
    """Two rows that are read in turns."""
    arrivals = Arrivals()
    one, two = row("a", registered=1.0, boot="x"), row("a", registered=2.0, boot="y")
    see(arrivals, NOW, one)
    assert see(arrivals, NOW + 1, two) == 1
    assert see(arrivals, NOW + 2, one) == 1
    assert see(arrivals, NOW + 3, two) == 1


def test_after_our_own_restart_those_since_the_last_look_count():
    """Where their time is known; otherwise nobody can tell."""
    arrivals = Arrivals(total=7, looked=NOW)
    rows = (row("a", registered=NOW - 1), row("b", registered=NOW + 1), row("c"))
    assert see(arrivals, NOW + 5, *rows) == 8
    assert arrivals.looked == NOW + 5


def test_the_last_hour_forgets():
    """What is older is in the total alone."""
    arrivals = Arrivals()
    see(arrivals, NOW)
    assert see(arrivals, NOW + 1, row("a")) == 1
    assert arrivals.last_hour(NOW + 1 + HOUR) == {"a": 1}
    assert arrivals.last_hour(NOW + 2 + HOUR) == {}
    assert arrivals.total == 1


# -- takeovers ------------------------------------------------------------------------------------


def takeovers(*boots: tuple[float, str], ttl: float = 60.0, status: str = "active"):
    """What is found after an agent was seen at these times with these boots."""
    watch, found = Takeovers(), {}
    for at, boot in boots:
        found = watch.see(agents(row("a", status, boot=boot)), NOW + at, ttl)
    return found


def test_a_restart_is_no_takeover():
    """The old boot id never comes back."""
    assert takeovers((0, "x"), (10, "y"), (20, "y"), (30, "z")) == {}


def test_two_processes_write_one_row_in_turns():
    """A boot id that comes back soon after another took its place."""
    assert takeovers((0, "x"), (10, "y"), (20, "x")) == {"a": ("x", "y")}


@pytest.mark.parametrize(("gap", "found"), [(60, {"a": ("x", "y")}), (61, {})])
def test_a_return_must_come_soon(gap, found):
    """A host name may be a boot id: moving back on another day is no second process."""
    assert takeovers((0, "x"), (1, "y"), (gap, "x")) == found


@pytest.mark.parametrize(("after", "known"), [(60, True), (61, False)])
def test_a_return_is_told_for_a_while(after, known):
    """As long as it may go on."""
    assert bool(takeovers((0, "x"), (1, "y"), (2, "x"), (2 + after, "x"))) is known


def test_what_sleeps_or_has_no_boot_id_is_not_judged():
    """Nothing can be told apart."""
    assert takeovers((0, ""), (1, "y"), (2, "")) == {}
    assert takeovers((0, "x"), (1, "y"), (2, "x"), status="sleeping") == {}


def test_an_agent_that_left_is_forgotten():
    """It is not there to be in two places."""
    watch = Takeovers()
    for at, boot in ((0, "x"), (1, "y"), (2, "x")):
        watch.see(agents(row("a", boot=boot)), NOW + at, 60.0)
    assert watch.see({}, NOW + 3, 60.0) == {}
    assert watch.see(agents(row("a", boot="y")), NOW + 4, 60.0) == {}


# -- files and entries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "fresh", "faults"),
    [
        (FileAge(NOW - 60, NOW - 60, NOW - 5), 60.0, 0),
        (FileAge(NOW - 61), 60.0, 1),
        (FileAge(NOW - 1e6), None, 0),
        (FileAge(NOW, NOW - 61), 60.0, 1),
        (FileAge(NOW, NOW - 61), None, 0),
        (FileAge(NOW - 10, NOW - 4), None, 1),
        (FileAge(NOW - 10, NOW - 5), None, 0),
        (FileAge(NOW, None, NOW - 6), None, 1),
        (FileAge(NOW - 100, NOW - 200, NOW - 6), 60.0, 3),
    ],
)
def test_age_of_a_registry_file(age, fresh, faults):
    """Not written, written with an old or a later time, or not when it promised; limits are good."""
    assert len(age.find_faults(NOW, fresh, 5.0)) == faults


KEYS = {
    "status": "state",
    "last_heartbeat": "beat",
    "capabilities": "can",
    "registered_at": "since",
    "boot_id": "boot",
}


def test_an_entry_is_read_by_the_names_of_its_fields():
    """Whatever they are called; numbers become text where text is meant."""
    fields = {"state": "ACTIVE", "beat": NOW, "can": "sql", "since": f"{NOW - 5}", "boot": 7}
    found = read_registration("a", fields, KEYS)
    assert (found.id, found.status, found.beat) == ("a", "active", NOW)
    assert (found.capabilities, found.registered, found.boot) == ({"sql"}, NOW - 5, "7")
    assert found.problem == ""


def test_an_entry_without_anything():
    """Nothing is known, and nothing is wrong."""
    found = read_registration("a", {}, dict.fromkeys(KEYS))
    assert (found.status, found.beat, found.registered, found.boot) == ("", None, None, "")
    assert found.problem == ""


def test_a_heartbeat_that_is_no_time():
    """It is named by its field, with what is in it, and cut."""
    found = read_registration("a", {"beat": "soon" * 100}, KEYS)
    assert found.beat is None
    assert found.problem.startswith("beat is no time: 'soonsoon")
    assert len(found.problem) < 90


@pytest.mark.parametrize(
    ("age", "off"),
    [
        (FileAge(NOW, NOW + 7200, None, is_vague=True), 7200.0),
        (FileAge(NOW, NOW - 28803, NOW - 28743, is_vague=True), -28803.0),
        (FileAge(NOW, None, NOW - 28740, is_vague=True), -28740.0),
        (FileAge(NOW, NOW, NOW + 60, is_vague=True), None),
        (FileAge(NOW, NOW - 61, NOW + 60, is_vague=True), None),
        (FileAge(NOW, NOW + 7200), None),
    ],
)
def test_vague_claims_of_another_zone(age: FileAge, off: float | None) -> None:
    """Whole hours between the file's time and its claim, or an update promised for the past; what
    tells its offset is a wrong clock or an old file.
    """
    found = age.find_offset()
    assert (found is None) is (off is None)
    assert off is None or abs((found or 0.0) - off) <= 5


def test_texts_without_an_offset_are_of_the_zone() -> None:
    """And are told apart from those that say their offset, and from numbers."""
    names = {"last_heartbeat": "seen", "registered_at": "since"}
    fields = {"seen": "2026-11-30T12:00:00", "since": "2026-11-30T12:00:00+02:00"}
    row = read_registration("a", fields, names, zone="Asia/Tokyo")
    assert (row.beat, row.registered, row.is_wall) == (1796007600.0, 1796032800.0, True)
    assert read_registration("a", fields, names).beat == 1796040000.0
    exact = {"seen": "2026-11-30T12:00:00Z", "since": 1796040000}
    row = read_registration("a", exact, names, zone="Asia/Tokyo")
    assert (row.beat, row.registered, row.is_wall) == (1796040000.0, 1796040000.0, False)


def test_registrations_to_come_are_not_counted_after_a_restart() -> None:
    """Times ahead of the clock, or of which nobody knows the zone, tell nothing of the pause."""
    for at, is_zoned, total in ((NOW + 30, True, 4), (NOW + 7200, True, 3), (NOW + 30, False, 3)):
        arrivals, row = Arrivals(3, NOW), Registration("a", "active", None, registered=at)
        found = agents(row).values()
        assert arrivals.see(found, NOW + 60, is_zoned=is_zoned) == total
