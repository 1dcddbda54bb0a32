"""The kinds of reports by name, and their facts as one JSON-able document."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sentinel.errors import UsageError
from sentinel.reports.progress import progress_facts
from sentinel.reports.recovery import recovery_facts
from sentinel.store import Reader, unobserved_since
from sentinel.store.document import to_json

KINDS = ("recovery", "progress")

__all__ = ["KINDS", "collect", "progress_facts", "recovery_facts"]


def collect(
    store: Reader,
    kind: str,
    now: datetime,
    *,
    incident_id: str | None = None,
    target_per_hour: float | None = None,
    next_update: datetime | None = None,
) -> dict[str, Any]:
    """The facts of one kind of report as a JSON document; instants are ISO texts in UTC."""
    facts: Any
    if kind == "recovery":
        facts = recovery_facts(store, now, incident_id, next_update=next_update)
    elif kind == "progress":
        facts = progress_facts(store, now, target_per_hour=target_per_hour, next_update=next_update)
    else:
        raise UsageError(f"{kind!r} is no kind of report", f"choose one of {', '.join(KINDS)}")
    document: dict[str, Any] = to_json(facts)
    if since := unobserved_since(store, now):
        document["headline"] = (
            f"Not observed since {since:%Y-%m-%d %H:%M:%S} UTC, as it was then: {facts.headline}"
        )
    return document
