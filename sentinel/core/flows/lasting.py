"""What counts when it lasts: master and child, or two columns of status, at odds. And whose flows
are. Instants in Unix seconds.

The rows that disagree are written by different transactions, and a flow that was just created may
not have its tenant yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sentinel.core.flows.family import FinishedChild, Kin, MasterRules, find_disagreements
from sentinel.core.flows.history import Flow, FlowLook, History
from sentinel.core.flows.second import find_conflict
from sentinel.core.flows.stuck import FlowSight
from sentinel.core.flows.table import TableRules
from sentinel.core.flows.tenancy import FOREIGN, find_foreign, find_owner_fault

DIFFER = "statuses_differ"
Flows = dict[str, Flow]


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
    children are all over. `fallback`: tenants of nobody, normalised.
    """

    master: MasterRules
    members: Sequence[Family]
    patience: float
    is_complete: bool = True
    fallback: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FlowSuspicion:
    """`subject`, a row of table `home`, is at odds. `proven`: has lasted for at least so many
    seconds.
    """

    key: tuple[str, ...]
    home: int
    subject: FlowSight
    reason: str
    text: str
    proven: float


def add_lasting(
    history: History,
    families: Families,
    tables: Sequence[TableRules],
    looks: Sequence[FlowLook | None],
    found: Sequence[Flows],
    now: float,
) -> None:
    """Give each flow in `found` the reasons that have lasted; a master beyond the read rows gets an
    entry of its own.
    """
    suspects = {
        one.key: one
        for one in (
            *_find_families(history, families, tables, now),
            *_find_differing(history, tables, looks, now),
        )
    }
    lasting = history.confirm(
        {key: one.proven for key, one in suspects.items()}, families.patience, now
    )
    owners = _find_owners(history, families, tables, looks, now)
    for one in (*(suspects[key] for key in sorted(lasting)), *owners):
        _add(history, found[one.home], one, now)


def _add(history: History, home: Flows, one: FlowSuspicion, now: float) -> None:
    pair = history.pair(one.subject.type, one.subject.status)
    flow = home.get(one.subject.id) or Flow(one.subject, now - one.proven, now, pair)
    text = flow.reasons.get(one.reason, one.text)
    home[one.subject.id] = replace(flow, reasons={**flow.reasons, one.reason: text})


def _find_families(
    history: History, families: Families, tables: Sequence[TableRules], now: float
) -> Iterator[FlowSuspicion]:
    working = {
        kin.master.id for member in families.members for kin in member.kin if kin.master is not None
    }
    for index, member in enumerate(families.members, start=1):
        kept = all(_keeps_changed(history, tables[i]) for i in (0, member.home))
        plain = all(_is_plain(history, tables[i]) for i in (0, member.home))
        rules = replace(families.master, trusts_changed=kept, trusts_times=plain)
        for one in find_disagreements(
            member.kin, member.done, rules, working, now, need_master=member.need_master
        ):
            if families.is_complete or one.reason != "child_finished":
                key, home = (str(index), one.reason, one.subject.id), member.home
                home = 0 if one.of_master else home
                yield FlowSuspicion(key, home, one.subject, one.reason, one.text, one.proven)


def _keeps_changed(history: History, table: TableRules) -> bool:
    past = history.tables.get(table.table)
    return past is not None and past.changed_is_kept


def _is_plain(history: History, table: TableRules) -> bool:
    past = history.tables.get(table.table)
    return past is None or past.screen.is_plain


def _find_differing(
    history: History,
    tables: Sequence[TableRules],
    looks: Sequence[FlowLook | None],
    now: float,
) -> Iterator[FlowSuspicion]:
    """Flows whose two columns of status contradict each other."""
    for home, (table, look) in enumerate(zip(tables, looks, strict=True)):
        if table.second is None or look is None:
            continue
        kept = _keeps_changed(history, table) and _is_plain(history, table)
        for sight in look.sights:
            if text := find_conflict(sight, table.rules.terminal, table.second):
                at = sight.changed if kept else None
                proven = 0.0 if at is None else max(0.0, now - at)
                yield FlowSuspicion(
                    (table.table, DIFFER, sight.id), home, sight, DIFFER, text, proven
                )


def _find_owners(
    history: History,
    families: Families,
    tables: Sequence[TableRules],
    looks: Sequence[FlowLook | None],
    now: float,
) -> Iterator[FlowSuspicion]:
    """Flows of nobody and of another's master. They have had `patience` seconds for their tenant."""

    def is_settled(home: int, sight: FlowSight) -> bool:
        past = history.tables.get(tables[home].table)
        if past is None or past.screen.is_plain:
            at = sight.created
        else:
            memory = past.flows.get(sight.id)
            at = memory.since if memory is not None else None
        return at is None or not now - families.patience < at <= now

    for home, (table, look) in enumerate(zip(tables, looks, strict=True)):
        if not table.has_tenant or look is None:
            continue
        for sight in look.sights:
            fault = find_owner_fault(sight, families.fallback)
            if fault is not None and is_settled(home, sight):
                yield FlowSuspicion((), home, sight, *fault, 0.0)
    for member in families.members:
        for kin in member.kin:
            text = find_foreign(kin.child, kin.master, families.fallback)
            if text and is_settled(member.home, kin.child):
                yield FlowSuspicion((), member.home, kin.child, FOREIGN, text, 0.0)


def explain_masters(
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
