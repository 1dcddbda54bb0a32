"""The report `daily`: the last day: what happened, and how everything stands; written also when nothing happened."""

from __future__ import annotations

from datetime import datetime, timedelta

from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures.handover import HandoverFacts, hand_over
from sentinel.store import Reader

NAME = "daily"
USUAL = timedelta(days=1)


def daily_facts(store: Reader, now: datetime, request: ReportRequest) -> HandoverFacts:
    """What happened since the last one."""
    return hand_over(store, now, request, NAME, USUAL)


REPORT = Report(
    name=NAME, summary="the last day: what happened, and how everything stands", facts=daily_facts
)
