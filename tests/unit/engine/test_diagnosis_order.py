"""The order to diagnose: in the transaction that announces an incident, once, with the runbook for
the finding.
"""

from __future__ import annotations

import pytest

from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.test_pipeline import DEGRADED, DOWN, UP, World


@pytest.fixture
def world(store, metrics, clock):
    """A pipeline that knows a runbook for each finding and wants every incident diagnosed."""
    made = World(store, metrics, clock)
    made.guide.word = lambda check, fault: f"{check.name}-{fault}" if fault else ""
    made.guide.wants = lambda _check, runbook: runbook != ""
    yield made
    made.recorder.close()


def orders(store: SqliteStore) -> list[tuple[str, str, str]]:
    return [
        (o.subject, o.key, o.payload["runbook"])
        for o in store.take_orders()
        if o.kind == "diagnose"
    ]


async def test_an_incident_is_diagnosed_once(world):
    """When it is announced, not when it gets worse, relapses or goes on."""
    for status in (DOWN, DOWN, DEGRADED, UP, DOWN):
        await world.see("bus", status)
    (incident,) = world.store.incidents()
    assert orders(world.store) == [("bus", f"{incident.id}/diagnose", "bus-check-broken")]


async def test_what_is_blocked_is_not_diagnosed(world):
    """The incident of the cause is diagnosed, not those that it blocks: ten that fall together are
    one look.
    """
    for name in ("bus", "orchestrator", "api"):
        await world.see(name, DOWN)
    assert [subject for subject, *_ in orders(world.store)] == ["bus"]


async def test_the_order_stands_in_the_same_transaction(world, monkeypatch):
    """Incident and order are written together, or neither is."""
    seen = []
    commit = world.store.commit
    monkeypatch.setattr(
        world.store, "commit", lambda changes: (seen.append(changes), commit(changes))
    )
    await world.see("bus", DOWN)
    with_order = [
        changes for changes in seen if any(order.kind == "diagnose" for order in changes.orders)
    ]
    assert len(with_order) == 1
    assert with_order[0].incidents


async def test_nobody_asked(store, metrics, clock):
    """By default nothing is diagnosed, and the view has the runbook that the check names."""
    world = World(store, metrics, clock)
    await world.see("bus", DOWN)
    assert orders(store) == []
    world.recorder.close()


async def test_the_view_has_the_runbook_of_the_finding(world):
    """While it is bad, that for its fault; while it is up, none but the check's own."""
    world.guide.word = lambda check, fault: f"{check.kind}/{fault}"
    await world.see("bus", DOWN)
    (view,) = [view for view in world.store.checks() if view.component == "bus"]
    assert view.runbook == f"{view.kind}/broken"
    await world.see("bus", UP)
    (view,) = [view for view in world.store.checks() if view.component == "bus"]
    assert view.runbook == f"{view.kind}/"
