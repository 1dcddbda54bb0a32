"""The runbooks, and one of them with the values of an incident."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiohttp import web

from sentinel.store import Reader
from sentinel.web.views.ask import Ask
from sentinel.web.views.incidents import find_incident
from sentinel.web.views.known import Known

Document = dict[str, Any]


def list_books(_store: Reader, known: Known, now: datetime, _ask: Ask) -> Document:
    """Every runbook on the shelf by name. Keys: `runbooks`."""
    books = sorted(known.runbooks().items())
    return {
        "generated": now,
        "runbooks": [{"name": name, "title": title} for name, title in books],
    }


def show_book(store: Reader, known: Known, now: datetime, ask: Ask) -> Document:
    """One runbook; with `incident` its steps have the values of that incident. HTTPNotFound."""
    asked = ask.read("incident")
    ask.conclude()
    incident = find_incident(store, asked) if asked else None
    book = known.show_runbook(ask.name, incident)
    if book is None:
        raise web.HTTPNotFound(text="no such runbook")
    told = {"id": incident.id, "component": incident.component} if incident else None
    return {"generated": now, "incident": told, "names": sorted(known.runbooks()), **book}
