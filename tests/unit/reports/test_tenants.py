"""The report on tenants: made from the audit log, and nothing is claimed that is not in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Fault, Status
from sentinel.core.tenants.trial import ACTION, Trial, TrialLedger
from sentinel.reports import ReportRequest
from sentinel.reports.paper.write import write_report
from sentinel.reports.tenants import tenants_facts
from sentinel.store import AuditLine, Changes
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at

GOLDEN = Path(__file__).with_name("tenants.golden.md")
LEAK = Fault("leak", {}, Status.DOWN, "x")
BLIND = Fault("unjudged", {}, Status.UNKNOWN, "x")


def look(
    store: SqliteStore, ledger: TrialLedger, seconds: float, fault: Fault | None = None
) -> None:
    """One look at two tables, as the engine leaves it in the audit log."""
    trials = [
        Trial("other_tenant", "public.tasks", fault, "app"),
        Trial("no_tenant", "public.flows", None, "app"),
    ]
    records = ledger.take(trials, at(seconds))
    lines = [
        AuditLine(at(seconds), "sentinel", ACTION, "tenants", each.write()) for each in records
    ]
    store.commit(Changes(audit=lines, meta={"platform": "demo"}))


def facts(store: SqliteStore, ended: float, began: float = 0):
    """Of a period."""
    return tenants_facts(store, at(ended), ReportRequest(began=at(began)))


def test_apart_for_a_period(store):
    """Every try is counted, and the longest time without one."""
    ledger = TrialLedger()
    for n in range(61):
        look(store, ledger, n * 60.0)
    found = facts(store, 3600)
    assert (found.apart, found.tries, found.leaked) == (True, 122, 0)
    assert (
        found.headline
        == "Tenants stayed apart in 122 tries of 2 ways; the longest time without one was 1 min."
    )
    assert store.verify_audit().whole


def test_a_leak_is_in_it_with_its_times(store, tmp_path):
    """As it is written for people."""
    ledger = TrialLedger()
    for n in range(31):
        look(store, ledger, n * 60.0, LEAK if 10 <= n < 13 else BLIND if n == 20 else None)
    paths, rendered = write_report(
        store,
        "tenants",
        at(1800),
        tmp_path / "r",
        ReportRequest(began=at(0)),
        formats=("md", "html", "json"),
    )
    assert rendered.texts["md"] == GOLDEN.read_text()
    assert len(paths) == 3
    found = facts(store, 1800)
    assert found.apart is False
    assert [(leak.began, leak.ended, leak.place) for leak in found.leaks] == [
        (at(600), at(720), "public.tasks")
    ]


@pytest.mark.parametrize(
    ("fault", "headline"),
    [
        (BLIND, "Not proved: 1 of 2 ways could never be judged."),
        (None, "Nothing was tried in this period, so nothing is known."),
    ],
)
def test_what_is_not_known_is_no_pass(store, fault, headline):
    """A way that was never judged; nothing at all."""
    if fault:
        look(store, TrialLedger(), 60.0, fault)
    found = facts(store, 3600)
    assert (found.apart, found.headline) == (None, headline)


def test_rows_that_are_no_records_are_counted(store):
    """Somebody wrote into the log."""
    store.add_audit(at(10), "eve", ACTION, "tenants", "{}")
    look(store, TrialLedger(), 60.0)
    found = facts(store, 3600)
    assert (found.records, found.unreadable) == (1, 1)


def test_other_periods_are_left_out(store):
    """A day by default."""
    look(store, TrialLedger(), 0.0)
    assert tenants_facts(store, at(0) + timedelta(hours=30), ReportRequest()).tries == 0
    assert tenants_facts(store, at(0) + timedelta(hours=20), ReportRequest()).tries == 2
