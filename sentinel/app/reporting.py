"""What a report is told of the configuration, and periods as people write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from sentinel.app.runbooks.places import find_runbook, known_faults, open_shelf
from sentinel.config import Configuration
from sentinel.core.model import Check
from sentinel.core.moment import is_time
from sentinel.core.notice.route import NoticeRoute
from sentinel.core.quantity import format_duration, parse_duration
from sentinel.engine.fleet import Fleet
from sentinel.engine.supervision import make_check, make_kind
from sentinel.errors import ConfigurationError, UsageError
from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.figures.automation import EVIDENCE, RESTARTS, name_report
from sentinel.runbook.shelf import Shelf
from sentinel.store.folder import read_disk

LOOKS_AT_EVIDENCE = frozenset({"progress", "readiness"})
"""Reports before which the evidence is looked at."""


def make_request(
    configuration: Configuration | None,
    state: Path,
    *,
    incident: str | None = None,
    began: datetime | None = None,
    ended: datetime | None = None,
    next_update: datetime | None = None,
) -> ReportRequest:
    """A request with everything that the configuration says; without one, nothing of it. `state`:
    the folder whose disk is looked at.
    """
    own = make_kind(Fleet())
    asked = ReportRequest(
        kinds={**load_kinds(), own.name: own},
        incident=incident,
        began=began,
        ended=ended,
        next_update=next_update,
        disk=read_disk(state),
    )
    if configuration is None:
        return asked
    return replace(
        asked,
        target_per_hour=configuration.tasks_per_hour_target,
        owners={one.name: one.owner for one in configuration.components if one.owner},
        escalation=_list_calls(configuration.notices.routes),
        remembered=configuration.retention,
        plan=configuration.plan,
        automations=tuple(_list_automations(configuration)),
        find_runbook=_choose_runbooks(configuration),
    )


def _choose_runbooks(configuration: Configuration) -> Callable[[str, str], str]:
    """The runbook for a fault of a check, as incidents get it. The shelf is read when it is first
    asked; broken runbooks of the platform keep nobody from a report.
    """

    @cache
    def read() -> tuple[Shelf, dict[str, Check]]:
        supervised = (make_check(each) for each in configuration.components if each.driver)
        checks = {each.name: each for each in (*supervised, *configuration.checks)}
        try:
            return open_shelf(configuration.folder), checks
        except ConfigurationError:
            return open_shelf(), checks

    def find(name: str, fault: str) -> str:
        shelf, checks = read()
        check = checks.get(name)
        declared = known_faults().get(check.kind, {}).get(fault) if check is not None else None
        if check is None or declared is None:
            return ""
        return find_runbook(shelf, check, fault, declared.runbook)

    return find


def _list_calls(routes: Iterable[NoticeRoute]) -> tuple[tuple[float, str], ...]:
    """Which channels are told after how many seconds: those of every route together."""
    found: dict[float, dict[str, None]] = {}
    for route in routes:
        for after, channels in (
            (0.0, route.channels),
            *((s.after, s.channels) for s in route.escalate),
        ):
            found.setdefault(after, {}).update(dict.fromkeys(channels))
    return tuple((after, ", ".join(found[after])) for after in sorted(found))


def _list_automations(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """What runs by itself, and when."""
    driven = [one for one in configuration.components if one.driver]
    if driven:
        mode = "when a component fails" if configuration.actions_enabled else "only observed"
        yield RESTARTS, f"{mode}; {len(driven)} components"
    for chore in configuration.chores:
        when = chore.cron or (f"every {format_duration(chore.every)}" if chore.every else "by hand")
        yield chore.name, f"{when}{', dry run' if chore.dry_run else ''}"
    for report in configuration.reports:
        yield name_report(report.kind), f"{report.cron} {report.timezone}"
    if configuration.plan:
        yield EVIDENCE, f"every {format_duration(configuration.plan.every)}"


def read_bound(text: str | None, now: datetime, option: str) -> datetime | None:
    """An end of a period: an instant or a date (UTC when it names no zone), or `8h` for so long
    ago. Raises UsageError, also for what is no time of a platform that runs.
    """
    if text is None:
        return None
    try:
        at = _read_instant(text, now)
    except (ValueError, OverflowError) as error:
        remedy = "write 2026-03-01T12:00, with a zone if it is not UTC, or 8h for so long ago"
        raise UsageError(f"{option} {text[:60]!r} is no instant", remedy) from error
    if not is_time(at.timestamp()):
        remedy = "begin when the platform did: nothing is known of before"
        raise UsageError(f"{option} {text[:60]!r} is no time of a platform that runs", remedy)
    return at


def _read_instant(text: str, now: datetime) -> datetime:
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
