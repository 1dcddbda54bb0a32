"""Agents that get nowhere, one look after the other: what is progress, what is none."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from sentinel.core.agents.progress import (
    REASONS,
    AgentMemory,
    AgentSight,
    AgentStep,
    ProgressRules,
    count_repeats,
    dump_memory,
    find_standstills,
    load_memory,
    remember,
)
from sentinel.core.agents.standstill import REMEDIES, ProgressDoubts, judge_progress
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.core.moment import from_unix
from sentinel.probes.agent_progress import KIND

NOW = 1_700_000_000.0
RULES = ProgressRules(
    stalled_after=1800, spending_after=1800, spending_limit=None, repeats=3, cycle=2
)
AT_WORK = AgentSight("agent-7", "busy", NOW, open=2)


def later(sight: AgentSight, seconds: float, **changes: object) -> AgentSight:
    """The same agent so many seconds later."""
    return replace(sight, now=sight.now + seconds, **changes)  # type: ignore[arg-type]


def watch(*sights: AgentSight) -> AgentMemory:
    """The memory after all of these looks."""
    memory = None
    for sight in sights:
        memory = remember(memory, sight)
    assert memory is not None
    return memory


def reasons(*sights: AgentSight, rules: ProgressRules = RULES) -> list[str]:
    return [each.reason for each in find_standstills(sights[-1], watch(*sights), rules)]


def test_open_work_without_progress() -> None:
    """Exactly at the limit it is normal, a second later it is not."""
    assert reasons(AT_WORK, later(AT_WORK, 1800)) == []
    (how,) = find_standstills(later(AT_WORK, 1801), watch(AT_WORK), RULES)
    assert (how.reason, how.limit, how.since) == ("no_progress", "30 min", NOW)
    assert how.seen == "beats, has 2 open, and finished nothing for 30 min 1 s"


@pytest.mark.parametrize(
    "change",
    [
        {"finished": 1},
        {"last_finish": NOW + 1000},
        {"status": "idle"},
        {"counters": ("1",)},
    ],
)
def test_what_counts_as_progress(change: dict[str, object]) -> None:
    """A finished task, a later end, another status, another counter: the clock starts anew."""
    looks = AT_WORK, later(AT_WORK, 1000, **change), later(AT_WORK, 2500, **change)
    assert reasons(*looks) == []
    assert watch(*looks).changed == NOW + 1000


@pytest.mark.parametrize("change", [{"finished": 3}, {"last_finish": NOW - 50.0}])
def test_what_leaves_the_window_is_no_progress(change: dict[str, object]) -> None:
    """Fewer finished tasks, or an older end, than before: old rows became older."""
    begin = replace(AT_WORK, finished=5, last_finish=NOW - 10)
    assert reasons(begin, later(begin, 1801, **change)) == ["no_progress"]


def test_idle_and_asleep_are_silent_by_right() -> None:
    """The clock starts when work comes, and when the agent wakes up."""
    idle = replace(AT_WORK, open=0)
    assert reasons(idle, later(idle, 9000)) == []
    assert reasons(idle, later(idle, 9000), later(AT_WORK, 9001)) == []
    asleep = replace(AT_WORK, is_awake=False)
    assert reasons(asleep, later(asleep, 9000)) == []
    assert reasons(asleep, later(asleep, 9000), later(AT_WORK, 9001)) == []


# --- steps ----------------------------------------------------------------------------------------


def steps(*digests: str, end: float = NOW) -> tuple[AgentStep, ...]:
    """Newest first, a second between two."""
    return tuple(AgentStep(text, f"step {text}", end - n) for n, text in enumerate(digests))


@pytest.mark.parametrize(
    ("digests", "period", "times"),
    [
        ("", 1, 0),
        ("a", 1, 1),
        ("aaab", 1, 3),
        ("abab", 1, 1),
        ("abab", 2, 2),
        ("ababa", 2, 2),
        ("ababx", 2, 2),
        ("a", 2, 0),
        ("abcabcabc", 3, 3),
    ],
)
def test_count_repeats(digests: str, period: int, times: int) -> None:
    """Whole repetitions of the newest steps only."""
    assert count_repeats(list(digests), period) == times


def test_the_same_step_again_and_again() -> None:
    """Three times where three are a loop; two are none; since the first of them."""
    looping = replace(AT_WORK, steps=steps("a", "a", "a", "b"))
    (how,) = find_standstills(looping, watch(looping), RULES)
    assert (how.reason, how.seen, how.limit) == (
        "repeated_step",
        "3 times the same step: step a",
        "3 times",
    )
    assert how.since == NOW - 2
    assert reasons(replace(AT_WORK, steps=steps("a", "a", "b"))) == []


def test_a_cycle_of_two_steps() -> None:
    """Only where cycles of two are looked for."""
    looping = replace(AT_WORK, steps=steps("a", "b", "a", "b", "a", "b"))
    assert reasons(looping) == ["repeated_step"]
    assert reasons(looping, rules=replace(RULES, cycle=1)) == []


def test_who_sleeps_or_is_dead_is_in_no_loop() -> None:
    """Silent by right, whatever its last steps and its totals say."""
    looping = replace(AT_WORK, steps=steps("a", "a", "a"), spent=(0.0,), is_awake=False)
    assert reasons(looping) == []
    assert reasons(looping, later(looping, 2000, spent=(99.0,))) == []


def test_a_step_for_each_finished_task_is_work() -> None:
    """What was finished after the first of the steps; not what was finished before."""
    looping = replace(AT_WORK, steps=steps("a", "a", "a"))
    assert reasons(replace(looping, last_finish=NOW - 1)) == []
    assert reasons(replace(looping, last_finish=NOW - 3)) == ["repeated_step"]


# --- spending -------------------------------------------------------------------------------------


def test_spending_long_after_the_last_progress() -> None:
    """Rises half an hour after it, and goes on."""
    begin = replace(AT_WORK, open=0, spent=(100.0, None))
    paying = later(begin, 2000, spent=(150.0, None))
    (how,) = find_standstills(paying, watch(begin, paying), RULES)
    assert how.seen == "spent 50 in 33 min 20 s without progress"
    assert (how.reason, how.limit, how.since) == ("spending", "30 min", NOW)
    early = later(begin, 1000, spent=(150.0, None))
    assert reasons(begin, early) == []
    assert reasons(begin, paying, later(paying, 1900)) == []


def test_a_total_that_fell_has_spent_nothing_yet() -> None:
    """It was set back a while after it rose: counting begins anew, and nothing is told of zero."""
    begin = replace(AT_WORK, open=0, spent=(100.0,))
    paying = later(begin, 2000, spent=(150.0,))
    assert reasons(begin, paying) == ["spending"]
    assert reasons(begin, paying, later(begin, 2100, spent=(0.0,))) == []


def test_spending_that_nobody_saw_rise_is_none() -> None:
    """The memory is older than the totals: when they rose is not known."""
    begin = replace(AT_WORK, open=0, spent=(100.0,))
    assert find_standstills(later(begin, 2000, spent=(150.0,)), watch(begin), RULES) == []


def test_spending_beyond_the_limit_is_told_at_once() -> None:
    """100 of 100; 99 are not."""
    begin, rules = replace(AT_WORK, spent=(0.0,)), replace(RULES, spending_limit=100.0)
    for spent, told in ((99.0, []), (100.0, ["spending"])):
        assert reasons(begin, later(begin, 60, spent=(spent,)), rules=rules) == told
    (how,) = find_standstills(
        later(begin, 60, spent=(120.0,)), watch(begin, later(begin, 60, spent=(120.0,))), rules
    )
    assert how.limit == "100"


@pytest.mark.parametrize("reset", [(10.0,), (5.0, 5.0), (None,)])
def test_a_total_that_was_set_back_begins_anew(reset: tuple[float | None, ...]) -> None:
    """What was spent before it is not added to what comes."""
    begin = replace(AT_WORK, open=0, spent=(500.0,))
    looks = begin, later(begin, 3000, spent=reset), later(begin, 3100, spent=reset)
    assert reasons(*looks) == []


def test_progress_begins_the_base_anew() -> None:
    """What was spent before the last progress had its result."""
    begin = replace(AT_WORK, spent=(0.0,))
    done = later(begin, 100, spent=(900.0,), finished=1)
    memory = watch(begin, done)
    assert (memory.base, memory.paid, memory.progressed) == ((900.0,), None, NOW + 100)


def test_the_memory_survives_a_restart() -> None:
    """As JSON, as the version before wrote it: ten values in their order."""
    memory = watch(replace(AT_WORK, counters=("1",), spent=(1.0, None)))
    assert load_memory(json.loads(json.dumps(dump_memory(memory)))) == memory
    old = ["busy", ["1"], 0, None, [1.0, None], NOW, NOW, None, [1.0, None], None]
    assert load_memory(old) == memory


# --- the finding ----------------------------------------------------------------------------------


def judge(*sights: AgentSight, doubts: ProgressDoubts | None = None) -> Finding:
    """Of agents that were first seen an hour ago."""
    before = [replace(each, now=each.now - 3600) for each in sights]
    memories = {each.id: watch(old, each) for old, each in zip(before, sights, strict=True)}
    return judge_progress(sights, memories, RULES, doubts or ProgressDoubts())


def test_each_agent_that_stands_still_is_a_fault() -> None:
    """All of them, by name, with their own figures; the subject is the id."""
    stuck = [replace(AT_WORK, id=f"a{n}", open=n + 1) for n in range(9)]
    finding = judge(replace(AT_WORK, name="planner"), *stuck, replace(AT_WORK, id="free", open=0))
    assert finding.status is Status.DEGRADED
    assert len(finding.faults) == 10
    first = finding.faults[0]
    assert first.subject == first.parameters == {"agent": "agent-7"}
    assert first.text == (
        "planner (agent-7): beats, has 2 open, and finished nothing for 1 h (limit 30 min)"
    )
    assert first.since == from_unix(NOW - 3600)
    assert first.guidance == finding.guidance == REMEDIES["no_progress"]
    assert finding.detail == (
        f"{first.text}; and 9 more; 11 awake, 10 at work, longest without progress 1 h;"
        " 10 no progress: planner (agent-7), a0, a1 and 7 more"
    )
    assert len(finding.evidence["no_progress"]) == 5
    assert finding.key == ("stalled", "10/11")


def test_the_longest_wait_is_of_all_that_work() -> None:
    """Of two agents at work the one that waits longer; who is idle or asleep does not count."""
    looks = [
        (replace(AT_WORK, id="short"), 60.0),
        (replace(AT_WORK, id="long"), 600.0),
        (replace(AT_WORK, id="idle", open=0), 9000.0),
    ]
    memories = {each.id: watch(replace(each, now=each.now - ago)) for each, ago in looks}
    sights = [each for each, _ in looks]
    finding = judge_progress(sights, memories, RULES, ProgressDoubts())
    assert finding.detail == "3 awake, 2 at work, longest without progress 10 min"
    assert finding.rows[-1].values == {"working": 2.0, "longest_wait": 600.0}


def test_an_agent_with_two_faults_is_one_agent() -> None:
    """It stands still and takes the same step: two faults, one agent."""
    finding = judge(replace(AT_WORK, steps=steps("a", "a", "a")))
    assert [each.key for each in finding.faults] == ["no_progress", "repeated_step"]
    assert finding.key == ("stalled", "1/1")


def test_nothing_is_wrong() -> None:
    """Up, without a fault, every reason at zero."""
    finding = judge(replace(AT_WORK, open=0))
    assert (finding.status, finding.faults, finding.guidance) == (Status.UP, [], "")
    assert finding.evidence == {}
    assert finding.detail == "1 awake, 0 at work, longest without progress 0 ms"
    stalled = {row.labels["reason"]: row.values["stalled"] for row in finding.rows if row.labels}
    assert stalled == dict.fromkeys(REASONS, 0.0)


def test_doubts_are_faults_that_blame_nobody() -> None:
    """A status that nobody mapped, a table that can't be read; agents beyond the bound are said."""
    doubts = ProgressDoubts(
        Counter({"odd": 2, "": 1}), {"steps": ("no such column: x", "correct it")}, 10
    )
    finding = judge(replace(AT_WORK, open=0), doubts=doubts)
    assert finding.status is Status.UNKNOWN
    assert [each.text for each in finding.faults] == [
        "2 agents are in status 'odd', which nobody mapped",
        "1 agent is in status 'NULL', which nobody mapped",
        "steps not judged: no such column: x",
    ]
    assert finding.detail.endswith("not judged: steps; only 10 agents were read")
    assert finding.evidence["not_judged"] == {"steps": "no such column: x; correct it"}
    assert judge(AT_WORK, doubts=doubts).status is Status.DEGRADED


def test_every_fault_is_declared() -> None:
    """With a runbook, and the parameters that it gives."""
    for key in (*REASONS, "unmapped_status", "unjudged"):
        assert KIND.fault_kinds[key].runbook
    assert all(KIND.fault_kinds[reason].parameters == ("agent",) for reason in REASONS)
