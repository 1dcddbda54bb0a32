"""Random lives of a required group that comes and goes, held against a ledger of every entry."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest

from sentinel.core.bus.delivery import (
    NO_CALLS,
    ZERO,
    Answer,
    Calls,
    Capability,
    Deadlines,
    GroupView,
    Question,
    StreamAccount,
    StreamView,
    begin_account,
    load_account,
    write_account,
)

DEADLINES = Deadlines(3.0, 6.0)
LEDGER_OUTCOMES = ("waiting", "pending", "lost", "acked")


@dataclass
class LedgerEntry:
    """One entry for the group: every fate that can be defended."""

    number: int
    live: bool = True
    seen: bool = False
    history: set[str] = field(default_factory=set)
    pending: bool = False


@dataclass
class LedgerServer:
    """One stream and one group of it, which need not be there."""

    dice: random.Random
    now: float = 100.0
    number: int = 0
    entries: list[LedgerEntry] = field(default_factory=list)
    ended: list[LedgerEntry] = field(default_factory=list)
    there: bool = True
    group: int | None = None
    consumers: int = 0
    reads: int | None = None
    added: int = 0
    calls: Calls = NO_CALLS
    replaced: bool = False

    def publish(self) -> None:
        for _ in range(self.dice.randint(1, 6)):
            self.number += 1
            self.added += 1
            self.entries.append(LedgerEntry(self.number))
            if self.group is not None and self.group >= self.number:
                self.entries[-1].history.add("lost")
        self.there = True

    def trim(self) -> None:
        if self.replaced:
            return  # a stream that is made anew and trimmed at once may look like the old one
        live = [each for each in self.entries if each.live]
        for each in live[: self.dice.randint(0, len(live))]:
            if self._waits(each):
                each.history.add("lost")
            each.live = False

    def create(self) -> None:
        if self.group is not None or not self.there:
            return
        self.calls = self.calls._replace(creations=self.calls.creations + 1)
        last = self.entries[-1].number if self.entries else 0
        self._place(self.dice.choice([0, 0, last, self.dice.randint(0, max(last, 1))]))
        self.consumers, self.reads = 0, None

    def _place(self, position: int) -> None:
        """What lies behind the position is skipped, unless it is put back later."""
        for each in self.entries:
            if each.live and each.number <= position and not (each.history or each.pending):
                each.history.add("lost")
        self.group = position

    def destroy(self) -> None:
        if self.group is None:
            return
        self.calls = self.calls._replace(
            moves=self.calls.moves + 1, deletions=self.calls.deletions + 1
        )
        for each in self.entries:
            if each.pending:
                each.pending = False
                each.history.add("dropped")
            elif self._waits(each):
                each.history.add("lost")  # as the end of its life tells; it may wait once more
        self.group, self.consumers = None, 0

    def read(self) -> None:
        if self.group is None:
            return
        self.calls, self.consumers = self.calls._replace(reads=self.calls.reads + 1), 1
        unread = [each for each in self.entries if each.live and each.number > self.group]
        for each in unread[: self.dice.randint(1, 5)]:
            self.group, self.reads = each.number, self.added
            if self.dice.random() < 0.8:
                each.history.add("acked")
            else:
                each.pending = True

    def delete(self) -> None:
        if not self.there:
            return
        for each in self.entries:
            if each.pending:
                each.history.add("dropped")
            elif self._waits(each):
                each.history.add("lost")
            each.pending = each.live = False
        self.ended += self.entries
        self.replaced = True
        self.entries, self.there, self.group, self.consumers, self.added = [], False, None, 0, 0

    def _waits(self, each: LedgerEntry) -> bool:
        return each.live and not each.pending and (self.group is None or each.number > self.group)

    def view(self) -> StreamView:
        live = [each.number for each in self.entries if each.live]
        last = self.entries[-1].number if self.entries else 0
        first = (live[0], 0) if live else ZERO
        groups = {}
        if self.group is not None:
            held = [each.number for each in self.entries if each.pending]
            oldest = (held[0], 0) if held else None
            groups["g_1"] = GroupView(
                "g_1", (self.group, 0), len(held), self.consumers, self.reads, None, oldest
            )
        self.replaced = False
        for each in self.entries:
            each.seen = True
        return StreamView(
            self.now, self.added, len(live), (last, 0), first, groups=groups, **self.calls._asdict()
        )

    def fates(self) -> list[set[str]]:
        """Of each entry that a look saw."""
        found = []
        for each in [*self.ended, *self.entries]:
            fates = set(each.history)
            if each.pending:
                fates.add("pending")
            if self._waits(each):
                fates.add("waiting")
            if each.seen:
                found.append(fates)
        return found


def judge(server: LedgerServer, account: StreamAccount, name: str) -> str:
    """What of the account is not true, if anything."""
    fates, told = server.fates(), account.account_of(name)
    if told.published != len(fates):
        return f"published {told.published} of {len(fates)}"
    bounds = {
        "waiting": told.waiting,
        "pending": told.pending,
        "lost": told.lost,
        "acked": told.acknowledged,
    }
    for outcome, found in bounds.items():
        sure = sum(each == {outcome} for each in fates)
        possible = sum(outcome in each for each in fates)
        if not (found.lo <= possible and sure <= found.hi):
            return f"{outcome} {found}, truth {sure} to {possible}"
    return ""


@pytest.mark.parametrize("required", ["g_1", "g_*"])
@pytest.mark.parametrize("seed", range(25))
def test_what_is_told_of_a_required_group_is_true(required, seed):
    """Made, destroyed, read, skipped, trimmed, deleted, several at once between two looks; sentinel
    is restarted: every figure holds the truth, and nothing leaves the account.
    """
    server = LedgerServer(random.Random(seed))
    account, log = begin_account(DEADLINES), []
    account.required = [required]
    account.feed(server.view(), watched_from_birth=True, absent_calls=server.calls)
    operations = [
        *[server.publish] * 4,
        server.trim,
        *[server.create] * 2,
        server.destroy,
        *[server.read] * 3,
        server.delete,
    ]
    for _ in range(60):
        for _ in range(server.dice.choice([1, 1, 1, 2, 4])):
            chosen = server.dice.choice(operations)
            chosen()
            log.append(chosen.__name__)
        server.now += server.dice.choice([1.0, 4.0])
        if not server.there:
            account.mark_gone(server.calls)
        else:
            account.feed(server.view())
            due = account.list_due()
            account.settle(due, {each: _answer(server, each) for each in account.ask(due, 9)})
        log.append("look")
        name = "g_1" if "g_1" in account.groups else required
        assert not judge(server, account, name), (judge(server, account, name), log)
        if server.dice.random() < 0.1:
            account = load_account(json.loads(write_account(account)), DEADLINES, Capability())
            account.required = [required]


def _answer(server: LedgerServer, question: Question) -> Answer:
    if question.kind == "live":
        found = [e.number for e in server.entries if e.live]
    else:
        found = [e.number for e in server.entries if e.pending]
    upto = question.upto or (10**9, 0)
    ids = [(n, 0) for n in found if question.after < (n, 0) <= upto][: question.cap]
    return Answer(tuple(ids), len(ids) >= question.cap)
