"""`sentinel kinds`: what may stand on each shelf, in the words of who writes YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sentinel.cli.columns import Columns, show
from sentinel.cli.manual import options_table, to_rows
from sentinel.cli.place import Arguments, print_json
from sentinel.cli.tables import Part, mapping_table
from sentinel.config.sample import write_sample
from sentinel.errors import UsageError
from sentinel.housekeeping import load_chores
from sentinel.notify import load_channels
from sentinel.probes import Kind, load_kinds
from sentinel.remediation import load_drivers
from sentinel.reports import load_reports
from sentinel.store.document import to_json
from sentinel.strict.describe import OptionRow, describe_options

SHELVES: Mapping[str, tuple[Callable[[], Mapping[str, Any]], str]] = {
    "check": (load_kinds, "check kinds: `kind:` of a check"),
    "driver": (load_drivers, "drivers: `driver:` of a component"),
    "chore": (load_chores, "chores: `kind:` in `housekeeping:`"),
    "report": (load_reports, "reports: `kind:` in `reports:`"),
    "channel": (load_channels, "channels, on which people are told"),
}


def kinds(arguments: Arguments) -> int:
    """`sentinel kinds`: all of them, or everything about one."""
    shelves: dict[str, Mapping[str, Any]] = {
        shelf: dict(load()) for shelf, (load, _) in SHELVES.items()
    }
    if arguments.name is None:
        return _list(arguments, shelves)
    found = {s: things[arguments.name] for s, things in shelves.items() if arguments.name in things}
    if not found:
        known = ", ".join(dict.fromkeys(name for things in shelves.values() for name in things))
        raise UsageError(f"there is no kind {arguments.name!r}", f"known: {known}")
    documents = [describe_thing(shelf, thing) for shelf, thing in found.items()]
    if arguments.json:
        first, *others = documents
        return print_json({**first, **({"also": others} if others else {})})
    for n, document in enumerate(documents):
        show(*([""] if n else []), *_page(document))
    return 0


def _list(arguments: Arguments, shelves: Mapping[str, Mapping[str, Any]]) -> int:
    if arguments.json:
        every = ((shelf, thing) for shelf, found in shelves.items() for thing in found.values())
        return print_json([describe_thing(shelf, thing) for shelf, thing in every])
    parts: list[Part] = []
    for shelf, things in shelves.items():
        rows = [
            {"name": thing.name, "needs": _needs(thing), "what": thing.summary}
            for thing in things.values()
        ]
        columns = (
            ["name", "needs", "what"] if any(row["needs"] for row in rows) else ["name", "what"]
        )
        parts += [mapping_table(rows, *columns, title=SHELVES[shelf][1]), ""]
    show(*parts, "options of one: sentinel kinds NAME; all other keys: sentinel config keys")
    return 0


def _needs(thing: Any) -> str:
    """Types of the resources; those that it may do without end in a question mark."""
    return ", ".join(getattr(thing, "resources", {}).values())


def describe_thing(shelf: str, thing: Any) -> dict[str, Any]:
    """Everything about one, JSON-able."""
    options = getattr(thing, "options", None)
    rows = list(describe_options(options)) if options is not None else []
    document = {
        "shelf": shelf,
        "name": thing.name,
        "summary": thing.summary,
        "resources": dict(getattr(thing, "resources", {})),
        "options": to_rows(rows),
        "example": write_sample(shelf, thing.name, options),
    }
    if isinstance(thing, Kind):
        document["measurements"] = [to_json(each) for each in thing.measurements]
        document["faults"] = [to_json(each) for each in thing.fault_kinds.values()]
        document["slis"] = [{"name": n, "good": m} for n, m in thing.sli_meanings.items()]
    return document


def _casting(resources: Mapping[str, str]) -> str:
    """Which resources it takes, and which it gets where nobody names them."""
    roles = ", ".join(
        f"`{role}` ({type_.removesuffix('?')}{', may be missing' if type_.endswith('?') else ''})"
        for role, type_ in resources.items()
    )
    usual = "the component's, or the only one of its type"
    return f"resources: {roles}; where none is named: {usual}"


def _page(document: Mapping[str, Any]) -> Iterator[Part]:
    yield f"{document['shelf']} {document['name']}: {document['summary']}"
    if document["resources"]:
        yield _casting(document["resources"])
    if document["options"]:
        rows = [OptionRow(**row) for row in document["options"]]
        yield ""
        yield options_table(rows, "options")
    if document["example"]:
        yield ""
        yield "example"
        yield from (f"  {line}" for line in document["example"].splitlines())
    if document.get("measurements"):
        yield ""
        yield _measurements(document["measurements"])
    if document.get("faults"):
        yield ""
        heads = ("key", "severity", "runbook", "meaning")
        yield mapping_table(document["faults"], *heads, title="faults")
    if document.get("slis"):
        yield ""
        yield mapping_table(document["slis"], "name", "good", title="SLIs: `sli:` in `objectives:`")


def _measurements(rows: list[dict[str, Any]]) -> Columns:
    shown = [{**row, "labels": ", ".join(row["labels"])} for row in rows]
    return mapping_table(shown, "name", "metric", "type", "labels", "help", title="measurements")
