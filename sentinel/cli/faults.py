"""`sentinel faults`: who is wrong, in what way, since when, and what cures it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from sentinel.app.ordering import accept_lost, actor, find_lost, is_running
from sentinel.cli import tables
from sentinel.cli.place import confirm, open_store, print_json, say
from sentinel.clock import read_moment_now
from sentinel.core.fault import Status, worst
from sentinel.core.fault.loss import describe_extent
from sentinel.errors import ActionRefused, UsageError
from sentinel.store import show_time
from sentinel.web.faults import faults_document

_ACCEPT = "accept"
MAX_ASKED = 5
"""Losses that are shown one by one before somebody accepts them all."""


def show_faults(arguments: argparse.Namespace) -> int:
    """Every fault that stands, of one check or component or of all; exit code as the worst open
    one, unknown when nobody looks. With `accept CHECK FAULT` a loss is accepted instead.
    """
    words = arguments.words
    if len(words) == 3 and words[0] == _ACCEPT:
        return _accept(arguments, *words[1:])
    if len(words) > 1:
        usage = "`sentinel faults [CHECK]`, or `sentinel faults accept CHECK FAULT --reason TEXT`"
        raise UsageError(f"too many words, or too few: {' '.join(words)}", usage)
    check = words[0] if words else None
    _, store = open_store(arguments)
    views = store.checks()
    _refuse_unknown("check", check, [view.name for view in views])
    _refuse_unknown("component", arguments.component, [view.component for view in views])
    now = show_time(store, read_moment_now())
    document = faults_document(store, now, check, arguments.component)
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


def _accept(arguments: argparse.Namespace, check: str, fault: str) -> int:
    """Accept what a check found lost: shown first, refused when there is more of it meanwhile."""
    if not arguments.reason.strip():
        raise UsageError("it needs a reason", "add --reason TEXT: it goes into the audit log")
    subject = dict(map(_read_label, arguments.subject))
    _, store = open_store(arguments, writable=True)
    found = find_lost(store, check, fault, subject)
    extent = describe_extent(found)
    lines = "\n".join(tables.clean(f"  {each.fault.text}") for each in found[:MAX_ASKED])
    more = f"\n  and {len(found) - MAX_ASKED} more" if len(found) > MAX_ASKED else ""
    confirm(arguments, f"{lines}{more}\naccept {extent}, for ever?")
    by = arguments.by.strip() or actor()
    answer = asyncio.run(accept_lost(store, check, fault, subject, arguments.reason, by, extent))
    if not answer.is_done:
        raise ActionRefused(answer.text, "look again: `sentinel faults`")
    return say(arguments, {"check": check, "fault": fault, "outcome": answer.line})


def _read_label(text: str) -> tuple[str, str]:
    label, mark, name = text.partition("=")
    if not (label and mark):
        raise UsageError(f"{text!r} names no subject", "write --subject KEY=VALUE")
    return label, name


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
        by = f" by {fault['accepted']['by']}" if fault["accepted"]["by"] else ""
        span = f"{by}, shown until {until}" if fault["lasts_until"] else f" until {until}{by}"
        told = f"    accepted{span}: {reason}"
        lines.append(Text(tables.clean(told), style="dim"))
        return lines
    if fault["guidance"]:
        lines.append(Text(tables.clean(f"    next: {fault['guidance']}")))
    return lines + [tables.command_text(command) for command in fault["cure"]]
