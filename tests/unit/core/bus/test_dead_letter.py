"""Histories of dead-letter places, and times inside entries."""

from __future__ import annotations

import json

import pytest

from sentinel.core.bus.dead_letter import (
    MAX_SAMPLES,
    KeyReading,
    PlaceHistory,
    PlaceLimits,
    PlaceStanding,
    read_time,
    screen_times,
)
from sentinel.core.moment.arrival import NewestTime
from sentinel.core.moment.skew import Basis, ColumnClock

NOW = 1_700_000_000.0
ANYTHING = PlaceLimits(None, None, None, None)


def look(
    history: PlaceHistory,
    *readings: KeyReading,
    at: float = 0.0,
    complete: bool = True,
    whole: bool = True,
):
    history.take(NOW + at, readings, 300.0, complete=complete, whole=whole)


def standing(type_: str, *readings: KeyReading, growth: float | None = None) -> PlaceStanding:
    return PlaceStanding("p", type_, readings, NOW, 0, growth)


def test_what_the_server_counts_is_exact():
    """Entries that came and went between two looks are in the server's own count."""
    history = PlaceHistory()
    look(history, KeyReading("k", 5, added=100))
    look(history, KeyReading("k", 2, added=140))
    assert history.added == 40
    look(history, KeyReading("k", 3, added=3))
    assert history.added == 43


def test_depth_alone_is_a_lower_bound():
    """Only a rise of the depth is known to be an addition."""
    history = PlaceHistory()
    for depth in (5, 9, 1, 3):
        look(history, KeyReading("k", depth))
    assert history.added == 6


def test_new_keys_count_once_all_old_ones_are_known():
    """A key found while the first discovery still goes on may be old."""
    history = PlaceHistory()
    look(history, KeyReading("a", 4), complete=False)
    look(history, KeyReading("a", 4), KeyReading("b", 7))
    assert history.added == 0
    look(history, KeyReading("a", 4), KeyReading("b", 7), KeyReading("c", 2))
    assert history.added == 2


def test_unreadable_keys_are_no_empty_keys():
    """A key that could not be read keeps its last depth, so that its return is no addition, and no
    growth.
    """
    history = PlaceHistory()
    look(history, KeyReading("k", 8))
    look(history, KeyReading("k", problem="NOPERM", read=False), at=400, whole=False)
    look(history, KeyReading("k", 8), at=440)
    assert history.added == 0
    assert history.find_growth() is None


def test_growth_needs_time_and_forgets():
    """No growth from two looks a moment apart; what is older than the window doesn't count; samples
    are bounded.
    """
    history = PlaceHistory()
    assert history.find_growth() is None
    look(history, KeyReading("k", 0))
    look(history, KeyReading("k", 50), at=10)
    assert history.find_growth() is None
    look(history, KeyReading("k", 60), at=60)
    assert history.find_growth() == pytest.approx(60)
    for n in range(1000):
        look(history, KeyReading("k", 60), at=61 + n)
        assert len(history.samples) <= MAX_SAMPLES
    assert history.find_growth() == 0


def test_history_survives_a_restart():
    """What was dumped goes on."""
    history = PlaceHistory()
    look(history, KeyReading("k", 8, added=9), KeyReading("l", 1))
    again = PlaceHistory.load(json.loads(json.dumps(history.dump())))
    assert again == history


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ('{"t": 1700000000}', NOW),
        ('{"t": 1700000000000}', NOW),
        ('{"t": "1700000000.5"}', NOW + 0.5),
        ('{"t": "2023-11-14T22:13:20"}', NOW),
        ('{"t": "2023-11-14T23:13:20+01:00"}', NOW),
        ('{"t": "2023-11-14T22:13:20Z"}', NOW),
        ('{"t": 1000000000}', 1e9),
        ('{"t": 978307199}', None),
        ('{"t": 100000000000}', None),
        ('{"t": 99999999999}', 99_999_999_999.0),
        ('{"t": 1000000000000}', 1e9),
        ('{"t": 100000000000000}', None),
        ('{"t": null}', None),
        ('{"t": 17}', None),
        ('{"t": true}', None),
        ('{"t": 1e400}', None),
        ('{"t": "soon"}', None),
        ('{"t": {"t": 1700000000}}', None),
        ("[1700000000]", None),
        ("not json", None),
        ("\xff", None),
        ("[" * 100_000, None),
    ],
)
def test_times_in_entries(raw, seconds):
    """Epoch seconds or milliseconds or ISO 8601; anything else is no time, and never an error."""
    assert read_time(raw.encode("latin-1"), "t") == seconds


def test_times_without_an_offset_are_of_the_zone():
    """What has one is exact, whatever the zone of the place."""
    naive, exact = b'{"t": "2023-11-15T07:13:20"}', b'{"t": "2023-11-14T22:13:20Z"}'
    assert read_time(naive, "t", "Asia/Tokyo") == read_time(exact, "t", "Asia/Tokyo") == NOW


def test_times_of_another_zone_tell_no_age():
    """Ahead of the clock at any look; behind it when a newer entry came old; else they are right."""
    clock, hour = ColumnClock("t in k", Basis.ASSUMED), 3600.0
    for steps, told in (
        ([(9 * hour, 0)], "they look like UTC+9"),
        ([(-8 * hour, 0), (-8 * hour + 9, 10)], "they look like UTC-8"),
        ([(-8 * hour, 0), (-8 * hour, 10)], ""),
        ([(-60, 0), (9, 10)], ""),
    ):
        watch = NewestTime()
        for latest, after in steps:
            reading = KeyReading("k", 1, oldest=NOW + latest, latest=NOW + latest)
            found = screen_times(reading, watch, clock, NOW + after)
        assert (found.oldest is None) is bool(told)
        assert told in found.problem


def test_age_of_a_place():
    """The oldest of all keys; 0 when empty; None when entries have no time."""
    assert (
        standing(
            "stream", KeyReading("a", 1, oldest=NOW - 5), KeyReading("b", 1, oldest=NOW - 50)
        ).age
        == 50
    )
    assert standing("zset", KeyReading("a", 1, oldest=NOW + 50)).age == 0
    assert standing("list", KeyReading("a", 1)).age is None
    assert standing("list", KeyReading("a", 0)).age == 0


def test_when_something_was_added_last():
    """As the id of the newest entry says; zero without one."""
    assert KeyReading("k", 2, ends=("1000-0", "2500-7")).newest == 2.5
    assert KeyReading("k").newest == 0.0


def test_a_key_that_is_gone_is_forgotten_once_all_were_looked_for():
    """Its return is an addition; a look at a few of them forgets none."""
    history = PlaceHistory()
    look(history, KeyReading("a", 4), KeyReading("b", 7))
    look(history, KeyReading("a", 4), complete=False)
    assert history.keys.keys() == {"a", "b"}
    look(history, KeyReading("a", 4))
    assert history.keys.keys() == {"a"}
    look(history, KeyReading("a", 4), KeyReading("b", 7))
    assert history.added == 7


def test_growth_is_told_from_half_a_minute_on():
    """Entries a minute; a place that shrinks grows by less than nothing."""
    history = PlaceHistory()
    look(history, KeyReading("k", 10))
    look(history, KeyReading("k", 5), at=29.5)
    assert history.find_growth() is None
    look(history, KeyReading("k", 5), at=30)
    assert history.find_growth() == -10.0


def test_the_window_forgets_what_is_older():
    """At its edge a sample still counts; a clock that was set back leaves none of the future."""
    history = PlaceHistory()
    look(history, KeyReading("k", 0))
    look(history, KeyReading("k", 0), at=300)
    assert [at - NOW for at, _ in history.samples] == [0, 300]
    look(history, KeyReading("k", 0), at=301)
    assert [at - NOW for at, _ in history.samples] == [300, 301]
    look(history, KeyReading("k", 0), at=300)
    assert [at - NOW for at, _ in history.samples] == [300]


@pytest.mark.parametrize(
    ("readings", "overdue"),
    [
        ((KeyReading("a", 3, overdue=2), KeyReading("b", 3, overdue=1)), 3),
        ((KeyReading("a", 3, overdue=0), KeyReading("b", 3)), 0),
        ((KeyReading("a", 3),), None),
        ((), 0),
    ],
)
def test_overdue_entries_of_a_place(readings, overdue):
    """Where nothing is ever due there is no figure; a place without a key has none overdue."""
    assert standing("zset", *readings).overdue == overdue


def test_what_is_known_of_a_place():
    """Read wholly, counted by the server: only if all of its keys are."""
    whole = standing("stream", KeyReading("a", 2, added=5), KeyReading("b", 3, added=9))
    assert (whole.known, whole.added_exact, whole.entries) == (True, True, 5)
    partly = standing("stream", KeyReading("a", 2, added=5), KeyReading("b", 3, read=False))
    assert (partly.known, partly.added_exact) == (False, False)
    nothing = standing("stream")
    assert (nothing.known, nothing.added_exact, nothing.entries) == (True, False, 0)


def dated(history: PlaceHistory, at: float, *ids: str, entries: int | None = None) -> KeyReading:
    """One look at a stream with these ids."""
    reading = KeyReading("k", len(ids) if entries is None else entries, ends=ids)
    (found,) = history.date(NOW + at, [reading])
    look(history, found, at=at)
    return found


@pytest.mark.parametrize("first", ["7-0", f"{int((NOW + 86400) * 1000)}-0"])
def test_an_entry_whose_id_is_no_time_is_as_old_as_its_first_look(first):
    """A number, or one of a clock that was fast: at least so old, also after a restart."""
    history = PlaceHistory()
    assert (dated(history, 10, first).oldest, dated(history, 20, first).timed) == (NOW + 10, False)
    again = PlaceHistory.load(json.loads(json.dumps(history.dump())))
    found = dated(again, 60, first)
    assert (found.oldest, found.timed) == (NOW + 10, False)
    told = standing("stream", found)
    assert (told.age, told.timed) == (0.0, False)
    assert PlaceHistory.load(history.dump()[:5]).firsts == {}


def test_history_that_is_replayed_into_an_empty_stream_is_not_old():
    """It was empty at the look before; an entry that was there at the first look may be old."""
    old = f"{int((NOW - 86400) * 1000)}-0"
    assert dated(PlaceHistory(), 10, old).oldest == NOW - 86400
    history = PlaceHistory()
    dated(history, 10)
    assert (dated(history, 20, old).oldest, dated(history, 30, old).timed) == (NOW + 20, False)
    ordinary = f"{int((NOW + 35) * 1000)}-0"
    assert dated(history, 40, ordinary).oldest == NOW + 35
