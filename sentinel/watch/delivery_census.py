"""Which streams there are, which of them are new, and whose turn it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sentinel.adapters.bus.stream_reader import StreamScan
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, is_text
from sentinel.core.bus.delivery import Calls
from sentinel.core.bus.finding import find_unjudged, find_unwatched
from sentinel.core.bus.naming import list_literals
from sentinel.core.fault import Fault
from sentinel.watch.scope import Scope

SCAN_STEPS = 20
MAX_ODD_NAMES = 20


class Absence(NamedTuple):
    """When a stream was proven not to be there: server time in seconds, and what had run till then
    (None: nobody knows).
    """

    at: float = 0.0
    calls: Calls | None = None

    def dump(self) -> list[Any]:
        """JSON-able document."""
        return [self.at, None if self.calls is None else list(self.calls)]

    @classmethod
    def load(cls, document: Sequence[Any]) -> Absence:
        """What `dump` gave."""
        at, calls = document
        return cls(at, None if calls is None else Calls(*calls))


NEVER = Absence()
Newcomers = dict[str, Absence | None]
"""Streams seen for the first time: when they were proven absent, None when they never were."""


@dataclass(slots=True)
class TurnOrder:
    """Streams take turns when there are more than a run may look at."""

    order: list[bytes] = field(default_factory=list)
    place: int = 0

    def reset(self) -> None:
        """Streams came or went: the order is made anew."""
        self.order = []

    def take(self, names: Iterable[str], limit: int) -> list[bytes]:
        """The streams of this run: all, or the next so many in turn."""
        if not self.order:
            self.order = sorted(name.encode() for name in names)
        order, begin = self.order, self.place
        if len(order) <= limit:
            return list(order)
        self.place = (begin + limit) % len(order)
        return (order[begin:] + order[:begin])[:limit]


@dataclass(slots=True)
class StreamCensus:
    """What the discovery of streams remembers.

    `untracked` are streams that matched and had no room at the last complete discovery (None: there
    was none yet), `absent` ones that are named and were not there, `foreign` keys that match no
    pattern. `begun` is when the discovery began that goes on, `proven` when the last complete one
    did: what that one did not find was not there before.
    """

    scan: StreamScan = field(default_factory=StreamScan)
    untracked: set[str] | None = None
    absent: set[str] = field(default_factory=set)
    patterns: list[list[str]] = field(default_factory=list)
    foreign: set[bytes] = field(default_factory=set)
    turns: TurnOrder = field(default_factory=TurnOrder)
    begun: Absence = NEVER
    proven: Absence = NEVER

    def apply(self, scope: Scope) -> bool:
        """Take other patterns than last time: what they add was not watched. True when so."""
        patterns = [list(scope.include), list(scope.exclude)]
        if patterns == self.patterns:
            return False
        self.patterns, self.scan = patterns, StreamScan()
        self.untracked, self.absent, self.foreign = None, set(), set()
        return True

    async def discover(
        self,
        client: RedisClient,
        scope: Scope,
        known: Collection[str],
        asked: Collection[bytes],
        faults: list[Fault],
        now: Absence,
    ) -> Newcomers:
        """Streams that are new, given those whose accounts are `known` and keys `asked` about;
        what is absent `now` was not there at the last look.

        Streams are literal names first, then what a complete SCAN found and there is room for.
        """
        fresh = (name for name in scope.literals if name not in known)
        literals: Newcomers = {name: now if name in self.absent else None for name in fresh}
        if len(scope.literals) == len(scope.include):
            return literals
        if not (self.scan.cursor or self.scan.found):
            self.begun = now
        found = await self.scan.advance(client, SCAN_STEPS)
        if found is None:
            return literals
        proven, self.proven = self.proven, self.begun
        names = self._find_fresh(found, scope, {*known, *literals}, asked, faults)
        return {**literals, **self._admit(names, scope, len(known) + len(literals), proven, faults)}

    def _admit(
        self,
        fresh: Sequence[str],
        scope: Scope,
        known: int,
        proven: Absence,
        faults: list[Fault],
    ) -> Newcomers:
        """Those of the new ones for which there is room."""
        free = max(0, scope.max_streams - known)
        room = min(free, scope.streams_per_run)
        before, self.untracked = self.untracked, set(fresh[room:])
        if len(fresh) > free:
            faults.append(find_unwatched(len(fresh) - free, scope.max_streams))
        watched = before is not None
        return {n: proven if watched and n not in (before or ()) else None for n in fresh[:room]}

    def _find_fresh(
        self,
        found: set[bytes],
        scope: Scope,
        known: Container[str],
        asked: Collection[bytes],
        faults: list[Fault],
    ) -> list[str]:
        """Names that match and have no account yet; odd ones become faults."""
        self.foreign &= found
        unknown = found.difference(asked, self.foreign)
        faults += _find_odd_names(unknown, scope)
        texts = {key.decode() for key in unknown if is_text(key)}
        matching = {name for name in texts if scope.has_stream(name)}
        self.foreign |= {name.encode() for name in texts - matching}
        return sorted(name for name in matching if name not in known)

    @property
    def literals(self) -> set[str]:
        """Streams that the patterns name without a wildcard."""
        return set(list_literals(self.patterns[0])) if self.patterns else set()


def _find_odd_names(keys: Iterable[bytes], scope: Scope) -> list[Fault]:
    odd = [display(key) for key in sorted(keys) if not is_text(key)]
    matching = [name for name in odd if scope.has_stream(name)][:MAX_ODD_NAMES]
    return [find_unjudged(n, "the stream's name is not UTF-8", _exclude(n)) for n in matching]


def _exclude(name: str) -> str:
    words = json.dumps([name], ensure_ascii=False)
    return f"rename it, or exclude it with streams.exclude: {words}"
