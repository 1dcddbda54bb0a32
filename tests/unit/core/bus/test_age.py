"""How old an entry is, by its id or by the looks that saw it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.age import (
    LAST_SEQUENCE,
    MAX_MARKS,
    Age,
    IdMark,
    add_mark,
    find_age,
    find_published_by,
    following,
    is_timed,
    thin_marks,
)

NOW = 1_700_000_000.0


def entry_of(seconds: float) -> tuple[int, int]:
    """The id of a server's clock."""
    return int(seconds * 1000), 0


LOOKS = [
    IdMark(entry_of(NOW - 60), NOW - 50),
    IdMark(entry_of(NOW - 30), NOW - 28, NOW - 32),
    IdMark(entry_of(NOW - 10), NOW - 8, NOW - 12),
]


@pytest.mark.parametrize(
    ("entry", "age"),
    [
        (entry_of(NOW - 31), Age(31.0)),  # within its look
        (entry_of(NOW - 70), Age(70.0)),  # it was there at the first look: nobody knows better
        (entry_of(NOW - 32.5), Age(32.0)),  # not yet there at the look before
        (entry_of(NOW - 40), Age(28.0, timed=False)),  # replayed history
        (entry_of(NOW - 20), Age(8.0, timed=False)),
        ((7, 0), Age(50.0, timed=False)),  # a number, at the first look
        (entry_of(NOW - 1), Age(1.0)),  # newer than any look
        (entry_of(NOW + 0.5), Age(0.0)),
        (entry_of(NOW + 60), Age(0.0, timed=False)),
    ],
)
def test_an_id_is_a_time_only_within_the_looks_around_it(entry, age):
    """Else the age counts from the first look that saw the entry."""
    found = find_age(entry, NOW, LOOKS)
    assert found is not None
    assert (found.seconds, found.timed) == (pytest.approx(age.seconds), age.timed)


def test_nothing_has_no_age():
    """And no look is asked."""
    assert find_age(None, NOW, LOOKS) is None


def test_a_clock_that_was_fast_stops_no_age():
    """Ids lie a minute ahead, and the entry was first seen 20 s ago: it is at least so old."""
    marks = [IdMark(entry_of(NOW + 60), NOW - 20, NOW - 22)]
    assert find_age(entry_of(NOW + 60), NOW, marks) == Age(20.0, timed=False)
    assert not is_timed(entry_of(NOW + 60), marks)
    assert is_timed(entry_of(NOW - 21), marks)


def test_what_was_published_by_an_instant():
    """By id within a look whose ids are times, else up to the look before."""
    assert find_published_by(NOW - 31, LOOKS) == (entry_of(NOW - 31)[0], LAST_SEQUENCE)
    assert find_published_by(NOW - 29, LOOKS) == LOOKS[1].id
    assert find_published_by(NOW - 20, LOOKS) == LOOKS[1].id
    assert find_published_by(NOW, LOOKS) == LOOKS[2].id
    numbers = [IdMark((10, 0), NOW - 50), IdMark((20, 0), NOW - 28, NOW - 32)]
    assert find_published_by(NOW - 60, numbers) == (0, 0)
    assert find_published_by(NOW - 30, numbers) == (10, 0)
    assert find_published_by(NOW - 28, numbers) == (20, 0)
    assert find_published_by(NOW, []) == (0, 0)


def test_the_next_id():
    """A sequence ends where the server's integers do."""
    assert following((5, 7)) == (5, 8)
    assert following((5, LAST_SEQUENCE)) == (6, 0)


def test_looks_are_kept_while_something_of_theirs_is_of_interest():
    """One for each newest id; those older than the oldest entry go; another stream begins anew."""
    marks = add_mark([], (5, 0), 100.0, 0.0, (1, 0))
    marks = add_mark(marks, (5, 0), 102.0, 100.0, (1, 0))
    marks = add_mark(marks, (9, 0), 104.0, 102.0, (1, 0))
    assert marks == [IdMark((5, 0), 100.0), IdMark((9, 0), 104.0, 102.0)]
    assert add_mark(marks, (9, 0), 106.0, 104.0, (6, 0)) == [IdMark((9, 0), 104.0, 102.0)]
    assert add_mark(marks, (3, 0), 106.0, 104.0, (1, 0)) == [IdMark((3, 0), 106.0, 104.0)]


@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 4)), min_size=1, max_size=120),
    st.sampled_from(["server", "numbers", "replayed", "fast"]),
    st.integers(0, 4),
)
def test_no_age_is_more_than_the_truth(looks, ids, history):
    """Whoever chose the ids, and however many looks were let go: an age is a lower bound, and the
    true one where it is timed; what is listed as published by then was.
    """
    now, looked, published, marks, newest = NOW, 0.0, {}, [], 0
    for wait, count in [(0.0, history), *looks]:
        for n in range(count):
            at = now + wait * (n + 1) / (count + 1)
            newest += 1
            entry = {
                "server": entry_of(at),
                "numbers": (newest, 0),
                "replayed": (int((at - 86400) * 1000), 0),
                "fast": entry_of(at + 3600),
            }[ids]
            published[(entry[0], newest)] = at
        now += wait
        last = max(published, default=(0, 0))
        marks = add_mark(marks, last, now, looked, (0, 0))
        looked = now
    assert len(marks) <= MAX_MARKS
    first = marks[0].at
    for entry, at in published.items():
        if ids == "replayed" and at <= first:
            continue  # there at the first look: nobody can know better
        found = find_age(entry, now, marks)
        assert found is not None
        assert found.seconds <= now - at + 0.002
        assert not found.timed or ids == "server"
        assert not found.timed or found.seconds == pytest.approx(now - at, abs=0.002)
    for back in (0.0, 5.0, 60.0):
        upto = find_published_by(now - back, marks)
        listed = [at for entry, at in published.items() if entry <= upto]
        assert all(at <= now - back + 0.002 for at in listed if ids != "replayed" or at > first)


def test_few_looks_are_all_kept():
    """The newest half stays as it is; what goes is answered for by the next one."""
    marks = [IdMark((n, 0), 100.0 + n, 99.0 + n) for n in range(MAX_MARKS + 1)]
    assert thin_marks(marks[1:]) == marks[1:]
    thin = thin_marks(marks)
    assert thin[0] == IdMark((1, 0), 101.0, 99.0)
    assert thin[-10:] == marks[-10:]
