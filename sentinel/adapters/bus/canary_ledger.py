"""The ledger of canaries in Redis: promises, their stream and their totals change together or not
at all.

Each change is one MULTI … EXEC, so that a kill between two instructions neither loses nor doubles a
count (measurement.md §2.2). No KEYS, DEL, CONFIG or EVAL.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, parse_time
from sentinel.adapters.redis.shared import SharedWire
from sentinel.core.canary.hash_tag import tag_of
from sentinel.core.canary.letter import Outcome
from sentinel.core.canary.record import CanaryTally
from sentinel.errors import SubjectError, TargetError

GROUP = "sentinel"
MAXLEN = 1000
_TOTAL = re.compile(rb"\d{1,18}")


@dataclass(frozen=True, slots=True)
class CanaryPlace:
    """Keys of one path, all in one slot: canaries go to `stream` and come back in `inbox`; `base`
    begins the names of ledger, totals and lease. `maxlen`: about so many entries stay in `stream`;
    None: it is not ours to trim."""

    stream: str
    inbox: str
    base: str
    maxlen: int | None = MAXLEN

    @property
    def is_ours(self) -> bool:
        """Whether it begins in a stream of sentinel's own."""
        return self.stream == self.inbox

    @property
    def options(self) -> list[str | int]:
        """Of XADD: a stream of the product is not made."""
        made: list[str | int] = [] if self.is_ours else ["NOMKSTREAM"]
        return [*made, "MAXLEN", "~", self.maxlen] if self.maxlen else made

    @classmethod
    def own(cls, tag: str) -> CanaryPlace:
        """A stream of sentinel's own, in the slot of `tag`."""
        name = f"sentinel:canary:{{{tag}}}"
        return cls(name, name, name)

    @classmethod
    def through(cls, stream: str, path: str, maxlen: int | None) -> CanaryPlace:
        """A stream of the product's; the rest in the same slot. Never made by sentinel, and trimmed
        only on request.
        """
        tag = tag_of(stream)
        base = f"sentinel:canary:{{{tag}}}:{path}"
        return cls(stream, f"sentinel:canary:reply:{{{tag}}}:{path}", base, maxlen)


class CanaryLedger:
    """The promises of one path, in Redis. Every change is one transaction, and its reply feeds the
    tally.
    """

    def __init__(
        self,
        client: RedisClient,
        place: CanaryPlace,
        tally: CanaryTally,
        wire: RedisClient | SharedWire | None = None,
    ) -> None:
        self.client = client
        self._wire = wire or client
        """Over which it speaks: the client's own way, or one connection for all canaries."""
        self.place = place
        self._open = f"{place.base}:ledger"
        self._totals = f"{place.base}:totals"
        self._lease = f"{place.base}:lease"
        self._tally = tally
        self.lock = (
            asyncio.Lock()
        )  # replies must reach the tally in the order in which the server made them

    async def claim(self, seconds: float) -> str:
        """Take or renew the lease on this path; "" when it is ours, else who holds it (host:pid)."""
        ours, ttl = f"{socket.gethostname()}:{os.getpid()}", int(seconds * 1000)
        replies = await self._wire.transaction(
            [("SET", self._lease, ours, "NX", "PX", ttl), ("GET", self._lease)]
        )
        taken, value = _checked(replies)
        holder = (value or b"").decode(errors="replace")
        if taken is None and holder != ours and not _is_dead(holder):
            return holder
        if taken is None:
            await self._wire.call("SET", self._lease, ours, "PX", ttl)
        return ""

    async def publish(self, seq: str, fields: Sequence[bytes], now: float) -> bytes:
        """Promise and send, or neither; the entry's id. Raises TargetError; a refused XADD takes
        the promise back.
        """
        place = self.place
        bound: list[tuple[Any, ...]] = (
            [] if place.is_ours else [("XTRIM", place.inbox, "MAXLEN", "~", MAXLEN)]
        )
        replies = await self._wire.transaction(
            [
                ("ZADD", self._open, now, seq),
                ("XADD", place.stream, *place.options, "*", *fields),
                ("HINCRBY", self._totals, "sent", 1),
                *bound,
            ]
        )
        self._absorb("sent", replies[2], 1)
        if not isinstance(entry := replies[1], bytes):
            await self._take_back(seq)
        _checked(replies)
        if entry is None:
            guidance = "name the stream that the handler reads; sentinel makes none"
            raise SubjectError(f"stream {place.stream} does not exist", guidance)
        return bytes(entry)

    async def _take_back(self, seq: str) -> None:
        replies = await self._wire.transaction(
            [("ZREM", self._open, seq), ("HINCRBY", self._totals, "sent", -1)]
        )
        self._absorb("sent", replies[1], -1)

    async def find(self, *seqs: str) -> tuple[float, set[str]]:
        """(server clock in seconds, those whose promise is still open). Hold the lock until they are
        settled.
        """
        asked = [("ZSCORE", self._open, seq) for seq in seqs]
        clock, *scores = _checked(await self._wire.transaction([("TIME",), *asked]))
        pairs = zip(seqs, scores, strict=True)
        return parse_time(clock), {seq for seq, score in pairs if score is not None}

    async def settle(
        self, outcome: Outcome, seq: str, entries: Sequence[bytes], *extras: str
    ) -> None:
        """Close a promise, once: its entries acknowledged and removed, and counted, in one step.
        Hold the lock.
        """
        await self._count([outcome, *extras], [("ZREM", self._open, seq), *self._gone(*entries)])

    async def dismiss(self, entry: bytes, *extras: str) -> None:
        """Acknowledge an entry that settles nothing. Hold the lock."""
        await self._count(extras, self._gone(entry))

    def _gone(self, *entries: bytes) -> list[tuple[Any, ...]]:
        """Acknowledged and deleted: were the group lost, the new one would read only what is not
        settled.
        """
        inbox = self.place.inbox
        return [("XACK", inbox, GROUP, *entries), ("XDEL", inbox, *entries)] if entries else []

    async def erase(self) -> None:
        """Leave nothing behind: the path is elsewhere from now on. Its totals are ours to keep."""
        place = self.place
        keys = {place.inbox, self._open, self._totals, self._lease}
        _checked(await self._wire.transaction([("EXPIRE", key, 0) for key in sorted(keys)]))
        self._tally.fold()

    async def _count(self, names: Sequence[str], commands: list[tuple[Any, ...]]) -> None:
        counts = [("HINCRBY", self._totals, str(name), 1) for name in names]
        replies = _checked(await self._wire.transaction([*commands, *counts]))
        for name, total in zip(names, replies[len(commands) :], strict=True):
            self._absorb(name, total, 1)

    async def oldest(self, count: int = 1000) -> list[str]:
        """Sequence names of open promises, oldest first."""
        found = await self._wire.call("ZRANGE", self._open, 0, count - 1)
        return [display(seq) for seq in found]

    async def audit(self) -> tuple[int, int]:
        """(open promises, canaries wiped from the server since the last audit): the conservation
        law restored.
        """
        async with self.lock:
            totals, still_open = _checked(
                await self._wire.transaction([("HGETALL", self._totals), ("ZCARD", self._open)])
            )
            said = {
                display(name): int(total)
                for name, total in zip(totals[::2], totals[1::2], strict=True)
                if _TOTAL.fullmatch(total)  # anybody may write into this key
            }
            for name in {*self._tally.mirror, *said}:
                self._tally.absorb(name, said.get(name, 0))
            return int(still_open), max(0, self._tally.rebalance(int(still_open)))

    def _absorb(self, name: str, reply: Any, added: int) -> None:
        if isinstance(reply, int):
            self._tally.absorb(str(name), reply, added)


def _checked(replies: list[Any]) -> list[Any]:
    """The replies, or the first error among them."""
    for reply in replies:
        if isinstance(reply, TargetError):
            raise reply
    return replies


def _is_dead(holder: str) -> bool:
    """Whether the lease's holder was a process of this machine that is no more: a killed sentinel's
    lease is free.
    """
    host, _, pid = holder.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
