"""Runs a plan, step by step, and writes down what happened. Dry by default: it then shows the plan and runs nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sentinel.core.model import Finding
from sentinel.core.quantity import format_duration
from sentinel.errors import SentinelError
from sentinel.runbook.book import Act, Action, Argv, RedisCommand, Runbook, RunCheck, Sql, Step
from sentinel.runbook.plan import NO_NAMES, make_plan
from sentinel.runbook.program import MAX_OUTPUT, find_program, run_program
from sentinel.runbook.safety import refuse_redis, refuse_sql

VERIFY_EVERY = 1.0


class Hands(Protocol):
    """What a runbook may do to the world; the app gives real ones. Every method may raise SentinelError."""

    async def run_check(self, name: str) -> Finding:
        """Run a configured check once."""
        ...

    async def sql(self, resource: str, text: str) -> Sequence[Mapping[str, Any]]:
        """Run one statement in a READ ONLY transaction that is rolled back; its rows."""
        ...

    async def redis(self, resource: str, argv: Sequence[str]) -> Any:
        """Send one reading command; the reply as sent."""
        ...

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        """Ask for one of sentinel's own actions, guarded and journaled; one line about its outcome."""
        ...

    def now(self) -> datetime:
        """Aware UTC now."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one step: `planned`, `done`, `failed`, `stopped`, `declined`, or `not reached`."""

    name: str
    act: str
    changes: bool
    outcome: str
    detail: str = ""
    output: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """A run of a runbook. `outcome`: `dry run`, `done`, `done with failures`, `stopped`, `failed` or `declined`."""

    book: str
    title: str
    parameters: Mapping[str, str]
    dry_run: bool
    began: datetime
    ended: datetime
    outcome: str
    records: tuple[Record, ...]

    @property
    def text(self) -> str:
        """The transcript for a terminal or a ticket."""
        return render_transcript(self)


def plan_runbook(
    book: Runbook, parameters: Mapping[str, str], now: datetime, known: Mapping[str, Collection[str]] = NO_NAMES
) -> Transcript:
    """The dry run: what would be done, and nothing is. Raises UsageError for wrong parameters."""
    plan = make_plan(book, parameters, known)
    records = tuple(_plan_record(step) for step in plan.steps)
    return Transcript(book.name, book.title, plan.parameters, True, now, now, "dry run", records)


async def run_runbook(
    book: Runbook,
    parameters: Mapping[str, str],
    hands: Hands,
    *,
    dry_run: bool = True,
    confirm: Callable[[Step], bool] = lambda _step: False,
    known: Mapping[str, Collection[str]] = NO_NAMES,
) -> Transcript:
    """Run a runbook with these parameters.

    A dry run (the default) only shows the plan. Otherwise every step that changes something is
    confirmed first, a false precondition stops the run, and so does a changing step that fails or
    is not verified; a reading step that fails is written down and the run goes on. Raises UsageError
    for wrong parameters, before anything runs.
    """
    began = hands.now()
    if dry_run:
        return plan_runbook(book, parameters, began, known)
    plan = make_plan(book, parameters, known)
    records: list[Record] = []
    outcome = ""
    for step in plan.steps:
        if outcome:
            records.append(Record(step.name, str(step.run), step.changes, "not reached"))
        else:
            record = await _run_step(step, hands, confirm)
            records.append(record)
            outcome = _end_of_run(record)
    failed = any(record.outcome == "failed" for record in records)
    outcome = outcome or ("done with failures" if failed else "done")
    return Transcript(book.name, book.title, plan.parameters, dry_run, began, hands.now(), outcome, tuple(records))


def _end_of_run(record: Record) -> str:
    """Why the run ends with this record, or ""."""
    if record.outcome in {"stopped", "declined"}:
        return record.outcome
    return "failed" if record.outcome == "failed" and record.changes else ""


def _plan_record(step: Step) -> Record:
    parts = [f"at most {format_duration(step.timeout)}"]
    if step.precondition is not None:
        parts.append(f"only if {describe_condition(step.precondition)}")
    if step.verify is not None:
        parts.append(f"then until {describe_condition(step.verify)}")
    return Record(step.name, str(step.run), step.changes, "planned", "; ".join(parts))


def describe_condition(act: Act) -> str:
    """`check bus-server is up`; for other acts, that they succeed."""
    if isinstance(act, RunCheck):
        return f"{act} is {' or '.join(act.statuses)}"
    return f"{act} exits with 0" if isinstance(act, Argv) else f"{act} gives a true value"


async def _run_step(step: Step, hands: Hands, confirm: Callable[[Step], bool]) -> Record:
    began = hands.now()

    def record(outcome: str, detail: str = "", output: str = "") -> Record:
        seconds = (hands.now() - began).total_seconds()
        return Record(step.name, str(step.run), step.changes, outcome, redact(detail), redact(output), seconds)

    if step.precondition is not None:
        before = await _do(step.precondition, hands, step.timeout)
        if not before.holds:
            return record("stopped", f"precondition false: {describe_condition(step.precondition)}: {before.text}")
    if step.changes and not confirm(step):
        return record("declined", "not confirmed: nothing was changed by this step")
    done = await _do(step.run, hands, step.timeout)
    if done.failed:
        return record("failed", done.text, done.output)
    if step.verify is not None:
        after = await _await_condition(step.verify, hands, step.timeout)
        if not after.holds:
            detail = f"not verified in {format_duration(step.timeout)}: {describe_condition(step.verify)}: {after.text}"
            return record("failed", detail, done.output)
        return record("done", f"{done.text}; verified: {after.text}", done.output)
    return record("done", done.text, done.output)


@dataclass(frozen=True, slots=True)
class _Done:
    """What an act gave: whether it failed, whether it holds as a condition, one line, and all of its output."""

    failed: bool
    holds: bool
    text: str
    output: str = ""


async def _await_condition(act: Act, hands: Hands, seconds: float) -> _Done:
    """Try a condition until it holds or the time is over; the last answer."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        left = deadline - asyncio.get_running_loop().time()
        done = await _do(act, hands, max(left, 0.05))
        left = deadline - asyncio.get_running_loop().time()
        if done.holds or left <= 0:
            return done
        await asyncio.sleep(min(VERIFY_EVERY, seconds / 10, left))


async def _do(act: Act, hands: Hands, seconds: float) -> _Done:
    if isinstance(act, Argv):
        return await _do_program(act, seconds)
    try:
        async with asyncio.timeout(seconds):
            return await _do_builtin(act, hands)
    except TimeoutError:
        return _Done(True, False, f"no answer within {format_duration(seconds)}")
    except SentinelError as error:
        return _Done(True, False, f"{error.message}{f' ({error.guidance})' if error.guidance else ''}")


async def _do_builtin(act: RunCheck | Sql | RedisCommand | Action, hands: Hands) -> _Done:
    if isinstance(act, RunCheck):
        finding = await hands.run_check(act.check)
        text = f"{finding.status.value}: {finding.detail}"
        return _Done(False, finding.status.value in act.statuses, text, finding.guidance)
    if isinstance(act, Action):
        return _Done(False, False, await hands.action(act.name, act.args))
    refusal = refuse_sql(act.text) if isinstance(act, Sql) else refuse_redis(act.argv)
    if refusal:
        return _Done(True, False, refusal)
    if isinstance(act, Sql):
        rows = await hands.sql(act.resource, act.text)
        first = next(iter(rows[0].values()), None) if rows else None
        return _Done(False, bool(first), f"{len(rows)} row{'s' * (len(rows) != 1)}", _limit(show_rows(rows)))
    reply = await hands.redis(act.resource, act.argv)
    return _Done(False, reply not in (None, b"", [], 0), "answered", _limit(show_reply(reply)))


async def _do_program(act: Argv, seconds: float) -> _Done:
    path = find_program(act.argv[0])
    if path is None:
        return _Done(True, False, f"no program {act.argv[0]!r} in the system's folders")
    try:
        ended = await run_program(path, act.argv[1:], seconds)
    except OSError as error:
        return _Done(True, False, f"{path} can't be started: {error.strerror}")
    output = ended.output + (f"\n[cut at {MAX_OUTPUT // 1024} KiB]" if ended.cut else "")
    if ended.code is None:
        return _Done(True, False, f"ended at its deadline of {format_duration(seconds)}", output)
    return _Done(ended.code != 0, ended.code == 0, f"exit {ended.code}", output)


# -- text --------------------------------------------------------------------------------------------

_SECRETS = (
    (re.compile(r"(://[^/\s:@]*):[^@\s/]+@"), r"\1:***@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\b(password|passwd|secret|token|requirepass|masterauth)(\s*[=:]\s*)\S+", re.IGNORECASE), r"\1\2***"),
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def redact(text: str) -> str:
    """The text without passwords in addresses, bearer tokens, `password=…`, and without control characters."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _limit(text: str) -> str:
    return text if len(text) <= MAX_OUTPUT else f"{text[:MAX_OUTPUT]}\n[cut at {MAX_OUTPUT // 1024} KiB]"


def show_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as columns with a heading; of nothing, nothing."""
    if not rows:
        return ""
    names = list(rows[0])
    table = [names, *([" ".join(str(row[name]).split()) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in table) for n in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
    )


def show_reply(reply: Any, depth: int = 0) -> str:
    """A Redis reply for people: one line per item, nested ones indented."""
    if isinstance(reply, list):
        return "\n".join(show_reply(item, depth + 1) for item in reply)
    text = reply.decode(errors="backslashreplace") if isinstance(reply, bytes) else str(reply)
    indent = "  " * max(depth - 1, 0)
    return "\n".join(f"{indent}{line}" for line in text.splitlines())


def render_transcript(transcript: Transcript) -> str:
    """The transcript as plain text."""
    given = ", ".join(f"{name}={value}" for name, value in transcript.parameters.items())
    lines = [
        f"{transcript.book}: {transcript.title}{' (dry run: nothing was run)' if transcript.dry_run else ''}",
        f"began {transcript.began:%Y-%m-%d %H:%M:%S} UTC{f', with {given}' if given else ''}",
    ]
    for number, record in enumerate(transcript.records, 1):
        mark = " [changes]" if record.changes else ""
        took = "" if record.seconds is None else f" in {format_duration(record.seconds)}"
        lines += ["", f"{number}. {record.name}{mark}: {record.outcome}{took}", f"   {redact(record.act)}"]
        lines += [f"   {record.detail}"] if record.detail else []
        lines += [f"   | {line}" for line in record.output.splitlines()]
    return "\n".join([*lines, "", f"outcome: {transcript.outcome}", ""])
