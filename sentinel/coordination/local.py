"""The coordinator of one machine, on the embedded store: one member owns all shards under a growing
epoch.

A second daemon that gets past the lock of the state folder takes over with a newer epoch: the first
one is fenced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from sentinel.coordination import ClaimPolicy, Participant, Placement, Refused, View
from sentinel.core.component.incident import Event
from sentinel.core.model import Attempt
from sentinel.errors import ActionRefused, StateError
from sentinel.store import Changes, Fence, Store

PATIENCE = 10.0
"""Seconds within which the store has to answer."""
SIGN_EVERY = 30.0
"""Seconds between two signs of life in the ledger. Whether somebody has taken over is asked at each
tick, and costs no write; after an error the ledger is written to at once, to know whether it can be.
"""


class Writer(Protocol):
    """The one thread that writes to the store."""

    async def record(self, changes: Changes) -> None:
        """Commit, or keep for later while the disk fails."""
        ...

    async def call(self, function: Callable[[], Any], patience: float | None = None) -> Any:
        """Run a function of the store after everything that was recorded before; StateStalled when
        it lasts longer.
        """
        ...


class LocalCoordinator:
    """All shards are ours, until somebody joins after us."""

    def __init__(self, store: Store, writer: Writer, utcnow: Callable[[], datetime]) -> None:
        self._store = store
        self._writer = writer
        self._utcnow = utcnow
        self._me = Participant("", utcnow())
        self._epoch = 0
        self._mine = View()
        self._signed: datetime | None = None
        """When the ledger was written to last, and took it."""

    async def start(self, me: Participant) -> None:
        """Take every shard under a new epoch."""
        self._me, self._mine = me, View()
        self._epoch = await self._call(lambda: self._store.join(me.id, me.started))

    async def tick(self, want: Placement) -> View:
        """Whether our epoch is still the newest; StateError when the store can't be asked."""
        now, signed = self._utcnow(), self._signed
        due = signed is None or abs((now - signed).total_seconds()) >= SIGN_EVERY
        sign = now if due else None
        newest = await self._call(lambda: self._store.newest_epoch(self._me.id, sign))
        self._signed = now if due else signed
        if len(self._mine.owned) != want.shards:
            self._mine = View(dict.fromkeys(range(want.shards), self._epoch))
        if newest == self._epoch:
            return self._mine
        reason = f"another sentinel has taken over this state (epoch {newest}, ours {self._epoch})"
        return replace(self._mine, reason=reason)

    async def release(self, watermarks: Mapping[int, str]) -> None:
        """Note how far each shard was worked through; nobody else takes them."""
        await self._call(lambda: self._store.set_watermarks(watermarks))

    async def claim_attempt(
        self, attempt: Attempt, shard: int, policy: ClaimPolicy, events: Sequence[Event] = ()
    ) -> Attempt | Refused:
        """One transaction with full sync: fence, cap and number are checked where they are written."""
        claimed = replace(attempt, epoch=self._epoch)
        fence = Fence(self._me.id, self._epoch, shard, policy.max_attempts, policy.concurrent)
        try:
            await self._call(lambda: self._store.claim_attempt(claimed, fence))
        except ActionRefused as refusal:
            return Refused(refusal.message)
        await self._writer.record(
            Changes(events=[(attempt.incident, attempt.intended, event, {}) for event in events])
        )
        return claimed

    async def finish_attempt(self, attempt: Attempt, events: Sequence[Event] = ()) -> None:
        """Outcome and timeline in one transaction, later if the disk fails now."""
        now = self._utcnow()
        lines: list[tuple[str, datetime, Event, Mapping[str, Any]]] = [
            (attempt.incident, now, event, {}) for event in events
        ]
        await self._writer.record(Changes(attempts=[attempt], events=lines))

    async def _call(self, function: Callable[[], Any]) -> Any:
        waiting: Awaitable[Any] = self._writer.call(function, PATIENCE)
        try:
            return await waiting
        except StateError:
            self._signed = None
            raise
