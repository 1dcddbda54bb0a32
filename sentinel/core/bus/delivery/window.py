"""The last minute of settled cohorts, losses and mishaps: what the verdict of a check rests on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sentinel.core.bus.delivery.account import StreamAccount
from sentinel.core.bus.delivery.cohort import ACK, Settlement
from sentinel.core.bus.delivery.stream import NOTHING
from sentinel.core.quantity import Bounds

Pair = tuple[str, str]
"""A stream and a group on it."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that befell a stream, or a group on it. `key` is the fault that it is."""

    key: str
    stream: str
    group: str
    text: str
    low: int = 0
    high: int = 0
    """How many entries it took, at least and at most."""
    back: str = ""
    """The id at which a group stood before it was moved, or ""."""
    mended: str = ""
    """What undid those before it, in words."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Share:
    """How many of so many settled entries were acknowledged in time."""

    size: int = 0
    good: Bounds = NOTHING

    @property
    def missed(self) -> int:
        """Entries that certainly were not."""
        return max(0, self.size - self.good.hi)

    def is_below(self, ratio: float) -> bool:
        """Whether even the best case is below this ratio."""
        return self.size > 0 and self.good.hi / self.size < ratio

    def __add__(self, other: Share) -> Share:
        return Share(self.size + other.size, self.good + other.good)


@dataclass(frozen=True, slots=True)
class Tally:
    """One run, at server time `at` (seconds): what settled in all and by group, losses, mishaps."""

    at: float
    whole: Share = Share()
    shares: Mapping[Pair, Share] = field(default_factory=dict)
    losses: Mapping[Pair, int] = field(default_factory=dict)
    mishaps: tuple[Mishap, ...] = ()
    missing: frozenset[Pair] = frozenset()
    """Groups of which something certainly missed the deadline in this run."""


NO_TALLY = Tally(0.0)


def find_missing(shares: Mapping[Pair, Share]) -> frozenset[Pair]:
    """Groups of which something certainly missed the deadline."""
    return frozenset(pair for pair, share in shares.items() if share.missed)


def tally(
    at: float,
    settlements: Mapping[str, Sequence[Settlement]],
    losses: Mapping[Pair, int],
    mishaps: Sequence[Mishap] = (),
) -> Tally:
    """Sum up one run; settlements by stream."""
    shares: dict[Pair, Share] = {}
    for stream, settled in settlements.items():
        for each in settled:
            if each.stage == ACK:
                pair = stream, each.group
                share = Share(each.size + each.unseen, each.good)
                shares[pair] = shares.get(pair, Share()) + share
    whole = sum(shares.values(), start=Share())
    return Tally(at, whole, shares, dict(losses), tuple(mishaps), find_missing(shares))


@dataclass(slots=True)
class LossBook:
    """Entries certainly lost so far, by stream and group: tells what a look adds to them."""

    known: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, stream: str, account: StreamAccount | None) -> dict[Pair, int]:
        """What was lost since this was asked last; an account that is gone adds nothing."""
        before, now = self.known.pop(stream, {}), _find_lost(account)
        for name, pattern in (account.adopted if account is not None else {}).items():
            if pattern in before:
                before[name] = before.pop(pattern)
        if now:
            self.known[stream] = now
        return {
            (stream, group): count - before.get(group, 0)
            for group, count in now.items()
            if count > before.get(group, 0)
        }


def _find_lost(account: StreamAccount | None) -> dict[str, int]:
    groups = account.groups if account is not None else {}
    return {name: group.counted[0] for name, group in groups.items() if group.counted[0]}


@dataclass(frozen=True, slots=True)
class HeldShare:
    """A share that was too low when something was judged last, at server time `at` (seconds)."""

    share: Share
    at: float


@dataclass(slots=True)
class Window:
    """Tallies of the last `seconds`. `latest` is the newest run; `held` are groups that were below
    their target and have not been better since, though nothing of them was judged lately.
    """

    seconds: float
    tallies: list[Tally] = field(default_factory=list)
    held: dict[Pair, HeldShare] = field(default_factory=dict)
    latest: Tally = NO_TALLY

    def add(self, latest: Tally) -> None:
        """Append a run and drop what is too old; runs in which nothing happened are not kept."""
        kept = [each for each in self.tallies if latest.at - each.at < self.seconds]
        happened = latest.whole.size or latest.losses or latest.mishaps
        self.tallies = [*kept, latest] if happened else kept
        self.latest = latest

    def find_low(self, ratio: float, least: int) -> dict[Pair, Share]:
        """Groups whose own share is too low, where that of all groups together is."""
        if not self.is_below(ratio, least):
            return {}
        return {pair: share for pair, share in self.shares.items() if share.is_below(ratio)}

    def hold(self, ratio: float, least: int, late: Collection[Pair]) -> None:
        """Remember who is below target. That a window slides repairs nothing: a group that is still
        `late` stays so, until enough of what is judged later was in time.
        """
        low = self.find_low(ratio, least)
        shares = self.shares if self.held else {}  # all groups of the window: only when needed
        kept = {
            pair: each
            for pair, each in self.held.items()
            if pair in late and (pair not in shares or shares[pair].is_below(ratio))
        }
        self.held = kept | {pair: HeldShare(share, self.latest.at) for pair, share in low.items()}

    @property
    def whole(self) -> Share:
        """What settled, all groups together."""
        return sum((each.whole for each in self.tallies), start=Share())

    @property
    def shares(self) -> dict[Pair, Share]:
        """What settled, by stream and group."""
        return _sum_up((each.shares for each in self.tallies), Share)

    @property
    def losses(self) -> dict[Pair, int]:
        """Entries certainly lost, by stream and group."""
        return _sum_up((each.losses for each in self.tallies), int)

    def find_first_loss(self, pair: Pair) -> float | None:
        """When entries of this group were first found lost; server time in seconds."""
        return next((each.at for each in self.tallies if pair in each.losses), None)

    @property
    def mishaps(self) -> list[Mishap]:
        """What happened to streams and groups, latest last."""
        return [each for tally in self.tallies for each in tally.mishaps]

    def is_below(self, ratio: float, least: int) -> bool:
        """Whether even the best case of at least `least` entries is below this ratio."""
        whole = self.whole
        return whole.size >= least and whole.is_below(ratio)

    def dump(self) -> dict[str, Any]:
        """JSON-able document. Groups that missed nothing are in the sums alone: there are many."""
        missing: set[Pair] = set()
        for each in self.tallies:
            missing |= each.missing
        held = [[*_dump_share(pair, each.share), each.at] for pair, each in self.held.items()]
        return {"tallies": [_dump_tally(each, missing) for each in self.tallies], "held": held}

    @classmethod
    def load(cls, document: Mapping[str, Any] | Sequence[Any], seconds: float) -> Window:
        """What `dump` gave. Before verdicts were held it was the list of tallies. Before losses and
        mishaps had a subject, a tally had six parts: then only its sums are taken over.
        """
        known = document if isinstance(document, Mapping) else {"tallies": document}
        held = {
            (stream, group): HeldShare(Share(size, Bounds(lo, hi)), at)
            for stream, group, size, lo, hi, at in known.get("held", ())
        }
        return cls(seconds, [_load_tally(part) for part in known["tallies"]], held)


Amount = TypeVar("Amount", int, Share)


def _sum_up(
    parts: Iterable[Mapping[Pair, Amount]], zero: Callable[[], Amount]
) -> dict[Pair, Amount]:
    sums: dict[Pair, Amount] = {}
    for part in parts:
        for pair, amount in part.items():
            sums[pair] = sums.get(pair, zero()) + amount
    return sums


def _dump_share(pair: Pair, share: Share) -> list[Any]:
    return [*pair, share.size, share.good.lo, share.good.hi]


def _dump_tally(each: Tally, pairs: set[Pair]) -> list[Any]:
    shares = [_dump_share(pair, each.shares[pair]) for pair in sorted(pairs & each.shares.keys())]
    losses = [[*pair, count] for pair, count in each.losses.items()]
    mishaps = [
        [m.key, m.stream, m.group, m.text, m.low, m.high, m.back, m.mended] for m in each.mishaps
    ]
    good = each.whole.good
    return [each.at, each.whole.size, good.lo, good.hi, losses, mishaps, shares]


def _load_tally(part: Sequence[Any]) -> Tally:
    at, size, lo, hi, losses, mishaps, *rest = part
    whole = Share(size, Bounds(lo, hi))
    if not rest:
        return Tally(at, whole)
    shares = {(s, g): Share(n, Bounds(lo, hi)) for s, g, n, lo, hi in rest[0]}
    lost = {(stream, group): count for stream, group, count in losses}
    told = tuple(Mishap(*each) for each in mishaps)
    return Tally(at, whole, shares, lost, told, find_missing(shares))
