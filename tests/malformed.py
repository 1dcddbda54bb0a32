"""Malformed configurations from a seed: what editors, templates and disks make of a good one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

GOOD = """
platform: shop
listen: 127.0.0.1:0
state: ./somewhere
resources:
  bus: {redis: "redis://watch@127.0.0.1:6379/0", password_file: secret}
  database: {postgres: "postgresql://watch:pw@127.0.0.1/shop"}
  api: {http: "http://127.0.0.1:8100", budget: 900/15m, headers: {X-Key: some-key}}
components:
  worker:
    driver: process
    command: [sleep, "1000"]
    watch: [watched]
    depends_on: [database]
    restart: {max_attempts: 2, backoff: {initial: 1s, factor: 3, max: 9s}}
  bus: {resource: bus}
  database: {resource: database}
reports: [{kind: progress, cron: "0 8 * * *", timezone: Europe/Berlin}]
objectives: [{name: delivery, check: server, sli: up, target: 99.5%, window: 30d}]
checks:
  - {name: server, kind: redis_server, component: bus, every: 2s}
  - {name: rows, kind: postgres, component: database, accept: [{fault: unreachable, reason: x, until: 2999-01-31}]}
  - name: pages
    kind: http
    component: worker
    resource: api
    thresholds: {duration_seconds: {degraded: {raise: 0.5, clear: 0.25}}}
"""
NASTY = (
    "[c]", "{a: b}", "[[[[]]]]", "null", "~", "true", "-1", "1e400", ".inf", "99999999999999999999",
    "''", "x" * 5000, "loop", "/dev/zero", "pipe", "gone/further", ".", "..", '"a\\0b"', '"\\ud800"',
    "!!python/object:os.system x", "&a [*a, *a]", "*nobody", "${NOBODY}", "${", "0x10", "12:30:45",
    "2999-13-41", "\u202e", "\x07", "{[a]: b}", "? ", "<<: *a", "- - - -", "|\n  x", "%TAG", "{" * 60,
    "[" * 60, "é" * 300, "redis://a:b#c@d", "../../../../etc/passwd", "1s1s", "-5s", "999999999d",
)  # fmt: skip


def make_malformed(seed: int, count: int) -> Iterator[bytes]:
    """So many texts; most of them are wrong, each in a way of its own."""
    draw = random.Random(seed)
    ways: list[Callable[[random.Random], bytes]] = [
        _put_nasty, _put_nasty, _put_nasty, _cut, _flip, _swap_lines, _repeat, _noise,
    ]  # fmt: skip
    for _ in range(count):
        yield (_bomb if draw.random() < 0.02 else draw.choice(ways))(draw)


def furnish(folder: Path) -> None:
    """What the good one needs beside it, and what nasty paths lead to."""
    (folder / "secret").write_text("pass-word\n")
    (folder / "secret").chmod(0o600)
    (folder / "watched").mkdir()
    (folder / "loop").symlink_to("loop")


def _put_nasty(draw: random.Random) -> bytes:
    """Another value in the place of one, or of several."""
    text = GOOD
    for _ in range(draw.randint(1, 3)):
        lines = text.split("\n")
        i = draw.choice([n for n, line in enumerate(lines) if ":" in line])
        head, _, tail = lines[i].partition(": ")
        rest = tail.partition(",")[2] if draw.random() < 0.5 else ""
        lines[i] = f"{head}: {draw.choice(NASTY)}{',' if rest else ''}{rest}"
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogatepass")


def _cut(draw: random.Random) -> bytes:
    return GOOD.encode()[: draw.randrange(len(GOOD))]


def _flip(draw: random.Random) -> bytes:
    data = bytearray(GOOD.encode())
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def _swap_lines(draw: random.Random) -> bytes:
    lines = GOOD.split("\n")
    draw.shuffle(lines)
    return "\n".join(lines).encode()


def _repeat(draw: random.Random) -> bytes:
    return (GOOD * draw.randint(2, 4)).encode()


def _bomb(draw: random.Random) -> bytes:
    """Aliases of aliases: a few lines that stand for many millions."""
    width = draw.randint(5, 12)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, width)]
    return "\n".join([*lines, GOOD]).encode()


def _noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(1, 2000))
