"""Every fault with its subject as one JSON document: the page, the API and `sentinel faults --json`
show this.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sentinel.core.fault import Acceptance, StandingFault, describe_subject, find_prompt
from sentinel.core.quantity import format_duration
from sentinel.store import CheckView, Reader
from sentinel.store.document import to_json

MAX_SHOWN = 2000
"""Faults in one answer; the worst ones of them come first, and what was cut is said."""

Document = dict[str, Any]


def faults_document(
    store: Reader, now: datetime, check: str | None = None, component: str | None = None
) -> Document:
    """What is wrong with whom, the worst first; JSON-able. With `check` or `component` theirs only.

    Keys: `generated`, `only` (what it is limited to, by word), `open` and `accepted` (numbers of
    faults), `cut` (faults that are not in the list: more than can be remembered or shown),
    `faults`. Ages are seconds.
    """
    standing = [each for each in store.faults(check) if component in {None, each.component}]
    views = [view for view in store.checks() if _is_meant(view, check, component)]
    ordered = sorted(standing, key=_urgency)
    borne = sum(each.accepted is not None for each in standing)
    document: Document = to_json(
        {
            "generated": now,
            "only": _name_limits(check, component),
            "open": max(len(standing) - borne, sum(sum(view.faults.values()) for view in views)),
            "accepted": max(borne, sum(sum(view.accepted.values()) for view in views)),
            "cut": _count_cut(views) + max(0, len(standing) - MAX_SHOWN),
            "faults": [describe_fault(each, now) for each in ordered[:MAX_SHOWN]],
        }
    )
    return document


def describe_fault(standing: StandingFault, now: datetime) -> Document:
    """One fault: who, what, how many, since when, and what cures it."""
    fault, accepted = standing.fault, standing.accepted
    age = ((standing.ended or now) - standing.began).total_seconds()
    return {
        "check": standing.check,
        "component": standing.component,
        "fault": fault.key,
        "subject": dict(fault.subject),
        "subject_text": describe_subject(fault.subject) or standing.component,
        "status": fault.status.value,
        "worst": standing.worst.value,
        "text": fault.text,
        "count": [fault.count.lo, fault.count.hi] if fault.count else None,
        "count_text": str(fault.count) if fault.count else "",
        "since": fault.since,
        "began": standing.began,
        "ended": standing.ended,
        "age": age,
        "age_text": format_duration(age),
        "cure": list(fault.cure),
        "prompts": [find_prompt(command) for command in fault.cure],
        "guidance": fault.guidance,
        "parameters": dict(fault.parameters),
        "accepted": _describe_acceptance(accepted) if accepted else None,
        "lasts_until": fault.loss.until if fault.loss is not None else None,
    }


def _describe_acceptance(accepted: Acceptance) -> Document:
    until_text = f"{accepted.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    told = {"reason": accepted.reason, "by": accepted.by}
    return {**told, "until": accepted.until, "until_text": until_text}


def _is_meant(view: CheckView, check: str | None, component: str | None) -> bool:
    return check in {None, view.name} and component in {None, view.component}


def _name_limits(check: str | None, component: str | None) -> dict[str, str]:
    """`check` and `component`, where they are given."""
    limits = {"check": check, "component": component}
    return {word: name for word, name in limits.items() if name is not None}


def _urgency(standing: StandingFault) -> tuple[bool, int, datetime]:
    """Open before accepted, the worst before the others, then the longest."""
    return standing.accepted is not None, -standing.fault.status.rank, standing.began


def _count_cut(views: Sequence[CheckView]) -> int:
    return sum(view.cut for view in views)
