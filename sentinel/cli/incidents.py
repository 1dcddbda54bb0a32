"""`sentinel incident`: what happened, and what to do next."""

from __future__ import annotations

import shlex
from typing import Any

from sentinel.app.presence import is_running
from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.cli.standing import warn_of_files
from sentinel.clock import read_moment_now
from sentinel.core.model import Incident
from sentinel.errors import UsageError
from sentinel.store import Reader, show_time
from sentinel.store.document import to_json
from sentinel.web.document import incident_document


def incident_list(arguments: Arguments) -> int:
    """`sentinel incident list`"""
    _, store = open_store(arguments)
    warn_of_files(arguments, store, running=is_running(store))
    incidents = store.incidents(open_only=arguments.open)
    if arguments.json:
        return print_json([to_json(incident) for incident in incidents])
    now = show_time(store, read_moment_now())
    show(tables.incidents_table(incidents, now) if incidents else "no incident")
    return 0


def incident_show(arguments: Arguments) -> int:
    """`sentinel incident show`"""
    _, store = open_store(arguments)
    warn_of_files(arguments, store, running=is_running(store))
    incident = _find_incident(store, arguments.id)
    timeline, attempts = store.timeline(incident.id), store.attempts(incident=incident.id)
    if arguments.json:
        document = {"incident": incident, "timeline": timeline, "attempts": attempts}
        return print_json(to_json(document))
    now = show_time(store, read_moment_now())
    advice = _advise(incident_document(store, incident, now))
    show(*tables.incident_page(incident, timeline, attempts, advice, now))
    return 0


def _advise(document: dict[str, Any]) -> list[str]:
    """Root cause, why nothing is being done, and the commands that lead on, as on the page."""
    found = f", found by {document['check']}" if document["check"] else ""
    lines = [f"root cause: {document['root_cause']}{found}"]
    if document["why"]:
        lines.append(f"why: {document['why']}")
    if document["closed"] is None:
        component = shlex.quote(document["component"])
        lines.append(f"who is wrong: sentinel faults --component {component}")
        seen_to, name = document["acknowledged_by"], shlex.quote(document["id"])
        lines.append(
            f"acknowledged by {seen_to}" if seen_to else f"see to it: sentinel incident ack {name}"
        )
    if document["runbook"]:
        book, name = shlex.quote(document["runbook"]), shlex.quote(document["id"])
        lines.append(f"runbook: sentinel runbook run {book} --incident {name}")
    return lines


def _find_incident(store: Reader, incident_id: str | None) -> Incident:
    if incident_id is not None:
        incident = store.incident(incident_id)
        if incident is None:
            raise UsageError(
                f"there is no incident {incident_id!r}", "`sentinel incident list` lists them"
            )
        return incident
    latest = store.incidents(limit=1)
    if not latest:
        raise UsageError("there is no incident yet")
    return latest[0]
