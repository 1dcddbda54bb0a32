"""One file per kind of cleaning. A kind is a value: options, a look that only reads, and an act
that re-checks.

What is decided elsewhere and holds for all of them: dry run, cap, kill switch, audit, holds after a
failover (engine/housekeeper.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sentinel.adapters.bus.housekeeping import BusCleaner, StreamShape
from sentinel.core.bus.housekeeping import MAX_SAMPLES, Done, Refusal, Survey, Target
from sentinel.core.bus.naming import matches
from sentinel.errors import SubjectError
from sentinel.shelf import LazyShelf

MAX_STREAMS = 20_000
OWN_KEYS = "sentinel:*"


class ChoreOptions(BaseModel):
    """Base of every kind's options: strict, frozen, unknown keys refused. Its fields are the YAML
    keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ChoreStreams(ChoreOptions):
    """Which streams: glob patterns. Nothing is cleaned that was not named."""

    include: list[str] = Field(
        min_length=1,
        description="glob patterns of the streams to clean",
        examples=['["orders:*"]'],
    )
    exclude: list[str] = Field([], description="glob patterns that win over include")


class ChoreGroups(ChoreOptions):
    """Which consumer groups: glob patterns."""

    include: list[str] = Field(
        ["*"], min_length=1, description="glob patterns of the groups to clean"
    )
    exclude: list[str] = Field([], description="glob patterns that win over include")


@dataclass(slots=True)
class Room:
    """What a kind may use in one look or act.

    `seen`: the life signs of every stream that was looked at; `troubles`: streams that can't be
    judged, and why.
    """

    cleaner: BusCleaner
    seen: dict[str, tuple[int, str]] = field(default_factory=dict)
    troubles: list[Refusal] = field(default_factory=list)

    async def find_streams(self, streams: ChoreStreams, *spared: str) -> list[str]:
        """Streams in scope, sorted; sentinel's own keys and those `spared` never are."""
        found: set[str] = set()
        for pattern in streams.include:
            found |= await self.cleaner.find_streams(pattern, MAX_STREAMS)
        if len(found) >= MAX_STREAMS:
            text = f"more than {MAX_STREAMS:,} streams match: only some of them are looked at"
            self.troubles.append(
                Refusal("too_many", ", ".join(streams.include), text, "make several chores of it")
            )
        barred = [*streams.exclude, OWN_KEYS]
        return sorted(key for key in found if not matches(key, barred) and key not in spared)[
            :MAX_STREAMS
        ]

    async def shape(self, key: str) -> StreamShape | None:
        """One stream now; None when it is gone, or holds something else."""
        try:
            shape = await self.cleaner.read_shape(key)
        except SubjectError as error:
            self.troubles.append(Refusal("subject", key, error.message, error.guidance))
            return None
        if shape is not None:
            self.seen[key] = (shape.added, shape.last)
        return shape

    async def find_groups(
        self, streams: ChoreStreams, groups: ChoreGroups, *spared: str
    ) -> list[tuple[str, str]]:
        """Every (stream, group) in scope."""
        found = []
        for key in await self.find_streams(streams, *spared):
            shape = await self.shape(key)
            names = [group.name for group in shape.groups] if shape else []
            found += [
                (key, name)
                for name in names
                if matches(name, groups.include) and not matches(name, groups.exclude)
            ]
        return found


@dataclass(frozen=True, slots=True)
class ChoreKind:
    """A kind of cleaning: everything that the rest of sentinel needs to know of it.

    `survey` only reads. `recount` looks again at exactly one target of a survey. `act` cleans one
    portion of a target, at most `portion` things, with one command that re-checks; what changed
    since the look it leaves.
    `parameters` are the options that a person may give for one plan. `by_hand`: never on a
    schedule. `whole`: one refusal refuses all of it, but for entries in work, which stay anyway.
    """

    name: str
    summary: str
    options: type[ChoreOptions]
    noun: str
    survey: Callable[[Any, Room], Awaitable[Survey]]
    recount: Callable[[Any, Room, Target], Awaitable[int]]
    act: Callable[[Any, Room, Target], Awaitable[Done]]
    portion: int = 100
    parameters: tuple[str, ...] = ()
    by_hand: bool = False
    whole: bool = False


def load_chores() -> Mapping[str, ChoreKind]:
    """Every kind of chore by name: a new file is a new kind, nothing else is edited."""
    return LazyShelf(__name__, ChoreKind, "KIND")


_WORDS = {
    "acknowledged": "acknowledged meanwhile",
    "moved_already": "held by another consumer meanwhile",
    "in_work": "delivered too lately: it may be in work",
    "few_deliveries": "delivered less often than the limit",
    "payload_gone": "its payload is gone: trimmed before it was acknowledged",
    "no_heir": "the consumer that was to take it is not there, or silent",
    "pending": "a consumer holds entries",
    "heard": "a consumer was heard of meanwhile",
    "missing": "gone already",
    "type": "a key of a type that is not to be cleaned",
    "has_groups": "a stream with consumer groups",
    "has_ttl": "a key that has a TTL",
    "in_use": "a key that was used lately",
}


def read_verdicts(target: Target, verdicts: Sequence[str], done: str) -> Done:
    """What one command did, from the verdict per thing."""
    left = [verdict for verdict in verdicts if verdict != done]
    refusals = [
        Refusal(reason, target.place, _WORDS.get(reason, reason), count=left.count(reason))
        for reason in sorted(set(left))
    ]
    return Done(len(verdicts) - len(left), tuple(refusals))


def samples_of(items: Sequence[str]) -> tuple[str, ...]:
    """The first few, to be shown."""
    return tuple(items[:MAX_SAMPLES])
