"""Commands of runbooks: list, show, plan and run them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sentinel.app import OperatorHands
from sentinel.app.ordering import actor
from sentinel.app.runbooks.places import (
    NOTHING,
    find_incident,
    find_told,
    known_faults,
    list_supervised,
    open_shelf,
    plan_here,
)
from sentinel.app.runbooks.runs import append_transcript, begin_run, perform, pick_up, state_of
from sentinel.cli import tables
from sentinel.cli.book_run import BookRun, keep_transcript
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.clock import utcnow
from sentinel.config import load
from sentinel.core.model import Incident
from sentinel.errors import ConfigurationError, StateError, UsageError
from sentinel.log import configure_logging
from sentinel.redaction import Redaction
from sentinel.runbook.book import Runbook
from sentinel.runbook.plan import BookPlan, make_plan
from sentinel.runbook.read import FILE
from sentinel.runbook.run import show_plan
from sentinel.runbook.shelf import list_parameters
from sentinel.runbook.supply import leads_to
from sentinel.runbook.transcript import Transcript
from sentinel.store.document import to_json
from sentinel.store.runbook import RunbookRun
from sentinel.strict.file import read_regular_file

_EXIT_CODES = {"done": 0, "declined": 75}
"""Others failed: 2."""


def _find_runbook(arguments: Arguments) -> Runbook:
    books = open_shelf(arguments.config).books
    if arguments.name not in books:
        raise UsageError(
            f"there is no runbook {arguments.name!r}", f"known: {', '.join(sorted(books))}"
        )
    return books[arguments.name]


def runbook_list(arguments: Arguments) -> int:
    """`sentinel runbook list`"""
    rows = [
        {
            "name": book.name,
            "title": book.title,
            "applies to": _describe_purpose(book),
            "parameters": " ".join(list_parameters(book)),
            "changes": "yes" if any(step.changes for step in book.steps) else "no",
        }
        for _, book in sorted(open_shelf(arguments.config).books.items())
    ]
    if arguments.json:
        return print_json(rows)
    show(tables.mapping_table(rows, "name", "title", "applies to", "changes"))
    return 0


def _describe_purpose(book: Runbook) -> str:
    """Kinds with a fault that leads there, states of sentinel, alerts."""
    kinds = [
        kind
        for kind, faults in known_faults().items()
        if any(leads_to(book, kind, fault) for fault in faults.values())
    ]
    purpose = book.applies_to
    faults = [f"faults of {', '.join(kinds)}"] if kinds else []
    return "; ".join([*faults, *purpose.conditions, *purpose.alerts])


def runbook_show(arguments: Arguments) -> int:
    """`sentinel runbook show`"""
    book = _find_runbook(arguments)
    if arguments.json:
        return print_json(to_json(book))
    print(read_regular_file(Path(book.source), FILE.size).data.decode("utf-8-sig", "replace"))
    return 0


def runbook_run(arguments: Arguments) -> int:
    """`sentinel runbook run`"""
    book = _find_runbook(arguments)
    given = dict(_parameter(word) for word in arguments.parameters)
    if not arguments.execute:
        return _show_dry(arguments, show_plan(_plan_dry(arguments, book, given), utcnow()))
    room = _Room(arguments)
    incident = room.find_incident(book, given)
    told = find_told(book, incident, room.store, given)
    plan = plan_here(book, room.configuration, incident, given, told)
    run = begin_run(plan, actor(), incident.id if incident else "")
    room.store.add_audit(utcnow(), actor(), "runbook", book.name, json.dumps(dict(plan.parameters)))
    return room.perform(run, plan)


def runbook_runs(arguments: Arguments) -> int:
    """`sentinel runbook runs`"""
    _, store = open_store(arguments)
    rows = [
        {
            "run": run.id,
            "runbook": run.book,
            "state": state_of(run),
            "steps": len(run.steps),
            "incident": run.incident or "–",
            "who": run.actor,
            "began": run.began.isoformat(timespec="seconds"),
        }
        for run in store.runs()
    ]
    if arguments.json:
        return print_json(rows)
    show(
        tables.mapping_table(rows, "run", "state", "steps", "incident", "who", "began")
        if rows
        else "no run yet"
    )
    return 0


def runbook_resume(arguments: Arguments) -> int:
    """`sentinel runbook resume`"""
    room = _Room(arguments)
    run = next(iter(room.store.runs(arguments.id)), None)
    if run is None:
        raise UsageError(f"there is no run {arguments.id!r}", "`sentinel runbook runs` lists them")
    supervised = list_supervised(room.configuration)
    run, plan = pick_up(run, open_shelf(arguments.config), actor(), supervised)
    room.store.add_audit(utcnow(), actor(), "runbook resume", run.book, run.id)
    return room.perform(run, plan)


class _Room:
    """Where a runbook is carried out: configuration, state, and whom to ask."""

    def __init__(self, arguments: Arguments, *, writable: bool = True) -> None:
        self._arguments = arguments
        self.configuration = load(arguments.config)
        configure_logging(level="error", secrets=self.configuration.secrets)
        self.folder, self.store = open_store(arguments, writable=writable)

    def find_incident(self, book: Runbook, given: Mapping[str, str]) -> Incident | None:
        """The incident of `--incident`, else the open one that the runbook is for."""
        named = self._arguments.incident
        if named is None:
            return find_incident(book, given, self.store)
        incident = self.store.incident(named)
        if incident is None:
            raise UsageError(
                f"there is no incident {named!r}", "`sentinel incident list` lists them"
            )
        return incident

    def perform(self, run: RunbookRun, plan: BookPlan) -> int:
        """Carry it out, show what matters, keep the transcript, put it into the incident's
        timeline.
        """
        arguments = self._arguments
        hands = OperatorHands(self.configuration, self.folder, self.store)
        seen = BookRun(
            plan,
            run.incident,
            yes=arguments.yes,
            repeat=getattr(arguments, "repeat", False),
            quiet=arguments.json,
        )
        scrub = Redaction(self.configuration.secrets).scrub
        seen.begin()
        transcript = asyncio.run(
            perform(
                self.store, run, plan, hands, seen.confirm, seen.confirm_again, seen.tell, scrub
            )
        )
        if run.incident:
            append_transcript(self.store, run.incident, transcript, scrub, utcnow())
        path = keep_transcript(self.folder, run.id, transcript)
        seen.end(transcript, path, run.id, full=arguments.full)
        if arguments.json:
            print_json(to_json(transcript))
        return _EXIT_CODES.get(transcript.outcome, 2)


def _plan_dry(arguments: Arguments, book: Runbook, given: Mapping[str, str]) -> BookPlan:
    """A plan needs no daemon and no state; with a configuration its values are those of this
    platform.
    """
    try:
        configuration = load(arguments.config)
    except ConfigurationError:
        return make_plan(book, given)
    incident, told = None, NOTHING
    with suppress(StateError):
        room = _Room(arguments, writable=False)
        incident = room.find_incident(book, given)
        told = find_told(book, incident, room.store, given)
    return plan_here(book, configuration, incident, given, told)


def _show_dry(arguments: Arguments, transcript: Transcript) -> int:
    if arguments.json:
        return print_json(to_json(transcript))
    print(transcript.text)
    return 0


def _parameter(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"{word!r} is no parameter", "write name=value")
    return name, value
