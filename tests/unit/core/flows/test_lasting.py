"""What counts when it lasts, and whose flows are; what proves that a child works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.flows.clock import TimeColumns
from sentinel.core.flows.evidence import WorkSigns, find_work
from sentinel.core.flows.family import Kin, MasterRules
from sentinel.core.flows.history import FlowLook, History
from sentinel.core.flows.lasting import Families, Family
from sentinel.core.flows.second import SecondRules, find_conflict
from sentinel.core.flows.stuck import FlowRules, FlowSight
from sentinel.core.flows.table import TableRules
from sentinel.core.flows.tenancy import find_foreign, find_owner_fault, normalise_tenant
from sentinel.core.flows.verdict import judge
from sentinel.core.moment.skew import Basis, ColumnClock

NOW = 1_000_000.0
MASTERS = MasterRules("new", frozenset({"done"}))
RULES = TableRules("flows", FlowRules("new", terminal=frozenset({"done"})), {}, 3600.0)


# --- evidence of work -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "sight", "work"),
    [
        (WorkSigns(progress=0.0), {"progress": 0.0}, ""),
        (WorkSigns(progress=0.0), {"progress": None}, ""),
        (WorkSigns(progress=-1.0), {"progress": None}, ""),
        (WorkSigns(progress=0.0), {"progress": 16.7}, "its progress is 16.7"),
        (WorkSigns(progress=50.0), {"progress": 50.0}, ""),
        (WorkSigns(flags=["b"]), {"begun": ("a", "b")}, "b says so"),
        (WorkSigns(flags=["c"]), {"begun": ("a", "b")}, ""),
        (WorkSigns(phases=["x", "y"]), {"flags": (False, True)}, "phase y is done"),
        (WorkSigns(statuses=frozenset({"run"})), {}, "status run"),
        (WorkSigns(statuses=frozenset({"other"})), {}, ""),
        (WorkSigns(by_status=True), {}, "status run"),
        (WorkSigns(by_status=True, unbegun=frozenset({"run"})), {}, ""),
        (WorkSigns(progress=0.0, unbegun=frozenset({"run"})), {"progress": 5.0}, ""),
        (WorkSigns(), {"progress": 5.0, "begun": ("a",), "flags": (True,)}, ""),
    ],
)
def test_what_proves_that_a_child_works(signs: WorkSigns, sight: dict, work: str) -> None:
    """Each sign alone, where it is asked; nothing in a status of those that are unbegun."""
    assert find_work(FlowSight("c", "t", "run", **sight), signs) == work


# --- two columns of status ------------------------------------------------------------------------

SECOND = SecondRules(
    "state",
    frozenset({"ended"}),
    frozenset({"asleep"}),
    {"busy": 100.0},
    500.0,
    [(frozenset({"paused"}), frozenset({"busy"}))],
)
BOTH = replace(RULES, second=SECOND)


def twofold(status: str, second: str, key: str = "f", changed: float | None = None) -> FlowSight:
    other = FlowSight(key, "t/state", second, changed=changed)
    return FlowSight(key, "t", status, changed=changed, second=other)


@pytest.mark.parametrize(
    ("status", "second", "at_odds"),
    [
        ("run", "busy", False),
        ("done", "ended", False),
        ("done", "busy", True),
        ("run", "ended", True),
        ("paused", "busy", True),
        ("paused", "asleep", False),
        ("done", "", False),
        ("", "ended", False),
    ],
)
def test_what_two_statuses_say_together(status: str, second: str, at_odds: bool) -> None:
    """Both over or none, and no forbidden pair; nothing said in one is no contradiction."""
    text = find_conflict(twofold(status, second), frozenset({"done"}), SECOND)
    assert bool(text) == at_odds
    alone = replace(SECOND, end_together=False)
    assert bool(find_conflict(twofold(status, second), frozenset({"done"}), alone)) == (
        at_odds and status == "paused"
    )


def test_one_column_alone_has_nothing_to_contradict() -> None:
    """A flow whose second status was not read."""
    assert find_conflict(FlowSight("f", "t", "done"), frozenset({"done"}), SECOND) == ""


def look(
    history: History, rules: TableRules, *sights: FlowSight, now: float = NOW
) -> dict[str, dict]:
    verdict = judge(
        history, [FlowLook(now, list(sights))], [rules], Families(MASTERS, [], 60.0), now
    )
    return {flow.sight.id: flow.reasons for flow in verdict.flows}


def test_a_contradiction_counts_when_it_lasts() -> None:
    """Proven by the last change of the row, or seen by us."""
    sight = twofold("done", "busy", changed=NOW - 59)
    assert look(History(), BOTH, sight) == {"f": {}}
    written = twofold("done", "busy", changed=NOW - 60)
    assert list(look(History(), BOTH, written)["f"]) == ["statuses_differ"]
    history, silent = History(), twofold("done", "odd")
    assert look(history, BOTH, silent, now=NOW - 60) == {"f": {}}
    assert list(look(history, BOTH, silent)["f"]) == ["statuses_differ"]


def test_a_time_that_may_be_of_several_zones_proves_nothing() -> None:
    """Nor one that the platform does not keep: then a contradiction counts from when we saw it."""
    written = twofold("done", "odd", changed=NOW - 9000)
    clock = ColumnClock("flows.updated_at", Basis.DISAGREED, "UTC", ("Asia/Tokyo",))
    patient = replace(BOTH, second=replace(SECOND, static=1e9))
    doubtful = replace(patient, clocks=TimeColumns(changed=clock))
    assert look(History(), doubtful, written) == {"f": {}}
    history = History()
    look(history, patient, now=NOW - 10)
    history.tables["flows"].changed_is_kept = False
    assert look(history, patient, written) == {"f": {}}
    assert list(look(history, patient, written, now=NOW + 60)["f"]) == ["statuses_differ"]


def test_the_second_status_has_its_own_limits_and_exceptions() -> None:
    """By status, else the general one; none while it waits, is over, or says nothing."""
    for second, seconds, late in (
        ("busy", 101.0, True), ("busy", 99.0, False), ("odd", 501.0, True), ("odd", 499.0, False),
        ("asleep", 9000.0, False), ("", 9000.0, False),
    ):  # fmt: skip
        history, sight = History(), twofold("run", second)
        rules = replace(BOTH, static=1e9)
        look(history, rules, sight, now=NOW - seconds)
        assert ("second_overdue" in look(history, rules, sight)["f"]) == late, (second, seconds)


def test_a_flow_is_counted_once_and_its_other_reasons_stay() -> None:
    """Late by both columns: one flow, two reasons; not counted again for the second column."""
    history, sight = History(), twofold("run", "busy")
    rules = replace(BOTH, static=50.0)
    look(history, rules, sight, now=NOW - 200)
    verdict = judge(history, [FlowLook(NOW, [sight])], [rules], Families(MASTERS, [], 60.0), NOW)
    (flow,) = verdict.flows
    assert list(flow.reasons) == ["overdue", "second_overdue"]
    assert flow.reasons["second_overdue"].startswith("state: in busy for 3 min 20 s")
    assert verdict.longest.keys() == {("t", "run"), ("t/state", "busy")}


def test_a_flow_that_is_over_by_its_own_status_is_not_late_in_it() -> None:
    """It is read because of its second one."""
    history, sight = History(), twofold("done", "asleep")
    rules = replace(BOTH, static=50.0, second=replace(SECOND, end_together=False))
    look(history, rules, sight, now=NOW - 9000)
    assert look(history, rules, sight) == {"f": {}}


def test_a_second_status_that_is_over_has_been_left() -> None:
    """Its stay is counted once, also while the row is still read because of its first status."""
    history = History()
    look(history, BOTH, now=NOW - 30)
    look(history, BOTH, twofold("run", "busy"), now=NOW - 20)
    for now in (NOW - 10, NOW):
        look(history, BOTH, twofold("run", "ended"), now=now)
    assert history.transitions["t/state", "busy", "ended"] == 1
    assert history.observed["t/state", "busy"].total == 1


# --- tenants --------------------------------------------------------------------------------------

NOBODY = frozenset({"1111"})


def owned(tenant: str, key: str = "f", **facts: object) -> FlowSight:
    return FlowSight(key, "t", "run", tenant=tenant, **facts)  # type: ignore[arg-type]


A, B = "0C6AD70B-EEA6-4A87-a37b-0f1f5d1e2a3b", "0c6ad70beea64a87a37b0f1f5d1e2a3b"


def test_flows_of_nobody() -> None:
    """Missing, or a fallback value; a UUID in any form, a name as it is."""
    assert find_owner_fault(owned("a"), NOBODY) is None
    assert find_owner_fault(owned(""), NOBODY) == ("tenant_missing", "it has no tenant")
    fallback = frozenset({normalise_tenant(A), "nobody"})
    for tenant in (A, B, "nobody"):
        text = f"its tenant is the fallback {tenant}"
        assert find_owner_fault(owned(tenant), fallback) == ("tenant_fallback", text)
    assert find_owner_fault(owned("Nobody"), fallback) is None


@pytest.mark.parametrize(
    ("child", "master", "foreign"),
    [
        ("a", "b", True),
        ("a", "A", True),
        (A, B, False),
        (A, A[:-1] + "c", True),
        ("", "b", False),
        ("a", "", False),
        ("1111", "b", False),
        ("a", "1111", False),
    ],
)
def test_a_master_of_another_tenant(child: str, master: str, foreign: bool) -> None:
    """Where both have a tenant of their own; what is missing is the fault of its own row."""
    assert bool(find_foreign(owned(child), owned(master, "m"), NOBODY)) == foreign
    assert find_foreign(owned(child), None, NOBODY) == ""


@pytest.mark.parametrize(
    ("created", "found"), [(None, True), (NOW - 60, True), (NOW - 59, False), (NOW + 9, True)]
)
def test_a_new_flow_has_time_to_get_its_tenant(created: float | None, found: bool) -> None:
    """A minute; an instant that is unknown or ahead excuses nobody."""
    rules = replace(RULES, has_tenant=True)
    sight = owned("", created=created)
    assert list(look(History(), rules, sight)["f"]) == (["tenant_missing"] if found else [])
    assert look(History(), RULES, sight) == {"f": {}}, "no column of tenants"
    child, master = owned("a", "c", created=created), owned("b", "m")
    members = [Family([Kin(child, master, "")], [], True, 1)]
    tables = [replace(RULES, table="masters"), replace(RULES, table="children")]
    looks = [FlowLook(NOW, [master]), FlowLook(NOW, [child])]
    verdict = judge(History(), looks, tables, Families(MASTERS, members, 60.0), NOW)
    assert list(verdict.tables[1]["c"].reasons) == (["foreign_master"] if found else [])
