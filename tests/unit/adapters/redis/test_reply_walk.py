"""Going over replies by their bytes: whatever a payload holds and however it is cut, the same as a
parser finds.
"""

from __future__ import annotations

import random

from sentinel.adapters.redis.reply_walk import Expected, ReplyWalk, advance, parse_known
from sentinel.errors import TargetError

HOSTILE = [
    b"x",
    b"*6\r\n$6\r\nlength\r\n:1\r\n",
    b"\r\n$6\r\nlength\r\n",
    b"+OK\r\n+QUEUED\r\n",
    b"$-1\r\n",
    b"",
]
CLOCK = [b"1763720000", b"123456"]


def encode(value) -> bytes:
    if isinstance(value, int):
        return b":%d\r\n" % value
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    return b"*%d\r\n" % len(value) + b"".join(map(encode, value))


def make_stream(dice: random.Random) -> list:
    """Replies to XINFO STREAM and XINFO GROUPS, more or less."""
    entry = dice.choice([None, [b"1-0", [b"f", dice.choice(HOSTILE)]]])
    return [
        [b"length", dice.randint(0, 9), b"last-entry", entry, b"z", dice.randint(0, 1)],
        [[b"name", b"g"]],
    ]


def transaction(streams: list[list]) -> bytes:
    count = 1 + 2 * len(streams)
    head = b"+OK\r\n" + b"+QUEUED\r\n" * count + b"*%d\r\n" % count
    return head + encode(CLOCK) + b"".join(encode(reply) for stream in streams for reply in stream)


REFUSED = b"+OK\r\n-NOPERM this user has no permissions to run the 'time' command\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT no\r\n"  # noqa: E501


def walk_in_pieces(walk: ReplyWalk, data: bytes, dice: random.Random) -> int:
    """Feed in pieces of random length; how much was needed."""
    fed = 0
    while True:
        size = dice.randint(1, 60)
        done = walk.feed(data[fed : fed + size])
        fed += size
        if done:
            return fed
        assert fed < len(data)


def test_every_part_is_the_known_one_or_parsed():
    """3,000 random rounds: known, changed, never seen and refused, hostile payloads, cut anywhere."""
    dice = random.Random(1)
    for _ in range(3000):
        streams = [make_stream(dice) for _ in range(dice.randint(1, 4))]
        raws = [b"".join(map(encode, stream)) for stream in streams]
        known = [dice.choice([raw, b"", b"".join(map(encode, make_stream(dice)))]) for raw in raws]
        quiet = encode([[b"name", b"q"]])
        expected = [
            None,
            Expected([2] * len(streams), known),
            Expected([2], [known[0]]),
            quiet,
            b"",
            None,
        ]
        data = encode(b"info") + transaction(streams) + REFUSED + quiet + quiet + encode(b"more")
        walk = ReplyWalk(expected)
        assert walk_in_pieces(walk, data, dice) >= len(data)
        first, got, refused, same, other, last = walk.found
        assert (first, last, same, other.raw) == (b"info", b"more", None, quiet)
        assert got.clock == CLOCK
        for part, stream, raw, before in zip(got.parts, streams, raws, known, strict=True):
            assert (part is None) == (raw == before)
            assert part is None or (part.replies, part.raw) == (stream, raw)
        assert isinstance(refused.refused[1], TargetError)


def test_the_end_of_a_reply_is_found_without_parsing_it():
    """Nested, empty and missing values; -1 for each beginning of a reply."""
    reply = encode([b"a", None, [], [1, [b"\r\n", None]], b""])
    assert advance(bytearray(reply + b":1\r\n"), 0, 1) == (len(reply), 0)
    for n in range(len(reply)):
        position, left = advance(bytearray(reply[:n]), 0, 1)
        assert left
        assert advance(bytearray(reply), position, left) == (len(reply), 0)
    assert parse_known(reply, 1) == [[b"a", None, [], [1, [b"\r\n", None]], b""]]
