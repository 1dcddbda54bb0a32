"""The masters of a Redis cluster, asked of whichever node answers, and a client for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.core.canary.hash_tag import Master
from sentinel.errors import NotMeasurable, TargetError, TargetRejected, TargetUnreachable

Address = tuple[str, int]


class Cluster:
    """Topology of one cluster, from CLUSTER SLOTS. Node addresses must be reachable from here."""

    def __init__(self) -> None:
        self.masters: tuple[Master, ...] = ()
        self._seed: RedisClient | None = None
        self._clients: dict[Address, RedisClient] = {}
        self._last: RedisClient | None = None

    async def look(self, seed: RedisClient) -> tuple[Master, ...]:
        """The masters that serve slots now, by id. Raises TargetError when no known node answers."""
        if seed is not self._seed:
            await self.close()
            self._seed = seed
        errors: list[TargetError] = []
        for client in self._in_order(seed):
            try:
                reply = await client.call("CLUSTER", "SLOTS")
            except TargetUnreachable as error:
                errors.append(error)
                continue
            except TargetRejected as error:
                if "cluster support disabled" in error.message:
                    raise NotMeasurable(
                        "this server is no cluster", "leave out `per_shard`"
                    ) from error
                raise
            self._last = client
            self.masters = parse_slots(reply, seed.host)
            await self._drop_others()
            return self.masters
        raise errors[0]

    def client(self, master: Master) -> RedisClient:
        """The client of a master, made at its first use."""
        assert self._seed is not None  # noqa: S101 - looked at
        address = (master.host, master.port)
        if address not in self._clients:
            self._clients[address] = self._seed.at(*address)
        return self._clients[address]

    async def close(self) -> None:
        """Close the clients made here."""
        clients, self._clients, self._last = self._clients, {}, None
        for client in clients.values():
            await client.close()

    def _in_order(self, seed: RedisClient) -> list[RedisClient]:
        """The node that answered last first: a frozen one costs its timeout only while nobody else
        is known.
        """
        known = [*([self._last] if self._last else []), seed, *self._clients.values()]
        return list(dict.fromkeys(known))

    async def _drop_others(self) -> None:
        """Close clients of nodes that are masters no more."""
        current = {(master.host, master.port) for master in self.masters}
        for address in self._clients.keys() - current:
            if self._clients[address] is not self._last:
                await self._clients.pop(address).close()


def parse_slots(reply: Sequence[Any], asked: str) -> tuple[Master, ...]:
    """CLUSTER SLOTS as masters by id. A node that knows no address of its own is the one that was
    `asked`.
    """
    ranges: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    for first, last, (host, port, name, *_), *_replicas in reply:
        node = (name.decode(), (host or b"").decode() or asked, int(port))
        ranges.setdefault(node, []).append((int(first), int(last)))
    return tuple(Master(*node, tuple(sorted(slots))) for node, slots in sorted(ranges.items()))
