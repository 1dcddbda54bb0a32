"""What agents can do and tasks need: every writing, and what nobody covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.agents.capability import (
    Demand,
    count_live,
    find_gaps,
    read_capabilities,
)

NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "value",
    [
        ["sql", "review"],
        [{"name": "sql", "level": 3}, {"capability": "review"}],
        [{"id": "sql"}, {"type": "review"}],
        {"sql": True, "review": {"level": 2}},
        '["sql", "review"]',
        ' {"sql": 1, "review": 2}',
        "{sql,review}",
        '{"sql",review}',
        "sql, review",
        "sql,review,",
        ["sql", "review", None, {}],
    ],
)
def test_one_meaning_in_every_writing(value):
    """Lists, objects, JSON as text, arrays of PostgreSQL, and words with commas."""
    assert read_capabilities(value) == {"sql", "review"}


@pytest.mark.parametrize("value", [None, "", [], {}, "[]", "{}", 7, True, [None, {}], " , "])
def test_nothing_is_nothing(value):
    """What tells no capability has none."""
    assert read_capabilities(value) == frozenset()


@given(st.frozensets(NAMES))
def test_every_writing_of_the_same_names_is_the_same(names):
    """Whatever they are called."""
    assert read_capabilities(sorted(names)) == names
    assert read_capabilities(", ".join(sorted(names))) == names
    assert read_capabilities("{" + ",".join(sorted(names)) + "}") == names
    assert read_capabilities(dict.fromkeys(names, 1)) == names


def demand(*names: str, count: int = 1) -> Demand:
    """Tasks that need all of these."""
    return Demand(frozenset(names), count)


def offers(**agents: str) -> dict[str, frozenset[str]]:
    """Agents by what they can do: words."""
    return {name: frozenset(words.split()) for name, words in agents.items()}


def test_demands_have_a_name():
    """In order, so that it is the same at each look."""
    assert demand("sql", "review").name == "review + sql"
    assert demand().name == ""


@pytest.mark.parametrize(
    ("needs", "awake", "missing"),
    [
        (("sql",), offers(a="sql"), None),
        (("sql", "review"), offers(a="sql review test"), None),
        ((), offers(), None),
        (("sql", "review"), offers(a="sql", b="review"), set()),
        (("sql", "review"), offers(a="sql"), {"review"}),
        (("sql",), offers(), {"sql"}),
    ],
)
def test_one_agent_must_cover_all_of_it(needs, awake, missing):
    """Together is not enough; what no live agent has is named."""
    gaps = find_gaps([demand(*needs)], awake, {})
    assert [gap.missing for gap in gaps] == ([] if missing is None else [missing])


def test_who_sleeps_is_named():
    """Those that would cover it all, in order."""
    asleep = offers(z="sql review", b="sql review test", c="sql")
    (gap,) = find_gaps([demand("sql", "review")], offers(a="sql"), asleep)
    assert gap.asleep == ("b", "z")
    assert gap.demand.count == 1


def test_live_agents_are_counted_by_capability():
    """Zero where nobody has it."""
    awake = offers(a="sql", b="sql review")
    assert count_live(["sql", "review", "test"], awake) == {"sql": 2, "review": 1, "test": 0}
