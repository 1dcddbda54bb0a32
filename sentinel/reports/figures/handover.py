"""What a shift or a day hands over: the facts of its period, made also when nothing happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from sentinel.core.quantity import format_duration
from sentinel.reports import ReportRequest
from sentinel.reports.figures import RecoveryFacts
from sentinel.reports.figures.automation import list_automations
from sentinel.reports.figures.period import bound_period
from sentinel.reports.figures.work import AutomationFact
from sentinel.reports.recovery import recovery_facts
from sentinel.store import Reader

LONGEST = timedelta(days=7)
"""A report that was not made for longer begins here: an older one has its own."""


@dataclass(frozen=True, slots=True)
class HandoverFacts(RecoveryFacts):
    """A recovery report of the period, and what ran by itself in it. `quiet`: nothing happened."""

    quiet: bool = False
    automations: Sequence[AutomationFact] = ()


def hand_over(
    store: Reader, now: datetime, request: ReportRequest, name: str, usual: timedelta
) -> HandoverFacts:
    """From the last report of this name to now, else over its usual length; or as it is asked."""
    began = request.began or _find_begin(store, now, name, usual)
    facts = recovery_facts(store, now, replace(request, began=began, incident=None))
    begun = sum(each.began >= began for each in facts.faults)
    quiet = not (facts.episodes or begun or facts.actions or facts.people)
    inherited = {each.name: getattr(facts, each.name) for each in fields(RecoveryFacts)}
    period = bound_period(began, request.ended, now)
    inherited["headline"] = _headline(facts, begun, period.ended - began, quiet=quiet)
    return HandoverFacts(
        **inherited,
        quiet=quiet,
        automations=list_automations(store, request.automations, began),
    )


def _find_begin(store: Reader, now: datetime, name: str, usual: timedelta) -> datetime:
    last = next(iter(store.reports(name, limit=1)), None)
    if last is None or last.at >= now:
        return now - usual
    return max(last.at, now - LONGEST)


def _headline(facts: RecoveryFacts, begun: int, over: timedelta, *, quiet: bool) -> str:
    length = format_duration(over.total_seconds())
    standing = sum(each.ended is None for each in facts.faults)
    left = f"{standing} fault{'s' * (standing != 1)} stand{'s' * (standing == 1)}"
    if quiet:
        return f"Nothing happened in {length}; {left}."
    opened = len(facts.episodes)
    return (
        f"{opened} incident{'s' * (opened != 1)} and {begun} new fault{'s' * (begun != 1)}"
        f" in {length}; {left}."
    )
