"""`sentinel status`: what is the matter, and what stands in the way of the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sentinel.app.presence import is_halted, is_running, read_halt
from sentinel.cli import tables
from sentinel.cli.columns import Line, show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.cli.standing import count_unrun, look_at_files
from sentinel.clock import read_moment_now
from sentinel.core.fault import Status, worst
from sentinel.core.moment import read_moment
from sentinel.core.quantity import format_names
from sentinel.core.remediation.restart import Reason
from sentinel.store import BEAT, ComponentView, Reader, show_time
from sentinel.store.folder import is_held
from sentinel.store.runbook import held_back, own_troubles, runbook_of
from sentinel.web.document import describe_blindness, status_document
from sentinel.web.notices import describe_maintenance, describe_silences, describe_undelivered


def status(arguments: Arguments) -> int:
    """`sentinel status`"""
    folder, store = open_store(arguments)
    now = show_time(store, read_moment_now())
    running = is_running(store)
    files = look_at_files(arguments, store, running=running)
    if arguments.json:
        document = {**status_document(store, now), "running": running}
        overall = Status(document["status"])
        if not running:
            document["status"] = Status.UNKNOWN.value
        print_json({**document, "files": {"state": files.state, "text": files.text}})
        return (overall if running else Status.UNKNOWN).exit_code
    checks, components = store.checks(), store.components()
    overall = worst([Status(component.status) for component in components])
    beat = store.meta(BEAT)
    seen = read_moment(beat).at if beat else None
    platform = store.meta("platform") or "platform"
    head = f"{platform}: {overall}; sentinel last wrote {tables.age(seen, now)}"
    warning = [] if running else [_tell_silence(store, folder)]
    blind = describe_blindness(store, now)
    lines = [f"{blind['text']} at {blind['began']:%H:%M:%S}Z ({blind['reason']})"] if blind else []
    lines += [*_held(store, folder), *files.text.splitlines()]
    for describe in (describe_maintenance, describe_silences, describe_undelivered):
        lines += describe(store, now)
    lines += filter(None, [count_unrun(store) if running else ""])
    held = [Line(tables.clean(line), "bold yellow") for line in lines]
    open_ones = store.incidents(open_only=True)
    runbooks = {incident.id: runbook_of(store, incident) for incident in open_ones}
    incidents = tables.incidents_table(open_ones, now, "open incidents", runbooks)
    show(
        tables.clean(head), *warning, *_name_bad(components), *held, "",
        tables.components_table(components, checks, now), "",
        tables.checks_table(checks, now), "",
        incidents if open_ones else "no open incident",
    )  # fmt: skip
    return (overall if running else Status.UNKNOWN).exit_code


def _tell_silence(store: Reader, folder: Path) -> Line:
    return tables.silence_text(store.meta("stopped"), is_held=is_held(folder))


def _name_bad(components: Sequence[ComponentView]) -> list[Line]:
    """What is the matter in one line, the worst first, and where to look; nothing when all is up."""
    by_status: dict[Status, list[str]] = {}
    for each in components:
        by_status.setdefault(Status(each.status), []).append(each.name)
    bad = sorted((each for each in by_status if each is not Status.UP), key=lambda s: -s.rank)
    if not bad:
        return []
    text = "; ".join(f"{status}: {format_names(by_status[status], most=5)}" for status in bad)
    return [Line(tables.clean(f"{text} (what to do: `sentinel faults`)"), tables.COLOURS[bad[0]])]


def _held(store: Reader, folder: Path) -> list[str]:
    """What holds all actions back. The HALT file is looked at: the daemon may hang, or not have
    seen it yet.
    """
    lines = [item["text"] for item in held_back(store) if item["reason"] != Reason.HALTED]
    halted = (
        [f"halted, no automatic action: `sentinel resume` when it is over{_tell_halt(folder)}"]
        if is_halted(folder)
        else []
    )
    return halted + lines + own_troubles(store)


def _tell_halt(folder: Path) -> str:
    said = read_halt(folder)
    return f" ({said})" if said else ""
