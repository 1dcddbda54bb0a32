"""Commands of housekeeping: what there is, and the two steps of a cleaning by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from sentinel.app.following import FILES_KEY, read_following
from sentinel.app.housekeeping_by_hand import order_cleaning
from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.clock import read_moment_now
from sentinel.config import Configuration, load
from sentinel.core.bus.housekeeping import PLAN_LIFE, Chore
from sentinel.core.order import OrderKind
from sentinel.core.quantity import format_duration
from sentinel.errors import ConfigurationError, StateError, UsageError
from sentinel.housekeeping import ChoreKind, load_chores
from sentinel.log import configure_logging
from sentinel.store import Store


def clean_list(arguments: Arguments) -> int:
    """`sentinel clean list`: also while a file is broken, then those that the daemon has."""
    try:
        store: Store | None = open_store(arguments)[1]
    except StateError:
        store = None
    rows = [_describe(chore, store) for chore in _find_chores(arguments, store)]
    if arguments.json:
        return print_json(rows)
    if not rows:
        show("no chores: `housekeeping:` of the configuration has none; `sentinel clean kinds`")
        return 0
    columns = (
        "chore",
        "kind",
        "when",
        "dry run",
        "left this hour",
        "last run",
        "outcome",
        "detail",
    )
    show(tables.mapping_table(rows, *columns))
    return 0


def _find_chores(arguments: Arguments, store: Store | None) -> Sequence[Chore]:
    try:
        return load(arguments.config).chores
    except ConfigurationError as error:
        following = read_following(store.meta(FILES_KEY)) if store is not None else None
        if following is None:
            raise
        first = " ".join(str(error.problems[0]).split())
        print(
            "sentinel: the files on disk are broken (`sentinel validate`): these chores are those of"
            f" {following.since}, which the daemon read\n  {first}",
            file=sys.stderr,
        )
        return following.read_chores()


def _describe(chore: Chore, store: Store | None) -> dict[str, Any]:
    run, now = store.cleaning.last_run(chore.name) if store else None, read_moment_now()
    left = store.cleaning.left(chore.name, chore.max_per_hour, now) if store else chore.max_per_hour
    when = chore.cron or (f"every {format_duration(chore.every)}" if chore.every else "by hand")
    return {
        "chore": chore.name,
        "kind": chore.kind,
        "when": when,
        "dry run": "yes" if chore.dry_run else "no",
        "left this hour": f"{left:,} of {chore.max_per_hour:,}",
        "last run": tables.age(run.at.at, now.show(run.at)) if run else "never",
        "outcome": f"{run.outcome}: {run.removed:,} of {run.found:,}" if run else "",
        "detail": run.detail if run else "",
    }


def clean_kinds(arguments: Arguments) -> int:
    """`sentinel clean kinds`"""
    known = load_chores()
    if arguments.name is None:
        rows = [{"kind": kind.name, "what": kind.summary} for kind in known.values()]
        if arguments.json:
            return print_json(rows)
        show(tables.mapping_table(rows, "kind", "what"))
        return 0
    if arguments.name not in known:
        raise UsageError(f"there is no kind {arguments.name!r}", f"known: {', '.join(known)}")
    rows = _options_of(known[arguments.name])
    if arguments.json:
        return print_json(rows)
    show(
        f"{arguments.name}: {known[arguments.name].summary}\n",
        tables.mapping_table(rows, *rows[0]),
    )
    return 0


def _options_of(kind: ChoreKind) -> list[dict[str, str]]:
    """Every option with default and meaning; those of a nested one by their path."""
    rows = []
    for name, field in kind.options.model_fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        inner = {f"{name}.{key}": each for key, each in nested.items()} if nested else {name: field}
        for path, each in inner.items():
            default = "required" if each.is_required() else str(each.default)
            by_plan = "yes" if name in kind.parameters else ""
            rows.append(
                {
                    "option": path,
                    "default": default,
                    "in a plan": by_plan,
                    "what": each.description or "",
                }
            )
    return rows


def clean_plan(arguments: Arguments) -> int:
    """`sentinel clean plan`"""
    parameters = dict(_parameter(word) for word in arguments.parameters)
    document = _order(arguments, OrderKind.CLEAN_PLAN, arguments.name, {"parameters": parameters})
    if arguments.json:
        return print_json(document)
    kind = load_chores()[document["kind"]]
    count = sum(target["count"] for target in document["targets"])
    parts = [f"{document['chore']}: {count:,} {kind.noun} would be cleaned"]
    rows = [
        {
            "place": f"{target['key']} {target['group']}".strip(),
            "count": target["count"],
            "command": target["command"],
            "samples": " ".join(target["samples"][:3]),
            "note": target["note"],
        }
        for target in document["targets"]
    ]
    refusals = [
        {"place": r["place"], "left": r["count"], "why": r["text"]} for r in document["refusals"]
    ]
    show(*parts)
    if rows:
        show(tables.mapping_table(rows, *rows[0]))
    if refusals:
        show("", tables.mapping_table(refusals, *refusals[0], title="left alone"))
    if count:
        print(
            f"\nto do exactly this within {PLAN_LIFE:.0f} s:  sentinel clean apply {document['id']}"
        )
    return 0


def clean_apply(arguments: Arguments) -> int:
    """`sentinel clean apply`"""
    document = _order(arguments, OrderKind.CLEAN_APPLY, arguments.id, {})
    if arguments.json:
        print_json(document)
    else:
        detail = f" ({document['detail']})" if document["detail"] else ""
        print(
            f"{document['outcome']}: {document['removed']:,} of {document['found']:,}"
            f" cleaned{detail}"
        )
    return (
        0
        if document["outcome"] in {"done", "nothing"} and document["removed"] == document["found"]
        else 2
    )


def _order(
    arguments: Arguments, kind: str, subject: str, payload: dict[str, Any]
) -> dict[str, Any]:
    configuration = _configuration(arguments)
    configure_logging(
        level="error", secrets=configuration.secrets if configuration else frozenset()
    )
    folder, store = open_store(arguments, writable=True)
    try:
        return asyncio.run(order_cleaning(configuration, folder, store, kind, subject, payload))
    finally:
        store.close()


def _configuration(arguments: Arguments) -> Configuration | None:
    """None where only a state folder was named: then the daemon has it."""
    try:
        return load(arguments.config)
    except ConfigurationError:
        if arguments.state is None:
            raise
        return None


def _parameter(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"{word!r} is no parameter", "write name=value")
    return name, value
