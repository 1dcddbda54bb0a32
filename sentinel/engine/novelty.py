"""What is new about a turn of a check: by it follows how soon it is written (docs/reliability.md §3.10)."""

from __future__ import annotations

import re
from dataclasses import fields
from operator import attrgetter

from sentinel.core.component.health import BLIND_AFTER
from sentinel.core.fault import FaultStep
from sentinel.engine.picture import WatchedCheck
from sentinel.store import Changes, ComponentView

_REST = attrgetter(
    *(each.name for each in fields(ComponentView) if each.name not in {"detail", "action"})
)
_FIGURES = re.compile(r"\d[\d.,:]*")


def find_words(text: str) -> str:
    """A sentence without its figures: two looks that differ in nothing else say the same."""
    return _FIGURES.sub("0", text)


def find_essence(watched: WatchedCheck) -> tuple[object, ...]:
    """What of a check somebody acts by or looks for. What is not in it are clocks, counters of looks
    that were alike, and figures.
    """
    health, finding, result = watched.health, watched.finding, watched.result
    if finding is None or result is None:
        return ()
    return (
        watched.shown,
        health.window,
        health.since,
        health.flapping,
        health.steady,
        health.restored,
        min(health.blind, BLIND_AFTER),
        finding.status,
        find_words(finding.detail),
        find_words(finding.guidance),
        finding.key[0] if finding.key else "",
        watched.matter,
        watched.count_faults() if watched.standing else (),
        watched.cut,
        result.outcome,
        result.quality,
    )


def says_the_same(before: ComponentView, after: ComponentView) -> bool:
    """Whether two views of a component differ in figures alone."""
    return (
        find_words(before.detail) == find_words(after.detail)
        and find_words(before.action) == find_words(after.action)
        and _REST(before) == _REST(after)
    )


def is_pressing(changes: Changes, moved: FaultStep) -> bool:
    """Whether a turn must be on the disk before anybody acts by it, or is told: what happened, and
    what was lost.
    """
    happened = (
        changes.transitions,
        changes.incidents,
        changes.events,
        changes.orders,
        changes.attempts,
        changes.processes,
        changes.gaps,
        changes.audit,
        moved.begun,
        moved.ended,
        moved.turned,
        changes.clock_step,
    )
    return any(happened) or any(each.fault.loss is not None for each in moved.changed)
