"""Each mismatch names its agent, with this agent's figures and the limit that it broke."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sentinel.core.agents.capability import Demand
from sentinel.core.agents.census import (
    Beats,
    Census,
    CensusRules,
    Consumer,
    Listeners,
    Vitals,
    Work,
    live_agents,
)
from sentinel.core.agents.confirmation import Confirmation
from sentinel.core.agents.finding import CensusFacts, make_finding
from sentinel.core.agents.mismatch import (
    COUNTS_TASKS,
    REMEDIES,
    Comparison,
    find_mismatches,
    find_none_alive,
)
from sentinel.core.agents.pulse import Pulse
from sentinel.core.agents.registration import RegisteredAgent
from sentinel.core.agents.suspects import KINDS, Suspect, Suspects, find_suspects
from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import Bounds
from sentinel.probes.registry import KIND

NOW = 1_700_000_000.0
RULES = CensusRules(ttl=60, quiet=30, ahead=2)


def active(name: str, called: str = "", **facts: object) -> RegisteredAgent:
    """An agent that is registered as active, by default one that people call planner."""
    return RegisteredAgent(name, "active", name=called, **facts)  # type: ignore[arg-type]


def compare(census: Census, vitals: Vitals | None = None) -> Comparison:
    return Comparison.of(census, vitals or Vitals({}), RULES, 10)


def fault_of(seen: Comparison, kind: str, name: str, suspect: Suspect | None = None) -> Fault:
    (fault,) = find_mismatches(seen, {kind: {name: suspect or Suspect()}})
    assert (fault.key, fault.status) == (kind, Status.DEGRADED)
    assert fault.guidance == REMEDIES[kind]
    return fault


def census_of(*agents: RegisteredAgent, **sets: object) -> Census:
    return Census(agents={each.id: each for each in agents}, now=NOW, **sets)  # type: ignore[arg-type]


def test_a_ghost_is_called_by_its_name_and_kept_by_its_id() -> None:
    """Silent for 90 s where 60 s are allowed, since that very instant."""
    seen = compare(census_of(active("agent-7", "planner")), Vitals({"agent-7": 90.0}))
    fault = fault_of(seen, "ghost", "agent-7")
    assert fault.text == (
        "planner (agent-7): registered as active, last heartbeat 1 min 30 s ago (limit 1 min)"
    )
    assert fault.subject == {"agent": "agent-7"}
    assert fault.parameters == {"agent": "agent-7"}
    assert fault.since == datetime.fromtimestamp(NOW - 90, UTC)
    assert fault.count is None


def test_a_ghost_that_never_beat() -> None:
    """No figure is invented, and no instant."""
    fault = fault_of(compare(census_of(active("a"))), "ghost", "a")
    assert fault.text == "a: registered as active, and has no heartbeat at all (limit 1 min)"
    assert fault.since is None


def test_a_deaf_agent_names_its_consumers_and_its_stream() -> None:
    """The runbook learns stream and group from it."""
    consumers = tuple(Consumer("a", "m:a", f"c{n}", 99.0, 0, True, "g") for n in range(5))
    bus = Listeners(consumers, {"a": 45.0}, NOW, owned={"a": ("m:a", "g")})
    fault = fault_of(compare(census_of(active("a"), after=bus)), "deaf", "a")
    assert fault.text == (
        "a: alive, and none of its consumers (c0, c1, c2 and 2 more) reads stream m:a:"
        " the oldest entry waits 45.0 s (limit 30.0 s)"
    )
    assert fault.parameters == {"agent": "a", "stream": "m:a", "group": "g"}
    assert fault.since == datetime.fromtimestamp(NOW - 45, UTC)


def test_a_deaf_agent_without_consumer_or_entries() -> None:
    """Nothing waits: no figure; nobody knows its stream: no parameter."""
    fault = fault_of(compare(census_of(active("a"), after=Listeners(now=NOW))), "deaf", "a")
    assert fault.text == "a: alive, and no consumer reads (limit 30.0 s)"
    assert (fault.parameters, fault.since) == ({"agent": "a"}, None)


@pytest.mark.parametrize(
    ("kind", "suspect", "text"),
    [
        (
            "unregistered",
            Suspect(sample=("c1", "c2")),
            "a: reads the bus as c1, c2, and is not registered",
        ),
        ("zombie", Suspect(), "a: beats, last 5.0 s ago, and is not registered"),
        (
            "orphan",
            Suspect(5, ("t1", "t2", "t3", "t4")),
            "a: holds 5 open tasks (t1, t2, t3 and 2 more), and is not registered",
        ),
        ("orphan", Suspect(1), "a: holds 1 open task, and is not registered"),
        (
            "twin",
            Suspect(sample=("2 rows",)),
            "a: has 2 rows in the registry that are active, of one start",
        ),
        (
            "twin",
            Suspect(sample=("c1", "c2"), signs={"c1": 1.0, "c2": 2.0}),
            "a: 2 consumers of one group hold entries and read on: c1, c2",
        ),
        ("split", Suspect(sample=("b1", "b2")), "a: 2 starts go on under one name: b1, b2"),
        (
            "flapping",
            Suspect(sample=("12 times in an hour",)),
            "a: registered 12 times in an hour (limit 10)",
        ),
        (
            "stale_file",
            Suspect(sample=("not written for 2 h", "overdue")),
            "file a: not written for 2 h, overdue",
        ),
        (
            "uncovered",
            Suspect(2, ("t1",), asleep=("z",)),
            "capability a: 2 waiting tasks (t1 and 1 more; only asleep: z), and no live agent can"
            " do it",
        ),
        (
            "uncovered_combination",
            Suspect(1, ("t1",)),
            "capability a: 1 waiting task (t1), and no single live agent can do all of it",
        ),
    ],
)
def test_sentences(kind: str, suspect: Suspect, text: str) -> None:
    """Whole sentences, with the name first."""
    census = Census(agents={}, now=NOW, beats=Beats({"a": NOW - 5}, NOW))
    assert fault_of(compare(census), kind, "a", suspect).text == text


def test_zombie_that_is_registered_as_inactive() -> None:
    """It is there, and should not beat."""
    stopped = RegisteredAgent("i", "inactive", beat=NOW - 3)
    assert fault_of(compare(census_of(stopped)), "zombie", "i").text == (
        "i: beats, last 3.0 s ago, and is registered as inactive"
    )


def test_wrong_clocks_tell_by_how_much() -> None:
    """Ahead by the largest, behind by the smallest of what the sources say."""
    census = census_of(active("a", beat=NOW + 9), beats=Beats({"a": NOW + 3}, NOW))
    assert "9.0 s in the future (limit 2.0 s)" in fault_of(compare(census), "clock_ahead", "a").text
    census = census_of(active("a", beat=NOW - 900), beats=Beats({"a": NOW - 300}, NOW))
    text = fault_of(compare(census), "clock_behind", "a").text
    assert "says to be 5 min old (limit 1 min)" in text


def test_tasks_are_counted_and_agents_are_not() -> None:
    """A count is of tasks; the number of agents is the number of faults."""
    for kind in KINDS:
        fault = fault_of(compare(census_of()), kind, "a", Suspect(3, ("x",)))
        assert fault.count == (Bounds(3, 3) if kind in COUNTS_TASKS else None)


def test_subjects_are_bounded() -> None:
    """A name of a megabyte stays a name."""
    fault = fault_of(compare(census_of()), "ghost", "x" * 1_000_000)
    assert len(fault.subject["agent"]) == 200
    assert len(fault.text) < 400


def test_every_suspect_is_a_fault_of_its_own() -> None:
    """Sixty ghosts are sixty faults, by name and in order; kinds in their order."""
    names = [f"a{n:02}" for n in range(60)]
    confirmed = {
        "zombie": {"z": Suspect()},
        "ghost": {name: Suspect() for name in reversed(names)},
    }
    faults = find_mismatches(compare(census_of(*map(active, names))), confirmed)
    assert [each.subject["agent"] for each in faults] == [*names, "z"]


def test_nobody_alive_pages_once() -> None:
    """One fault of the whole registry beside its ghosts; none where somebody lives or should."""
    seen = compare(census_of(*(active(f"a{n}") for n in range(5)), active("p", "planner")))
    (fault,) = find_none_alive(seen, set())
    assert fault.text == "none of 6 active agents is alive: a0, a1, a2 and 3 more"
    assert (fault.status, fault.subject, fault.count) == (Status.DOWN, {}, Bounds(6, 6))
    assert find_none_alive(seen, {"p"}) == []
    assert find_none_alive(compare(census_of(RegisteredAgent("z", "sleeping"))), set()) == []


# --- the whole finding ----------------------------------------------------------------------------


def confirm(census: Census) -> tuple[Suspects, Vitals]:
    """What two looks in a row saw."""
    pulse, confirmation = Pulse(), Confirmation()
    vitals = pulse.see(census, RULES)
    confirmation.confirm(find_suspects(census, RULES, vitals))
    return confirmation.confirm(find_suspects(census, RULES, vitals)), vitals


def find(census: Census, **facts: object):  # type: ignore[no-untyped-def]
    confirmed, vitals = confirm(census)
    live = live_agents(census, RULES, vitals)
    given = CensusFacts(rules=RULES, **facts)  # type: ignore[arg-type]
    return make_finding(census, confirmed, live, vitals, given)


def test_a_healthy_registry() -> None:
    """No fault, up, the figures of all."""
    census = census_of(
        active("a", beat=NOW), active("b", beat=NOW), RegisteredAgent("z", "sleeping")
    )
    finding = find(census)
    assert (finding.status, finding.faults, finding.guidance) == (Status.UP, [], "")
    assert finding.detail == "2 of 2 active agents live, 1 asleep"


def test_nobody_lives_where_nobody_beats() -> None:
    """Without a heartbeat anywhere it is not known who lives, and no figure says so."""
    finding = find(census_of(RegisteredAgent("a", "active"), RegisteredAgent("z", "sleeping")))
    told = (
        "1 agent is active by the registry; no heartbeat is configured to tell who lives, 1 asleep"
    )
    assert (finding.detail, finding.key) == (told, ("active agents", "1"))


def test_the_detail_says_who_and_how_many() -> None:
    """The first ghost's sentence, how many more, then the figures of the whole check."""
    ghosts = [active(f"g{n}", beat=NOW - 99) for n in range(5)]
    finding = find(census_of(active("a", beat=NOW), *ghosts), limit=7)
    assert finding.detail == (
        "g0: registered as active, last heartbeat 1 min 39 s ago (limit 1 min); and 4 more;"
        " 1 of 6 active agents live; 5 ghost: g0, g1, g2 and 2 more;"
        " only the first 7 agents were compared"
    )
    assert finding.status is Status.DEGRADED
    assert finding.guidance == REMEDIES["ghost"]
    assert finding.evidence["mismatches"]["ghost"]["count"] == 5


def test_all_dead_is_down_and_the_worst_is_first() -> None:
    """The headline is of the registry; each ghost is still there."""
    census = census_of(active("a", beat=NOW - 99), work=[Work("a", 2, ("t1", "t2"))])
    finding = find(census)
    assert finding.status is Status.DOWN
    assert [each.key for each in finding.faults] == ["none_alive", "ghost", "orphan"]
    assert finding.detail.startswith("none of 1 active agents is alive: a; and 2 more")


def test_doubts_blame_nobody_and_are_named() -> None:
    """A status, a heartbeat and a part that can't be judged: unknown, each with its remedy."""
    census = census_of(
        active("a", beat=NOW), RegisteredAgent("q", "unmapped"), active("b", problem="banana")
    )
    finding = find(census, unmapped={"odd": 1}, troubles={"tasks": ("no such table", "name it")})
    assert finding.status is Status.UNKNOWN
    assert [each.key for each in finding.faults] == [
        "unmapped_status",
        "unjudged",
        "unreadable_heartbeat",
    ]
    assert [each.subject for each in finding.faults] == [
        {"status": "odd"},
        {"part": "tasks"},
        {"agent": "b"},
    ]
    assert finding.faults[0].text == "1 agent is in status 'odd', which nobody mapped"
    assert finding.faults[1].guidance == "name it"


def test_doubts_do_not_hide_a_mismatch() -> None:
    """Degraded is worse than unknown."""
    census = census_of(active("a", beat=NOW), active("g", beat=NOW - 99))
    finding = find(census, unmapped={"odd": 2})
    assert finding.status is Status.DEGRADED
    assert [each.key for each in finding.faults] == ["ghost", "unmapped_status"]


def test_every_fault_is_declared() -> None:
    """Whatever can be named has a runbook; its parameters are declared."""
    consumers = (Consumer("s", "m:s", "s", 0.1, 0, True, "g"),)
    bus = Listeners(consumers, {"a": 99.0}, NOW, owned={"a": ("m:a", "g")})
    census = census_of(
        active("a", beat=NOW),
        active("g", beat=NOW - 99),
        before=bus,
        after=bus,
        work=[Work("gone", 1)],
        demands=[Demand(frozenset({"x"}), 1)],
    )
    finding = find(census)
    assert {"deaf", "ghost", "orphan", "uncovered"} <= {each.key for each in finding.faults}
    for fault in finding.faults:
        assert fault.parameters.keys() <= set(KIND.fault_kinds[fault.key].parameters)
    assert set(KINDS) <= KIND.fault_kinds.keys()


def test_nobody_is_said_to_be_left_while_one_is_unsure() -> None:
    """Of two active agents one is dead, of the other the zone of its times is not known."""
    seen = compare(census_of(active("a"), active("b")), Vitals({"a": 90.0}, unsure={"b": 32400.0}))
    assert find_none_alive(seen, set()) == []
    assert find_none_alive(compare(seen.census, Vitals({"a": 90.0})), set())[0].key == "none_alive"


def test_a_ghost_by_the_change_of_its_beat() -> None:
    """Its time says nothing: since when it is dead is known at least."""
    vitals = Vitals({"a": 90.0}, by_change=frozenset({"a"}))
    fault = fault_of(compare(census_of(active("a")), vitals), "ghost", "a")
    assert fault.text == (
        "a: registered as active, and its heartbeat did not change for 1 min 30 s or longer (limit"
        " 1 min)"
    )
    beats = Beats({"x": NOW - 28_805}, NOW)
    seen = compare(census_of(beats=beats), Vitals({"x": 5.0}, by_change=frozenset({"x"})))
    assert "beats, last 5.0 s ago, and is not registered" in fault_of(seen, "zombie", "x").text


def test_a_wrong_clock_is_told_with_its_zone() -> None:
    """Where the difference looks like one of zones."""
    beats = Beats({"a": NOW + 32_398, "b": NOW + 40}, NOW)
    seen = compare(census_of(active("a"), active("b"), beats=beats))
    assert "9 h in the future, as of UTC+9 (limit" in fault_of(
        seen, "clock_ahead", "a"
    ).text.replace("8 h 59 min", "9 h")
    assert "40.0 s in the future (limit" in fault_of(seen, "clock_ahead", "b").text
    late = compare(census_of(active("a"), beats=Beats({"a": NOW - 28_805}, NOW)))
    assert "says to be 8 h old, as of UTC-8 (limit" in fault_of(late, "clock_behind", "a").text
