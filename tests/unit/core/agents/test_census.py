"""Four sets compared: each mismatch alone, none in a healthy house, two polls."""

from __future__ import annotations

import pytest

from sentinel.core.agents.capability import Demand, read_capabilities
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
from sentinel.core.agents.confirmation import Confirmation, count_mismatches, sample_names
from sentinel.core.agents.pulse import Pulse
from sentinel.core.agents.registration import (
    Arrivals,
    FileAge,
    RegisteredAgent,
    Registration,
    Takeovers,
    merge,
    read_registration,
)
from sentinel.core.agents.suspects import Suspect, find_suspects
from sentinel.core.moment import read_instant

NOW = 1_000_000.0
RULES = CensusRules(ttl=60, quiet=30, ahead=2)


def listener(agent, name="", idle=0.1, pending=0, modern=True, stream=""):
    return Consumer(agent, stream or f"s:{agent}", name or agent, idle, pending, modern)


def house(
    agents=(),
    beats=None,
    consumers=None,
    waiting=None,
    before=None,
    unjudged=None,
    boots=None,
    **sets,
):
    """A census with everything at the same instant; by default every agent beats and listens."""
    rows = {agent.id: agent for agent in agents}
    beats = dict.fromkeys(rows, NOW - 1) if beats is None else beats
    consumers = [listener(name) for name in rows] if consumers is None else consumers
    read = Beats(beats, NOW, boots or {})
    return Census(
        agents=rows,
        now=NOW,
        beats_before=read,
        beats=read,
        before=Listeners(tuple(consumers if before is None else before), now=NOW),
        after=Listeners(tuple(consumers), waiting or {}, NOW, unjudged or {}),
        **sets,
    )


def found(census):
    return {
        kind: set(names)
        for kind, names in find_suspects(census, RULES, Pulse().see(census, RULES)).items()
        if names
    }


def active(name, *capabilities, **facts):
    return RegisteredAgent(name, "active", capabilities=frozenset(capabilities), **facts)


A, B = active("a", "x"), active("b", "y")


def test_a_healthy_house_has_no_mismatch():
    """Everybody registered, beating and listening; a sleeper is silent by right; work is held by
    the living.
    """
    census = house(
        [A, B, RegisteredAgent("z", "sleeping")],
        beats={"a": NOW, "b": NOW - 60},
        consumers=[listener("a"), listener("b")],
        work=[Work("a", 3)],
        demands=[Demand(frozenset({"x"}), 2), Demand(frozenset(), 5)],
    )
    assert found(census) == {}


CASES = [
    ("no beat", house([A, B], beats={"a": NOW}), {"ghost": {"b"}}),
    ("old beat", house([A, B], beats={"a": NOW, "b": NOW - 61}), {"ghost": {"b"}}),
    (
        "sleeping agents owe no beat",
        house([RegisteredAgent("z", "sleeping")], beats={}, consumers=[]),
        {},
    ),
    (
        "unmapped agents owe no beat",
        house([RegisteredAgent("z", "unmapped")], beats={}, consumers=[]),
        {},
    ),
    ("nobody reads", house([A, B], consumers=[listener("a")]), {"deaf": {"b"}}),
    (
        "an old server lists no blocked newcomer",
        house([A, B], consumers=[listener("a", modern=False)]),
        {},
    ),
    (
        "unless entries wait",
        house([A, B], consumers=[listener("a", modern=False)], waiting={"b": 31}),
        {"deaf": {"b"}},
    ),
    (
        "idle without waiting entries is a long block",
        house([A], consumers=[listener("a", idle=999)]),
        {},
    ),
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
        house(
            [A], consumers=[listener("a", "a1", idle=999), listener("a", "a2")], waiting={"a": 31}
        ),
        {},
    ),
    ("a ghost is not also deaf", house([A], beats={}, consumers=[]), {"ghost": {"a"}}),
    (
        "a stranger reads",
        house([A], consumers=[listener("a"), listener("q")]),
        {"unregistered": {"q"}},
    ),
    ("a leaked name does not", house([A], consumers=[listener("a"), listener("q", idle=31)]), {}),
    (
        "a consumer that appeared after the registry was read is a newcomer",
        house([A], consumers=[listener("a"), listener("q")], before=[listener("a")]),
        {},
    ),
    ("an unknown one beats", house([A], beats={"a": NOW, "q": NOW}), {"zombie": {"q"}}),
    (
        "an inactive one beats",
        house([A, RegisteredAgent("i", "inactive")], beats={"a": NOW, "i": NOW}),
        {"zombie": {"i"}},
    ),
    (
        "a sleeper may beat",
        house([A, RegisteredAgent("z", "sleeping")], beats={"a": NOW, "z": NOW}),
        {},
    ),
    ("work of nobody", house([A], work=[Work("a", 1), Work("gone", 4)]), {"orphan": {"gone"}}),
    (
        "work of a ghost",
        house([A], beats={}, consumers=[], work=[Work("a", 2)]),
        {"ghost": {"a"}, "orphan": {"a"}},
    ),
    (
        "work of a sleeper",
        house([RegisteredAgent("z", "sleeping")], beats={}, consumers=[], work=[Work("z", 2)]),
        {},
    ),
    (
        "two consumers hold entries of one stream",
        house([A], consumers=[listener("a", "a1", pending=1), listener("a", "a2", pending=2)]),
        {"twin": {"a"}},
    ),
    (
        "two streams of one agent are no twins",
        house(
            [A],
            consumers=[
                listener("a", pending=1, stream="s1"),
                listener("a", pending=2, stream="s2"),
            ],
        ),
        {},
    ),
    ("two rows with one id", house([active("a", rows=2)]), {"twin": {"a"}}),
    (
        "each capability is there, but not in one agent",
        house([A, B], demands=[Demand(frozenset({"x", "y"}), 3), Demand(frozenset({"y"}), 1)]),
        {"uncovered_combination": {"x + y"}},
    ),
    (
        "a capability that nobody has",
        house([A, B], demands=[Demand(frozenset({"x", "z"}), 3)]),
        {"uncovered": {"x + z"}},
    ),
    (
        "a registration of this moment is a sign of life, and has not begun to listen",
        house([A, active("n", registered=NOW - 5)], beats={"a": NOW}, consumers=[listener("a")]),
        {},
    ),
    (
        "an old one is not",
        house([A, active("n", registered=NOW - 61)], beats={"a": NOW}, consumers=[listener("a")]),
        {"ghost": {"n"}},
    ),
    (
        "a stream that can't be judged",
        house([A, B], consumers=[listener("a")], unjudged={"b": "its key is a string"}),
        {},
    ),
    (
        "a heartbeat that is no time",
        house([A, active("b", problem="banana")], beats={"a": NOW}, consumers=[listener("a")]),
        {},
    ),
    (
        "two boot ids beat",
        house([active("a", boots={"b1": NOW - 1, "b2": NOW - 5}, beat=NOW - 1)]),
        {"split": {"a"}},
    ),
    (
        "the boot before is stale",
        house([active("a", boots={"b1": NOW - 1, "b2": NOW - 61}, beat=NOW - 1)]),
        {},
    ),
    (
        "two boot ids in heartbeats",
        house([A], boots={"a": {"b1": NOW, "b2": NOW}}),
        {"split": {"a"}},
    ),
    (
        "a ghost covers nothing",
        house([A, B], beats={"a": NOW}, demands=[Demand(frozenset({"y"}), 3)]),
        {"ghost": {"b"}, "uncovered": {"y"}},
    ),
    ("a clock ahead", house([A], beats={"a": NOW + 3}), {"clock_ahead": {"a"}}),
    ("a clock a little ahead", house([A], beats={"a": NOW + 1}), {}),
]


@pytest.mark.parametrize(
    ("census", "mismatches"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_mismatch(census, mismatches):
    """Exactly this mismatch, and no other."""
    assert found(census) == mismatches


NOBODY = Vitals({})


def test_sources_that_are_not_configured_accuse_nobody():
    """Without heartbeats no ghost, without a bus no deaf, without a registry nothing."""
    registry_only = Census(agents={"a": A}, now=NOW)
    assert found(registry_only) == {}
    assert live_agents(registry_only, RULES, NOBODY) == {"a"}
    assert (
        found(Census(before=Listeners((listener("q"),)), after=Listeners((listener("q"),)))) == {}
    )


def test_a_heartbeat_column_counts_like_the_sorted_set():
    """The newest beat of any source, by that source's clock."""
    agents = {"a": active("a", beat=NOW - 5), "b": active("b", beat=NOW - 90)}
    census = Census(agents=agents, now=NOW, beats=Beats({"b": NOW - 500}, NOW))
    assert Pulse().see(census, RULES).ages == {"a": 5, "b": 90}
    assert found(census) == {"ghost": {"b"}}
    alone = Census(agents={"i": RegisteredAgent("i", "inactive", beat=NOW)}, now=NOW)
    assert found(alone) == {"zombie": {"i"}}


def looks(pulse, *steps):
    """Feed (now, beat) of one agent; the vitals after the last."""
    for now, beat in steps:
        vitals = pulse.see(Census(agents={"a": active("a", beat=beat)}, now=now), RULES)
    return vitals


def test_a_beat_in_the_future_is_judged_by_its_change():
    """8 h ahead: alive while it moves on, dead a ttl after it stopped, and told all the time."""
    eight = 8 * 3600
    alive = looks(Pulse(), *[(NOW + n * 5, NOW + n * 5 + eight) for n in range(30)])
    assert (alive.ages["a"], alive.ahead) == (0, {"a"})
    dead = looks(Pulse(), *[(NOW + n * 5, NOW + eight) for n in range(30)])
    assert dead.ages["a"] == 145 > RULES.ttl
    assert dead.ahead == {"a"}


def test_a_beat_with_an_old_time_that_was_not_there_before_is_life():
    """8 h behind: what the look before did not have can't be 8 h old; it looks dead until it is
    seen to move.
    """
    eight = 8 * 3600
    assert looks(Pulse(), (NOW, NOW - eight)).ages["a"] == eight
    vitals = looks(Pulse(), (NOW, NOW - eight), (NOW + 5, NOW + 5 - eight))
    assert (vitals.ages["a"], vitals.behind) == (0, {"a"})
    gone = looks(
        Pulse(), (NOW, NOW - eight), (NOW + 5, NOW + 5 - eight), (NOW + 66, NOW + 5 - eight)
    )
    assert (gone.ages["a"], gone.behind) == (61, set())


def test_a_slow_beat_has_no_wrong_clock():
    """It was written since the look before, and says so; a gap between two looks explains its age."""
    assert looks(Pulse(), (NOW, NOW - 50), (NOW + 90, NOW + 5)).ages["a"] == 85
    assert looks(Pulse(), (NOW, NOW - 50), (NOW + 90, NOW + 5)).behind == set()


def test_two_polls_in_a_row():
    """Once is a race, twice in a row a fact; a gap starts again, and so does another registration."""
    confirmation = Confirmation()
    ghost = {"ghost": {"a": Suspect()}}
    assert count_mismatches(confirmation.confirm({**ghost}))["ghost"] == 0
    assert (
        count_mismatches(confirmation.confirm({"ghost": {"a": Suspect(), "b": Suspect()}}))["ghost"]
        == 1
    )
    assert count_mismatches(confirmation.confirm({"ghost": {}}))["ghost"] == 0
    assert count_mismatches(confirmation.confirm({**ghost}))["ghost"] == 0
    for registered, n in ((1.0, 0), (2.0, 0), (2.0, 1)):
        again = {"ghost": {"a": Suspect(life=(registered, ""))}}
        assert count_mismatches(confirmation.confirm(again))["ghost"] == n
    assert (
        count_mismatches(confirmation.confirm({"split": {"a": Suspect(proven=True)}}))["split"] == 1
    )


def test_a_zombie_must_beat_again():
    """The last beat of an agent that deregistered stays fresh for a while: that is no zombie."""
    confirmation = Confirmation()
    beats = [10.0, 10.0, 10.0, 15.0, 15.0]
    seen = [
        count_mismatches(
            confirmation.confirm({"zombie": {"q": Suspect(signs={"": at}, needed=1)}})
        )["zombie"]
        for at in beats
    ]
    assert seen == [0, 0, 0, 1, 1]


def test_a_split_needs_two_that_go_on():
    """The boot id before a restart stays fresh for a ttl: only when both beat again are there two."""
    confirmation = Confirmation()
    restarted = [{"old": 10.0, "new": 12.0}, {"old": 10.0, "new": 17.0}, {"old": 10.0, "new": 22.0}]
    both = [{"old": 15.0, "new": 27.0}]
    seen = [
        count_mismatches(confirmation.confirm({"split": {"a": Suspect(signs=signs, needed=2)}}))[
            "split"
        ]
        for signs in restarted + both
    ]
    assert seen == [0, 0, 0, 1]


def test_a_boot_id_that_comes_back_is_a_second_process():
    """One row, two writers: A, B, A. A restart is A, B; a host that comes back next day is no
    second process.
    """

    def see(*steps):
        takeovers = Takeovers()
        return [
            bool(takeovers.see({"a": active("a", boot=boot)}, NOW + at, 60)) for at, boot in steps
        ]

    assert see((0, "A"), (5, "B"), (10, "A"), (69, "A"), (71, "A")) == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert see((0, "A"), (5, "B"), (10, "B"), (15, "C")) == [False] * 4
    assert see((0, "host-1"), (5, "host-2"), (86400, "host-1")) == [False] * 3


def test_orphans_and_uncovered_count_tasks():
    """Four tasks of one missing agent are four, with samples of their ids."""
    suspects = {"orphan": {"gone": Suspect(4, ("t1", "t2", "t3", "t4"))}}
    assert count_mismatches(suspects)["orphan"] == 4
    assert sample_names(suspects["orphan"]) == ["gone (t1, t2, t3)"]
    assert len(sample_names({str(n): Suspect() for n in range(99)})) == 20


def test_only_sleeping_agents_would_cover_it():
    """An uncovered demand names who could take it, if it were awake."""
    census = house(
        [A, RegisteredAgent("z", "sleeping", capabilities=frozenset({"y"}))],
        demands=[Demand(frozenset({"y"}), 2)],
    )
    suspects = find_suspects(census, RULES, Pulse().see(census, RULES))
    assert sample_names(suspects["uncovered"]) == ["y (only asleep: z)"]


def test_registrations():
    """The first reading is the baseline; a new id, a new registration time and a new boot id count."""
    arrivals = Arrivals()
    steps = [
        ([active("a", registered=1.0)], 0),
        ([active("a", registered=1.0), active("b", registered=2.0)], 1),
        ([active("a", registered=3.0), active("b", registered=2.0)], 2),
        ([active("b", registered=2.0)], 2),
        ([active("b", registered=2.0, boot="x")], 3),
        ([active("b", registered=2.0)], 3),
        ([active("a", registered=3.0)], 4),
    ]
    assert [arrivals.see(agents, NOW + n) for n, (agents, _) in enumerate(steps)] == [
        total for _, total in steps
    ]
    assert arrivals.last_hour(NOW + 10) == {"a": 2, "b": 2}
    assert arrivals.last_hour(NOW + 3602.5) == {"a": 1, "b": 1}
    assert arrivals.last_hour(NOW + 9000) == {}


def test_registrations_while_sentinel_was_away():
    """After a restart, those whose time is known to be later than the last look count."""
    arrivals = Arrivals(7, NOW)
    agents = [active("a", registered=NOW - 5), active("b", registered=NOW + 5), active("c")]
    assert arrivals.see(agents, NOW + 60) == 8


STATUSES = {"active": "active", "sleeping": "sleeping", "stopped": "inactive"}


def test_of_several_rows_the_active_one_with_the_newest_beat_counts():
    """Rows of former starts are history; two active ones of one boot id are one too many."""
    rows = [
        Registration("a", "stopped", NOW, registered=5.0, boot="b0"),
        Registration("a", "active", NOW - 9, registered=1.0, boot="b1"),
        Registration("a", "active", NOW - 3, frozenset({"x"}), 2.0, "b2"),
        Registration("t", "active", NOW),
        Registration("t", "active", NOW - 1),
        Registration("q", "odd"),
    ]
    agents = merge(rows, STATUSES)
    assert (agents["a"].rows, agents["a"].life, agents["a"].capabilities) == (1, (2.0, "b2"), {"x"})
    assert agents["a"].boots == {"b1": NOW - 9, "b2": NOW - 3}
    assert len(agents["a"].lives) == 3
    assert agents["t"].rows == 2
    assert agents["q"].status == "unmapped"


def test_entries_that_are_no_table_rows():
    """Fields by name, times as people write them; a heartbeat that is no time is told, not taken
    for death.
    """
    names = {
        "status": "state",
        "last_heartbeat": "seen",
        "capabilities": "can",
        "registered_at": "since",
        "boot_id": "pid",
    }
    entry = {
        "state": "BUSY",
        "seen": "2026-01-02T03:04:05",
        "can": ["x"],
        "since": 1.7e9,
        "pid": 17,
    }
    row = read_registration("a", entry, names)
    assert (row.status, row.beat, row.capabilities, row.registered, row.boot) == (
        "busy", 1767323045.0, {"x"}, 1.7e9, "17",
    )  # fmt: skip
    assert "banana" in read_registration("a", {"seen": "banana"}, names).problem
    assert read_registration("a", {}, names) == Registration("a", "")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1.7e9, 1.7e9), ("1700000000.5", 1700000000.5), (1.7e12, 1.7e9), ("1700000000000", 1.7e9),
        ("2023-11-14T22:13:20", 1.7e9), ("2023-11-14T22:13:20Z", 1.7e9), ("2023-11-14T23:13:20+01:00", 1.7e9),
        ("", None), (None, None), ("soon", None), (5, None), ("inf", None), ("nan", None),
        (True, None), (-1, None), ({}, None),
    ],
)  # fmt: skip
def test_times_as_platforms_write_them(value, seconds):
    """Seconds, milliseconds, ISO 8601 where naive is UTC; a small number, infinity and words are no
    time.
    """
    assert read_instant(value) == seconds


def test_the_age_of_a_registry_file():
    """Not written, written with an old or a future claim, promised and not written; a fresh one is
    well.
    """
    hour = 3600.0
    assert FileAge(NOW, NOW, NOW + hour).find_faults(NOW + 60, 600, 2) == ()
    assert FileAge(NOW).find_faults(NOW + 60 * hour, None, 2) == ()
    for age, words in (
        (FileAge(NOW - hour), "not written"),
        (FileAge(NOW, NOW - hour), "before"),
        (FileAge(NOW, NOW + hour), "after it was written"),
        (FileAge(NOW, None, NOW - hour), "overdue"),
    ):
        (text,) = age.find_faults(NOW, 600, 2)
        assert words in text


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


def test_a_stranger_must_be_there_after_the_registry_was_read():
    """Who stopped meanwhile is no stranger; with one look at the bus that one is believed."""
    stays, goes = listener("stays"), listener("goes")
    before = Listeners((stays, goes), now=NOW)
    census = Census(agents={}, now=NOW, before=before, after=Listeners((stays,), now=NOW))
    assert found(census) == {"unregistered": {"stays"}}
    alone = Census(agents={}, now=NOW, before=before)
    assert found(alone) == {"unregistered": {"stays", "goes"}}
