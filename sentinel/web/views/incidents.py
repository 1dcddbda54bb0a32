"""Incidents with search, one incident, and all of them as a feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from shlex import quote
from typing import Any

from aiohttp import web

from sentinel.core.foreign.visible import make_visible
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Reader
from sentinel.web.document import describe_incident, incident_document
from sentinel.web.views.ask import Ask, Leaf, find_text, is_asked
from sentinel.web.views.known import Known

Document = dict[str, Any]
PER_PAGE = 200
SEARCHED = 2000
"""Incidents that a search looks through, the newest."""
MAX_LINES = 1000
"""Lines of a timeline that are shown: the first quarter and the end."""
NOTE = "note"
"""The kind of a line of the timeline that a person wrote."""
STATES = tuple(each.value for each in IncidentState)
LIST_WORDS = ("state", "open", "component", "text", "since", "until", "page")


def list_incidents(store: Reader, _known: Known, now: datetime, ask: Ask) -> Document:
    """Incidents that fit, newest first. `state=open` and `open=1` are those that are not closed.

    Keys: `incidents`, `leaf`, `only`, `components`, `searched` (so many, the newest, were looked
    through) and `cut` (whether there are older ones).
    """
    state = ask.choose("state", STATES)
    open_only = ask.choose("open", ("1", "true", "0", "false")) in {"1", "true"} or state == "open"
    component, text = ask.read("component"), ask.read("text")
    since, until = ask.read_instant("since"), ask.read_instant("until")
    ask.conclude()
    read = store.incidents(open_only=open_only, limit=SEARCHED + 1)
    found = [
        each
        for each in read[:SEARCHED]
        if is_asked(component, each.component)
        and (state in {"", "open"} or each.state.value == state)
        and (since is None or (each.closed or now) >= since)
        and (until is None or each.opened <= until)
        and find_text(text, (each.id, each.component, each.summary, each.began_as, each.check,
                             each.fault, *each.subject.values(), each.root_cause))
    ]  # fmt: skip
    leaf = Leaf.read(ask, PER_PAGE, len(found))
    actions = {view.name: view.action for view in store.components()}
    return {
        "generated": now,
        "incidents": [describe_incident(each, now, actions) for each in leaf.cut(found)],
        "leaf": leaf.describe(ask),
        "only": {
            "state": "open" if open_only else state,
            "component": component,
            "text": text,
            "since": ask.read("since"),
            "until": ask.read("until"),
        },
        "components": sorted({each.component for each in read[:SEARCHED]} | actions.keys()),
        "searched": len(read[:SEARCHED]),
        "cut": len(read) > SEARCHED,
    }


def show_incident(store: Reader, known: Known, now: datetime, ask: Ask) -> Document:
    """One incident. HTTPNotFound when there is none of that name.

    Keys: those of `incident_document`, `book` (its runbook with the values of this incident, or
    null), `lines` (how many the timeline has; of too many both ends are listed), `notes` and
    `diagnoses` (lines of it that people wrote, and that runbooks gave).
    """
    incident = find_incident(store, ask.name)
    document = incident_document(store, incident, now, MAX_LINES)
    name, timeline = document["runbook"], document["timeline"]
    return {
        **document,
        "generated": now,
        "book": known.show_runbook(name, incident) if name else None,
        "lines": max(store.count_timeline(incident.id), len(timeline)),
        "commands": _list_commands(incident.id, name),
        "notes": [each for each in timeline if each["kind"] == NOTE],
        "diagnoses": [each for each in timeline if "transcript" in each["evidence"]],
    }


def _list_commands(incident: str, runbook: str) -> dict[str, str]:
    """What a person may type about an incident."""
    shown = quote(incident)
    return {
        "ack": f"sentinel incident ack {shown}",
        "note": f"sentinel incident note {shown} 'what you saw'",
        "runbook": f"sentinel runbook run {quote(runbook)} --incident {shown}" if runbook else "",
    }


def find_incident(store: Reader, name: str) -> Incident:
    """The incident of that id, also when it is asked for as it is shown."""
    found = store.incident(name)
    if found is None:
        shown = (each for each in store.incidents(limit=SEARCHED) if make_visible(each.id) == name)
        found = next(shown, None)
    if found is None:
        raise web.HTTPNotFound(text="no such incident")
    return found


# -- the feed --------------------------------------------------------------------------------------

FEED_LENGTH = 50


def list_feed(store: Reader, now: datetime) -> list[Document]:
    """The newest incidents for a feed: what happened last with each is its date."""
    found: Sequence[Incident] = store.incidents(limit=FEED_LENGTH)
    return list(_describe_items(found, now))


def _describe_items(found: Sequence[Incident], now: datetime) -> Iterator[Document]:
    for each in found:
        described = describe_incident(each, now, {})
        yield {
            "id": each.id,
            "title": f"{each.component} {_say_state(each)}",
            "text": f"{each.summary} ({described['state_text']})",
            "at": each.closed or each.recovered or each.opened,
        }


def _say_state(incident: Incident) -> str:
    if incident.closed is not None or incident.recovered is not None:
        return "has recovered"
    return f"is {incident.status.value}"
