"""The HTTP API of the demo platform: `python -m sentinel.demo.api`, on 127.0.0.1:DEMO_API_PORT.

    GET  /health              always 200; judge `status` and `components.*.status` (healthy,
    unhealthy)
    GET  /api/tasks           newest first; ?status=…&limit=… (at most 200)
    GET  /api/tasks/{id}      404 for other tenants' tasks
    POST /api/tasks           {"type", "required_capabilities", "payload"} → 201 {"id"}
    GET  /api/flows           newest first
    POST /api/flows           {"flow_type", "tasks": [{…}, …]} → 201 {"id", "tasks": [id, …]}

Every /api call needs `Authorization: Bearer <token of the tenant>` and `X-Tenant-Id`: 401 without a
valid token, 400 without a tenant, 403 when they belong to different tenants. Rows are chosen by
row-level security alone: the connection is role app_user, each transaction says SET LOCAL
app.tenant_id. Control file `trust-tenant-header` is the fault "the API believes the header whatever
the token".
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import redis.asyncio as aredis
from aiohttp import web
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sentinel.demo.component import Away, Backoff, Frame
from sentinel.demo.ledger import Ledger, microseconds

_CONNECTIONS = 3
_MOST_ROWS = 200
_COMMAND_SECONDS = 2.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Connection = psycopg.AsyncConnection[dict[str, Any]]

_TASKS = """
SELECT id::text, tenant_id::text, type, required_capabilities, payload, status, assigned_agent_id, flow_id::text,
       created_at::text, assigned_at::text, started_at::text, completed_at::text, retry_count FROM tasks"""
_FLOWS = """
SELECT id::text, tenant_id::text, flow_type, status, phase, progress::float8, worker_id, created_at::text,
       updated_at::text FROM flows ORDER BY created_at DESC LIMIT %s"""
_NEW_FLOW = "INSERT INTO flows (id, tenant_id, flow_type) VALUES (%s, %s, %s)"
_NEW_TASK = """
INSERT INTO tasks (id, tenant_id, type, required_capabilities, payload, flow_id) VALUES (%s, %s, %s, %s, %s, %s)
RETURNING created_at"""


class Pool:
    """A few connections as app_user; one that broke is made anew, with backoff shared by all."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._free: asyncio.Queue[_Connection | None] = asyncio.Queue()
        for _ in range(_CONNECTIONS):
            self._free.put_nowait(None)
        self._backoff, self._not_before = Backoff(), 0.0

    @asynccontextmanager
    async def transaction(self, tenant: str) -> AsyncIterator[_Connection]:
        """A transaction that sees `tenant`'s rows only. Raises Away when the database can't be
        reached.
        """
        connection = await self._free.get()
        try:
            connection = connection or await self._connect()
            async with asyncio.timeout(_COMMAND_SECONDS), connection.transaction():
                await connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
                yield connection
            self._backoff.reset()
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
            await self._drop(connection)
            connection = None
            raise Away("database") from error
        finally:
            self._free.put_nowait(connection)

    async def close(self) -> None:
        """Close what is free."""
        while not self._free.empty():
            await self._drop(self._free.get_nowait())

    async def _connect(self) -> _Connection:
        if asyncio.get_running_loop().time() < self._not_before:
            raise Away("database")
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=2,
            application_name="api",
            row_factory=dict_row,
        )

    async def _drop(self, connection: _Connection | None) -> None:
        self._not_before = asyncio.get_running_loop().time() + self._backoff.next()
        if connection is not None:
            await connection.close()


class Api:
    """The handlers."""

    def __init__(self, frame: Frame, pool: Pool, bus: aredis.Redis) -> None:
        self._frame, self._pool, self._bus = frame, pool, bus
        self._ledger = Ledger(frame.folder, frame.name)
        self._tokens = {os.environ["DEMO_TOKEN_A"]: os.environ["DEMO_TENANT_A"]}
        self._tokens[os.environ["DEMO_TOKEN_B"]] = os.environ["DEMO_TENANT_B"]

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(middlewares=[_answer_failures])
        application.router.add_get("/health", self.health)
        application.router.add_get("/api/tasks", self.tasks)
        application.router.add_get("/api/tasks/{id}", self.task)
        application.router.add_post("/api/tasks", self.new_task)
        application.router.add_get("/api/flows", self.flows)
        application.router.add_post("/api/flows", self.new_flow)
        return application

    async def health(self, _request: web.Request) -> web.Response:
        """The state of the API and of what it needs."""
        bus, database = await asyncio.gather(self._bus_status(), self._database_status())
        components = {"bus": {"status": bus}, "database": {"status": database}}
        healthy = bus == database == "healthy"
        return web.json_response(
            {"status": "healthy" if healthy else "unhealthy", "components": components}
        )

    async def tasks(self, request: web.Request) -> web.Response:
        """The tenant's tasks."""
        status, limit = request.query.get("status"), _limit(request)
        query = (
            f"{_TASKS} WHERE %(status)s::text IS NULL OR status = %(status)s ORDER BY created_at"
            " DESC LIMIT %(limit)s"
        )
        async with self._pool.transaction(self._tenant(request)) as connection:
            rows = await (
                await connection.execute(query, {"status": status, "limit": limit})
            ).fetchall()
        return web.json_response({"tasks": rows})

    async def task(self, request: web.Request) -> web.Response:
        """One task of the tenant."""
        async with self._pool.transaction(self._tenant(request)) as connection:
            cursor = await connection.execute(
                f"{_TASKS} WHERE id = %s", (_uuid(request.match_info["id"]),)
            )
            row = await cursor.fetchone()
        if row is None:
            raise _error(web.HTTPNotFound, "no such task")
        return web.json_response(row)

    async def flows(self, request: web.Request) -> web.Response:
        """The tenant's flows."""
        async with self._pool.transaction(self._tenant(request)) as connection:
            rows = await (await connection.execute(_FLOWS, (_limit(request),))).fetchall()
        return web.json_response({"flows": rows})

    async def new_task(self, request: web.Request) -> web.Response:
        """Create a task."""
        tenant, body = self._tenant(request), await _body(request)
        tasks = await self._create(tenant, [body], None, "")
        return web.json_response({"id": tasks[0]}, status=201)

    async def new_flow(self, request: web.Request) -> web.Response:
        """Create a flow and its tasks, in one transaction."""
        tenant, body = self._tenant(request), await _body(request)
        flow = str(uuid.uuid4())
        tasks = await self._create(
            tenant, body.get("tasks", []), flow, body.get("flow_type", "plain")
        )
        return web.json_response({"id": flow, "tasks": tasks}, status=201)

    async def _create(
        self, tenant: str, bodies: list[dict[str, Any]], flow: str | None, flow_type: str
    ) -> list[str]:
        names = [str(uuid.uuid4()) for _ in bodies]
        self._ledger.write("task_intent", tasks=names)
        created = []
        async with self._pool.transaction(tenant) as connection:
            if flow is not None:
                await connection.execute(_NEW_FLOW, (flow, tenant, flow_type))
            for name, body in zip(names, bodies, strict=True):
                cursor = await connection.execute(_NEW_TASK, (name, tenant, *_task(body), flow))
                row = await cursor.fetchone()
                assert row is not None  # noqa: S101 - INSERT … RETURNING
                created.append((name, microseconds(row["created_at"])))
        self._ledger.write("task_created", tasks=created)
        return names

    def _tenant(self, request: web.Request) -> str:
        """Whose rows this request may see."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        owner = self._tokens.get(token) if scheme == "Bearer" else None
        if owner is None:
            raise _error(web.HTTPUnauthorized, "no valid bearer token")
        asked = request.headers.get("X-Tenant-Id")
        if asked is None:
            raise _error(web.HTTPBadRequest, "header X-Tenant-Id is missing")
        if asked != owner and self._frame.control("trust-tenant-header") is None:
            raise _error(web.HTTPForbidden, "the token belongs to another tenant")
        return _uuid(asked)

    async def _bus_status(self) -> str:
        try:
            await self._bus.ping()
        except RedisError:
            return "unhealthy"
        return "healthy"

    async def _database_status(self) -> str:
        try:
            async with self._pool.transaction("") as connection:
                await connection.execute("SELECT 1")
        except Away:
            return "unhealthy"
        return "healthy"


def _error(kind: type[web.HTTPException], message: str) -> web.HTTPException:
    return kind(text=f'{{"error": "{message}"}}', content_type="application/json")


def _limit(request: web.Request) -> int:
    try:
        return min(max(int(request.query.get("limit", "50")), 1), _MOST_ROWS)
    except ValueError as error:
        raise _error(web.HTTPBadRequest, "limit is not a number") from error


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise _error(web.HTTPBadRequest, "not a uuid") from error


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        return {**await request.json()}
    except (ValueError, TypeError) as error:
        raise _error(web.HTTPBadRequest, "the body is not a JSON object") from error


def _task(body: dict[str, Any]) -> tuple[str, list[str], Jsonb]:
    required = [str(part) for part in body.get("required_capabilities", [])]
    return str(body.get("type", "plain")), required, Jsonb(body.get("payload", {}))


@web.middleware
async def _answer_failures(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """The database being away is 503, said in words."""
    try:
        return await handler(request)
    except Away:
        return web.json_response(
            {"error": "the database can't be reached"}, status=503, headers={"Retry-After": "1"}
        )


async def serve() -> None:
    """Serve until SIGTERM or SIGINT."""
    frame = Frame("api")
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    bus = aredis.Redis.from_url(
        os.environ["DEMO_REDIS_URL"],
        client_name="api",
        protocol=2,
        socket_timeout=_COMMAND_SECONDS,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
    )
    pool = Pool(os.environ["DEMO_APP_DATABASE_URL"])
    runner = web.AppRunner(Api(frame, pool, bus).application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["DEMO_API_PORT"])).start()
    await stop.wait()
    await runner.cleanup()
    await pool.close()
    await bus.aclose()


def main() -> int:
    """Run the API."""
    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
