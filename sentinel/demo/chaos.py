"""Chaos as data: scenarios.yaml says what happens when, and what a correct monitor must report.

Everything that is done is journaled in a ledger of its own (component `chaos`): the exact entries
lost or dropped, and begin and end of each scenario. Whatever a scenario changes it can undo, and
does so when its duration is over, when the run ends, and when the run is cancelled: SIGCONT,
control files, policies, servers. Run it in the main thread: a server dies with the thread that
launched it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any, TypeVar

import psycopg
import redis
import structlog
import yaml

from sentinel.core.quantity import parse_duration
from sentinel.demo.bus import Publisher, envelope, group_of, stream_of
from sentinel.demo.component import connect_redis, write_control
from sentinel.demo.ledger import Ledger
from sentinel.demo.platform import TENANT_A, Platform
from sentinel.demo.servers import Server
from sentinel.errors import UsageError

log = structlog.get_logger()

_POLL_SECONDS = 0.05
_PID_SECONDS = 10.0
_FREEZE_SECONDS = 0.6
_MOST_ENTRIES = 100_000
_T = TypeVar("_T")
Pids = Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a correct monitor must report: `status` of `component` by a check of `kind`, `within`
    seconds.
    """

    component: str
    kind: str
    status: str
    restart: bool
    within: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault: from `start` seconds after the run began, for `duration` seconds (0: it happens
    once).
    """

    name: str
    description: str
    start: float
    action: str
    expect: tuple[Expectation, ...]
    duration: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """What an action works with: the platform, the pids, the journal, and a place for its undoing."""

    def __init__(
        self, platform: Platform, pids: Pids, ledger: Ledger, scenario: Scenario, undo: ExitStack
    ) -> None:
        self.platform, self.scenario = platform, scenario
        self._pids, self._ledger, self._undo = pids, ledger, undo

    def tell(self, phase: str, **facts: Any) -> None:
        """Journal what happens."""
        self._ledger.write("chaos", scenario=self.scenario.name, phase=phase, **facts)

    def journal(self, event: str, stream: str, entries: Sequence[tuple[str, str]]) -> None:
        """Journal the end of entries, (stream id, publication) each."""
        self._ledger.write(event, stream=stream, entries=list(entries))

    def undo(self, act: Callable[..., object], *arguments: object) -> None:
        """Have `act` called when the scenario ends, however it ends; last come, first called."""
        self._undo.callback(act, *arguments)

    def publisher(self) -> Publisher:
        """Publish with this journal as ledger."""
        client = connect_redis(self.platform.valkey.url, "chaos")
        self.undo(client.close)
        return Publisher(client, self._ledger)

    def control(self, name: str, **content: Any) -> None:
        """Switch a control file on for the duration."""
        path = write_control(self.platform.folder, name, content)
        self.undo(path.unlink, True)

    async def hold(self) -> None:
        """Let the fault last."""
        await asyncio.sleep(self.scenario.duration)

    async def pid(self, component: str) -> int:
        """The process of `component`, waited for while it is being restarted."""
        async with asyncio.timeout(_PID_SECONDS):
            while (pid := self._pids(component)) is None:  # noqa: ASYNC110 - pids are asked for, nobody tells
                await asyncio.sleep(_POLL_SECONDS)
        return pid


Action = Callable[..., Awaitable[None]]


class Chaos:
    """Runs scenarios by name against a platform whose processes `pids` knows (component → pid or
    None).
    """

    def __init__(self, platform: Platform, pids: Pids) -> None:
        self._platform, self._pids = platform, pids

    async def run(self, names: Sequence[str | Scenario], until: float | None = None) -> None:
        """Run them side by side, each by its own schedule; after `until` seconds end and undo what
        still lasts.

        Raises UsageError for an unknown name, before anything is done.
        """
        chosen = [find_scenario(name) if isinstance(name, str) else name for name in names]
        ledger = Ledger(self._platform.folder, "chaos")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(until), asyncio.TaskGroup() as group:
                    for scenario in chosen:
                        group.create_task(self._play(scenario, ledger))
        finally:
            ledger.close()

    async def _play(self, scenario: Scenario, ledger: Ledger) -> None:
        await asyncio.sleep(scenario.start)
        with ExitStack() as undo:
            stage = Stage(self._platform, self._pids, ledger, scenario, undo)
            stage.undo(stage.tell, "end")
            stage.tell("begin", params=dict(scenario.params))
            try:
                await ACTIONS[scenario.action](stage, **scenario.params)
            except TimeoutError:
                stage.tell(
                    "skip", reason="the component had no process, or the entries did not come"
                )
            except (redis.RedisError, psycopg.Error, LookupError) as error:
                # Another scenario took away what this one works on: the others go on, and so does
                # the run.
                stage.tell("failed", error=f"{type(error).__name__}: {error}")
                log.warning("chaos_failed", scenario=scenario.name, error=repr(error))


def load_scenarios() -> dict[str, Scenario]:
    """Every scenario of scenarios.yaml by name."""
    document = yaml.safe_load(files("sentinel.demo").joinpath("scenarios.yaml").read_text())
    return {name: _scenario(name, facts) for name, facts in document.items()}


def find_scenario(text: str) -> Scenario:
    """The scenario `NAME`, or `NAME:DURATION@START` with other times than its own; UsageError
    names those that exist.
    """
    known = load_scenarios()
    rest, later, start = text.partition("@")
    name, lasts, duration = rest.partition(":")
    if name not in known:
        raise UsageError(f"no chaos scenario {name!r}", f"choose from: {', '.join(sorted(known))}")
    found = known[name]
    if lasts and not found.duration:
        raise UsageError(
            f"chaos scenario {name}: it happens once, and lasts no {duration!r}",
            f"leave the duration away: {name}",
        )
    try:
        return replace(
            found,
            duration=parse_duration(duration) if lasts else found.duration,
            start=parse_duration(start) if later else found.start,
        )
    except ValueError as error:
        raise UsageError(f"chaos scenario {name}: {error}") from error


def _scenario(name: str, facts: dict[str, Any]) -> Scenario:
    expect = tuple(Expectation(**entry) for entry in facts["expect"])
    return Scenario(**{**facts, "name": name, "expect": expect})


async def _complete(function: Callable[..., _T], *arguments: Any) -> _T:
    """Run `function` in a thread; a cancellation waits for its end, so that undoing never overtakes
    doing.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await work
        raise


# --- processes ------------------------------------------------------------------------------------


async def kill(stage: Stage, component: str) -> None:
    """SIGKILL, once."""
    pid = await stage.pid(component)
    stage.tell("kill", pid=pid)
    _signal(pid, signal.SIGKILL)


async def crash_loop(stage: Stage, component: str) -> None:
    """Kill it, and let it end at once after each start, for the duration."""
    stage.control(f"die-{component}")
    await kill(stage, component)
    await stage.hold()


async def freeze(stage: Stage, component: str) -> None:
    """SIGSTOP, and SIGCONT after the duration."""
    pid = await stage.pid(component)
    stage.undo(_signal, pid, signal.SIGCONT)
    _signal(pid, signal.SIGSTOP)
    await stage.hold()


def _signal(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


async def slow_assigner(stage: Stage, delay_seconds: float | None) -> None:
    """Assign tasks only `delay_seconds` after their creation; None: not at all."""
    stage.control("slow-assigner", delay_seconds=delay_seconds)
    await stage.hold()


# --- messages -------------------------------------------------------------------------------------


async def poison(stage: Stage, agent: str, count: int) -> None:
    """Publish `count` messages that no handler can digest."""
    messages = [envelope("chat", "chaos", agent, {"poison": True}) for _ in range(count)]
    await _complete(stage.publisher().publish, stream_of(agent), messages)


async def lose_messages(stage: Stage, agent: str, count: int, settle_seconds: float) -> None:
    """Freeze the agent, let `count` entries wait, give monitors time to poll, and trim exactly
    these, unread.
    """
    pid = await stage.pid(agent)
    stage.undo(_signal, pid, signal.SIGCONT)
    _signal(pid, signal.SIGSTOP)
    await asyncio.sleep(
        _FREEZE_SECONDS
    )  # what the server already gave to the blocked reader is delivered
    messages = [envelope("chat", "chaos", agent, {"filler": n}) for n in range(count + 1)]
    await _complete(stage.publisher().publish, stream_of(agent), messages)
    await asyncio.sleep(settle_seconds)
    await _complete(trim_unread, stage, agent, count)
    await asyncio.sleep(settle_seconds)


def trim_unread(stage: Stage, agent: str, count: int) -> int:
    """Remove exactly the `count` oldest unread entries (and all read ones) with one XTRIM; journal
    them; how many.
    """
    stream, group = stream_of(agent), group_of(agent)
    with connect_redis(stage.platform.valkey.url, "chaos") as client:
        delivered = _delivered(client.xinfo_groups(stream), group)
        unread: Any = client.xrange(stream, f"({delivered}", "+", count=count + 1)
        first_kept = unread[count][0].decode()
        replies: Any = (
            client.pipeline()
            .xinfo_groups(stream)
            .xtrim(stream, minid=first_kept, approximate=False)
            .execute()
        )
    read_meanwhile = _order(_delivered(replies[0], group))
    lost = [_named(entry) for entry in unread[:count] if _order(entry[0].decode()) > read_meanwhile]
    stage.journal("lost", stream, lost)
    stage.tell("trimmed", stream=stream, lost=len(lost), removed=replies[1])
    return len(lost)


async def evict_stream(stage: Stage, agent: str) -> None:
    """UNLINK the stream of `agent`, group and all; journal what waited (lost) and what was pending
    (dropped).
    """
    await _complete(_evict, stage, stream_of(agent), group_of(agent))


def _evict(stage: Stage, stream: str, group: str) -> None:
    with connect_redis(stage.platform.valkey.url, "chaos") as client:
        pipeline = (
            client.pipeline()
            .xinfo_groups(stream)
            .xpending_range(stream, group, "-", "+", _MOST_ENTRIES)
        )
        groups, pending, entries, _ = pipeline.xrange(stream).unlink(stream).execute()
    delivered = _order(_delivered(groups, group))
    held = {entry["message_id"] for entry in pending}
    stage.journal(
        "lost",
        stream,
        [_named(entry) for entry in entries if _order(entry[0].decode()) > delivered],
    )
    stage.journal("dropped", stream, [_named(entry) for entry in entries if entry[0] in held])
    stage.tell("evicted", stream=stream, entries=len(entries))


def _delivered(groups: Any, name: str) -> str:
    """The last id that was delivered to group `name`."""
    return str(
        {group["name"].decode(): group["last-delivered-id"].decode() for group in groups}[name]
    )


def _order(name: str) -> tuple[int, int]:
    milliseconds, _, number = name.partition("-")
    return int(milliseconds), int(number)


def _named(entry: tuple[bytes, dict[bytes, bytes]]) -> tuple[str, str]:
    return entry[0].decode(), entry[1].get(b"publication", b"").decode()


# --- rows and servers -----------------------------------------------------------------------------


async def stuck_flow(stage: Stage, count: int, age_seconds: float) -> None:
    """Insert flows without tasks: nothing ever moves them. Cancelled in the end."""
    names = [str(uuid.uuid4()) for _ in range(count)]
    stage.undo(
        _execute, stage, "UPDATE flows SET status = 'cancelled' WHERE id = ANY(%s::uuid[])", names
    )
    await _complete(
        _execute,
        stage,
        "INSERT INTO flows (id, tenant_id, flow_type, created_at, updated_at, status_changed_at)"
        " SELECT unnest(%s::uuid[]), %s, 'delivery', t, t, t"
        " FROM (SELECT clock_timestamp() - %s * interval '1 s' AS t) AS born",
        names,
        TENANT_A,
        age_seconds,
    )
    stage.tell("stuck", flows=names)
    await stage.hold()


async def tenant_leak(stage: Stage) -> None:
    """Widen the policies with a second, always true one, and let the API believe the tenant header."""
    stage.control("trust-tenant-header")
    tables = ("tasks", "flows")
    for table in tables:
        stage.undo(_execute, stage, f"DROP POLICY IF EXISTS leak ON {table}")
        await _complete(
            _execute, stage, f"CREATE POLICY leak ON {table} FOR SELECT TO app_user USING (true)"
        )
    stage.tell("leaking", tables=[f"public.{table}" for table in tables])
    await stage.hold()


def _execute(stage: Stage, query: str, *parameters: object) -> None:
    """As superuser. A server that is away (another scenario) is journaled: there is nothing to undo
    it on.
    """
    try:
        with psycopg.connect(stage.platform.admin_dsn, connect_timeout=3) as connection:
            connection.execute(query.encode(), parameters or None)
    except psycopg.OperationalError as error:
        stage.tell("failed", query=query, error=str(error))


async def server_down(stage: Stage, server: str) -> None:
    """Shut `valkey` or `postgres` down for the duration, then start it on the same port."""
    process: Server = getattr(stage.platform, server)
    stage.undo(_ensure_running, process)
    await _complete(process.stop)
    stage.tell("down", server=server)
    await stage.hold()
    process.launch()
    await _complete(process.wait_ready)


def _ensure_running(server: Server) -> None:
    """After a cancellation: a stop in progress is waited for, a stopped server is started."""
    if not server.running:
        server.start()


ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (
        kill,
        crash_loop,
        freeze,
        slow_assigner,
        poison,
        lose_messages,
        evict_stream,
        stuck_flow,
        tenant_leak,
        server_down,
    )
}
