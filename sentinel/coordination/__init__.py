"""Who owns which checks, and fenced attempts. One protocol; `local` for one machine, others only
swap the object.

Checks and components fall into 4096 shards by name. A daemon schedules what is in the shards it
owns, and every claim of an attempt carries the epoch under which it owns the shard (scale.md §4.1,
§4.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sentinel.core.component.incident import Event
from sentinel.core.model import Attempt
from sentinel.core.schedule import SHARDS


@dataclass(frozen=True, slots=True)
class Participant:
    """One daemon. `id` is unique for every start."""

    id: str
    started: datetime


@dataclass(frozen=True, slots=True)
class Placement:
    """What a daemon is ready to own."""

    shards: int = SHARDS


@dataclass(frozen=True, slots=True)
class View:
    """What a tick learned. `owned` has the epoch of each owned shard.

    With a `reason` nothing may be acted upon; probing goes on with the last assignment.
    """

    owned: Mapping[int, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A claim that was not granted."""

    reason: str


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """What the ledger itself enforces, beside the epoch: the cap of an incident, and attempts
    running at once.
    """

    max_attempts: int
    concurrent: int


class Coordinator(Protocol):
    """Membership, shards and the ledger of attempts."""

    async def start(self, me: Participant) -> None:
        """Join. StateError when that can't be written."""
        ...

    async def tick(self, want: Placement) -> View:
        """Sign of life; the members and what is owned now."""
        ...

    async def release(self, watermarks: Mapping[int, str]) -> None:
        """Give shards up in order, each with how far it was worked through."""
        ...

    async def claim_attempt(
        self, attempt: Attempt, shard: int, policy: ClaimPolicy, events: Sequence[Event] = ()
    ) -> Attempt | Refused:
        """Write an intent before its act, with the owner's epoch in it. StateError: it can't be
        journaled.
        """
        ...

    async def finish_attempt(self, attempt: Attempt, events: Sequence[Event] = ()) -> None:
        """Write what became of an attempt, and the lines about it in the incident's timeline."""
        ...
