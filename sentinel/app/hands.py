"""What operators do: orders to the daemon, the kill switch, the audit log; and the hands of a runbook."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sentinel.adapters.process import read_start_id
from sentinel.app.daemon import HALT_FILE
from sentinel.app.once import run_once
from sentinel.app.wiring import make_client, utcnow
from sentinel.config import Configuration
from sentinel.core.model import Finding, Order, Status
from sentinel.errors import ActionRefused, StateError, UsageError
from sentinel.store import CheckView
from sentinel.store.sqlite import SqliteStore, prepare_folder

PATIENCE = 20.0
FRESH = 10.0


def actor() -> str:
    """Who gives the order, for the audit log."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def is_running(store: SqliteStore) -> bool:
    """Whether a daemon wrote its sign of life lately, and was not stopped since."""
    beat = store.meta("beat")
    fresh = beat is not None and (utcnow() - datetime.fromisoformat(beat)).total_seconds() < FRESH
    return fresh and not store.meta("stopped")


async def give_order(store: SqliteStore, kind: str, subject: str, payload: Mapping[str, Any]) -> str:
    """Put an order and wait for its outcome. Raises StateError when no daemon takes it; the order is kept."""
    now = utcnow()
    key = f"{kind}/{subject}/{now.isoformat()}"
    store.add_order(Order(kind, key, subject, payload), now)
    try:
        async with asyncio.timeout(PATIENCE if is_running(store) else 0):
            while (outcome := store.order_outcome(key)) is None:  # noqa: ASYNC110 - the daemon is another process
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise StateError(
            "no daemon took the order", "it is kept: the next daemon on this folder carries it out"
        ) from error
    return outcome


def halt(folder: Path, reason: str) -> str:
    """The kill switch: works without a daemon, and with one that hangs."""
    prepare_folder(folder)
    (folder / HALT_FILE).write_text(f"{utcnow().isoformat()} {actor()}: {reason}\n")
    SqliteStore(folder).add_audit(utcnow(), actor(), "halt", "", reason)
    return f"halted: no automatic action while {folder / HALT_FILE} exists"


def resume(folder: Path, store: SqliteStore, reason: str) -> str:
    """Allow automatic actions again."""
    was = (folder / HALT_FILE).exists()
    store.add_audit(utcnow(), actor(), "resume", "", reason)
    (folder / HALT_FILE).unlink(missing_ok=True)
    return "resumed" if was else "was not halted"


async def command_component(store: SqliteStore, action: str, component: str, reason: str) -> str:
    """`reset` or `restart` a component through the daemon, written to the audit log before the effect."""
    known = [view.name for view in store.components()]
    if component not in known:
        raise UsageError(f"there is no component {component!r}", f"known: {', '.join(known)}")
    store.add_audit(utcnow(), actor(), action, component, reason)
    return await give_order(store, action, component, {"reason": reason})


async def run_check(
    configuration: Configuration, store: SqliteStore | None, name: str
) -> tuple[CheckView | None, Finding]:
    """Run a check now: in the daemon, with its memory (then there is a view); without a daemon, here."""
    if store is not None and is_running(store):
        outcome = await give_order(store, "check", name, {})
        view = next((check for check in store.checks() if check.name == name), None)
        if outcome != "done" or view is None:
            raise UsageError(outcome, f"known: {', '.join(check.name for check in store.checks())}")
        return view, Finding(Status(view.soft), view.detail, evidence=view.evidence, guidance=view.guidance)
    result = await run_once(configuration, name, lambda component: _pid(store, component))
    return None, result.finding


def _pid(store: SqliteStore | None, component: str) -> int | None:
    """The process that a daemon of this state folder supervises, when it still is the same one."""
    rows = store.processes() if store is not None else []
    row = next((row for row in rows if row.component == component), None)
    return row.pid if row is not None and read_start_id(row.pid) == row.start_id else None


@dataclass(slots=True)
class OperatorHands:
    """The hands of a runbook: reading steps on the configured resources, actions through the daemon."""

    configuration: Configuration
    folder: Path
    store: SqliteStore

    async def run_check(self, name: str) -> Finding:
        """Run a configured check once."""
        return (await run_check(self.configuration, self.store, name))[1]

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
            known = [each.name for each in self.configuration.resources.values() if each.type == kind]
            raise UsageError(f"there is no {kind} resource {name!r}", f"known: {', '.join(known) or 'none'}")
        return make_client(resource)

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        """One of sentinel's own actions, guarded and journaled; one line about its outcome."""
        reason = args.get("reason", "")
        if name == "halt":
            return halt(self.folder, reason)
        if name == "resume":
            return resume(self.folder, self.store, reason)
        outcome = await command_component(self.store, name, args.get("component", ""), reason)
        if outcome.startswith(("refused", "failed")):
            raise ActionRefused(outcome)
        return outcome

    def now(self) -> datetime:
        """Aware UTC now."""
        return utcnow()
