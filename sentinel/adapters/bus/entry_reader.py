"""Entries of streams by time and by group position, each with what can be said of its surroundings.

Needs TIME, XINFO, XRANGE, XPENDING and INFO, nothing else; reads nobody's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sentinel.adapters.bus.stream import parse_entry_id, parse_snapshot, snapshot_commands
from sentinel.adapters.redis import Command, RedisClient
from sentinel.adapters.redis.reply import calls_of, parse_info, parse_time
from sentinel.core.bus.crosscheck import Extent
from sentinel.core.bus.delivery import Id, StreamView, format_id
from sentinel.errors import SubjectError, TargetError

PAGE = 1000
_BATCH = 100
_DROPPING = ("xgroup|delconsumer", "xgroup|destroy", "xgroup|setid")


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry: names and values as text, bytes that are not UTF-8 as replacement characters."""

    id: Id
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What stands in a stretch of a stream. `complete`: to its end; `extent`: as it was after
    reading.
    """

    entries: Sequence[StreamEntry]
    complete: bool
    extent: Extent


class EntryFate(StrEnum):
    """What became of a delivered entry."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    GONE = "gone"


async def read_clock(client: RedisClient) -> float:
    """The server's clock, Unix seconds."""
    return parse_time(await client.call("TIME"))


async def read_stretch(
    client: RedisClient, stream: str, start: float, end: float, pages: int
) -> Stretch:
    """Entries published in [start, end] by the server's clock, at most `pages` thousands of them.

    The extent is read last, so that what was trimmed while we read shows in it. A stream that is no
    stream, or isn't there, has none. Raises TargetError when the server can't be asked.
    """
    entries: list[StreamEntry] = []
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
    """What the stream can still show. Raises NotMeasurable on a server without the figures (before
    Redis 7.0).
    """
    try:
        view = parse_snapshot(await client.transaction(snapshot_commands(stream.encode(), ())), ())
    except SubjectError:
        return Extent(exists=False)
    return Extent(exists=True, first=view.first, max_deleted=view.max_deleted)


def parse_entries(reply: Sequence[Any]) -> list[StreamEntry]:
    """Entries of an XRANGE reply; the first of fields with the same name counts."""
    return [StreamEntry(parse_entry_id(row[0]), _fields(row[1] or [])) for row in reply]


def _fields(flat: Sequence[bytes]) -> dict[str, str]:
    texts = [part.decode("utf-8", "replace") for part in flat]
    return dict(zip(reversed(texts[::2]), reversed(texts[1::2]), strict=True))


async def read_positions(client: RedisClient, streams: Sequence[str]) -> dict[str, StreamView]:
    """A snapshot of each stream that is there, each atomic. Raises TargetError when the server
    can't be asked.
    """
    views = {}
    for start in range(0, len(streams), _BATCH):
        part = streams[start : start + _BATCH]
        batches = await client.transactions([snapshot_commands(name.encode(), ()) for name in part])
        for name, replies in zip(part, batches, strict=True):
            if not any(_is_gone(reply) for reply in replies):
                views[name] = parse_snapshot(replies, ())
    return views


async def read_after(
    client: RedisClient, places: Sequence[tuple[str, Id, Id]], count: int
) -> dict[str, Sequence[StreamEntry]]:
    """Of each (stream, after, upto): the first `count` entries in (after, upto]."""
    commands = [
        ("XRANGE", s, f"({format_id(after)}", format_id(upto), "COUNT", count)
        for s, after, upto in places
    ]
    replies = await client.pipeline(commands)
    found = zip(places, replies, strict=True)
    return {place[0]: parse_entries(reply) for place, reply in found if not _is_gone(reply)}


def _is_gone(reply: Any) -> bool:
    """Whether a stream or group is not there; any other error is raised, a missing permission above
    all.
    """
    if isinstance(reply, TargetError) and not isinstance(reply, SubjectError):
        raise reply
    return isinstance(reply, SubjectError)


async def read_fates(
    client: RedisClient, entries: Sequence[tuple[str, str, str]]
) -> list[EntryFate]:
    """What became of each delivered (stream, group, id).

    An entry that is neither pending nor there any more may have been acknowledged, dropped by a
    claim after it was trimmed, or gone with its stream: nobody can tell.
    """
    commands: list[Command] = []
    for stream, group, entry in entries:
        commands += [
            ("XPENDING", stream, group, entry, entry, 1),
            ("XRANGE", stream, entry, entry, "COUNT", 1),
        ]
    replies = await client.pipeline(commands)
    return [
        _judge_fate(pending, live)
        for pending, live in zip(replies[::2], replies[1::2], strict=True)
    ]


def _judge_fate(pending: Any, live: Any) -> EntryFate:
    if _is_gone(pending) or _is_gone(live):
        return EntryFate.GONE
    if pending:
        return EntryFate.PENDING
    return EntryFate.ACKNOWLEDGED if live else EntryFate.GONE


async def count_dropping_calls(client: RedisClient) -> int:
    """Calls so far, server wide, that empty a pending list or skip entries without an
    acknowledgement.

    Raises NotMeasurable when INFO isn't permitted: then an acknowledgement can't be told from a
    drop.
    """
    info = parse_info(await client.call("INFO", "commandstats"))
    return sum(calls_of(info, name) for name in _DROPPING)
