"""Which addresses are photographed: every page of the route table, with names of the platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from sentinel.web.app import ROUTES

NO_PAGES = ("/metrics", "/-/", "/static/", "/api/", "/badge/", "/reports/{", "/incidents.rss")
Document = Mapping[str, Any]


def list_addresses(status: Document, incidents: Iterable[Document]) -> dict[str, str]:
    """Name of the picture → address, for each page; what has a name is shown of the worst one."""
    worst = {
        "/check/{name}": _find_worst(status["checks"], "name"),
        "/component/{name}": _find_worst(status["components"], "name"),
        "/incident/{id}": _find_worst(incidents, "id"),
    }
    runbook = next((each["runbook"] for each in status["incidents"] if each["runbook"]), "")
    incident = next((each["id"] for each in status["incidents"] if each["runbook"]), "")
    found = {
        route.path.strip("/") or "status": route.path
        for route in ROUTES
        if route.method == "GET" and "{" not in route.path and not route.path.startswith(NO_PAGES)
    }
    for path, name in worst.items():
        if name:
            found[path.split("/")[1]] = path.split("{")[0] + quote(name, safe="")
    if runbook:
        found["runbook"] = f"/runbooks/{quote(runbook)}?incident={quote(incident, safe='')}"
    return found | {
        "not-found": "/check/nothing",
        "uptime": f"{found.get('component', '/')}?window=90d",
    }


def _find_worst(items: Iterable[Document], key: str) -> str:
    order = ("down", "degraded", "stale", "unknown", "up")
    ranked = sorted(items, key=lambda each: order.index(each.get("shown") or each["status"]))
    return str(ranked[0][key]) if ranked else ""
