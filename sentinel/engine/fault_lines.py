"""Faults as lines of an incident's timeline: which began, which changed, which are over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sentinel.core.component.incident import Event
from sentinel.core.fault import FaultStep, StandingFault

MAX_LINES = 10
"""Lines about faults that one turn may write; the rest is one line with their number."""

Line = tuple[Event, dict[str, Any]]


def describe_standing(step: FaultStep) -> list[Line]:
    """What a turn changed: begun ones first, then those whose status or acceptance changed."""
    lines = describe_begun(step.begun)
    lines += [_line("fault changed", each) for each in step.changed if _is_news(each, step)]
    return lines + [_line("fault over", each) for each in step.ended]


def describe_begun(faults: Iterable[StandingFault]) -> list[Line]:
    """One line for each fault that begins."""
    return [_line("fault", each) for each in faults]


def bound_lines(lines: Sequence[Line]) -> list[Line]:
    """At most MAX_LINES, and how many there are besides."""
    if len(lines) <= MAX_LINES:
        return list(lines)
    more = len(lines) - MAX_LINES
    rest = Event("faults", f"{more} more: `sentinel faults` lists those that stand")
    return [*lines[:MAX_LINES], (rest, {})]


def _line(kind: str, standing: StandingFault) -> Line:
    fault = standing.fault
    text = f"{fault.text} ({fault.status})"
    if standing.accepted is not None:
        word = standing.accepted
        by = f" by {word.by}" if word.by else ""
        text += f", accepted until {word.until:%Y-%m-%d}{by}: {word.reason}"
    evidence = {"check": standing.check, "fault": fault.key, **dict(fault.subject)}
    return Event(kind, text), evidence


def _is_news(standing: StandingFault, step: FaultStep) -> bool:
    """A figure that moved is none: it is said where the fault is shown."""
    return standing.fault.identity in step.turned
