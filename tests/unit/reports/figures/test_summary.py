"""The few sentences at the beginning of a report."""

from __future__ import annotations

from sentinel.reports.figures import RiskFact
from sentinel.reports.figures.summary import _list_close


def test_what_is_close_to_a_limit_is_named_once_and_in_full():
    """Subjects that begin alike were cut before they differed, each behind the same long name."""
    room = "room before unread entries are trimmed"
    of = [f"stream agent_messages:*, group group_agent-{n}" for n in range(4)]
    risks = [RiskFact(room, "delivery", each, 1.0, None, 5.0, "entries") for each in of]
    disk = RiskFact("disk of the state", "", "", 1.0, 0.95, None, "bytes")
    assert _list_close([*risks[:2], disk]) == f"{room} ({of[0]}; {of[1]}), disk of the state"
    assert _list_close(risks) == f"{room} ({of[0]}; {of[1]}; 2 more)"
