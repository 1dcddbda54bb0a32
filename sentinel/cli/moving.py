"""Commands that move the platform: start, stop, restart, reload; and the breaker of automation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sentinel.app.ordering import close_breaker as close_automation_breaker
from sentinel.app.ordering import command_component, move_platform
from sentinel.cli.place import Arguments, confirm, open_store, print_json
from sentinel.cli.tables import clean
from sentinel.core.order import Answer, AnswerWord

Steps = Sequence[Mapping[str, str]]
_EXIT_CODES = {
    AnswerWord.DONE: 0,
    AnswerWord.REFUSED: 75,
    AnswerWord.FAILED: 2,
    AnswerWord.UNKNOWN: 64,
}
_STYLES = {"": "dim", AnswerWord.DONE: "green"}


def start(arguments: Arguments) -> int:
    """`sentinel start`"""
    return _move(arguments, "start")


def stop(arguments: Arguments) -> int:
    """`sentinel stop`"""
    return _move(arguments, "stop")


def restart(arguments: Arguments) -> int:
    """`sentinel restart`"""
    return _move(arguments, "restart")


def reload(arguments: Arguments) -> int:
    """`sentinel reload`"""
    _, store = open_store(arguments, writable=True)
    answer = asyncio.run(command_component(store, "reload", arguments.component, arguments.reason))
    return _conclude(arguments, answer, [])


def close_breaker(arguments: Arguments) -> int:
    """`sentinel breaker close`"""
    _, store = open_store(arguments, writable=True)
    return _conclude(arguments, asyncio.run(close_automation_breaker(store, arguments.reason)), [])


def _move(arguments: Arguments, action: str) -> int:
    _, store = open_store(arguments, writable=True)
    if not arguments.component and action != "start":
        confirm(arguments, f"{action} every component that sentinel can act upon?")
    seen: list[Mapping[str, str]] = []

    def keep(steps: Steps) -> None:
        seen[:] = steps

    with _Progress(quiet=arguments.json) as progress:
        answer = asyncio.run(
            move_platform(
                store, action, arguments.component, arguments.reason, _both(keep, progress.show)
            )
        )
    return _conclude(arguments, answer, seen)


def _both(*calls: Callable[[Steps], None]) -> Callable[[Steps], None]:
    def call(steps: Steps) -> None:
        for each in calls:
            each(steps)

    return call


def _conclude(arguments: Arguments, answer: Answer, steps: Steps) -> int:
    if arguments.json:
        print_json({"word": answer.word, "outcome": answer.line, "steps": list(steps)})
    else:
        print(clean(answer.line))
    return _EXIT_CODES[answer.word]


class _Progress:
    """The steps as a table that grows in a terminal; one line for each finished step elsewhere, on
    stderr.
    """

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._quiet = quiet
        self._live = (
            Live(console=console, refresh_per_second=5)
            if console.is_terminal and not quiet
            else None
        )
        self._told = 0

    def __enter__(self) -> _Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, steps: Steps) -> None:
        """The steps so far."""
        if self._live is not None:
            self._live.update(_table(steps))
        elif not self._quiet:
            done = [step for step in steps if step["word"]]
            for step in done[self._told :]:
                print(
                    f"{step['action']} {clean(step['component'])}: {clean(step['outcome'])}",
                    file=sys.stderr,
                )
            self._told = len(done)


def _table(steps: Steps) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("", "component", "outcome"):
        table.add_column(column, overflow="fold")
    for step in steps:
        style = _STYLES.get(step["word"], "bold red")
        table.add_row(
            step["action"], clean(step["component"]), Text(clean(step["outcome"]), style=style)
        )
    return table
