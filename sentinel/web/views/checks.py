"""All checks, and one check: what its verdict rests on, its faults, how it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from shlex import quote
from typing import Any

from aiohttp import web

from sentinel.core.fault import Status
from sentinel.core.foreign.visible import make_visible
from sentinel.probes import Kind, load_kinds
from sentinel.reports.figures import Period
from sentinel.reports.figures.trend import find_durations, list_trends
from sentinel.store import CheckView, Reader, unobserved_since
from sentinel.web.document import STALE, describe_check, read_clock
from sentinel.web.faults import faults_document
from sentinel.web.views.ask import Ask, Leaf, find_text, is_asked
from sentinel.web.views.figures import show_rows
from sentinel.web.views.history import WORDS, Whose, read_history
from sentinel.web.views.known import Known

Document = dict[str, Any]
PER_PAGE = 100
STATUSES = (*(each.value for each in Status), STALE)
LIST_WORDS = ("status", "component", "kind", "text", "page")
MAX_EVIDENCE = 4000
"""Characters of one piece of evidence."""
SUPERVISION = "supervision"
"""The kind of the checks that drivers have by themselves."""
_TREND = timedelta(hours=24)


def list_checks(store: Reader, _known: Known, now: datetime, ask: Ask) -> Document:
    """Every check that fits the filters, the worst first.

    Keys: `checks`, `leaf` (which page of how many), `only` (the filters), `components`, `kinds`
    (what may be chosen), `counts` (how many checks have each status).
    """
    status, component = ask.choose("status", STATUSES), ask.read("component")
    kind, text = ask.read("kind"), ask.read("text")
    every = _describe_all(store, now)
    fitting = [
        each
        for each in every
        if status in {"", each["status"]}
        and is_asked(component, each["component"])
        and is_asked(kind, each["kind"])
        and find_text(text, (each["name"], each["detail"], each["component"], each["kind"]))
    ]
    fitting.sort(key=lambda each: (_RANK[each["status"]], each["name"]))
    leaf = Leaf.read(ask, PER_PAGE, len(fitting))
    return {
        "generated": now,
        "checks": leaf.cut(fitting),
        "leaf": leaf.describe(ask),
        "only": {"status": status, "component": component, "kind": kind, "text": text},
        "components": sorted({each["component"] for each in every}),
        "kinds": sorted({each["kind"] for each in every}),
        "counts": count_statuses(every),
    }


_RANK = {word: n for n, word in enumerate(("down", "degraded", STALE, "unknown", "up"))}


def count_statuses(described: Sequence[Document]) -> dict[str, int]:
    """How many have each status, the worst first."""
    found = dict.fromkeys(_RANK, 0)
    for each in described:
        found[each["status"]] += 1
    return {word: n for word, n in found.items() if n}


def _describe_all(store: Reader, now: datetime) -> list[Document]:
    alive = unobserved_since(store, now) is None
    return [describe_check(view, read_clock(view, now, alive=alive)) for view in store.checks()]


def show_check(store: Reader, known: Known, now: datetime, ask: Ask) -> Document:
    """One check. HTTPNotFound when there is none of that name.

    Keys: those of `describe_check`, `faults` (as `/faults` has them), `evidence`, `figures` (the
    rows of its latest look), `history`, `trends` (curves of the last day).
    """
    view = find_check(store, ask.name)
    alive = unobserved_since(store, now) is None
    kind = _find_kind(view.kind)
    whose = Whose(view.name, "check", view.component, status_of(view.status), view.since)
    return {
        **describe_check(view, read_clock(view, now, alive=alive)),
        "generated": now,
        "faults": faults_document(store, now, view.name),
        "evidence": _show_evidence(view),
        "figures": show_rows(view),
        "history": read_history(store, whose, now, known.remembered(), ask),
        "trends": _find_trends(store, kind, view, now),
        "run_command": f"sentinel check run {quote(view.name)}",
        "kind_text": kind.summary if kind else "",
    }


SHOW_WORDS = WORDS


def find_check(store: Reader, name: str) -> CheckView:
    """The check of that name, also when it is asked for as it is shown."""
    for view in store.checks():
        if name in {view.name, make_visible(view.name)}:
            return view
    raise web.HTTPNotFound(text=f"there is no check {name[:200]!r}: /checks lists them")


def status_of(word: str) -> Status:
    """A status as it stands in a view; anything else is unknown."""
    return Status(word) if word in Status.__members__.values() else Status.UNKNOWN


def _show_evidence(view: CheckView) -> dict[str, str]:
    """Each piece as text, bounded."""
    return {key: _shorten(value) for key, value in view.evidence.items()}


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= MAX_EVIDENCE else f"{text[:MAX_EVIDENCE]}… (cut)"


def _find_trends(store: Reader, kind: Kind | None, view: CheckView, now: datetime) -> list[Any]:
    period = Period(now - _TREND, now)
    found = list_trends(store, {kind.name: kind}, [view], period) if kind else []
    lasted = find_durations(store, view.name, period)
    return [*found, lasted] if lasted else found


def _find_kind(name: str) -> Kind | None:
    """The kind of a check, where it stands on the shelf: supervision does not."""
    return None if name == SUPERVISION else load_kinds().get(name)
