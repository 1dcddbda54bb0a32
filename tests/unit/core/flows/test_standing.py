"""Since when a flow is in its status, by times that may be of another zone or clock; and whether
its worker lives.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sentinel.core.fault import Status
from sentinel.core.flows.beat import BeatWatch
from sentinel.core.flows.clock import (
    TimeColumns,
    TimeScreen,
    dump_tally,
    load_tally,
    make_screen,
    note_skew,
)
from sentinel.core.flows.family import MasterRules
from sentinel.core.flows.finding import Reservations, make_finding
from sentinel.core.flows.history import FlowLook, History
from sentinel.core.flows.lasting import Families
from sentinel.core.flows.standing import find_standing
from sentinel.core.flows.stuck import Crew, FlowRules, FlowSight, Worker, WorkOrder, first_look
from sentinel.core.flows.table import TableRules
from sentinel.core.flows.verdict import judge
from sentinel.core.model import Finding
from sentinel.core.moment.skew import Basis, ColumnClock, SkewTally

NOW = 1_750_000_000.0  # 2025-06-15: Athens is 3 h ahead of UTC, Los Angeles 7 h behind
HOUR = 3600.0
ATHENS, ANGELES = "Europe/Athens", "America/Los_Angeles"
OPEN = ColumnClock("flows.created_at", Basis.DISAGREED, "UTC", (ATHENS, ANGELES))
DECLARED = ColumnClock("flows.created_at", Basis.DECLARED, ATHENS)
UNKNOWN = ColumnClock("flows.created_at", Basis.ASSUMED)
TYPED = ColumnClock("flows.created_at", Basis.TYPED)
NEW = WorkOrder(initial="new")


def new(created: float, **facts: object) -> FlowSight:
    return FlowSight("f", "t", "new", created=created, **facts)  # type: ignore[arg-type]


# --- what a time may mean -------------------------------------------------------------------------


def test_a_time_of_one_zone_means_one_instant() -> None:
    """Of a column with a zone, of a declared one, and where nobody asked."""
    for clock in (TYPED, DECLARED, None):
        screen = TimeScreen(TimeColumns(created=clock))
        assert screen.is_plain
        assert screen.read("created", NOW) == (NOW,)


def test_a_time_of_several_zones_means_several_instants() -> None:
    """Written by clocks 3 h ahead it is 3 h earlier, by those 7 h behind 7 h later."""
    screen = TimeScreen(TimeColumns(created=OPEN))
    assert screen.read("created", NOW) == (NOW - 3 * HOUR, NOW, NOW + 7 * HOUR)
    assert not screen.is_plain
    assert screen.read("changed", NOW) == (NOW,)
    unknown = TimeScreen(TimeColumns(created=UNKNOWN))
    assert (unknown.read("created", NOW), unknown.is_plain) == ((), False)


def test_the_catalogs_word_holds_until_rows_speak_against_it() -> None:
    """An application may write UTC into a database of Athens: its rows then come too late by their
    times, and after three of them no row of the table is believed alone.
    """
    clock = ColumnClock("flows.created_at", Basis.DISCOVERED, ATHENS, ("UTC",))
    columns, tally = TimeColumns(created=clock), SkewTally()
    screen = make_screen(columns, tally)
    assert (screen.read("created", NOW), screen.is_plain) == ((NOW,), True)
    came = NOW - 10 - 3 * HOUR
    assert screen.find_skew("created", came, NOW - 30, NOW) == -3 * HOUR
    assert screen.settle("created", came, NOW - 30, NOW) is None
    for _ in range(3):
        note_skew(tally, -3 * HOUR)
    screen = make_screen(columns, tally)
    assert screen.read("created", came) == (came, NOW - 10)
    assert screen.settle("created", came, NOW - 30, NOW) == NOW - 10


def test_what_came_between_two_looks_settles_its_zone() -> None:
    """Only one reading lies between them; without a look before all may be that are not ahead."""
    screen = TimeScreen(TimeColumns(created=OPEN))
    for off in (0.0, 3 * HOUR, -7 * HOUR):
        assert screen.settle("created", NOW - 10 + off, NOW - 30, NOW) == NOW - 10
        known = screen.settle("created", NOW - 10 + off, None, NOW)
        assert known == (NOW - 10 if off > 0 else None)


@pytest.mark.parametrize(
    ("at", "settled"),
    [
        (NOW - 10, NOW - 10),
        (NOW - 31.5, NOW - 31.5),  # visible 1.5 s late
        (NOW + 3, None),  # a clock that is a little fast: it came, and nobody knows when
        (NOW - 300, NOW - 300),  # a transaction of five minutes
        (NOW - 40 * 86400, NOW - 40 * 86400),  # imported
        (NOW - 10 - 7 * HOUR, None),
        (NOW - 31.5 + 3 * HOUR, None),
        (NOW + 60, None),
    ],
)
def test_only_what_looks_like_another_zone_is_not_believed(
    at: float, settled: float | None
) -> None:
    """Seen between a look half a minute ago and now."""
    assert TimeScreen().settle("created", at, NOW - 30, NOW) == settled


# --- standing -------------------------------------------------------------------------------------


def standing(sight: FlowSight, screen: TimeScreen, previous: float | None, later: float = 0.0):
    memory = first_look(sight, NEW, previous, NOW, screen)
    found = find_standing(sight, memory, "new", NOW + later, trust_changed=True, screen=screen)
    return NOW - found.since, NOW - found.earliest, found.is_skewed


def test_a_flow_of_one_of_several_zones_is_between_two_ages() -> None:
    """At the first look: 1 h by UTC, or 4 h by Athens; by Los Angeles it is still to come. Seen to
    come, it is one.
    """
    screen = TimeScreen(TimeColumns(created=OPEN))
    assert standing(new(NOW - HOUR), screen, None) == (HOUR, 4 * HOUR, False)
    assert standing(new(NOW - 10 - 7 * HOUR), screen, NOW - 30) == (10, 10, False)


def test_a_time_ahead_tells_nothing() -> None:
    """Since sentinel saw it at the latest; since when at the earliest, nobody knows."""
    assert standing(new(NOW + 3 * HOUR), TimeScreen(), None) == (0, float("inf"), True)
    assert standing(new(NOW + 2), TimeScreen(), None) == (0, 0, False), "clocks differ by seconds"


def test_a_zone_that_nobody_knows_tells_nothing() -> None:
    """Neither an age at least, nor one at most."""
    unknown = TimeScreen(TimeColumns(created=UNKNOWN))
    assert standing(new(NOW - HOUR), unknown, None) == (0, float("inf"), False)
    assert standing(new(NOW - HOUR), unknown, NOW - 30) == (0, 0, False), "it was seen to come"


def test_a_skewed_flow_that_was_seen_to_come_is_as_old_as_that() -> None:
    """8 h old by its time, half a minute at most by ours: also an hour later."""
    assert standing(new(NOW - 10 - 8 * HOUR), TimeScreen(), NOW - 30) == (0, 0, True)
    assert standing(new(NOW - 10 - 8 * HOUR), TimeScreen(), NOW - 30, HOUR) == (0, 0, True)


def test_a_column_that_tells_the_entry_is_exact() -> None:
    """Also where the flow has left its status and come back between two looks: later than we saw
    it first. What is written with the row or last changed is only an upper bound.
    """
    memory = first_look(FlowSight("f", "t", "run"), NEW, None, NOW)
    for column, since in (("entered", NOW + 40), ("changed", NOW)):
        sight = FlowSight("f", "t", "run", **{column: NOW + 40})
        found = find_standing(sight, memory, "new", NOW + 60, trust_changed=True)
        assert (found.since, found.earliest) == (since, since)


def test_a_status_can_not_be_older_than_its_entry() -> None:
    """updated_at of before we saw the change is of another clock; one after it is an upper bound."""
    memory = first_look(FlowSight("f", "t", "run"), NEW, NOW - 30, NOW)
    for changed, since in (
        (NOW - 20, NOW - 20),
        (NOW - 8 * HOUR, NOW),
        (NOW - 34, NOW - 34),
        (NOW - 35, NOW - 35),
        (NOW - 36, NOW),
    ):
        sight = FlowSight("f", "t", "run", changed=changed)
        found = find_standing(sight, memory, "new", NOW + 60, trust_changed=True)
        assert (found.since, found.earliest) == (since, since)


# --- what rows that come teach --------------------------------------------------------------------


def test_one_offset_that_comes_again_is_a_clock() -> None:
    """Three rows of the same; not three of different ones, nor what is as rare as chance."""
    tally = SkewTally()
    for off in (0.0, -7 * HOUR, -7 * HOUR, 900.0, None):
        note_skew(tally, off)
    assert make_screen(TimeColumns(), tally).is_plain
    note_skew(tally, -7 * HOUR)
    screen = make_screen(TimeColumns(), tally)
    assert screen.offsets == (-7 * HOUR,)
    assert screen.read("created", NOW) == (NOW, NOW + 7 * HOUR)
    again = load_tally(json.loads(json.dumps(dump_tally(tally))))
    assert make_screen(TimeColumns(), again) == screen
    for _ in range(30):
        note_skew(tally, None)
    assert make_screen(TimeColumns(), tally).is_plain, "old rows are off by whole hours by chance"


def test_a_clock_that_stays_wrong_stays_convicted() -> None:
    """However many rows came: one of ten is off, and few kinds of offsets are kept."""
    tally = SkewTally()
    for n in range(3000):
        note_skew(tally, 2 * HOUR if n % 10 == 0 else 0.0)
        if n % 100 == 1:
            note_skew(tally, 60.0 + n)
    assert make_screen(TimeColumns(), tally).offsets == (2 * HOUR,)
    assert tally.fine + tally.skewed <= 400
    assert len(tally.offsets) < 20


def test_a_clock_that_was_mended_is_believed_again() -> None:
    """The newest few hundred rows count."""
    tally = SkewTally()
    for _ in range(10):
        note_skew(tally, 2 * HOUR)
    for _ in range(2000):
        note_skew(tally, 0.0)
    assert make_screen(TimeColumns(), tally).is_plain
    assert load_tally(None) == SkewTally()


RULES = TableRules("flows", FlowRules("new", order=NEW), {}, 2 * HOUR, learn=False)
ALONE = Families(MasterRules("new", frozenset()), [], 60.0)


def look(
    history: History, now: float, *sights: FlowSight, clock: ColumnClock | None = None
) -> Finding:
    rules = replace(RULES, clocks=TimeColumns(created=clock))
    verdict = judge(history, [FlowLook(now, list(sights))], [rules], ALONE, now)
    return make_finding(history, verdict, ["overdue"], Reservations())


def tell(finding: Finding) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for fault in finding.faults:
        found.setdefault(fault.key, set()).add(fault.subject.get("flow") or fault.subject["times"])
    return found


def test_of_several_zones_only_what_is_certain_is_told() -> None:
    """Overdue by each zone; by none; and by one alone: then nobody can tell, until it was watched
    long enough.
    """
    ages = {"late": 10, "fine": -2.5, "unsure": 1}
    sights = [replace(new(NOW - hours * HOUR), id=key) for key, hours in ages.items()]
    history = History()
    first = look(history, NOW, *sights, clock=OPEN)
    assert tell(first) == {"overdue": {"late"}, "skewed": {"flows.created_at"}}
    (doubt,) = [fault for fault in first.faults if fault.key == "skewed"]
    assert doubt.status is Status.UNKNOWN
    assert doubt.count is not None
    assert (doubt.count.lo, doubt.count.hi) == (1, 1)
    assert doubt.text == (
        "flows.created_at is read as UTC, or Europe/Athens or America/Los_Angeles (disagreed);"
        " whether 1 flow is overdue can't be told: unsure"
    )
    assert first.evidence["zones"] == [OPEN.describe()]
    later = look(history, NOW + 2 * HOUR + 1, *sights, clock=OPEN)
    assert tell(later) == {"overdue": {"late", "fine", "unsure"}}


def test_a_time_ahead_is_unknown_with_the_zone_that_it_looks_like() -> None:
    """Of a `timestamptz`: written as a wall time of another zone."""
    finding = look(History(), NOW, new(NOW - 10 + 3 * HOUR), clock=TYPED)
    (doubt,) = finding.faults
    assert "3 h ahead of the server's clock: they look like UTC+3" in doubt.text
    skewed = [row.values["skewed"] for row in finding.rows if "skewed" in row.values]
    assert skewed == [1.0]


def test_rows_that_come_convict_the_clock_of_those_that_were_there() -> None:
    """A flow of 8 h by its time is overdue while nothing speaks against it; not any more when three
    others came with times 7 h behind. Those are no older than they are, and counted.
    """
    history, old = History(), replace(new(NOW - 8 * HOUR), id="old")
    assert tell(look(history, NOW, old)) == {"overdue": {"old"}}
    came = [replace(new(NOW + 20 - 7 * HOUR), id=f"came{n}") for n in range(3)]
    finding = look(history, NOW + 30, old, *came)
    assert tell(finding) == {"skewed": {"created"}}
    assert finding.faults[0].text.startswith("times of created are 7 h behind the server's clock")
    skewed = sum(row.values.get("skewed", 0) for row in finding.rows)
    assert skewed == 3
    again = History(json.loads(json.dumps(history.dump())))
    assert tell(look(again, NOW + 60, old, *came)) == {"skewed": {"created"}}


def test_durations_of_skewed_rows_are_those_that_were_seen() -> None:
    """A stay of a flow that came 7 h behind ends after a minute: a minute, not 7 h."""
    history = History()
    look(history, NOW)
    look(history, NOW + 30, new(NOW + 20 - 7 * HOUR))
    over = replace(new(NOW + 20 - 7 * HOUR), status="done")
    judge(history, [FlowLook(NOW + 90, [], [over])], [RULES], ALONE, NOW + 90)
    assert history.observed["t", "new"].sum == 90


# --- workers --------------------------------------------------------------------------------------


def beat(watch: BeatWatch, at: float, now: float, clock: ColumnClock | None = None) -> str:
    worker = watch.look("w", Worker(now - at), clock, now, 60.0)
    crew = Crew("agents", {"w": worker}, 60.0)
    return "unsure" if worker.is_unsure else "lives" if crew.has_live("w") else "dead"


def test_a_heartbeat_that_can_be_believed() -> None:
    """Fresh, old, and never."""
    assert beat(BeatWatch(), NOW - 5, NOW) == "lives"
    assert beat(BeatWatch(), NOW + 3, NOW) == "lives"
    assert beat(BeatWatch(), NOW - 300, NOW) == "dead"
    assert beat(BeatWatch(), NOW - 5 + 3 * HOUR, NOW, OPEN) == "lives", (
        "by all other zones it is ahead"
    )
    never = Worker(None)
    assert BeatWatch().look("w", never, None, NOW, 60.0) is never


@pytest.mark.parametrize(
    ("off", "clock"),
    [
        (2 * HOUR, TYPED),
        (-7 * HOUR, TYPED),
        (60.0, TYPED),
        (0.0, UNKNOWN),
        (0.0, OPEN),
    ],
)
def test_a_heartbeat_of_another_zone(off: float, clock: ColumnClock) -> None:
    """Neither life nor death at first; life as soon as it changes; death when it does not for as
    long as a heartbeat lasts.
    """
    for moving in (True, False):
        watch = BeatWatch()
        assert beat(watch, NOW - 5 + off, NOW, clock) == "unsure"
        later = NOW + 30
        assert beat(watch, (later if moving else NOW) - 5 + off, later, clock) == (
            "lives" if moving else "unsure"
        )
        assert beat(watch, (later if moving else NOW) - 5 + off, NOW + 100, clock) == "dead"


def test_a_heartbeat_that_lives_by_every_zone() -> None:
    """Then it is as young as it may be; at the limit it is alive, beyond it is not."""
    watch, worker = BeatWatch(), Worker(HOUR)
    lenient = watch.look("w", worker, OPEN, NOW, 5 * HOUR)
    assert (lenient.age, lenient.is_unsure) == (HOUR, False)
    assert beat(BeatWatch(), NOW - 60, NOW) == "lives"
    assert beat(BeatWatch(), NOW - 61, NOW) == "dead"


def test_who_left_the_registry_is_forgotten() -> None:
    """And is new when it comes back."""
    watch = BeatWatch()
    for key in ("w", "v"):
        watch.look(key, Worker(1.0), None, NOW, 60.0)
    watch.forget_all_but(["v"])
    assert watch.seen.keys() == {"v"}


def test_workers_of_whom_nobody_can_tell_are_a_doubt() -> None:
    """They are not blamed, and named; who sleeps by right is neither."""
    workers = {
        "w1": Worker(5.0),
        "w2": Worker(0.0, is_unsure=True),
        "w3": Worker(0.0, True, "", True),
    }
    crew = Crew("agents", workers, 60.0, replace(OPEN, column="agents.beat"))
    verdict = judge(History(), [FlowLook(NOW, [])], [RULES], ALONE, NOW)
    (doubt,) = make_finding(History(), verdict, [], Reservations(crew=crew)).faults
    assert (doubt.key, doubt.subject) == ("skewed", {"times": "agents.beat"})
    assert doubt.text.endswith("whether 1 worker lives can't be told before they change: w2")
