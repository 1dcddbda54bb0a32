"""Objectives, maintenance, housekeeping, the audit log: what people decided and what was done."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from shlex import quote
from typing import Any

from sentinel.core.bus.housekeeping import Chore
from sentinel.core.moment import Moment
from sentinel.core.notice.maintenance import MaintenanceWindow
from sentinel.core.quantity import format_duration
from sentinel.core.tenants.trial import describe_detail
from sentinel.store import Reader
from sentinel.store.notices import (
    present_maintenance,
    read_maintenance,
    read_ordered_windows,
    read_silences,
)
from sentinel.web.notices import tell_matchers
from sentinel.web.objectives import list_objectives
from sentinel.web.views.ask import Ask, Leaf, find_text, is_asked
from sentinel.web.views.known import Known

Document = dict[str, Any]
MAX_PAST = 100
"""Times of maintenance that are over and listed."""
AUDIT_WORDS = ("actor", "action", "text", "page")
AUDIT_SEARCHED = 2000
"""Lines of the audit log that a search looks through, the newest."""
PER_PAGE = 100


def read_objectives(store: Reader, _known: Known, now: datetime, _ask: Ask) -> Document:
    """Every objective with its budget. Keys: `objectives`."""
    return {"generated": now, "objectives": list_objectives(store)}


# -- maintenance -----------------------------------------------------------------------------------


def read_upkeep(store: Reader, known: Known, now: datetime, _ask: Ask) -> Document:
    """Windows that are on, that come, that were; and who silenced what.

    Keys: `present`, `windows` (each with its next time), `past` (the latest of them), `silences`.
    """
    times = read_maintenance(store)
    past = sorted((each for each in times if each.ended is not None), key=lambda each: each.began)
    return {
        "generated": now,
        "present": present_maintenance(store, now),
        "windows": [
            _describe_window(each, now) for each in (*known.windows(), *read_ordered_windows(store))
        ],
        "past": [
            {
                "window": each.window,
                "components": each.components,
                "reason": each.reason,
                "began": each.began,
                "ended": each.span[1],
                "text": format_duration((each.span[1] - each.began).total_seconds()),
            }
            for each in past[-MAX_PAST:][::-1]
        ],
        "silences": [
            {
                "id": each.id,
                "of": tell_matchers(each.matchers),
                "began": each.began,
                "ends": each.ends,
                "by": each.by,
                "reason": each.reason,
                "is_on": each.began <= now < each.ends,
                "end_command": f"sentinel silence end {quote(each.id)}",
            }
            for each in read_silences(store)
            if now < each.ends
        ],
    }


def _describe_window(window: MaintenanceWindow, now: datetime) -> Document:
    following = window.find_next(now)
    return {
        "name": window.name,
        "components": window.components,
        "reason": window.reason,
        "by": window.by,
        "is_recurring": window.cron is not None,
        "next": following[0] if following else None,
        "until": following[1] if following else None,
        "in_text": _tell_ahead(following[0] - now) if following else "never again",
    }


def _tell_ahead(ahead: timedelta) -> str:
    seconds = ahead.total_seconds()
    return "on now" if seconds <= 0 else f"in {format_duration(seconds)}"


# -- housekeeping ----------------------------------------------------------------------------------


def read_chores(store: Reader, known: Known, now: datetime, _ask: Ask) -> Document:
    """Every configured chore, how its last run ended, and what is left of its cap. Keys: `chores`."""
    return {
        "generated": now,
        "chores": [_describe_chore(store, each, now) for each in known.chores()],
    }


def _describe_chore(store: Reader, chore: Chore, now: datetime) -> Document:
    run, moment = store.cleaning.last_run(chore.name), Moment(now)
    every = f"every {format_duration(chore.every)}" if chore.every else "by hand"
    return {
        "name": chore.name,
        "kind": chore.kind,
        "resource": chore.resource,
        "when": f"{chore.cron} ({chore.timezone})" if chore.cron else every,
        "dry_run": chore.dry_run,
        "cap": chore.max_per_hour,
        "left": store.cleaning.left(chore.name, chore.max_per_hour, moment),
        "last": run and {
            "at": run.at.at,
            "outcome": run.outcome,
            "found": run.found,
            "removed": run.removed,
            "refused": run.refused,
            "detail": run.detail,
        },
        "plan_command": f"sentinel clean plan {quote(chore.name)}",
    }  # fmt: skip


# -- audit -----------------------------------------------------------------------------------------


def read_audit(store: Reader, _known: Known, now: datetime, ask: Ask) -> Document:
    """The audit log, newest first. Keys: `rows` (`told`: the detail in words), `leaf`, `only`,
    `actions`, `searched`, `cut`.
    """
    actor, action, text = ask.read("actor"), ask.read("action"), ask.read("text")
    read = store.audit(AUDIT_SEARCHED + 1)
    rows = read[:AUDIT_SEARCHED]
    found = [
        each
        for each in rows
        if is_asked(actor, each.actor)
        and is_asked(action, each.action)
        and find_text(text, (each.actor, each.action, each.subject, each.detail))
    ]
    leaf = Leaf.read(ask, PER_PAGE, len(found))
    return {
        "generated": now,
        "rows": [
            {**asdict(each), "told": describe_detail(each.action, each.detail)}
            for each in leaf.cut(found)
        ],
        "leaf": leaf.describe(ask),
        "only": {"actor": actor, "action": action, "text": text},
        "actions": sorted({each.action for each in rows}),
        "searched": len(rows),
        "cut": len(read) > AUDIT_SEARCHED,
    }
