"""Reads many streams in one go: bounded discovery, pipelined atomic snapshots, and what may have
dropped deliveries.

A stream whose replies equal the last ones byte by byte is not parsed again: the usual case, and the
cheap one.

The read path needs SCAN, TYPE filter, XINFO, XPENDING, XRANGE, TIME, INFO, MULTI and EXEC, nothing
else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.adapters.bus.command_counts import CommandCounts, count_commands
from sentinel.adapters.bus.stream import (
    parse_answer,
    parse_snapshot,
    question_command,
    snapshot_commands,
)
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import is_text, parse_info, parse_time
from sentinel.adapters.redis.reply_walk import Expected, Got, Part, ReplyWalk, parse_known
from sentinel.adapters.redis.resp import converse, encode, encode_all, pipeline
from sentinel.adapters.redis.shape import Shape, find_shape, judge_reply, judge_shaped
from sentinel.core.bus.delivery import (
    NO_CALLS,
    ZERO,
    Answer,
    Calls,
    Id,
    Question,
    StreamView,
    precede,
)
from sentinel.errors import TargetError

_TOGETHER = 25
"""Streams in one MULTI … EXEC: about 0.1 ms in which the server does nothing else."""
_SCAN_COUNT = 1000
_MULTI, _TIME, _EXEC = encode(("MULTI",)), encode(("TIME",)), encode(("EXEC",))
_NO_TIME = (b"0", b"0")
_INFO = encode(("INFO", "server", "replication", "stats", "commandstats"))
_INFO_OF_OLD = encode(("INFO", "all"))
"""Redis 6.2 takes one section."""
Known = tuple[bytes, int]
"""Replies in bytes, and how many they are."""


@dataclass(slots=True, eq=False)
class StreamRequest:
    """Read this stream; `groups` have entries pending; `questions` are answered in the same
    transaction.

    `since`: list this entry and what is behind it as well, at most `most` entries (servers that
    don't count what was added).
    `payload` are the `count` encoded commands, TIME excepted.
    """

    key: bytes
    groups: Sequence[str] = ()
    questions: Sequence[Question] = ()
    since: Id | None = None
    most: int = 1000
    payload: bytes = field(init=False)
    count: int = field(init=False)
    _asked: Sequence[tuple[str, Shape | None]] = field(init=False)

    @property
    def plain(self) -> bool:
        """Whether the replies change only when the stream does."""
        return not (self.groups or self.questions)

    def __post_init__(self) -> None:
        _, *commands = snapshot_commands(self.key, self.groups)
        if self.since is not None:
            commands.append(question_command(self.key, self._listing))
        commands += [question_command(self.key, question) for question in self.questions]
        self.payload, self.count = encode_all(commands), len(commands)
        self._asked = tuple(find_shape(command[:2]) for command in commands)

    def judge(self, replies: Sequence[Any]) -> list[Any]:
        """The replies, with an error in the place of each that no Redis would give."""
        pairs = zip(self._asked, replies, strict=True)
        return [judge_shaped(*asked, reply) for asked, reply in pairs]

    @property
    def _listing(self) -> Question:
        return Question("live", "", precede(self.since or ZERO), None, self.most + 1)

    def sort(self, replies: Sequence[Any]) -> tuple[Answer | None, dict[Question, Answer]]:
        """What is there from `since` on, and the answers, from the replies behind those of the
        snapshot.
        """
        first = self.since is not None
        fresh = parse_answer(self._listing, replies[0]) if first else None
        pairs = zip(self.questions, replies[first:], strict=True)
        return fresh, {q: a for q, reply in pairs if (a := parse_answer(q, reply)) is not None}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: a snapshot with answers, or the error of this stream alone; group names that
    are no UTF-8.

    `fresh` is what came after the id that was asked for.
    """

    view: StreamView | None
    answers: dict[Question, Answer] = field(default_factory=dict)
    error: TargetError | None = None
    odd_groups: tuple[bytes, ...] = ()
    fresh: Answer | None = None


@dataclass(slots=True)
class Haul:
    """What one round of reading brought. `same`: server time of the snapshot of each stream that
    did not change.
    """

    readings: dict[bytes, Reading] = field(default_factory=dict)
    same: dict[bytes, float] = field(default_factory=dict)
    info: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class StreamScan:
    """A discovery that goes on over several runs when the keyspace is large."""

    cursor: int = 0
    found: set[bytes] = field(default_factory=set)

    async def advance(self, client: RedisClient, steps: int) -> set[bytes] | None:
        """Go at most so many SCAN steps; gives all stream keys when the pass is complete, else
        None.
        """
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
    """Rising numbers that change whenever a command that matters may have run between two batches.

    The calls are counted before the first and after the last snapshot of a batch, so that no call
    can hide between a snapshot and its count. When the count began anew, every call is possible,
    rare ones where somebody made one since; when INFO is not permitted, every claim.
    """

    seen: CommandCounts | None = None
    calls: Calls = NO_CALLS

    def note(self, before: CommandCounts | None, after: CommandCounts | None) -> None:
        """Take in the counts around a batch."""
        seen, self.seen = self.seen, before
        if after is None:
            self.calls = self.calls._replace(claims=self.calls.claims + 1)
            return
        known = seen.watched if seen is not None and after.continues(seen) else None
        if known is None:
            self.calls = self._begin_anew(seen, after)
            return
        pairs = zip(self.calls, known, after.watched, strict=True)
        self.calls = Calls(*(count + (was != now) for count, was, now in pairs))

    def _begin_anew(self, seen: CommandCounts | None, after: CommandCounts) -> Calls:
        """Everything may have run, of what is rare only what somebody is known to run."""
        calls, rare = self.calls, after.rare
        if seen is None and not after.done(("xclaim",)):
            calls = calls._replace(forces=calls.forces - 1)
        return Calls(*(count + 1 for count in calls))._replace(
            renumbers=calls.renumbers + rare.renumbers, swaps=calls.swaps + rare.swaps
        )

    def forgive(self, calls: Mapping[str, int]) -> None:
        """These calls since the last batch are our own, on a key of our own."""
        if self.seen is not None:
            self.seen = self.seen.plus(calls)


@dataclass(slots=True)
class ServerTraffic:
    """XDEL and XADD on the whole server around each batch, for servers that don't count per stream.

    `removals` and `swaps` rise whenever XDEL, or a command that replaces a whole stream, may have
    run between two batches (to delete a stream takes its groups, and who makes them anew is seen by
    that); `epoch` when the counts began anew. `published` are the calls of XADD before the first
    and after the last snapshot of the latest batch, None when INFO is not permitted.
    """

    seen: CommandCounts | None = None
    removals: int = 0
    swaps: int = 0
    published: tuple[int | None, int | None] = (None, None)
    epoch: int = 0

    def note(self, before: CommandCounts | None, after: CommandCounts | None) -> None:
        """Take in the counts of XDEL, XADD and replacements around a batch."""
        seen, self.seen = self.seen, before
        known = seen if after is not None and seen is not None and after.continues(seen) else None
        self.epoch += known is None
        self.removals += known is None or after is None or after.removals != known.removals
        self.swaps += known is None or after is None or after.swaps != known.swaps
        ends = (each.publishes if each is not None else None for each in (before, after))
        self.published = next(ends), next(ends)


@dataclass(slots=True)
class StreamReader:
    """Remembers the raw replies of each stream, so that only what changed is parsed."""

    drops: DropWatch = field(default_factory=DropWatch)
    traffic: ServerTraffic = field(default_factory=ServerTraffic)
    alone: bool = False
    """Each stream in a transaction of its own, as a cluster wants it."""
    apart: set[bytes] = field(default_factory=set)
    """Streams that were refused when read alone: they would spoil the transaction of others."""
    refused: TargetError | None = None
    """Why INFO gave nothing the last time."""
    _taken: dict[bytes, Known | list[Any]] = field(default_factory=dict)
    """Replies to a plain request in bytes, to one about pending entries without the idle times."""
    _latest: dict[bytes, Known | list[Any]] = field(default_factory=dict)
    _info: bytes = _INFO
    _fresh: list[tuple[StreamRequest, list[Any]]] = field(default_factory=list)
    _head: bytes = b""

    def accept(self, key: bytes) -> None:
        """The caller has taken in the latest reading of this stream: compare with it from now on."""
        if key in self._latest:
            self._taken[key] = self._latest[key]

    def forget(self, key: bytes) -> None:
        """Give this stream as a reading the next time, whatever it says."""
        self._taken.pop(key, None)

    def parse_same(self, request: StreamRequest, now: float) -> Reading:
        """The reading of a stream that did not change."""
        taken = self._taken[request.key]
        replies = parse_known(*taken) if isinstance(taken, tuple) else taken
        reading = _parse(request, [_NO_TIME, *replies], self.drops)
        return replace(reading, view=replace(reading.view, now=now)) if reading.view else reading

    async def read(self, client: RedisClient, requests: Sequence[StreamRequest]) -> Haul:
        """Snapshots of these streams, each atomic, in few round trips; and the server's INFO.

        A stream with pending entries in a group that was not known to have some is read once more,
        with their oldest.
        """
        haul, again = Haul(), []
        self._fresh, self._latest = [], {}
        before, after = await self._round(client, requests, haul)
        if (
            self.refused is not None
            and "syntax error" in self.refused.message
            and self._info != _INFO_OF_OLD
        ):
            self._info = _INFO_OF_OLD
            return await self.read(client, requests)
        for request, replies in self._fresh:
            missed = _find_unasked(request, replies)
            if missed:
                groups = [*request.groups, *missed]
                again.append(
                    StreamRequest(
                        request.key, groups, request.questions, request.since, request.most
                    )
                )
        if again:
            first, self._fresh = self._fresh, []
            _, after = await self._round(client, again, haul)
            renewed = {request.key for request in again}
            self._fresh += [pair for pair in first if pair[0].key not in renewed]
        around = count_commands(before), count_commands(after)
        self.drops.note(*around)
        self.traffic.note(*around)
        for request, replies in self._fresh:
            haul.readings[request.key] = _parse(request, replies, self.drops)
        haul.info = after or {}
        return haul

    async def read_again(self, client: RedisClient, requests: Sequence[StreamRequest]) -> Haul:
        """As `read`, for streams of which the reading before is thrown away."""
        return await self.read(client, requests)

    async def _round(
        self,
        client: RedisClient,
        requests: Sequence[StreamRequest],
        haul: Haul,
        alone: bool = False,
    ) -> tuple[dict[str, str] | None, dict[str, str] | None]:
        """Read all of these between two looks at INFO."""
        batches = self._split(requests, alone)
        payload = b"".join([self._info, *map(_wrap, batches), self._info])
        walk = ReplyWalk([None, *map(self._expect, batches), None], self._head)
        await converse(client, payload, walk.feed)
        self._head = walk.head
        refused: list[StreamRequest] = []
        for batch, got in zip(batches, walk.found[1:-1], strict=True):
            refused += self._unpack(batch, got, haul)
        walk.found[0], walk.found[-1] = (judge_reply(("INFO",), walk.found[n]) for n in (0, -1))
        before, after = _parse_info(walk.found[0]), _parse_info(walk.found[-1])
        self.refused = walk.found[-1] if isinstance(walk.found[-1], TargetError) else None
        if refused:
            _, after = await self._round(client, refused, haul, alone=True)
        return before, after

    def _expect(self, batch: Sequence[StreamRequest]) -> Expected:
        return Expected(
            [request.count for request in batch], [self._known(request) for request in batch]
        )

    def _known(self, request: StreamRequest) -> bytes:
        """The bytes that say: nothing changed."""
        taken = None if request.groups or request.questions else self._taken.get(request.key)
        return taken[0] if isinstance(taken, tuple) and taken[1] == request.count else b""

    def _split(
        self, requests: Sequence[StreamRequest], alone: bool
    ) -> list[Sequence[StreamRequest]]:
        if alone or self.alone:
            return [[request] for request in requests]
        usual = (
            [request for request in requests if request.key not in self.apart]
            if self.apart
            else requests
        )
        together: list[Sequence[StreamRequest]] = [
            usual[n : n + _TOGETHER] for n in range(0, len(usual), _TOGETHER)
        ]
        return together + [[request] for request in requests if request.key in self.apart]

    def _unpack(
        self, batch: Sequence[StreamRequest], got: Got, haul: Haul
    ) -> Sequence[StreamRequest]:
        """Take in a transaction's replies; gives the streams to be read one by one, because one may
        be to blame.
        """
        error = next((reply for reply in got.refused or () if isinstance(reply, TargetError)), None)
        if error is not None and len(batch) > 1:
            self.alone = self.alone or "CROSSSLOT" in error.message
            return batch
        if len(batch) == 1:
            (self.apart.add if error is not None else self.apart.discard)(batch[0].key)
        if error is not None:
            self._fresh.append((batch[0], [error] * (1 + batch[0].count)))
            return ()
        clock = judge_reply(("TIME",), got.clock)
        if isinstance(clock, TargetError):
            raise clock
        now = parse_time(clock)
        for request, part in zip(batch, got.parts, strict=True):
            if part is None:
                haul.same[request.key] = now
            else:
                self._sort(request, got.clock, now, part, haul)
        return ()

    def _sort(
        self, request: StreamRequest, clock: list[bytes], now: float, part: Part, haul: Haul
    ) -> None:
        """Same as before, or to be parsed."""
        replies, taken = request.judge(part.replies), self._taken.get(request.key)
        plain = 2 + len(request.groups)
        listed = [
            *replies[:2],
            *map(_drop_idle, replies[2:plain]),
            *replies[plain : plain + (request.since is not None)],
        ]
        if not request.questions and listed == taken:
            haul.same[request.key] = now
            if request.plain:
                self._taken[request.key] = part.raw, request.count
            return
        self._latest[request.key] = (part.raw, request.count) if request.plain else listed
        self._fresh.append((request, [clock, *replies]))


def _wrap(batch: Sequence[StreamRequest]) -> bytes:
    return b"".join([_MULTI, _TIME, *[request.payload for request in batch], _EXEC])


def _drop_idle(reply: Any) -> Any:
    """The oldest pending entry without its idle time, which changes all the time."""
    return [[reply[0][0]]] if isinstance(reply, list) and reply else reply


def _find_unasked(request: StreamRequest, replies: list[Any]) -> list[str]:
    """Groups with pending entries whose oldest was not asked for."""
    if isinstance(replies[1], TargetError) or isinstance(replies[2], TargetError):
        return []
    holding = [_field(group, b"name") for group in replies[2] if _field(group, b"pending")]
    names = [name.decode() for name in holding if is_text(name)]
    return [name for name in names if name not in request.groups]


def _field(flat: list[Any], name: bytes) -> Any:
    """A field of a flat RESP2 map whose values are no field names."""
    return flat[flat.index(name) + 1]


def _parse_info(reply: Any) -> dict[str, str] | None:
    return None if isinstance(reply, TargetError) else parse_info(reply)


def _parse(request: StreamRequest, replies: list[Any], watch: DropWatch) -> Reading:
    error = next((reply for reply in replies[:3] if isinstance(reply, TargetError)), None)
    if error is not None:
        return Reading(None, error=error)
    names = [group[group.index(b"name") + 1] for group in replies[2]]
    odd = tuple(name for name in names if not is_text(name))
    if odd:
        readable = [group for name, group in zip(names, replies[2], strict=True) if is_text(name)]
        replies = [*replies[:2], readable, *replies[3:]]
    view = parse_snapshot(replies, request.groups, watch.calls)
    if len(replies) == 3 + len(request.groups):
        return Reading(view, odd_groups=odd)
    fresh, answers = request.sort(replies[3 + len(request.groups) :])
    if fresh is not None and request.since is not None and request.since > ZERO:
        view = replace(view, kept=request.since in fresh.ids[:1])
        fresh = replace(fresh, ids=tuple(each for each in fresh.ids if each > request.since))
    return Reading(view, answers, odd_groups=odd, fresh=fresh)


async def ask_apart(
    client: RedisClient, questions: Mapping[str, Sequence[Question]]
) -> dict[str, dict[Question, Answer]]:
    """Answers of streams, by their names, that need no snapshot with them."""
    wanted = [(name, question) for name, asked in questions.items() for question in asked]
    commands = [question_command(name.encode(), question) for name, question in wanted]
    replies = await pipeline(client, commands)
    found: dict[str, dict[Question, Answer]] = {}
    for (name, question), reply in zip(wanted, replies, strict=True):
        answer = parse_answer(question, reply)
        if answer is not None:
            found.setdefault(name, {})[question] = answer
    return found
