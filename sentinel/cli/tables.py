"""What people see in the terminal: tables from views. Everything from outside is printed as text,
never as markup.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TextIO

from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sentinel.core.fault import Status, find_prompt
from sentinel.core.model import Attempt, Incident
from sentinel.core.quantity import format_duration
from sentinel.store import CheckView, ComponentView, TimelineEntry

COLOURS = {"up": "green", "degraded": "yellow", "down": "bold red", "unknown": "magenta"}


def clean(value: Any) -> str:
    """Text without control characters: a hostile name can't move the cursor."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else " " for char in text)


def status_text(status: str) -> Text:
    """A status by word and colour."""
    return Text(clean(status), style=COLOURS.get(status, ""))


def command_text(command: str) -> Text:
    """A command on one line, however long, as it is typed."""
    return Text(clean(f"    {find_prompt(command)} {command}"), no_wrap=True)


def silence_text(stopped: str | None) -> Text:
    """What stands above everything when no daemon looks; `stopped`: when it was ended in order."""
    why = "was stopped" if stopped else "is NOT RUNNING or hangs"
    return Text(f"sentinel {why}: all below is old", style="bold red")


def age(at: datetime | None, now: datetime) -> str:
    """How long ago, for people; both by one clock."""
    if at is None:
        return "never"
    return f"{format_duration(max((now - at).total_seconds(), 0))} ago"


def _table(*columns: str, title: str = "") -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def components_table(
    components: Sequence[ComponentView],
    checks: Sequence[CheckView],
    now: datetime,
    *,
    one_line: bool = False,
) -> Table:
    """Component, status, last check, key figure, restarts, and why nothing is being done."""
    overflow: OverflowMethod = "ellipsis" if one_line else "fold"
    table = _table("component", "status", "last check", "key figure", "restarts", "detail")
    for component in components:
        mine = [check for check in checks if check.component == component.name]
        last = max((check.last_run for check in mine if check.last_run), default=None)
        figures = [
            f"{key} {value}" for key, value in (check.key for check in mine if check.key) if value
        ]
        detail = component.action or ("" if component.status == "up" else component.detail)
        table.add_row(
            Text(clean(component.name)),
            status_text(component.status),
            age(last, now),
            Text(clean(" · ".join(figures[:2]) or "–"), no_wrap=one_line, overflow=overflow),
            str(component.restarts) if component.driver else "–",
            Text(clean(detail)[:160], style="dim", no_wrap=one_line, overflow=overflow),
        )
    return table


def checks_table(checks: Sequence[CheckView], now: datetime) -> Table:
    """Every check with status, age, runs and detail."""
    table = _table("check", "kind", "status", "last run", "runs", "detail")
    for check in checks:
        status = status_text(check.status)
        if check.soft != check.status:
            status.append(f" (now {check.soft})", style="dim")
        table.add_row(
            Text(clean(check.name)),
            check.kind,
            status,
            age(check.last_run, now),
            str(check.runs),
            Text(clean(check.detail)),
        )
    return table


def incidents_table(
    incidents: Sequence[Incident],
    now: datetime,
    title: str = "",
    runbooks: Mapping[str, str] | None = None,
) -> Table:
    """Incidents, newest first; with `runbooks` (by incident) a column that says which one to open."""
    names = ["runbook"] if runbooks is not None else []
    table = _table(
        "incident", "component", "state", "opened", "lasted", *names, "summary", title=title
    )
    for incident in incidents:
        ended = incident.recovered or incident.closed or now
        table.add_row(
            Text(clean(incident.id)),
            Text(clean(incident.component)),
            Text(clean(_state(incident))),
            f"{incident.opened:%H:%M:%S}Z",
            format_duration((ended - incident.opened).total_seconds()),
            *([] if runbooks is None else [Text(clean(runbooks.get(incident.id) or "–"))]),
            Text(clean(incident.summary)),
        )
    return table


def _state(incident: Incident) -> str:
    exhausted = ", exhausted" if incident.exhausted else ""
    state = f"{incident.state}"
    if incident.watched_until is not None and incident.closed is None:
        state = f"recovered, watched until {incident.watched_until:%H:%M:%S}Z"
    return f"{state}{exhausted}" + (
        f", blocked by {incident.blocked_by}" if incident.blocked_by else ""
    )


def incident_page(
    incident: Incident,
    timeline: Sequence[TimelineEntry],
    attempts: Sequence[Attempt],
    advice: Sequence[str],
    now: datetime,
) -> RenderableType:
    """One incident: head, what to do (`advice`, lines), timeline, attempts."""
    events = _table("time (UTC)", "event", "what", title="timeline")
    for entry in timeline:
        events.add_row(f"{entry.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], entry.kind, Text(clean(entry.text)))
    acts = _table(
        "attempt",
        "intended (UTC)",
        "outcome",
        "verdict",
        "healthy after",
        "detail",
        title="attempts",
    )
    for attempt in attempts:
        acts.add_row(
            str(attempt.n),
            f"{attempt.intended:%H:%M:%S}",
            attempt.outcome or "not ended",
            attempt.verdict or "–",
            format_duration(attempt.recovered_in),
            Text(clean(attempt.detail)),
        )
    return Group(
        incidents_table([incident], now),
        *(Text(clean(line)) for line in advice),
        Text(),
        events,
        Text(),
        acts if attempts else Text("no attempts"),
    )


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
    parts.append(components_table(shown, checks, now, one_line=True))
    if hidden := len(components) - len(shown):
        parts.append(Text(f"… and {hidden} more, no worse: the terminal is too small", style="dim"))
    parts += _incident_lines(incidents, room - len(shown))
    return Panel(Group(*parts), title="sentinel demo", title_align="left", border_style="dim")


def _incident_lines(incidents: Sequence[Incident], room: int) -> list[Text]:
    """A line for each, newest first, below a title; as many as fit."""
    lines = [Text(), Text("incidents", style="bold")]
    for incident in incidents:
        text = (
            f"{incident.opened:%H:%M:%S}Z  {incident.component}  {_state(incident)} "
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


def mapping_table(rows: Iterable[Mapping[str, Any]], *columns: str, title: str = "") -> Table:
    """Any list of mappings, by column."""
    table = _table(*columns, title=title)
    for row in rows:
        table.add_row(*(Text(clean(row.get(column, ""))) for column in columns))
    return table


def show(*parts: RenderableType) -> None:
    """Print to the terminal; wide when piped, so that nothing is cut. A command is never broken: it
    would not run as it is copied.
    """
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=200)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))
