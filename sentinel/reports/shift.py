"""The report `shift`: the last shift: what happened, what is handed over; written also when nothing happened."""

from __future__ import annotations

from datetime import datetime, timedelta

from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures.handover import HandoverFacts, hand_over
from sentinel.store import Reader

NAME = "shift"
USUAL = timedelta(hours=8)


def shift_facts(store: Reader, now: datetime, request: ReportRequest) -> HandoverFacts:
    """What happened since the last one."""
    return hand_over(store, now, request, NAME, USUAL)


REPORT = Report(
    name=NAME, summary="the last shift: what happened, what is handed over", facts=shift_facts
)
