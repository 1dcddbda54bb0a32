"""From standstills to the finding: sentences, order, figures of the whole check, doubts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sentinel.core.agents.progress import (
    AgentMemory,
    AgentSight,
    AgentStep,
    ProgressRules,
    Standstill,
    remember,
)
from sentinel.core.agents.standstill import REMEDIES, Idler, ProgressDoubts, judge_progress
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.core.moment import from_unix
from sentinel.core.quantity import Bounds

NOW = 1_700_000_000.0
RULES = ProgressRules(
    stalled_after=600, spending_after=600, spending_limit=None, repeats=3, cycle=1
)


def sight(id_: str, **facts: object) -> AgentSight:
    return AgentSight(id_, "busy", NOW, **{"open": 1, **facts})  # type: ignore[arg-type]


def waiting(seen: AgentSight, seconds: float) -> AgentMemory:
    """It has got nowhere for so long."""
    return remember(None, replace(seen, now=NOW - seconds))


def find(waits: dict[AgentSight, float], doubts: ProgressDoubts | None = None) -> Finding:
    memories = {seen.id: waiting(seen, seconds) for seen, seconds in waits.items()}
    return judge_progress(list(waits), memories, RULES, doubts or ProgressDoubts())


def values(finding: Finding) -> dict[str, float]:
    """Rows by their reason; those of all agents by their own name."""
    found: dict[str, float] = {}
    for row in finding.rows:
        for name, value in row.values.items():
            assert isinstance(value, float)
            found[row.labels.get("reason", name)] = value
    return found


def test_all_is_well() -> None:
    """Awake, at work, the longest wait; no fault, and every series at zero."""
    finding = find({sight("a"): 600.0, sight("b"): 30.0, sight("c", open=0): 9000.0})
    assert finding.status is Status.UP
    assert finding.detail == "3 awake, 2 at work, longest without progress 10 min"
    assert (finding.key, finding.guidance) == (("stalled", "0/3"), "")
    assert (finding.evidence, list(finding.faults)) == ({}, [])
    assert values(finding) == {
        "no_progress": 0.0,
        "repeated_step": 0.0,
        "spending": 0.0,
        "working": 2.0,
        "longest_wait": 600.0,
    }


def test_nobody_at_all() -> None:
    """No agent: zero of zero."""
    finding = find({})
    assert finding.detail == "0 awake, 0 at work, longest without progress 0 ms"
    assert finding.key == ("stalled", "0/0")


def test_who_gets_nowhere_is_named_with_its_figures() -> None:
    """The id is the subject, the name is for people."""
    finding = find({sight("agent-7", name="planner", open=3): 601.0, sight("b"): 1.0})
    (fault,) = finding.faults
    assert fault.text == (
        "planner (agent-7): beats, has 3 open, and finished nothing for 10 min 1 s (limit 10 min)"
    )
    assert (fault.key, fault.status) == ("no_progress", Status.DEGRADED)
    assert fault.subject == fault.parameters == {"agent": "agent-7"}
    assert fault.since == from_unix(NOW - 601)
    assert finding.status is Status.DEGRADED
    assert finding.guidance == REMEDIES["no_progress"]
    assert finding.detail.startswith(fault.text)
    assert finding.detail.endswith(
        "; 2 awake, 2 at work, longest without progress 10 min 1 s;"
        " 1 no progress: planner (agent-7)"
    )
    assert finding.key == ("stalled", "1/2")
    assert values(finding)["no_progress"] == 1.0


def test_the_one_for_longest_is_told_first() -> None:
    """Samples are bounded, faults are not; an agent that fails twice is one that stalls."""
    waits = {sight(f"a{n}"): 700.0 + n for n in range(7)}
    finding = find(waits)
    assert [fault.subject["agent"] for fault in finding.faults][:2] == ["a6", "a5"]
    assert len(finding.faults) == 7
    shown = finding.evidence["no_progress"]
    assert [each["agent"] for each in shown] == ["a6", "a5", "a4", "a3", "a2"]
    assert shown[0] == {
        "agent": "a6",
        "status": "busy",
        "open": 1,
        "seen": "beats, has 1 open, and finished nothing for 11 min 46 s",
    }
    assert "7 no progress: a6, a5, a4 and 4 more" in finding.detail


def test_two_ways_of_one_agent_are_two_faults() -> None:
    """And one agent of one."""
    steps = tuple(AgentStep("d", "call the tool", NOW - n) for n in range(3))
    finding = find({sight("a", steps=steps): 601.0})
    assert sorted(fault.key for fault in finding.faults) == ["no_progress", "repeated_step"]
    assert finding.key == ("stalled", "1/1")
    assert values(finding)["repeated_step"] == 1.0


def test_who_sleeps_is_silent_by_right() -> None:
    """Neither awake, nor at work, nor stalled."""
    finding = find({sight("a", is_awake=False): 9000.0})
    assert finding.status is Status.UP
    assert finding.detail.startswith("0 awake, 0 at work")


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "1 agent is in status 'odd', which nobody mapped"),
        (2, "2 agents are in status 'odd', which nobody mapped"),
    ],
)
def test_a_status_that_nobody_mapped(n: int, text: str) -> None:
    """Unknown, and nobody's fault; counted."""
    finding = find({sight("a"): 1.0}, ProgressDoubts(Counter({"odd": n})))
    (fault,) = finding.faults
    assert (fault.text, fault.status, fault.count) == (text, Status.UNKNOWN, Bounds(n, n))
    assert fault.subject == {"status": "odd"}
    assert finding.evidence["unmapped"] == {"odd": n}


def test_a_status_of_null_has_a_name() -> None:
    """And a long one is cut."""
    doubts = ProgressDoubts(Counter({"": 2, "x" * 90: 1}))
    assert [fault.subject["status"] for fault in find({}, doubts).faults] == ["NULL", "x" * 60]


def test_what_could_not_be_judged() -> None:
    """Part, problem and remedy; a look that was cut says so."""
    doubts = ProgressDoubts(troubles={"spending": ("no column tokens", "name it")}, limit=500)
    finding = find({sight("a"): 1.0}, doubts)
    (fault,) = finding.faults
    assert (fault.key, fault.subject) == ("unjudged", {"part": "spending"})
    assert (fault.text, fault.guidance) == ("spending not judged: no column tokens", "name it")
    assert finding.evidence == {"not_judged": {"spending": "no column tokens; name it"}}
    assert finding.detail.endswith("not judged: spending; only 500 agents were read")
    assert finding.status is Status.UNKNOWN


def test_the_subject_is_bounded_and_an_unknown_instant_stays_unknown() -> None:
    """A foreign id may be of any length."""
    how = Standstill("spending", "spent 5 in 1 h without progress", "3")
    fault = Idler(sight("x" * 300), how).fault
    assert fault.subject == {"agent": "x" * 200}
    assert fault.since is None
    assert fault.guidance == REMEDIES["spending"]
    assert fault.text.endswith("spent 5 in 1 h without progress (limit 3)")
