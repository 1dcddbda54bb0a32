"""`sentinel faults`: who is wrong, in what way, since when, and what cures it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from sentinel.app.ordering import is_running
from sentinel.cli import tables
from sentinel.cli.place import open_store, print_json
from sentinel.clock import read_moment_now
from sentinel.core.fault import Status, worst
from sentinel.errors import UsageError
from sentinel.store import show_time
from sentinel.web.faults import faults_document


def show_faults(arguments: argparse.Namespace) -> int:
    """Every fault that stands, of one check or component or of all; exit code as the worst open
    one, unknown when nobody looks.
    """
    _, store = open_store(arguments)
    views = store.checks()
    _refuse_unknown("check", arguments.check, [view.name for view in views])
    _refuse_unknown("component", arguments.component, [view.component for view in views])
    now = show_time(store, read_moment_now())
    document = faults_document(store, now, arguments.check, arguments.component)
    running = is_running(store)
    if arguments.json:
        print_json({**document, "running": running})
    else:
        warning = [] if running else [tables.silence_text(store.meta("stopped"))]
        tables.show(*warning, *_describe(document))
    if not running:
        return Status.UNKNOWN.exit_code
    standing = [each for each in document["faults"] if each["accepted"] is None]
    return worst([Status.UP, *(Status(each["status"]) for each in standing)]).exit_code


def _refuse_unknown(word: str, name: str | None, known: Sequence[str]) -> None:
    if name is not None and name not in known:
        listed = ", ".join(dict.fromkeys(known))
        raise UsageError(f"there is no {word} {name!r} with a result", f"known: {listed}")


def _describe(document: dict[str, Any]) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(_summary(document))]
    for each in document["faults"]:
        lines += [Text(), *_describe_fault(each)]
    return lines


def _summary(document: dict[str, Any]) -> str:
    if not document["faults"]:
        return "no fault stands"
    text = f"{document['open']:,} open"
    if document["accepted"]:
        text += f", {document['accepted']:,} accepted"
    return text + (f"; {document['cut']:,} more are not listed" if document["cut"] else "")


def _describe_fault(fault: dict[str, Any]) -> list[Text]:
    head = tables.status_text(fault["status"])
    head.append(f"  {tables.clean(fault['fault'])}", style="bold")
    place = f"  {fault['subject_text']}  ({fault['check']}, for {fault['age_text']})"
    head.append(tables.clean(place))
    lines = [head, Text(f"    {tables.clean(fault['text'])}")]
    if fault["accepted"]:
        until, reason = fault["accepted"]["until_text"], fault["accepted"]["reason"]
        lines.append(Text(tables.clean(f"    accepted until {until}: {reason}"), style="dim"))
        return lines
    if fault["guidance"]:
        lines.append(Text(tables.clean(f"    next: {fault['guidance']}")))
    return lines + [Text(tables.clean(f"    $ {command}")) for command in fault["cure"]]
