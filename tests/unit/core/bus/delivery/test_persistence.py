"""Accounts written and read again: the text is the document, and the account goes on."""

from __future__ import annotations

import json

import pytest

from sentinel.core.bus.delivery import (
    NO_CALLS,
    Calls,
    Capability,
    Deadlines,
    GroupView,
    StreamAccount,
    StreamView,
    begin_account,
    dump_account,
    load_account,
    write_account,
)

DEADLINES = Deadlines(5.0, 30.0)
HOSTILE = 'a "b" \\ %s {} é\n'


def look(
    now: float, added: int, first: int, group: GroupView | None = None, **facts: int
) -> StreamView:
    """Entries up to `added`, trimmed before `first`."""
    groups = {} if group is None else {group.name: group}
    length = added - first + 1
    return StreamView(now, added, length, (added, 3), (first, 0), groups=groups, **facts)


def reads(at: int, pending: int = 0, **facts: int) -> GroupView:
    oldest = (at - pending + 1, 0) if pending else None
    return GroupView(HOSTILE, (at, 3), pending, 2, oldest_pending=oldest, **facts)


def fresh() -> StreamAccount:
    """Of a stream that nobody has seen."""
    return begin_account(DEADLINES)


def lived() -> StreamAccount:
    """Read, trimmed unread, with pending entries, calls and an unseen entry."""
    account = fresh()
    account.feed(look(1.0, 4, 1, reads(4)))
    account.feed(look(2.5, 10, 1, reads(8, 2, entries_read=8, lag=2), deletions=1))
    account.feed(look(4.0, 30, 14, reads(8, 2), deletions=2, claims=3, unseen=1))
    return account


def broken() -> StreamAccount:
    """Its stream was made anew: earlier lives have sums."""
    account = lived()
    account.feed(StreamView(5.0, 2, 2, (99, 0), (98, 0)), survivors=frozenset())
    return account


def gone() -> StreamAccount:
    account = lived()
    account.mark_gone()
    return account


ACCOUNTS = [fresh, lived, broken, gone]


@pytest.mark.parametrize("make", ACCOUNTS)
def test_the_text_is_the_document(make) -> None:
    """Whatever a group is called: the fast way writes what the plain one says."""
    account = make()
    assert json.loads(write_account(account)) == json.loads(json.dumps(dump_account(account)))


@pytest.mark.parametrize("make", ACCOUNTS)
def test_an_account_survives_a_restart(make) -> None:
    """Every part of it."""
    account = make()
    again = load_account(json.loads(write_account(account)), DEADLINES, Capability())
    assert dump_account(again) == dump_account(account)
    assert (again.present, again.gap, again.now) == (account.present, account.gap, account.now)
    assert (again.calls, again.unseen) == (account.calls, account.unseen)
    assert again.cohorts == account.cohorts
    assert again.anchors == account.anchors
    assert again.resets == account.resets
    for name in account.groups:
        assert again.account_of(name) == account.account_of(name)


def test_a_restart_is_one_long_look() -> None:
    """What comes next is counted as if there had been none."""
    account = lived()
    again = load_account(json.loads(write_account(account)), DEADLINES, Capability())
    after = look(40.0, 33, 20, reads(33), deletions=2, claims=3)
    for each in (account, again):
        each.feed(after)
        each.settle(each.list_due(), {})
    assert dump_account(again) == dump_account(account)
    assert again.published == 29


def test_what_a_restart_has_to_learn_again() -> None:
    """Rules and what the server can do are not of the account."""
    capability = Capability(lag_exact=True)
    again = load_account(json.loads(write_account(lived())), Deadlines(1.0, 2.0), capability)
    assert (again.deadlines, again.capability) == (Deadlines(1.0, 2.0), capability)
    assert not again.still


def test_a_document_without_instant_and_calls() -> None:
    """An older sentinel did not write them: those of the last look stand for them."""
    document = dump_account(lived())
    del document["now"], document["calls"]
    again = load_account(document, DEADLINES, Capability())
    assert (again.now, again.calls) == (4.0, Calls(2, 3))
    empty = dump_account(fresh())
    del empty["now"], empty["calls"]
    again = load_account(empty, DEADLINES, Capability())
    assert (again.now, again.calls, again.view) == (0.0, NO_CALLS, None)


def test_figures_of_a_group_that_may_be_missing() -> None:
    """A server tells no reads, no lag, no pending entry: that is not zero."""
    account = fresh()
    account.feed(look(1.0, 4, 1, reads(2)))
    document = json.loads(write_account(account))
    assert document["view"]["groups"] == [[HOSTILE, "2-3", 0, 2, None, None, None]]
    account.feed(look(2.0, 6, 1, reads(4, 1, entries_read=0, lag=0)))
    document = json.loads(write_account(account))
    assert document["view"]["groups"] == [[HOSTILE, "4-3", 1, 2, 0, 0, "4-0"]]
    view = load_account(document, DEADLINES, Capability()).view
    assert view is not None
    group = view.groups[HOSTILE]
    assert (group.entries_read, group.lag, group.oldest_pending) == (0, 0, (4, 0))


def test_losses_that_are_past_are_written_too() -> None:
    """Nothing of it is noted any more, but it was lost."""
    account = lived()
    group = account.groups[HOSTILE]
    before = account.account_of(HOSTILE).lost
    assert before.lo > 0
    group.losses.prune(10**6)
    assert not group.losses
    again = load_account(json.loads(write_account(account)), DEADLINES, Capability())
    assert again.account_of(HOSTILE).lost == before
