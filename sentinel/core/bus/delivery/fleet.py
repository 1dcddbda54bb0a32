"""Many streams as few rows: totals and worst ages per configured pattern, so that labels stay
bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from sentinel.core.bus.age import find_age, is_sharp
from sentinel.core.bus.delivery.account import EMPTY, StreamAccount
from sentinel.core.bus.delivery.group import DELIVERY_OUTCOMES, OUTCOMES, GroupAccount
from sentinel.core.bus.delivery.lineage import REASONS
from sentinel.core.model import Row
from sentinel.core.quantity import Bounds

GroupKey = tuple[str, str]
Counts = tuple[int, ...]
_AT = attrgetter("at")


@dataclass(slots=True)
class Totals:
    """Sums of counters per label; those of streams that are gone for ever stay here."""

    streams: dict[str, dict[str, int]] = field(default_factory=dict)
    groups: dict[GroupKey, dict[str, int]] = field(default_factory=dict)

    def add(self, account: StreamAccount, stream: str, group_labels: Mapping[str, str]) -> None:
        """Add the counters of one stream."""
        self.shift_stream(stream, (), count_stream(account))
        for name, group in account.groups.items():
            self.shift_group((stream, group_labels[name]), (), count_group(group))

    def shift_stream(self, stream: str, before: Counts, now: Counts) -> None:
        """What one stream contributes was `before`, and is `now`."""
        sums = self.streams.get(stream)
        if sums is None:
            sums = self.streams[stream] = dict.fromkeys(STREAM_COUNTERS, 0)
        _shift(sums, STREAM_COUNTERS, before, now)

    def shift_group(self, key: GroupKey, before: Counts, now: Counts) -> None:
        """What one group contributes was `before`, and is `now`."""
        sums = self.groups.get(key)
        if sums is None:
            sums = self.groups[key] = dict.fromkeys(GROUP_COUNTERS, 0)
        _shift(sums, GROUP_COUNTERS, before, now)

    def merge(self, other: Totals) -> None:
        """Add the counters of `other`."""
        for mine, theirs in ((self.streams, other.streams), (self.groups, other.groups)):
            _merge(mine, theirs)

    def touch(self, streams: Iterable[str], groups: Iterable[str]) -> None:
        """Create label sets at zero."""
        for stream in streams:
            self.streams.setdefault(stream, dict.fromkeys(STREAM_COUNTERS, 0))
            for group in groups:
                self.groups.setdefault((stream, group), dict.fromkeys(GROUP_COUNTERS, 0))

    def copy(self) -> Totals:
        """An independent copy."""
        return Totals(
            {label: dict(sums) for label, sums in self.streams.items()},
            {label: dict(sums) for label, sums in self.groups.items()},
        )

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        return {
            "streams": self.streams,
            "groups": [[*key, sums] for key, sums in self.groups.items()],
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Totals:
        """What `dump` gave."""
        groups = {(stream, group): dict(sums) for stream, group, sums in document["groups"]}
        return cls({label: dict(sums) for label, sums in document["streams"].items()}, groups)

    def rows(self) -> list[Row]:
        """Counters as rows."""
        rows = []
        for stream, sums in self.streams.items():
            values = {counter: float(sums[counter]) for counter in STREAM_COUNTERS[:3]}
            rows.append(Row({"stream": stream}, values))
            rows += [
                Row(
                    {"stream": stream, "reason": reason},
                    {"stream_resets_total": float(sums[reason])},
                )
                for reason in REASONS
            ]
        for (stream, group), sums in self.groups.items():
            labels = {"stream": stream, "group": group}
            rows.append(
                Row(labels, {counter: float(sums[counter]) for counter in GROUP_COUNTERS[-3:]})
            )
            rows += [
                Row({**labels, "outcome": outcome}, {"settled_total": float(sums[outcome])})
                for outcome in OUTCOMES
            ]
            rows += [
                Row(
                    {**labels, "outcome": outcome}, {"delivery_settled_total": float(sums[counter])}
                )
                for outcome, counter in DELIVERY_COUNTERS.items()
            ]
        return rows


def _merge(mine: dict[Any, dict[str, int]], theirs: Mapping[Any, Mapping[str, int]]) -> None:
    for label, values in theirs.items():
        sums = mine.get(label)
        if sums is None:
            sums = mine[label] = dict.fromkeys(values, 0)
        for counter, value in values.items():
            sums[counter] = sums.get(counter, 0) + value


def _shift(sums: dict[str, int], names: Sequence[str], before: Counts, now: Counts) -> None:
    if before == now:
        return
    for name, old, new in zip(
        names, before or (0,) * len(names), now or (0,) * len(names), strict=True
    ):
        if old != new:
            sums[name] += new - old


DELIVERY_COUNTERS = {outcome: f"deliver_{outcome}" for outcome in DELIVERY_OUTCOMES}
"""By the deadline to deliver: outcome and the name of its counter here, for two outcomes share
theirs with OUTCOMES.
"""
STREAM_COUNTERS = (
    "published_total",
    "removed_entries_total",
    "rolled_back_entries_total",
    *REASONS,
)
GROUP_COUNTERS = (
    *OUTCOMES,
    *DELIVERY_COUNTERS.values(),
    "lost_before_read_total",
    "lost_before_read_uncertain_total",
    "dropped_uncertain_total",
)


def count_stream(account: StreamAccount) -> Counts:
    """The counters of a stream, as STREAM_COUNTERS names them."""
    return (
        account.published,
        account.removed,
        account.rolled_back,
        *map(account.resets.__getitem__, REASONS),
    )


def count_group(group: GroupAccount) -> Counts:
    """The counters of a group, as GROUP_COUNTERS names them."""
    settled, reached = group.settled, group.reached
    outcomes = map(settled.__getitem__, OUTCOMES)
    return *outcomes, *map(reached.__getitem__, DELIVERY_OUTCOMES), *group.counted


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one group on one stream stands now. Ages in seconds, None when there is nothing; those
    that are not timed count from the first look that saw the entry: it is at least so old. More may
    be overdue when that is not sharp. A `missing` group is required and not there.
    """

    stream: str
    group: str
    waiting: Bounds
    pending: int
    overdue: int
    oldest_waiting: float | None
    oldest_pending: float | None
    headroom: int
    headroom_seconds: float | None
    waiting_timed: bool = True
    pending_timed: bool = True
    overdue_sharp: bool = True
    missing: bool = False


def stand(stream: str, name: str, account: StreamAccount, overdue: int) -> Standing:
    """Read the standing of a group from its stream's account."""
    group, view = account.groups[name], account.view or EMPTY
    now = view.groups[name]
    rate = find_publish_rate(account)
    headroom = bound_headroom(account, name).lo
    waiting = find_age(group.oldest_waiting, account.now, account.anchors)
    pending = find_age(now.oldest_pending, account.now, account.anchors)
    return Standing(
        stream,
        name,
        group.waiting,
        now.pending,
        overdue,
        waiting.seconds if waiting else None,
        pending.seconds if pending else None,
        headroom,
        headroom / rate if rate > 0 else None,
        waiting is None or waiting.timed,
        pending is None or pending.timed,
        not now.pending or is_sharp(account.now - account.deadlines.ack, account.anchors),
        now.missing,
    )


def describe_gauges(
    found: Sequence[Standing], headroom: int | None, seconds: float | None
) -> dict[str, float]:
    """Gauges of the groups with one label: of those in `found`, and the least headroom of those
    that rest.
    """
    rooms = [each.headroom for each in found] + ([] if headroom is None else [headroom])
    times = [each.headroom_seconds for each in found if each.headroom_seconds is not None]
    times += [] if seconds is None else [seconds]
    values = {
        "waiting_entries": float(sum(each.waiting.hi for each in found)),
        "waiting_exact": float(all(each.waiting.exact for each in found)),
        "oldest_waiting_age_seconds": max(
            [each.oldest_waiting or 0.0 for each in found], default=0.0
        ),
        "pending_entries": float(sum(each.pending for each in found)),
        "oldest_pending_age_seconds": max(
            [each.oldest_pending or 0.0 for each in found], default=0.0
        ),
        "pending_overdue_entries": float(sum(each.overdue for each in found)),
        "trim_headroom_entries": float(min(rooms)),
    }
    return {**values, "trim_headroom_seconds": min(times)} if times else values


def find_publish_rate(account: StreamAccount, window: float = 60.0) -> float:
    """Entries per second over about the last `window` seconds, 0 when it can't be told."""
    if not account.anchors:
        return 0.0
    begin = bisect_left(account.anchors, account.now - window, key=_AT)
    # why `min`: when every anchor is older than the window, the newest one is
    old = account.anchors[min(begin, len(account.anchors) - 1)]
    seconds = account.now - old.at
    return ((account.view or EMPTY).added - old.rank) / seconds if seconds > 0 else 0.0


def bound_headroom(account: StreamAccount, name: str) -> Bounds:
    """Entries already read but still kept: so many publishes until the first unread one is
    trimmed (measurement.md §1.5).
    """
    group, length = account.groups[name], (account.view or EMPTY).length
    return Bounds(max(0, length - group.waiting.hi), max(0, length - group.waiting.lo))
