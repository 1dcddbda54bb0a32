"""Names to addresses in threads of our own: a name that hangs starves neither other names nor the
loop's pool.

asyncio resolves in its default executor (cpus + 4 threads): six hung names there stop every check
that goes by name (reliability.md §1.2). Here each look-up has its own thread, one per name at a
time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sentinel.errors import NotMeasurable

Address = tuple[socket.AddressFamily, str, int]
Lookup = Callable[..., list[Any]]


class Resolver:
    """Resolves within `deadline` seconds; at most `limit` names may be under way at once.

    A second request for a name that is under way joins the first, so a name that hangs costs one
    thread.
    """

    __slots__ = ("_deadline", "_limit", "_lookup", "_pending")

    def __init__(
        self, *, lookup: Lookup = socket.getaddrinfo, deadline: float = 2.0, limit: int = 8
    ) -> None:
        self._lookup = lookup
        self._deadline = deadline
        self._limit = limit
        self._pending: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """(family, IP address, port) in the order to try; an IP address is its own answer. Raises
        NotMeasurable.
        """
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        future = self._pending.get((host, port)) or self._begin(host, port)
        done, _ = await asyncio.wait({future}, timeout=self._deadline)
        if not done:
            raise NotMeasurable(
                f"name resolution: no answer for {host!r} within {self._deadline:g} s",
                "look at the name servers of this machine, or use an IP address",
                code="DNS",
            )
        return future.result()

    def _begin(self, host: str, port: int) -> asyncio.Future[list[Address]]:
        if len(self._pending) >= self._limit:
            raise NotMeasurable(
                f"name resolution: {len(self._pending)} names are still without an answer",
                "look at the name servers of this machine",
                code="DNS",
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Address]] = loop.create_future()
        future.add_done_callback(_retrieved)
        self._pending[host, port] = future

        def settle(found: list[Address] | NotMeasurable) -> None:
            self._pending.pop((host, port), None)
            if isinstance(found, NotMeasurable):
                future.set_exception(found)
            else:
                future.set_result(found)

        def work() -> None:
            found = self._resolve(host, port)
            with suppress(RuntimeError):  # the loop ended before the name server answered
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
        return future

    def _resolve(self, host: str, port: int) -> list[Address] | NotMeasurable:
        try:
            found = self._lookup(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            return NotMeasurable(
                f"name resolution: {host!r}: {text}", "correct the name of the host", code="DNS"
            )
        return [(family, address[0], port) for family, _type, _protocol, _name, address in found]


@lru_cache(maxsize=16_384)
def _literal(host: str, port: int) -> Address | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return (socket.AF_INET6 if version == 6 else socket.AF_INET), host, port


def _retrieved(future: asyncio.Future[list[Address]]) -> None:
    """Mark the exception as seen: the one who asked may have given up."""
    if not future.cancelled():
        future.exception()
