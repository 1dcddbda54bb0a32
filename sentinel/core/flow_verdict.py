"""From what was read of all tables of flows to one verdict per flow: reasons, and what blocks it. Seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sentinel.core.flow_family import Disagreement, Done, Kin, MasterRules, find_disagreements
from sentinel.core.flow_history import OTHER, History, Look, Pair
from sentinel.core.quantity import format_duration
from sentinel.core.stall import Memory, Rules, Sight, age_in_status, find_reasons


@dataclass(frozen=True, slots=True)
class TableRules:
    """What is normal in one table. `limits`: by status, as configured; `static`: while none is learned.

    `known`: every status that the configuration names, None when it does not claim to name all.
    """

    table: str
    rules: Rules
    limits: Mapping[str, float]
    static: float
    learn: bool = True
    known: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """What was read of one table of children beside its flows."""

    kin: Sequence[Kin]
    done: Sequence[Done]
    need_master: bool


@dataclass(frozen=True, slots=True)
class Families:
    """All tables of children; a disagreement counts after `patience` seconds."""

    master: MasterRules
    members: Sequence[Family]
    patience: float


@dataclass(slots=True)
class Flow:
    """One open flow now: seconds in its status, the longest normal stay, and reason → what blocks it."""

    sight: Sight
    age: float
    longest: float | None = None
    waits: bool = False
    is_mapped: bool = True
    reasons: dict[str, str] = field(default_factory=dict)


def judge(
    history: History, looks: Sequence[Look], tables: Sequence[TableRules], families: Families, now: float
) -> list[Flow]:
    """Take the looks into the history and judge each flow. The master's table is the first."""
    memories = [history.look(table.table, look, table.rules.order) for table, look in zip(tables, looks, strict=True)]
    history.settle({history.pair(s.type, s.status) for look in looks for s in look.sights}, now)
    flows = [
        {sight.id: _judge_one(history, table, sight, memory[sight.id]) for sight in look.sights}
        for table, look, memory in zip(tables, looks, memories, strict=True)
    ]
    _add_disagreements(history, families, tables, flows, now)
    for kin, children in zip(families.members, flows[1:], strict=True):
        _explain_masters(flows[0], children, kin.kin)
    return [flow for table_flows in flows for flow in table_flows.values()]


def _longest_stay(history: History, table: TableRules, pair: Pair) -> float:
    """The configured limit of the status, else the learned one, else the static one."""
    if pair[1] in table.limits:
        return table.limits[pair[1]]
    learned = history.limits.get(pair) if table.learn else None
    return learned.seconds if learned is not None else table.static


def _judge_one(history: History, table: TableRules, sight: Sight, memory: Memory) -> Flow:
    rules, kept = table.rules, history.tables[table.table].changed_is_kept
    age = age_in_status(sight, memory, rules.initial, trust_changed=kept)
    if table.known is not None and sight.status not in table.known:
        return Flow(sight, age, is_mapped=False)
    if sight.waits or sight.status in rules.waiting:
        return Flow(sight, age, waits=True)
    pair = history.pair(sight.type, sight.status)
    longest = _longest_stay(history, table, pair)
    reasons = find_reasons(sight, memory, rules, age, longest)
    return Flow(sight, age, longest, reasons={**reasons, **_find_blocked_passage(history, sight, pair, longest)})


def _find_blocked_passage(history: History, sight: Sight, pair: Pair, longest: float) -> dict[str, str]:
    passage = history.passages.get(pair)
    if pair[0] == OTHER or passage is None or not passage.is_blocked(history.stays.get(pair), longest, sight.now):
        return {}
    since = format_duration(sight.now - passage.start)
    return {"no_exits": f"{passage.entries} entered {sight.status} in {since}, none left"}


def _add_disagreements(
    history: History,
    families: Families,
    tables: Sequence[TableRules],
    flows: Sequence[dict[str, Flow]],
    now: float,
) -> None:
    """Those that have lasted; a master beyond the read rows gets an entry of its own."""
    found = list(_find_all(history, families, tables))
    key_of: dict[tuple[str, ...], Disagreement] = {
        (str(index), one.reason, one.subject.id): one for index, one in found
    }
    lasting = history.confirm({key: one.proven for key, one in key_of.items()}, families.patience, now)
    for key in sorted(lasting):
        one, home = key_of[key], flows[0 if key_of[key].of_master else int(key[0])]
        flow = home.setdefault(one.subject.id, Flow(one.subject, one.proven))
        flow.reasons.setdefault(one.reason, one.text)


def _find_all(history: History, families: Families, tables: Sequence[TableRules]) -> Iterator[tuple[int, Disagreement]]:
    working = {kin.master.id for member in families.members for kin in member.kin if kin.master is not None}
    for index, member in enumerate(families.members, start=1):
        kept = all(history.tables[tables[i].table].changed_is_kept for i in (0, index))
        rules = replace(families.master, trusts_changed=kept)
        for one in find_disagreements(member.kin, member.done, rules, working, need_master=member.need_master):
            yield index, one


def _explain_masters(masters: Mapping[str, Flow], children: Mapping[str, Flow], kin: Sequence[Kin]) -> None:
    """What a late master waits for; one whose child waits for people does so itself, and is not late."""
    for pair in kin:
        master = masters.get(pair.master.id) if pair.master is not None else None
        child = children.get(pair.child.id)
        if master is None or child is None:
            continue
        if child.waits:
            master.waits = True
            master.reasons = {k: v for k, v in master.reasons.items() if k not in {"overdue", "no_progress"}}
            continue
        why = f" ({next(iter(child.reasons.values()))})" if child.reasons else ""
        for reason in {"overdue", "no_progress"} & master.reasons.keys():
            if "child" not in master.reasons[reason]:
                master.reasons[reason] += f"; child {child.sight.id:.80} is {child.sight.status}{why}"
