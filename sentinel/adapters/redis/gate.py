"""What a server sends is bounded before it is parsed.

Twelve bytes, `*100000000`, have the parser make a list of so many places: a second of a standing
event loop, and twenty for two thousand million. A text that never ends fills the memory.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

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
    """`hiredis.Reader` behind limits; raises what `redis` raises for replies that are none.

    Of what the parser holds, only what is still to be gone over is kept a second time: of a text
    that has not come in whole, its length.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._reader = hiredis.Reader(**options)
        self._nothing = options.get("notEnoughData", False)
        self._kept = bytearray()
        self._text_left = self._total = 0

    def feed(self, data: bytes) -> None:
        """Take in bytes. Raises TooMuch."""
        self._total += len(data)
        if self._total > MAX_BYTES:
            self._refuse(f"more than {MAX_BYTES >> 20} MiB of replies at once")
        kept, inside = self._kept, min(self._text_left, len(data))
        self._text_left -= inside
        start = max(0, len(kept) - _HEAD)
        kept += data[inside:] if inside else data
        if _GIANT.search(kept, start) or len(kept) > MAX_LINE:
            self._walk()
        self._reader.feed(data)

    def gets(self, *arguments: Any) -> Any:
        """The next whole reply, or what stands for none."""
        try:
            reply = self._reader.gets(*arguments)
        except (TypeError, MemoryError, ValueError) as error:
            raise rx.InvalidResponse(f"a reply that can't be: {type(error).__name__}") from error
        # `has_data` alone is not enough: the parser has taken up the `*` of a list that has no length
        # yet, and it has none left between the places of a list.
        if reply is not self._nothing and not self._reader.has_data():
            self._kept.clear()
            self._text_left = self._total = 0
        return reply

    def has_data(self) -> bool:
        """Whether bytes wait for the rest of their reply."""
        return bool(self._reader.has_data())

    def _walk(self) -> None:
        """Over all that has come in: what looks like a giant may stand in a text."""
        kept, position = self._kept, 0
        while (end := kept.find(_LINE, position)) >= 0:
            kind, number = kept[position], read_length(kept[position + 1 : end])
            if kind in _LISTS and number > MAX_PLACES:
                self._refuse(f"a list of more than {MAX_PLACES:,} places")
            position = end + 2
            if kind in _TEXTS and number >= 0:
                position += number + 2
        self._text_left = max(0, position - len(kept))
        del kept[:position]
        if len(kept) > MAX_LINE:
            self._refuse(f"a line of more than {MAX_LINE >> 10} KiB")

    def _refuse(self, what: str) -> NoReturn:
        """Let go of what has come first: whoever keeps the error would keep it, too."""
        self._reader = hiredis.Reader(**self._options)
        self._kept.clear()
        raise TooMuch(f"own limit: {what}")


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
