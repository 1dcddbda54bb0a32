"""What people see in the terminal: tables from views. Everything from outside is printed as text,
never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sentinel.cli.columns import Columns, Line
from sentinel.core.fault import find_prompt
from sentinel.core.model import Attempt, Incident
from sentinel.core.quantity import format_duration
from sentinel.store import CheckView, ComponentView, TimelineEntry

COLOURS = {"up": "green", "degraded": "yellow", "down": "bold red", "unknown": "magenta"}
Part = str | Columns


def clean(value: Any) -> str:
    """Text without control characters: a hostile name can't move the cursor."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else " " for char in text)


def status_text(status: str, more: str = "") -> Line:
    """A status by word and colour."""
    return Line(clean(status) + more, COLOURS.get(status, ""))


def command_text(command: str) -> Line:
    """A command on one line, however long, as it is typed: broken it would not run as it is copied."""
    return Line(clean(f"    {find_prompt(command)} {command}"), whole=True)


def silence_text(stopped: str | None, *, is_held: bool) -> Line:
    """What stands above everything when no daemon writes; `stopped`: when it was ended in order;
    `is_held`: one has the state all the same.
    """
    why = "was stopped" if stopped else "is NOT RUNNING or hangs"
    if is_held:
        why = "runs, and its state CAN'T BE WRITTEN or it hangs (its page shows what is now)"
    return Line(f"sentinel {why}: all below is old", "bold red")


def age(at: datetime | None, now: datetime) -> str:
    """How long ago, for people; both by one clock."""
    if at is None:
        return "never"
    return f"{format_duration(max((now - at).total_seconds(), 0))} ago"


def _cut(text: str) -> str:
    """Short enough for a table of components; the whole of it stands with its check."""
    return text if len(text) <= 160 else f"{text[:159]}…"


def components_table(
    components: Sequence[ComponentView], checks: Sequence[CheckView], now: datetime
) -> Columns:
    """Component, status, last check, key figure, restarts, and why nothing is being done."""
    table = Columns(("component", "status", "last check", "key figure", "restarts", "detail"))
    by_component: dict[str, list[CheckView]] = {}
    for check in checks:
        by_component.setdefault(check.component, []).append(check)
    for component in components:
        mine = by_component.get(component.name, [])
        last = max((check.latest for check in mine if check.latest), default=None)
        keys = (check.key for check in mine if check.key)
        figures = [f"{key} {value}" for key, value in keys if value]
        detail = component.action or ("" if component.status == "up" else component.detail)
        table.add(
            clean(component.name),
            status_text(component.status),
            age(last, now),
            clean(" · ".join(figures[:2]) or "–"),
            str(component.restarts) if component.driver else "–",
            Line(_cut(clean(detail)), "dim"),
        )
    return table


def checks_table(checks: Sequence[CheckView], now: datetime) -> Columns:
    """Every check with status, age, runs and detail."""
    table = Columns(("check", "kind", "status", "last run", "runs", "detail"))
    for check in checks:
        differs = f" (now {clean(check.soft)})" if check.soft != check.status else ""
        table.add(
            clean(check.name),
            check.kind,
            status_text(check.status, differs),
            age(check.latest, now),
            str(check.runs),
            clean(check.detail),
        )
    return table


def incidents_table(
    incidents: Sequence[Incident],
    now: datetime,
    title: str = "",
    runbooks: Mapping[str, str] | None = None,
) -> Columns:
    """Incidents, newest first; with `runbooks` (by incident) a column that says which one to open."""
    names = ["runbook"] if runbooks is not None else []
    heads = ("incident", "component", "state", "opened", "lasted", *names, "summary")
    table = Columns(heads, title)
    for incident in incidents:
        ended = incident.recovered or incident.closed or now
        table.add(
            clean(incident.id),
            clean(incident.component),
            clean(incident_state(incident)),
            f"{incident.opened:%H:%M:%S}Z",
            format_duration((ended - incident.opened).total_seconds()),
            *([] if runbooks is None else [clean(runbooks.get(incident.id) or "–")]),
            clean(incident.summary),
        )
    return table


def incident_state(incident: Incident) -> str:
    """The state in words, with what stands in the way."""
    exhausted = ", exhausted" if incident.exhausted else ""
    state = f"{incident.state}"
    if incident.watched_until is not None and incident.closed is None:
        state = f"recovered, watched until {incident.watched_until:%H:%M:%S}Z"
    elif incident.acknowledged is not None and incident.closed is None:
        state = f"{state}, {clean(incident.acknowledged_by)} sees to it"
    return f"{state}{exhausted}" + (
        f", blocked by {incident.blocked_by}" if incident.blocked_by else ""
    )


def incident_page(
    incident: Incident,
    timeline: Sequence[TimelineEntry],
    attempts: Sequence[Attempt],
    advice: Sequence[str],
    now: datetime,
) -> list[Part]:
    """One incident: head, what to do (`advice`, lines), timeline, attempts."""
    events = Columns(("time (UTC)", "event", "what"), "timeline")
    for entry in timeline:
        events.add(f"{entry.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], entry.kind, clean(entry.text))
    heads = ("attempt", "intended (UTC)", "outcome", "verdict", "healthy after", "detail")
    acts = Columns(heads, "attempts")
    for attempt in attempts:
        acts.add(
            str(attempt.n),
            f"{attempt.intended:%H:%M:%S}",
            attempt.outcome or "not ended",
            attempt.verdict or "–",
            format_duration(attempt.recovered_in),
            clean(attempt.detail),
        )
    shown: list[Part] = [incidents_table([incident], now), *map(clean, advice), "", events, ""]
    return [*shown, acts if attempts else "no attempts"]


def mapping_table(rows: Iterable[Mapping[str, Any]], *columns: str, title: str = "") -> Columns:
    """Any list of mappings, by column."""
    table = Columns(columns, title)
    for row in rows:
        table.add(*(_cell(row.get(column, "")) for column in columns))
    return table


def _cell(value: Any) -> str:
    return value if isinstance(value, Line) else clean(value)
