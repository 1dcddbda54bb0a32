"""Reads many streams in one go: bounded discovery, pipelined atomic snapshots, and what may have dropped deliveries.

The read path needs SCAN, TYPE filter, XINFO, XPENDING, XRANGE, TIME, INFO, MULTI and EXEC, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis_stream import (
    count_dropping_calls,
    is_text,
    parse_answer,
    parse_info,
    parse_map,
    parse_snapshot,
    question_command,
    snapshot_commands,
)
from sentinel.core.delivery import Answer, Question, StreamView
from sentinel.errors import TargetError

_CHUNK = 200
_SCAN_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """Read this stream; `groups` are those already known; `questions` are answered in the same transaction."""

    key: bytes
    groups: Sequence[str] = ()
    questions: Sequence[Question] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: a snapshot with answers, or the error of this stream alone; group names that are no UTF-8."""

    view: StreamView | None
    answers: dict[Question, Answer] = field(default_factory=dict)
    error: TargetError | None = None
    odd_groups: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Scan:
    """A discovery that goes on over several runs when the keyspace is large."""

    cursor: int = 0
    found: set[bytes] = field(default_factory=set)

    async def advance(self, client: RedisClient, steps: int) -> set[bytes] | None:
        """Go at most so many SCAN steps; gives all stream keys when the pass is complete, else None."""
        for _ in range(steps):
            command = ("SCAN", self.cursor, "COUNT", _SCAN_COUNT, "TYPE", "stream")
            cursor, keys = await client.call(*command)
            self.cursor = int(cursor)
            self.found.update(keys)
            if not self.cursor:
                found, self.found = self.found, set()
                return found
        return None


@dataclass(slots=True)
class DropWatch:
    """Rising numbers that change whenever DELCONSUMER or a claim may have run between two batches.

    The calls are counted before the first and after the last snapshot of a batch, so that no call can hide
    between a snapshot and its count. When INFO is not permitted every claim is possible.
    """

    seen: tuple[int, int] | None = None
    deletions: int = 0
    claims: int = 0

    def note(self, before: tuple[int, int] | None, after: tuple[int, int] | None) -> None:
        """Take in the counts around a batch."""
        if after is None or self.seen is None:
            self.claims += 1
        else:
            self.deletions += after[0] != self.seen[0]
            self.claims += after[1] != self.seen[1]
        self.seen = before


async def read_streams(
    client: RedisClient, requests: Sequence[Request], watch: DropWatch
) -> tuple[dict[bytes, Reading], dict[str, str]]:
    """Snapshots of these streams, each atomic, in few round trips; and the server's INFO."""
    info_command = ("INFO", "server", "replication", "commandstats")
    before = after = await _read_info(client, info_command) if len(requests) > _CHUNK else None
    replies: list[list[Any]] = []
    for start in range(0, max(1, len(requests)), _CHUNK):
        batches = [_commands(request) for request in requests[start : start + _CHUNK]]
        first, *middle, last = await client.transactions([[info_command], *batches, [info_command]])
        replies += middle
        before, after = before or _parse_info(first[0]), _parse_info(last[0])
    watch.note(*(count_dropping_calls(info) if info else None for info in (before, after)))
    readings = {request.key: _parse(request, reply, watch) for request, reply in zip(requests, replies, strict=True)}
    return readings, after or {}


async def _read_info(client: RedisClient, command: Sequence[str]) -> dict[str, str] | None:
    return _parse_info((await client.pipeline([command]))[0])


def _parse_info(reply: Any) -> dict[str, str] | None:
    return None if isinstance(reply, TargetError) else parse_info(reply)


def _commands(request: Request) -> list[Any]:
    questions = [question_command(request.key, question) for question in request.questions]
    return [*snapshot_commands(request.key, request.groups), *questions]


def _parse(request: Request, replies: list[Any], watch: DropWatch) -> Reading:
    error = next((reply for reply in replies[:3] if isinstance(reply, TargetError)), None)
    if error is not None:
        return Reading(None, error=error)
    names = {parse_map(group)["name"]: group for group in replies[2]}
    odd = tuple(name for name in names if not is_text(name))
    readable = [group for name, group in names.items() if is_text(name)]
    replies = [*replies[:2], readable, *replies[3:]]
    view = parse_snapshot(replies, request.groups, deletions=watch.deletions, claims=watch.claims)
    pairs = zip(request.questions, replies[3 + len(request.groups) :], strict=True)
    answers = {q: a for q, reply in pairs if (a := parse_answer(q, reply)) is not None}
    return Reading(view, answers, odd_groups=odd)
