"""Stream replies of Redis and Valkey as snapshots of the accountant, and the capability probe.

Replies are RESP2 in bytes; a field that this server doesn't know stays at its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.redis import Command, RedisClient
from sentinel.adapters.redis_reply import display, parse_map, parse_time
from sentinel.adapters.resp import pipeline
from sentinel.core.bus.delivery import (
    NO_CALLS,
    ZERO,
    Answer,
    Calls,
    Capability,
    GroupView,
    Id,
    Question,
    StreamView,
    format_id,
)
from sentinel.errors import TargetError

SCRATCH_PREFIX = "sentinel:probe:"


def parse_entry_id(raw: bytes | None) -> Id:
    """An id as the server sends it."""
    if not raw:
        return ZERO
    milliseconds, _, sequence = raw.partition(b"-")
    return int(milliseconds), int(sequence or 0)


def snapshot_commands(key: bytes, groups: Sequence[str]) -> list[Command]:
    """The commands of one atomic snapshot; `groups` are those already known, for their oldest
    pending entry.
    """
    commands: list[Command] = [("TIME",), ("XINFO", "STREAM", key), ("XINFO", "GROUPS", key)]
    return commands + [("XPENDING", key, group, "-", "+", 1) for group in groups]


def parse_snapshot(
    replies: Sequence[Any], groups: Sequence[str], calls: Calls = NO_CALLS
) -> StreamView:
    """The snapshot from the replies to `snapshot_commands`; raises the TargetError that the stream
    gave.

    On Redis 6.2 `added` is -1: count it (core/delivery/legacy.py).
    """
    for reply in replies[:3]:
        if isinstance(reply, TargetError):
            raise reply
    info = _map_fields(replies[1])
    legacy = b"entries-added" not in info
    oldest = (
        {name: _parse_oldest(reply) for name, reply in zip(groups, replies[3:], strict=False)}
        if groups
        else {}
    )
    views = [_read_group(_map_fields(reply), oldest) for reply in replies[2]]
    newest, first = info.get(b"last-entry"), info.get(b"recorded-first-entry-id")
    if legacy:
        first = (info[b"first-entry"] or (None,))[0]
    last, newest_id = parse_entry_id(info[b"last-generated-id"]), None
    deleted = parse_entry_id(info.get(b"max-deleted-entry-id"))
    if newest and deleted < last:
        newest_id = parse_entry_id(newest[0])
    return StreamView(
        now=parse_time(replies[0]),
        added=info.get(b"entries-added", -1),
        length=info[b"length"],
        last=last,
        first=parse_entry_id(first),
        max_deleted=deleted,
        newest=newest_id if newest_id != last else None,
        groups={view.name: view for view in views},
        entry_bytes=sum(map(len, newest[1])) if newest else 0,
        legacy=legacy,
        last_gone=legacy
        and info[b"last-generated-id"] not in (newest[0] if newest else None, b"0-0"),
        **calls._asdict(),
    )


def _map_fields(reply: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _read_group(info: Mapping[bytes, Any], oldest: Mapping[str, Id | None]) -> GroupView:
    """One group of XINFO GROUPS."""
    name = display(info[b"name"])
    return GroupView(
        name,
        parse_entry_id(info[b"last-delivered-id"]),
        info[b"pending"],
        info[b"consumers"],
        info.get(b"entries-read"),
        info.get(b"lag"),
        oldest.get(name),
    )


def _parse_oldest(reply: Any) -> Id | None:
    return parse_entry_id(reply[0][0]) if isinstance(reply, list) and reply else None


def question_command(key: bytes, question: Question) -> Command:
    """The command that answers a question of the accountant."""
    after = "-" if question.after == ZERO else f"({format_id(question.after)}"
    upto = "+" if question.upto is None else format_id(question.upto)
    if question.kind == "pending":
        return ("XPENDING", key, question.group, after, upto, question.cap)
    return ("XRANGE", key, after, upto, "COUNT", question.cap)


def parse_answer(question: Question, reply: Any) -> Answer | None:
    """The answer, or None when the server refused it."""
    if isinstance(reply, TargetError):
        return None
    return Answer(tuple(parse_entry_id(row[0]) for row in reply), len(reply) >= question.cap)


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """One row of XPENDING: `idle` seconds since the last delivery."""

    id: str
    consumer: str
    idle: float
    deliveries: int


def overdue_command(key: bytes, group: str, upto: Id, cap: int) -> Command:
    """List pending entries with an id up to this one: by id range, never IDLE (measurement.md
    §1.7).
    """
    return ("XPENDING", key, group, "-", format_id(upto), cap)


def parse_pending(reply: Sequence[Any]) -> list[PendingEntry]:
    """Rows of the range form of XPENDING."""
    return [PendingEntry(display(r[0]), display(r[1]), r[2] / 1000, r[3]) for r in reply]


_SCRATCH_LIFE = 60
"""Seconds."""
PROBE_CALLS = {"xadd": 10, "xgroup|create": 1, "xreadgroup": 2}
"""What the probe calls on its own key, of the commands that tell of the product's groups."""


async def probe_capability(client: RedisClient, key: str) -> Capability:
    """Find out by experiment on a scratch key what lag and entries-read mean here (measurement.md
    appendix F).

    One transaction of 16 commands; the key expires by itself, after the first looks: a key that
    ended may have been an empty stream. Raises NotMeasurable when writing isn't allowed.
    """
    read: Command = ("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", key, ">")
    commands: list[Command] = [("XADD", key, f"{n}-0", "f", "v") for n in range(1, 11)]
    commands += [
        ("EXPIRE", key, _SCRATCH_LIFE),
        ("XGROUP", "CREATE", key, "g", "0"),
        read,
        ("XTRIM", key, "MAXLEN", "=", 4),
    ]
    commands += [("XINFO", "GROUPS", key), (*read[:5], 1, *read[6:]), ("XINFO", "GROUPS", key)]
    replies = await client.transaction(commands)
    for reply in replies:
        if isinstance(reply, TargetError):
            raise reply
    return judge_capability(parse_map(replies[-3][0]), parse_map(replies[-1][0]))


def judge_capability(behind: Mapping[str, Any], after: Mapping[str, Any]) -> Capability:
    """The family from a group behind trimmed entries (4 wait), and after its next read (3 wait, 4
    were read).
    """
    if "entries-read" not in after:
        return Capability(family="no counters")
    lag_exact = after.get("lag") == 3
    counted = after.get("entries-read") == 4
    if lag_exact:
        family = "rank" if behind.get("lag") == 4 else "rank-b"
    else:
        family = ("half" if behind.get("lag") == 4 else "count") if counted else "unknown"
    return Capability(lag_exact=lag_exact, reads_counted=counted and not lag_exact, family=family)


async def find_survivors(client: RedisClient, key: bytes, anchors: Sequence[Id]) -> frozenset[Id]:
    """Which of these entries still exist."""
    wanted = [entry for entry in anchors if entry != ZERO]
    replies = await client.pipeline([_entry_command(key, entry) for entry in wanted])
    return frozenset(
        e for e, reply in zip(wanted, replies, strict=True) if isinstance(reply, list) and reply
    )


async def find_kept(client: RedisClient, newest: Mapping[bytes, Id]) -> dict[bytes, bool]:
    """Whether the entry that was the newest of each stream is still there, in one round trip for
    all.
    """
    replies = await pipeline(client, [_entry_command(*each) for each in newest.items()])
    found = zip(newest, replies, strict=True)
    return {key: bool(reply) for key, reply in found if isinstance(reply, list)}


def _entry_command(key: bytes, entry: Id) -> Command:
    return ("XRANGE", key, format_id(entry), format_id(entry), "COUNT", 1)
