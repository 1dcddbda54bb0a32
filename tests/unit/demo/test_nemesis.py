"""What the nemesis draws, and that the checker behind it notices each broken promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Component, Incident, IncidentState, Transition
from sentinel.demo.chaos import ACTIONS
from sentinel.demo.nemesis import QUIET_END, REST, draw_faults
from sentinel.demo.verdict import Evidence, find_violations

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """T0 + seconds."""
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_drawn_can_be_survived(seed):
    """Known actions, a component rests after each fault, one server at a time, a quiet end; the
    seed decides.
    """
    faults = draw_faults(seed, 600)
    assert faults == draw_faults(seed, 600)
    assert len(faults) >= 25
    assert {fault.action for fault in faults} <= ACTIONS.keys()
    assert max(fault.start for fault in faults) < 600 - QUIET_END
    last: dict[str, float] = {}
    server_back = 0.0
    for fault in faults:
        if fault.action == "server_down":
            assert fault.start >= server_back
            server_back = fault.start + fault.duration
        name = fault.params.get("component")
        if name:
            assert fault.start >= last.get(name, -REST) + REST
            last[name] = fault.start


def test_seeds_differ():
    """Thirty seeds are thirty runs."""
    assert (
        len({tuple(fault.action for fault in draw_faults(seed, 600)) for seed in range(30)}) == 30
    )


def attempt(
    component="agent", n=1, seconds=10.0, *, incident="i-1", ended=11.0, by="sentinel"
) -> Attempt:
    """One attempt that was done."""
    return Attempt(
        incident,
        n,
        component,
        "restart",
        "x",
        at(seconds),
        outcome="done",
        ended=at(ended),
        by=by,
        verdict="recovered",
    )


def ledger(component: str, incarnation: str, *times: float) -> list[dict]:
    """Lines of one life."""
    begin = [
        {"event": "started", "component": component, "incarnation": incarnation, "t": times[0]}
    ]
    return begin + [
        {"event": "acked", "component": component, "incarnation": incarnation, "t": t}
        for t in times[1:]
    ]


GOOD = Evidence(
    components={
        "bus": Component("bus"),
        "agent": Component("agent", depends_on=("bus",)),
        "api": Component("api"),
    },
    attempts=[attempt()],
    incidents=[
        Incident("i-1", "agent", at(9), IncidentState.CLOSED, Status.DOWN, "x"),
        Incident(
            "i-2",
            "api",
            at(9),
            IncidentState.CLOSED,
            Status.DOWN,
            "x",
            exhausted=False,
            escalated=True,
        ),
    ],
    transitions=[
        Transition("bus", "component", Status.UP, Status.DOWN, at(3), ""),
        Transition("bus", "component", Status.DOWN, Status.UP, at(8), ""),
    ],
    notifications=["i-1/opened", "i-2/exhausted"],
    ledgers=[*ledger("agent", "agent.1", 1.0, 9.0), *ledger("agent", "agent.2", 10.5, 20.0)],
    document={
        "delivery": {"published": 10, "lost": [2, 2]},
        "truth": {"delivery": {"published": 10, "lost": [2, 3], "in_doubt": 0}},
        "checks": [
            {
                "name": "agent.process",
                "kind": "supervision",
                "component": "agent",
                "status": "up",
                "detail": "",
            }
        ],
        "incidents": [{"component": "agent", "exhausted": False, "state": "closed", "summary": ""}],
    },
)


def with_document(**changes) -> Evidence:
    """The good run with another document."""
    return replace(GOOD, document={**GOOD.document, **changes})


BROKEN = {
    "a fourth attempt": (
        replace(GOOD, attempts=[attempt(n=n, seconds=10 * n, ended=10 * n + 1) for n in range(1, 5)]),
        "4 attempts in incident i-1, the cap is 3",
    ),
    "two actions at once": (
        replace(GOOD, attempts=[attempt(), attempt("api", seconds=10.5, incident="i-2")]),
        "api was acted upon",
    ),
    "a restart in an outage": (replace(GOOD, attempts=[attempt(seconds=5, ended=6)]), "although bus was down"),
    "a restart in an outage that did not end": (
        replace(GOOD, transitions=GOOD.transitions[:1]), "although bus was down"
    ),
    "a start without an attempt": (replace(GOOD, attempts=[]), "agent started 2 times, but there were 0 attempts"),
    "two copies": (
        replace(GOOD, ledgers=[*ledger("agent", "agent.1", 1.0, 12.0), *ledger("agent", "agent.2", 10.5, 20.0)]),
        "two copies of agent",
    ),
    "told twice": (
        replace(GOOD, notifications=["i-2/exhausted", "i-2/exhausted"]), "incident i-2 was escalated 2 times"
    ),
    "never told": (replace(GOOD, notifications=[]), "incident i-2 was escalated 0 times"),
    "published differs": (with_document(delivery={"published": 11, "lost": [2, 2]}), "published: measured 11"),
    "lost is too low": (with_document(delivery={"published": 10, "lost": [0, 1]}), "lost: measured [0, 1]"),
    "lost is too high": (with_document(delivery={"published": 10, "lost": [4, 9]}), "lost: measured [4, 9]"),
    "no figures": (with_document(delivery=None), "no delivery figures"),
    "left down": (
        with_document(checks=[{**GOOD.document["checks"][0], "status": "down"}]), "at the end agent.process is down"
    ),
    "left given up": (
        with_document(incidents=[{"component": "agent", "exhausted": True, "state": "open", "summary": "x"}]),
        "at the end agent is given up",
    ),
}  # fmt: skip


def test_a_good_run_has_no_violation():
    """Every promise was kept."""
    assert find_violations(GOOD) == []


@pytest.mark.parametrize(("run", "text"), BROKEN.values(), ids=BROKEN)
def test_each_broken_promise_is_found(run, text):
    """One thing is wrong, and it is the only line that comes out."""
    violations = find_violations(run)
    assert len(violations) == 1
    assert text in violations[0]


def test_an_operator_has_no_cap():
    """Five restarts by hand are no broken promise."""
    by_hand = [attempt(n=n, seconds=10 * n, ended=10 * n + 1, by="operator") for n in range(1, 6)]
    assert find_violations(replace(GOOD, attempts=by_hand)) == []
