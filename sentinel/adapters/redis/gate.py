"""What a server sends is bounded before it is parsed.

Twelve bytes, `*100000000`, have the parser make a list of so many places: a second of a standing
event loop, and twenty for two thousand million. A text that never ends fills the memory.
"""

from __future__ import annotations

import re
from typing import Any

import hiredis
from redis import exceptions as rx
from redis._parsers import _AsyncHiredisParser
from redis._parsers.hiredis import NOT_ENOUGH_DATA

MAX_BYTES = 64 << 20
"""Bytes of replies that have not come in whole, or of one write's replies."""
MAX_PLACES = 99_999
"""Places of one list; the largest that sentinel asks for has 40,000."""
MAX_LINE = 1 << 20
"""Bytes of a line: the parser looks for its end anew with each piece that comes."""
_GIANT = re.compile(rb"[*%~>|][+0]*[0-9]{6}")
_NUMBER = re.compile(rb"[+-]?[0-9]+")
_HEAD = 24
"""Bytes that may lie before the end of a piece, as the beginning of a giant."""
_LINE = b"\r\n"
_LISTS = b"*%~>|"
_TEXTS = b"$=!"


class TooMuch(rx.InvalidResponse):
    """A reply is larger than sentinel takes: its own limit."""


class GatedReader:
    """`hiredis.Reader` behind limits; raises what `redis` raises for replies that are none."""

    def __init__(self, **options: Any) -> None:
        self._reader = hiredis.Reader(**options)
        self._kept = bytearray()
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Take in bytes. Raises TooMuch."""
        kept = self._kept
        start = max(0, len(kept) - _HEAD)
        kept += data
        if len(kept) > MAX_BYTES:
            raise TooMuch(f"own limit: more than {MAX_BYTES >> 20} MiB of replies at once")
        if _GIANT.search(kept, start) or len(kept) - self._position > MAX_LINE:
            self._walk()
        self._reader.feed(data)

    def gets(self, *arguments: Any) -> Any:
        """The next whole reply, or what stands for none."""
        try:
            reply = self._reader.gets(*arguments)
        except (TypeError, MemoryError, ValueError) as error:
            raise rx.InvalidResponse(f"a reply that can't be: {type(error).__name__}") from error
        if not self._reader.has_data():
            self._kept.clear()
            self._position = 0
        return reply

    def has_data(self) -> bool:
        """Whether bytes wait for the rest of their reply."""
        return bool(self._reader.has_data())

    def _walk(self) -> None:
        """Over all that has come in: what looks like a giant may stand in a text."""
        kept, position = self._kept, self._position
        while (end := kept.find(_LINE, position)) > 0:
            kind, number = kept[position], read_length(kept[position + 1 : end])
            if kind in _LISTS and number > MAX_PLACES:
                raise TooMuch(f"own limit: a list of more than {MAX_PLACES:,} places")
            after = end + 2
            if kind in _TEXTS and number >= 0:
                after += number + 2
            if after > len(kept):
                break
            position = after
        self._position = position
        if end < 0 and len(kept) - position > MAX_LINE:
            raise TooMuch(f"own limit: a line of more than {MAX_LINE >> 10} KiB")


def read_length(word: bytes | bytearray) -> int:
    """The length in a head; 0 of what is none, which the parser refuses."""
    return int(word) if len(word) < 20 and _NUMBER.fullmatch(word) else 0


class GatedParser(_AsyncHiredisParser):
    """redis-py's parser over a gated reader."""

    def on_connect(self, connection: Any) -> None:
        """As its parent, with our reader."""
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        reader: Any = GatedReader(
            protocolError=rx.InvalidResponse,
            replyError=self.parse_error,
            notEnoughData=NOT_ENOUGH_DATA,
        )
        self._reader = reader
