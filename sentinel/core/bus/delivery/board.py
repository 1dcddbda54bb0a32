"""What all streams add up to, kept up to date stream by stream: a look costs as much as what moved
in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sentinel.core.bus.age import is_timed
from sentinel.core.bus.delivery.account import EMPTY, StreamAccount
from sentinel.core.bus.delivery.balance import NO_BALANCE, Account
from sentinel.core.bus.delivery.fleet import (
    Counts,
    GroupKey,
    Standing,
    Totals,
    count_group,
    count_stream,
    describe_gauges,
    find_publish_rate,
    stand,
)
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.statement import dump_figures, load_figures
from sentinel.core.bus.delivery.stream import GroupView, StreamView
from sentinel.core.model import Row

REFRESH_AFTER = 10.0
"""Seconds after which the time to loss of a stream that rests is told anew: its publish rate has
sunk meanwhile.
"""

Labels = Callable[[str], GroupKey]
_LOST = 6
"""Where the entries certainly lost stand among the figures."""


@dataclass(slots=True)
class Card:
    """The contribution of one stream, as of when it last moved. `labels` are those of its groups."""

    stream: str
    labels: dict[str, GroupKey] = field(default_factory=dict)
    counts: Counts = ()
    groups: dict[str, Counts] = field(default_factory=dict)
    sums: Counts = ()
    measured: int = 0
    standings: tuple[Standing, ...] = ()


@dataclass(slots=True)
class Board:
    """Cards of all streams, and their sums. `restless` streams have something waiting, pending or
    vague.

    `lapsing` streams say something that changes by time alone: server time at which to put them
    again.
    """

    cards: dict[str, Card] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    sums: list[int] = field(default_factory=lambda: dump_figures(NO_BALANCE))
    restless: set[str] = field(default_factory=set)
    scarred: set[str] = field(default_factory=set)
    groupless: set[str] = field(default_factory=set)
    lapsing: dict[str, float] = field(default_factory=dict)
    measured: int = 0
    headroom: dict[GroupKey, dict[str, int]] = field(default_factory=dict)
    seconds: dict[GroupKey, dict[str, float]] = field(default_factory=dict)
    entries: dict[str, dict[str, int]] = field(default_factory=dict)
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    def put(
        self,
        name: str,
        account: StreamAccount,
        stream: str,
        label: Labels,
        overdue: Mapping[str, int],
    ) -> None:
        """Take in where a stream stands now; `overdue` counts late pending entries per group. Costs
        what changed.
        """
        card = self.cards.get(name)
        if card is None:
            card = self.cards[name] = Card(stream)
        self._count(card, account, label)
        view = account.view if account.present else None
        self._show(
            name, card, view, timed=view is not None and is_timed(view.last, account.anchors)
        )
        groups = view.groups if view is not None else {}
        resting = all(_rests(account.groups[group], now) for group, now in groups.items())
        if resting:
            card.standings = ()
            self.restless.discard(name)
            self._keep_headroom(name, card, account, groups)
        else:
            card.standings = tuple(
                stand(name, group, account, overdue.get(group, 0)) for group in sorted(groups)
            )
            self.restless.add(name)
            self._keep_headroom(name, card, account, ())

    def _count(self, card: Card, account: StreamAccount, label: Labels) -> None:
        counts = count_stream(account)
        self.totals.shift_stream(card.stream, card.counts, counts)
        card.counts = counts
        view = account.view or EMPTY
        figures = []
        for name, group in account.groups.items():
            key = card.labels.get(name)
            if key is None:
                key = card.labels[name] = label(name)
            counts = count_group(group)
            before = card.groups.get(name, ())
            if counts != before:
                self.totals.shift_group(key, before, counts)
                card.groups[name] = counts
            figures.append(group.list_figures(view, account.gap))
        for name in card.groups.keys() - account.groups.keys():
            # taken over by another name (owed.py), which counts it from now on
            self.totals.shift_group(card.labels[name], card.groups.pop(name), ())
        self._add_up(card, tuple(map(sum, zip(*figures, strict=True))))

    def _add_up(self, card: Card, sums: Counts) -> None:
        if sums == card.sums:
            return
        nothing = (0,) * len(self.sums)
        for index, (old, new) in enumerate(zip(card.sums or nothing, sums or nothing, strict=True)):
            self.sums[index] += new - old
        card.sums = sums

    def _show(self, name: str, card: Card, view: StreamView | None, *, timed: bool = False) -> None:
        """What is told of a stream, groups aside. `timed`: its last id is the time of a publication."""
        entries = self.entries.setdefault(card.stream, {})
        published = self.published.setdefault(card.stream, {})
        measured = 0 if view is None else len(view.groups)
        self.measured += measured - card.measured
        card.measured = measured
        if view is None:
            entries.pop(name, None)
            published.pop(name, None)
            self.groupless.discard(name)
        else:
            entries[name] = view.length
            if timed:
                published[name] = view.last[0] / 1000
            else:
                published.pop(name, None)
            (self.groupless.discard if view.groups else self.groupless.add)(name)
        (self.scarred.add if card.sums and card.sums[_LOST] else self.scarred.discard)(name)

    def _keep_headroom(
        self, name: str, card: Card, account: StreamAccount, groups: Iterable[str]
    ) -> None:
        """Nothing waits in these groups: all that is there was read, and is the room before the
        next loss.
        """
        resting = {card.labels[group] for group in groups}
        length = (account.view or EMPTY).length
        rate = find_publish_rate(account) if resting else 0.0
        for key in card.labels.values():
            room, seconds = self.headroom.setdefault(key, {}), self.seconds.setdefault(key, {})
            if key in resting:
                room[name] = length
            else:
                room.pop(name, None)
            if key in resting and rate > 0:
                seconds[name] = length / rate
            else:
                seconds.pop(name, None)
        if rate > 0:
            self.lapsing[name] = account.now + REFRESH_AFTER
        else:
            self.lapsing.pop(name, None)

    def remove(self, name: str) -> None:
        """Take a stream off."""
        card = self.cards.pop(name, None)
        if card is None:
            return
        self.totals.shift_stream(card.stream, card.counts, ())
        for group, counts in card.groups.items():
            self.totals.shift_group(card.labels[group], counts, ())
        self._add_up(card, ())
        self._show(name, card, None)
        for names in (self.restless, self.scarred, self.groupless):
            names.discard(name)
        self.lapsing.pop(name, None)
        for key in card.labels.values():
            self.headroom.get(key, {}).pop(name, None)
            self.seconds.get(key, {}).pop(name, None)

    def list_stale(self, now: float) -> set[str]:
        """Streams to be put again although they did not move."""
        return self.restless | {name for name, until in self.lapsing.items() if until <= now}

    def list_standings(self) -> list[Standing]:
        """Where the groups of all restless streams stand; of the others nothing waits and nothing
        pends.
        """
        return [each for name in sorted(self.restless) for each in self.cards[name].standings]

    def sum_figures(self) -> Account:
        """The sum of all accounts."""
        return load_figures(self.sums)

    def pick(self, limit: int) -> Iterable[str]:
        """Streams that may have the most trouble, and enough others."""
        worst = self.restless | self.scarred
        return (
            worst if len(worst) >= limit else worst.union(sorted(self.cards)[: limit + len(worst)])
        )

    def group_rows(self) -> list[Row]:
        """Gauges per label of groups: sums of entries, the oldest age, the least headroom."""
        members: dict[GroupKey, list[Standing]] = {
            key: [] for key, found in self.headroom.items() if found
        }
        for each in self.list_standings():
            members.setdefault(self.cards[each.stream].labels[each.group], []).append(each)
        rows = []
        for key, found in members.items():
            least = min(self.headroom.get(key, {}).values(), default=None)
            seconds = min(self.seconds.get(key, {}).values(), default=None)
            rows.append(
                Row({"stream": key[0], "group": key[1]}, describe_gauges(found, least, seconds))
            )
        return rows

    def stream_values(self, stream: str) -> dict[str, float]:
        """Gauges of a label of streams."""
        values = {"stream_entries": float(sum(self.entries.get(stream, {}).values()))}
        times = self.published.get(stream)
        return (
            {**values, "last_published_timestamp_seconds": max(times.values())} if times else values
        )


def _rests(group: GroupAccount, now: GroupView) -> bool:
    return not (group.waiting.hi or now.pending)
