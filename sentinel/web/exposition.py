"""/metrics: in which format, made in slices between which others are served, compressed off the
loop, sent in pieces.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from sentinel.web.shared import Shared

METRICS_EVERY = 1.0
"""Seconds for which one render of /metrics is shared: scrapers can't make us render more often."""
SLICE = 0.001
"""Seconds for which we render before others have their turn. Who is due just then waits for two."""
SENT = 64 * 1024
"""Bytes of text that are worth a write of their own."""
PACKED = 256 * 1024
"""Bytes of text that are compressed in one go, in a thread."""
GZIP = 16 + zlib.MAX_WBITS
FASTEST = 1
"""The level: the next ones save 3 % of the bytes and take twice the time."""
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
PLAIN_1 = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Pieces = Callable[[bool], Iterator[bytes]]
"""`pieces(openmetrics)`: the text bit by bit; an empty piece is a good moment to rest."""
Settle = Callable[[], Awaitable[None]]
"""Writes down what totals were counted."""


def choose_format(accept: str) -> str:
    """The content type for an Accept header: the one that is wanted most, 0.0.4 where none is."""
    for name, given in _by_wish(accept):
        version = given.get("version", "")
        if name == "application/openmetrics-text" and version in {"", "1.0.0"}:
            return OPENMETRICS
        if name == "text/plain":
            return PLAIN_1 if version == "1.0.0" else PLAIN
    return PLAIN


def accepts_gzip(encodings: str) -> bool:
    """Whether an Accept-Encoding header names gzip, or anything."""
    wanted = [name for name, _ in _by_wish(encodings)]
    refused = "gzip" in encodings and "gzip" not in wanted
    return not refused and bool({"gzip", "*"} & set(wanted))


def _by_wish(header: str) -> list[tuple[str, dict[str, str]]]:
    """Names of a header with their parameters, the most wanted first; q=0 is not wanted."""
    found = []
    for part in header.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        given = dict(each.split("=", 1) for each in parameters if "=" in each)
        if weight := _weight(given.get("q", "1")):
            found.append((weight, name, given))
    found.sort(key=lambda each: -each[0])
    return [(name, given) for _, name, given in found]


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


async def keep_nothing() -> None:
    """Where no total outlives its process."""


@dataclass(slots=True)
class Sheet:
    """One rendered exposition, in pieces; compressed once, for the first who wants it so."""

    text: Sequence[bytes]
    _packing: asyncio.Task[list[bytes]] | None = field(default=None, repr=False)

    async def packed(self) -> Sequence[bytes]:
        """With gzip."""
        if self._packing is None:
            self._packing = asyncio.create_task(pack(self.text))
        return await asyncio.shield(self._packing)


class MetricsPage:
    """The exposition in both formats, each shared for METRICS_EVERY; one is made at a time."""

    def __init__(
        self, pieces: Pieces, monotonic: Callable[[], float], settle: Settle = keep_nothing
    ) -> None:
        self._pieces, self._settle, self._lock = pieces, settle, asyncio.Lock()
        self._sheets = {
            openmetrics: Shared(self._make(openmetrics), METRICS_EVERY, monotonic)
            for openmetrics in (False, True)
        }

    def _make(self, openmetrics: bool) -> Callable[[], Awaitable[Sheet]]:
        async def make() -> Sheet:
            async with self._lock:
                sheet = Sheet(await gather_pieces(self._pieces(openmetrics)))
            await self._settle()  # a total that was shown does not go back by a kill
            return sheet

        return make

    async def get(self, content_type: str) -> Sheet:
        """The sheet of a format."""
        return await self._sheets[content_type == OPENMETRICS].get()


async def gather_pieces(pieces: Iterator[bytes]) -> list[bytes]:
    """The text in pieces of at least SENT bytes; the loop serves others after each SLICE."""
    found, waiting, size, rested = [], list[bytes](), 0, time.perf_counter()
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= SENT:
            found.append(b"".join(waiting))
            waiting, size = [], 0
        if time.perf_counter() - rested > SLICE:
            await asyncio.sleep(0)
            rested = time.perf_counter()
    return [*found, b"".join(waiting)]


async def pack(text: Sequence[bytes]) -> list[bytes]:
    """Compressed in a thread, PACKED bytes at a time: zlib lets the loop run meanwhile."""
    packer = zlib.compressobj(FASTEST, zlib.DEFLATED, GZIP)
    found, waiting, size = [], [], 0
    for piece in text:
        waiting.append(piece)
        size += len(piece)
        if size >= PACKED:
            found.append(await asyncio.to_thread(packer.compress, b"".join(waiting)))
            waiting, size = [], 0
    found.append(await asyncio.to_thread(packer.compress, b"".join(waiting)))
    found.append(packer.flush())
    return [piece for piece in found if piece]


class SheetPayload(Payload):
    """Pieces of known length. Each waits until the one before it is taken, so a slow reader costs
    no memory; when it has had its time the page ends the connection.
    """

    _value: Sequence[bytes]

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__(pieces)
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text, which only makes sense for what is not packed."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """One after the other, with a turn for others in between."""
        for piece in self._value:
            await writer.write(piece)
            await asyncio.sleep(0)


def make_answer(content_type: str, pieces: Sequence[bytes], *, packed: bool) -> web.Response:
    """An answer that is sent in pieces."""
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=SheetPayload(pieces), headers=headers)
