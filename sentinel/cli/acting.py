"""Commands that act: hands on the restarts, and runbooks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rich.text import Text

from sentinel.app import OperatorHands
from sentinel.app.ordering import actor, apply_reset, plan_reset
from sentinel.app.ordering import halt as halt_actions
from sentinel.app.ordering import resume as resume_actions
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
from sentinel.cli.place import Arguments, confirm, open_store, print_json, say, state_folder
from sentinel.clock import utcnow
from sentinel.config import load
from sentinel.core.model import Incident
from sentinel.errors import ActionRefused, ConfigurationError, StateError, UsageError
from sentinel.log import configure_logging
from sentinel.redaction import Redaction
from sentinel.runbook.book import BookStep, Runbook
from sentinel.runbook.plan import BookPlan, make_plan
from sentinel.runbook.read import FILE
from sentinel.runbook.run import show_plan
from sentinel.runbook.shelf import list_parameters
from sentinel.runbook.supply import leads_to
from sentinel.runbook.transcript import BEGUN, StepRecord, Transcript
from sentinel.store.document import to_json
from sentinel.store.runbook import RunbookRun
from sentinel.strict.file import read_regular_file


def reset(arguments: Arguments) -> int:
    """`sentinel reset`"""
    _, store = open_store(arguments, writable=True)
    planned = plan_reset(store, arguments.component)
    confirm(
        arguments,
        f"{arguments.component} is {planned}: end it there, and give it a full restart budget?",
    )
    answer = asyncio.run(apply_reset(store, arguments.component, arguments.reason, planned))
    if not answer.is_done:
        raise ActionRefused(answer.text)
    document = {"component": arguments.component, "planned": planned, "outcome": answer.line}
    return say(arguments, document)


def halt(arguments: Arguments) -> int:
    """`sentinel halt`: works without a daemon, and with one that hangs."""
    return say(arguments, {"outcome": halt_actions(state_folder(arguments), arguments.reason)})


def resume(arguments: Arguments) -> int:
    """`sentinel resume`"""
    folder, store = open_store(arguments, writable=True)
    return say(arguments, {"outcome": resume_actions(folder, store, arguments.reason)})


# -- runbooks -------------------------------------------------------------------------------------


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
    tables.show(tables.mapping_table(rows, "name", "title", "applies to", "changes"))
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
        return _show(arguments, show_plan(_plan_dry(arguments, book, given), utcnow()))
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
    tables.show(
        tables.mapping_table(rows, "run", "state", "steps", "incident", "who", "began")
        if rows
        else Text("no run yet")
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
        """Carry it out, show the transcript, put it into the incident's timeline."""
        hands = OperatorHands(self.configuration, self.folder, self.store)
        confirm = (lambda _step: True) if self._arguments.yes else _confirm
        repeat = (
            (lambda _step: True) if getattr(self._arguments, "repeat", False) else _confirm_again
        )
        scrub = Redaction(self.configuration.secrets).scrub
        transcript = asyncio.run(
            perform(self.store, run, plan, hands, confirm, repeat, _tell, scrub)
        )
        if run.incident:
            append_transcript(self.store, run.incident, transcript, scrub, utcnow())
        where = (
            f"transcript in incident {run.incident}"
            if run.incident
            else "no open incident: kept in the run only"
        )
        print(f"run {run.id}; {where}", file=sys.stderr)
        return _show(self._arguments, transcript)


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


def _show(arguments: Arguments, transcript: Transcript) -> int:
    if arguments.json:
        print_json(to_json(transcript))
    else:
        print(transcript.text)
    return 0 if transcript.outcome in {"dry run", "done"} else 2


def _tell(number: int, record: StepRecord) -> None:
    """Beside the transcript, which comes at the end."""
    if record.changes or record.outcome != BEGUN:
        print(
            tables.clean(f"{number + 1}. {record.name}: {record.outcome}"),
            file=sys.stderr,
            flush=True,
        )


def _parameter(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"{word!r} is no parameter", "write name=value")
    return name, value


def _confirm(step: BookStep) -> bool:
    return _ask(step, "this changes something. Go on?", "--yes")


def _confirm_again(step: BookStep) -> bool:
    return _ask(
        step,
        "this was begun before, and nobody knows whether it was done. Do it again?",
        "--repeat",
    )


def _ask(step: BookStep, question: str, option: str) -> bool:
    if not sys.stdin.isatty():
        print(f"{step.name}: {question} Nobody is there to ask ({option})", file=sys.stderr)
        return False
    return input(f"{step.name}: {step.run}\n  {question} [y/N] ").strip().lower() in {"y", "yes"}
