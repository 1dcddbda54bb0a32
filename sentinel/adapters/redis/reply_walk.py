"""Goes through the replies to many transactions as they arrive; what equals the last time is
skipped by its bytes.

A reply describes its own length, so bytes at its beginning that equal a whole known reply *are*
that reply: nothing needs to be parsed to know that a stream did not change. What differs goes
through `hiredis.Reader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redis import exceptions as rx

from sentinel.adapters.redis.gate import MAX_BYTES, MAX_LINE, MAX_PLACES, TooMuch, read_length
from sentinel.adapters.redis.resp import make_reader

_LINE = b"\r\n"
_BULK, _ARRAY = ord("$"), ord("*")
_FIRST_FIELD = b"\r\n$6\r\nlength\r\n"
"""How every reply to XINFO STREAM begins, after its own length."""
_COMPACT_AT = 2**20


@dataclass(frozen=True, slots=True)
class Expected:
    """A transaction that begins with TIME: for each part the number of its replies, and its known
    bytes or b"".
    """

    counts: Sequence[int]
    known: Sequence[bytes]


@dataclass(slots=True)
class Part:
    """Replies that are not the known ones, and their bytes."""

    replies: list[Any]
    raw: bytes


@dataclass(slots=True)
class Got:
    """What a transaction gave: `clock` is the reply to TIME, a part is None where it is the known
    one.

    `refused`: all its replies, when the server did not run it as a whole.
    """

    clock: list[bytes]
    parts: list[Part | None]
    refused: list[Any] | None = None


class ReplyWalk:
    """Feed it bytes until it says that everything has come. What it is to expect, one after
    another: a transaction, None for one plain reply, or the known bytes of a plain reply: that
    gives a Part, or None where it is the known one.
    """

    def __init__(self, expected: Sequence[Expected | bytes | None], head: bytes = b"") -> None:
        self.found: list[Any] = []
        self._expected = expected
        self._buffer = bytearray()
        self._position = 0
        self._head = head
        self._reader = make_reader()
        self._skipped: dict[int, tuple[int, int]] = {}
        """Of each reply that begins there: how far it was gone over, and how many parts are left."""

    def feed(self, data: bytes) -> bool:
        """Take in bytes; True when all replies are there. Raises InvalidResponse for what are none."""
        self._buffer += data
        if len(self._buffer) - self._position > MAX_BYTES:
            self._buffer.clear()  # whoever keeps the error would keep it, too
            raise TooMuch(f"own limit: more than {MAX_BYTES >> 20} MiB of replies at once")
        while len(self.found) < len(self._expected):
            if not self._step(self._expected[len(self.found)]):
                return False
        return True

    @property
    def head(self) -> bytes:
        """How this server's replies to XINFO STREAM begin: tell the next walk."""
        return self._head

    def _step(self, expected: Expected | bytes | None) -> bool:
        """Go over one transaction, or nothing when it has not come yet in whole."""
        if self._position > _COMPACT_AT:
            self._skipped.clear()
            del self._buffer[: self._position]
            self._position = 0
        start = self._position
        found: Any
        if isinstance(expected, Expected):
            found, end = self._take_transaction(start, expected)
        else:
            found, end = (
                self._take_plain(start) if expected is None else self._take_known(start, expected)
            )
        if end < 0:
            return False
        self.found.append(found)
        self._position = end
        self._skipped.clear()
        return True

    def _take_plain(self, start: int) -> tuple[Any, int]:
        end = self._skip(start)
        return (self._parse(start, end, 1)[0] if end > 0 else None), end

    def _take_known(self, start: int, known: bytes) -> tuple[Part | None, int]:
        if known and self._buffer.startswith(known, start):
            return None, start + len(known)
        end = self._skip(start)
        if end < 0:
            return None, -1
        return Part(self._parse(start, end, 1), bytes(self._buffer[start:end])), end

    def _take_transaction(self, start: int, expected: Expected) -> tuple[Got | None, int]:
        buffer, total = self._buffer, 1 + sum(expected.counts)
        usual = _usual_head(total)
        there = bytes(buffer[start : start + len(usual)])
        if there != usual:
            return (None, -1) if usual.startswith(there) else self._take_refused(start, total + 2)
        position = self._skip(start + len(usual))
        if position < 0:
            return None, -1
        clock = bytes(buffer[start + len(usual) : position]).split(_LINE)[2:5:2]
        parts: list[Part | None] = []
        for count, known in zip(expected.counts, expected.known, strict=True):
            if known and buffer.startswith(known, position):
                parts.append(None)
                position += len(known)
                continue
            part = self._take_part(position, count)
            if part is None:
                return None, -1
            parts.append(part)
            position += len(part.raw)
        return Got(clock, parts), position

    def _take_refused(self, start: int, count: int) -> tuple[Got | None, int]:
        end = self._skip_many(start, count)
        return (Got([], [], self._parse(start, end, count)) if end > 0 else None), end

    def _take_part(self, start: int, count: int) -> Part | None:
        """Replies up to where the next part seems to begin; when that was wrong, up to where they
        really end.
        """
        head = self._head
        guess = self._buffer.find(head, start + len(head)) if head else -1
        if guess > 0:
            raw = bytes(self._buffer[start:guess])
            replies = self._try(raw, count)
            if replies is not None:
                return Part(replies, raw)
        end = self._skip_many(start, count)
        if end < 0:
            return None
        raw = bytes(self._buffer[start:end])
        self._head = self._head or _find_head(raw)
        return Part(self._parse(start, end, count), raw)

    def _skip(self, start: int) -> int:
        """Where the reply that begins here ends, -1 when it has not come in whole. What was gone
        over before is not gone over again for each byte that comes.
        """
        position, left = self._skipped.get(start, (start, 1))
        position, left = advance(self._buffer, position, left)
        self._skipped[start] = position, left
        return -1 if left else position

    def _skip_many(self, position: int, count: int) -> int:
        for _ in range(count):
            position = self._skip(position)
            if position < 0:
                break
        return position

    def _try(self, raw: bytes, count: int) -> list[Any] | None:
        """The replies, if these bytes are exactly so many; else None."""
        self._reader.feed(raw)
        replies = [self._reader.gets() for _ in range(count)]
        if replies[-1] is not False and not self._reader.has_data():
            return replies
        self._reader = make_reader()
        return None

    def _parse(self, start: int, end: int, count: int) -> list[Any]:
        """Raises InvalidResponse."""
        replies = self._try(bytes(self._buffer[start:end]), count)
        if replies is None:
            raise rx.InvalidResponse("replies do not end where they say")
        return replies


def parse_known(raw: bytes, count: int) -> list[Any]:
    """The replies in bytes that a walk gave."""
    reader = make_reader()
    reader.feed(raw)
    return [reader.gets() for _ in range(count)]


def advance(buffer: bytearray, position: int, left: int) -> tuple[int, int]:
    """Over so many replies, as far as they have come in whole: where that is, and what is left.
    RESP2. Raises InvalidResponse for what can't be a reply.
    """
    while left:
        end = buffer.find(_LINE, position)
        if end < 0:
            if len(buffer) - position > MAX_LINE:
                raise TooMuch(f"own limit: a line of more than {MAX_LINE >> 10} KiB")
            break
        sort, after, more = buffer[position], end + 2, 0
        if sort == _BULK:
            size = read_length(buffer[position + 1 : end])
            after += size + 2 if size >= 0 else 0
        elif sort == _ARRAY:
            more = max(0, read_length(buffer[position + 1 : end]))
        if after > len(buffer):
            break
        position, left = after, left - 1 + more
        if left > MAX_PLACES:
            raise TooMuch(f"own limit: a list of more than {MAX_PLACES:,} places")
    return position, left


@lru_cache(maxsize=64)
def _usual_head(total: int) -> bytes:
    return b"+OK\r\n" + b"+QUEUED\r\n" * total + b"*%d\r\n" % total


def _find_head(raw: bytes) -> bytes:
    place = raw.find(_FIRST_FIELD, 0, 32)
    return raw[: place + len(_FIRST_FIELD)] if place > 0 else b""
