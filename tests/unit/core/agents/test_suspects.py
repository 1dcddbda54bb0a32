"""Single candidates of one look: each limit at its edge, each source that may be missing."""

from __future__ import annotations

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
)
from sentinel.core.agents.registration import RegisteredAgent
from sentinel.core.agents.suspects import (
    ANOTHER_BEAT,
    KINDS,
    SAMPLES,
    Suspect,
    Suspects,
    find_suspects,
    held_consumers,
    is_deaf,
)

NOW = 1_700_000_000.0
RULES = CensusRules(ttl=60, quiet=30, ahead=2)


def agent(name: str, status: str = "active", **facts: object) -> RegisteredAgent:
    return RegisteredAgent(name, status, **facts)  # type: ignore[arg-type]


def reader(name: str, idle: float = 1.0, pending: int = 0, **facts: object) -> Consumer:
    """A consumer of the agent before the dash."""
    given = {"stream": "s", "group": "g", "tells_attempts": True, **facts}
    return Consumer(name.partition("-")[0], name=name, idle=idle, pending=pending, **given)  # type: ignore[arg-type]


def bus(*consumers: Consumer, **facts: object) -> Listeners:
    return Listeners(consumers, now=NOW, **facts)  # type: ignore[arg-type]


def suspect(
    *agents: RegisteredAgent, ages: dict[str, float] | None = None, **sets: object
) -> Suspects:
    census = Census(agents={each.id: each for each in agents}, now=NOW, **sets)  # type: ignore[arg-type]
    return find_suspects(census, RULES, Vitals(ages or {}))


def test_without_a_registry_only_clocks_and_twins_can_be_told() -> None:
    """Every kind is there, and those that need a registry are empty."""
    census = Census(
        now=NOW,
        beats=Beats({"a": NOW}, NOW),
        before=bus(reader("a")),
        after=bus(reader("a-1", pending=1), reader("a-2", pending=1)),
        work=[Work("a", 3)],
        demands=[Demand(frozenset({"sql"}), 1)],
    )
    vitals = Vitals({"a": 1.0}, frozenset({"fast"}), frozenset({"slow"}))
    found = find_suspects(census, RULES, vitals)
    assert tuple(found) == KINDS
    assert {kind for kind, names in found.items() if names} == {
        "twin",
        "clock_ahead",
        "clock_behind",
    }
    assert found["clock_ahead"] == {"fast": Suspect()}
    assert found["clock_behind"] == {"slow": Suspect()}


# -- ghosts and their work -------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "ghosts"), [(60.0, []), (60.5, ["a"])])
def test_a_ghost_is_silent_for_longer_than_it_may(age: float, ghosts: list[str]) -> None:
    """At the limit it lives."""
    found = suspect(agent("a", beat=NOW - age), ages={"a": age})
    assert list(found["ghost"]) == ghosts


def test_ghosts_in_order_and_of_one_life() -> None:
    """By name; each with the registration that it is of."""
    found = suspect(
        agent("b", registered=NOW - 900, boot="x", beat=NOW - 99), agent("a"), ages={"b": 99.0}
    )
    assert list(found["ghost"]) == ["a", "b"]
    assert found["ghost"]["b"].life == (NOW - 900, "x")


def test_an_unreadable_heartbeat_accuses_nobody_and_covers_its_tasks() -> None:
    """Neither dead nor counted out."""
    found = suspect(
        agent("a", problem="is text", capabilities=frozenset({"sql"})),
        agent("b", beat=NOW),
        ages={"b": 0.0},
        work=[Work("a", 1)],
        demands=[Demand(frozenset({"sql"}), 1)],
    )
    assert (found["ghost"], found["orphan"], found["uncovered"]) == ({}, {}, {})


@pytest.mark.parametrize(
    ("holder", "count", "is_orphan"),
    [("alive", 2, False), ("dead", 2, True), ("gone", 2, True), ("gone", 0, False)],
)
def test_work_of_the_dead_and_of_the_gone(holder: str, count: int, is_orphan: bool) -> None:
    """With its tasks; nothing held is nothing lost."""
    found = suspect(
        agent("alive", beat=NOW),
        agent("dead", beat=NOW - 99),
        ages={"alive": 0.0, "dead": 99.0},
        work=[Work(holder, count, ("t1",))],
    )
    assert found["orphan"] == ({holder: Suspect(2, ("t1",))} if is_orphan else {})


def test_a_sleeper_is_no_ghost_and_keeps_its_work() -> None:
    """It is registered, and silent by right."""
    found = suspect(
        agent("z", "sleeping"), agent("a", beat=NOW), ages={"a": 0.0}, work=[Work("z", 2)]
    )
    assert (found["ghost"], found["orphan"]) == ({}, {})


def test_gaps_tell_a_missing_capability_from_a_missing_combination() -> None:
    """And who sleeps that could do it."""
    able = {"a": {"sql"}, "b": {"mail"}}
    found = suspect(
        *(agent(name, beat=NOW, capabilities=frozenset(can)) for name, can in able.items()),
        agent("z", "sleeping", capabilities=frozenset({"nap"})),
        ages={"a": 0.0, "b": 0.0},
        demands=[
            Demand(frozenset({"sql"}), 1),
            Demand(frozenset({"sql", "mail"}), 2, ("t1",)),
            Demand(frozenset({"nap"}), 4),
        ],
    )
    assert found["uncovered_combination"] == {"mail + sql": Suspect(2, ("t1",))}
    assert found["uncovered"] == {"nap": Suspect(4, asleep=("z",))}


# -- who reads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("idle", "is_stranger"), [(30.0, True), (30.5, False)])
def test_a_stranger_reads_of_late(idle: float, is_stranger: bool) -> None:
    """Idle for longer, its name may have been left behind."""
    look = bus(reader("x", idle))
    found = suspect(agent("a"), before=look, after=look)
    assert list(found["unregistered"]) == (["x"] if is_stranger else [])


def test_a_stranger_is_there_before_and_after_the_registry_was_read() -> None:
    """Who left meanwhile, or came, is none; without a second look the first one counts."""
    once = bus(reader("x-1", 3.0), reader("a", 1.0))
    assert suspect(agent("a"), before=once, after=bus())["unregistered"] == {}
    assert suspect(agent("a"), after=once)["unregistered"] == {}
    found = suspect(agent("a"), before=once)["unregistered"]
    assert list(found) == ["x"]
    assert (found["x"].signs, found["x"].needed) == ({"x-1": NOW - 3.0}, 1)
    assert found["x"].margin == 1.0


def test_a_stranger_shows_its_first_consumers() -> None:
    """Sorted, and no more than can be read; all of them are signs."""
    names = [f"x-{n:02}" for n in range(SAMPLES + 5)]
    look = bus(*(reader(name) for name in reversed(names)))
    found = suspect(agent("a"), before=look)["unregistered"]["x"]
    assert found.sample == tuple(names[:SAMPLES])
    assert len(found.signs) == SAMPLES + 5


@pytest.mark.parametrize(
    ("idles", "waits", "lists_all", "deaf"),
    [
        ((31.0,), 31.0, True, True),
        ((30.0,), 31.0, True, False),
        ((31.0,), 30.0, True, False),
        ((31.0, 2.0), 31.0, True, False),
        ((), 31.0, False, True),
        ((), 30.0, False, False),
        ((), 0.0, True, True),
    ],
)
def test_deaf(idles: tuple[float, ...], waits: float, lists_all: bool, deaf: bool) -> None:
    """Every consumer is quiet while an entry waits; without one, the server must list all."""
    mine = [reader("a", idle) for idle in idles]
    assert is_deaf(mine, waits, RULES, lists_all=lists_all) is deaf


def test_who_may_be_called_deaf() -> None:
    """Live, settled, and on a stream that can be judged; without a bus nobody."""
    agents = (
        agent("a", beat=NOW),
        agent("new", beat=NOW, registered=NOW - 5),
        agent("dead", beat=NOW - 99),
        agent("unknown", beat=NOW),
    )
    ages = {"a": 0.0, "new": 0.0, "dead": 99.0, "unknown": 0.0}
    look = bus(reader("other"), unjudged={"unknown": "is a string"})
    assert list(suspect(*agents, ages=ages, after=look)["deaf"]) == ["a"]
    assert suspect(*agents, ages=ages)["deaf"] == {}


def test_consumers_by_agent() -> None:
    """Each under the agent that it is of."""
    one, two, other = reader("a-1"), reader("a-2"), reader("b-1")
    assert held_consumers(bus(one, other, two)) == {"a": [one, two], "b": [other]}


# -- who beats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "is_zombie"),
    [(60.0, 0.0, True), (60.5, 0.0, False), (None, 0.0, False), (1.0, None, False)],
)
def test_a_zombie_beats_before_and_after(
    before: float | None, after: float | None, is_zombie: bool
) -> None:
    """Who came or went meanwhile is none; an old beat is none."""
    first, last = (Beats({} if age is None else {"x": NOW - age}, NOW) for age in (before, after))
    found = suspect(agent("a", beat=NOW), ages={"a": 0.0}, beats_before=first, beats=last)
    assert list(found["zombie"]) == (["x"] if is_zombie else [])


@pytest.mark.parametrize(
    ("status", "is_zombie"), [("active", False), ("sleeping", False), ("inactive", True)]
)
def test_only_who_is_out_of_service_has_no_right_to_beat(status: str, is_zombie: bool) -> None:
    """Its own row may tell the beat: one more must follow."""
    found = suspect(agent("a", status, beat=NOW - 5), ages={"a": 5.0})["zombie"]
    zombie = Suspect(signs={"": NOW - 5}, needed=1, margin=ANOTHER_BEAT)
    assert found == ({"a": zombie} if is_zombie else {})


@pytest.mark.parametrize(("age", "is_split"), [(60.0, True), (60.5, False)])
def test_two_fresh_boots_of_one_name(age: float, is_split: bool) -> None:
    """In the rows; at the limit a beat is fresh. One alone is none, nor one without a beat."""
    boots = {"x": NOW - age, "y": NOW, "z": None}
    found = suspect(agent("a", beat=NOW, boots=boots), ages={"a": 0.0})["split"]
    assert list(found) == (["a"] if is_split else [])
    if is_split:
        assert (found["a"].sample, found["a"].needed) == (("x", "y"), 2)


def test_boots_of_rows_and_of_heartbeats_add_up() -> None:
    """Each by the clock of its own source."""
    beats = Beats({"a": 1000.0}, 1000.0, boots={"a": {"y": 990.0}, "b": {"q": 999.0}})
    found = suspect(agent("a", beat=NOW, boots={"x": NOW}), ages={"a": 0.0}, beats=beats)
    assert found["split"].keys() == {"a"}
    assert found["split"]["a"].signs == {"x": NOW, "y": 990.0}


# -- twins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "twins"), [(1, {}), (2, {"a": Suspect(sample=("2 rows",))})])
def test_rows_of_one_start(rows: int, twins: dict[str, Suspect]) -> None:
    """One is right."""
    assert suspect(agent("a", rows=rows))["twin"] == twins


def test_consumers_that_both_hold_entries() -> None:
    """In one group of one stream, both with entries; elsewhere, or empty, they are no twins."""
    one = reader("a-1", 2.0, pending=1)
    found = suspect(agent("a"), after=bus(one, reader("a-2", 5.0, pending=1)))["twin"]
    assert found["a"].signs == {"a-1": NOW - 2.0, "a-2": NOW - 5.0}
    assert found["a"].needed == 2
    for other in (
        reader("a-2"),
        reader("a-2", pending=1, group="h"),
        reader("a-2", pending=1, stream="t"),
        reader("b-2", pending=1),
    ):
        assert suspect(agent("a"), after=bus(one, other))["twin"] == {}


def told_by_change(*agents: RegisteredAgent, names: str, **sets: object) -> Suspects:
    """With agents whose beats are of another zone, and were seen to change just now."""
    census = Census(agents={each.id: each for each in agents}, now=NOW, **sets)  # type: ignore[arg-type]
    vitals = Vitals(dict.fromkeys(names, 0.0), by_change=frozenset(names))
    return find_suspects(census, RULES, vitals)


def test_boots_of_another_zone_are_split_when_both_go_on() -> None:
    """Their times say to be hours old; without that knowledge they are no fresh ones."""
    boots = {"x": NOW - 28_805, "y": NOW - 28_801}
    agents = agent("a", beat=NOW - 28_801, boots=boots)
    split = told_by_change(agents, names="a")["split"]["a"]
    assert (split.sample, split.needed) == (("x", "y"), 2)
    assert suspect(agents, ages={"a": 28_801.0})["split"] == {}


def test_a_zombie_of_another_zone() -> None:
    """Its beat says to be hours old, and changes."""
    first, last = (Beats({"x": NOW - 28_800 + n}, NOW + n) for n in (0, 5))
    sets = {"beats_before": first, "beats": last}
    found = told_by_change(agent("a", beat=NOW), names="ax", **sets)["zombie"]
    assert list(found) == ["x"]
    assert suspect(agent("a", beat=NOW), ages={"a": 0.0, "x": 28_800.0}, **sets)["zombie"] == {}
