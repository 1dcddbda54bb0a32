"""Who listens on the streams that match a pattern: consumers, and how long the oldest unread entry waits."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis_stream import display, parse_map, parse_time
from sentinel.core.registry import Consumer, Listeners
from sentinel.errors import TargetError

MAX_STREAMS = 20_000


async def find_streams(client: RedisClient, pattern: str) -> list[bytes]:
    """Keys of type stream that match a glob, sorted; read with SCAN, so it blocks nobody."""
    if not any(mark in pattern for mark in "*?["):
        return [pattern.encode()]
    found: set[bytes] = set()
    cursor = b"0"
    while len(found) < MAX_STREAMS:
        cursor, keys = await client.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "stream")
        found.update(keys)
        if cursor == b"0":
            break
    return sorted(found)


async def read_listeners(
    client: RedisClient, streams: Sequence[bytes], agent_of_stream: re.Pattern[str], agent_of_consumer: re.Pattern[str]
) -> Listeners:
    """Consumers of all groups of `streams`. Both patterns have a group `agent`; a name that doesn't match is skipped.

    A stream that vanished meanwhile has no consumers. Raises TargetError when the server can't be asked.
    """
    clock, *groups = await client.pipeline([("TIME",), *[("XINFO", "GROUPS", stream) for stream in streams]])
    if isinstance(clock, TargetError):
        raise clock
    places = [(s, parse_map(g)) for s, reply in zip(streams, groups, strict=True) for g in _rows(reply)]
    listing = await client.pipeline([("XINFO", "CONSUMERS", s, g["name"]) for s, g in places])
    unread = await client.pipeline([("XRANGE", s, b"(" + g["last-delivered-id"], "+", "COUNT", 1) for s, g in places])
    consumers: list[Consumer] = []
    waiting: dict[str, float] = {}
    for (stream, _), listed, entries in zip(places, listing, unread, strict=True):
        consumers += _consumers(display(stream), _rows(listed), agent_of_consumer)
        owner = agent_of_stream.fullmatch(display(stream))
        if owner is not None and (oldest := _rows(entries)):
            published = int(oldest[0][0].partition(b"-")[0]) / 1000
            waiting[owner["agent"]] = max(waiting.get(owner["agent"], 0.0), parse_time(clock) - published)
    return Listeners(tuple(consumers), waiting)


def _rows(reply: object) -> list[list[bytes]]:
    return reply if isinstance(reply, list) else []


def _consumers(stream: str, rows: Sequence[Sequence[bytes]], names: re.Pattern[str]) -> list[Consumer]:
    found = []
    for row in rows:
        info = parse_map(row)
        name = display(info["name"])
        if match := names.fullmatch(name):
            attempts = "inactive" in info
            found.append(Consumer(match["agent"], stream, name, info["idle"] / 1000, info["pending"], attempts))
    return found
