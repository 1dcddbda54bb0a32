"""What operators do: orders to the daemon, the kill switch, the audit log; and the hands of a
runbook.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentinel.adapters.process.handle import read_start_id
from sentinel.app.once import run_once
from sentinel.app.opening import open_store
from sentinel.app.presence import is_halted, is_running
from sentinel.app.runbooks.places import known_faults
from sentinel.clock import read_moment_now, utcnow
from sentinel.config import Configuration
from sentinel.core.fault import StandingFault, Status, describe_subject
from sentinel.core.fault.loss import find_acceptable
from sentinel.core.model import Finding
from sentinel.core.moment import write_moment
from sentinel.core.order import Answer, AnswerWord, Order, OrderKind
from sentinel.core.quantity import format_names
from sentinel.engine.conductor import PROGRESS
from sentinel.engine.requests import describe_budget
from sentinel.errors import NoDaemon, StateError, StateUnwritable, UnknownName, UsageError
from sentinel.store import HALT_FILE, CheckView, Store
from sentinel.store.folder import prepare_folder
from sentinel.strict.file import open_at_once

PATIENCE = 60.0
RUNBOOK_PATIENCE = 3600.0
"""Longer than the deadline of any step: that one counts."""
MOVE_PATIENCE = 3600.0
WITHOUT_A_FILE = "kill -USR1 the daemon: that halts it without a file"
MEANT_NOW = frozenset({OrderKind.RESTART, OrderKind.MOVE, OrderKind.RELOAD, OrderKind.RESET})


def actor() -> str:
    """Who gives the order, for the audit log."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


async def give_order(
    store: Store,
    kind: str,
    subject: str,
    payload: Mapping[str, Any],
    patience: float = PATIENCE,
    key: str = "",
) -> Answer:
    """Put an order and wait for its answer. Raises NoDaemon when none comes in time; the order is
    kept.

    A restart, a move or a reload is begun within a minute or not at all.
    """
    now, running = read_moment_now(), is_running(store)
    key = key or f"{kind}/{subject}/{now.at.isoformat()}"
    if kind in MEANT_NOW:
        payload = {**payload, "given": write_moment(now)}
    store.add_order(Order(kind, key, subject, payload), now.at)
    try:
        async with asyncio.timeout(patience if running else 0):
            while (answer := store.order_outcome(key)) is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        if running:
            text = f"no outcome within {patience:g} s"
            raise NoDaemon(
                text, "the daemon may still be at it: `sentinel status` shows what became of it"
            ) from error
        later = (
            "then give the order again"
            if kind in MEANT_NOW
            else "it carries out the order, which is kept"
        )
        raise NoDaemon(
            "no daemon runs that could carry it out", f"start one with `sentinel run`; {later}"
        ) from error
    return answer


async def follow_order(
    store: Store, by: str, action: str, subject: str, ordered: Awaitable[Answer]
) -> Answer:
    """The answer to an order whose row stands in the audit log. What was not done gets a row that
    says so, and why: the log must not read as if it had been.
    """
    try:
        answer = await ordered
    except NoDaemon as error:
        _audit_outcome(store, by, f"{action} unanswered", subject, error.message)
        raise
    if not answer.is_done:
        outcome = AnswerWord.REFUSED if answer.word is AnswerWord.UNKNOWN else answer.word
        _audit_outcome(store, by, f"{action} {outcome}", subject, answer.text)
    return answer


def _audit_outcome(store: Store, by: str, action: str, subject: str, why: str) -> None:
    with suppress(StateUnwritable):  # the answer itself must reach whoever asked
        store.add_audit(utcnow(), by, action, subject, why)


def halt(folder: Path, reason: str, by: str = "") -> str:
    """The kill switch: works without a daemon, and with one that hangs. In force is what counts:
    a full disk may refuse the reason, or its row in the audit log, and the file is there.
    """
    who = by or actor()
    try:
        prepare_folder(folder)
    except StateError as error:
        if not is_halted(folder):
            remedy = f"{error.guidance}; meanwhile {WITHOUT_A_FILE}"
            raise type(error)(error.message, remedy) from error
    try:
        with open(folder / HALT_FILE, "w", opener=open_at_once) as file:
            file.write(f"{utcnow().isoformat()} {who}: {reason}\n")
    except OSError as error:
        if not is_halted(folder):
            raise _unusable(folder, "written", error, WITHOUT_A_FILE) from error
    done = (
        f"halted: no automatic action while {folder / HALT_FILE} exists; `sentinel resume` ends it"
    )
    try:
        open_store(folder).add_audit(utcnow(), who, "halt", "", reason)
    except StateError as error:
        return f"{done}; it is not in the audit log: {error.message}"
    return done


def resume(folder: Path, reason: str, by: str = "") -> str:
    """Allow automatic actions again. A disk that takes nothing refuses the row of the audit log, and
    an order; the file is gone, and nothing is done before the disk takes something.
    """
    was, now, untold = is_halted(folder), utcnow(), ""
    try:
        store = open_store(folder)
        store.add_audit(now, by or actor(), "resume", "", reason)
    except StateUnwritable as error:
        untold = error.message
    try:
        (folder / HALT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(
            folder, "removed", error, "remove it by hand: actions stay halted while it is there"
        ) from error
    done = "resumed" if was else "was not halted"
    if untold:
        return f"{done}; it is not in the audit log, and nothing is done before it can be: {untold}"
    if is_running(store):
        store.add_order(Order(OrderKind.RESUME, f"resume/{now.isoformat()}", "automation", {}), now)
    return done


def _unusable(folder: Path, done: str, error: OSError, guidance: str) -> StateError:
    return StateError(f"{folder / HALT_FILE} can't be {done}: {error.strerror or error}", guidance)


async def command_component(
    store: Store, action: str, component: str, reason: str, by: str = "operator"
) -> Answer:
    """`reset`, `restart` or `reload` a component through the daemon, written to the audit log before
    the effect.

    A restart `by` a runbook is counted and capped like an automatic one, and its step has its own
    deadline.
    """
    _refuse_unknown(store, component)
    store.add_audit(utcnow(), actor(), action, component, reason)
    patience = RUNBOOK_PATIENCE if by == "runbook" else PATIENCE
    order = give_order(store, action, component, {"reason": reason, "by": by}, patience)
    return await follow_order(store, actor(), action, component, order)


def plan_reset(store: Store, component: str) -> str:
    """The first step of a reset: what it would end, as `apply_reset` wants it back."""
    _refuse_unknown(store, component)
    incident = next(
        (each for each in store.incidents(open_only=True) if each.component == component), None
    )
    return describe_budget(
        incident.id if incident else "",
        len(store.attempts(incident=incident.id)) if incident else 0,
    )


async def apply_reset(store: Store, component: str, reason: str, planned: str) -> Answer:
    """The second step, within a minute; nothing is done when there was another attempt or incident
    meanwhile.
    """
    store.add_audit(utcnow(), actor(), "reset", component, f"{reason} ({planned})")
    payload = {"reason": reason, "expects": planned}
    order = give_order(store, OrderKind.RESET, component, payload)
    return await follow_order(store, actor(), "reset", component, order)


def find_lost(
    store: Store, check: str, fault: str, subject: Mapping[str, str]
) -> list[StandingFault]:
    """What was lost and nobody has accepted, as a person sees it who is to accept it. Raises
    UsageError when there is nothing of the kind.
    """
    known = [view.name for view in store.checks()]
    if check not in known:
        raise UsageError(f"there is no check {check!r} with a result", f"known: {', '.join(known)}")
    _refuse_no_loss(store, check, fault)
    standing = store.faults(check)
    found = find_acceptable(standing, fault, subject)
    if not found:
        lost = [each for each in standing if each.fault.loss is not None and not each.accepted]
        named = sorted(
            {f"{each.fault.key} ({describe_subject(each.fault.subject)})" for each in lost}
        )
        raise UsageError(
            f"{check} has no such loss that stands open",
            f"open: {format_names(named)}"
            if named
            else f"it has none; what can be repaired is borne by `accept:` of check {check}",
        )
    return found


def _refuse_no_loss(store: Store, check: str, fault: str) -> None:
    """Raises UsageError for what is no fault of the check's kind, or none that is ever accepted."""
    kind = next(view.kind for view in store.checks() if view.name == check)
    declared = known_faults().get(kind, {})
    lasting = [each.key for each in declared.values() if each.lasting]
    known = f"losses that are accepted: {format_names(lasting)}" if lasting else f"{kind} has none"
    if fault not in declared:
        raise UsageError(f"{kind} has no fault {fault!r}", known)
    if fault not in lasting:
        raise UsageError(
            f"{fault} is no loss: it ends when it is repaired",
            f"to bear it, write it under `accept:` of check {check}; {known}",
        )


async def accept_lost(
    store: Store,
    check: str,
    fault: str,
    subject: Mapping[str, str],
    reason: str,
    by: str,
    expects: str,
) -> Answer:
    """Have the daemon accept what was lost; without one it does so when it starts. Nothing is done
    when there is more of it than was expected.
    """
    whom = " ".join([check, fault, *(f"{label}={name}" for label, name in subject.items())])
    store.add_audit(utcnow(), by, OrderKind.ACCEPT, whom, f"{reason} ({expects})")
    payload = {
        "fault": fault,
        "subject": dict(subject),
        "reason": reason,
        "by": by,
        "expects": expects,
    }
    order = give_order(store, OrderKind.ACCEPT, check, payload)
    return await follow_order(store, by, OrderKind.ACCEPT, whom, order)


def _refuse_unknown(store: Store, component: str) -> None:
    known = [view.name for view in store.components()]
    if component not in known:
        raise UnknownName(f"there is no component {component!r}", f"known: {', '.join(known)}")


async def move_platform(
    store: Store,
    action: str,
    component: str,
    reason: str,
    show: Callable[[Sequence[Mapping[str, str]]], None],
    by: str = "",
) -> Answer:
    """`start`, `stop` or `restart` one component or, with "", all, through the daemon; `show` gets
    the steps so far.
    """
    if component:
        _refuse_unknown(store, component)
    who = by or actor()
    store.add_audit(utcnow(), who, action, component or "everything", reason)
    key = f"move/{component}/{utcnow().isoformat()}"
    payload = {"action": action, "reason": reason}
    given = give_order(store, OrderKind.MOVE, component, payload, MOVE_PATIENCE, key)
    whom = component or "everything"
    order = asyncio.create_task(follow_order(store, who, action, whom, given))
    while not order.done():
        await asyncio.wait([order], timeout=0.2)
        progress = json.loads(store.meta(PROGRESS) or "{}")
        if progress.get("order") == key:
            show(progress["steps"])
    return order.result()


async def close_breaker(store: Store, reason: str, by: str = "") -> Answer:
    """Let automation act again."""
    who = by or actor()
    store.add_audit(utcnow(), who, "close breaker", "", reason)
    order = give_order(store, OrderKind.BREAKER, "automation", {"reason": reason})
    return await follow_order(store, who, "close breaker", "", order)


async def run_check(
    configuration: Configuration | None, store: Store | None, name: str
) -> tuple[CheckView | None, Finding]:
    """Run a check now: in the daemon, with its memory (then there is a view); without a daemon,
    here.
    """
    if store is not None and is_running(store):
        answer = await give_order(store, OrderKind.CHECK, name, {})
        view = next((check for check in store.checks() if check.name == name), None)
        if not answer.is_done or view is None:
            raise UsageError(
                answer.line, f"known: {', '.join(check.name for check in store.checks())}"
            )
        return view, Finding(
            Status(view.soft), view.detail, evidence=view.evidence, guidance=view.guidance
        )
    if configuration is None:
        raise NoDaemon("no daemon runs that could carry it out", "start one with `sentinel run`")
    result = await run_once(configuration, name, lambda component: _pid(store, component))
    finding = result.finding
    guidance = next((fault.guidance for fault in finding.faults), finding.guidance)
    return None, replace(finding, guidance=guidance)


def _pid(store: Store | None, component: str) -> int | None:
    """The process that a daemon of this state folder supervises, when it still is the same one."""
    rows = store.processes() if store is not None else []
    row = next((row for row in rows if row.component == component), None)
    return row.pid if row is not None and read_start_id(row.pid) == row.start_id else None
