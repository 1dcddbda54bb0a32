"""What people order about notices: acknowledge, silence, maintenance, a test of a channel. Each stands
in the audit log before its effect, and again when it was not done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from sentinel.app.notifying import try_channel
from sentinel.app.ordering import follow_order, give_order
from sentinel.app.presence import is_running
from sentinel.clock import utcnow
from sentinel.config import Configuration
from sentinel.core.model import IncidentState
from sentinel.core.notice import LABELS
from sentinel.core.order import Answer, OrderKind
from sentinel.errors import NoDaemon, UnknownName, UsageError
from sentinel.store import Store
from sentinel.store.notices import read_channels, read_maintenance, read_silences
from sentinel.strict.explain import unknown_message

LONGEST = 90 * 86400.0
"""Seconds: what is held back for longer is forgotten by people."""


async def acknowledge(store: Store, incident_id: str, by: str, reason: str) -> Answer:
    """Somebody sees to it: no further escalation, no reminder."""
    incident = store.incident(incident_id)
    if incident is None or incident.state is IncidentState.CLOSED:
        text = f"there is no open incident {incident_id!r}"
        raise UnknownName(text, "`sentinel incident list --open` lists them")
    store.add_audit(utcnow(), by, "acknowledge", incident_id, reason)
    payload = {"by": by, "reason": reason}
    order = give_order(store, OrderKind.ACKNOWLEDGE, incident_id, payload)
    return await follow_order(store, by, "acknowledge", incident_id, order)


async def add_silence(
    store: Store, matchers: Mapping[str, Sequence[str]], seconds: float, by: str, reason: str
) -> Answer:
    """Nobody is told of what fits, for so long. A component that is not there is a slip of the pen,
    unless it says by `kind` that it is of a brake: that one may have the name of a group.
    """
    if not matchers:
        raise UsageError("a silence needs matchers", "say what it is about: component=bus")
    for label in matchers:
        if label not in LABELS:
            raise UsageError(*unknown_message("label", label, LABELS))
    if "kind" not in matchers:
        _refuse_unknown(store, matchers.get("component", ()))
    name = f"s-{utcnow():%Y%m%dT%H%M%S.%f}"  # whole: two people may order in one hundredth
    shown = ", ".join(f"{label}={'|'.join(each)}" for label, each in matchers.items())
    store.add_audit(utcnow(), by, "silence", shown, reason)
    payload = {
        "matchers": {label: list(each) for label, each in matchers.items()},
        "seconds": _bounded(seconds),
        "by": by,
        "reason": reason,
    }
    order = give_order(store, OrderKind.SILENCE, name, payload)
    return await follow_order(store, by, "silence", shown, order)


async def end_silence(store: Store, name: str, by: str) -> Answer:
    """What it held back and still stands is told now."""
    if name not in {each.id for each in read_silences(store)}:
        raise UnknownName(f"there is no silence {name!r}", "`sentinel silence list` lists them")
    store.add_audit(utcnow(), by, "end silence", name, "")
    order = give_order(store, OrderKind.SILENCE, name, {"action": "end"})
    return await follow_order(store, by, "end silence", name, order)


async def add_window(
    store: Store, name: str, components: Sequence[str], seconds: float, by: str, reason: str
) -> Answer:
    """Maintenance from now on, for so long. A pattern that no component fits holds nothing back:
    it is a slip of the pen.
    """
    _refuse_unknown(store, components)
    name = name or f"m-{utcnow():%Y%m%dT%H%M%S.%f}"
    shown = " ".join(components)
    store.add_audit(utcnow(), by, "maintenance", shown, reason)
    payload = {
        "components": list(components),
        "seconds": _bounded(seconds),
        "by": by,
        "reason": reason,
    }
    order = give_order(store, OrderKind.MAINTENANCE, name, payload)
    return await follow_order(store, by, "maintenance", shown, order)


async def end_window(store: Store, name: str, by: str) -> Answer:
    """People are done earlier."""
    if name not in {each.window for each in read_maintenance(store) if each.ended is None}:
        text = f"there is no window {name!r} that is on"
        raise UnknownName(text, "`sentinel maintenance list` lists them")
    store.add_audit(utcnow(), by, "end maintenance", name, "")
    order = give_order(store, OrderKind.MAINTENANCE, name, {"action": "end"})
    return await follow_order(store, by, "end maintenance", name, order)


async def send_test(configuration: Configuration | None, store: Store | None, name: str) -> Answer:
    """Show that a channel works: by the daemon, with the secrets that it has; without one, here."""
    if store is not None and is_running(store):
        known = [str(each["name"]) for each in read_channels(store)]
        if name not in known:
            raise UsageError(*unknown_message("channel", name, known))
        return await give_order(store, OrderKind.TEST_CHANNEL, name, {})
    if configuration is None:
        raise NoDaemon("no daemon runs that could send it", "start one with `sentinel run`")
    known = [each.name for each in configuration.notices.channels]
    if name not in known:
        raise UsageError(*unknown_message("channel", name, known))
    return await try_channel(configuration, name, utcnow)


def _refuse_unknown(store: Store, patterns: Sequence[str]) -> None:
    known = [each.name for each in store.components()]
    for pattern in patterns:
        if not any(fnmatchcase(each, pattern) for each in known):
            raise UnknownName(*unknown_message("component", pattern, known))


def _bounded(seconds: float) -> float:
    if not 0 < seconds <= LONGEST:
        raise UsageError("that is no length for it", "give --for between 1s and 90d")
    return seconds
