"""Replies as a server sends them, and what they mean."""

from __future__ import annotations

import pytest

from sentinel.adapters.bus import stream as rs
from sentinel.adapters.bus.command_counts import CommandCounts
from sentinel.adapters.bus.stream_reader import DropWatch
from sentinel.adapters.redis.reply import display, is_text
from sentinel.core.bus.delivery import Question
from sentinel.errors import SubjectError

STREAM = [
    b"length", 2, b"last-generated-id", b"5-1", b"max-deleted-entry-id", b"0-0", b"entries-added", 7,
    b"recorded-first-entry-id", b"4-0", b"groups", 1, b"last-entry", [b"5-1", [b"field", b"12345"]],
]  # fmt: skip
GROUP = [
    b"name", b"g", b"consumers", 1, b"pending", 3, b"last-delivered-id", b"4-0", b"entries-read", None, b"lag", 1,
]  # fmt: skip


def test_snapshot_is_read_from_raw_replies():
    """All numbers, ids, the group, its oldest pending entry, the size of the newest entry."""
    view = rs.parse_snapshot([[b"10", b"500000"], STREAM, [GROUP], [[b"3-0", b"c", 5, 1]]], ["g"])
    assert (view.now, view.added, view.length, view.removed, view.entry_bytes) == (
        10.5,
        7,
        2,
        5,
        10,
    )
    assert (view.first, view.last) == ((4, 0), (5, 1))
    group = view.groups["g"]
    assert (group.pending, group.lag, group.entries_read, group.oldest_pending) == (
        3,
        1,
        None,
        (3, 0),
    )


def test_server_without_entries_added_is_legacy():
    """Redis 6.2: what it does not tell is marked as unknown, the first live id comes from the entry
    itself.
    """
    old = [b"length", 2, b"last-generated-id", b"5-1", b"first-entry", [b"4-0", [b"f", b"v"]]]
    view = rs.parse_snapshot([[b"1", b"0"], old, []], [])
    assert (view.legacy, view.added, view.first, view.last) == (True, -1, (4, 0), (5, 1))
    old[-1] = None
    view = rs.parse_snapshot([[b"1", b"0"], old, []], [])
    assert (view.first, view.last_gone) == ((0, 0), True)
    old[3] = b"0-0"
    assert not rs.parse_snapshot([[b"1", b"0"], old, []], []).last_gone


def test_error_of_the_stream_is_raised():
    """A reply that is an error is that stream's error."""
    with pytest.raises(SubjectError):
        rs.parse_snapshot([[b"1", b"0"], SubjectError("no such key", code="NOKEY"), []], [])


@pytest.mark.parametrize(
    ("behind", "after", "read", "family", "trusted"),
    [
        (7, 6, 4, "count", (False, True)),
        (4, 6, 4, "half", (False, True)),
        (4, 3, 7, "rank", (True, False)),
        (7, 3, 7, "rank-b", (True, False)),
        (7, None, None, "unknown", (False, False)),
        (None, None, "absent", "no counters", (False, False)),
    ],
)
def test_families_are_told_apart(behind, after, read, family, trusted):
    """The table of measurement.md §1.2, by behaviour."""
    found = rs.judge_capability(
        {"lag": behind}, {"lag": after} | ({} if read == "absent" else {"entries-read": read})
    )
    assert (found.family, (found.lag_exact, found.reads_counted)) == (family, trusted)


def test_questions_become_commands():
    """Exclusive start, open ends."""
    pending = Question("pending", "g", (1, 2), (3, 4), 10)
    live = Question("live", "g", (0, 0), None, 5)
    assert rs.question_command(b"k", pending) == ("XPENDING", b"k", "g", "(1-2", "3-4", 10)
    assert rs.question_command(b"k", live) == ("XRANGE", b"k", "-", "+", "COUNT", 5)


def test_answer_at_its_cap_is_not_complete():
    """A full list says that there may be more; a refused one says nothing."""
    question = Question("live", "g", (0, 0), None, 2)
    answer = rs.parse_answer(question, [[b"1-0", []], [b"2-0", []]])
    assert answer is not None
    assert answer.full
    assert answer.count(9) == type(answer.count(9))(2, 9)
    assert rs.parse_answer(question, SubjectError("x")) is None


def test_overdue_is_asked_by_id_range():
    """Never IDLE, which scans the whole pending list."""
    command = rs.overdue_command(b"k", "g", (12345, 7), 100)
    assert command == ("XPENDING", b"k", "g", "-", "12345-7", 100)


def test_names_that_are_not_utf8_are_shown_with_escapes():
    """Readable, and marked."""
    assert display(b"a\xff") == "a\\xff"
    assert is_text("grün".encode())
    assert not is_text(b"a\xff")


def test_dropping_calls_are_noticed_around_a_batch():
    """A call between two batches changes the number; without INFO every claim is possible."""
    one, two = (CommandCounts("p", {"xgroup|delconsumer": n, "xclaim": 1}) for n in (1, 2))
    watch = DropWatch()
    watch.note(one, one)
    first = watch.calls
    watch.note(one, one)
    assert watch.calls == first
    watch.note(one, two)
    watch.note(two, two)
    # once too often rather than once too few
    assert watch.calls == first._replace(deletions=first.deletions + 2)
    watch.note(two, two)
    assert watch.calls.deletions == first.deletions + 2
    watch.note(None, None)
    assert watch.calls.claims == first.claims + 1
