"""What people write into an incident: with a daemon, without one, and after it was closed."""

from __future__ import annotations

from datetime import datetime

from sentinel.app.ordering import actor
from sentinel.core.component.incident import Event
from sentinel.core.foreign.visible import make_visible
from sentinel.errors import UnknownName, UsageError
from sentinel.redaction import hide_shapes
from sentinel.store import Changes, Store

NOTE = "note"
"""The event of a timeline that a person wrote."""
MAX_NOTE = 2000
"""Characters of one note: a timeline is read on a page."""


def note_incident(store: Store, incident_id: str, text: str, now: datetime, by: str = "") -> str:
    """Put a person's sentence into the timeline and the audit log; who wrote it. What looks like a
    secret is not kept: notes are pasted from terminals.

    Raises UsageError for an incident that is not there, and for a note that says nothing or is too
    long.
    """
    line = hide_shapes(" ".join(make_visible(text).split()))
    if store.incident(incident_id) is None:
        raise UnknownName(
            f"there is no incident {incident_id!r}", "`sentinel incident list` lists them"
        )
    if not line:
        raise UsageError("the note says nothing", "write what was done, or seen")
    if len(line) > MAX_NOTE:
        message = f"the note has {len(line)} characters, more than {MAX_NOTE}"
        raise UsageError(message, "say it in fewer words, or in several notes")
    who = by.strip() or actor()
    store.add_audit(now, who, NOTE, incident_id, line)
    store.commit(Changes(events=[(incident_id, now, Event(NOTE, f"{who}: {line}"), {"by": who})]))
    return who
