"""Which pages are photographed: all of them."""

from __future__ import annotations

from sentinel.web.views.routes import VIEWS
from tools.screenshots.pages import list_addresses

CHECKS = [{"name": "a", "status": "up"}, {"name": "b/c", "status": "down"}]
STATUS = {
    "checks": CHECKS,
    "components": CHECKS,
    "incidents": [{"id": "I1", "runbook": "r", "status": "down"}],
}


def test_every_page_has_its_picture() -> None:
    """Each view by its route, and what has a name of the worst one."""
    incidents = [
        {"id": "I0", "status": "down", "shown": "up"},
        {"id": "I1", "status": "down", "shown": "down"},
    ]
    found = list_addresses(STATUS, incidents)
    assert found["check"] == "/check/b%2Fc"
    assert found["incident"] == "/incident/I1"
    assert found["runbook"] == "/runbooks/r?incident=I1"
    routes = {view.path.split("{")[0] for view in VIEWS} | {"/", "/faults", "/reports/"}
    assert not [each for each in routes if not any(one.startswith(each) for one in found.values())]


def test_an_empty_platform_is_photographed_too() -> None:
    """Without a check, a component or an incident there is none to show."""
    found = list_addresses({"checks": [], "components": [], "incidents": []}, [])
    assert found["status"] == "/"
    assert "check" not in found
