"""What a Redis sends is bounded before it is parsed, however it is cut into pieces."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import hiredis
import pytest

from sentinel.adapters.redis.gate import MAX_BYTES, MAX_LINE, GatedReader, TooMuch

GIANT = b"*100000000\r\n"


def read(reader: GatedReader, data: bytes, size: int) -> list[Any]:
    """The replies to what comes in pieces of so many bytes."""
    found = []
    for n in range(0, len(data), size):
        reader.feed(data[n : n + size])
        while (reply := reader.gets()) is not False:
            found.append(reply)
    return found


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("before", [b"", b":1\r\n", b"*3\r\n:1\r\n", bulk(b"x" * 500)])
def test_a_giant_list_is_refused(before: bytes, size: int) -> None:
    """Before the parser makes room for it."""
    with pytest.raises(TooMuch, match="99,999 places"):
        read(GatedReader(), before + GIANT, size)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_text_may_look_like_a_giant(size: int) -> None:
    """And what comes behind it is gone over again."""
    text = b"\r\n" + GIANT * 5 + b"x" * 300
    data = b"*2\r\n" + bulk(text) + bulk(text) + b":7\r\n"
    reader = GatedReader()
    assert read(reader, data, size) == [[text, text], 7]
    assert not reader.has_data()
    with pytest.raises(TooMuch):
        read(reader, b"*2\r\n" + bulk(text) + GIANT, size)


def test_a_line_and_a_sum_without_end_are_refused() -> None:
    """Each at its limit."""
    with pytest.raises(TooMuch, match="line"):
        read(GatedReader(), b"+" + b"a" * (MAX_LINE + 2), 65536)
    reader = GatedReader()
    with pytest.raises(TooMuch, match="at once"):
        read(reader, b"$99999999999\r\n" + b"a" * (MAX_BYTES + 1), 1 << 20)


def test_limits_begin_anew_with_each_whole_reply() -> None:
    """A connection lives long."""
    reader, text = GatedReader(), bulk(b"x" * (MAX_BYTES // 2))
    for _ in range(3):
        assert len(read(reader, text, 1 << 20)) == 1


def test_a_long_text_is_not_kept_twice() -> None:
    """The parser has it; of ours it takes no more than a line."""
    reader, piece = GatedReader(), b"a" * 65536
    reader.feed(b"$33554432\r\n")
    tracemalloc.start()
    try:
        for _ in range(500):
            reader.feed(piece)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * MAX_LINE


def test_limits_hold_between_the_places_of_a_list() -> None:
    """A list that comes place by place is one reply."""
    reader, place = GatedReader(), bulk(b"x" * (1 << 20))
    reader.feed(b"*99999\r\n")
    with pytest.raises(TooMuch, match="at once"):
        read(reader, place * 64, len(place))


def test_it_reads_what_the_parser_reads() -> None:
    """Random sound replies, cut at random."""
    draw = random.Random(11)
    wide = b"*100000\r\n"[:6] + b"\r\n" + b":1\r\n" * 10000
    pool = [b":7\r\n", b"$-1\r\n", b"*0\r\n", b"+a\r\n", bulk(GIANT), bulk(b"\r\n")]
    for turn in range(200):
        parts = [draw.choice(pool) for _ in range(draw.randint(1, 12))] + [wide] * (turn % 50 == 0)
        data = b"*%d\r\n%s" % (len(parts), b"".join(parts))
        oracle = hiredis.Reader()
        oracle.feed(data)
        assert read(GatedReader(), data, draw.randint(1, 60)) == [oracle.gets()]
