"""Does one act: asks a check, a server, sentinel's own memory, a program; every ending becomes a
value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sentinel.adapters.process.program import MAX_OUTPUT, find_program, run_program
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.core.quantity import format_duration
from sentinel.errors import SentinelError, UsageError
from sentinel.runbook.book import Act, Action, Argv, BookStep, LookAt, RedisCommand, RunCheck, Sql
from sentinel.runbook.safety import is_paired, refuse_redis, refuse_sql
from sentinel.runbook.transcript import show_evidence, show_reply, show_rows

VERIFY_EVERY = 1.0


class Hands(Protocol):
    """What a runbook may do to the world; the app gives real ones.

    Every method may raise SentinelError; UsageError means that this platform has no such thing.
    """

    async def run_check(self, name: str) -> Finding:
        """Run a configured check once."""
        ...

    async def sql(self, resource: str, text: str) -> Sequence[Mapping[str, Any]]:
        """Run one statement in a READ ONLY transaction that is rolled back; its rows."""
        ...

    async def redis(self, resource: str, argv: Sequence[str]) -> Any:
        """Send one reading command; the reply as sent."""
        ...

    async def look(self, view: str, subject: str) -> str:
        """What sentinel itself remembers, as text."""
        ...

    async def permit(self, step: BookStep) -> None:
        """Right before a step that changes something: raises ActionRefused, or writes the audit
        log.
        """
        ...

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        """Ask for one of sentinel's own actions, guarded and journaled; its outcome in one line."""
        ...

    def now(self) -> datetime:
        """Aware UTC now."""
        ...


@dataclass(frozen=True, slots=True)
class ActEnding:
    """What an act gave: how it ended, whether it holds as a condition, one line, and all of its
    output.
    """

    outcome: str
    holds: bool
    text: str
    output: str = ""


def describe_condition(act: Act) -> str:
    """`check bus-server is up`; for other acts, that they succeed."""
    if isinstance(act, RunCheck):
        return f"{act} is {' or '.join(act.statuses)}"
    return f"{act} exits with 0" if isinstance(act, Argv) else f"{act} gives a true value"


async def await_condition(act: Act, hands: Hands, seconds: float) -> ActEnding:
    """Try a condition until it holds or the time is over; the last answer."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        left = deadline - asyncio.get_running_loop().time()
        done = await do(act, hands, max(left, 0.05))
        left = deadline - asyncio.get_running_loop().time()
        if done.holds or left <= 0:
            return done
        await asyncio.sleep(min(VERIFY_EVERY, seconds / 10, left))


async def do(act: Act, hands: Hands, seconds: float) -> ActEnding:
    """Do it, within `seconds`; what this platform has not is skipped, not failed."""
    if isinstance(act, Argv):
        return await _do_program(act, seconds)
    try:
        async with asyncio.timeout(seconds):
            return await _do_builtin(act, hands)
    except TimeoutError:
        return ActEnding("failed", False, f"no answer within {format_duration(seconds)}")
    except UsageError as error:
        return ActEnding("failed" if isinstance(act, Action) else "skipped", False, _explain(error))
    except SentinelError as error:
        return ActEnding("failed", False, _explain(error))


def _explain(error: SentinelError) -> str:
    return f"{error.message}{f' ({error.guidance})' if error.guidance else ''}"


async def _do_builtin(
    act: RunCheck | Sql | RedisCommand | LookAt | Action, hands: Hands
) -> ActEnding:
    if isinstance(act, RunCheck):
        finding = await hands.run_check(act.check)
        text = f"{finding.status.value}: {finding.detail}"
        holds = finding.status.value in act.statuses
        evidence = {} if finding.status is Status.UP else finding.evidence
        return ActEnding("done", holds, text, show_evidence(finding.guidance, evidence))
    if isinstance(act, Action):
        return ActEnding("done", False, await hands.action(act.name, act.args))
    if isinstance(act, LookAt):
        seen = await hands.look(act.view, act.subject)
        count = len(seen.splitlines())
        return ActEnding(
            "done",
            bool(seen),
            f"{count} line{'s' * (count != 1)}" if seen else "nothing",
            _limit(seen),
        )
    return await _ask_server(act, hands)


async def _ask_server(act: Sql | RedisCommand, hands: Hands) -> ActEnding:
    refusal = refuse_sql(act.text) if isinstance(act, Sql) else refuse_redis(act.argv)
    if refusal:
        return ActEnding("failed", False, refusal)
    if isinstance(act, Sql):
        rows = await hands.sql(act.resource, act.text)
        first = next(iter(rows[0].values()), None) if rows else None
        return ActEnding(
            "done", bool(first), f"{len(rows)} row{'s' * (len(rows) != 1)}", _limit(show_rows(rows))
        )
    reply = await hands.redis(act.resource, act.argv)
    return ActEnding(
        "done",
        reply not in (None, b"", [], 0),
        "answered",
        _limit(show_reply(reply, paired=is_paired(act.argv))),
    )


async def _do_program(act: Argv, seconds: float) -> ActEnding:
    path = find_program(act.argv[0])
    if path is None:
        return ActEnding("skipped", False, f"no program {act.argv[0]!r} in the system's folders")
    try:
        ended = await run_program(path, act.argv[1:], seconds)
    except OSError as error:
        return ActEnding("failed", False, f"{path} can't be started: {error.strerror}")
    output = ended.output + (f"\n[cut at {MAX_OUTPUT // 1024} KiB]" if ended.cut else "")
    if ended.code is None:
        return ActEnding(
            "failed", False, f"ended at its deadline of {format_duration(seconds)}", output
        )
    return ActEnding(
        "failed" if ended.code else "done", ended.code == 0, f"exit {ended.code}", output
    )


def _limit(text: str) -> str:
    return (
        text
        if len(text) <= MAX_OUTPUT
        else f"{text[:MAX_OUTPUT]}\n[cut at {MAX_OUTPUT // 1024} KiB]"
    )
