"""Names of streams and groups: as labels, for a shell, and the age that an id tells."""

from __future__ import annotations

import shlex

import pytest

from sentinel.core.bus.naming import (
    MAX_GROUP_LABELS,
    OLDEST_PLAUSIBLE,
    OVERFLOW,
    Naming,
    age_of,
    matches,
    quote,
)

NAMING = Naming(["agent_messages:agent-1", "agent_messages:*"], ["group_*", "*"])


@pytest.mark.parametrize(
    ("entry", "now", "age"),
    [
        (None, 1.7e9, None),
        ((OLDEST_PLAUSIBLE - 1, 0), 1.7e9, None),
        ((OLDEST_PLAUSIBLE, 0), 1e9 + 5, 5.0),
        ((1_700_000_000_000, 9), 1.7e9 + 0.5, 0.5),
        ((1_700_000_001_000, 0), 1.7e9, 0.0),
    ],
)
def test_age_by_id(entry, now, age):
    """Seconds by the server's clock, never negative; a number that a producer chose is no time."""
    assert age_of(entry, now) == age


@pytest.mark.parametrize(
    ("name", "patterns", "found"),
    [("a:1", ["b*", "a:*"], True), ("a:1", ["A:*"], False), ("a", [], False), ("x", ["?"], True)],
)
def test_patterns(name, patterns, found):
    """One is enough; case matters."""
    assert matches(name, patterns) is found


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("agent_messages:agent-1", "agent_messages:agent-1"),
        ("agent_messages:agent-2", "agent_messages:*"),
        ("tasks", OVERFLOW),
    ],
)
def test_label_of_a_stream_is_the_pattern_that_matches_first(name, label):
    """So that there are never more series than patterns."""
    assert NAMING.stream(name) == label


def test_labels_of_groups_are_bounded():
    """A pattern, else its own name for the first few, and one for all others."""
    seen: set[str] = set()
    assert NAMING.group("group_a", seen) == "group_*"
    assert not seen
    own = [f"g{n}" for n in range(MAX_GROUP_LABELS)]
    assert [NAMING.group(name, seen) for name in own] == own
    assert NAMING.group("late", seen) == OVERFLOW
    assert NAMING.group("g0", seen) == "g0"


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("agent_messages:{a}-1", "agent_messages:{a}-1"),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("", '""'),
    ],
)
def test_one_word_for_redis_cli(name, quoted):
    """Plain names stay as they are, others are quoted."""
    assert quote(name) == quoted
    assert shlex.split(quote(name)) == [name]
