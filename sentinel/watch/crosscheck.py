"""The cross-check of database and bus over many runs: what was taken up, what waits for its
verdict, the totals.

Each direction moves its watermark or positions together with its totals, after its last await: a
run that fails in the middle has judged nothing, and the next one takes up the same tasks and
entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.bus.consumer_reader import find_streams
from sentinel.adapters.bus.entry_reader import (
    EntryFate,
    StreamEntry,
    count_dropping_calls,
    read_after,
    read_clock,
    read_fates,
    read_positions,
    read_stretch,
)
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis_reply import display, is_text
from sentinel.adapters.tasks.assigned import NOW, AssignedTasks
from sentinel.core.bus import crosscheck
from sentinel.core.bus.crosscheck import (
    EARLY,
    MAX_OPEN,
    PROCESSED,
    PUBLISHED,
    Assignment,
    Delivered,
    Extent,
    SampleLedger,
    SampleVerdict,
    TaskNow,
    has_time,
)
from sentinel.core.bus.delivery import Id, format_id, parse_id
from sentinel.core.bus.envelope import Envelope, Template
from sentinel.core.bus.naming import matches, quote

FLOWS = (PUBLISHED, PROCESSED)
SETTLE = 2.0
WIDE = 60.0
NARROW_PAGES, WIDE_PAGES = 3, 10
MAX_STREAMS = 50
ENTRIES_PER_STREAM = 200
FORGET_AFTER = 600.0

Verdicts = list[tuple[SampleVerdict, Mapping[str, Any]]]
NO_ROW = "entries name tasks that are not among the table's recent ones"
GIVEN_AWAY = "tasks were given away again after their entries"
DROPPED = "consumers or groups were changed meanwhile: dropped entries look like acknowledged ones"
ENTRY_GONE = "entries were trimmed or deleted before they were seen acknowledged"
NO_TIME = "stream {} has ids that are no times"


@dataclass(frozen=True, slots=True)
class CrosscheckPlan:
    """What is compared, and when it is judged. Times in seconds."""

    statements: AssignedTasks
    stream: Template
    group: Template
    exclude: Sequence[str]
    envelope: Envelope
    assigned: frozenset[str]
    published_within: float
    confirm_after: float
    effect_within: float
    samples: int
    window: float


@dataclass(slots=True)
class CrosscheckLook:
    """One run. `now` is the bus's clock, `offset` what it is ahead of the database's; why samples
    had no verdict.
    """

    plan: CrosscheckPlan
    bus: RedisClient
    database: PostgresClient
    now: float
    offset: float
    reasons: set[str] = field(default_factory=set)


@dataclass(slots=True)
class CrosscheckWatch:
    """Watermark (database clock), positions, open samples, and a ledger per direction."""

    watermark: float | None = None
    suspects: list[Assignment] = field(default_factory=list)
    open: list[Delivered] = field(default_factory=list)
    positions: dict[str, Id] = field(default_factory=dict)
    drops: int | None = None
    ledgers: dict[str, SampleLedger] = field(
        default_factory=lambda: {flow: SampleLedger() for flow in FLOWS}
    )
    turn: int = 0

    async def look(
        self, plan: CrosscheckPlan, bus: RedisClient, database: PostgresClient
    ) -> CrosscheckLook:
        """Both directions once. Raises TargetError of either server."""
        before = await read_clock(bus)
        theirs = (await database.query(NOW))[0]["now"]
        now = await read_clock(bus)
        look = CrosscheckLook(plan, bus, database, now, (before + now) / 2 - theirs)
        await self._check_published(look)
        await self._check_processed(look)
        return look

    # -- database → bus ---------------------------------------------------------------------------

    async def _check_published(self, look: CrosscheckLook) -> None:
        """Look for the entries of newly assigned tasks; one without is looked for again before it
        is missing.
        """
        fresh, upto = await self._sample_assigned(look)
        suspects, verdicts = await _look_for(look, fresh)
        waiting = [*self.suspects, *suspects]
        due = [each for each in waiting if look.now - each.at >= look.plan.confirm_after]
        verdicts += await _confirm(look, due)
        self.watermark = upto
        self.suspects = [each for each in waiting if each not in due][-MAX_OPEN:]
        self.ledgers[PUBLISHED].add(look.now, verdicts, look.plan.window)

    async def _sample_assigned(self, look: CrosscheckLook) -> tuple[list[Assignment], float]:
        """Tasks whose window has just ended, and the new watermark."""
        plan = look.plan
        end = look.now - look.offset - plan.published_within - SETTLE
        start = max(self.watermark or 0.0, end - plan.window)
        if start >= end:
            return [], start
        rows = await look.database.query(
            plan.statements.assigned, plan.statements.within(start, end, plan.samples)
        )
        found = []
        for row in rows:
            agent = row["agent"] or ""
            if agent or not plan.stream.per_agent:
                found.append(
                    Assignment(
                        row["task"], agent, plan.stream.fill(agent), row["assigned"] + look.offset
                    )
                )
        return found, end

    # -- bus → database ---------------------------------------------------------------------------

    async def _check_processed(self, look: CrosscheckLook) -> None:
        """Take up newly delivered entries, note which are acknowledged, and ask the database about
        those.
        """
        fresh, positions = await self._sample_delivered(look)
        drops = await count_dropping_calls(look.bus)
        entries, gone = await _note_acknowledged(look, [*self.open, *fresh])
        doubtful = await self._find_drops(look, entries)
        verdicts: Verdicts = [(SampleVerdict.UNMEASURABLE, {})] * (gone + len(doubtful))
        still_open = []
        for each, verdict in await _ask_about(
            look, [each for each in entries if each not in doubtful]
        ):
            if verdict is not SampleVerdict.WAIT:
                verdicts.append((verdict, _describe_effectless(each)))
            elif look.now - each.published < FORGET_AFTER + look.plan.effect_within:
                still_open.append(each)
        self.positions, self.open, self.drops = positions, still_open[-MAX_OPEN:], drops
        self.ledgers[PROCESSED].add(look.now, verdicts, look.plan.window)

    async def _sample_delivered(
        self, look: CrosscheckLook
    ) -> tuple[list[Delivered], dict[str, Id]]:
        """Entries about tasks that were delivered since the last look, and the new positions.

        The first look at a stream only takes its position: how its older entries ended is not
        known.
        """
        plan, known = look.plan, await self._find_positions(look)
        turn = self._take_turn(list(known))
        agents = {name: plan.stream.agent_of(name) or "" for name in turn}
        views = await read_positions(look.bus, turn)
        groups = {s: view.groups.get(plan.group.fill(agents[s])) for s, view in views.items()}
        delivered = {s: group.last_delivered for s, group in groups.items() if group is not None}
        places = [(s, known[s] or upto, upto) for s, upto in delivered.items()]
        found = await read_after(
            look.bus, [place for place in places if place[1] < place[2]], ENTRIES_PER_STREAM
        )
        fresh = [
            _take_up(plan, s, agents[s], entry)
            for s, mine in found.items()
            for entry in _timed(look, s, mine)
        ]
        positions = {s: max(upto, known[s] or upto) for s, upto in delivered.items()}
        kept = {s: position for s, position in known.items() if position is not None}
        chosen = crosscheck.choose(
            [e for e in fresh if e.task], plan.samples, lambda e: f"{e.stream} {e.entry}"
        )
        return chosen, {**kept, **positions}

    async def _find_positions(self, look: CrosscheckLook) -> dict[str, Id | None]:
        """The streams that are there, and how far each was looked at."""
        plan = look.plan
        found = [
            display(key) for key in await find_streams(look.bus, plan.stream.glob) if is_text(key)
        ]
        names = [
            n for n in found if plan.stream.agent_of(n) is not None and not matches(n, plan.exclude)
        ]
        return {name: self.positions.get(name) for name in names}

    def _take_turn(self, names: list[str]) -> list[str]:
        """The streams that are looked at in this run: all, or the next fifty of many."""
        start = self.turn * MAX_STREAMS % max(1, len(names))
        self.turn += 1
        return [*names, *names][start : start + min(len(names), MAX_STREAMS)]

    async def _find_drops(
        self, look: CrosscheckLook, entries: Sequence[Delivered]
    ) -> list[Delivered]:
        """Entries that left the pending list while one was emptied somewhere: acknowledged or
        dropped?
        """
        after = await count_dropping_calls(look.bus)
        if self.drops is None or after == self.drops:
            return []
        doubtful = [each for each in entries if each.acked == look.now]
        look.reasons |= {DROPPED} if doubtful else set()
        return doubtful

    # -- persistence ------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able document of everything that must survive a restart."""
        return {
            "watermark": self.watermark,
            "suspects": [asdict(each) for each in self.suspects],
            "open": [asdict(each) for each in self.open],
            "positions": {stream: format_id(entry) for stream, entry in self.positions.items()},
            "drops": self.drops,
            "ledgers": {flow: ledger.dump() for flow, ledger in self.ledgers.items()},
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> CrosscheckWatch:
        """What `dump` gave."""
        return cls(
            document["watermark"],
            [Assignment(**each) for each in document["suspects"]],
            [Delivered(**each) for each in document["open"]],
            {stream: parse_id(text) for stream, text in document["positions"].items()},
            document["drops"],
            {flow: SampleLedger.load(document["ledgers"][flow]) for flow in FLOWS},
        )


# -- database → bus -------------------------------------------------------------------------------


async def _look_for(
    look: CrosscheckLook, tasks: Sequence[Assignment]
) -> tuple[list[Assignment], Verdicts]:
    """(tasks without an entry in their windows, verdicts about the others)."""
    suspects: list[Assignment] = []
    verdicts: Verdicts = []
    for stream, mine in _by_stream(tasks).items():
        windows = crosscheck.merge_windows(
            (t.at - EARLY, t.at + look.plan.published_within) for t in mine
        )
        sight = await _read(look, stream, windows, NARROW_PAGES)
        for task in mine:
            verdict = _decide(look, task, sight)
            if verdict is SampleVerdict.BAD:
                suspects.append(task)
            else:
                verdicts.append((verdict, {}))
    return suspects, verdicts


async def _confirm(look: CrosscheckLook, tasks: Sequence[Assignment]) -> Verdicts:
    """Look once more, over a wide stretch: what an outbox published later, or by another clock, is
    not missing.
    """
    verdicts: Verdicts = []
    for stream, mine in _by_stream(tasks).items():
        stretch = (min(task.at for task in mine) - WIDE, look.now + 1)
        sight = await _read(look, stream, [stretch], WIDE_PAGES)
        verdicts += [(_decide(look, task, sight), _describe_missing(look, task)) for task in mine]
    return verdicts


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was seen of a stream: entries by task, whether all was read, and what the stream still
    keeps.
    """

    entries: Mapping[str, Sequence[Id]]
    complete: bool
    extent: Extent


async def _read(
    look: CrosscheckLook, stream: str, windows: Sequence[tuple[float, float]], pages: int
) -> _Sight:
    stretches = [await read_stretch(look.bus, stream, start, end, pages) for start, end in windows]
    entries: dict[str, list[Id]] = {}
    for stretch in stretches:
        for entry in stretch.entries:
            entries.setdefault(look.plan.envelope.task_of(entry.fields), []).append(entry.id)
    return _Sight(entries, all(stretch.complete for stretch in stretches), stretches[-1].extent)


def _decide(look: CrosscheckLook, task: Assignment, sight: _Sight) -> SampleVerdict:
    seen = sight.entries.get(task.task, ())
    within = look.plan.published_within
    verdict = crosscheck.decide_published(
        task.at, within, seen, sight.extent, complete=sight.complete
    )
    if verdict is SampleVerdict.UNMEASURABLE:
        look.reasons.add(_explain(task.stream, sight))
    return verdict


def _explain(stream: str, sight: _Sight) -> str:
    if not sight.extent.exists:
        return f"stream {stream} does not exist"
    if not sight.complete:
        return f"stream {stream} has too many entries to look at all of them"
    if sight.extent.first > (0, 0) and not has_time(sight.extent.first):
        return NO_TIME.format(stream)
    return f"stream {stream} keeps nothing as old as its tasks: trimmed, deleted from, or new"


def _describe_missing(look: CrosscheckLook, task: Assignment) -> dict[str, Any]:
    start, end = int((task.at - EARLY) * 1000), int((task.at + look.plan.published_within) * 1000)
    return {
        "task": task.task,
        "agent": task.agent,
        "stream": task.stream,
        "assigned_at": datetime.fromtimestamp(task.at, UTC).isoformat(timespec="milliseconds"),
        "look": f"XRANGE {quote(task.stream)} {start} {end} COUNT 1000",
    }


def _by_stream(tasks: Sequence[Assignment]) -> dict[str, list[Assignment]]:
    grouped: dict[str, list[Assignment]] = {}
    for task in tasks:
        grouped.setdefault(task.stream, []).append(task)
    return grouped


# -- bus → database -------------------------------------------------------------------------------


def _timed(look: CrosscheckLook, stream: str, entries: Sequence[StreamEntry]) -> list[StreamEntry]:
    """Entries whose ids are times of the last day."""
    timed = [entry for entry in entries if 0 <= look.now + 1 - entry.id[0] / 1000 <= 86400]
    if len(timed) < len(entries):
        look.reasons.add(NO_TIME.format(stream))
    return timed


def _take_up(plan: CrosscheckPlan, stream: str, agent: str, entry: StreamEntry) -> Delivered:
    task, message = plan.envelope.task_of(entry.fields), plan.envelope.message_of(entry.fields)
    return Delivered(stream, plan.group.fill(agent), format_id(entry.id), task, agent, message)


async def _note_acknowledged(
    look: CrosscheckLook, entries: Sequence[Delivered]
) -> tuple[list[Delivered], int]:
    """Entries with the time at which each was first seen acknowledged, and how many are gone
    without a trace.
    """
    waiting = [each for each in entries if each.acked is None]
    fates = await read_fates(look.bus, [(each.stream, each.group, each.entry) for each in waiting])
    noted = [
        replace(each, acked=look.now) if fate is EntryFate.ACKNOWLEDGED else each
        for each, fate in zip(waiting, fates, strict=True)
        if fate is not EntryFate.GONE
    ]
    gone = fates.count(EntryFate.GONE)
    look.reasons |= {ENTRY_GONE} if gone else set()
    return [*(each for each in entries if each.acked is not None), *noted], gone


async def _ask_about(
    look: CrosscheckLook, entries: Sequence[Delivered]
) -> list[tuple[Delivered, SampleVerdict]]:
    """The verdict about each, by the present state of its task. One statement, bound to the tasks'
    times.
    """
    tasks = await _read_tasks(look, [each for each in entries if each.acked is not None])
    verdicts = []
    for each in entries:
        task, within = tasks.get(each.task), look.plan.effect_within
        verdict = crosscheck.decide_effect(each, task, look.now, within, look.plan.published_within)
        if verdict is SampleVerdict.UNMEASURABLE:
            look.reasons.add(GIVEN_AWAY if task else NO_ROW)
        verdicts.append((each, verdict))
    return verdicts


async def _read_tasks(look: CrosscheckLook, entries: Sequence[Delivered]) -> dict[str, TaskNow]:
    if not entries:
        return {}
    plan, times = look.plan, [each.published - look.offset for each in entries]
    ids = sorted({each.task for each in entries})
    rows = await look.database.query(
        plan.statements.now_of, plan.statements.about(min(times), max(times), ids)
    )
    return {row["task"]: _task_now(look, row) for row in rows}


def _task_now(look: CrosscheckLook, row: Mapping[str, Any]) -> TaskNow:
    at = row["assigned"]
    return TaskNow(
        row["status"] in look.plan.assigned,
        row["agent"] or "",
        None if at is None else at + look.offset,
    )


def _describe_effectless(each: Delivered) -> dict[str, Any]:
    return {
        "task": each.task,
        "agent": each.agent,
        "stream": each.stream,
        "group": each.group,
        "entry": each.entry,
        "message": each.message,
        "look": f"XRANGE {quote(each.stream)} {each.entry} {each.entry}",
    }
