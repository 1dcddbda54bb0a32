"""Do a master flow and its children agree? Four disagreements (platforms.md R14). Instants in Unix
seconds.

A master and its child are written by different transactions, so that a disagreement counts when it
lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from sentinel.core.flows.stuck import FlowSight

DISAGREEMENTS = ("master_initialized", "master_finished", "child_finished", "no_master")


@dataclass(frozen=True, slots=True)
class Kin:
    """An open child and the master that its join names; None when there is none. `work`: what
    proves that the child works, in words; "" while nothing does.
    """

    child: FlowSight
    master: FlowSight | None
    work: str


@dataclass(frozen=True, slots=True)
class FinishedChild:
    """An open master with a child that is over."""

    master: FlowSight
    child: str
    child_status: str
    child_changed: float | None


@dataclass(frozen=True, slots=True)
class MasterRules:
    """Canonical statuses of masters; `waits_for_children` empty: every status after the initial
    one. `trusts_changed`: updated_at is kept; `trusts_times`: each time means one instant.
    """

    initial: str
    terminal: frozenset[str]
    waiting: frozenset[str] = frozenset()
    waits_for_children: frozenset[str] = frozenset()
    trusts_changed: bool = True
    trusts_times: bool = True


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`subject` is stuck; `of_master` tells whose row it is. `proven`: has lasted for at least so
    many seconds.
    """

    subject: FlowSight
    reason: str
    text: str
    proven: float
    of_master: bool


def find_disagreements(
    kin: Sequence[Kin],
    done: Sequence[FinishedChild],
    rules: MasterRules,
    working: Set[str],
    now: float,
    *,
    need_master: bool,
) -> Iterator[Disagreement]:
    """All disagreements of one table of children; a master is named once per reason.

    `working`: masters with an open child in any table.
    """
    named: set[tuple[str, str]] = set()
    found = [
        *_from_children(kin, rules, now, need_master=need_master),
        *_from_masters(done, rules, working, now),
    ]
    for one in found:
        if (one.reason, one.subject.id) not in named:
            named.add((one.reason, one.subject.id))
            yield one


def _from_children(
    kin: Sequence[Kin], rules: MasterRules, now: float, *, need_master: bool
) -> Iterator[Disagreement]:
    for pair in kin:
        child, master = pair.child, pair.master
        if master is None:
            if need_master:
                known = child.created if rules.trusts_times else None
                proven = now - known if known is not None else 0.0
                yield Disagreement(child, "no_master", "no master row belongs to it", proven, False)
        elif master.status in rules.terminal:
            text = f"master {master.id:.80} is {master.status}"
            yield Disagreement(
                child,
                "master_finished",
                text,
                _proven(rules, now, child.changed, master.changed),
                False,
            )
        elif master.status == rules.initial and pair.work:
            text = f"child {child.id:.80} works already: {pair.work:.100}"
            proven = _proven(rules, now, child.changed, master.changed)
            yield Disagreement(master, "master_initialized", text, proven, True)


def _from_masters(
    done: Sequence[FinishedChild], rules: MasterRules, working: Set[str], now: float
) -> Iterator[Disagreement]:
    for one in done:
        master, text = one.master, f"child {one.child:.80} is {one.child_status}"
        proven = _proven(rules, now, one.child_changed, master.changed)
        if master.status == rules.initial:
            yield Disagreement(master, "master_initialized", text, proven, True)
        elif master.id not in working and _waits_for_child(master, rules):
            yield Disagreement(master, "child_finished", text, proven, True)


def _waits_for_child(master: FlowSight, rules: MasterRules) -> bool:
    if master.waits or master.status in rules.waiting:
        return False
    return not rules.waits_for_children or master.status in rules.waits_for_children


def _proven(rules: MasterRules, now: float, *changed: float | None) -> float:
    """Neither row was written for so long, so they have disagreed for so long; 0 when a row does
    not tell.
    """
    if not (rules.trusts_changed and rules.trusts_times):
        return 0.0
    return max(0.0, min(0.0 if at is None else now - at for at in changed))
