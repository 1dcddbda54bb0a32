"""All components, and one: how it is, what it needs, what was tried, what may still be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from shlex import quote
from typing import Any

from aiohttp import web

from sentinel.core.component.dependencies import find_needed, turn_round
from sentinel.core.foreign.visible import make_visible
from sentinel.core.model import Attempt, Component, Incident
from sentinel.core.moment import Moment
from sentinel.core.remediation.restart import count_restarts_left
from sentinel.reports.paper.picture.network import MAX_BOXES
from sentinel.store import ComponentView, Reader, unobserved_since
from sentinel.web.document import (
    describe_check,
    describe_component,
    describe_incident,
    read_clock,
)
from sentinel.web.faults import faults_document
from sentinel.web.views.ask import Ask, Leaf
from sentinel.web.views.checks import count_statuses, status_of
from sentinel.web.views.history import WORDS, Whose, read_history
from sentinel.web.views.known import Known

Document = dict[str, Any]
LIST_WORDS = ("page",)
PER_PAGE = 200
MAX_ATTEMPTS = 50
MAX_INCIDENTS = 20
SEARCHED = 1000
"""Incidents among which those of a component are looked for, the newest."""
SHOW_WORDS = WORDS
_DAY = timedelta(days=1)


def list_components(store: Reader, known: Known, now: datetime, ask: Ask) -> Document:
    """Every component in the order of their dependencies.

    Keys: `components` (those of the status document, and `owner`, `needed_by`), `leaf`, `counts`,
    `drawn` (those of the picture: where there are many, what is not well and what that needs).
    """
    owners = {each.name: each.owner for each in known.components()}
    found = _describe_all(store, now)
    needed_by = _turn(found)
    for each in found:
        each["owner"] = owners.get(each["name"], "")
        each["needed_by"] = list(needed_by[each["name"]])
    leaf = Leaf.read(ask, PER_PAGE, len(found))
    return {
        "generated": now,
        "components": leaf.cut(found),
        "leaf": leaf.describe(ask),
        "counts": count_statuses(found),
        "drawn": [_name(each) for each in _choose_drawn(found)],
    }


def _choose_drawn(found: Sequence[Document]) -> list[Document]:
    """All where they find room, else what is not well with all that it needs."""
    if len(found) <= MAX_BOXES:
        return list(found)
    depends_on = {each["name"]: tuple(each["depends_on"]) for each in found}
    ill = [each["name"] for each in found if each["status"] != "up"]
    chosen = {*ill, *(need for name in ill for need in find_needed(name, depends_on))}
    return [each for each in found if each["name"] in chosen]


def _describe_all(store: Reader, now: datetime) -> list[Document]:
    alive = unobserved_since(store, now) is None
    checks = [describe_check(view, read_clock(view, now, alive=alive)) for view in store.checks()]
    own: dict[str, list[Document]] = {}
    for check in checks:
        own.setdefault(check["component"], []).append(check)
    return [describe_component(view, own.get(view.name, []), now) for view in store.components()]


def _turn(found: Sequence[Mapping[str, Any]]) -> Mapping[str, tuple[str, ...]]:
    return turn_round({each["name"]: tuple(each["depends_on"]) for each in found})


def show_component(store: Reader, known: Known, now: datetime, ask: Ask) -> Document:
    """One component. HTTPNotFound when there is none of that name.

    Keys: those of the status document, `own_checks`, `around` (it, all it needs and all that needs
    it, for the picture), `needs`, `needed_by`, `faults`, `attempts`, `restarts_left` (null
    where sentinel may not restart it), `incidents`, `history`.
    """
    view = find_component(store, ask.name)
    every = {each["name"]: each for each in _describe_all(store, now)}
    described = every[view.name]
    turned = _turn(list(every.values()))
    needs, needed_by = list(view.depends_on), list(turned[view.name])
    named = set(described["checks"])
    attempts = store.attempts(component=view.name, limit=MAX_ATTEMPTS)
    incidents = _find_incidents(store, view.name)
    whose = Whose(
        view.name,
        "component",
        view.name,
        status_of(view.present or view.status),
        view.present_since or view.since,
    )
    configured = next((each for each in known.components() if each.name == view.name), None)
    return {
        **described,
        "generated": now,
        "owner": configured.owner if configured else "",
        "own_checks": [describe_check(each, now) for each in store.checks() if each.name in named],
        "around": _find_around(view.name, every, turned),
        "needs": [_name(every[each]) for each in needs if each in every],
        "needed_by": [_name(every[each]) for each in needed_by],
        "faults": faults_document(store, now, None, view.name),
        "attempts": attempts[::-1],
        "restarts_left": _describe_restarts(store, configured, incidents, now),
        "incidents": [describe_incident(each, now, {}) for each in incidents[:MAX_INCIDENTS]],
        "history": read_history(store, whose, now, known.remembered(), ask),
    }


def describe_one(store: Reader, view: ComponentView, now: datetime) -> Document:
    """One component as the status document has it."""
    alive = unobserved_since(store, now) is None
    own = [
        describe_check(each, read_clock(each, now, alive=alive))
        for each in store.checks()
        if each.component == view.name
    ]
    return describe_component(view, own, now)


def find_component(store: Reader, name: str) -> ComponentView:
    """The component of that name, also when it is asked for as it is shown."""
    for view in store.components():
        if name in {view.name, make_visible(view.name)}:
            return view
    raise web.HTTPNotFound(text=f"there is no component {name[:200]!r}: /components lists them")


def _name(described: Mapping[str, Any]) -> Document:
    return {word: described[word] for word in ("name", "status", "depends_on")}


def _find_around(
    name: str, every: Mapping[str, Document], turned: Mapping[str, tuple[str, ...]]
) -> list[Document]:
    depends_on = {each: tuple(found["depends_on"]) for each, found in every.items()}
    around = {name, *find_needed(name, depends_on), *find_needed(name, turned)}
    return [_name(found) for each, found in every.items() if each in around]


def _find_incidents(store: Reader, name: str) -> list[Incident]:
    """The newest first, the open one among them."""
    found = {each.id: each for each in store.incidents(open_only=True, limit=SEARCHED)}
    found |= {each.id: each for each in store.incidents(limit=SEARCHED)}
    own = (each for each in found.values() if each.component == name)
    return sorted(own, key=lambda each: each.opened, reverse=True)


def _describe_restarts(
    store: Reader, component: Component | None, incidents: Sequence[Incident], now: datetime
) -> Document | None:
    if component is None or not component.driver:
        return None
    policy = component.restart
    opened = next((each.id for each in incidents if each.closed is None), "")
    recent: list[Attempt] = store.attempts(component=component.name, since=now - _DAY)
    mine = store.attempts(incident=opened) if opened else []
    known = {(each.incident, each.n): each for each in (*recent, *mine)}
    left = count_restarts_left(policy, list(known.values()), opened, Moment(now))
    return {
        "left": left.least,
        "in_incident": [left.incident, policy.max_attempts],
        "within_hour": [left.hour, policy.per_hour],
        "within_day": [left.day, policy.per_day],
        "reset_command": f"sentinel reset {quote(component.name)} --reason repaired",
        "exhausted": any(each.exhausted for each in incidents if each.closed is None),
    }
