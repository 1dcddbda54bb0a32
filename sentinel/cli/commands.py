"""One function for each command: read or call, print, exit code. What a command decides, it decides
elsewhere.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.text import Text

from sentinel.app import REPORTS, Daemon
from sentinel.app.opening import find_store
from sentinel.app.ordering import is_halted, is_running, run_check
from sentinel.app.runbooks.places import check_runbooks
from sentinel.cli import tables
from sentinel.cli.first_process import stand_as_first_process
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.clock import read_moment_now
from sentinel.config import Configuration, load, shipped_folder
from sentinel.core.fault import Status, worst
from sentinel.core.model import Finding, Incident
from sentinel.core.moment import read_moment
from sentinel.core.quantity import parse_duration
from sentinel.core.remediation.restart import Reason
from sentinel.demo.chaos import Expectation, load_scenarios
from sentinel.demo.session import DemoOptions, Session, Watcher, print_document
from sentinel.errors import ConfigurationError, UsageError
from sentinel.log import configure_logging
from sentinel.probes import Kind, load_kinds
from sentinel.redaction import Redaction
from sentinel.reports import ReportRequest
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.write import write_report
from sentinel.store import BEAT, CheckView, Reader, Store, show_time
from sentinel.store.document import to_json
from sentinel.store.runbook import held_back, own_troubles, runbook_of
from sentinel.web.document import incident_document, status_document

# -- running --------------------------------------------------------------------------------------


def demo(arguments: Arguments) -> int:
    """`sentinel demo`"""
    if arguments.list_chaos:
        return _list_chaos(as_json=arguments.json)
    ended = stand_as_first_process()
    if ended is not None:
        return ended
    options = DemoOptions(
        seconds=_seconds(arguments.seconds),
        chaos=arguments.chaos,
        nemesis=arguments.nemesis,
        rate=arguments.rate,
        listen=arguments.listen,
        folder=arguments.folder,
        pack=shipped_folder("checks") / "packs" / "demo",
    )
    live = sys.stdout.isatty() and not arguments.json
    with tables.LivePage(enabled=live) as page:
        configure_logging(level="warning", form="json", stream=page.log_stream())
        session = Session(
            options, Daemon, page.say, lambda watcher, head: _show_live(page, watcher, head)
        )
        document = session.run()
    if arguments.json:
        print_document(document, sys.stdout.write)
    else:
        _show_end(document)
    return 2 if document.get("nemesis", {}).get("violations") else 0


def _show_live(page: tables.LivePage, watcher: Watcher, head: Sequence[str]) -> None:
    if page.enabled:
        if not sys.stdout.isatty():
            signal.raise_signal(
                signal.SIGHUP
            )  # the terminal is gone, and make, who leads its session, told nobody
        store = watcher.store
        now = show_time(store, read_moment_now())
        page.update(store.components(), store.checks(), store.incidents(limit=5), head, now)


def _show_end(document: dict[str, Any]) -> None:
    tables.show(
        Text(f"\nwatched for {document['duration_seconds']} s; everything is stopped"),
        tables.mapping_table(
            document["restarts"],
            "component",
            "attempt",
            "outcome",
            "verdict",
            "recovered_in_seconds",
            title="restarts",
        ),
        Text("reports"),
        *(Text(f"  {path}") for path in document["reports"]),
    )
    if "nemesis" in document:
        _show_nemesis(document["nemesis"])


def _show_nemesis(judged: dict[str, Any]) -> None:
    violations = judged["violations"]
    word = f"{len(violations)} broken promises" if violations else "every promise was kept"
    head = f"\n{len(judged['faults'])} random faults (seed {judged['seed']}): {word}"
    tables.show(
        Text(head, style="bold red" if violations else "green"),
        *(Text(f"  {line}") for line in violations),
    )


def _list_chaos(*, as_json: bool) -> int:
    scenarios = list(load_scenarios().values())
    if as_json:
        return print_json([to_json(scenario) for scenario in scenarios])
    rows = [
        {
            "name": scenario.name,
            "begins": f"at {scenario.start:g} s",
            "lasts": f"{scenario.duration:g} s" if scenario.duration else "once",
            "what": scenario.description,
            "must be reported": "; ".join(map(_describe_expectation, scenario.expect)),
        }
        for scenario in scenarios
    ]
    tables.show(tables.mapping_table(rows, *rows[0]))
    return 0


def _describe_expectation(expected: Expectation) -> str:
    restart = ", restarted" if expected.restart else ""
    return (
        f"{expected.component} {expected.status} by {expected.kind} within {expected.within:g}"
        f" s{restart}"
    )


def _seconds(text: str | None) -> float | None:
    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error


# -- configuration --------------------------------------------------------------------------------


def validate(arguments: Arguments) -> int:
    """`sentinel validate`"""
    try:
        configuration = _load_faultless(arguments.config)
    except ConfigurationError as error:
        if arguments.json:
            print_json(
                {"valid": False, "problems": [to_json(problem) for problem in error.problems]}
            )
            return error.exit_code
        raise
    counts = {
        "resources": len(configuration.resources),
        "components": len(configuration.components),
        "checks": len(configuration.checks),
    }
    sources = {
        name: each.password_from
        for name, each in configuration.resources.items()
        if each.password_from
    }
    if arguments.json:
        document = {"valid": True, "platform": configuration.platform, **counts}
        return print_json({**document, "passwords": sources})
    told = [_count(counts[word], word) for word in ("checks", "components", "resources")]
    print(f"valid: {', '.join(told)}")
    for name, source in sources.items():
        print(f"  password of {name}: from {source}")
    return 0


def _count(number: int, plural: str) -> str:
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


def _load_faultless(path: Path) -> Configuration:
    """Stricter than what a daemon starts with: what has lapsed is refused, too."""
    configuration = load(path)
    problems = list(configuration.lapsed)
    try:
        check_runbooks(configuration)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return configuration


def kinds(arguments: Arguments) -> int:
    """`sentinel kinds`"""
    known = load_kinds()
    if arguments.name is None:
        if arguments.json:
            return print_json([_describe_kind(kind) for kind in known.values()])
        rows = [
            {"kind": kind.name, "needs": ", ".join(kind.resources.values()), "what": kind.summary}
            for kind in known.values()
        ]
        tables.show(tables.mapping_table(rows, "kind", "needs", "what"))
        return 0
    if arguments.name not in known:
        raise UsageError(f"there is no kind {arguments.name!r}", f"known: {', '.join(known)}")
    kind = _describe_kind(known[arguments.name])
    if arguments.json:
        return print_json(kind)
    tables.show(
        Text(f"{kind['name']}: {kind['summary']}\n"),
        tables.mapping_table(kind["options"], "option", "type", "default", "what", title="options"),
        Text(),
        tables.mapping_table(
            kind["measurements"], "name", "metric", "type", "labels", "help", title="measurements"
        ),
        Text(),
        tables.mapping_table(
            kind["faults"], "key", "severity", "runbook", "meaning", title="faults"
        ),
    )
    return 0


def _describe_kind(kind: Kind) -> dict[str, Any]:
    options = list(_describe_options(kind.options))
    return {
        "name": kind.name,
        "summary": kind.summary,
        "resources": dict(kind.resources),
        "options": options,
        "measurements": [to_json(measurement) for measurement in kind.measurements],
        "faults": [to_json(fault) for fault in kind.fault_kinds.values()],
    }


def _describe_options(options: type[BaseModel], place: str = "") -> Iterator[dict[str, str]]:
    """Each option, and below it the options that it is made of: `children.begun_when.progress`."""
    for name, field in options.model_fields.items():
        kind = str(getattr(field.annotation, "__name__", field.annotation)).replace("typing.", "")
        yield {
            "option": f"{place}{name}",
            "type": kind,
            "default": "required" if field.is_required() else _default(field),
            "what": field.description or "",
        }
        for inner in _find_models(field.annotation):
            yield from _describe_options(inner, f"{place}{name}.")


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type such as `list[Child] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _find_models(part)


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else str(to_json(value))


def check_list(arguments: Arguments) -> int:
    """`sentinel check list`"""
    configuration = load(arguments.config)
    rows = [
        {
            "check": c.name,
            "kind": c.kind,
            "component": c.component,
            "every": f"{c.every:g} s",
            "where": c.source,
        }
        for c in configuration.checks
    ]
    if arguments.json:
        return print_json(rows)
    tables.show(tables.mapping_table(rows, "check", "kind", "component", "every", "where"))
    return 0


def check_run(arguments: Arguments) -> int:
    """`sentinel check run`"""
    configuration = load(arguments.config)
    configure_logging(level="error", secrets=configuration.secrets)
    folder = arguments.state or configuration.state
    store = find_store(folder)
    view, finding = asyncio.run(run_check(configuration, store, arguments.name))
    scrub = Redaction(configuration.secrets).scrub
    where = (
        "in the running daemon" if view else "here: no daemon runs on this configuration's state"
    )
    document = scrub(
        {"check": arguments.name, "ran": where, **to_json(finding), "rows": _rows(view, finding)}
    )
    if arguments.json:
        print_json(document)
        return finding.status.exit_code
    line = Text.assemble(tables.status_text(finding.status), "  ", tables.clean(document["detail"]))
    guidance = [Text(f"next: {tables.clean(document['guidance'])}")] if finding.guidance else []
    figures = [
        {"subject": ", ".join(row["labels"].values()), "measurement": name, "value": f"{value:g}"}
        for row in document["rows"]
        for name, value in row["values"].items()
    ]
    ran = Text(f"ran {where}", style="dim")
    tables.show(
        line,
        *guidance,
        ran,
        Text(),
        tables.mapping_table(figures, "subject", "measurement", "value"),
    )
    return finding.status.exit_code


def _rows(view: CheckView | None, finding: Finding) -> list[dict[str, Any]]:
    """Labels and plain figures of every row."""
    if view is not None:
        return [dict(row) for row in view.rows]
    return [
        {
            "labels": dict(row.labels),
            "values": {k: v for k, v in row.values.items() if isinstance(v, int | float)},
        }
        for row in finding.rows
    ]


# -- reading --------------------------------------------------------------------------------------


def status(arguments: Arguments) -> int:
    """`sentinel status`"""
    folder, store = open_store(arguments)
    checks, components = store.checks(), store.components()
    now = show_time(store, read_moment_now())
    document = status_document(store, now)
    overall = worst([Status(component.status) for component in components])
    running = is_running(store)
    ends = overall if running else Status.UNKNOWN
    if arguments.json:
        print_json(
            {
                **document,
                "running": running,
                **({} if running else {"status": Status.UNKNOWN.value}),
            }
        )
        return ends.exit_code
    beat = store.meta(BEAT)
    seen = read_moment(beat).at if beat else None
    head = f"{document['platform']}: {overall}; sentinel last wrote {tables.age(seen, now)}"
    warning = [] if running else [tables.silence_text(store.meta("stopped"))]
    blind = document["blind"]
    lines = [f"{blind['text']} at {blind['began'][11:19]}Z ({blind['reason']})"] if blind else []
    held = [
        Text(tables.clean(line), style="bold yellow") for line in (*lines, *_held(store, folder))
    ]
    open_ones = store.incidents(open_only=True)
    runbooks = {incident.id: runbook_of(store, incident) for incident in open_ones}
    tables.show(
        Text(tables.clean(head)), *warning, *held, Text(), tables.components_table(components, checks, now), Text(),
        tables.checks_table(checks, now), Text(),
        tables.incidents_table(open_ones, now, "open incidents", runbooks) if open_ones else Text("no open incident"),
    )  # fmt: skip
    return ends.exit_code


def _held(store: Store, folder: Path) -> list[str]:
    """What holds all actions back. The HALT file is looked at: the daemon may hang, or not have
    seen it yet.
    """
    lines = [item["text"] for item in held_back(store) if item["reason"] != Reason.HALTED]
    halted = (
        ["halted, no automatic action: `sentinel resume` when it is over"]
        if is_halted(folder)
        else []
    )
    return halted + lines + own_troubles(store)


def report(arguments: Arguments) -> int:
    """`sentinel report`"""
    folder, store = open_store(arguments, writable=True)
    now = show_time(store, read_moment_now())
    templates, target = _report_settings(arguments)
    request = ReportRequest(incident=arguments.incident, target_per_hour=target)
    if arguments.json:
        return print_json(collect(store, arguments.kind, now, request))
    output = arguments.output or folder / REPORTS
    paths, rendered = write_report(store, arguments.kind, now, output, request, templates=templates)
    if "md" in rendered.texts:
        print(rendered.texts["md"])
    for path in paths:
        print(f"written: {path}", file=sys.stderr)
    rendered.complain()
    return 0


def _report_settings(arguments: Arguments) -> tuple[Path | None, float | None]:
    """Templates and target: from the command line, else from the configuration when that can be
    read here.
    """
    try:
        configuration = load(arguments.config)
    except ConfigurationError:
        return arguments.templates, None
    return (
        arguments.templates or configuration.report_templates,
        configuration.tasks_per_hour_target,
    )


def incident_list(arguments: Arguments) -> int:
    """`sentinel incident list`"""
    _, store = open_store(arguments)
    incidents = store.incidents(open_only=arguments.open)
    if arguments.json:
        return print_json([to_json(incident) for incident in incidents])
    now = show_time(store, read_moment_now())
    tables.show(tables.incidents_table(incidents, now) if incidents else Text("no incident"))
    return 0


def incident_show(arguments: Arguments) -> int:
    """`sentinel incident show`"""
    _, store = open_store(arguments)
    incident = _find_incident(store, arguments.id)
    timeline, attempts = store.timeline(incident.id), store.attempts(incident=incident.id)
    if arguments.json:
        document = {"incident": incident, "timeline": timeline, "attempts": attempts}
        return print_json(to_json(document))
    now = show_time(store, read_moment_now())
    advice = _advise(incident_document(store, incident, now))
    tables.show(tables.incident_page(incident, timeline, attempts, advice, now))
    return 0


def _advise(document: dict[str, Any]) -> list[str]:
    """Root cause, why nothing is being done, and the commands that lead on, as on the page."""
    found = f", found by {document['check']}" if document["check"] else ""
    lines = [f"root cause: {document['root_cause']}{found}"]
    if document["why"]:
        lines.append(f"why: {document['why']}")
    if document["closed"] is None:
        component = shlex.quote(document["component"])
        lines.append(f"who is wrong: sentinel faults --component {component}")
    if document["runbook"]:
        book, name = shlex.quote(document["runbook"]), shlex.quote(document["id"])
        lines.append(f"runbook: sentinel runbook run {book} --incident {name}")
    return lines


def _find_incident(store: Reader, incident_id: str | None) -> Incident:
    if incident_id is not None:
        incident = store.incident(incident_id)
        if incident is None:
            raise UsageError(
                f"there is no incident {incident_id!r}", "`sentinel incident list` lists them"
            )
        return incident
    latest = store.incidents(limit=1)
    if not latest:
        raise UsageError("there is no incident yet")
    return latest[0]
