"""The facts of a report as one JSON-able document."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest, find_report
from sentinel.store import Reader, unobserved_since
from sentinel.store.document import to_json


def collect(
    store: Reader, name: str, now: datetime, request: ReportRequest | None = None
) -> dict[str, Any]:
    """The facts of a report as a JSON document; instants are ISO texts in UTC.

    Without kinds in the request, those of the shelf declare the figures. Raises UsageError.
    """
    request = request or ReportRequest()
    if not request.kinds:
        request = replace(request, kinds=load_kinds())
    facts = find_report(name).facts(store, now, request)
    document: dict[str, Any] = {"kind": name, **to_json(facts)}
    if since := unobserved_since(store, now):
        document["headline"] = (
            f"Not observed since {since:%Y-%m-%d %H:%M:%S} UTC, as it was then: {facts.headline}"
        )
    return document
