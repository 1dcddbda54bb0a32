"""`sentinel objectives`: what is promised, what was kept, what is left of the error budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.app.presence import is_running
from sentinel.cli import tables
from sentinel.cli.columns import Columns, Line, show
from sentinel.cli.place import Arguments, open_store, print_json
from sentinel.cli.standing import warn_of_files
from sentinel.core.fault import Status, worst
from sentinel.store.folder import is_held
from sentinel.web.objectives import list_objectives

NONE = "no objective is configured, or none was judged yet: `sentinel config keys objectives`"


def show_objectives(arguments: Arguments) -> int:
    """Every objective; exit code as the worst: missed is failed, burning is degraded, what nobody
    measured is unknown, and so is everything while no daemon looks.
    """
    folder, store = open_store(arguments)
    found, running = list_objectives(store), is_running(store)
    if arguments.json:
        print_json({"objectives": found, "running": running})
    else:
        held = is_held(folder)
        silence = [] if running else [tables.silence_text(store.meta("stopped"), is_held=held)]
        show(*silence, objectives_table(found) if found else NONE)
        warn_of_files(arguments, store, running=running)
    if not running or not found:
        return Status.UNKNOWN.exit_code
    return worst([Status(each["status"]) for each in found]).exit_code


def objectives_table(found: list[dict[str, Any]]) -> Columns:
    """One line each."""
    heads = ("objective", "state", "good", "target", "events", "budget left", "lasts", "observed")
    table = Columns(heads)
    for each in found:
        table.add(
            tables.clean(each["name"]),
            _state(each),
            each["ratio_text"],
            each["target_text"],
            each["events_text"],
            each["budget_text"],
            each["forecast_text"],
            each["observed_text"],
        )
    return table


def _state(each: Mapping[str, Any]) -> Line:
    alarm = f", {each['alarm_text']}" if each["alarm_text"] else ""
    return Line(f"{each['state_text']}{alarm}", tables.COLOURS[each["status"]])
