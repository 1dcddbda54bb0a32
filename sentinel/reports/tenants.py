"""The report `tenants`: did they stay apart in a period, and what shows it? Made from the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sentinel.core.quantity import format_duration
from sentinel.core.tenants.period import TrialSum, add_up
from sentinel.core.tenants.trial import ACTION, TrialRecord
from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures import Period
from sentinel.reports.figures.period import bound_period
from sentinel.store import AuditRow, Reader

USUAL = timedelta(days=1)
MAX_RECORDS = 50_000
MAX_LEAKS = 200
MAX_WAYS = 2000


@dataclass(frozen=True, slots=True)
class LeakFact:
    """A stretch of tries that got at what is another tenant's."""

    check: str
    way: str
    place: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class WayFact:
    """One way to get at one place: how often it was tried, and what came of it. `blind`: the longest
    time without a try that could be judged, in seconds.
    """

    check: str
    way: str
    place: str
    tries: int
    passed: int
    leaked: int
    unjudged: int
    blind: float
    last: datetime | None


@dataclass(frozen=True, slots=True)
class TenantsFacts:
    """What a report on tenants says. `apart` is None where nothing is known; `unreadable` are records
    of the audit log that could not be read.
    """

    platform: str
    generated: datetime
    headline: str
    period: Period
    apart: bool | None
    tries: int
    passed: int
    leaked: int
    unjudged: int
    blind: float | None
    records: int
    unreadable: int = 0
    leaks: Sequence[LeakFact] = ()
    ways: Sequence[WayFact] = ()
    cut: int = 0


def tenants_facts(store: Reader, now: datetime, request: ReportRequest) -> TenantsFacts:
    """Add up what the audit log has of the period."""
    period = bound_period(request.began or now - USUAL, request.ended, now)
    rows = store.audit_of(ACTION, period.began, period.ended, MAX_RECORDS + 1)
    dropped = max(0, len(rows) - MAX_RECORDS)
    read = list(_read(rows[dropped:]))
    sums = add_up(((check, record) for check, record in read if record), period.began, period.ended)
    unreadable = sum(record is None for _, record in read)
    return _tell(store, now, period, sums, len(read) - unreadable, unreadable, dropped)


def _read(rows: Sequence[AuditRow]) -> Iterator[tuple[str, TrialRecord | None]]:
    for row in rows:
        try:
            yield row.subject, TrialRecord.read(row.detail)
        except ValueError:
            yield row.subject, None


def _tell(
    store: Reader,
    now: datetime,
    period: Period,
    sums: Sequence[TrialSum],
    records: int,
    unreadable: int,
    dropped: int,
) -> TenantsFacts:
    leaks = [
        LeakFact(each.check, each.way, each.place, began, ended)
        for each in sums
        for began, ended in each.leaks
    ]
    leaks.sort(key=lambda leak: leak.began)
    passed, leaked = sum(each.passed for each in sums), sum(each.leaked for each in sums)
    blind = max((each.blind for each in sums), default=None)
    apart = False if leaked else True if passed and not any(not s.passed for s in sums) else None
    ways = [_show(each) for each in sums]
    cut = max(0, len(leaks) - MAX_LEAKS) + max(0, len(ways) - MAX_WAYS) + dropped
    return TenantsFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline=_headline(sums, blind, apart),
        period=period,
        apart=apart,
        tries=sum(each.tries for each in sums),
        passed=passed,
        leaked=leaked,
        unjudged=sum(each.unjudged for each in sums),
        blind=blind,
        records=records,
        unreadable=unreadable,
        leaks=leaks[:MAX_LEAKS],
        ways=sorted(ways, key=lambda way: (-way.leaked, -way.unjudged))[:MAX_WAYS],
        cut=cut,
    )


def _headline(sums: Sequence[TrialSum], blind: float | None, apart: bool | None) -> str:
    tries = sum(each.tries for each in sums)
    if not tries or blind is None:
        return "Nothing was tried in this period, so nothing is known."
    leaked = sum(each.leaked for each in sums)
    if apart is False:
        return f"Tenants did not stay apart: {leaked:,} of {tries:,} tries got through."
    never = sum(not each.passed for each in sums)
    if apart is None:
        return f"Not proved: {never:,} of {len(sums):,} ways could never be judged."
    longest = format_duration(blind)
    return (
        f"Tenants stayed apart in {tries:,} tries of {len(sums):,} ways; the longest time without one"
        f" was {longest}."
    )


def _show(each: TrialSum) -> WayFact:
    return WayFact(
        each.check,
        each.way,
        each.place,
        each.tries,
        each.passed,
        each.leaked,
        each.unjudged,
        each.blind,
        each.last,
    )


REPORT = Report(
    name="tenants",
    summary="did tenants stay apart: every way that was tried, and what came of it",
    facts=tenants_facts,
)
