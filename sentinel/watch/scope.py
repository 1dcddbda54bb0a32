"""What a check watches of a bus, and what one look at it brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sentinel.adapters.bus.stream import SCRATCH_PREFIX, PendingEntry
from sentinel.adapters.bus.stream_reader import Reading
from sentinel.adapters.redis.reply import is_missing
from sentinel.core.bus.delivery import Id, Settlement, StreamAccount
from sentinel.core.bus.delivery.window import Mishap
from sentinel.core.bus.naming import list_literals, matches
from sentinel.core.fault import Fault
from sentinel.errors import TargetError

_ANSWER_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Scope:
    """Which streams and groups are watched: glob patterns; at most how many streams, and how many
    of them a run; which groups each stream must have.
    """

    include: Sequence[str]
    exclude: Sequence[str]
    groups: Sequence[str]
    not_groups: Sequence[str]
    max_streams: int
    streams_per_run: int = 1000
    required: Sequence[str] = ()

    def has_stream(self, name: str) -> bool:
        """Whether a stream is watched. Sentinel's own scratch keys never are."""
        own = name.startswith(SCRATCH_PREFIX)
        return not own and matches(name, self.include) and not matches(name, self.exclude)

    def has_group(self, name: str) -> bool:
        """Whether a group is watched."""
        return matches(name, self.groups) and not matches(name, self.not_groups)

    @property
    def literals(self) -> list[str]:
        """Includes without a wildcard: read directly, without SCAN."""
        return list_literals(self.include)

    @property
    def literal_groups(self) -> list[str]:
        """Groups named without a wildcard."""
        return list_literals(self.groups)


@dataclass(slots=True)
class BusSight:
    """What one look brought, besides the accounts: for the verdict and the evidence of this run.

    `settlements` by stream; `overdue` lists late pending entries by stream and group.
    """

    now: float = 0.0
    settlements: dict[str, list[Settlement]] = field(default_factory=dict)
    mishaps: list[Mishap] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    overdue: dict[tuple[str, str], list[PendingEntry]] = field(default_factory=dict)
    info: dict[str, str] = field(default_factory=dict)
    fed: set[str] = field(default_factory=set)
    read: int = 0

    def settle(self, stream: str, settled: list[Settlement]) -> None:
        """Note what was settled of a stream."""
        if settled:
            self.settlements.setdefault(stream, []).extend(settled)


def leave_out(reading: Reading, scope: Scope, judged: dict[str, bool]) -> Reading:
    """Without the groups that are not watched. `judged` remembers: thousands of streams share few
    group names.
    """
    view = reading.view
    if view is None:
        return reading
    for name in view.groups:
        if name not in judged:
            judged[name] = scope.has_group(name)
    if all(map(judged.__getitem__, view.groups)):
        return reading
    groups = {name: group for name, group in view.groups.items() if judged[name]}
    others = frozenset(view.groups.keys() - groups.keys())
    return replace(reading, view=replace(view, groups=groups, others=others))


def answer_cap(account: StreamAccount) -> int:
    """List at most so many entries that a reply stays under a few megabytes."""
    size = account.view.entry_bytes if account.view else 0
    return max(10, min(1000, _ANSWER_BYTES // max(1, size)))


def listing_cap(account: StreamAccount) -> int:
    """As `answer_cap`, for what came since the last look: entries that must be counted one by one."""
    size = account.view.entry_bytes if account.view else 0
    return max(10, min(10_000, 2 * _ANSWER_BYTES // max(1, size)))


def groups_with_old_pending(account: StreamAccount, upto: Id) -> list[str]:
    """Groups whose oldest pending entry has an id up to this one, or may have."""
    view = account.view
    if view is None:
        return []
    return [
        name
        for name, group in view.groups.items()
        if group.pending and (group.oldest_pending is None or group.oldest_pending <= upto)
    ]


def describe_error(error: TargetError) -> tuple[str, str]:
    """(problem, remedy) of the error of one stream."""
    if error.code == "WRONGTYPE":
        remedy = "the key holds another type: correct streams.include, or exclude this key"
        return error.message, remedy
    if is_missing(error):
        remedy = "create it by publishing, or correct streams.include"
        return "the stream does not exist", remedy
    return error.message, error.guidance or "look at the message"
