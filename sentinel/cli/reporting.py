"""`sentinel report`: from what the daemon recorded."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.app.calendar import REPORTS
from sentinel.app.evidence import look_once
from sentinel.app.reporting import LOOKS_AT_EVIDENCE, make_request, read_bound
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.clock import read_moment_now
from sentinel.config import Configuration, load
from sentinel.core.foreign.visible import make_visible
from sentinel.errors import ConfigurationError, UsageError
from sentinel.reports import ReportRequest
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import EVERY_FORMAT, FORMATS
from sentinel.reports.paper.write import write_report
from sentinel.store import Reader, show_time

READINESS = "readiness"
"""The report that is a verdict on what the configuration requires."""


def report(arguments: Arguments) -> int:
    """`sentinel report`"""
    folder, store = open_store(arguments, writable=True)
    now = show_time(store, read_moment_now())
    configuration = _find_configuration(arguments.config, arguments.kind)
    if configuration is not None and not _is_of(configuration, store, arguments.kind):
        configuration = None
    request = make_request(
        configuration,
        folder,
        incident=arguments.incident,
        began=read_bound(arguments.begin, now, "--from"),
        ended=read_bound(arguments.end, now, "--to"),
    )
    _refuse_both(request)
    if configuration is not None and arguments.kind in LOOKS_AT_EVIDENCE:
        asyncio.run(look_once(configuration, store, now))
    if arguments.json:
        facts = collect(store, arguments.kind, now, request)
        print_json(facts)
        return _find_code(facts)
    output = arguments.output or folder / REPORTS
    templates = _find_templates(arguments.templates)
    if templates is None and configuration is not None:
        templates = configuration.report_templates
    formats = EVERY_FORMAT if arguments.pdf else FORMATS
    paths, rendered = write_report(
        store, arguments.kind, now, output, request, formats=formats, templates=templates
    )
    if "md" in rendered.texts:
        print(rendered.texts["md"])
    for path in paths:
        print(f"written: {path}", file=sys.stderr)
    rendered.complain()
    return _find_code(rendered.facts)


def _find_code(facts: Mapping[str, Any]) -> int:
    """0, or 2 for a gate that says no."""
    return 2 if facts.get("go") is False else 0


def _refuse_both(request: ReportRequest) -> None:
    if request.ended is not None and request.began is None:
        raise UsageError("--to needs --from", "say when the period begins")
    if request.began is not None and request.incident is not None:
        raise UsageError("a report is about an incident or a period", "leave one of them out")


def _find_templates(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "name one that is there with --templates")
    return None if folder is None else folder.absolute()


def _find_configuration(path: Path, kind: str) -> Configuration | None:
    """What is configured here. Where it can't be read a report is made all the same, of what the
    state has; a gate is none without its requirements. Raises ConfigurationError for that.
    """
    try:
        return load(path)
    except ConfigurationError:
        if kind == READINESS:
            raise
        told = "the configuration can't be read: the report knows neither targets nor milestones"
        print(f"sentinel: {told}\n  remedy: `sentinel validate` says why", file=sys.stderr)
        return None


def _is_of(configuration: Configuration, store: Reader, kind: str) -> bool:
    """Whether it is that of the platform whose state is read: targets, owners and milestones of
    another one say nothing of it. Raises UsageError for a gate, which would judge the wrong one.
    """
    own, known = configuration.platform, store.meta("platform")
    if known is None or known == own:
        return True
    told = make_visible(f"the configuration is of the platform {own}, the state of {known}")
    remedy = make_visible(f"name the configuration of {known} with `--config`")
    if kind == READINESS:
        raise UsageError(told, remedy)
    told = f"{told}: the report knows neither targets nor milestones"
    print(f"sentinel: {told}\n  remedy: {remedy}", file=sys.stderr)
    return False
