"""A TCP relay with switches for every way in which a network fails, and a port that swallows
connections.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Relays to 127.0.0.1:`upstream`, which may be pointed elsewhere at any time; new connections
    follow it.

    Switches: `piece` and `delay` cut replies into pieces of so many bytes, so many seconds apart;
    `cut` resets a connection after so many reply bytes; `swallow` drops the reply to a request that
    holds these bytes, once, and resets; `frozen` holds everything back, also new connections, until
    it is cleared.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.piece = 0
        self.delay = 0.0
        self.cut: int | None = None
        self.swallow = b""
        self.swallowed = 0
        self.connections = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: dict[_Link, asyncio.Task[None] | None] = {}

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        tasks = [task for task in self._links.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.reset()

    @property
    def frozen(self) -> bool:
        """Whether nothing flows."""
        return not self._flowing.is_set()

    @frozen.setter
    def frozen(self, value: bool) -> None:
        self._flowing.clear() if value else self._flowing.set()

    def reset(self) -> None:
        """Reset every connection."""
        for link in list(self._links):
            link.reset()

    def forget(self) -> None:
        """Half-open: the far end of every connection is gone, without a FIN; new connections work."""
        for link in self._links:
            link.forgotten = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(reader, writer)
        self._links[link] = asyncio.current_task()
        try:
            await self._serve(link)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.pop(link)
            link.close()

    async def _serve(self, link: _Link) -> None:
        await self._flowing.wait()
        await link.connect(self.upstream)
        pumps = [
            asyncio.create_task(self._requests(link)),
            asyncio.create_task(self._replies(link)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self, link: _Link) -> None:
        while data := await link.reader.read(65536):
            await self._flowing.wait()
            if link.forgotten:
                continue
            if self.swallow and self.swallow in data:
                link.swallowing, self.swallow = True, b""
            link.far_writer.write(data)

    async def _replies(self, link: _Link) -> None:
        sent = 0
        while data := await link.far_reader.read(65536):
            await self._flowing.wait()
            if link.forgotten:
                continue
            if link.swallowing:
                self.swallowed += 1
                link.reset()
                return
            for start in range(0, len(data), self.piece or len(data)):
                piece = data[start : start + (self.piece or len(data))]
                if self.cut is not None and sent + len(piece) > self.cut:
                    link.writer.write(piece[: self.cut - sent])
                    await asyncio.sleep(0.01)
                    link.reset()
                    return
                sent += len(piece)
                link.writer.write(piece)
                await asyncio.sleep(self.delay)


class _Link:
    """Both halves of one relayed connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.swallowing = self.forgotten = False

    async def connect(self, port: int) -> None:
        """Open the far half."""
        self.far_reader, self.far_writer = await asyncio.open_connection("127.0.0.1", port)

    def reset(self) -> None:
        """End the near half with a RST."""
        with suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET
            )
        self.writer.transport.abort()

    def close(self) -> None:
        """End both halves."""
        self.writer.close()
        if hasattr(self, "far_writer"):
            self.far_writer.close()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue is full: a connect is neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        try:
            yield address[1]
        finally:
            for filler in fillers:
                filler.close()
