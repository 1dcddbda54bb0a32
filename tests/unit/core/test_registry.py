"""Four sets compared: each mismatch alone, none in a healthy house, two polls."""

from __future__ import annotations

import pytest

from sentinel.core.registry import (
    Agent,
    Arrivals,
    Census,
    Confirmation,
    Consumer,
    Demand,
    Listeners,
    Rules,
    Suspect,
    Work,
    count_mismatches,
    find_suspects,
    heartbeat_age,
    live_agents,
    read_capabilities,
    sample_names,
)

NOW = 1_000_000.0
RULES = Rules(ttl=60, quiet=30, ahead=2)


def listener(agent, name="", idle=0.1, pending=0, modern=True, stream=""):
    return Consumer(agent, stream or f"s:{agent}", name or agent, idle, pending, modern)


def house(agents=(), beats=None, consumers=None, waiting=None, before=None, **sets):
    """A census with everything at the same instant; by default every agent beats and listens."""
    rows = {agent.id: agent for agent in agents}
    beats = dict.fromkeys(rows, NOW - 1) if beats is None else beats
    consumers = [listener(name) for name in rows] if consumers is None else consumers
    return Census(
        agents=rows,
        database_now=NOW,
        beats=beats,
        beats_now=NOW,
        before=Listeners(tuple(consumers if before is None else before)),
        after=Listeners(tuple(consumers), waiting or {}),
        **sets,
    )


def found(census):
    return {kind: set(names) for kind, names in find_suspects(census, RULES).items() if names}


def active(name, *capabilities, **facts):
    return Agent(name, "active", capabilities=frozenset(capabilities), **facts)


A, B = active("a", "x"), active("b", "y")


def test_a_healthy_house_has_no_mismatch():
    """Everybody registered, beating and listening; a sleeper is silent by right; work is held by the living."""
    census = house(
        [A, B, Agent("z", "sleeping")],
        beats={"a": NOW, "b": NOW - 60},
        consumers=[listener("a"), listener("b")],
        work=[Work("a", 3)],
        demands=[Demand(frozenset({"x"}), 2), Demand(frozenset(), 5)],
    )
    assert found(census) == {}


CASES = [
    ("no beat", house([A, B], beats={"a": NOW}), {"ghost": {"b"}}),
    ("old beat", house([A, B], beats={"a": NOW, "b": NOW - 61}), {"ghost": {"b"}}),
    ("sleeping agents owe no beat", house([Agent("z", "sleeping")], beats={}, consumers=[]), {}),
    ("unmapped agents owe no beat", house([Agent("z", "unmapped")], beats={}, consumers=[]), {}),
    ("nobody reads", house([A, B], consumers=[listener("a")]), {"deaf": {"b"}}),
    ("an old server lists no blocked newcomer", house([A, B], consumers=[listener("a", modern=False)]), {}),
    (
        "unless entries wait",
        house([A, B], consumers=[listener("a", modern=False)], waiting={"b": 31}),
        {"deaf": {"b"}},
    ),
    ("idle without waiting entries is a long block", house([A], consumers=[listener("a", idle=999)]), {}),
    (
        "idle while entries wait is deaf",
        house([A], consumers=[listener("a", idle=999)], waiting={"a": 31}),
        {"deaf": {"a"}},
    ),
    (
        "entries that wait for a short time prove nothing",
        house([A], consumers=[listener("a", idle=999)], waiting={"a": 29}),
        {},
    ),
    (
        "one of two consumers is awake",
        house([A], consumers=[listener("a", "a1", idle=999), listener("a", "a2")], waiting={"a": 31}),
        {},
    ),
    ("a ghost is not also deaf", house([A], beats={}, consumers=[]), {"ghost": {"a"}}),
    ("a stranger reads", house([A], consumers=[listener("a"), listener("q")]), {"unregistered": {"q"}}),
    ("a leaked name does not", house([A], consumers=[listener("a"), listener("q", idle=31)]), {}),
    (
        "a consumer that appeared after the registry was read is a newcomer",
        house([A], consumers=[listener("a"), listener("q")], before=[listener("a")]),
        {},
    ),
    ("an unknown one beats", house([A], beats={"a": NOW, "q": NOW}), {"zombie": {"q"}}),
    ("an inactive one beats", house([A, Agent("i", "inactive")], beats={"a": NOW, "i": NOW}), {"zombie": {"i"}}),
    ("a sleeper may beat", house([A, Agent("z", "sleeping")], beats={"a": NOW, "z": NOW}), {}),
    ("work of nobody", house([A], work=[Work("a", 1), Work("gone", 4)]), {"orphan": {"gone"}}),
    ("work of a ghost", house([A], beats={}, consumers=[], work=[Work("a", 2)]), {"ghost": {"a"}, "orphan": {"a"}}),
    ("work of a sleeper", house([Agent("z", "sleeping")], beats={}, consumers=[], work=[Work("z", 2)]), {}),
    (
        "two consumers hold entries of one stream",
        house([A], consumers=[listener("a", "a1", pending=1), listener("a", "a2", pending=2)]),
        {"twin": {"a"}},
    ),
    (
        "two streams of one agent are no twins",
        house([A], consumers=[listener("a", pending=1, stream="s1"), listener("a", pending=2, stream="s2")]),
        {},
    ),
    ("two rows with one id", house([active("a", rows=2)]), {"twin": {"a"}}),
    (
        "each capability is there, but not in one agent",
        house([A, B], demands=[Demand(frozenset({"x", "y"}), 3), Demand(frozenset({"y"}), 1)]),
        {"uncovered": {"x + y"}},
    ),
    (
        "a ghost covers nothing",
        house([A, B], beats={"a": NOW}, demands=[Demand(frozenset({"y"}), 3)]),
        {"ghost": {"b"}, "uncovered": {"y"}},
    ),
    ("a clock ahead", house([A], beats={"a": NOW + 3}), {"clock_ahead": {"a"}}),
    ("a clock a little ahead", house([A], beats={"a": NOW + 1}), {}),
]


@pytest.mark.parametrize(("census", "mismatches"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_mismatch(census, mismatches):
    """Exactly this mismatch, and no other."""
    assert found(census) == mismatches


def test_sources_that_are_not_configured_accuse_nobody():
    """Without heartbeats no ghost, without a bus no deaf, without a registry nothing."""
    registry_only = Census(agents={"a": A}, database_now=NOW)
    assert found(registry_only) == {}
    assert live_agents(registry_only, RULES) == {"a"}
    assert found(Census(before=Listeners((listener("q"),)), after=Listeners((listener("q"),)))) == {}


def test_a_heartbeat_column_counts_like_the_sorted_set():
    """The newest beat of any source, by that source's clock."""
    agents = {"a": active("a", beat=NOW - 5), "b": active("b", beat=NOW - 90)}
    census = Census(agents=agents, database_now=NOW, beats={"b": NOW - 500}, beats_now=NOW)
    assert heartbeat_age(census, "a") == 5
    assert heartbeat_age(census, "b") == 90
    assert found(census) == {"ghost": {"b"}}
    alone = Census(agents={"i": Agent("i", "inactive", beat=NOW)}, database_now=NOW)
    assert found(alone) == {"zombie": {"i"}}


def test_two_polls_in_a_row():
    """Once is a race, twice in a row a fact; a gap starts again."""
    confirmation = Confirmation()
    ghost = {"ghost": {"a": Suspect()}}
    assert count_mismatches(confirmation.confirm({**ghost}))["ghost"] == 0
    assert count_mismatches(confirmation.confirm({"ghost": {"a": Suspect(), "b": Suspect()}}))["ghost"] == 1
    assert count_mismatches(confirmation.confirm({"ghost": {}}))["ghost"] == 0
    assert count_mismatches(confirmation.confirm({**ghost}))["ghost"] == 0


def test_a_zombie_must_beat_again():
    """The last beat of an agent that deregistered stays fresh for a while: that is no zombie."""
    confirmation = Confirmation()
    beats = [10.0, 10.0, 10.0, 15.0, 15.0]
    seen = [count_mismatches(confirmation.confirm({"zombie": {"q": Suspect(beat=at)}}))["zombie"] for at in beats]
    assert seen == [0, 0, 0, 1, 1]


def test_orphans_and_uncovered_count_tasks():
    """Four tasks of one missing agent are four, with samples of their ids."""
    suspects = {"orphan": {"gone": Suspect(4, ("t1", "t2", "t3", "t4"))}}
    assert count_mismatches(suspects)["orphan"] == 4
    assert sample_names(suspects["orphan"]) == ["gone (t1, t2, t3)"]
    assert len(sample_names({str(n): Suspect() for n in range(99)})) == 20


def test_registrations():
    """The first reading is the baseline; a new id and a new registration time count."""
    arrivals = Arrivals()
    assert arrivals.see([active("a", registered=1.0)]) == 0
    assert arrivals.see([active("a", registered=1.0), active("b", registered=2.0)]) == 1
    assert arrivals.see([active("a", registered=3.0), active("b", registered=2.0)]) == 2
    assert arrivals.see([active("b", registered=2.0)]) == 2


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (["x", "y"], {"x", "y"}),
        ([{"name": "x", "level": 3}, {"capability": "y"}, {"level": 1}], {"x", "y"}),
        ('["x", {"id": "y"}]', {"x", "y"}),
        ({"x": True, "y": {}}, {"x", "y"}),
        ("x, y", {"x", "y"}),
        ("{x,y}", {"x", "y"}),
        ('{x,"y z"}', {"x", "y z"}),
        ("", set()),
        (None, set()),
        ([None, ""], set()),
        (7, set()),
    ],
)
def test_capabilities_as_platforms_write_them(value, names):
    """Lists, objects, JSON in text, comma-separated; nonsense is nothing."""
    assert read_capabilities(value) == names
