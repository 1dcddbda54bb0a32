"""Signs of spoilt messages, and how samples are spread."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.smell import (
    MAX_VALUE,
    SMELLS,
    refill,
    smell_entry,
    smell_value,
    stratify,
)


@pytest.mark.parametrize(
    ("value", "smells"),
    [
        (b'{"a": 1}', set()),
        (b"", set()),
        ("grün".encode(), set()),
        (b"{'a': 1}", {"python_repr"}),
        (b"b'raw'", {"python_repr"}),
        (b"('a', 1)", {"python_repr"}),
        (b'"{\\"a\\": 1}"', {"json_in_json"}),
        (b"None", {"none_text"}),
        (b"None of it", set()),
        (b"NaN", {"nan_text"}),
        (b"nan", {"nan_text"}),
        (b"banana", set()),
        (b'{"at": "datetime.datetime(2026, 1, 1)"}', {"python_object"}),
        (b"<Task object at 0x7f00>", {"python_object"}),
        (b"[object Object]", {"javascript_object"}),
        ("für".encode().decode("latin-1").encode(), {"mojibake"}),
        (rb"f\u00c3\u00bcr", {"mojibake"}),
        (b"\xff\xfe", {"invalid_utf8"}),
        (b"x" * MAX_VALUE, set()),
        (b"x" * (MAX_VALUE + 1), {"oversized"}),
        (b"{'a': '[object Object]\xff'}", {"python_repr", "javascript_object", "invalid_utf8"}),
    ],
)
def test_smells_of_a_value(value, smells):
    """Each sign by itself, and sound values without."""
    assert smell_value(value) == smells
    assert smells <= set(SMELLS)


def test_smells_of_an_entry():
    """Each once, over all its values; a mandatory field must be there."""
    fields = [(b"a", b"None"), (b"b", b"None"), (b"c", b"nan")]
    assert smell_entry(fields, []) == {"none_text", "nan_text"}
    assert smell_entry(fields, ["a", "c"]) == {"none_text", "nan_text"}
    assert smell_entry([(b"a", b"1")], ["a", "task"]) == {"missing_field"}
    assert smell_entry([], []) == set()


@pytest.mark.parametrize(
    ("tokens", "seconds", "left"),
    [(0.0, 36.0, 1.0), (99.5, 36.0, 100.0), (5.0, -60.0, 5.0), (0.0, 1e9, 100.0)],
)
def test_samples_by_the_hour(tokens, seconds, left):
    """A hundred an hour: one in 36 s, never more than an hour's share, and no clock takes any."""
    assert refill(tokens, seconds, 100) == pytest.approx(left)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 500))
def test_strata_cover_the_time_without_gap_or_overlap(start, length, count):
    """At most ten, in order, and together the whole closed stretch."""
    strata = stratify(start, start + length, count)
    assert 1 <= len(strata) <= 10
    assert (strata[0][0], strata[-1][1]) == (start, start + length)
    for (_, before), (after, _) in pairwise(strata):
        assert after == before + 1
    assert all(a <= b for a, b in strata)


def test_strata_are_no_more_than_samples():
    """Two samples ask for two stretches."""
    assert stratify(0, 99, 2) == [(0, 48), (49, 99)]
    assert stratify(5, 5, 10) == [(5, 5)]
