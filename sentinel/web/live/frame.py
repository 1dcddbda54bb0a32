"""What stands around components and checks: what holds sentinel back, who is told, objectives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.core.foreign.visible import make_document_visible, make_visible
from sentinel.core.model import Incident
from sentinel.core.notice import LABELS, NoticeLabels
from sentinel.core.notice.maintenance import Maintenance
from sentinel.core.notice.silence import Silence
from sentinel.store import HELD_KEY, OWN_KEY, Changes, Reader
from sentinel.store.document import read_instant, read_plain, to_json
from sentinel.store.notices import (
    BOOK_KEY,
    CHANNELS_KEY,
    MAINTENANCE_KEY,
    SILENCES_KEY,
    WINDOWS_KEY,
    present_maintenance,
    read_silences,
)
from sentinel.store.runbook import CONDITIONS_KEY, held_back, own_troubles
from sentinel.web.document import TOLD_FOR, describe_blindness
from sentinel.web.notices import describe_channels, describe_maintenance, describe_silences
from sentinel.web.objectives import list_objectives

_WORDS = frozenset(
    {
        HELD_KEY, OWN_KEY, BOOK_KEY, CHANNELS_KEY, MAINTENANCE_KEY, SILENCES_KEY, WINDOWS_KEY,
        CONDITIONS_KEY, "platform",
    }
)  # fmt: skip
_OF_CHANNEL = ("name", "kind", "waiting", "outcome", "at", "error")
_OF_OBJECTIVE = (
    "title", "status", "state_text", "ratio_text", "target_text", "events_text", "budget_text",
    "alarm_text", "forecast_text", "observed_text",
)  # fmt: skip
"""What is shown of each: ages are counted by the page itself."""


@dataclass(frozen=True, slots=True)
class PageNotices:
    """What whoever looks must know before all else: what holds sentinel back, what of it does not
    work, when it was blind, what is worked upon, and what nobody is told of.
    """

    held: tuple[Mapping[str, str], ...] = ()
    own: tuple[str, ...] = ()
    blind: Mapping[str, Any] | None = None
    maintenance: tuple[str, ...] = ()
    silences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageFrame:
    """Everything of it is visible text, JSON-able."""

    platform: str
    notices: PageNotices = field(default_factory=PageNotices)
    channels: tuple[Mapping[str, Any], ...] = ()
    objectives: tuple[Mapping[str, Any], ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, NoticeLabels] = field(default_factory=dict)
    """What those who choose whom to tell know of each incident."""
    windows: tuple[Maintenance, ...] = ()
    muted: tuple[Silence, ...] = ()
    until: datetime | None = None
    """When something of it ends by itself."""

    def find_untold(self, incident: Incident) -> tuple[str, ...]:
        """Why nobody is told of an incident."""
        labels = self.labels.get(incident.id, {"component": incident.component})
        windows = [
            f"in maintenance until {each.until:%H:%M} UTC ({each.reason})"
            for each in self.windows
            if each.concerns(incident.component)
        ]
        silences = [
            f"silenced until {each.ends:%H:%M} UTC by {each.by} ({each.reason})"
            for each in self.muted
            if each.covers(labels, each.began)
        ]
        return tuple(map(make_visible, [*windows, *silences]))


def concerns_frame(changes: Changes) -> bool:
    """Whether something of it may be another."""
    return bool(changes.gaps or changes.standings or not _WORDS.isdisjoint(changes.meta))


def read_frame(store: Reader, now: datetime) -> PageFrame:
    """As it is now."""
    windows = present_maintenance(store, now)
    muted = [each for each in read_silences(store) if each.began <= now < each.ends]
    ends = [each.until for each in windows] + [each.ends for each in muted]
    notices = _read_notices(store, now)
    if notices.blind is not None:
        ends.append(read_instant(notices.blind["ended"]) + TOLD_FOR)
    return PageFrame(
        platform=make_visible(store.meta("platform") or "platform"),
        notices=notices,
        channels=_choose(describe_channels(store, now), _OF_CHANNEL),
        objectives=_choose(list_objectives(store), _OF_OBJECTIVE),
        conditions=json.loads(store.meta(CONDITIONS_KEY) or "{}"),
        labels=_read_labels(store),
        windows=tuple(windows),
        muted=tuple(muted),
        until=min(ends, default=None),
    )


def _read_notices(store: Reader, now: datetime) -> PageNotices:
    return PageNotices(
        held=tuple(make_document_visible(held_back(store))),
        own=tuple(make_document_visible(own_troubles(store))),
        blind=make_document_visible(to_json(describe_blindness(store, now))),
        maintenance=tuple(make_document_visible(describe_maintenance(store, now))),
        silences=tuple(make_document_visible(describe_silences(store, now))),
    )


def _choose(
    documents: Iterable[Mapping[str, Any]], keys: Sequence[str]
) -> tuple[Mapping[str, Any], ...]:
    return tuple(make_document_visible({key: each[key] for key in keys}) for each in documents)


def _read_labels(store: Reader) -> dict[str, NoticeLabels]:
    text = store.meta(BOOK_KEY)
    entries = read_plain(text).get("book", {}).get("entries", {}) if text else {}
    affairs = {name: entry["affair"] for name, entry in entries.items()}
    return {
        name: {label: str(affair.get(label, "")) for label in LABELS}
        for name, affair in affairs.items()
    }
