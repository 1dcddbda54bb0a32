"""What a Redis that is none may answer: from a seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import hiredis

from tests.hostile import Draw, Script, drip

_SOUND = (
    b"+OK\r\n",
    b":7\r\n",
    b"$2\r\nab\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"-ERR no\r\n",
    b"+QUEUED\r\n",
    b"*2\r\n$10\r\n1700000000\r\n$1\r\n5\r\n",
    b"*2\r\n$1\r\n0\r\n*0\r\n",
    b"$12\r\nrole:master\r\n\r\n",
    b"*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
    b"$7\r\nwelcome\r\n",
)
_ODD = (
    b"%1\r\n+a\r\n:1\r\n",
    b"%1\r\n*0\r\n+b\r\n",
    b"~2\r\n:1\r\n:1\r\n",
    b",1.5\r\n",
    b",nan\r\n",
    b"_\r\n",
    b"#t\r\n",
    b"(123456789012345678901234567890\r\n",
    b"(" + b"9" * 5000 + b"\r\n",
    b"=7\r\ntxt:abc\r\n",
    b">2\r\n+push\r\n+x\r\n",
    b"|1\r\n+a\r\n+b\r\n:1\r\n",
    b":99999999999999999999999\r\n",
    b":-\r\n",
    b"$-5\r\n",
    b"*-7\r\n",
    b"$9223372036854775807\r\nx",
    b"*100000000\r\n",
    b"*2000000000\r\n",
    b"*4294967295\r\n",
    b"%999999999\r\n",
    b"~1000000000\r\n",
    b">77777777\r\n",
    b"*999999\r\n" * 8,
    b"*1\r\n" * 100_000,
    b"*2\r\n:1\r\n" * 50_000,
    b"-" + b"E" * 1_000_000 + b"\r\n",
    b"-\r\n",
    b"+\xff\xfe\x00\r\n",
    b"-ERR \x1b[31m\x00\r\n",
    b"?\r\n",
    b"\x00" * 64,
    b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"$3\r\nabcdef\r\n",
    b"*2\r\n$1\r\na",
    b"$11\r\nused_memory\r\n",
    b"$30\r\nused_memory:99999999999999999\r\n\r\n",
    b"$25\r\ncmdstat_xadd:calls=abc,\r\n\r\n"[:-2],
    b"*2\r\n$3\r\n1-1\r\n:1\r\n",
    b"*2\r\n:1\r\n:2\r\n",
    b"*3\r\n+a\r\n+b\r\n+c\r\n",
    b"*1\r\n*1\r\n*1\r\n$-1\r\n",
    b"$1000000\r\n" + b"a" * 1_000_000 + b"\r\n",
)


def make_redis(seed: int, count: int) -> Iterator[Script]:
    """So many scripts of a Redis that is none."""
    draw = Draw(seed)
    for n in range(count):
        way = draw.random()
        name = f"redis {seed}/{n}"
        if n < len(_ODD):
            yield Script(name, (_ODD[n] * draw.choice((1, 3, 40)),), hang_up=draw.random() < 0.5)
        elif way < 0.45:
            many = draw.randint(1, 30)
            pool = _SOUND + tuple(each for each in _ODD if len(each) < 5000)
            said = b"".join(draw.choice(pool) for _ in range(many))
            yield Script(name, (said,), hang_up=draw.random() < 0.5)
        elif way < 0.6:
            whole = b"".join(draw.choice(_SOUND) for _ in range(draw.randint(1, 9)))
            yield Script(name, (whole[: draw.randrange(len(whole))],))
        elif way < 0.7:
            yield drip(name, b"".join(draw.choice(_SOUND + _ODD[:20]) for _ in range(9)))
        elif way < 0.8:
            endless = draw.choice(
                (b"a" * 65536, b":1\r\n" * 9999, b"*1\r\n", b"+PONG\r\n" * 999, b"\0" * 65536)
            )
            start = draw.choice((b"", b"$99999999999\r\n", b"*999999\r\n", b"+", b"-"))
            yield Script(name, (start, endless), forever=True)
        else:
            yield Script(
                name, (draw.randbytes(draw.randint(1, 3000)),), hang_up=draw.random() < 0.5
            )


class AlmostRedis:
    """Answers each command as Redis does, but for a few parts of its answers."""

    def __init__(
        self, draw: Draw, others: Mapping[str, bytes] | None = None, *, spoils: bool = True
    ) -> None:
        self._draw = draw
        self._answers = {**_ANSWERS, **(others or {})}
        self._chance = draw.choice((0.02, 0.1, 0.5)) if spoils else 0
        self._victim = draw.choice([*_ANSWERS, ""])
        self._queue: list[bytes] | None = None
        self._reader = hiredis.Reader()

    def __call__(self, request: bytes) -> bytes:
        if request.startswith(b"GET "):  # who asks what answers here speaks HTTP, too
            return b"-ERR Protocol error\r\n"
        self._reader.feed(request)
        said = b""
        while (words := self._reader.gets()) is not False:
            said += self._answer([word.decode("utf-8", "replace").upper() for word in words])
        return said or b"\r\n"

    def _answer(self, words: list[str]) -> bytes:
        if words[0] == "MULTI":
            self._queue = []
            return b"+OK\r\n"
        if words[0] == "EXEC":
            queue, self._queue = self._queue or [], None
            return self._spoil("EXEC", b"*%d\r\n%s" % (len(queue), b"".join(queue)))
        name = " ".join(words[:2]) if words[0] == "XINFO" else words[0]
        answer = self._spoil(name, self._answers.get(name, b"+OK\r\n"))
        if self._queue is None:
            return answer
        self._queue.append(answer)
        return b"+QUEUED\r\n"

    def _spoil(self, name: str, answer: bytes) -> bytes:
        draw = self._draw
        if (name != self._victim and self._victim) or draw.random() >= self._chance * 2:
            return answer
        if draw.random() < 0.3:
            return draw.choice((*_SOUND, *(each for each in _ODD if len(each) < 200)))
        parts = answer.split(b"\r\n")[:-1]
        n = draw.randrange(len(parts))
        parts[n] = draw.choice(
            (b":-7", b":99999999", b"$-1", b"+x", b"*0", b"_", b"#t", b",1.5", b"9" * 30, b"")
        )
        return b"\r\n".join(parts) + b"\r\n"


def pack(value: object) -> bytes:
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(pack, value))
    if isinstance(value, str):
        return b"$%d\r\n%s\r\n" % (len(value), value.encode())
    return b"$-1\r\n" if value is None else b":%d\r\n" % value  # type: ignore[str-format]


_NOW = str(int(time.time()))
_ENTRY = [f"{_NOW}000-0", ["f", "v", "task_id", "t"]]
_STREAM = [
    "length",
    3,
    "radix-tree-keys",
    1,
    "last-generated-id",
    f"{_NOW}000-0",
    "max-deleted-entry-id",
    "0-0",
    "entries-added",
    3,
    "recorded-first-entry-id",
    "1-0",
    "groups",
    1,
    "first-entry",
    _ENTRY,
    "last-entry",
    _ENTRY,
]
_GROUP = [
    "name",
    "g",
    "consumers",
    1,
    "pending",
    1,
    "last-delivered-id",
    "2-0",
    "entries-read",
    2,
    "lag",
    1,
]
_INFO = "\r\n".join(
    (
        "redis_version:7.2.0",
        "run_id:abc",
        "role:master",
        "used_memory:1000",
        "maxmemory:0",
        "evicted_keys:0",
        "expired_keys:0",
        "rejected_connections:0",
        "blocked_clients:0",
        "aof_delayed_fsync:0",
        "uptime_in_seconds:7",
        "second_repl_offset:-1",
        "cmdstat_xadd:calls=3,usec=1,usec_per_call=1.0,rejected_calls=0,failed_calls=0",
        "cmdstat_xdel:calls=1,usec=1,failed_calls=1",
        "",
    )
)
_ANSWERS = {
    name: pack(value)
    for name, value in {
        "INFO": _INFO,
        "TIME": [_NOW, "5"],
        "SET": "OK",
        "GET": None,
        "SCAN": ["0", ["agent:a"]],
        "TYPE": "stream",
        "XINFO STREAM": _STREAM,
        "XINFO GROUPS": [_GROUP],
        "XINFO CONSUMERS": [["name", "c", "pending", 1, "idle", 5, "inactive", 9]],
        "XPENDING": [["1-0", "c", 5, 1]],
        "XRANGE": [_ENTRY],
        "XREVRANGE": [_ENTRY],
        "XLEN": 3,
        "XADD": f"{_NOW}001-0",
        "XREADGROUP": [["agent:a", [_ENTRY]]],
        "EXPIRE": 1,
        "XTRIM": 1,
        "ZREVRANGE": ["a", _NOW],
        "HSCAN": ["0", ["a", '{"at": 1}']],
        "HGETALL": ["f", "v"],
        "PTTL": 9,
        "ZCARD": 1,
        "XACK": 1,
        "XDEL": 1,
        "ZADD": 1,
        "ZSCORE": "1",
        "ZRANGE": ["a"],
        "LLEN": 1,
        "EVAL": [1, "2"],
        "EXISTS": 1,
        "HGET": "7",
        "ZREM": 1,
    }.items()
}


def greet_redis(draw: Draw) -> Callable[[bytes], bytes]:
    """Often the start of a conversation goes as it should: the hostile part comes later."""
    if draw.random() < 0.5:
        return AlmostRedis(draw)
    polite = draw.random() < 0.7

    def greet(request: bytes) -> bytes:
        setup = request.count(b"CLIENT") + request.count(b"SELECT") + request.count(b"HELLO")
        return b"+OK\r\n" * setup if polite and setup else b""

    return greet
