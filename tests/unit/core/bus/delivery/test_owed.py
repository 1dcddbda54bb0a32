"""Groups that are missing, and groups that come later than what they are owed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.bus.delivery import (
    NO_CALLS,
    ZERO,
    Calls,
    Deadlines,
    GroupView,
    StreamAccount,
    StreamView,
    begin_account,
)
from sentinel.core.bus.delivery.finding import DeliveryRules
from sentinel.core.bus.delivery.owed import stands_for
from sentinel.core.bus.delivery.presence import find_group_faults
from sentinel.core.bus.delivery.stream import MAX_SEQUENCE, precede
from sentinel.core.bus.delivery.window import LossBook
from sentinel.core.quantity import Bounds

DEADLINES = Deadlines(deliver=5.0, ack=10.0)
MADE = Calls(creations=1)


def view(
    now: float, added: int, first: int = 1, calls: Calls = NO_CALLS, **at: object
) -> StreamView:
    """Entries 1 to `added`, trimmed before `first`; groups stand at their number."""
    groups = {
        name: each if isinstance(each, GroupView) else GroupView(name, (each, 0), 0, 1)  # type: ignore[arg-type]
        for name, each in at.items()
    }
    length = max(0, added - first + 1)
    head = (first, 0) if length else ZERO
    return StreamView(now, added, length, (added, 0), head, groups=groups, **calls._asdict())


def watch(*looks: StreamView, required: str = "g_*") -> StreamAccount:
    """From the birth of the stream on."""
    account = begin_account(DEADLINES)
    account.required = [required]
    for number, each in enumerate(looks):
        account.feed(each, watched_from_birth=number == 0, absent_calls=NO_CALLS)
    return account


def told(account: StreamAccount, name: str) -> tuple[int, Bounds, Bounds]:
    found = account.account_of(name)
    return found.published, found.waiting, found.lost


# -- missing -----------------------------------------------------------------------------------------


def test_a_pattern_is_owed_until_a_group_matches() -> None:
    """Under its own name, at once; then the group has the account, and the pattern has none."""
    account = watch(view(1, 4), view(2, 6))
    assert told(account, "g_*") == (6, Bounds(6, 6), Bounds(0, 0))
    account.feed(view(3, 7, calls=MADE, g_1=0))
    assert told(account, "g_1") == (7, Bounds(7, 7), Bounds(0, 0))
    assert "g_*" not in account.groups
    account.feed(view(6, 7, calls=MADE, g_1=0))
    settled = account.settle(account.list_due(), {})
    assert {(each.group, each.stage, each.waiting) for each in settled} == {
        ("g_1", "deliver", Bounds(4, 4))
    }


def test_what_trims_take_from_a_missing_group_is_lost_for_certain() -> None:
    """Unless a group may have come and gone: one was made on this server meanwhile."""
    account = watch(view(1, 4), view(2, 10, first=4))
    assert told(account, "g_*") == (10, Bounds(7, 7), Bounds(3, 3))
    doubtful = watch(view(1, 4), view(2, 10, first=4, calls=MADE))
    assert told(doubtful, "g_*") == (10, Bounds(0, 7), Bounds(0, 10))


@pytest.mark.parametrize(
    ("calls", "lost"), [(NO_CALLS, Bounds(4, 4)), (MADE, Bounds(0, 4)), (None, Bounds(0, 4))]
)
def test_what_waits_when_the_stream_goes_is_lost(calls, lost) -> None:
    """For certain where nobody can have read it."""
    account = watch(view(1, 4))
    settled = account.mark_gone(calls)
    assert told(account, "g_*") == (4, Bounds(0, 0), lost)
    assert {each.lost for each in settled} == {lost}


def test_what_came_while_a_group_went_is_in_doubt_and_what_comes_later_is_not() -> None:
    """10 read, 3 came until it was found gone, 5 later; 2 waited at the look before."""
    account = watch(view(1, 0, g_1=0), view(2, 10, g_1=10), view(2.5, 12, g_1=10))
    gone = Calls(deletions=1, moves=1)
    account.feed(view(3, 15, calls=gone))
    assert told(account, "g_1") == (15, Bounds(0, 3), Bounds(0, 5))
    account.feed(view(4, 20, calls=gone))
    assert told(account, "g_1") == (20, Bounds(5, 8), Bounds(0, 5))
    assert account.account_of("g_1").acknowledged.lo >= 0
    (fault,) = find_group_faults(DeliveryRules(DEADLINES, 0.5, 20, ["g_*"]), "s", account)
    assert (fault.key, fault.cure) == ("group_lost", ("XGROUP CREATE s g_1 10-0",))


def test_a_group_that_is_missing_for_long_is_still_missing() -> None:
    """After an hour it is no news that it went, but it is required."""
    account = watch(view(1, 0, g_1=0), view(2, 4, g_1=4), view(3, 4, calls=MADE))
    account.feed(view(9000, 4, calls=MADE))
    (fault,) = find_group_faults(DeliveryRules(DEADLINES, 0.5, 20, ["g_*"]), "s", account)
    assert fault.key == "group_missing"
    assert fault.text.endswith("is owed to g_1, which matched and was there last")


@pytest.mark.parametrize(
    ("consumers", "lost"), [(0, Bounds(6, 6)), (1, Bounds(0, 6))], ids=["unread", "perhaps read"]
)
def test_what_a_group_is_made_behind_is_lost(consumers, lost) -> None:
    """It was owed, and will never be read."""
    account = watch(view(1, 6))
    account.feed(view(2, 8, calls=MADE, g_1=GroupView("g_1", (6, 0), 0, consumers)))
    assert told(account, "g_1") == (8, Bounds(2, 2), lost)


def test_a_group_that_is_not_watched_is_there() -> None:
    """Excluded groups fulfil what is required."""
    account = watch(replace(view(1, 4), others=frozenset({"g_1"})))
    assert account.groups == {}


def test_losses_are_news_once_also_when_another_name_takes_over() -> None:
    """What was lost under the pattern is not lost once more under the group."""
    account, book = watch(view(1, 4), view(2, 6, first=4)), LossBook()
    assert book.take("s", account) == {("s", "g_*"): 3}
    account.feed(view(3, 6, first=4, calls=MADE, g_1=0))
    assert book.take("s", account) == {}


def test_which_names_a_pattern_stands_for() -> None:
    """Those that match, and itself, whatever its brackets mean."""
    assert stands_for("g_1", "g_*")
    assert stands_for("g_[ab]", "g_[ab]")
    assert not stands_for("h", "g_*")


# -- later -------------------------------------------------------------------------------------------


def late(position: int, first: int = 1, **facts: object) -> StreamAccount:
    """10 entries at two looks, 2 more; then a group that nobody required stands somewhere."""
    account = begin_account(DEADLINES)
    for each in (view(1, 0), view(2, 6), view(8, 10)):
        account.feed(each)
    group = GroupView("g", (position, 0), 0, **{"consumers": 0, **facts})  # type: ignore[arg-type]
    account.feed(view(9, 12, first, calls=MADE, g=group))
    return account


def test_a_group_made_later_at_the_beginning_is_owed_what_is_there() -> None:
    """Each entry is as old as the look that saw it first: six of twelve are late at once."""
    account = late(0)
    assert told(account, "g") == (12, Bounds(12, 12), Bounds(0, 0))
    settled = account.settle(account.list_due(), {})
    assert [(each.stage, each.waiting) for each in settled] == [("deliver", Bounds(6, 6))]


def test_a_group_made_in_the_middle_is_owed_what_lies_behind() -> None:
    """Where its rank is known."""
    assert told(late(6), "g") == (6, Bounds(6, 6), Bounds(0, 0))


def test_what_a_late_group_has_read_by_then_is_unaccounted() -> None:
    """It may have been made at the beginning, or where it stands."""
    account = late(6, consumers=1)
    assert told(account, "g") == (12, Bounds(6, 6), Bounds(0, 6))
    assert account.account_of("g").acknowledged == Bounds(0, 6)


def test_what_went_before_a_late_group_was_seen_may_have_been_owed() -> None:
    """Trimmed since the look before: before the group was made, or after."""
    assert told(late(0, first=4), "g") == (12, Bounds(9, 9), Bounds(0, 3))


@pytest.mark.parametrize("hidden", ["at the end", "first sight", "watched before"])
def test_other_groups_are_owed_from_the_look_before(hidden) -> None:
    """One that stands at the end, one of a stream that is new to us, one that was left out."""
    account = late(10)
    if hidden == "first sight":
        account = begin_account(DEADLINES)
        account.feed(view(9, 12, g=0))
        assert account.account_of("g").published == 0
        return
    if hidden == "watched before":
        account = begin_account(DEADLINES)
        for each in (view(1, 0), view(2, 6)):
            account.feed(each)
        account.knows = False
        account.feed(view(9, 8, calls=MADE, g=0))
    assert account.account_of("g").published == 2


def test_the_id_before() -> None:
    """Sequences end where the server's integers do."""
    assert precede((5, 3)) == (5, 2)
    assert precede((5, 0)) == (4, MAX_SEQUENCE)
    assert precede(ZERO) == ZERO
