"""One turn of the pipeline as rows: what is believed now replaces what was, what happened is
appended.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sentinel.clock import utcnow
from sentinel.core.order import Answer, Order
from sentinel.errors import StateError
from sentinel.store import AuditLine, Changes
from sentinel.store.audit import append_row
from sentinel.store.document import clean_text, read, read_plain, write, write_instant
from sentinel.store.faults import move_faults, write_faults
from sentinel.store.objectives import write_objectives
from sentinel.store.table import TABLES, change, insert, replace


def write_changes(db: sqlite3.Connection, changes: Changes) -> None:
    """Everything of one turn."""
    _write_views(db, changes)
    _write_history(db, changes)
    _write_incidents(db, changes)
    if changes.clock_step:
        move_faults(db, changes.clock_step)
    write_faults(db, changes.faults)
    write_objectives(db, changes)


def write_audit(db: sqlite3.Connection, lines: Iterable[AuditLine]) -> str:
    """Append to the audit log, in order; its new head, "" where there is nothing to append."""
    head = ""
    for line in lines:
        words = map(clean_text, (line.actor, line.action, line.subject, line.detail))
        head = append_row(db, (write_instant(line.at), *words))
    return head


def _write_views(db: sqlite3.Connection, changes: Changes) -> None:
    for table, documents in (
        ("check_view", {view.name: view for view in changes.checks}),
        ("component_view", {view.name: view for view in changes.components}),
        ("health", changes.health),
        ("probe_state", changes.probe_state),
        ("process", {row.component: row for row in changes.processes}),
    ):
        if documents:
            replace(db, table, *((name, write(each)) for name, each in documents.items()))
    if changes.meta:
        replace(db, "meta", *((key, clean_text(word)) for key, word in changes.meta.items()))


def _write_history(db: sqlite3.Connection, changes: Changes) -> None:
    transitions: list[tuple[Any, ...]] = [
        (write_instant(t.at), t.subject, t.scope, str(t.before), str(t.after), clean_text(t.reason))
        for t in changes.transitions
    ]
    gaps = [
        (write_instant(gap.began), write_instant(gap.ended), gap.reason) for gap in changes.gaps
    ]
    samples = [
        (write_instant(s.at), s.check, s.measurement, write(s.labels), float(s.value))
        for s in changes.samples
        if math.isfinite(s.value)
    ]
    for table, rows in (("transition", transitions), ("gap", gaps), ("sample", samples)):
        if rows:
            insert(db, table, *rows)


def _write_incidents(db: sqlite3.Connection, changes: Changes) -> None:
    for each in changes.incidents:
        opened = write_instant(each.opened)
        replace(db, "incident", (each.id, each.component, opened, str(each.state), write(each)))
    for incident_id, at, event, evidence in changes.events:
        text = clean_text(event.text)
        insert(db, "event", (incident_id, write_instant(at), event.kind, text, write(evidence)))
    for attempt in changes.attempts:
        key = (attempt.incident, attempt.n)
        change(db, "attempt", "incident = ? AND n = ?", key, document=write(attempt))
    now = utcnow()
    for order in changes.orders:
        write_order(db, order, now)
    for name, payload in changes.payloads.items():
        change(db, "orders", "key = ?", (name,), payload=write(payload))
    for name, answer in changes.answers.items():
        outcome, done = write(answer), write_instant(now)
        change(db, "orders", "key = ?", (name,), outcome=outcome, done=done)


def write_order(db: sqlite3.Connection, order: Order, at: datetime) -> bool:
    """Put an order; False when its key is known."""
    key, subject = clean_text(order.key), clean_text(order.subject)
    row = (key, write_instant(at), str(order.kind), subject, write(order.payload), None, None)
    orders = TABLES["orders"]
    cursor = db.execute(f"{orders.insert} ON CONFLICT DO NOTHING", orders.sealed(row))
    return cursor.rowcount == 1


def read_answer(text: str) -> Answer:
    """The answer as it was kept; an older sentinel kept one line of text."""
    try:
        document = read_plain(text)
    except StateError:
        document = None
    is_answer = isinstance(document, dict) and "word" in document
    return read(Answer, text) if is_answer else Answer.done(text)
