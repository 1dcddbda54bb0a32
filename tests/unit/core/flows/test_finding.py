"""Each stuck flow is a fault of its own, with its figures; a status that nobody leaves is one."""

from __future__ import annotations

import pytest

from sentinel.core.fault import Fault, Status
from sentinel.core.flows.family import DISAGREEMENTS, MasterRules
from sentinel.core.flows.finding import REMEDIES, Reservations, StuckFlow, make_finding
from sentinel.core.flows.history import Flow, FlowLook, History
from sentinel.core.flows.lasting import Families
from sentinel.core.flows.stuck import Crew, FlowRules, FlowSight, Worker
from sentinel.core.flows.table import TableRules
from sentinel.core.flows.verdict import FlowVerdict, judge
from sentinel.core.model import Finding
from sentinel.core.moment import from_unix
from sentinel.core.quantity import Bounds
from sentinel.probes.flows import KIND

NOW = 1_700_000_000.0
REASONS = list(REMEDIES)
NO_FAMILY = Families(MasterRules("new", frozenset({"done"})), [], 60.0)


def flow(key: str, age: float = 600.0, **reasons: str) -> Flow:
    """A flow that is planned for ten minutes, stuck for these reasons."""
    sight = FlowSight(key, "discovery", "planning", worker="w1")
    pair = ("discovery", "planning")
    return Flow(sight, NOW - age, NOW - 90.0, pair, reasons=reasons)


def find(*tables: list[Flow], labels: tuple[str, ...] = ("",), **left_out: object) -> Finding:
    verdict = FlowVerdict(NOW, [{each.sight.id: each for each in table} for table in tables])
    verdict.labels = labels
    return make_finding(History(), verdict, REASONS, Reservations(**left_out))  # type: ignore[arg-type]


def test_a_stuck_flow_says_what_why_and_since_when() -> None:
    """Its type and status, how long, the reason with its limit; the subject is its id."""
    stuck = flow("f-7", no_progress="no value changed for 40 min (limit 30 min)")
    (fault,) = find([stuck]).faults
    assert fault == Fault(
        "no_progress",
        {"flow": "f-7"},
        Status.DEGRADED,
        "flow f-7 (discovery, planning for 10 min): no value changed for 40 min (limit 30 min)",
        since=from_unix(NOW - 90.0),
        guidance=REMEDIES["no_progress"],
        parameters={"flow": "f-7"},
    )


def test_an_overdue_flow_does_not_say_its_age_twice() -> None:
    """The reason has it; it stands since the flow entered its status."""
    why = "in planning for 10 min, the limit is 5 min"
    (fault,) = find([flow("f", overdue=why)]).faults
    assert fault.text == f"flow f (discovery): {why}"
    assert fault.since == from_unix(NOW - 600.0)
    nameless = Flow(FlowSight("f", "", "planning"), NOW, NOW, ("", "planning"))
    nameless.reasons = {"overdue": why}
    assert StuckFlow(nameless, "overdue").fault(NOW).text == f"flow f: {why}"


def test_a_dead_worker_is_told_to_the_runbook() -> None:
    """Only where the worker is what is wrong."""
    found = flow("f", worker_dead="worker w1 that never beat", regression="back in planning")
    by_key = {fault.key: fault.parameters for fault in find([found]).faults}
    assert by_key == {"worker_dead": {"flow": "f", "agent": "w1"}, "regression": {"flow": "f"}}


def test_all_of_them_in_order() -> None:
    """Sixty flows are sixty faults, the one that waits longest first; reasons in their order."""
    flows = [flow(f"f{n:02}", age=n, regression="back") for n in range(60)]
    finding = find([*flows, flow("last", overdue="in planning")])
    named = [fault.subject["flow"] for fault in finding.faults]
    assert named == ["last", *(f"f{n:02}" for n in reversed(range(60)))]
    assert finding.key == ("stuck", "61/61")
    assert finding.detail.endswith(
        "; 61 open, 61 stuck; 1 overdue: last; 60 regression: f59, f58, f57 and 57 more"
    )
    assert len(finding.evidence["regression"]) == 5


def test_one_flow_with_two_reasons_is_one_flow() -> None:
    """Two faults, one stuck flow."""
    finding = find([flow("f", overdue="a", regression="b"), flow("free")])
    assert finding.key == ("stuck", "1/2")
    assert [fault.key for fault in finding.faults] == ["overdue", "regression"]


def test_the_same_id_in_two_tables_is_two_subjects() -> None:
    """A child may have its master's id."""
    found = find([flow("f", overdue="x")], [flow("f", overdue="x")], labels=("masters", "children"))
    assert [fault.subject for fault in found.faults] == [
        {"table": "masters", "flow": "f"},
        {"table": "children", "flow": "f"},
    ]
    assert len({fault.identity for fault in found.faults}) == 2


def test_a_status_that_nobody_leaves_is_one_fault() -> None:
    """However many flows are in it; it has no flow as its subject, and counts them."""
    why = "5 entered planning in 20 min, none left"
    (fault,) = find([flow(f"f{n}", age=9 - n, no_exits=why) for n in range(5)]).faults
    assert fault.subject == {"flow_type": "discovery", "status": "planning"}
    assert fault.text == f"status planning of discovery: {why}; 5 are in it: f0, f1, f2 and 2 more"
    assert fault.count == Bounds(5, 5)


def test_names_and_bounds() -> None:
    """`Order 17 (f7)`; an id of a megabyte is cut."""
    sight = FlowSight("f7", "t", "s", name="Order\n17")
    named = Flow(sight, NOW, NOW, ("t", "s"), reasons={"no_worker": "no worker has it"})
    assert find([named]).faults[0].text == "flow Order 17 (f7) (t, s for 0 ms): no worker has it"
    huge = flow("x" * 1_000_000, overdue="y" * 1_000_000)
    (fault,) = find([huge]).faults
    assert len(fault.subject["flow"]) == 200
    assert len(fault.text) < 600


def test_nothing_is_stuck() -> None:
    """Up, without a fault."""
    finding = find([flow("a"), flow("b")])
    assert (finding.status, finding.faults, finding.guidance) == (Status.UP, [], "")
    assert finding.detail == "2 open, none stuck"


def test_what_was_not_read_is_said_and_blames_nobody() -> None:
    """A table that can't be judged is unknown; a cut reading and a wrong clock are only told."""
    odd = flow("odd")
    odd.is_mapped = False
    ahead = flow("ahead")
    ahead.sight = FlowSight("ahead", "t", "s", created=NOW + 7200)
    troubles = {"public.children": ("no such column: x", "correct it")}
    finding = find([odd, ahead], limit=2, troubles=troubles)
    assert finding.status is Status.UNKNOWN
    assert [(fault.key, dict(fault.subject)) for fault in finding.faults] == [
        ("unmapped_status", {"status": "planning"}),
        ("unjudged", {"table": "public.children"}),
    ]
    assert "not judged: public.children; only the oldest 2 open flows were read" in finding.detail
    assert "1 created in the future, by up to 2 h" in finding.detail
    assert finding.evidence == {
        "unmapped": {"planning": 1},
        "not_judged": {"public.children": "no such column: x; correct it"},
    }
    assert (find([ahead]).status, find([ahead]).evidence) == (Status.UP, {})
    assert find([odd, flow("f", overdue="x")]).status is Status.DEGRADED


# --- from rows to faults --------------------------------------------------------------------------


def run(rules: FlowRules, *sights: FlowSight, age: float = 0.0) -> dict[str, str]:
    """Text of the fault by its key, for flows that were seen `age` seconds ago and now."""
    history = History()
    table = TableRules("flows", rules, {}, 3600.0, learn=False)
    for at in (NOW - age, NOW):
        verdict = judge(history, [FlowLook(at, list(sights))], [table], NO_FAMILY, at)
    finding = make_finding(history, verdict, REASONS, Reservations())
    return {fault.key: fault.text for fault in finding.faults}


def test_limits_are_in_the_sentences() -> None:
    """What was measured, and the limit that it broke."""
    crew = Crew("agents", {"w1": Worker(300.0, name="planner"), "w2": Worker(None)}, 60.0)
    rules = FlowRules("new", no_progress_after=1800.0, has_worker=True, crew=crew)
    texts = run(rules, FlowSight("f", "t", "run", worker="w1"), age=4000)
    assert texts == {
        "overdue": "flow f (t): in run for 1 h 6 min, the limit is 1 h",
        "no_progress": "flow f (t, run for 1 h 6 min): no value changed for 1 h 6 min"
        " (limit 30 min)",
        "worker_dead": "flow f (t, run for 1 h 6 min): worker planner (w1) silent for 5 min"
        " (limit 1 min)",
    }
    assert run(rules, FlowSight("f", "t", "run", worker="w2")) == {
        "worker_dead": "flow f (t, run for 0 ms): worker w2 that never beat"
    }
    assert run(rules, FlowSight("f", "t", "run", worker="w9")) == {
        "worker_unknown": "flow f (t, run for 0 ms): worker w9 is not in agents"
    }


@pytest.mark.parametrize("key", [*REASONS, "unmapped_status", "unjudged"])
def test_every_fault_is_declared(key: str) -> None:
    """With its runbook; whatever a flow's fault tells the runbook is declared."""
    kind = KIND.fault_kinds[key]
    assert kind.runbook
    if key in REASONS and key != "no_exits":
        fault = StuckFlow(flow("f", **{key: "why"}), key, "table").fault(NOW)
        assert fault.parameters.keys() <= set(kind.parameters)


def test_disagreements_have_remedies() -> None:
    """Each of the four."""
    assert set(DISAGREEMENTS) <= REMEDIES.keys()
