"""The page while it is served: application, door and end of both."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from sentinel.web.access import KEEPER
from sentinel.web.door import Door, DoorGuard, DoorLimits
from sentinel.web.refusals import RefusalBook
from sentinel.web.visitor import VisitorLimits

SHUT_WITHIN = 0.5
"""Seconds that an answer under way may take when sentinel ends."""


class OpenPage:
    """Open until `close`."""

    def __init__(
        self, runner: web.AppRunner, door: Door, address: tuple[str, int], *, encrypted: bool
    ) -> None:
        self._runner, self.door, self.address = runner, door, address
        self.used = runner.app[KEEPER].used
        """By name, when each token was used last."""
        self._scheme = "https" if encrypted else "http"

    @property
    def url(self) -> str:
        """Where it really is: the port may have been left to the system."""
        host, port = self.address
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Let nobody in, and put everybody out."""
        self.door.close()
        await self._runner.cleanup()
        self.door.clear()


async def open_page(
    application: web.Application,
    host: str,
    sockets: Sequence[socket.socket],
    *,
    count: Callable[[str], None] = lambda _why: None,
    raised: Callable[[], None] = lambda: None,
    limits: DoorLimits | None = None,
    visitor_limits: VisitorLimits | None = None,
    guard: DoorGuard | None = None,
) -> OpenPage:
    """Serve an application on bound sockets. `count` is told why each visitor was refused, `raised`
    when code of ours raised.
    """
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, shutdown_timeout=SHUT_WITHIN
    )
    await runner.setup()
    server = runner.server
    if server is None:
        raise RuntimeError("a runner that is set up has a server")
    guard = guard or DoorGuard()
    door = Door(server, RefusalBook(count), raised, limits, visitor_limits, guard)
    door.open(sockets)
    address = (host, sockets[0].getsockname()[1])
    return OpenPage(runner, door, address, encrypted=guard.certificate() is not None)
