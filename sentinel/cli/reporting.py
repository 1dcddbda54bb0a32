"""`sentinel report`: from what the daemon recorded."""

from __future__ import annotations

import sys
from pathlib import Path

from sentinel.app.calendar import REPORTS
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.clock import read_moment_now
from sentinel.config import load
from sentinel.errors import ConfigurationError
from sentinel.reports import ReportRequest
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.write import write_report
from sentinel.store import show_time


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
