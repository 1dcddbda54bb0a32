"""The sums of all streams: what rests, what is restless, the room before the next loss."""

from __future__ import annotations

from sentinel.core.bus.delivery import (
    Deadlines,
    GroupView,
    StreamAccount,
    StreamView,
    begin_account,
)
from sentinel.core.bus.delivery.board import REFRESH_AFTER, Board
from sentinel.core.bus.delivery.stream import OLDEST_PLAUSIBLE
from sentinel.core.model import Row

LABEL = "s:*"
EARLY = 1_800_000_000_000


def feed(account: StreamAccount, now: float, added: int, first: int = 1, **groups: int) -> None:
    """Entries 1 to `added`, trimmed before `first`; each group read up to its number."""
    views = {name: GroupView(name, (at, 0), 0, 1) for name, at in groups.items()}
    length = max(0, added - first + 1)
    account.feed(
        StreamView(now, added, length, (added, 0), (first if length else 0, 0), groups=views),
        watched_from_birth=True,
    )


def put(board: Board, name: str, account: StreamAccount, **overdue: int) -> None:
    board.put(name, account, LABEL, lambda group: (LABEL, group), overdue)


def begin(board: Board, name: str, added: int, first: int = 1, **groups: int) -> StreamAccount:
    """A stream that was seen empty a second ago, and is put on the board."""
    account = begin_account(Deadlines(1.0, 2.0))
    feed(account, 99.0, 0, **dict.fromkeys(groups, 0))
    feed(account, 100.0, added, first, **groups)
    put(board, name, account)
    return account


def gauges(board: Board, group: str) -> dict[str, float]:
    (row,) = (row for row in board.group_rows() if row.labels["group"] == group)
    return {name: value for name, value in row.values.items() if isinstance(value, float)}


def test_a_stream_that_was_read_rests() -> None:
    """Its length is the room before the next loss; nothing of it is told as waiting."""
    board = Board()
    begin(board, "s:0", 20, g=20)
    assert board.restless == set()
    assert board.list_standings() == []
    found = gauges(board, "g")
    assert (found["waiting_entries"], found["trim_headroom_entries"]) == (0.0, 20.0)
    assert found["trim_headroom_seconds"] == 1.0


def test_a_stream_with_something_unread_is_restless() -> None:
    """Its groups are told one by one, in order."""
    board = Board()
    account = begin(board, "s:0", 20, h=20, g=0)
    put(board, "s:0", account, g=7)
    assert board.restless == {"s:0"}
    first, second = board.list_standings()
    assert (first.group, first.waiting.hi, first.overdue) == ("g", 20, 7)
    assert (second.group, second.waiting.hi, second.overdue) == ("h", 0, 0)
    assert gauges(board, "g")["waiting_entries"] == 20.0
    assert gauges(board, "g")["trim_headroom_entries"] == 0.0


def test_what_was_restless_rests_again() -> None:
    """And the other way round: headroom is kept in one place only."""
    board = Board()
    account = begin(board, "s:0", 20, g=0)
    feed(account, 101.0, 20, g=20)
    put(board, "s:0", account)
    assert (board.restless, board.list_standings()) == (set(), [])
    assert board.headroom == {(LABEL, "g"): {"s:0": 20}}
    feed(account, 102.0, 25, g=20)
    put(board, "s:0", account)
    assert board.restless == {"s:0"}
    assert board.headroom == {(LABEL, "g"): {}}
    assert board.seconds == {(LABEL, "g"): {}}
    assert board.lapsing == {}


def test_a_group_that_is_gone_keeps_no_room() -> None:
    """The other one of the stream does."""
    board = Board()
    account = begin(board, "s:0", 20, g=20, h=20)
    feed(account, 101.0, 20, g=20)
    put(board, "s:0", account)
    assert board.headroom == {(LABEL, "g"): {"s:0": 20}, (LABEL, "h"): {}}
    assert {row.labels["group"] for row in board.group_rows()} == {"g"}


def test_the_least_room_of_all_streams_is_told() -> None:
    """Of those that rest, and of the restless."""
    board = Board()
    begin(board, "s:0", 20, g=20)
    begin(board, "s:1", 8, g=8)
    assert gauges(board, "g")["trim_headroom_entries"] == 8.0
    begin(board, "s:2", 9, g=4)
    found = gauges(board, "g")
    assert found["trim_headroom_entries"] <= 4.0
    assert found["waiting_entries"] > 0


def test_a_rate_that_sinks_is_told_anew() -> None:
    """Ten seconds later, no sooner; a restless stream is stale at once."""
    board = Board()
    begin(board, "s:0", 20, g=20)
    assert board.list_stale(100.0 + REFRESH_AFTER - 0.1) == set()
    assert board.list_stale(100.0 + REFRESH_AFTER) == {"s:0"}
    begin(board, "s:1", 20, g=0)
    assert board.list_stale(100.0) == {"s:1"}


def test_figures_add_up_over_streams_and_come_off_again() -> None:
    """Published, waiting, lost: of each stream once, however often it is put."""
    board = Board()
    account = begin(board, "s:0", 20, first=6, g=0)
    begin(board, "s:1", 10, g=10)
    put(board, "s:0", account)
    total = board.sum_figures()
    assert (total.published, total.waiting.hi, total.lost.lo) == (30, 15, 5)
    assert (board.measured, board.scarred) == (2, {"s:0"})
    board.remove("s:0")
    board.remove("s:0")
    total = board.sum_figures()
    assert (total.published, total.waiting.hi, total.lost.lo) == (10, 0, 0)
    assert (board.measured, board.scarred, board.restless) == (1, set(), set())
    assert board.stream_values(LABEL) == {"stream_entries": 10.0}


def test_a_stream_that_is_gone_has_no_entries() -> None:
    """What it counted stays."""
    board = Board()
    account = begin(board, "s:0", 20, g=20)
    account.mark_gone()
    put(board, "s:0", account)
    assert board.stream_values(LABEL) == {"stream_entries": 0.0}
    assert (board.measured, board.groupless) == (0, set())
    assert board.sum_figures().published == 20


def test_streams_without_a_group() -> None:
    """Named as such until one is made."""
    board = Board()
    account = begin(board, "s:0", 5)
    assert (board.groupless, board.measured) == ({"s:0"}, 0)
    feed(account, 101.0, 5, g=5)
    put(board, "s:0", account)
    assert (board.groupless, board.measured) == (set(), 1)


def test_when_something_was_published_last() -> None:
    """The latest of a label; an id that is no time tells none: a number, or one of the future."""
    board, now = Board(), (EARLY + 5000) / 1000
    for n, milliseconds in enumerate((EARLY, EARLY + 5000, OLDEST_PLAUSIBLE - 1, EARLY + 9000)):
        account = begin_account(Deadlines(1.0, 2.0))
        account.feed(StreamView(now, 1, 1, (milliseconds, 0), (milliseconds, 0)))
        put(board, f"s:{n}", account)
    assert board.stream_values(LABEL) == {
        "stream_entries": 4.0,
        "last_published_timestamp_seconds": (EARLY + 5000) / 1000,
    }
    assert sorted(board.published[LABEL]) == ["s:0", "s:1"]
    assert board.stream_values("another") == {"stream_entries": 0.0}


def test_those_with_trouble_are_picked_first() -> None:
    """All of them, and as many others as are wanted."""
    board = Board()
    for n in range(4):
        begin(board, f"s:{n}", 20, g=20)
    begin(board, "s:8", 20, first=6, g=0)
    begin(board, "s:9", 20, g=0)
    assert set(board.pick(1)) == {"s:8", "s:9"}
    assert set(board.pick(2)) == {"s:8", "s:9"}
    assert set(board.pick(3)) >= {"s:0", "s:8", "s:9"}


def test_rows_are_labelled() -> None:
    """One for each pair of labels."""
    board = Board()
    begin(board, "s:0", 5, g=5, h=0)
    rows = board.group_rows()
    assert all(isinstance(row, Row) for row in rows)
    assert {tuple(row.labels.items()) for row in rows} == {
        (("stream", LABEL), ("group", "g")),
        (("stream", LABEL), ("group", "h")),
    }
