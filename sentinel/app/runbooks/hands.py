"""The reading half of a runbook's hands: servers through clients of their own, and what sentinel
itself remembers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sentinel.app.ordering import actor, command_component, halt, resume, run_check
from sentinel.app.presence import is_halted
from sentinel.app.wiring import make_client
from sentinel.clock import read_moment_now, utcnow
from sentinel.config import Configuration
from sentinel.core.model import Finding
from sentinel.core.quantity import format_duration
from sentinel.core.tenants.trial import ACTION as TRIALS
from sentinel.errors import ActionRefused, UsageError
from sentinel.runbook.book import Action, BookStep
from sentinel.runbook.transcript import redact, show_rows
from sentinel.store import Reader, Store, show_time
from sentinel.strict.file import open_at_once

MAX_LINES = 40
MAX_TAIL = 32 * 1024
Table = list[dict[str, Any]]


@dataclass(slots=True)
class ReadingHands:
    """Hands that only read. `ask` runs a check, or tells its latest finding. Clients are closed
    after each use.
    """

    configuration: Configuration
    folder: Path
    store: Reader
    ask: Callable[[str], Awaitable[Finding]]

    async def run_check(self, name: str) -> Finding:
        """Run a configured check once."""
        return await self.ask(name)

    async def sql(self, resource: str, text: str) -> Sequence[Mapping[str, Any]]:
        """Run one statement in a READ ONLY transaction that is rolled back; its rows."""
        client = self._client(resource, "postgres")
        try:
            async with client.snapshot() as query:
                rows: Sequence[Mapping[str, Any]] = await query(text)
                return rows
        finally:
            await client.close()

    async def redis(self, resource: str, argv: Sequence[str]) -> Any:
        """Send one reading command; the reply as sent."""
        client = self._client(resource, "redis")
        try:
            return await client.call(*argv)
        finally:
            await client.close()

    def _client(self, name: str, kind: str) -> Any:
        resource = self.configuration.resources.get(name)
        if resource is None or resource.type != kind:
            known = [
                each.name for each in self.configuration.resources.values() if each.type == kind
            ]
            raise UsageError(
                f"there is no {kind} resource {name!r}", f"known: {', '.join(known) or 'none'}"
            )
        return make_client(resource)

    async def look(self, view: str, subject: str) -> str:
        """What sentinel itself remembers, as text."""
        names = [component.name for component in self.configuration.components]
        if subject and subject not in names:
            raise UsageError(f"there is no component {subject!r}", f"known: {', '.join(names)}")
        if view == "log":
            return read_log(self.folder / "log", subject)
        return show_rows(
            VIEWS[view](self.store, subject, show_time(self.store, read_moment_now()))[-MAX_LINES:]
        )

    async def permit(self, step: BookStep) -> None:
        """Nothing may be changed with these hands."""
        raise ActionRefused(f"{step.name}: a diagnosis changes nothing")

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        """Nothing may be changed with these hands."""
        raise ActionRefused(f"{name} {dict(args)}: a diagnosis changes nothing")

    def now(self) -> datetime:
        """Aware UTC now."""
        return utcnow()


def read_log(folder: Path, component: str) -> str:
    """The last lines of a supervised component's own output."""
    path = folder / f"{component}.log"
    try:
        # why at once, and so much: a component may make a pipe or a link of its own log
        with open(path, "rb", opener=open_at_once) as file:
            file.seek(max(path.stat().st_size - MAX_TAIL, 0))
            tail = (file.read(MAX_TAIL) or b"").decode(errors="replace")
    except OSError as error:
        text = f"no log of {component or 'no component'}: {error.strerror}"
        raise UsageError(
            text, "sentinel has logs of the components that it starts itself"
        ) from error
    return "\n".join(tail.splitlines()[-MAX_LINES:])


# -- views ----------------------------------------------------------------------------------------


def _components(store: Reader, subject: str, now: datetime) -> Table:
    return [
        {
            "component": view.name,
            "status": view.status,
            "for": _since(view.since, now),
            "restarts": view.restarts,
            "needs": ",".join(view.depends_on) or "-",
            "detail": view.action or view.detail,
        }
        for view in store.components()
        if subject in ("", view.name)
    ]


def _checks(store: Reader, subject: str, now: datetime) -> Table:
    return [
        {
            "check": view.name,
            "status": view.status,
            "now": view.soft,
            "last run": _since(view.latest, now),
            "every": format_duration(view.every),
            "runbook": view.runbook or "-",
            "detail": view.detail,
        }
        for view in store.checks()
        if subject in ("", view.component)
    ]


def _incidents(store: Reader, subject: str, _now: datetime) -> Table:
    return [
        {
            "incident": incident.id,
            "state": f"{incident.state}{' exhausted' if incident.exhausted else ''}",
            "blocked by": incident.blocked_by or "-",
            "summary": incident.summary,
        }
        for incident in reversed(store.incidents(limit=MAX_LINES))
        if subject in ("", incident.component)
    ]


def _timeline(store: Reader, subject: str, _now: datetime) -> Table:
    """The timeline of the newest incident."""
    found = (each for each in store.incidents(limit=200) if subject in ("", each.component))
    newest = next(found, None)
    entries = store.timeline(newest.id) if newest else []
    return [
        {"at (UTC)": _clock(entry.at), "event": entry.kind, "what": entry.text} for entry in entries
    ]


def _attempts(store: Reader, subject: str, now: datetime) -> Table:
    return [
        {
            "at (UTC)": _clock(attempt.intended),
            "component": attempt.component,
            "attempt": attempt.n,
            "outcome": attempt.outcome or "not ended",
            "verdict": attempt.verdict or "-",
            "detail": attempt.detail,
        }
        for attempt in store.attempts(component=subject or None, since=now - timedelta(days=1))
    ]


def _gaps(store: Reader, _subject: str, now: datetime) -> Table:
    return [
        {
            "began (UTC)": _clock(gap.began),
            "for": format_duration((gap.ended - gap.began).total_seconds()),
            "reason": gap.reason,
        }
        for gap in store.gaps(since=now - timedelta(days=1))
    ]


def _audit(store: Reader, subject: str, _now: datetime) -> Table:
    return [
        {
            "at (UTC)": _clock(row.at),
            "who": row.actor,
            "action": row.action,
            "subject": row.subject or "-",
            "why": row.detail or "-",
        }
        for row in reversed(store.audit(limit=MAX_LINES, without=TRIALS))
        if subject in ("", row.subject)
    ]


VIEWS: dict[str, Callable[[Reader, str, datetime], Table]] = {
    "components": _components,
    "checks": _checks,
    "incidents": _incidents,
    "timeline": _timeline,
    "attempts": _attempts,
    "gaps": _gaps,
    "audit": _audit,
}


def _since(at: datetime | None, now: datetime) -> str:
    return "never" if at is None else format_duration(max((now - at).total_seconds(), 0.0))


def _clock(at: datetime) -> str:
    return f"{at:%m-%d %H:%M:%S}"


class OperatorHands(ReadingHands):
    """The hands of a runbook: reading steps on the configured resources, actions through the
    daemon.
    """

    def __init__(self, configuration: Configuration, folder: Path, store: Store) -> None:
        super().__init__(configuration, folder, store, self._ask)
        self._orders = store

    async def _ask(self, name: str) -> Finding:
        return (await run_check(self.configuration, self._orders, name))[1]

    async def permit(self, step: BookStep) -> None:
        """The last word before a change: not while halted; and the audit log knows it before it
        happens.
        """
        lifts = isinstance(step.run, Action) and step.run.name in {"halt", "resume"}
        if is_halted(self.folder) and not lifts:
            raise ActionRefused("halted: nothing is changed (`sentinel resume` when it is over)")
        self._orders.add_audit(utcnow(), actor(), "runbook step", step.name, redact(str(step.run)))

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        """One of sentinel's own actions, guarded and journaled; one line about its outcome."""
        reason = args.get("reason", "")
        if name == "halt":
            return halt(self.folder, reason)
        if name == "resume":
            return resume(self.folder, reason)
        answer = await command_component(
            self._orders, name, args.get("component", ""), reason, by="runbook"
        )
        if not answer.is_done:
            raise ActionRefused(answer.line)
        return answer.text
