"""Entries of streams by time and by group position, each with what can be said of its surroundings.

Needs TIME, XINFO, XRANGE, XPENDING and INFO, nothing else; reads nobody's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.redis import Command, RedisClient
from sentinel.adapters.redis_stream import (
    calls_of,
    is_missing,
    parse_entry_id,
    parse_info,
    parse_snapshot,
    parse_time,
    snapshot_commands,
)
from sentinel.core.crosscheck import Extent
from sentinel.core.delivery import Id, StreamView, format_id
from sentinel.errors import SubjectError, TargetError

PAGE = 1000
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: names and values as text, bytes that are not UTF-8 as replacement characters."""

    id: Id
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What stands in a stretch of a stream. `complete`: to its end; `extent`: as it was after reading."""

    entries: Sequence[Entry]
    complete: bool
    extent: Extent


async def read_clock(client: RedisClient) -> float:
    """The server's clock, Unix seconds."""
    return parse_time(await client.call("TIME"))


async def read_stretch(client: RedisClient, stream: str, start: float, end: float, pages: int) -> Stretch:
    """Entries published in [start, end] by the server's clock, at most `pages` thousands of them.

    The extent is read last, so that what was trimmed while we read shows in it. A stream that is no stream, or
    isn't there, has none. Raises TargetError when the server can't be asked.
    """
    entries: list[Entry] = []
    cursor, complete = str(max(0, int(start * 1000))), False
    while not complete and pages > 0:
        reply = await _ask(client, ("XRANGE", stream, cursor, str(int(end * 1000)), "COUNT", PAGE))
        entries += parse_entries(reply)
        complete, pages = len(reply) < PAGE, pages - 1
        cursor = f"({format_id(entries[-1].id)}" if entries else cursor
    return Stretch(entries, complete, await read_extent(client, stream))


async def _ask(client: RedisClient, command: Command) -> list[Any]:
    """The reply, empty when this key can't be read as a stream."""
    try:
        return list(await client.call(*command))
    except SubjectError:
        return []


async def read_extent(client: RedisClient, stream: str) -> Extent:
    """What the stream can still show. Raises NotMeasurable on a server without the figures (before Redis 7.0)."""
    try:
        view = parse_snapshot(await client.transaction(snapshot_commands(stream.encode(), ())), ())
    except SubjectError:
        return Extent(exists=False)
    return Extent(exists=True, first=view.first, max_deleted=view.max_deleted)


def parse_entries(reply: Sequence[Any]) -> list[Entry]:
    """Entries of an XRANGE reply; the first of fields with the same name counts."""
    return [Entry(parse_entry_id(row[0]), _fields(row[1] or [])) for row in reply]


def _fields(flat: Sequence[bytes]) -> dict[str, str]:
    texts = [part.decode("utf-8", "replace") for part in flat]
    return dict(zip(reversed(texts[::2]), reversed(texts[1::2]), strict=True))


async def read_positions(client: RedisClient, streams: Sequence[str]) -> dict[str, StreamView]:
    """A snapshot of each stream that is there, each atomic. Raises TargetError when the server can't be asked."""
    views = {}
    for start in range(0, len(streams), _BATCH):
        part = streams[start : start + _BATCH]
        batches = await client.transactions([snapshot_commands(name.encode(), ()) for name in part])
        for name, replies in zip(part, batches, strict=True):
            error = next((reply for reply in replies if isinstance(reply, TargetError)), None)
            if error is None:
                views[name] = parse_snapshot(replies, ())
            elif not isinstance(error, SubjectError) and not is_missing(error):
                raise error
    return views


async def read_after(
    client: RedisClient, places: Sequence[tuple[str, Id, Id]], count: int
) -> dict[str, Sequence[Entry]]:
    """Of each (stream, after, upto): the first `count` entries in (after, upto]."""
    commands = [("XRANGE", s, f"({format_id(after)}", format_id(upto), "COUNT", count) for s, after, upto in places]
    replies = await client.pipeline(commands)
    found = zip(places, replies, strict=True)
    return {place[0]: parse_entries(reply) for place, reply in found if not isinstance(reply, TargetError)}


async def read_pending(client: RedisClient, entries: Sequence[tuple[str, str, str]]) -> list[bool | None]:
    """Whether each (stream, group, id) is pending; None when that can't be said: the group is gone."""
    replies = await client.pipeline([("XPENDING", s, group, entry, entry, 1) for s, group, entry in entries])
    return [None if isinstance(reply, TargetError) else bool(reply) for reply in replies]


async def count_dropping_calls(client: RedisClient) -> int:
    """Calls so far, server wide, that empty a pending list without an acknowledgement (DELCONSUMER, DESTROY).

    Raises NotMeasurable when INFO isn't permitted: then an acknowledgement can't be told from a drop.
    """
    info = parse_info(await client.call("INFO", "commandstats"))
    return sum(calls_of(info, name) for name in ("xgroup|delconsumer", "xgroup|destroy"))
