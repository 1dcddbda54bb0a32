"""From what was read of all tables of flows to one verdict per flow: reasons, and what blocks it.
Seconds.

A flow about which there is nothing to say is looked at again when its row changes, or when its time
has come: by its limit, its last progress, its worker. So thousands of flows that get on cost next
to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sentinel.core.flows.family import (
    Disagreement,
    FinishedChild,
    Kin,
    MasterRules,
    find_disagreements,
)
from sentinel.core.flows.history import OTHER, Flow, FlowLook, FlowPast, History, Pair
from sentinel.core.flows.stuck import (
    FlowMemory,
    FlowRules,
    FlowSight,
    find_reasons,
    in_status_since,
    is_full,
)
from sentinel.core.quantity import format_duration


@dataclass(frozen=True, slots=True)
class TableRules:
    """What is normal in one table. `limits`: by status, as configured; `static`: while none is
    learned.

    `known`: every status that the configuration names, None when it does not claim to name all.
    `label`: name of the table for people; "" where there is only one.
    """

    table: str
    rules: FlowRules
    limits: Mapping[str, float]
    static: float
    learn: bool = True
    known: frozenset[str] | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """What was read of one table of children beside its flows; `home`: which table has the rows of
    the children.
    """

    kin: Sequence[Kin]
    done: Sequence[FinishedChild]
    need_master: bool
    home: int


@dataclass(frozen=True, slots=True)
class Families:
    """All tables of children; a disagreement counts after `patience` seconds.

    `is_complete`: every table of children could be read; else nobody knows whether a master's
    children are all over.
    """

    master: MasterRules
    members: Sequence[Family]
    patience: float
    is_complete: bool = True


@dataclass(slots=True)
class FlowVerdict:
    """All open flows, by table and id, and the longest normal stay where one was asked for; `now`:
    Unix seconds. `labels`: names of the tables for people.
    """

    now: float
    tables: list[dict[str, Flow]]
    labels: Sequence[str] = ()
    longest: dict[Pair, float] = field(default_factory=dict)

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
    read = [(table, look) for table, look in zip(tables, looks, strict=True) if look is not None]
    for table, look in read:
        history.look(table.table, look, table.rules.order)
    history.settle(
        {
            history.pair(*kind)
            for _, look in read
            for kind in {(s.type, s.status) for s in look.sights}
        },
        now,
    )
    verdict = FlowVerdict(now, [], [table.label for table in tables])
    for table, seen in zip(tables, looks, strict=True):
        bench = _Bench(history, table, now)
        verdict.tables.append(bench.judge(seen) if seen is not None else {})
        for pair, limit in bench.limits.items():
            verdict.longest[pair] = max(limit.longest, verdict.longest.get(pair, 0.0))
    _add_disagreements(history, families, tables, verdict)
    for member in families.members:
        _explain_masters(verdict.tables[0], verdict.tables[member.home], member.kin)
    return verdict


@dataclass(frozen=True, slots=True)
class _Limit:
    """Of one type and status: the longest normal stay; whether nobody leaves it, in words."""

    longest: float
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
            if not flow.reasons and self._tells_its_time(flow):
                past.quiet[sight.id] = flow
        return flows

    def _is_still_quiet(self, flow: Flow) -> bool:
        limit, begun = self._limit(flow.pair), flow.sight.status != self._table.rules.initial
        if (
            limit.blocked
            or flow.since < self._now - limit.longest
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
        if sight.entered is not None and sight.entered > self._now:
            return False
        if flow.is_exempt:
            return True
        idle = rules.has_worker and not sight.worker and sight.status != rules.initial
        return not idle and not is_full(sight, rules)

    def _limit(self, pair: Pair) -> _Limit:
        limit = self.limits.get(pair)
        if limit is None:
            longest = _longest_stay(self._history, self._table, pair)
            limit = self.limits[pair] = _Limit(
                longest, _find_blocked(self._history, pair, longest, self._now)
            )
        return limit

    def _judge_one(self, past: FlowPast, sight: FlowSight, memory: FlowMemory) -> Flow:
        rules, now = self._table.rules, self._now
        since = in_status_since(
            sight, memory, rules.initial, now, trust_changed=past.changed_is_kept
        )
        flow = Flow(sight, since, memory.moved, self._history.pair(sight.type, sight.status))
        if self._table.known is not None and sight.status not in self._table.known:
            flow.is_mapped = False
        elif sight.waits or sight.status in rules.waiting:
            flow.waits = True
        else:
            limit = self._limit(flow.pair)
            flow.reasons = find_reasons(sight, memory, rules, flow.age(now), limit.longest, now)
            if limit.blocked:
                flow.reasons["no_exits"] = limit.blocked
        return flow


def _longest_stay(history: History, table: TableRules, pair: Pair) -> float:
    """The configured limit of the status, else the learned one, else the static one."""
    if pair[1] in table.limits:
        return table.limits[pair[1]]
    learned = history.limits.get(pair) if table.learn else None
    return learned.seconds if learned is not None else table.static


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


def _add_disagreements(
    history: History, families: Families, tables: Sequence[TableRules], verdict: FlowVerdict
) -> None:
    """Those that have lasted; a master beyond the read rows gets an entry of its own."""
    now = verdict.now
    found = list(_find_all(history, families, tables, now))
    key_of: dict[tuple[str, ...], Disagreement] = {
        (str(index), one.reason, one.subject.id): one for index, one in found
    }
    lasting = history.confirm(
        {key: one.proven for key, one in key_of.items()}, families.patience, now
    )
    for key in sorted(lasting):
        one, member = key_of[key], families.members[int(key[0]) - 1]
        home = verdict.tables[0 if one.of_master else member.home]
        pair = history.pair(one.subject.type, one.subject.status)
        flow = home.get(one.subject.id) or Flow(one.subject, now - one.proven, now, pair)
        home[one.subject.id] = replace(
            flow, reasons={**flow.reasons, one.reason: flow.reasons.get(one.reason, one.text)}
        )


def _find_all(
    history: History, families: Families, tables: Sequence[TableRules], now: float
) -> Iterator[tuple[int, Disagreement]]:
    working = {
        kin.master.id for member in families.members for kin in member.kin if kin.master is not None
    }
    for index, member in enumerate(families.members, start=1):
        kept = all(history.tables[tables[i].table].changed_is_kept for i in (0, member.home))
        rules = replace(families.master, trusts_changed=kept)
        for one in find_disagreements(
            member.kin, member.done, rules, working, now, need_master=member.need_master
        ):
            if families.is_complete or one.reason != "child_finished":
                yield index, one


def _explain_masters(
    masters: Mapping[str, Flow], children: Mapping[str, Flow], kin: Sequence[Kin]
) -> None:
    """What a late master waits for; one whose child waits for people does so itself, and is not
    late.
    """
    for pair in kin:
        master = masters.get(pair.master.id) if pair.master is not None else None
        child = children.get(pair.child.id)
        if (
            master is None
            or child is None
            or not {"overdue", "no_progress"} & master.reasons.keys()
        ):
            continue
        if child.waits:
            master.reasons = {
                k: v for k, v in master.reasons.items() if k not in {"overdue", "no_progress"}
            }
            continue
        why = f" ({next(iter(child.reasons.values()))})" if child.reasons else ""
        for reason in {"overdue", "no_progress"} & master.reasons.keys():
            if "child" not in master.reasons[reason]:
                master.reasons[reason] += (
                    f"; child {child.sight.id:.80} is {child.sight.status}{why}"
                )
