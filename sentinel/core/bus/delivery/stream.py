"""What the server says of one stream at one instant, and what that proves about publish ranks.

The publish rank of an id is the number of entries that were ever published with an id up to it. One
atomic XINFO STREAM gives an exact (id, rank) pair, an anchor: `last-generated-id` and
`entries-added`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sentinel.core.quantity import Bounds

Id = tuple[int, int]
ZERO: Id = (0, 0)
MAX_SEQUENCE = 2**64 - 1
OLDEST_PLAUSIBLE = 10**12
"""Ids below this many milliseconds (the year 2001) are numbers that a producer chose, not times."""


def parse_id(text: str) -> Id:
    """`1700000000000-3` as a comparable pair (milliseconds, sequence)."""
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)


def format_id(entry: Id) -> str:
    """The pair as the server writes it."""
    return f"{entry[0]}-{entry[1]}"


def precede(entry: Id) -> Id:
    """The id before this one, as one that leaves this one in when a list begins behind it."""
    if entry == ZERO:
        return ZERO
    return (entry[0], entry[1] - 1) if entry[1] else (entry[0] - 1, MAX_SEQUENCE)


def point(value: int) -> Bounds:
    """Exactly this value."""
    return Bounds(value, value)


NOTHING = point(0)


@dataclass(frozen=True, slots=True)
class Anchor:
    """An exact pair: the entry `id` (or nothing after it) has publish rank `rank`; seen at server
    time `at`, and not yet at `after`, the look before (0: nobody looked).
    """

    id: Id
    rank: int
    at: float
    after: float = field(default=0.0, compare=False)
    _text: str = field(default="", init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """As JSON, made once: an anchor is written at every run for as long as it is kept."""
        if not self._text:
            after = f",{self.after!r}" if self.after else ""
            written = f'["{self.id[0]}-{self.id[1]}",{self.rank},{self.at!r}{after}]'
            object.__setattr__(self, "_text", written)
        return self._text

    def dump(self) -> list[Any]:
        """JSON-able document."""
        after = [self.after] if self.after else []
        return [format_id(self.id), self.rank, self.at, *after]

    @classmethod
    def load(cls, document: Sequence[Any]) -> Anchor:
        """What `dump` gave; earlier versions did not know the look before."""
        entry, rank, *times = document
        return cls(parse_id(entry), rank, *times)


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group as XINFO GROUPS shows it. `oldest_pending` is None when nothing is pending or it
    wasn't asked. `missing`: it is required and not there (owed.py); it may have read up to
    `last_delivered`.
    """

    name: str
    last_delivered: Id
    pending: int
    consumers: int = 0
    entries_read: int | None = None
    lag: int | None = None
    oldest_pending: Id | None = None
    missing: bool = False


class Calls(NamedTuple):
    """Numbers that only rise: a change since the last view says that such a command may have run
    anywhere on the server in between, or that its count began anew (another process, RESETSTAT).

    `deletions`: DELCONSUMER, DESTROY; `claims`: what drops entries without payload; `moves`:
    SETID, DESTROY, and `swaps`: what puts another stream in the place of one; `creations`: XGROUP
    CREATE; `forces`: XCLAIM, which may deliver beyond the position, and move it; `renumbers`:
    XSETID; `reads`: XREADGROUP and acknowledgements; `epochs`: the counts began anew;
    `ends`: what may have ended the life of any key.
    """

    deletions: int = 0
    claims: int = 0
    moves: int = 0
    creations: int = 0
    forces: int = 0
    renumbers: int = 0
    reads: int = 0
    swaps: int = 0
    epochs: int = 0
    ends: int = 0


NO_CALLS = Calls()


@dataclass(frozen=True, slots=True)
class StreamView:
    """One atomic snapshot of a stream and its groups; `now` is the server's TIME in seconds.

    `deletions` and the others of `calls` only rise. `kept`: the newest entry of the view before is
    still there; None when nobody knows. `newest` is that entry where `last` never was one: XSETID
    made it up. `entry_bytes` is the size of the newest entry.

    `legacy` servers don't say `added`, it is counted (legacy.py); `last_gone`: the newest entry is
    no more. At most
    `unseen` more entries were published and removed since the view before; `doubtful`: it may be
    another stream of that name; not `counted`: nothing is known.
    """

    now: float
    added: int
    length: int
    last: Id
    first: Id = ZERO
    max_deleted: Id = ZERO
    groups: Mapping[str, GroupView] = field(default_factory=dict)
    deletions: int = 0
    claims: int = 0
    entry_bytes: int = 0
    legacy: bool = False
    last_gone: bool = False
    unseen: int = 0
    doubtful: bool = False
    counted: bool = True
    moves: int = 0
    creations: int = 0
    forces: int = 0
    renumbers: int = 0
    reads: int = 0
    swaps: int = 0
    epochs: int = 0
    ends: int = 0
    kept: bool | None = None
    newest: Id | None = None
    recounted: bool = False
    """What came since the view before was counted one by one: entries-added is right about it."""
    others: frozenset[str] = frozenset()
    """Groups that are there and not watched."""

    @property
    def calls(self) -> Calls:
        """What may have run on the server, as rising numbers."""
        return Calls(
            self.deletions,
            self.claims,
            self.moves,
            self.creations,
            self.forces,
            self.renumbers,
            self.reads,
            self.swaps,
            self.epochs,
            self.ends,
        )

    @property
    def removed(self) -> int:
        """Entries that were trimmed or deleted in this life of the stream; never falls."""
        return self.added - self.length

    @property
    def end(self) -> Id:
        """The last id that an entry ever had."""
        return self.last if self.newest is None else self.newest

    @property
    def last_lives(self) -> bool:
        """Whether the newest entry that was ever published is there."""
        gone = self.last_gone or (not self.legacy and self.max_deleted >= self.last)
        return self.length > 0 and not gone

    @property
    def has_holes(self) -> bool:
        """Whether entries may have been deleted behind the first live one (only XDEL does that)."""
        return self.length > 0 and self.max_deleted >= self.first


@dataclass(frozen=True, slots=True)
class Capability:
    """What the server's lag and entries-read mean, found by experiment (measurement.md §1.2), not
    by version.

    `lag_exact`: lag is right after unread entries were trimmed. `reads_counted`: entries-read
    counts deliveries, so that entries-added − entries-read − waiting is the number lost.
    """

    lag_exact: bool = False
    reads_counted: bool = False
    family: str = "unknown"


def bound_head_gap(view: StreamView, anchors: Sequence[Anchor], floor: int = 0) -> Bounds:
    """How many ranks lie before the first live entry. Exact without holes (measurement.md §1.1)."""
    if not view.length:
        return point(view.added)
    if not view.has_holes:
        return point(view.removed)
    known = bisect_right(anchors, (view.first[0], view.first[1] - 1), key=lambda anchor: anchor.id)
    rank = anchors[known - 1].rank if known else 0
    return Bounds(min(max(rank, floor), view.removed), view.removed)


def bound_rank(entry: Id, view: StreamView, anchors: Sequence[Anchor], gap: Bounds) -> Bounds:
    """Publish rank of the newest entry with an id up to `entry`, from the anchors and the head of
    the stream.
    """
    if entry >= view.end:
        return point(view.added)
    if entry == ZERO:
        return NOTHING
    after = bisect_right(anchors, entry, key=lambda anchor: anchor.id)
    if after and anchors[after - 1].id == entry:
        return point(anchors[after - 1].rank)
    lo = anchors[after - 1].rank if after else 0
    hi = anchors[after].rank - 1 if after < len(anchors) else view.added - 1
    between = Bounds(lo, max(lo, hi))
    return between.meet(_bound_by_head(entry, view, gap))


def _bound_by_head(entry: Id, view: StreamView, gap: Bounds) -> Bounds:
    if not view.length:
        return Bounds(0, view.added)
    if entry < view.first:
        return Bounds(0, gap.hi)
    if entry == view.first:
        return Bounds(gap.lo + 1, gap.hi + 1)
    return Bounds(gap.lo + 1, view.added)


def bound_waiting(
    view: StreamView, group: GroupView, position: Bounds, capability: Capability = Capability()
) -> Bounds:
    """Published, live, not yet delivered to the group: the rule of measurement.md §1.3.

    `position` bounds the rank of the group's last delivered entry.
    """
    delivered = group.last_delivered
    if not view.length or delivered >= view.end:
        return NOTHING
    if delivered < view.first:
        return point(view.length)
    ahead = Bounds(view.added - position.hi, view.added - position.lo)
    if view.max_deleted > delivered:
        ahead = Bounds(max(0, ahead.lo - view.removed), ahead.hi)
    ahead = ahead.clip(0, view.length - 1)
    # why within: entries-read may have been given by hand, then the lag is made up
    if capability.lag_exact and group.lag is not None and ahead.lo <= group.lag <= ahead.hi:
        return point(group.lag)
    return ahead


def thin_anchors(anchors: list[Anchor]) -> list[Anchor]:
    """Drop the inner anchor whose neighbours are nearest in time, so that old ranks stay bounded
    too; the latest eight stay.
    """

    def cost(n: int) -> float:
        return (anchors[n + 1].at - anchors[n - 1].at) * (len(anchors) - n)

    drop = min(range(1, len(anchors) - 8), key=cost)
    # what the dropped one saw first is now first seen by the next one, not earlier than it was
    heir = replace(anchors[drop + 1], after=anchors[drop].after)
    return [*anchors[:drop], heir, *anchors[drop + 2 :]]


def seen_by(now: float, anchor: Anchor) -> Anchor:
    """The anchor by a clock that was set back to `now`."""
    return anchor if anchor.at <= now else replace(anchor, at=now, after=min(anchor.after, now))
