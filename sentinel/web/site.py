"""What every page may use: the store, the callables of the app, shared renders, the templates and
static files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web
from jinja2 import DictLoader, Environment, StrictUndefined

from sentinel.clock import utcnow
from sentinel.core.foreign.host import HostName
from sentinel.core.foreign.visible import make_document_visible
from sentinel.core.quantity import format_duration
from sentinel.reports.paper.show import show_commands
from sentinel.store import Reader
from sentinel.web.exposition import MetricsPage, Pieces, Settle, keep_nothing
from sentinel.web.live.channel import Feed, LiveChannel
from sentinel.web.live.paint import make_painter, teach_ages
from sentinel.web.readers import Readers
from sentinel.web.shared import Shared
from sentinel.web.views.known import NOTHING_KNOWN, Known

FOLDER = Path(__file__).parent

TURNS = 4
"""Answers that are being made at a time: what a flood costs the loop in one go."""


@dataclass(frozen=True, slots=True)
class Site:
    """The page's world; everything comes from outside, so that tests can give their own."""

    store: Reader
    readers: Readers
    turns: asyncio.Semaphore
    metrics: MetricsPage
    status: Shared[dict[str, Any]]
    ready: Callable[[], tuple[bool, str]]
    hosts: Callable[[], Sequence[HostName]]
    """Those that are served: a reload may change them."""
    reports: Path | None
    runbooks: Callable[[str], str | None]
    """The text of a runbook by its name; None when there is none."""
    now: Callable[[], datetime]
    known: Known
    templates: Environment
    live: LiveChannel
    static: dict[str, tuple[str, bytes]]

    async def read(self, make: Callable[[], Any]) -> Any:
        """A JSON-able document from the store, with nothing invisible in any name or text."""
        return await self.readers.call(lambda: make_document_visible(make()))


SITE: web.AppKey[Site] = web.AppKey("site", Site)

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def load_templates() -> Environment:
    """The page's own templates; everything they print is escaped. They are read here and never
    again: a page is there also without a descriptor to open a file with, and while sentinel is
    upgraded under a running daemon.
    """
    sources = {file.name: file.read_text() for file in (FOLDER / "templates").glob("*.j2")}
    made = Environment(
        loader=DictLoader(sources),
        auto_reload=False,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["segment"] = partial(quote, safe="")  # of a path, whatever stands in it
    made.filters["commands"] = show_commands
    made.filters["duration"] = format_duration
    teach_ages(made)
    return made


def load_static() -> dict[str, tuple[str, bytes]]:
    """(content type, bytes) of each static file by name: nothing outside this list can be served."""
    files = sorted((FOLDER / "static").iterdir())
    return {
        file.name: (_TYPES[file.suffix], file.read_bytes())
        for file in files
        if file.suffix in _TYPES
    }


def make_site(
    store: Reader,
    metrics: Pieces,
    ready: Callable[[], tuple[bool, str]],
    hosts: Callable[[], Sequence[HostName]],
    document: Callable[[Reader, datetime], dict[str, Any]],
    *,
    reports: Path | None = None,
    runbooks: Callable[[str], str | None] = lambda _name: None,
    now: Callable[[], datetime] = utcnow,
    monotonic: Callable[[], float] = time.monotonic,
    settle: Settle = keep_nothing,
    known: Known = NOTHING_KNOWN,
    feed: Feed | None = None,
) -> Site:
    """Put a site together. The status is shared only while it is being made."""
    readers, templates = Readers(), load_templates()

    async def render_status() -> dict[str, Any]:
        return await readers.call(lambda: make_document_visible(document(store, now())))

    return Site(
        store=store,
        readers=readers,
        turns=asyncio.Semaphore(TURNS),
        metrics=MetricsPage(metrics, monotonic, settle),
        status=Shared(render_status, 0.0, monotonic),
        ready=ready,
        hosts=hosts,
        reports=reports,
        runbooks=runbooks,
        now=now,
        known=known,
        templates=templates,
        live=LiveChannel(store, readers, feed, make_painter(templates), now),
        static=load_static(),
    )
