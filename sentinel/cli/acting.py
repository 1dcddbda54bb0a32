"""Commands that act: hands on the restarts, and runbooks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from sentinel.app import OperatorHands
from sentinel.app.hands import actor, command_component
from sentinel.app.hands import halt as halt_actions
from sentinel.app.hands import resume as resume_actions
from sentinel.app.wiring import utcnow
from sentinel.cli import tables
from sentinel.cli.place import Arguments, open_store, print_json, say, state_folder
from sentinel.config import load, shipped_folder
from sentinel.core.incident import Event
from sentinel.errors import UsageError
from sentinel.log import configure_logging
from sentinel.runbook.book import Runbook, Step
from sentinel.runbook.read import read_runbooks
from sentinel.runbook.run import Transcript, plan_runbook, run_runbook
from sentinel.store import Changes
from sentinel.store.document import to_json
from sentinel.store.sqlite import SqliteStore


def reset(arguments: Arguments) -> int:
    """`sentinel reset`"""
    _, store = open_store(arguments, writable=True)
    outcome = asyncio.run(command_component(store, "reset", arguments.component, arguments.reason))
    return say(arguments, {"component": arguments.component, "outcome": outcome})


def halt(arguments: Arguments) -> int:
    """`sentinel halt`: works without a daemon, and with one that hangs."""
    return say(arguments, {"outcome": halt_actions(state_folder(arguments), arguments.reason)})


def resume(arguments: Arguments) -> int:
    """`sentinel resume`"""
    folder, store = open_store(arguments, writable=True)
    return say(arguments, {"outcome": resume_actions(folder, store, arguments.reason)})


# -- runbooks -------------------------------------------------------------------------------------


def _runbooks(arguments: Arguments) -> dict[str, Runbook]:
    """Runbooks beside the configuration (`runbooks/` in it) override the shipped ones by name."""
    own = arguments.config / "runbooks"
    return {**read_runbooks(shipped_folder("runbooks")), **(read_runbooks(own) if own.is_dir() else {})}


def _find_runbook(arguments: Arguments) -> Runbook:
    books = _runbooks(arguments)
    if arguments.name not in books:
        raise UsageError(f"there is no runbook {arguments.name!r}", f"known: {', '.join(books)}")
    return books[arguments.name]


def runbook_list(arguments: Arguments) -> int:
    """`sentinel runbook list`"""
    rows = [
        {
            "name": book.name,
            "title": book.title,
            "applies to": ", ".join((*book.applies_to.kinds, *book.applies_to.components)),
            "parameters": " ".join(f"{p.name}={'…' if p.required else p.default or ''}" for p in book.parameters),
            "changes": "yes" if any(step.changes for step in book.steps) else "no",
        }
        for book in _runbooks(arguments).values()
    ]
    if arguments.json:
        return print_json(rows)
    tables.show(tables.mapping_table(rows, "name", "title", "applies to", "parameters", "changes"))
    return 0


def runbook_show(arguments: Arguments) -> int:
    """`sentinel runbook show`"""
    book = _find_runbook(arguments)
    if arguments.json:
        return print_json(to_json(book))
    print(Path(book.source).read_text())
    return 0


def runbook_run(arguments: Arguments) -> int:
    """`sentinel runbook run`"""
    book = _find_runbook(arguments)
    parameters = dict(_parameter(word) for word in arguments.parameters)
    transcript = (
        _execute(arguments, book, parameters) if arguments.execute else plan_runbook(book, parameters, utcnow())
    )
    if arguments.json:
        print_json(to_json(transcript))
    else:
        print(transcript.text)
    return 0 if transcript.outcome in {"dry run", "done"} else 2


def _execute(arguments: Arguments, book: Runbook, parameters: Mapping[str, str]) -> Transcript:
    configuration = load(arguments.config)
    configure_logging(level="error", secrets=configuration.secrets)
    folder, store = open_store(arguments, writable=True)
    hands = OperatorHands(configuration, folder, store)
    known = {"component": [component.name for component in configuration.components]}
    confirm = (lambda _step: True) if arguments.yes else _confirm
    store.add_audit(utcnow(), actor(), "runbook", book.name, json.dumps(parameters))
    transcript = asyncio.run(run_runbook(book, parameters, hands, dry_run=False, confirm=confirm, known=known))
    _append_transcript(store, transcript, parameters)
    return transcript


def _parameter(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"{word!r} is no parameter", "write name=value")
    return name, value


def _confirm(step: Step) -> bool:
    if not sys.stdin.isatty():
        print(f"{step.name}: changes something, and nobody is there to ask (--yes)", file=sys.stderr)
        return False
    return input(f"{step.name}: this changes something. Go on? [y/N] ").strip().lower() in {"y", "yes"}


def _append_transcript(store: SqliteStore, transcript: Transcript, parameters: Mapping[str, str]) -> None:
    """What was done by hand belongs into the incident's timeline."""
    open_ones = store.incidents(open_only=True)
    wanted = {parameters.get("component"), parameters.get("assigner"), parameters.get("incident")}
    incident = next((i for i in open_ones if {i.component, i.id} & wanted), open_ones[0] if open_ones else None)
    if incident is not None:
        event = Event("runbook", f"runbook {transcript.book}: {transcript.outcome}")
        evidence = {"transcript": transcript.text[:8000]}
        store.commit(Changes(events=[(incident.id, transcript.began, event, evidence)]))
