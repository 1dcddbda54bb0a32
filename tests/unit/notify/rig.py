"""Receivers on this loop: HTTP by aiohttp, mail by aiosmtpd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from ssl import SSLContext
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from sentinel.core.fault import Severity
from sentinel.core.notice import Notice, Tidings

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOSTILE = 'bus<!channel> & "x"\\ {{7*7}} ${HOME} |> *a* _b_ \u202e\x1b[2J\x00\r\nBcc: evil@x.org\r\n\r\n.\r\n'


def make_notice(told: Tidings = Tidings.OPENED, **facts: Any) -> Notice:
    """A notice that a bus is down."""
    labels = {"alertname": "SentinelIncident", "component": "bus", "incident": "i-1"}
    made = Notice(
        "i-1/opened/1@team", "team", told, "i-1", "trial", "bus", Severity.PAGE,
        "[trial] bus is down", "bus is down\nrunbook: port-unreachable", T0, T0, labels,
        runbook="port-unreachable", link="http://127.0.0.1:9130/incident/i-1",
    )  # fmt: skip
    return replace(made, **facts)


@dataclass(slots=True)
class HttpSink:
    """What a receiver got; `answer` decides what it says."""

    url: str
    got: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[web.Request], Any] = lambda _request: web.Response(text="ok")

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Any method, any path."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((request.method, request.path_qs, headers, body))
        said = self.answer(request)
        if asyncio.iscoroutine(said):
            said = await said
        return said

    @property
    def posts(self) -> list[bytes]:
        """Bodies of what was posted."""
        return [body for method, _, _, body in self.got if method == "POST"]


@asynccontextmanager
async def http_sink() -> AsyncIterator[HttpSink]:
    """A receiver on a free port."""
    sink = HttpSink("")
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", sink.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    sink.url = f"http://127.0.0.1:{port}"
    try:
        yield sink
    finally:
        await runner.cleanup()


@dataclass(slots=True)
class MailSink:
    """Mails that came in; `say` may answer a command instead of the server."""

    port: int = 0
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    """Recipient → answer."""
    answer: str = "250 OK"
    hang: bool = False

    async def handle_RCPT(self, _server, _session, envelope, address, _options) -> str:  # noqa: N802
        """A recipient may be refused."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802
        """A mail."""
        if self.hang:
            await asyncio.Event().wait()
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append((envelope.rcpt_tos, mail))
        return self.answer


@asynccontextmanager
async def mail_sink(wrapped: SSLContext | None = None, **options: Any) -> AsyncIterator[MailSink]:
    """A mail server on a free port; `wrapped`: in TLS from the first byte on."""
    sink, servers = MailSink(), []
    loop = asyncio.get_running_loop()

    def make() -> SMTP:
        made = SMTP(sink, hostname="sink", loop=loop, **options)
        servers.append(made)
        return made

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=wrapped)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for each in servers:
            if each.transport is not None:
                each.transport.abort()
        await asyncio.sleep(0)
