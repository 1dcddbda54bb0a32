"""What all streams add up to, kept up to date stream by stream: a look costs as much as what moved in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sentinel.core.delivery.account import StreamAccount
from sentinel.core.delivery.fleet import OLDEST_PLAUSIBLE, GroupKey, Standing, Totals, describe_gauges, stand
from sentinel.core.delivery.group import Account
from sentinel.core.delivery.statement import NO_FIGURES, dump_figures, load_figures
from sentinel.core.model import Row

REFRESH_AFTER = 10.0
"""Seconds after which the time to loss of a stream that rests is told anew: its publish rate has sunk meanwhile."""

Labels = Callable[[str], GroupKey]


@dataclass(frozen=True, slots=True)
class Card:
    """The contribution of one stream, as of when it last moved. `labels` are those of its groups."""

    labels: Mapping[str, GroupKey]
    totals: Totals
    figures: Mapping[str, Account]
    sums: tuple[int, ...]
    standings: tuple[Standing, ...]


@dataclass(slots=True)
class Board:
    """Cards of all streams, and their sums. `restless` streams have something waiting, pending or vague.

    `lapsing` streams say something that changes by time alone: server time at which to put them again.
    """

    cards: dict[str, Card] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    sums: list[int] = field(default_factory=lambda: dump_figures(NO_FIGURES))
    restless: set[str] = field(default_factory=set)
    scarred: set[str] = field(default_factory=set)
    groupless: set[str] = field(default_factory=set)
    lapsing: dict[str, float] = field(default_factory=dict)
    measured: int = 0
    headroom: dict[GroupKey, dict[str, int]] = field(default_factory=dict)
    seconds: dict[GroupKey, dict[str, float]] = field(default_factory=dict)
    entries: dict[str, dict[str, int]] = field(default_factory=dict)
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    def put(self, name: str, account: StreamAccount, stream: str, label: Labels, overdue: Mapping[str, int]) -> None:
        """Take in where a stream stands now; `overdue` counts late pending entries per group."""
        self.remove(name)
        labels = {group: label(group) for group in account.groups}
        totals = Totals()
        totals.add(account, stream, {group: key[1] for group, key in labels.items()})
        figures = {group: account.account_of(group) for group in account.groups}
        sums = tuple(sum(ends) for ends in zip(*map(dump_figures, figures.values()), strict=True)) if figures else ()
        groups = account.view.groups if account.present and account.view is not None else {}
        standings = tuple(stand(name, group, account, overdue.get(group, 0)) for group in sorted(groups))
        card = self.cards[name] = Card(labels, totals, figures, sums, standings)
        self._count(card, 1)
        if any(figure.lost.lo for figure in figures.values()):
            self.scarred.add(name)
        if account.present and account.view is not None:
            self._place(name, account, stream, card)

    def _place(self, name: str, account: StreamAccount, stream: str, card: Card) -> None:
        view = account.view
        if view is None:
            return
        self.entries.setdefault(stream, {})[name] = view.length
        if view.last[0] > OLDEST_PLAUSIBLE:
            self.published.setdefault(stream, {})[name] = view.last[0] / 1000
        if not view.groups:
            self.groupless.add(name)
        if any(each.waiting.hi or each.pending or not each.waiting.exact for each in card.standings):
            self.restless.add(name)
            return
        for each in card.standings:
            key = card.labels[each.group]
            _keep_least(self.headroom.setdefault(key, {}), name, each.headroom)
            if each.headroom_seconds is not None:
                self.lapsing[name] = account.now + REFRESH_AFTER
                _keep_least(self.seconds.setdefault(key, {}), name, each.headroom_seconds)

    def remove(self, name: str) -> None:
        """Take a stream off."""
        card = self.cards.pop(name, None)
        if card is None:
            return
        self._count(card, -1)
        for names in (self.restless, self.scarred, self.groupless):
            names.discard(name)
        self.lapsing.pop(name, None)
        for key in card.labels.values():
            self.headroom.get(key, {}).pop(name, None)
            self.seconds.get(key, {}).pop(name, None)
        for stream in card.totals.streams:
            self.entries.get(stream, {}).pop(name, None)
            self.published.get(stream, {}).pop(name, None)

    def _count(self, card: Card, sign: int) -> None:
        self.totals.merge(card.totals, sign)
        self.measured += sign * len(card.standings)
        for index, value in enumerate(card.sums):
            self.sums[index] += sign * value

    def list_stale(self, now: float) -> set[str]:
        """Streams to be put again although they did not move."""
        return self.restless | {name for name, until in self.lapsing.items() if until <= now}

    def list_standings(self) -> list[Standing]:
        """Where the groups of all restless streams stand; of the others nothing waits and nothing pends."""
        return [each for name in sorted(self.restless) for each in self.cards[name].standings]

    def sum_figures(self) -> Account:
        """The sum of all accounts."""
        return load_figures(self.sums)

    def pick(self, limit: int) -> Iterable[str]:
        """Streams that may have the most trouble, and enough others."""
        worst = self.restless | self.scarred
        return worst if len(worst) >= limit else worst.union(sorted(self.cards)[: limit + len(worst)])

    def group_rows(self) -> list[Row]:
        """Gauges per label of groups: sums of entries, the oldest age, the least headroom."""
        members: dict[GroupKey, list[Standing]] = {key: [] for key, found in self.headroom.items() if found}
        for each in self.list_standings():
            members.setdefault(self.cards[each.stream].labels[each.group], []).append(each)
        rows = []
        for key, found in members.items():
            least = min(self.headroom.get(key, {}).values(), default=None)
            seconds = min(self.seconds.get(key, {}).values(), default=None)
            rows.append(Row({"stream": key[0], "group": key[1]}, describe_gauges(found, least, seconds)))
        return rows

    def stream_values(self, stream: str) -> dict[str, float]:
        """Gauges of a label of streams."""
        values = {"stream_entries": float(sum(self.entries.get(stream, {}).values()))}
        times = self.published.get(stream)
        return {**values, "last_published_timestamp_seconds": max(times.values())} if times else values


def _keep_least(found: dict[str, int] | dict[str, float], name: str, value: float) -> None:
    known = found.get(name)
    if known is None or value < known:
        found[name] = value  # type: ignore[assignment]
