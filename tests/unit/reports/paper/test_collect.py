"""The documents of both reports: with nothing to say, beside a dead daemon, from odd rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.errors import UsageError
from sentinel.reports import ReportRequest
from sentinel.reports.paper.collect import collect
from sentinel.store import Changes
from sentinel.store.document import write_instant
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check, component

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_nothing_to_report(store: SqliteStore) -> None:
    """With an empty store both reports are made and say so."""
    recovery, progress = (collect(store, name, T0) for name in ("recovery", "progress"))
    assert recovery["incident"] is None
    assert recovery["headline"].startswith("Nothing to report")
    assert progress["headline"].startswith("Nothing to report")
    assert progress["throughput"]["per_hour"] is None


def test_a_report_that_is_not_on_the_shelf(store: SqliteStore) -> None:
    """The names that there are stand in the answer."""
    with pytest.raises(UsageError, match="'poem' is no kind of report") as caught:
        collect(store, "poem", T0, ReportRequest())
    assert (
        caught.value.guidance
        == "choose one of daily, progress, readiness, recovery, shift, tenants"
    )


@pytest.mark.parametrize("kind", ["recovery", "progress"])
@pytest.mark.parametrize(
    ("beat", "stopped", "told"), [(-5, "", False), (-15, "", True), (-5, write_instant(T0), True)]
)
def test_a_report_beside_a_dead_daemon_says_so(
    incident_store: SqliteStore, kind: str, beat: float, stopped: str, *, told: bool
) -> None:
    """What was up when sentinel ended need not be up now; while it runs nothing is added."""
    incident_store.commit(Changes(meta={"beat": at(beat).isoformat(), "stopped": stopped}))
    headline = collect(incident_store, kind, T0)["headline"]
    assert headline.startswith(f"Not observed since {at(beat):%Y-%m-%d %H:%M:%S} UTC") is told


def test_rows_of_the_wrong_shape(store: SqliteStore) -> None:
    """Rows without values, with words for numbers or of a kind that is gone break no report."""
    rows = [
        {"labels": {"agent": "a"}, "values": {"agent_tasks_completed": "many"}},
        {"labels": {"agent": "b"}},
        {"values": {"lost_before_read_total": None, "published_total": float("inf")}},
    ]
    views = [check(name, name, "z", rows=rows) for name in ("registry", "bus_delivery", "gone")]
    incident = Incident("I", "z", T0, IncidentState.OPEN, Status.DOWN, "")
    store.commit(
        Changes(checks=views, components=[component("z", "nonsense")], incidents=[incident])
    )
    recovery, progress = (collect(store, name, at(60)) for name in ("recovery", "progress"))
    assert all(figure["low"] is None for figure in recovery["impact"])
    assert [agent["tasks_to"] for agent in progress["agents"]] == [None, None]
    assert all(figure["low"] is None for figure in progress["delivery"])
