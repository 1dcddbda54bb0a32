"""From accounts to faults: which stream and group, which figure, which limit, which command."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sentinel.core.bus.delivery import (
    Anchor,
)
from sentinel.core.bus.delivery.cohort import Settlement
from sentinel.core.bus.delivery.finding import (
    OVERDUE_CAP,
    find_below,
    find_delivery_faults,
    find_drops_unseen,
    find_late,
    find_lost,
    find_mishaps,
    find_missed,
    find_replica,
    note_break,
    note_gone,
    note_group_gone,
    note_skip,
)
from sentinel.core.bus.delivery.fleet import Standing
from sentinel.core.bus.delivery.jump import Skip
from sentinel.core.bus.delivery.lineage import Break
from sentinel.core.bus.delivery.presence import find_group_faults
from sentinel.core.bus.delivery.window import Window, tally
from sentinel.core.fault import Status
from sentinel.core.quantity import MANY, Bounds
from tests.unit.core.bus.delivery.test_presence import RULES, account

NONE = Bounds(0, 0)
GOOD = Settlement("g", "ack", (0, 0), (9, 0), 20, NONE, NONE, NONE, 0)
BAD = replace(GOOD, pending=Bounds(20, 20))
STANDING = Standing("s", "g", NONE, 0, 0, None, None, 9, None)
PLACE = {"stream": "s", "group": "g"}


def window(settled=None, losses=None, mishaps=()) -> Window:
    made = Window(60.0)
    made.add(tally(1_700_000_000.0, settled or {}, losses or {}, mishaps))
    return made


# -- the window -----------------------------------------------------------------------------------


def test_below_target_names_the_groups_that_are():
    """The whole decides; of two groups only the one whose own share is too low is named."""
    (fault,) = find_below(RULES, window({"s": [BAD, BAD], "t": [GOOD]}))
    assert (fault.status, fault.subject) == (Status.DOWN, PLACE)
    assert fault.text == (
        "stream s, group g: 0 of 40 entries judged in the last 1 min were acknowledged in 10.0 s,"
        " less than 50 %"
    )
    assert fault.count == Bounds(40, 40)
    assert fault.cure == ("XINFO CONSUMERS s g", "XPENDING s g - + 10")


def test_below_target_is_judged_by_the_whole():
    """One bad group among good ones is no outage; too few entries are none either."""
    assert find_below(RULES, window({"s": [BAD], "t": [GOOD]})) == []
    assert find_below(replace(RULES, min_events=41), window({"s": [BAD, BAD]})) == []


def test_below_target_puts_the_most_missed_first():
    """Two groups too low: the one with more misses leads."""
    faults = find_below(RULES, window({"s": [BAD], "t": [BAD, BAD]}))
    assert [fault.subject["stream"] for fault in faults] == ["t", "s"]


def test_below_target_without_names_is_of_the_whole():
    """A window of an earlier version has sums only: then the target itself is named."""
    (fault,) = find_below(RULES, Window.load([[1.0, 40, 0, 10, 0, []]], 60.0))
    assert (fault.subject, fault.cure) == ({}, ())
    assert fault.text.startswith("all streams: 10 of 40 entries")


def test_losses_are_told_by_group_with_their_own_figure():
    """The most first, since when, and no figure of another stream in the sentence."""
    few, many = ("s", "g"), ("t", "h")
    first, second = find_lost(RULES, window(losses={few: 1, many: 25}))
    assert first.text == (
        "stream t, group h: 25 entries were certainly lost before delivery in the last 1 min:"
        " trimmed, deleted or moved over"
    )
    assert "1 entry was certainly lost" in second.text
    assert first.since == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (first.count, first.cure) == (Bounds(25, 25), ("XINFO STREAM t", "XINFO GROUPS t"))


def test_each_loss_is_counted_by_the_look_that_found_it():
    """The window shows it on; who adds up counts it once."""
    made = window(losses={("s", "g"): 25})
    made.add(tally(1_700_000_002.0, {}, {("s", "g"): 3}))
    (fault,) = find_lost(RULES, made)
    assert (fault.count, fault.since) == (Bounds(3, 3), datetime.fromtimestamp(1_700_000_002, UTC))
    assert "28 entries were certainly lost" in fault.text
    made.add(tally(1_700_000_004.0, {}, {}))
    (fault,) = find_lost(RULES, made)
    assert fault.count == NONE


def test_a_loss_is_as_bad_as_the_share_that_it_makes():
    """Most of the window was lost: it is down, and stays so when the window has slid on."""
    made = window({"s": [BAD]}, {("s", "g"): 20, ("t", "g"): 1})
    assert [fault.status for fault in find_lost(RULES, made)] == [Status.DOWN, Status.DEGRADED]


def late(count: int, **facts) -> Standing:
    return replace(STANDING, waiting=Bounds(count, count), oldest_waiting=90.0, **facts)


def test_a_window_that_slides_repairs_nothing():
    """Below target and still late: down, until the backlog is gone or later entries were in time."""
    made = window({"s": [BAD, BAD]})
    assert [f.key for f in find_all(made, late(40))] == ["below_target", "waiting"]
    made.add(tally(1_700_000_100.0, {}, {}))
    made = Window.load(made.dump(), 60.0)  # over a restart, too
    held, _ = find_all(made, late(40))
    assert (held.status, held.count) == (Status.DOWN, Bounds(40, 40))
    assert held.text == (
        "stream s, group g: 0 of 40 entries judged in the 1 min before 2023-11-14 22:13:20 UTC were"
        " acknowledged in 10.0 s, less than 50 %, and it is still late"
    )
    assert next(f.key for f in find_all(made, late(40), late(1, stream="t"))) == "below_target"
    assert find_all(made, STANDING) == []
    assert find_all(made, late(40))[0].key == "waiting"


def test_what_is_judged_later_refutes_it():
    """Few are enough to be better; few that are late as well keep it."""
    made = window({"s": [BAD, BAD]})
    find_all(made, late(40))
    made.add(tally(1_700_000_100.0, {"s": [replace(BAD, size=1, pending=Bounds(1, 1))]}, {}))
    assert find_all(made, late(40))[0].key == "below_target"
    made.add(tally(1_700_000_102.0, {"s": [GOOD]}, {}))
    assert [fault.key for fault in find_all(made, late(40))] == ["waiting"]


def find_all(made: Window, *standings: Standing) -> list:
    """Everything that is wrong with this window and these groups."""
    return find_delivery_faults(RULES, made, standings, {}, [], [])


def test_a_rollback_counts_what_it_took_back():
    """By the look that found it; where nobody can count, the stream itself is told."""
    broken = Break("rollback", "entries-added went back", Anchor((0, 0), 0, 0.0))
    made = window(mishaps=[note_break("s", broken, 7)])
    assert find_mishaps(made)[0].count == Bounds(7, 7)
    made.add(tally(1_700_000_002.0, {}, {}))
    assert find_mishaps(Window.load(made.dump(), 60.0))[0].count == NONE
    assert find_mishaps(window(mishaps=[note_break("s", broken)]))[0].count is None


def test_a_rollback_of_which_only_the_least_is_known_says_so():
    """Nothing known is left of the stream: as many as there were may be gone."""
    sign = "entries-added went back"
    broken = Break("rollback", sign, Anchor((0, 0), 0, 0.0), open=True, most=20)
    count = find_mishaps(window(mishaps=[note_break("s", broken, 7)]))[0].count
    assert count == Bounds(7, 20)


def test_a_skip_counts_what_it_went_over():
    """Exactly, or at most so many; once."""
    skip = Skip(5, 10, (5, 0), (10, 0), certain=True)
    made = window(mishaps=[note_skip("s", "g", skip)])
    (fault,) = find_mishaps(made)
    assert (fault.key, fault.subject, fault.count) == ("skipped", PLACE, Bounds(5, 5))
    assert fault.cure == (
        "XRANGE s (5-0 + COUNT 10",
        "XGROUP SETID s g 5-0",
    )  # back to where it was
    again = replace(skip, after=12, upto=20, start=(12, 0), end=(20, 0))
    twice = window(mishaps=[note_skip("s", "g", skip), note_skip("s", "g", again)])
    (fault,) = find_mishaps(twice)  # who does all of it is back before the first
    assert "from 12-0 to 20-0" in fault.text
    assert [each for each in fault.cure if "SETID" in each] == [
        "XGROUP SETID s g 12-0",
        "XGROUP SETID s g 5-0",
    ]
    maybe = window(mishaps=[note_skip("s", "g", replace(skip, certain=False))])
    assert find_mishaps(maybe)[0].count == Bounds(0, 5)
    maybe.add(tally(1_700_000_002.0, {}, {}))
    assert find_mishaps(Window.load(maybe.dump(), 60.0))[0].count == NONE


def test_a_group_that_was_put_back_says_so_and_prints_no_other_way_back():
    """Nor that of the moves before it; a later move is one again."""
    skip = Skip(5, 10, (5, 0), (10, 0), certain=True)
    back = Skip(0, 0, (5, 0), (10, 0), told=True, returned=True)
    moved, returned = note_skip("s", "g", skip), note_skip("s", "g", back)
    (fault,) = find_mishaps(window(mishaps=[moved, returned]))
    assert (fault.mended, fault.count) == ("put back to 5-0", None)
    assert not any("SETID" in each for each in fault.cure)
    loaded = Window.load(window(mishaps=[returned]).dump(), 60.0)
    assert find_mishaps(loaded)[0].mended == "put back to 5-0"
    (fault,) = find_mishaps(window(mishaps=[moved, returned, moved]))
    assert (fault.mended, fault.count) == ("", Bounds(5, 5))


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        ("recreated", "recreated"),
        ("rollback", "rolled_back"),
        ("xsetid", "counters_set"),
        ("gone", "stream_gone"),
    ],
)
def test_each_break_of_a_stream_is_a_fault_of_its_own(reason, key):
    """With the sign by which it was seen."""
    mishap = note_break("s", Break(reason, "entries-added went back", Anchor((0, 0), 0, 0.0)))
    (fault,) = find_mishaps(window(mishaps=[mishap]))
    assert (fault.key, fault.subject, fault.status) == (key, {"stream": "s"}, Status.DEGRADED)
    told = f"stream s: {reason} (entries-added went back); seen in the last 1 min"
    assert (fault.text, fault.count) == (told, None)


def test_what_is_gone_is_told_with_its_last_position():
    """Stream and group, the latest first."""
    mishaps = [note_gone("s", (5, 1)), note_group_gone("t", "g", (7, 0))]
    group, stream = find_mishaps(window(mishaps=mishaps))
    assert stream.text == "stream s was found gone, last known id 5-1; seen in the last 1 min"
    assert stream.cure == ("EXISTS s",)
    assert (group.key, group.subject) == ("group_lost", {"stream": "t", "group": "g"})
    assert group.text.startswith("stream t, group g was found gone, last known position 7-0; seen")


# -- now ------------------------------------------------------------------------------------------


def test_entries_that_wait_past_the_deadline_are_late():
    """At the deadline not yet; of an unknown age, or of none for certain, nothing is said."""
    waits = replace(STANDING, waiting=Bounds(3, 7), oldest_waiting=5.1)
    (fault,) = find_late(RULES, [waits])
    assert (fault.key, fault.subject, fault.count) == ("waiting", PLACE, Bounds(3, 7))
    assert fault.text == (
        "stream s, group g: 3 to 7 wait to be delivered, the oldest for 5.1 s, longer than 5.0 s"
    )
    assert find_late(RULES, [replace(waits, oldest_waiting=5.0)]) == []
    assert find_late(RULES, [replace(waits, oldest_waiting=None)]) == []
    assert find_late(RULES, [replace(waits, waiting=Bounds(0, 7))]) == []
    one = replace(waits, waiting=Bounds(1, 1))
    assert "1 waits to be delivered" in find_late(RULES, [one])[0].text


def test_pending_entries_past_the_deadline_are_overdue():
    """A list that was cut says so many or more."""
    held = replace(STANDING, pending=9, overdue=4, oldest_pending=12.0)
    (fault,) = find_late(RULES, [held])
    assert fault.text == (
        "stream s, group g: 4 delivered and not acknowledged in 10.0 s, the oldest pending for"
        " 12.0 s"
    )
    assert fault.count == Bounds(4, 4)
    (cut,) = find_late(RULES, [replace(held, overdue=OVERDUE_CAP)])
    assert cut.count == Bounds(OVERDUE_CAP, MANY)
    assert "1,000 or more delivered" in cut.text


def test_the_oldest_leads():
    """Of many late groups each is named, none is cut, the oldest first."""
    standings = [
        replace(STANDING, stream=f"s{n}", waiting=Bounds(1, 1), oldest_waiting=10.0 + n)
        for n in range(40)
    ]
    faults = find_late(RULES, standings)
    assert len(faults) == 40
    assert faults[0].subject["stream"] == "s39"


def test_what_missed_its_deadline_counts_though_it_has_no_age():
    """Settlements of this run, by stage; summed over the cohorts of a group."""
    waited = replace(GOOD, stage="deliver", waiting=Bounds(5, 9))
    faults = find_missed(RULES, {"s": [waited, waited, BAD], "t": [GOOD]})
    assert [(fault.key, fault.text) for fault in faults] == [
        ("waiting", "stream s, group g: 10 of 40 due now not delivered in 5.0 s"),
        ("overdue", "stream s, group g: 20 of 20 due now not acknowledged in 10.0 s"),
    ]
    at_ack = find_missed(RULES, {"s": [replace(GOOD, waiting=Bounds(2, 2))]})
    assert at_ack[0].text.endswith("2 of 20 due now not delivered in 10.0 s")
    before = replace(BAD, stage="deliver", pending=Bounds(20, 20))
    assert find_missed(RULES, {"s": [before, replace(GOOD, waiting=Bounds(0, 9))]}) == []


def test_one_fault_for_each_kind_and_group():
    """What waits now is told by its age, not once more by what missed its deadline."""
    waits = replace(STANDING, waiting=Bounds(3, 3), oldest_waiting=9.0)
    settled = {"s": [replace(GOOD, stage="deliver", waiting=Bounds(3, 3)), BAD]}
    faults = find_delivery_faults(
        RULES, window(settled), [waits], settled, [], find_replica("slave")
    )
    assert [(fault.key, fault.status) for fault in faults] == [
        ("below_target", Status.DOWN),
        ("waiting", Status.DEGRADED),
        ("overdue", Status.DEGRADED),
        ("replica", Status.UNKNOWN),
    ]
    assert "the oldest for 9.0 s" in faults[1].text


def test_where_a_lost_group_stood_is_told_by_the_look_that_found_it():
    """The stream was made anew: the group begins there at 0, and stood at 7-0."""
    (lost,) = find_group_faults(RULES, "s", account("h", known=("g",)))
    anew = replace(lost, text="is gone, last known position 0-0", cure=("XGROUP CREATE s g 0-0",))
    found_gone = window(mishaps=[note_group_gone("s", "g", (7, 0))])
    (fault,) = find_delivery_faults(RULES, found_gone, [], {}, [anew], [])
    assert fault.text.startswith("stream s, group g was found gone, last known position 7-0;")
    assert fault.cure == ("XGROUP CREATE s g 0-0",)


def test_a_healthy_look_has_no_fault():
    """Everything acknowledged, on a primary."""
    settled = {"s": [GOOD]}
    found = find_delivery_faults(
        RULES, window(settled), [STANDING], settled, [], find_replica("master")
    )
    assert found == []


# -- the server ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "count"), [("", 0), ("master", 0), ("slave", 1)])
def test_a_replica_is_unknown(role, count):
    """An unknown role is none."""
    faults = find_replica(role)
    assert len(faults) == count
    assert all(fault.status is Status.UNKNOWN for fault in faults)


def test_refused_statistics_are_said_with_the_remedy():
    """What goes unseen, and why."""
    fault = find_drops_unseen("no permission for INFO", "grant +info")
    assert (fault.status, fault.guidance) == (Status.UNKNOWN, "grant +info")
    assert "go unseen: no permission" in fault.text
