"""The page, the API and /metrics on their address."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from sentinel.app.calendar import REPORTS
from sentinel.config import Configuration
from sentinel.errors import PortInUse
from sentinel.store import Reader
from sentinel.web.app import make_app
from sentinel.web.exposition import Pieces
from sentinel.web.guard import listen_hosts

SHUT_WITHIN = 0.5
"""Seconds that an answer under way may take when sentinel ends."""


async def listen(
    configuration: Configuration,
    store: Reader,
    metrics: Pieces,
    ready: Callable[[], tuple[bool, str]],
    utcnow: Callable[[], datetime],
) -> web.AppRunner:
    """Serve until the runner is cleaned up; ages are counted by `utcnow`, the clock of what is
    shown. PortInUse when the address can't be had.
    """
    host, port = configuration.listen
    application = make_app(
        store,
        metrics=metrics,
        ready=ready,
        now=utcnow,
        reports=configuration.state / REPORTS,
        allowed_hosts=listen_hosts(host, port),
    )
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, shutdown_timeout=SHUT_WITHIN
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno not in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
            raise
        raise PortInUse(
            f"{configuration.listen_place}: listen: can't listen on {host}:{port}:"
            f" {error.strerror}",
            "stop what listens there, or choose another port with `listen:` or SENTINEL_LISTEN",
        ) from error
    return runner


def url_of(configuration: Configuration) -> str:
    """Address of the status page."""
    host, port = configuration.listen
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
