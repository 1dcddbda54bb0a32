"""Reads pending entries of many groups in bounded pages, by id range, and the consumers that hold
them.

Needs XINFO STREAM, GROUPS and CONSUMERS, XPENDING, TIME; SCAN for patterns; MULTI and EXEC are used
where they are permitted. `XPENDING … IDLE` is never sent: it walks the whole list, 72–95 ms of a
blocked server at a million (measurement.md §1.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.adapters.bus.stream import parse_entry_id
from sentinel.adapters.redis import Command, RedisClient
from sentinel.adapters.redis.reply import display, parse_map, parse_time
from sentinel.adapters.redis.reply_walk import Part, ReplyWalk
from sentinel.adapters.redis.resp import converse, encode_all, pipeline
from sentinel.adapters.redis.shape import judge_reply
from sentinel.core.bus.delivery import ZERO, Id, format_id
from sentinel.core.bus.pending import (
    BEYOND,
    ConsumerView,
    Page,
    PendingRow,
    at_least,
    count_below,
    count_from_both_ends,
    exactly,
)
from sentinel.core.quantity import Bounds
from sentinel.errors import NotMeasurable, TargetError

HEAD = 200
SWEEP = 500
CAP = 1000
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """One group of XINFO GROUPS; `raw` is its name as the server has it, `name` for people and
    patterns. `drained`: nothing waits, so that the last entry delivered is the stream's last.
    """

    raw: bytes
    name: str
    pending: int
    consumers: int
    delivered: bytes
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read of one group: pages of the oldest and behind the cursor, and single entries seen
    before.
    """

    key: bytes
    group: bytes
    cursor: Id
    sweep: bool
    rechecks: tuple[Id, ...] = ()


@dataclass(slots=True)
class GroupReading:
    """One group at one instant (server time `now`). `first`: the first live entry; everything below
    has no payload. `last`: the last id of the stream.

    `holes`: entries were deleted (XDEL) at or behind the oldest pending one, so more payloads may
    be gone.
    """

    now: float
    pending: int
    first: Id
    holes: bool
    head: Page
    sweep: Page | None = None
    last: Id = ZERO
    rechecked: dict[Id, PendingRow | None] = field(default_factory=dict)

    @property
    def pages(self) -> list[Page]:
        """What was read in order of id."""
        return [self.head] if self.sweep is None else [self.head, self.sweep]

    @property
    def rows(self) -> dict[Id, PendingRow]:
        """Every row that was read."""
        rows = {row.id: row for page in self.pages for row in page.rows}
        return rows | {entry: row for entry, row in self.rechecked.items() if row is not None}


@dataclass(slots=True)
class PendingReader:
    """Reads through one client. `atomic`: MULTI is permitted, so that each group is one snapshot.

    `known` are the groups of each stream as last read, with the bytes that said so: the same bytes
    are not parsed.
    """

    client: RedisClient
    atomic: bool = True
    known: dict[bytes, tuple[bytes, list[GroupSummary]]] = field(default_factory=dict)

    async def read_groups(
        self, keys: Sequence[bytes]
    ) -> tuple[float, dict[bytes, list[GroupSummary] | TargetError]]:
        """Server time, and per stream its groups or its error. Raises when the server can't be
        asked.
        """
        known = self.known
        payload = encode_all([("TIME",), *[("XINFO", "GROUPS", key) for key in keys]])
        walk = ReplyWalk([None, *[known[key][0] if key in known else b"" for key in keys]])
        await converse(self.client, payload, walk.feed)
        clock, *parts = walk.found
        clock = judge_reply(("TIME",), clock)
        if isinstance(clock, TargetError):
            raise clock
        found: dict[bytes, list[GroupSummary] | TargetError] = {}
        for key, part in zip(keys, parts, strict=True):
            found[key] = known[key][1] if part is None else self._take_groups(key, part)
        return parse_time(clock), found

    def _take_groups(self, key: bytes, part: Part) -> list[GroupSummary] | TargetError:
        reply = judge_reply(("XINFO", "GROUPS"), part.replies[0])
        if isinstance(reply, TargetError):
            self.known.pop(key, None)
            return reply
        groups = [_parse_group(row) for row in reply]
        self.known[key] = part.raw, groups
        return groups

    async def read_pending(self, plans: Sequence[Plan]) -> list[GroupReading | TargetError]:
        """The pages of each group that has pending entries, each with its stream's first entry."""
        replies = await self._snapshots([_commands(plan) for plan in plans])
        return [_parse_reading(plan, reply) for plan, reply in zip(plans, replies, strict=True)]

    async def count(self, wanted: Sequence[tuple[Plan, GroupReading, Id]]) -> list[Bounds]:
        """How many pending entries have an id below the bound; bounded, whatever the number of
        entries.
        """
        near = [_count_near(reading, bound) for _, reading, bound in wanted]
        far = [
            (plan, bound)
            for (plan, _, bound), count in zip(wanted, near, strict=True)
            if count is None
        ]
        replies = await self._snapshots([_count_commands(plan, bound) for plan, bound in far])
        counts = iter(
            [_parse_count(plan, reply) for (plan, _), reply in zip(far, replies, strict=True)]
        )
        return [next(counts) if count is None else count for count in near]

    async def read_consumers(
        self, groups: Sequence[tuple[bytes, bytes]]
    ) -> list[list[ConsumerView] | TargetError]:
        """All consumers of each (stream, group)."""
        replies = await pipeline(
            self.client, [("XINFO", "CONSUMERS", key, group) for key, group in groups]
        )
        return [
            r if isinstance(r, TargetError) else [_parse_consumer(row) for row in r]
            for r in replies
        ]

    async def read_owned(
        self, owners: Sequence[tuple[bytes, bytes, str]], most: int
    ) -> list[list[Id]]:
        """The oldest pending entries of single consumers: O(log n + most), for the consumer has a
        list of its own.
        """
        commands = [("XPENDING", key, group, "-", "+", most, name) for key, group, name in owners]
        replies = await self.client.pipeline(commands)
        return [
            [] if isinstance(reply, TargetError) else [row.id for row in _parse_rows(reply)]
            for reply in replies
        ]

    async def _snapshots(self, batches: Sequence[Sequence[Command]]) -> list[list[Any]]:
        """Replies per batch; without the right to MULTI the commands of a batch follow each other
        directly.
        """
        found: list[list[Any]] = []
        for start in range(0, len(batches), _CHUNK):
            found += await self._snapshot(batches[start : start + _CHUNK])
        return found

    async def _snapshot(self, batches: Sequence[Sequence[Command]]) -> list[list[Any]]:
        if self.atomic:
            replies = await self.client.transactions(batches)
            if not any(_refuses_multi(reply) for batch in replies for reply in batch):
                return replies
            self.atomic = False
        flat = iter(await self.client.pipeline([command for batch in batches for command in batch]))
        return [[next(flat) for _ in batch] for batch in batches]


def _refuses_multi(reply: Any) -> bool:
    return (
        isinstance(reply, NotMeasurable)
        and reply.code == "NOPERM"
        and "multi" in reply.message.lower()
    )


def _commands(plan: Plan) -> list[Command]:
    commands: list[Command] = [
        ("TIME",),
        ("XINFO", "STREAM", plan.key),
        ("XINFO", "GROUPS", plan.key),
        ("XPENDING", plan.key, plan.group, "-", "+", HEAD),
    ]
    if plan.sweep:
        commands.append(("XPENDING", plan.key, plan.group, _after(plan.cursor), "+", SWEEP))
    for entry in plan.rechecks:
        commands.append(("XPENDING", plan.key, plan.group, format_id(entry), format_id(entry), 1))
    return commands


def _after(entry: Id) -> str:
    return "-" if entry == ZERO else f"({format_id(entry)}"


def _count_near(reading: GroupReading, bound: Id) -> Bounds | None:
    return exactly(reading.pending) if bound == BEYOND else count_below(reading.head, bound)


def _count_commands(plan: Plan, bound: Id) -> list[Command]:
    limit = format_id(bound)
    return [
        ("XINFO", "GROUPS", plan.key),
        ("XPENDING", plan.key, plan.group, "-", f"({limit}", CAP),
        ("XPENDING", plan.key, plan.group, limit, "+", CAP),
    ]


def _parse_count(plan: Plan, replies: Sequence[Any]) -> Bounds:
    """Nothing is proved when the group vanished meanwhile."""
    if any(isinstance(reply, TargetError) for reply in replies):
        return at_least(0)
    below, above = (Page(_parse_rows(reply), len(reply) >= CAP) for reply in replies[1:3])
    return count_from_both_ends(_find_pending(plan, replies[0]), below, above)


def _find_pending(plan: Plan, groups: Sequence[Any]) -> int:
    return next((g.pending for g in map(_parse_group, groups) if g.raw == plan.group), 0)


def _parse_reading(plan: Plan, replies: Sequence[Any]) -> GroupReading | TargetError:
    error = next((reply for reply in replies if isinstance(reply, TargetError)), None)
    if error is not None:
        return error
    clock, stream, groups, head, *rest = replies
    info = parse_map(stream)
    sweep = rest.pop(0) if plan.sweep else None
    rows = [_parse_rows(reply) for reply in rest]
    oldest = _parse_rows(head)
    return GroupReading(
        now=parse_time(clock),
        pending=_find_pending(plan, groups),
        first=_find_first(info),
        holes=bool(oldest) and _may_have_holes(info, oldest[0].id),
        head=Page(oldest, len(oldest) >= HEAD),
        sweep=None if sweep is None else Page(_parse_rows(sweep), len(sweep) >= SWEEP, plan.cursor),
        last=parse_entry_id(info["last-generated-id"]),
        rechecked={
            e: found[0] if found else None for e, found in zip(plan.rechecks, rows, strict=True)
        },
    )


def _may_have_holes(info: dict[str, Any], oldest: Id) -> bool:
    """Whether entries may have been deleted at or behind the oldest pending one. Redis 6.2 does not
    tell.
    """
    deleted = info.get("max-deleted-entry-id")
    return deleted is None or parse_entry_id(deleted) >= max(_find_first(info), oldest)


def _find_first(info: dict[str, Any]) -> Id:
    """The first live entry; of an empty stream nothing is left. Redis 6.2 shows it as the entry
    itself.
    """
    if not info["length"]:
        return BEYOND
    first = info.get("first-entry")
    return parse_entry_id(info.get("recorded-first-entry-id") or (first[0] if first else None))


def _parse_group(row: Sequence[Any]) -> GroupSummary:
    info = dict(zip(row[::2], row[1::2], strict=True))
    raw = info[b"name"]
    return GroupSummary(
        raw,
        display(raw),
        info[b"pending"],
        info[b"consumers"],
        info[b"last-delivered-id"],
        info.get(b"lag") == 0,
    )


def _parse_rows(reply: Sequence[Any]) -> tuple[PendingRow, ...]:
    return tuple(
        PendingRow(parse_entry_id(r[0]), display(r[1] or b""), r[2] / 1000, r[3]) for r in reply
    )


def _parse_consumer(row: Sequence[Any]) -> ConsumerView:
    info = parse_map(row)
    inactive = info.get("inactive")
    quiet = None if inactive is None else -1.0 if inactive < 0 else inactive / 1000
    return ConsumerView(display(info["name"]), info["pending"], info["idle"] / 1000, quiet)
