"""Durations, sizes and percentages, read and written."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.quantity import (
    MANY,
    Bounds,
    format_bytes,
    format_duration,
    format_label,
    format_names,
    is_true,
    parse_bytes,
    parse_duration,
    parse_percentage,
    read_number,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5),
        ("1.5s", 1.5),
        ("2m", 120),
        ("1h30m", 5400),
        ("30d", 2592000),
        (" 5s ", 5),
        ("0s", 0),
    ],
)
def test_durations(text, seconds):
    """A number with a unit, or several of them."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "5sec", "-5s", "1h 30m", "٣s", "5s5", 5, 5.0, None, True, "1e3s"]
)
def test_what_is_no_duration(text):
    """A number without a unit is refused: nobody knows what it means."""
    with pytest.raises(ValueError, match="is no duration: write a number with a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["99999999h", "9" * 400 + "s"])
def test_durations_beyond_a_century(text):
    """What would leave the calendar is refused."""
    with pytest.raises(ValueError, match="longer than a century"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("512B", 512), ("64KiB", 65536), ("2GB", 2 * 10**9), ("1.5 MiB", 1572864), ("1kB", 1000)],
)
def test_sizes(text, count):
    """Powers of ten and of two, each with its own unit."""
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "5", "5K", "-1MB", 5, None, "1 PB", "9" * 400 + "GB"])
def test_what_is_no_size(text):
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r"is no size|more than 8 EiB"):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "ratio"), [("99.5%", 0.995), ("0%", 0), ("100 %", 1.0)])
def test_percentages(text, ratio):
    """A ratio inside."""
    assert parse_percentage(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["99.5", "101%", "-1%", "nan%", "abc%", "%", 0.5, None])
def test_what_is_no_percentage(text):
    """Anything else is refused, with the way to write it."""
    with pytest.raises(ValueError, match="is no percentage: write it as"):
        parse_percentage(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (math.nan, "–"), (math.inf, "–"), (0, "0 ms"), (0.0042, "4.2 ms"), (0.9994, "999 ms"),
        (0.9996, "1.0 s"), (4.24, "4.2 s"), (59.94, "59.9 s"), (59.96, "1 min"), (60, "1 min"), (185, "3 min 5 s"),
        (3600, "1 h"), (7800, "2 h 10 min"), (86400, "1 d"), (356400, "4 d 3 h"), (-4.24, "-4.2 s"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds, text):
    """Two significant steps at most."""
    assert format_duration(seconds) == text


@given(st.floats(0, 3e9))
def test_no_duration_is_shown_wrong(seconds):
    """What people read is within 5 % (or one unit of the smaller step) of what was measured."""
    words = format_duration(seconds).split()
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
    shown = sum(
        float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True)
    )
    assert abs(shown - seconds) <= max(0.05 * seconds, 0.001)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")]
)
def test_sizes_for_people(count, text):
    """Powers of two."""
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("names", "of", "text"),
    [
        ([], None, ""),
        (["a"], None, "a"),
        (["a", "b", "c"], None, "a, b, c"),
        (["a", "b", "c", "d"], None, "a, b, c and 1 more"),
        (["a"], 5, "a and 4 more"),
        (["a", "b"], 1, "a, b"),
        (["x" * 80], None, "x" * 80),
        (["x" * 500], None, "x" * 79 + "…"),
    ],
)
def test_some_names_and_how_many_more(names, of, text):
    """At most three, each bounded; `of` is the whole number where not all names are known."""
    assert format_names(names, of=of) == text


@pytest.mark.parametrize(
    ("id_", "name", "text"),
    [
        ("agent-7", "planner", "planner (agent-7)"),
        ("agent-7", "", "agent-7"),
        ("agent-7", "agent-7", "agent-7"),
        ("agent-7", " \n ", "agent-7"),
        ("a\nb", "two\n lines", "two lines (a b)"),
        ("x" * 999, "y" * 999, f"{'y' * 80} ({'x' * 80})"),
    ],
)
def test_a_name_beside_an_id(id_, name, text):
    """On one line, bounded, and never twice the same."""
    assert format_label(id_, name) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("45", 45.0), (" 45 % ", 45.0), ("0.5", 0.5), ("-3", -3.0), ("1e3", 1000.0), ("0", 0.0)],
)
def test_progress_as_text(text, number):
    """A number, also with a percent sign behind it."""
    assert read_number(text) == number


@pytest.mark.parametrize("text", [None, "", "%", "half", "inf", "-inf", "nan", "1,5", "4 5"])
def test_text_that_is_no_number(text):
    """Nothing, and nothing that would spoil a sum."""
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("true", True), ("T", True), (" yes ", True), ("Y", True), ("on", True), ("1", True),
        (None, False), ("", False), ("false", False), ("f", False), ("0", False), ("2", False),
        ("null", False), ("truely", False),
    ],
)  # fmt: skip
def test_booleans_as_text(text, true):
    """As PostgreSQL, JSON and people write them."""
    assert is_true(text) is true


# -- bounds ---------------------------------------------------------------------------------------

BOUNDS = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(
    lambda ends: Bounds(*sorted(ends))
)


@pytest.mark.parametrize(
    ("bounds", "text", "exact", "open_ended"),
    [
        (Bounds(7, 7), "7", True, False),
        (Bounds(1200, 1200), "1,200", True, False),
        (Bounds(3, 2500), "3 to 2,500", False, False),
        (Bounds(1000, MANY), "1,000 or more", False, True),
        (Bounds(0, 0), "0", True, False),
    ],
)
def test_counts_in_words(bounds, text, exact, open_ended):
    """A point, a range, or only a lower end."""
    assert str(bounds) == text
    assert (bounds.exact, bounds.open_ended) == (exact, open_ended)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Bounds(0, 10), Bounds(5, 20), Bounds(5, 10)),
        (Bounds(0, 10), Bounds(10, 20), Bounds(10, 10)),
        (Bounds(0, 10), Bounds(11, 20), Bounds(0, 10)),
        (Bounds(3, 4), Bounds(0, MANY), Bounds(3, 4)),
    ],
)
def test_what_two_statements_allow(one, other, both):
    """Their common part; a contradiction changes nothing."""
    assert one.meet(other) == both


@given(BOUNDS, BOUNDS)
def test_meeting_never_widens(one, other):
    """What was excluded stays so."""
    met = one.meet(other)
    assert one.lo <= met.lo <= met.hi <= one.hi


@given(BOUNDS, BOUNDS, st.integers(0, 1000), st.integers(0, 1000))
def test_the_truth_of_a_sum_lies_in_the_sum(one, other, a, b):
    """Whatever two truths lie in two bounds, their sum lies in the sum."""
    a, b = min(max(a, one.lo), one.hi), min(max(b, other.lo), other.hi)
    total = one + other
    assert total.lo <= a + b <= total.hi


@given(BOUNDS, st.integers(0, 500), st.integers(500, 1000))
def test_clipped_ends_lie_within(bounds, lo, hi):
    """Both ends are forced in, and stay in order."""
    clipped = bounds.clip(lo, hi)
    assert lo <= clipped.lo <= clipped.hi <= hi


@pytest.mark.parametrize("parse", [parse_duration, parse_bytes, parse_percentage])
def test_a_text_of_any_length_is_refused_at_once(parse):
    """100,000 digits took minutes, and with them every other thread; and were said in full."""
    began = time.process_time()
    with pytest.raises(ValueError, match="is no") as caught:
        parse("9" * 100_000)
    assert time.process_time() - began < 1.0
    assert len(str(caught.value)) < 300
