"""The live view of the demo, in a terminal that shows one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sentinel.cli.columns import Columns, Line
from sentinel.cli.tables import clean, components_table, incident_state
from sentinel.core.fault import Status
from sentinel.core.model import Incident
from sentinel.store import CheckView, ComponentView

_LONG = {"key figure", "detail"}


def live_page(
    components: Sequence[ComponentView],
    checks: Sequence[CheckView],
    incidents: Sequence[Incident],
    head: Sequence[str],
    lines: int,
    now: datetime,
) -> RenderableType:
    """The live view of the demo in so many lines: addresses, components (the worst where not all
    fit), incidents.
    """
    room = lines - len(head) - 4  # the frame, a blank line, the table's head
    shown = components
    parts: list[RenderableType] = [
        *(Text(clean(line), no_wrap=True, overflow="ellipsis") for line in head),
        Text(),
    ]
    if room < len(components):
        shown = sorted(components, key=lambda each: -Status(each.status).rank)[: max(room - 1, 1)]
    parts.append(_draw(components_table(shown, checks, now)))
    if hidden := len(components) - len(shown):
        parts.append(Text(f"… and {hidden} more, no worse: the terminal is too small", style="dim"))
    parts += _incident_lines(incidents, room - len(shown))
    return Panel(Group(*parts), title="sentinel demo", title_align="left", border_style="dim")


def _incident_lines(incidents: Sequence[Incident], room: int) -> list[Text]:
    """A line for each, newest first, below a title; as many as fit."""
    lines = [Text(), Text("incidents", style="bold")]
    for incident in incidents:
        text = (
            f"{incident.opened:%H:%M:%S}Z  {incident.component}  {incident_state(incident)} "
            f" {incident.summary}"
        )
        lines.append(Text(clean(text), no_wrap=True, overflow="ellipsis"))
    return lines[: max(room, 0)] if incidents and room > len(lines) - len(incidents) else []


class LivePage:
    """The live view in a terminal, or plain progress lines on stderr where there is none."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._live = Live(
            console=Console(markup=False, highlight=False, emoji=False),
            auto_refresh=False,
            screen=enabled,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def say(self, line: str) -> None:
        """A progress line."""
        print(clean(line), file=sys.stderr, flush=True)

    def log_stream(self) -> TextIO:
        """Where log lines go without tearing the page."""
        return Path(os.devnull).open("w", encoding="utf-8") if self.enabled else sys.stderr

    def update(
        self,
        components: Sequence[ComponentView],
        checks: Sequence[CheckView],
        incidents: Sequence[Incident],
        head: Sequence[str],
        now: datetime,
    ) -> None:
        """Draw anew."""
        if not self._live.is_started:
            self._live.start()
        lines = self._live.console.height
        self._live.update(live_page(components, checks, incidents, head, lines, now), refresh=True)


def _draw(columns: Columns) -> Table:
    """The table within its frame: one line a row, what does not fit ends in an ellipsis."""
    table = Table(header_style="dim", box=None, pad_edge=False)
    for name in columns.names:
        table.add_column(name, overflow="fold")
    for row in columns.rows:
        table.add_row(*map(_draw_cell, columns.names, row))
    return table


def _draw_cell(name: str, cell: str) -> Text:
    style = cell.style if isinstance(cell, Line) else ""
    is_long = name in _LONG
    return Text(cell, style, no_wrap=is_long, overflow="ellipsis" if is_long else "fold")
