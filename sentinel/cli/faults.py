"""`sentinel faults`: who is wrong, in what way, since when, and what cures it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sentinel.app.presence import is_running
from sentinel.cli import tables
from sentinel.cli.columns import Line, show
from sentinel.cli.place import open_store, print_json
from sentinel.cli.standing import warn_of_files
from sentinel.clock import read_moment_now
from sentinel.core.fault import Status, worst
from sentinel.errors import UsageError
from sentinel.store import show_time
from sentinel.store.folder import is_held
from sentinel.web.faults import faults_document

_ACCEPT = "accept"


def show_faults(arguments: argparse.Namespace) -> int:
    """Every fault that stands, of one check or component or of all; exit code as the worst open
    one, unknown when nobody looks. With `accept CHECK FAULT` a loss is accepted instead.
    """
    words = arguments.words
    if len(words) == 3 and words[0] == _ACCEPT:
        # Giving orders takes more than looking does.
        from sentinel.cli.accepting import accept  # noqa: PLC0415

        return accept(arguments, *words[1:])
    if len(words) > 1 or words == [_ACCEPT]:
        usage = "`sentinel faults [CHECK]`, or `sentinel faults accept CHECK FAULT --reason TEXT`"
        said = "nothing is named to accept" if words[0] == _ACCEPT else "only one check at a time"
        raise UsageError(f"{said}: {' '.join(words)}", f"{usage}; `sentinel faults` names them")
    check = words[0] if words else None
    folder, store = open_store(arguments)
    if check is not None or arguments.component is not None:
        views = store.checks()
        _refuse_unknown("check", check, [view.name for view in views])
        _refuse_unknown("component", arguments.component, [view.component for view in views])
    now = show_time(store, read_moment_now())
    document = faults_document(store, now, check, arguments.component)
    running = is_running(store)
    if arguments.json:
        print_json({**document, "running": running})
    else:
        held = is_held(folder)
        silence = [] if running else [tables.silence_text(store.meta("stopped"), is_held=held)]
        show(*silence, *_describe(document))
        warn_of_files(arguments, store, running=running)
    if not running:
        return Status.UNKNOWN.exit_code
    standing = [each for each in document["faults"] if each["accepted"] is None]
    return worst([Status.UP, *(Status(each["status"]) for each in standing)]).exit_code


def _refuse_unknown(word: str, name: str | None, known: Sequence[str]) -> None:
    if name is not None and name not in known:
        listed = ", ".join(dict.fromkeys(known))
        raise UsageError(f"there is no {word} {name!r} with a result", f"known: {listed}")


def _describe(document: dict[str, Any]) -> list[str | list[Line]]:
    lines: list[str | list[Line]] = [_summary(document)]
    for each in document["faults"]:
        lines += ["", *_describe_fault(each)]
    return lines


def _summary(document: dict[str, Any]) -> str:
    if not document["faults"]:
        return "no fault stands"
    text = f"{document['open']:,} open"
    if document["accepted"]:
        text += f", {document['accepted']:,} accepted"
    return text + (f"; {document['cut']:,} more are not listed" if document["cut"] else "")


def _describe_fault(fault: dict[str, Any]) -> list[str | list[Line]]:
    place = f"  {fault['subject_text']}  ({fault['check']}, for {fault['age_text']})"
    key = Line(f"  {tables.clean(fault['fault'])}", "bold")
    head = [tables.status_text(fault["status"]), key, Line(tables.clean(place))]
    lines: list[str | list[Line]] = [head, f"    {tables.clean(fault['text'])}"]
    if fault["accepted"]:
        return [*lines, _describe_acceptance(fault)]
    if fault["guidance"]:
        lines.append(tables.clean(f"    next: {fault['guidance']}"))
    return lines + [tables.command_text(command) for command in fault["cure"]]


def _describe_acceptance(fault: dict[str, Any]) -> Line:
    until, reason = fault["accepted"]["until_text"], fault["accepted"]["reason"]
    by = f" by {fault['accepted']['by']}" if fault["accepted"]["by"] else ""
    span = f"{by}, shown until {until}" if fault["lasts_until"] else f" until {until}{by}"
    return Line(tables.clean(f"    accepted{span}: {reason}"), "dim")
