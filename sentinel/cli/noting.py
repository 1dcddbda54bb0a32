"""`sentinel incident note`: what a person did, in the incident's timeline and report."""

from __future__ import annotations

from sentinel.app.noting import note_incident
from sentinel.cli.place import Arguments, open_store, say
from sentinel.clock import read_moment_now
from sentinel.store import show_time


def incident_note(arguments: Arguments) -> int:
    """`sentinel incident note`: works without a daemon, too."""
    _, store = open_store(arguments, writable=True)
    now = show_time(store, read_moment_now())
    text = " ".join(arguments.text)
    who = note_incident(store, arguments.id, text, now, arguments.by)
    outcome = f"noted in incident {arguments.id} by {who}"
    return say(arguments, {"incident": arguments.id, "by": who, "outcome": outcome})
