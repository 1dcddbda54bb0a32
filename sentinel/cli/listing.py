"""`sentinel check list`: what is configured, and whether the daemon has it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from sentinel.app.glance import Glance, glance_at
from sentinel.app.presence import is_running
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.cli.standing import look_at_files, tell_of_files
from sentinel.cli.tables import mapping_table
from sentinel.core.quantity import parse_duration
from sentinel.errors import SentinelError
from sentinel.store import CheckView, Store

_COLUMNS = ("check", "kind", "component", "every", "where")
NOT_LOADED, NOT_RUN, NOT_IN_FILES = "not loaded yet", "not run yet", "no longer in the files"


def check_list(arguments: Arguments) -> int:
    """`sentinel check list`: from the files and the state, so that it answers at once, and also
    while a file is broken.
    """
    store = _find_store(arguments)
    glance = glance_at(arguments.config)
    if store is None or (not store.checks() and not glance.trouble):
        rows = _load_rows(arguments)
    else:
        running = is_running(store)
        files = look_at_files(arguments, store, running=running)
        absent = NOT_RUN if files.state == "same" else NOT_LOADED
        rows = list(_compare(glance, store, absent if running else ""))
        tell_of_files(files)
    if arguments.json:
        return print_json(rows)
    extra = ("in force",) if any(row["in force"] for row in rows) else ()
    show(mapping_table(rows, *_COLUMNS, *extra))
    return 0


def _find_store(arguments: Arguments) -> Store | None:
    try:
        return open_store(arguments)[1]
    except SentinelError:
        return None


def _load_rows(arguments: Arguments) -> list[dict[str, Any]]:
    """Without a daemon's word the files say it all: they are read as a daemon reads them."""
    from sentinel.config import load  # noqa: PLC0415 - see above

    return [
        {
            "check": check.name,
            "kind": check.kind,
            "component": check.component,
            "every": f"{check.every:g} s",
            "where": check.source,
            "in force": "",
        }
        for check in load(arguments.config).checks
    ]


def _compare(glance: Glance, store: Store, absent: str) -> Iterator[dict[str, Any]]:
    """Each check of the files, then those that the daemon has and the files have not; `absent` is
    said of what has no result.
    """
    views = {view.name: view for view in store.checks()}
    driven = {f"{each.name}.process" for each in store.components() if each.driver}
    listed: set[str] = set()
    unread = bool(glance.trouble or glance.find_problems(os.environ))
    for place, item in glance.find_checks(os.environ):
        name, view = item["name"], views.get(item["name"])
        listed.add(name)
        yield {
            "check": name,
            "kind": str(item.get("kind", "")),
            "component": str(item.get("component", "")),
            "every": _every(item, view),
            "where": str(place),
            "in force": absent if view is None else "",
        }
    for name, view in views.items():
        if name not in listed and name not in driven:
            yield {
                "check": name,
                "kind": view.kind,
                "component": view.component,
                "every": f"{view.every:g} s",
                "where": "",
                "in force": "" if unread else NOT_IN_FILES,
            }


def _every(item: Mapping[str, Any], view: CheckView | None) -> str:
    """As it is written; else what the daemon knows, which has it from the kind."""
    if "every" in item:
        try:
            return f"{parse_duration(item['every']):g} s"
        except ValueError:
            return str(item["every"])
    return f"{view.every:g} s" if view is not None else "as its kind"
