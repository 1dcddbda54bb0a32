"""The ledger of canaries in Redis: promises, their stream and their totals change together or not at all.

Each change is one MULTI … EXEC, so that a kill between two instructions neither loses nor doubles a
count (measurement.md §2.2). No KEYS, DEL, CONFIG or EVAL.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.core.canary import Outcome, Tally
from sentinel.errors import TargetError

GROUP = "sentinel"
MAXLEN = 1000


class Ledger:
    """The promises of one path, in Redis. Every change is one transaction, and its reply feeds the tally."""

    def __init__(self, client: RedisClient, path: str, tally: Tally) -> None:
        self.client = client
        self.stream = f"sentinel:canary:{{{path}}}"
        self._open = f"{self.stream}:ledger"
        self._totals = f"{self.stream}:totals"
        self._lease = f"{self.stream}:lease"
        self._tally = tally
        self.lock = asyncio.Lock()  # replies must reach the tally in the order in which the server made them

    async def claim(self, seconds: float) -> str:
        """Take or renew the lease on this path; "" when it is ours, else who holds it (host:pid)."""
        ours, ttl = f"{socket.gethostname()}:{os.getpid()}", int(seconds * 1000)
        replies = await self.client.transaction([("SET", self._lease, ours, "NX", "PX", ttl), ("GET", self._lease)])
        taken, value = _checked(replies)
        holder = (value or b"").decode(errors="replace")
        if taken is None and holder != ours and not _is_dead(holder):
            return holder
        if taken is None:
            await self.client.call("SET", self._lease, ours, "PX", ttl)
        return ""

    async def publish(self, seq: str, fields: Sequence[bytes], now: float) -> None:
        """Promise and send, or neither. Raises TargetError; a refused XADD takes the promise back."""
        replies = await self.client.transaction(
            [
                ("ZADD", self._open, now, seq),
                ("XADD", self.stream, "MAXLEN", "~", MAXLEN, "*", *fields),
                ("HINCRBY", self._totals, "sent", 1),
            ]
        )
        self._absorb("sent", replies[2], 1)
        if isinstance(replies[1], TargetError):
            await self._take_back(seq)
        _checked(replies)

    async def _take_back(self, seq: str) -> None:
        replies = await self.client.transaction([("ZREM", self._open, seq), ("HINCRBY", self._totals, "sent", -1)])
        self._absorb("sent", replies[1], -1)

    async def find(self, seq: str) -> tuple[float, bool]:
        """(server clock in seconds, whether the promise is still open). Hold the lock until it is settled."""
        clock, score = _checked(await self.client.transaction([("TIME",), ("ZSCORE", self._open, seq)]))
        return int(clock[0]) + int(clock[1]) / 1e6, score is not None

    async def settle(self, outcome: Outcome, seq: str, entry: bytes | None, *extras: str) -> None:
        """Close a promise, once: acknowledged, removed and counted in one step. Hold the lock."""
        await self._count([outcome, *extras], [("ZREM", self._open, seq), *self._gone(entry)])

    async def dismiss(self, entry: bytes, *extras: str) -> None:
        """Acknowledge an entry that settles nothing. Hold the lock."""
        await self._count(extras, self._gone(entry))

    def _gone(self, entry: bytes | None) -> list[tuple[Any, ...]]:
        """Acknowledged and deleted: were the group lost, the new one would read only what is not settled."""
        if entry is None:
            return []
        return [("XACK", self.stream, GROUP, entry), ("XDEL", self.stream, entry)]

    async def _count(self, names: Sequence[str], commands: list[tuple[Any, ...]]) -> None:
        counts = [("HINCRBY", self._totals, str(name), 1) for name in names]
        replies = _checked(await self.client.transaction([*commands, *counts]))
        for name, total in zip(names, replies[len(commands) :], strict=True):
            self._absorb(name, total, 1)

    async def oldest(self, count: int = 1000) -> list[str]:
        """Sequence names of open promises, oldest first."""
        return [seq.decode() for seq in await self.client.call("ZRANGE", self._open, 0, count - 1)]

    async def audit(self) -> tuple[int, int]:
        """(open promises, canaries wiped from the server since the last audit): the conservation law restored."""
        async with self.lock:
            totals, still_open = _checked(
                await self.client.transaction([("HGETALL", self._totals), ("ZCARD", self._open)])
            )
            said = {name.decode(): int(total) for name, total in zip(totals[::2], totals[1::2], strict=True)}
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
    """Whether the lease's holder was a process of this machine that is no more: a killed sentinel's lease is free."""
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
