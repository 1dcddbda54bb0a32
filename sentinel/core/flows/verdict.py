"""From what was read of all tables of flows to one verdict per flow: reasons, and what blocks it.
Seconds.

A flow about which there is nothing to say is looked at again when its row changes, or when its time
has come: by its limit, its last progress, its worker. So thousands of flows that get on cost next
to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sentinel.core.flows.clock import TimeScreen
from sentinel.core.flows.history import OTHER, Flow, FlowLook, FlowPast, History, Pair
from sentinel.core.flows.lasting import Families, Flows, add_lasting, explain_masters
from sentinel.core.flows.standing import StatusStanding, find_standing
from sentinel.core.flows.stuck import (
    FlowMemory,
    FlowSight,
    find_reasons,
    is_full,
)
from sentinel.core.flows.table import StayLimit, TableRules, find_limit
from sentinel.core.quantity import format_duration


@dataclass(slots=True)
class FlowVerdict:
    """All open flows, by table and id, and the longest normal stay where one was asked for; `now`:
    Unix seconds. `labels`: names of the tables for people; `shows`: how to look at a row of each;
    `screens`: what their times may mean.
    """

    now: float
    tables: list[Flows]
    labels: Sequence[str] = ()
    longest: dict[Pair, StayLimit] = field(default_factory=dict)
    shows: Sequence[str] = ()
    screens: list[TimeScreen] = field(default_factory=list)

    @property
    def flows(self) -> Iterator[Flow]:
        """All of them."""
        for table in self.tables:
            yield from table.values()


def judge(
    history: History,
    looks: Sequence[FlowLook | None],
    tables: Sequence[TableRules],
    families: Families,
    now: float,
) -> FlowVerdict:
    """Take the looks into the history and judge each flow. The master's table is the first; None
    was not read.
    """
    seconds = [_by_second(history, *each) for each in zip(tables, looks, strict=True)]
    both = [*zip(tables, looks, strict=True), *(each for each in seconds if each is not None)]
    read = [(table, look) for table, look in both if look is not None]
    for rules, seen in read:
        is_own = any(rules is table for table in tables)  # a second status is no stay of its own
        settles = rules.judges if is_own else None
        history.look(rules.table, seen, rules.rules.order, rules.clocks, settles)
    history.settle(
        {
            history.pair(*kind)
            for _, look in read
            for kind in {(s.type, s.status) for s in look.sights}
        },
        now,
    )
    verdict = FlowVerdict(now, [], [t.label for t in tables], shows=[t.show for t in tables])
    for table, look, second in zip(tables, looks, seconds, strict=True):
        flows = {} if look is None else _judge_table(history, table, look, verdict)
        verdict.tables.append(flows)
        past = history.tables.get(table.table)
        verdict.screens.append(TimeScreen(table.clocks) if past is None else past.screen)
        if second is not None:
            late = _judge_table(history, *second, verdict)
            _add_second(flows, late, table.second.column if table.second else "")
    add_lasting(history, families, tables, looks, verdict.tables, now)
    for member in families.members:
        explain_masters(verdict.tables[0], verdict.tables[member.home], member.kin)
    return verdict


def _judge_table(
    history: History, table: TableRules, look: FlowLook, verdict: FlowVerdict
) -> Flows:
    bench = _Bench(history, table, verdict.now)
    flows = bench.judge(look)
    for pair, limit in bench.limits.items():
        known = verdict.longest.get(pair)
        if known is None or known.seconds < limit.longest.seconds:
            verdict.longest[pair] = limit.longest
    return flows


def _by_second(
    history: History, table: TableRules, look: FlowLook | None
) -> tuple[TableRules, FlowLook] | None:
    """The same flows by their second status, those that are not over by it."""
    rules, own = table.by_second, table.second
    if rules is None or own is None or look is None:
        return None
    all_ = [s.second for s in (*look.sights, *look.gone) if s.second is not None]
    past = history.tables.get(rules.table)
    known = past.flows.keys() if past is not None else set()
    here = [sight for sight in all_ if sight.status and sight.status not in own.terminal]
    open_ = {sight.id for sight in here}
    over = [sight for sight in all_ if sight.id in known and sight.id not in open_]
    return rules, FlowLook(look.now, here, over, look.saw_all)


def _add_second(flows: Flows, by_second: Flows, column: str) -> None:
    """What is too long in its second status is one flow, late for one more reason."""
    for key, late in by_second.items():
        if key in flows and (text := late.reasons.get("overdue")):
            reasons = {**flows[key].reasons, "second_overdue": f"{column:.60}: {text}"}
            flows[key] = replace(flows[key], reasons=reasons)


@dataclass(frozen=True, slots=True)
class _Limit:
    """Of one type and status: the longest normal stay; whether nobody leaves it, in words."""

    longest: StayLimit
    blocked: str


class _Bench:
    """Judges the flows of one table at one instant."""

    def __init__(self, history: History, table: TableRules, now: float) -> None:
        self._history, self._table, self._now = history, table, now
        self.limits: dict[Pair, _Limit] = {}
        crew = table.rules.crew
        self._live = (
            None if crew is None else {name for name in crew.workers if crew.has_live(name)}
        )
        after = table.rules.no_progress_after
        self._still_before = float("-inf") if after is None else now - after

    def judge(self, look: FlowLook) -> dict[str, Flow]:
        """Each flow of the table; those about which there is nothing to say are kept for the next
        look.
        """
        past = self._history.tables[self._table.table]
        known, memories = past.quiet, past.flows
        past.quiet = {}
        flows: dict[str, Flow] = {}
        for sight in look.sights:
            flow = known.get(sight.id)
            if (
                flow is None
                or flow.sight is not sight
                or not (flow.is_exempt or self._is_still_quiet(flow))
            ):
                flow = self._judge_one(past, sight, memories[sight.id])
            flows[sight.id] = flow
            if "overdue" in flow.reasons:
                self._history.note_late(past, sight)
            if not flow.reasons and self._tells_its_time(flow):
                past.quiet[sight.id] = flow
        return flows

    def _is_still_quiet(self, flow: Flow) -> bool:
        limit, begun = self._limit(flow.pair), flow.sight.status != self._table.rules.initial
        if (
            limit.blocked
            or flow.since < self._now - limit.longest.seconds
            or (begun and flow.moved < self._still_before)
        ):
            return False
        worker = flow.sight.worker
        return self._live is None or not worker or worker in self._live

    def _tells_its_time(self, flow: Flow) -> bool:
        """Whether time, its limits and its worker are all that can make a reason of an unchanged
        row.
        """
        sight, rules = flow.sight, self._table.rules
        if flow.unsure or flow.latest > self._now:
            return False
        if flow.is_exempt:
            return True
        idle = rules.has_worker and not sight.worker and sight.status != rules.initial
        return not idle and not is_full(sight, rules)

    def _limit(self, pair: Pair) -> _Limit:
        limit = self.limits.get(pair)
        if limit is None:
            stays = None if pair[0] == OTHER else self._history.stays.get(pair)
            longest = find_limit(self._table, pair[1], stays, self._now)
            blocked = _find_blocked(self._history, pair, longest.seconds, self._now)
            limit = self.limits[pair] = _Limit(longest, blocked)
        return limit

    def _judge_one(self, past: FlowPast, sight: FlowSight, memory: FlowMemory) -> Flow:
        rules, now = self._table.rules, self._now
        kept, screen = past.changed_is_kept, past.screen
        standing = find_standing(
            sight, memory, rules.initial, now, trust_changed=kept, screen=screen
        )
        pair = self._history.pair(sight.type, sight.status)
        flow = Flow(sight, standing.since, memory.moved, pair, is_skewed=standing.is_skewed)
        flow.latest = max(sight.entered or 0.0, sight.created or 0.0, sight.changed or 0.0)
        if self._table.known is not None and sight.status not in self._table.known:
            flow.is_mapped = False
        elif sight.waits or sight.status in rules.waiting:
            flow.waits = True
        elif sight.status in rules.terminal:
            flow.is_over = True
        else:
            self._find_reasons(flow, memory, standing)
        return flow

    def _find_reasons(self, flow: Flow, memory: FlowMemory, standing: StatusStanding) -> None:
        limit, now = self._limit(flow.pair), self._now
        longest, rules = limit.longest.seconds, self._table.rules
        reasons = find_reasons(flow.sight, memory, rules, flow.age(now), longest, now)
        if "overdue" in reasons:
            reasons["overdue"] += limit.longest.basis
        elif now - standing.earliest > longest:
            flow.unsure = standing.role
        if limit.blocked:
            reasons["no_exits"] = limit.blocked
        flow.reasons = reasons


def _find_blocked(history: History, pair: Pair, longest: float, now: float) -> str:
    passage = history.passages.get(pair)
    if (
        pair[0] == OTHER
        or passage is None
        or not passage.is_blocked(history.stays.get(pair), longest, now)
    ):
        return ""
    return (
        f"{passage.entries} entered {pair[1]} in {format_duration(now - passage.start)}, none left"
    )
