"""What is known now, for readers in the daemon: the store, and over it what waits to be written."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from sentinel.core.model import Incident, IncidentState
from sentinel.core.objective import ObjectiveStanding
from sentinel.core.remediation.restart import Reason
from sentinel.engine.recorder import Recorder
from sentinel.store import HELD_KEY, Changes, CheckView, ComponentView, Reader, Store, TimelineEntry

View = TypeVar("View", CheckView, ComponentView)


@dataclass(frozen=True, slots=True)
class PresentReader:
    """A Reader for pages: while the disk is full or blocked they show what is, not what was."""

    store: Store
    recorder: Recorder

    def __getattr__(self, name: str) -> Any:
        """History is read as it was written."""
        return getattr(self.store, name)

    @classmethod
    def over(cls, store: Store, recorder: Recorder) -> Reader:
        """A reader over a store."""
        return cast(Reader, cls(store, recorder))

    def meta(self, key: str) -> str | None:
        """A single remembered word."""
        waiting = (each.meta[key] for each in reversed(self.recorder.waiting()) if key in each.meta)
        word = next(waiting, None)
        word = self.store.meta(key) if word is None else word
        if key == HELD_KEY and not self.recorder.writable:
            text = f"no action, the journal can't be written: {self.recorder.trouble}"
            word = json.dumps([[Reason.JOURNAL_UNWRITABLE, text], *json.loads(word or "[]")])
        return word

    def checks(self) -> list[CheckView]:
        """Every check of the running configuration."""
        newer = [each.checks for each in self._newer()]
        # What ran since it was noted is among what is newer: nobody here has to go by the note.
        known = [replace(view, noted=None) if view.noted else view for view in self.store.checks()]
        return _lay_over(known, newer)

    def components(self) -> list[ComponentView]:
        """Every component of the running configuration."""
        newer = [each.components for each in self._newer()]
        return _lay_over(self.store.components(), newer)

    def _newer(self) -> list[Changes]:
        """Asked for before the store: what is written in between is then in both."""
        return [*self.recorder.waiting(), *self.recorder.held()]

    def objectives(self) -> list[ObjectiveStanding]:
        """How each objective stands."""
        known = {each.objective.name: each for each in self.store.objectives()}
        for each in self.recorder.waiting():
            known |= each.standings
        return [known[name] for name in sorted(known)]

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Newest first."""
        waiting = {new.id: new for each in self.recorder.waiting() for new in each.incidents}
        found = self.store.incidents(open_only=open_only, limit=limit)
        merged = {**{each.id: each for each in found}, **waiting}.values()
        shown = [each for each in merged if not open_only or each.state != IncidentState.CLOSED]
        return sorted(shown, key=lambda each: each.opened, reverse=True)[:limit]

    def incident(self, incident_id: str) -> Incident | None:
        """One incident by id."""
        for each in reversed(self.recorder.waiting()):
            for incident in reversed(each.incidents):
                if incident.id == incident_id:
                    return incident
        return self.store.incident(incident_id)

    def timeline(self, incident_id: str, *, most: int | None = None) -> list[TimelineEntry]:
        """What happened in an incident, oldest first."""
        waiting = [
            TimelineEntry(incident_id, at, event.kind, event.text, evidence)
            for each in self.recorder.waiting()
            for incident, at, event, evidence in each.events
            if incident == incident_id
        ]
        return [*self.store.timeline(incident_id, most=most), *waiting]

    def count_timeline(self, incident_id: str) -> int:
        """How many lines that are."""
        waiting = (event for each in self.recorder.waiting() for event in each.events)
        own = sum(incident == incident_id for incident, *_ in waiting)
        return self.store.count_timeline(incident_id) + own


def _lay_over(known: list[View], waiting: list[list[View]]) -> list[View]:
    views = {view.name: view for view in known}
    for changes in waiting:
        views |= {view.name: view for view in changes}
    return list(views.values())
