"""Rows and evidence of the registry: sets counted each by itself, capabilities, agents for reports."""

from __future__ import annotations

import pytest

from sentinel.core.agents.capability import Demand
from sentinel.core.agents.census import (
    Beats,
    Census,
    Consumer,
    Listeners,
    Vitals,
    Work,
)
from sentinel.core.agents.finding import CensusFacts, make_finding
from sentinel.core.agents.registration import RegisteredAgent
from sentinel.core.agents.suspects import KINDS, Suspect, Suspects
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.probes.registry import KIND

NOW = 1_700_000_000.0
AGENTS = {
    "a": RegisteredAgent("a", "active", beat=NOW - 5, capabilities=frozenset({"sql", "mail"})),
    "b": RegisteredAgent("b", "active", beat=NOW - 40, capabilities=frozenset({"sql"})),
    "z": RegisteredAgent("z", "sleeping", capabilities=frozenset({"nap"})),
    "i": RegisteredAgent("i", "inactive"),
}
VITALS = Vitals({"a": 5.0, "b": 40.0, "stranger": 900.0})


def find(
    census: Census | None = None,
    confirmed: Suspects | None = None,
    live: tuple[str, ...] = ("a", "b"),
    **facts: object,
) -> Finding:
    known = census or Census(agents=AGENTS, now=NOW)
    given = CensusFacts(**facts)  # type: ignore[arg-type]
    return make_finding(known, confirmed or {}, set(live), VITALS, given)


def values(finding: Finding, name: str) -> dict[str, float]:
    """By the one label that it has, "" without one."""
    return {
        next(iter(row.labels.values()), ""): float(row.values[name])  # type: ignore[arg-type]
        for row in finding.rows
        if name in row.values
    }


def test_every_row_fits_its_declaration() -> None:
    """Under the labels that are declared; every kind of mismatch at zero."""
    finding = find()
    declared = {each.name: set(each.labels) for each in KIND.measurements}
    for row in finding.rows:
        assert all(declared[name] == set(row.labels) for name in row.values)
    assert values(finding, "agent_mismatches") == dict.fromkeys(KINDS, 0.0)
    assert finding.key == ("live agents", "2 of 2")


def test_only_configured_sources_have_a_series() -> None:
    """The registry alone; then each source that is there, counted by itself."""
    silent = {"a": RegisteredAgent("a", "active")}
    alone = find(Census(agents=silent, now=NOW), live=("a",))
    assert values(alone, "agents") == {"registry": 1.0}
    consumers = tuple(Consumer(name, "s", name, 0.0, 0, True) for name in ("a", "a", "q"))
    everything = Census(
        agents=AGENTS,
        now=NOW,
        beats=Beats({"a": NOW}, NOW),
        after=Listeners(consumers, now=NOW),
        work=[Work("a", 2), Work("gone", 1)],
    )
    finding = find(everything, tasks_counted=True, beating=7)
    assert values(finding, "agents") == {
        "registry": 4.0,
        "heartbeat": 7.0,
        "bus": 2.0,
        "tasks": 2.0,
    }


def test_the_oldest_heartbeat_is_of_an_active_agent() -> None:
    """A stranger's is not; a clock ahead makes it no less than zero; none without one."""
    assert values(find(), "agent_heartbeat_oldest_age_seconds") == {"": 40.0}
    census = Census(agents={"i": RegisteredAgent("i", "inactive")}, now=NOW)
    assert values(find(census, live=()), "agent_heartbeat_oldest_age_seconds") == {}


def test_live_agents_by_capability() -> None:
    """What is demanded and what is offered; who sleeps counts for nothing."""
    census = Census(agents=AGENTS, now=NOW, demands=[Demand(frozenset({"x"}), 3)])
    found = values(find(census), "capability_live_agents")
    assert found == {"x": 0.0, "mail": 1.0, "nap": 0.0, "sql": 2.0}
    many = {
        f"a{n}": RegisteredAgent(f"a{n}", "active", capabilities=frozenset({f"c{n:03}"}))
        for n in range(150)
    }
    bounded = find(Census(agents=many, now=NOW), live=())
    assert len(values(bounded, "capability_live_agents")) == 100


def test_mismatches_count_tasks_where_tasks_are_concerned() -> None:
    """5 + 2 uncovered tasks are seven; two ghosts are two."""
    confirmed: Suspects = {
        "ghost": {"a": Suspect(), "b": Suspect()},
        "uncovered": {"x": Suspect(5)},
        "uncovered_combination": {"x + y": Suspect(2)},
    }
    finding = find(confirmed=confirmed)
    assert values(finding, "capability_uncovered_tasks") == {"": 7.0}
    counts = values(finding, "agent_mismatches")
    assert (counts["ghost"], counts["uncovered"], counts["orphan"]) == (2.0, 5.0, 0.0)
    assert finding.evidence["mismatches"]["uncovered"]["count"] == 5
    assert finding.evidence["mismatches"].keys() == confirmed.keys()


def test_registrations() -> None:
    """Since we began, and of the last hour; who registered most often is named first."""
    finding = find(registrations=9, last_hour={"a": 2, "b": 5})
    assert values(finding, "agent_registrations") == {"": 9.0}
    assert values(finding, "agent_registrations_last_hour") == {"": 7.0}
    assert list(finding.evidence["registrations_last_hour"].items()) == [("b", 5), ("a", 2)]


def test_tasks_by_agent_for_reports() -> None:
    """The busiest first, at most two hundred."""
    census = Census(agents=AGENTS, now=NOW, work=[Work("b", 4)])
    finding = find(census, done={"a": 3, "b": 2}, done_since="ever")
    found = finding.evidence["agents"]
    assert list(found) == ["b", "a", "i", "z"]
    assert found["b"] == {"status": "active", "tasks_completed": 2, "tasks_open": 4}
    assert finding.evidence["completed_tasks_counted"] == "ever"
    many = {f"a{n:03}": RegisteredAgent(f"a{n:03}", "active") for n in range(300)}
    assert len(find(Census(agents=many, now=NOW), live=()).evidence["agents"]) == 200


def test_evidence_of_doubts() -> None:
    """Samples, bounded; only what is there."""
    unreadable = {f"a{n}": "banana" for n in range(30)}
    census = Census(agents=AGENTS, now=NOW, beats=Beats({}, NOW, unreadable=unreadable))
    finding = find(
        census,
        unmapped={"odd": 2},
        troubles={"stream x": ("is a string", ""), "tasks": ("no table", "name it")},
        limit=20_000,
    )
    assert finding.evidence["not_judged"] == {
        "stream x": "is a string",
        "tasks": "no table; name it",
    }
    assert len(finding.evidence["unreadable_heartbeats"]) == 20
    assert finding.evidence["unmapped_statuses"] == {"odd": 2}
    assert "20000" in finding.evidence["truncated"]
    assert len([each for each in finding.faults if each.key == "unreadable_heartbeat"]) == 30
    assert not {"not_judged", "truncated", "unmapped_statuses"} & find().evidence.keys()


@pytest.mark.parametrize(
    ("confirmed", "live", "status"),
    [
        ({}, ("a",), Status.UP),
        ({"zombie": {"q": Suspect()}}, ("a",), Status.DEGRADED),
        ({"ghost": {"a": Suspect()}}, ("b",), Status.DEGRADED),
        ({"ghost": {"a": Suspect(), "b": Suspect()}}, (), Status.DOWN),
        ({"zombie": {"q": Suspect()}}, (), Status.DEGRADED),
    ],
)
def test_verdicts(confirmed: Suspects, live: tuple[str, ...], status: Status) -> None:
    """Down when confirmed ghosts are all that is left; one poll that sees nobody alive is none."""
    assert find(confirmed=confirmed, live=live).status is status


def test_who_is_unsure_is_in_no_figure() -> None:
    """Not among the living, not among the ages; told as unknown, with the zone of the times."""
    unsure = Vitals({"a": 5.0, "b": 28_805.0}, unsure={"b": -28_805.0})
    clock = ColumnClock("agents.seen", Basis.DISCOVERED, "UTC", source="TimeZone of the server")
    facts = CensusFacts(clocks={"registry": clock})
    finding = make_finding(Census(agents=AGENTS, now=NOW), {}, {"a"}, unsure, facts)
    assert values(finding, "agent_heartbeat_oldest_age_seconds") == {"": 5.0}
    assert finding.detail.endswith("1 of 2 active agents live, 1 not known, 1 asleep")
    assert (finding.status, [fault.key for fault in finding.faults]) == (Status.UNKNOWN, ["skewed"])
    assert "look like UTC-8" in finding.faults[0].text
    assert finding.evidence["zones"] == [clock.describe()]
