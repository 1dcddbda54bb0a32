"""Commands that clean the bus. Each re-checks on the server, in the moment of the effect, what made
it harmless.

That needs a script (EVAL): MULTI with WATCH is no substitute, because WATCH notices neither
XREADGROUP nor XACK, XCLAIM or XGROUP (seen on Redis 7.0 and Valkey 9). Where EVAL is not permitted
or renamed away, trimming has an equivalent that is bounded, XCLAIM re-checks the idle time by
itself, PEXPIRE NX the missing TTL; the rest is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.bus.script import (
    DEAD_LETTER,
    EXPIRING,
    IDLE_CONSUMERS,
    RECLAIM,
    TRIM,
    CleaningScript,
    explain,
)
from sentinel.adapters.redis import Command, RedisClient
from sentinel.adapters.redis.reply import display, parse_info, parse_map, parse_time
from sentinel.adapters.redis.shape import judge_evaluated
from sentinel.core.bus.delivery import parse_id
from sentinel.core.bus.housekeeping import GroupState, Member, ServerSign, find_floor
from sentinel.errors import NotMeasurable, SubjectError, TargetError

_MAX_READ = 4 * 2**20
_PAUSE = 0.005
_UNKNOWN = "unknown command"


class NoScript(NotMeasurable):
    """This needs a script, and the server permits none."""


@dataclass(frozen=True, slots=True)
class TrimOrder:
    """What to trim: at most `most` entries, none younger than `retention` s, the newest `keep`
    stay.

    `groups` are those that must be there; `planned` is the id below which to trim, "" for as much
    as is safe.
    """

    key: str
    most: int
    retention: float
    keep: int
    groups: tuple[str, ...]
    planned: str = ""


@dataclass(frozen=True, slots=True)
class TrimReport:
    """The floor and who holds it; entries of the stream, of those below the floor (maybe `more`),
    and removed.

    `refused`: "", or no_group, group_missing, unacknowledged, limit.
    """

    refused: str
    floor: str
    holder: str
    length: int
    below: int
    removed: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class PendingView:
    """One row of XPENDING; `idle` seconds."""

    id: str
    consumer: str
    idle: float
    deliveries: int


@dataclass(frozen=True, slots=True)
class StreamShape:
    """A stream: entries ever added, newest id ever, and its groups with last delivered id and
    oldest pending.
    """

    added: int
    last: str
    groups: tuple[GroupState, ...]


@dataclass(slots=True)
class BusCleaner:
    """Cleans through one client. `scripts`: whether EVAL is permitted, None until it was tried."""

    client: RedisClient
    scripts: bool | None = None

    # -- look -------------------------------------------------------------------------------------

    async def can_script(self) -> bool:
        """Whether EVAL works here; asked once."""
        if self.scripts is None:
            try:
                reply = await self.client.call("EVAL", "return 1", 0)
                self.scripts = bool(_raise(judge_evaluated(reply, lambda given: given == 1)))
            except TargetError as error:
                if error.code != "NOPERM" and _UNKNOWN not in error.message:
                    raise
                self.scripts = False
        return self.scripts

    async def scan(self, pattern: str, kind: str = "") -> AsyncIterator[list[str]]:
        """Keys that match a glob and are UTF-8, page by page: SCAN blocks nobody, a pause leaves
        room.
        """
        cursor, typed = 0, ("TYPE", kind) if kind else ()
        while True:
            reply = await self.client.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000, *typed)
            cursor = int(reply[0])
            yield [text for text in map(_text, reply[1]) if text is not None]
            if cursor == 0:
                return
            await asyncio.sleep(_PAUSE)

    async def find_streams(self, pattern: str, most: int) -> set[str]:
        """At most so many streams that match a glob; a name without a wildcard is taken as it is."""
        if not re.search(r"[*?\[]", pattern):
            return {pattern}
        found: set[str] = set()
        async for keys in self.scan(pattern, "stream"):
            found.update(keys)
            if len(found) >= most:
                break
        return found

    async def read_server(self) -> ServerSign:
        """Who the server is, to notice a failover or a restart."""
        info = parse_info(await self.client.call("INFO"))
        return ServerSign(
            info.get("run_id", ""),
            info.get("master_replid", ""),
            int(info.get("second_repl_offset", -1)),
            float(info.get("uptime_in_seconds", 0)),
        )

    async def read_clock(self) -> float:
        """The server's time in seconds."""
        return parse_time(await self.client.call("TIME"))

    async def read_shape(self, key: str) -> StreamShape | None:
        """A stream and its groups at one instant; None when it does not exist."""
        clock, stream, groups = await self.client.transaction(
            [("TIME",), ("XINFO", "STREAM", key), ("XINFO", "GROUPS", key)]
        )
        if isinstance(stream, SubjectError) and stream.code == "NOKEY":
            return None
        for reply in (clock, stream, groups):
            if isinstance(reply, TargetError):
                raise reply
        info = parse_map(stream)
        states = await self._read_groups(key, groups)
        return StreamShape(
            int(info.get("entries-added", 0)), display(info["last-generated-id"]), states
        )

    async def _read_groups(self, key: str, groups: Sequence[Any]) -> tuple[GroupState, ...]:
        infos = [parse_map(row) for row in groups]
        asked = await self.client.pipeline([("XPENDING", key, info["name"]) for info in infos])
        return tuple(_group_state(info, reply) for info, reply in zip(infos, asked, strict=True))

    async def read_members(self, key: str, group: str) -> list[Member]:
        """The consumers of a group."""
        rows = map(parse_map, await self.client.call("XINFO", "CONSUMERS", key, group))
        return [_member(row) for row in rows if _text(row["name"]) is not None]

    async def read_pending(
        self, key: str, group: str, most: int, owner: str = ""
    ) -> list[PendingView]:
        """The oldest pending entries of a group, or of one of its consumers; by id, never by idle
        time.
        """
        found: list[PendingView] = []
        begin = "-"
        while len(found) < most:
            page = min(most - len(found), 1000)
            rows = await self.client.call(
                "XPENDING", key, group, begin, "+", page, *([owner] if owner else [])
            )
            found += [
                PendingView(display(r[0]), display(r[1] or b""), r[2] / 1000, r[3]) for r in rows
            ]
            if len(rows) < page:
                break
            begin = f"({found[-1].id}"
        return found

    async def read_rows(self, key: str, group: str, ids: Sequence[str]) -> list[PendingView | None]:
        """Single pending entries; None for one that is pending no more."""
        replies = await self.client.pipeline(
            [("XPENDING", key, group, entry, entry, 1) for entry in ids]
        )
        rows = [_raise(reply) for reply in replies]
        return [
            PendingView(display(r[0][0]), display(r[0][1] or b""), r[0][2] / 1000, r[0][3])
            if r
            else None
            for r in rows
        ]

    async def have_payload(self, key: str, ids: Sequence[str]) -> list[bool]:
        """Whether the entries still exist; few at a time, because their payload crosses the wire."""
        replies = await self.client.pipeline(
            [("XRANGE", key, entry, entry, "COUNT", 1) for entry in ids]
        )
        return [bool(_raise(reply)) for reply in replies]

    # -- act --------------------------------------------------------------------------------------

    async def trim(self, order: TrimOrder, *, go: bool) -> TrimReport:
        """Trim below what every group has acknowledged; without `go` only tell what would go."""
        if order.most < 1 or order.keep < 1:
            return TrimReport("limit", "0-0", "", 0, 0)
        if not await self.can_script():
            return await self._trim_bounded(order, go=go)
        mode, retention = "go" if go else "look", int(order.retention * 1000)
        words = [mode, order.most, retention, order.keep, order.planned, *order.groups]
        reply = await self._run(TRIM, [order.key], words)
        refused, floor, holder, length, below, removed, more = reply
        return TrimReport(
            display(refused), display(floor), display(holder), length, below, removed, bool(more)
        )

    async def _trim_bounded(self, order: TrimOrder, *, go: bool) -> TrimReport:
        """Without a script. Between the look and the trim a floor can only rise: groups go forward.

        Only a group that is created, or set back, in these milliseconds is not seen.
        """
        shape = await self.read_shape(order.key)
        if shape is None or not shape.groups:
            return TrimReport("no_group", "0-0", "", 0, 0)
        names = {group.name for group in shape.groups}
        missing = next((name for name in order.groups if name not in names), "")
        if missing:
            return TrimReport("group_missing", "0-0", missing, 0, 0)
        keep_from = f"{int((await self.read_clock() - order.retention) * 1000)}-0"
        floor, holder = find_floor(shape.groups, keep_from)
        if order.planned and parse_id(floor) < parse_id(order.planned):
            return TrimReport("unacknowledged", floor, holder, 0, 0)
        floor = order.planned or floor
        length = int(await self.client.call("XLEN", order.key))
        below, more = await self._count_below(
            order.key, floor, min(order.most, length - order.keep)
        )
        if not go or below < 1:
            return TrimReport("", floor, holder, length, below, 0, more)
        command: Command = ("XTRIM", order.key, "MINID", "~", floor, "LIMIT", below)
        return TrimReport(
            "", floor, holder, length, below, int(await self.client.call(*command)), more
        )

    async def _count_below(self, key: str, floor: str, room: int) -> tuple[int, bool]:
        if room < 1:
            return 0, False
        first = await self.client.call("XRANGE", key, "-", "+", "COUNT", 1)
        size = 1 + sum(map(len, first[0][1])) if first else 1
        readable = max(1, min(room, _MAX_READ // size))
        below = len(await self.client.call("XRANGE", key, "-", f"({floor}", "COUNT", readable))
        return below, below == readable < room

    async def remove_consumers(
        self, key: str, group: str, silence: float, names: Sequence[str]
    ) -> list[str]:
        """Remove consumers that hold nothing and were silent for `silence` s. Per name: gone, or
        why not.
        """
        await self._need_script("to see in the same moment that a consumer holds nothing")
        words = [group, int(silence * 1000), *names]
        reply = await self._run(IDLE_CONSUMERS, [key], words, len(names))
        return list(map(display, reply))

    async def reclaim(
        self,
        key: str,
        group: str,
        heir: str,
        ids: Sequence[str],
        *,
        idle: float,
        alive_within: float,
        owner: str = "",
    ) -> list[str]:
        """Give pending entries to a consumer that exists and lives. Per id: moved, or why not;
        no_heir for all.
        """
        if await self.can_script():
            words = [group, heir, int(idle * 1000), int(alive_within * 1000), owner, *ids]
            reply = await self._run(RECLAIM, [key], words, len(ids))
            verdicts = list(map(display, reply))
            return verdicts if verdicts != ["no_heir"] else ["no_heir"] * len(ids)
        return await self._reclaim_bounded(key, group, heir, ids, idle, alive_within, owner)

    async def _reclaim_bounded(
        self,
        key: str,
        group: str,
        heir: str,
        ids: Sequence[str],
        idle: float,
        alive_within: float,
        owner: str,
    ) -> list[str]:
        """XCLAIM itself refuses what was acknowledged or handed out again since the look."""
        members = await self.read_members(key, group)
        if not any(each.name == heir and each.quiet <= alive_within for each in members):
            return ["no_heir"] * len(ids)
        rows, alive = await self.read_rows(key, group, ids), await self.have_payload(key, ids)
        verdicts = [
            _judge_row(row, there, owner, heir, idle)
            for row, there in zip(rows, alive, strict=True)
        ]
        moving = [entry for entry, verdict in zip(ids, verdicts, strict=True) if not verdict]
        if moving:
            claimed = await self.client.call("XCLAIM", key, group, heir, int(idle * 1000), *moving)
            done = {display(entry[0]) for entry in claimed if entry}
            verdicts = [
                v or ("moved" if e in done else "in_work")
                for e, v in zip(ids, verdicts, strict=True)
            ]
        return verdicts

    async def dead_letter(
        self,
        key: str,
        group: str,
        place: str,
        ids: Sequence[str],
        *,
        idle: float,
        deliveries: int,
        reason: str,
        owner: str = "",
    ) -> list[str]:
        """Copy pending entries with their origin to a dead-letter stream and acknowledge them, both
        or neither.
        """
        await self._need_script("to copy and acknowledge in one step")
        words = [group, int(idle * 1000), deliveries, owner, reason, *ids]
        return list(map(display, await self._run(DEAD_LETTER, [key, place], words, len(ids))))

    async def expire(
        self, keys: Sequence[str], mode: str, ttl: float, idle: float, types: Sequence[str]
    ) -> list[str]:
        """Per key without a TTL that nobody used for `idle` s: a TTL, or unlink it. `mode`: look,
        expire, unlink.
        """
        if not await self.can_script():
            return await self._expire_bounded(keys, mode, ttl, idle, types)
        words = [mode, int(ttl * 1000), int(idle)]
        commands = [("EVAL", EXPIRING.text, 1, key, *words, *types) for key in keys]
        replies = await self.client.pipeline(commands)
        return [display(EXPIRING.take(reply)) for reply in replies]

    async def _expire_bounded(
        self, keys: Sequence[str], mode: str, ttl: float, idle: float, types: Sequence[str]
    ) -> list[str]:
        """NX sees the missing TTL by itself. Nothing is unlinked, and no stream is touched."""
        if mode == "unlink":
            await self._need_script("to see in the same moment that a key is still unused")
        looks = await self.client.pipeline(
            [
                command
                for key in keys
                for command in (("TYPE", key), ("PTTL", key), ("OBJECT", "IDLETIME", key))
            ]
        )
        verdicts = []
        for index, key in enumerate(keys):
            verdict = _judge_key(looks[3 * index : 3 * index + 3], idle, set(types) - {"stream"})
            if verdict == "gone" and mode == "expire":
                done = await self.client.call("PEXPIRE", key, int(ttl * 1000), "NX")
                verdict = "gone" if done == 1 else "has_ttl"
            verdicts.append(verdict)
        return verdicts

    # -- scripts ----------------------------------------------------------------------------------

    async def _need_script(self, why: str) -> None:
        if not await self.can_script():
            raise NoScript(
                f"EVAL is not permitted here, and it is needed {why}",
                "permit EVAL to sentinel's user (checks/acl, sentinel_ops), or do it by hand while"
                " nobody reads",
                code="NOSCRIPTS",
            )

    async def _run(
        self, script: CleaningScript, keys: Sequence[str], words: Sequence[Any], things: int = 0
    ) -> Any:
        try:
            reply = await self.client.call("EVAL", script.text, len(keys), *keys, *words)
        except TargetError as error:
            raise explain(error) from error
        return script.take(reply, things)


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _raise(reply: Any) -> Any:
    if isinstance(reply, TargetError):
        raise reply
    return reply


def _group_state(info: dict[str, Any], pending: Any) -> GroupState:
    summary = _raise(pending)
    return GroupState(
        display(info["name"]),
        display(info["last-delivered-id"]),
        display(summary[1]) if summary[0] else None,
    )


def _member(row: dict[str, Any]) -> Member:
    inactive = row.get("inactive", -1)
    quiet = min(row["idle"], inactive) if inactive >= 0 else row["idle"]
    return Member(display(row["name"]), row["pending"], quiet / 1000)


def _judge_row(row: PendingView | None, there: bool, owner: str, heir: str, idle: float) -> str:
    if row is None:
        return "acknowledged"
    if row.consumer == heir or owner not in {"", row.consumer}:
        return "moved_already"
    if row.idle < idle:
        return "in_work"
    return "" if there else "payload_gone"


def _judge_key(looks: Sequence[Any], idle: float, types: set[str]) -> str:
    kind, ttl, unused = map(_raise, looks)
    if kind == b"none" or unused is None:
        return "missing"
    if display(kind) not in types:
        return "type"
    if ttl >= 0:
        return "has_ttl"
    return "gone" if unused >= idle else "in_use"
