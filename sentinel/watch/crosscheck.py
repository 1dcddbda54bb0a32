"""The cross-check of database and bus over many runs: what was taken up, what waits for its
verdict, the totals.

Each direction moves its watermark or positions together with its totals, after its last await: a
run that fails in the middle has judged nothing, and the next one takes up the same tasks and
entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
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
)
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, is_text
from sentinel.adapters.tasks.assigned import NOW
from sentinel.core.bus import crosscheck
from sentinel.core.bus.crosscheck import (
    MAX_OPEN,
    PROCESSED,
    PUBLISHED,
    Assignment,
    Delivered,
    ReadRange,
    SampleLedger,
    SampleVerdict,
    TaskNow,
)
from sentinel.core.bus.delivery import Id, format_id, parse_id
from sentinel.core.bus.naming import matches, quote
from sentinel.watch.crosscheck_clock import FARTHEST, CrosscheckClock
from sentinel.watch.crosscheck_look import NO_TIME, CrosscheckLook, CrosscheckPlan, Verdicts
from sentinel.watch.crosscheck_published import confirm, look_for

FLOWS = (PUBLISHED, PROCESSED)
SETTLE = 2.0
MAX_RANGES = 100
MAX_STREAMS = 50
ENTRIES_PER_STREAM = 200
FORGET_AFTER = 600.0

NO_ROW = "entries name tasks that are not among the table's recent ones"
GIVEN_AWAY = "tasks were given away again after their entries"
DROPPED = "consumers or groups were changed meanwhile: dropped entries look like acknowledged ones"
ENTRY_GONE = "entries were trimmed or deleted before they were seen acknowledged"


@dataclass(slots=True)
class CrosscheckWatch:
    """Watermark (database clock), positions, open samples, and a ledger per direction; ranges that
    are read once more, and what is known of the table's times.
    """

    watermark: float | None = None
    suspects: list[Assignment] = field(default_factory=list)
    open: list[Delivered] = field(default_factory=list)
    positions: dict[str, Id] = field(default_factory=dict)
    drops: int | None = None
    ledgers: dict[str, SampleLedger] = field(
        default_factory=lambda: {flow: SampleLedger() for flow in FLOWS}
    )
    ranges: list[ReadRange] = field(default_factory=list)
    clock: CrosscheckClock = field(default_factory=CrosscheckClock)
    turn: int = 0

    async def look(
        self,
        plan: CrosscheckPlan,
        bus: RedisClient,
        database: PostgresClient,
        back: float = FARTHEST,
    ) -> CrosscheckLook:
        """Both directions once; where nothing can be compared, neither, and both stay where they
        are. `back`: how far back the newest task is looked for. Raises TargetError of either
        server.
        """
        clock = deepcopy(self.clock)
        settled = plan.published_within + SETTLE
        times = await clock.look(plan.statements, database, back, settled, plan.window)
        if clock.read_as != self.clock.read_as and self.clock.read_as:
            self.suspects, self.ranges = [], []  # of times that were read in another zone
        before = await read_clock(bus)
        theirs = (await database.query(NOW))[0]["now"]
        now = await read_clock(bus)
        look = CrosscheckLook(plan, bus, database, now, (before + now) / 2 - theirs, times)
        skewed: Verdicts = [(SampleVerdict.SKEWED, {})] * times.skewed
        if times.is_blind:
            self.ledgers[PUBLISHED].add(now, skewed, plan.window)
            self.ledgers[PROCESSED].add(now, [], plan.window)
            self.clock = clock
            return look
        await self._check_published(look, skewed)
        self.clock = clock
        await self._check_processed(look)
        return look

    # -- database → bus ---------------------------------------------------------------------------

    async def _check_published(self, look: CrosscheckLook, skewed: Verdicts) -> None:
        """Look for the entries of newly assigned tasks; one without is looked for again before it
        is missing.
        """
        fresh, read = await self._sample_assigned(look)
        late, kept, arrivals = await self._recount(look)
        suspects, verdicts = await look_for(look, [*fresh, *late])
        waiting = [*self.suspects, *suspects]
        due = [each for each in waiting if look.now - each.at >= look.plan.confirm_after]
        verdicts += await confirm(look, due)
        self.watermark = read.end if read is not None else self.watermark
        self.ranges = [*kept, *([read] if read is not None else [])][-MAX_RANGES:]
        self.suspects = [each for each in waiting if each not in due][-MAX_OPEN:]
        self.ledgers[PUBLISHED].add(look.now, [*skewed, *verdicts], look.plan.window, arrivals)

    async def _sample_assigned(
        self, look: CrosscheckLook
    ) -> tuple[list[Assignment], ReadRange | None]:
        """Tasks whose window has just ended, and the range that was read."""
        plan = look.plan
        end = look.now - look.offset - plan.published_within - SETTLE
        start = max(self.watermark or 0.0, end - plan.window)
        if start >= end:
            return [], None
        return await _read_range(look, start, end)

    async def _recount(self, look: CrosscheckLook) -> tuple[list[Assignment], list[ReadRange], int]:
        """Tasks that became visible after their range was read, the ranges that are still too
        young, and how many there were at least: a transaction may commit long after its times, and
        a background writer write them late.
        """
        due = look.now - look.offset - look.plan.confirm_after - SETTLE
        late: list[Assignment] = []
        arrivals = 0
        for known in self.ranges:
            if known.end <= due:
                found, now_there = await _read_range(look, known.start, known.end)
                more, sure = known.find_arrivals(now_there.n, now_there.tasks)
                late += [each for each in found if each.task in sure]
                arrivals += more
        return late, [each for each in self.ranges if each.end > due], arrivals

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
            "ranges": [asdict(each) for each in self.ranges],
            "clock": self.clock.dump(),
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
            [_load_range(each) for each in document.get("ranges", ())],
            CrosscheckClock.load(document.get("clock")),
        )


def _load_range(document: Mapping[str, Any]) -> ReadRange:
    return ReadRange(**{**document, "tasks": tuple(document["tasks"])})


# -- database → bus -------------------------------------------------------------------------------


async def _read_range(
    look: CrosscheckLook, start: float, end: float
) -> tuple[list[Assignment], ReadRange]:
    """A sample of the tasks that were assigned in a range, without those whose times can't be."""
    plan = look.plan
    rows = await look.database.query(
        plan.statements.assigned, plan.statements.within(start, end, plan.samples)
    )
    found = []
    for row in rows:
        agent, at = row["agent"] or "", row["assigned"]
        if (agent or not plan.stream.per_agent) and not look.is_odd(row):
            stream, is_doubtful = plan.stream.fill(agent), look.is_doubtful(at)
            found.append(Assignment(row["task"], agent, stream, at + look.offset, is_doubtful))
    n = rows[0]["n"] if rows else 0
    return found, ReadRange(start, end, n, tuple(row["task"] for row in rows))


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
        at is not None and (look.is_odd(row) or look.is_doubtful(at)),
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
