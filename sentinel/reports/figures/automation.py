"""What runs by itself, and what it did since the last report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from sentinel.core.quantity import format_times
from sentinel.core.tenants.trial import ACTION as TRIALS
from sentinel.reports.figures.work import AutomationFact
from sentinel.store import Reader

MAX_AUDIT = 2000
SENTINEL = "sentinel"
RESTARTS, EVIDENCE = "restarts", "evidence of milestones"


def name_report(kind: str) -> str:
    """How the automation that writes a report is called."""
    return f"report {kind}"


def list_automations(
    store: Reader, planned: Sequence[tuple[str, str]], since: datetime | None
) -> list[AutomationFact]:
    """Every automation that is configured, (name, when), and whatever else left a trace since."""
    did = {**_count_restarts(store, since), **_count_audit(store, since)}
    did |= _count_reports(store, since)
    found = []
    for name, when in planned:
        text, last = did.pop(name, ("nothing since the last report", None))
        found.append(AutomationFact(name, when, text, last))
    return found + [AutomationFact(name, "", text, last) for name, (text, last) in did.items()]


Traces = Mapping[str, tuple[str, datetime | None]]


def _count_restarts(store: Reader, since: datetime | None) -> Traces:
    own = [each for each in store.attempts(since=since) if each.by == SENTINEL]
    if not own:
        return {}
    verdicts = Counter(each.verdict or "not judged yet" for each in own)
    told = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    return {RESTARTS: (f"{len(own)} attempts: {told}", max(each.intended for each in own))}


def _count_audit(store: Reader, since: datetime | None) -> Traces:
    """Chores: what they did is in the audit log, by their name."""
    rows = [
        row
        for row in store.audit(limit=MAX_AUDIT, without=TRIALS)
        if row.actor == SENTINEL and (since is None or row.at >= since)
    ]
    counts = Counter(row.subject or row.action for row in rows)
    last = {row.subject or row.action: row for row in reversed(rows)}
    return {
        name: (f"{format_times(n)}, the last: {last[name].detail[:120]}", last[name].at)
        for name, n in counts.items()
    }


def _count_reports(store: Reader, since: datetime | None) -> Traces:
    rows = [row for row in store.reports(limit=200) if since is None or row.at > since]
    counts = Counter(row.kind for row in rows)
    return {
        name_report(kind): (f"written {format_times(n)}", max(r.at for r in rows if r.kind == kind))
        for kind, n in counts.items()
    }
