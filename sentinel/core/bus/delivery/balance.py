"""Where everything stands that was published to a group, as one sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sentinel.core.bus.delivery.stream import NOTHING
from sentinel.core.quantity import Bounds


@dataclass(frozen=True, slots=True)
class Account:
    """Where every entry stands that was published to a group since its watch began, at the last
    snapshot.

    `acknowledged` = published − waiting − pending − lost − dropped, a point when nothing unread was
    removed.
    `dropped` is an upper bound, its lower bound is always 0. `unaccounted`: of so many nobody knows
    whether they were read, lost, dropped or never owed; they are among the upper ends of `lost` and
    `dropped`. `unseen`: at most so many more were published and removed, with any fate (Redis 6.2).
    """

    published: int
    waiting: Bounds
    pending: Bounds
    lost: Bounds
    dropped: int
    unseen: int = 0
    unaccounted: int = 0

    @property
    def acknowledged(self) -> Bounds:
        """Bounds of what left the pending list by an acknowledgement."""
        gone = self.lost.hi + self.dropped - self.unaccounted
        lo = self.published - self.waiting.hi - self.pending.hi - gone
        hi = self.published - self.waiting.lo - self.pending.lo - self.lost.lo
        return Bounds(max(0, lo), max(0, hi) + self.unseen)

    def blur(self, count: int) -> Account:
        """With so many more of which nobody knows what became of them."""
        if not count:
            return self
        lost = Bounds(self.lost.lo, self.lost.hi + count)
        together = self.unaccounted + count
        return replace(self, lost=lost, dropped=self.dropped + count, unaccounted=together)


NO_BALANCE = Account(0, NOTHING, NOTHING, NOTHING, 0)


def list_account(account: Account) -> tuple[int, ...]:
    """The account as numbers that can be added up: published, dropped, both ends of waiting,
    pending and lost, unseen, unaccounted.
    """
    pairs = (account.waiting, account.pending, account.lost)
    ends = (end for pair in pairs for end in (pair.lo, pair.hi))
    return account.published, account.dropped, *ends, account.unseen, account.unaccounted
