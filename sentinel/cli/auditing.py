"""Commands of the audit log: read it, and prove that it is whole."""

from __future__ import annotations

from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.core.tenants.trial import describe_detail
from sentinel.errors import UsageError
from sentinel.store.audit import parse_head
from sentinel.store.document import to_json


def audit_list(arguments: Arguments) -> int:
    """`sentinel audit list`"""
    _, store = open_store(arguments)
    rows = store.audit(arguments.limit)
    if arguments.json:
        return print_json([to_json(row) for row in rows])
    shown = [
        {
            "time (UTC)": f"{row.at:%Y-%m-%d %H:%M:%S}",
            "who": row.actor,
            "did": row.action,
            "to": row.subject,
            "detail": describe_detail(row.action, row.detail)[:300],
            "hash": row.hash[:12],
        }
        for row in rows
    ]
    columns = ("time (UTC)", "who", "did", "to", "detail", "hash")
    show(tables.mapping_table(shown, *columns) if shown else "nobody did anything yet")
    return 0


def audit_verify(arguments: Arguments) -> int:
    """`sentinel audit verify`"""
    noted = parse_head(arguments.head) if arguments.head else None
    if arguments.head and noted is None:
        raise UsageError(
            f"{arguments.head!r} is no head",
            "write the number:hash that an earlier `audit verify` printed",
        )
    _, store = open_store(arguments)
    verdict = store.verify_audit(noted)
    if arguments.json:
        print_json({**to_json(verdict), "whole": verdict.whole})
    elif verdict.whole:
        print(f"whole: {verdict.rows:,} rows, {verdict.remembered:,} remembered heads")
        print(f"head {verdict.head or '(none)'}: note it elsewhere, and give it back with --head")
        if verdict.rows and not verdict.remembered:
            print("no head is remembered: rows cut off at the end would not be noticed")
    else:
        print(f"BROKEN at row {verdict.broken}: {verdict.text}")
    return 0 if verdict.whole else 2
