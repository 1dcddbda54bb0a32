"""`sentinel faults accept`: a person bears what was lost for good."""

from __future__ import annotations

import argparse
import asyncio

from sentinel.app.ordering import accept_lost, actor, find_lost
from sentinel.cli import tables
from sentinel.cli.place import confirm, open_store, say
from sentinel.core.fault.loss import describe_extent
from sentinel.errors import ActionRefused, UsageError

MAX_ASKED = 5
"""Losses that are shown one by one before somebody accepts them all."""


def accept(arguments: argparse.Namespace, check: str, fault: str) -> int:
    """Accept what a check found lost: shown first, refused when there is more of it meanwhile."""
    if not arguments.reason.strip():
        raise UsageError("it needs a reason", "add --reason TEXT: it goes into the audit log")
    subject = dict(map(_read_label, arguments.subject))
    _, store = open_store(arguments, writable=True)
    found = find_lost(store, check, fault, subject)
    extent = describe_extent(found)
    lines = "\n".join(tables.clean(f"  {each.fault.text}") for each in found[:MAX_ASKED])
    more = f"\n  and {len(found) - MAX_ASKED} more" if len(found) > MAX_ASKED else ""
    question = f"accept for ever what was lost ({extent})?"
    confirm(arguments, f"{check} {fault}\n{lines}{more}\n{question}")
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
