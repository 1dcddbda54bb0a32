"""`sentinel check run`: once, now."""

from __future__ import annotations

import asyncio
from typing import Any

from sentinel.app.opening import find_store
from sentinel.app.ordering import run_check
from sentinel.app.presence import is_running
from sentinel.cli import tables
from sentinel.cli.columns import Line, show
from sentinel.cli.place import Arguments, print_json, state_folder
from sentinel.cli.standing import explain_absence
from sentinel.config import Configuration, load
from sentinel.core.model import Finding
from sentinel.errors import ConfigurationError
from sentinel.log import configure_logging
from sentinel.redaction import Redaction
from sentinel.store import CheckView, Store
from sentinel.store.document import to_json


def check_run(arguments: Arguments) -> int:
    """`sentinel check run`: in the running daemon, also while the files on disk are broken."""
    store = find_store(state_folder(arguments))
    configuration = _configuration(arguments, store)
    secrets = configuration.secrets if configuration is not None else frozenset()
    configure_logging(level="error", secrets=secrets)
    if store is not None and is_running(store):
        known = [view.name for view in store.checks()]
        if arguments.name not in known:
            raise explain_absence(arguments, store, known)
    view, finding = asyncio.run(run_check(configuration, store, arguments.name))
    scrub = Redaction(secrets).scrub
    where = (
        "in the running daemon" if view else "here: no daemon runs on this configuration's state"
    )
    document = scrub(
        {"check": arguments.name, "ran": where, **to_json(finding), "rows": _rows(view, finding)}
    )
    if arguments.json:
        print_json(document)
    else:
        _show(document)
    return finding.status.exit_code


def _configuration(arguments: Arguments, store: Store | None) -> Configuration | None:
    """None where the files are broken, and a daemon runs that has them from before."""
    try:
        return load(arguments.config)
    except ConfigurationError:
        if store is None or not is_running(store):
            raise
        return None


def _show(document: dict[str, Any]) -> None:
    status = document["status"]
    line = tables.status_text(status, f"  {tables.clean(document['detail'])}")
    guidance = document["guidance"]
    figures = [
        {"subject": ", ".join(row["labels"].values()), "measurement": name, "value": f"{value:g}"}
        for row in document["rows"]
        for name, value in row["values"].items()
    ]
    show(
        line,
        *([f"next: {tables.clean(guidance)}"] if guidance else []),
        Line(f"ran {document['ran']}", "dim"),
        "",
        tables.mapping_table(figures, "subject", "measurement", "value")
        if figures
        else "nothing was measured",
    )


def _rows(view: CheckView | None, finding: Finding) -> list[dict[str, Any]]:
    """Labels and plain figures of every row."""
    if view is not None:
        return [dict(row) for row in view.rows]
    return [
        {
            "labels": dict(row.labels),
            "values": {k: v for k, v in row.values.items() if isinstance(v, int | float)},
        }
        for row in finding.rows
    ]
