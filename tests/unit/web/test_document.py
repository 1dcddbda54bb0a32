"""What the page and the API say of an incident, in the words of every other place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.web.document import describe_incident

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_closed_incident_lasted_until_it_was_over() -> None:
    """As `sentinel incident list` says: the time in which its health was watched is no failure."""
    over, closed = T0 + timedelta(seconds=98), T0 + timedelta(minutes=11)
    incident = Incident(
        "i", "bus", T0, IncidentState.CLOSED, Status.DOWN, "gone", recovered=over, closed=closed
    )
    assert describe_incident(incident, closed, {})["state_text"] == "closed, lasted 1 min 38 s"
