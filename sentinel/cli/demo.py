"""`sentinel demo`: the demo platform, watched."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

from sentinel.app.daemon import Daemon
from sentinel.cli import tables
from sentinel.cli.columns import Line, show
from sentinel.cli.first_process import stand_as_first_process
from sentinel.cli.live import LivePage
from sentinel.cli.place import Arguments, print_json
from sentinel.clock import read_moment_now
from sentinel.config import shipped_folder
from sentinel.core.quantity import parse_duration
from sentinel.demo.chaos import Expectation, load_scenarios
from sentinel.demo.session import DemoOptions, Session, Watcher, print_document
from sentinel.errors import UsageError
from sentinel.log import configure_logging
from sentinel.store import show_time
from sentinel.store.document import to_json


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
    with LivePage(enabled=live) as page:
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


def _show_live(page: LivePage, watcher: Watcher, head: Sequence[str]) -> None:
    if page.enabled:
        if not sys.stdout.isatty():
            signal.raise_signal(
                signal.SIGHUP
            )  # the terminal is gone, and make, who leads its session, told nobody
        store = watcher.store
        now = show_time(store, read_moment_now())
        page.update(store.components(), store.checks(), store.incidents(limit=5), head, now)


def _show_end(document: dict[str, Any]) -> None:
    show(
        f"\nwatched for {document['duration_seconds']} s; everything is stopped",
        tables.mapping_table(
            document["restarts"],
            "component",
            "attempt",
            "outcome",
            "verdict",
            "recovered_in_seconds",
            title="restarts",
        ),
        "reports",
        *(f"  {path}" for path in document["reports"]),
    )
    if "nemesis" in document:
        _show_nemesis(document["nemesis"])


def _show_nemesis(judged: dict[str, Any]) -> None:
    violations = judged["violations"]
    word = f"{len(violations)} broken promises" if violations else "every promise was kept"
    head = f"\n{len(judged['faults'])} random faults (seed {judged['seed']}): {word}"
    show(
        Line(head, "bold red" if violations else "green"),
        *(tables.clean(f"  {line}") for line in violations),
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
    show(tables.mapping_table(rows, *rows[0]))
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
