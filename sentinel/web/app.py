"""Routes of the page and the API, as data, and the application made of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from sentinel.clock import utcnow
from sentinel.core.access import AccessRules, AccessScope, AccessToken
from sentinel.core.foreign.host import HostName
from sentinel.store import Reader, ReportRow
from sentinel.store.document import to_json
from sentinel.strict.file import UnreadableFile, read_regular_file
from sentinel.web import acting, signing
from sentinel.web.access import KEEPER, Keeper
from sentinel.web.answer import REPORT_POLICY
from sentinel.web.desk import DESK, Desk
from sentinel.web.document import status_document
from sentinel.web.exposition import (
    Pieces,
    Settle,
    accepts_gzip,
    choose_format,
    keep_nothing,
    make_answer,
)
from sentinel.web.faults import faults_document
from sentinel.web.guard import (
    MIDDLEWARES,
    STREAM,
    Handler,
    add_headers,
    is_short,
)
from sentinel.web.live.channel import Feed
from sentinel.web.live.stream import end_streams, follow_status, show_status
from sentinel.web.signing import tell_reason
from sentinel.web.site import SITE, Site, make_site
from sentinel.web.views.ask import is_asked
from sentinel.web.views.known import NOTHING_KNOWN, Known
from sentinel.web.views.routes import DRAWING, list_view_routes
from sentinel.web.visitor import MAX_BODY
from sentinel.web.written import write_json, write_page

MAX_REPORTS = 100
MAX_REPORT = 4 * 1024 * 1024
"""Bytes of a file: the reports of sentinel itself have at most a quarter of it."""
_REPORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}\.(md|html|json|pdf)", re.ASCII)
_REPORT_TYPES = {
    ".md": "text/plain",
    ".html": "text/html",
    ".json": "application/json",
    ".pdf": "application/pdf",
}


def make_app(
    store: Reader,
    metrics: Pieces,
    ready: Callable[[], tuple[bool, str]],
    hosts: Callable[[], Sequence[HostName]],
    *,
    reports: Path | None = None,
    runbooks: Callable[[str], str | None] = lambda _name: None,
    now: Callable[[], datetime] = utcnow,
    monotonic: Callable[[], float] = time.monotonic,
    settle: Settle = keep_nothing,
    known: Known = NOTHING_KNOWN,
    rules: Callable[[], AccessRules] = AccessRules,
    tokens: Callable[[], tuple[AccessToken, ...]] = tuple,
    desk: Desk | None = None,
    feed: Feed | None = None,
) -> web.Application:
    """The web application.

    `metrics(openmetrics)` gives the exposition in pieces, `ready()` whether the daemon is and one
    line why, `hosts()` what `Host` may name (see `guard.listen_hosts`); `reports` is the folder of
    report files, `runbooks(name)` the text of one; `settle()` writes down what totals were counted,
    before anybody is shown them; `known` is what the configuration tells; `feed` tells what changes,
    None: the status page is not live. `rules()` and `tokens()` say who may enter, `desk` carries
    out what they order; without one nothing is ordered here.
    """
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=MAX_BODY)
    app[SITE] = make_site(
        store,
        metrics,
        ready,
        hosts,
        status_document,
        reports=reports,
        runbooks=runbooks,
        now=now,
        monotonic=monotonic,
        settle=settle,
        feed=feed,
        known=known,
    )
    site = app[SITE]
    needs = {(route.method, route.path): route.scope for route in ROUTES}
    app[KEEPER] = Keeper(needs, rules, tokens, site.readers, now, monotonic)
    if desk is not None:
        app[DESK] = desk
    app[SITE].templates.globals.update(DRAWING)
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)
        elif desk is not None or route.scope is OPEN:
            app.router.add_route(route.method, route.path, route.handler)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(end_streams)
    return app


# -- pages ----------------------------------------------------------------------------------------


async def show_faults(request: web.Request) -> web.Response:
    """Every fault with its subject; `?check=NAME` or `?component=NAME` those of one."""
    return await write_page(
        request.app[SITE], "faults.html.j2", here="/faults", found=await _faults(request)
    )


async def list_reports(request: web.Request) -> web.Response:
    """The report files that can be read here."""
    site = request.app[SITE]
    return await write_page(site, "reports.html.j2", here="/reports/", reports=await _reports(site))


async def show_report(request: web.Request) -> web.Response:
    """One report file of the report folder, by its bare name."""
    site, name = request.app[SITE], request.match_info["name"]
    folder = site.reports
    if folder is None or _REPORT_NAME.fullmatch(name) is None:
        raise web.HTTPNotFound(text="no such report")
    path = folder / name
    body = await site.readers.call(lambda: _read_report(path))
    if body is None:
        raise web.HTTPNotFound(text="no such report")
    headers = {"Content-Security-Policy": REPORT_POLICY}
    charset = None if path.suffix == ".pdf" else "utf-8"
    return web.Response(
        body=body, content_type=_REPORT_TYPES[path.suffix], charset=charset, headers=headers
    )


def _read_report(path: Path) -> bytes | None:
    """A report as it lies there; None for what is none: a link, a folder, a pipe, too large.
    Raises OSError when the system is short of something: the report may well be there.
    """
    if path.is_symlink():
        return None
    try:
        return read_regular_file(path, MAX_REPORT).data
    except UnreadableFile as error:
        if is_short(cause := error.__cause__):
            raise cause from None
        return None


async def serve_static(request: web.Request) -> web.Response:
    """A style sheet or script of the package."""
    found = request.app[SITE].static.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound(text="no such file")
    content_type, body = found
    return web.Response(
        body=body, content_type=content_type, charset="utf-8", headers={"Cache-Control": "no-cache"}
    )


# -- programs -------------------------------------------------------------------------------------


async def serve_metrics(request: web.Request) -> web.Response:
    """The exposition for Prometheus, rendered at most once a second for everybody."""
    content_type = choose_format(request.headers.get("Accept", ""))
    packed = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    sheet = await request.app[SITE].metrics.get(content_type)
    pieces = await sheet.packed() if packed else sheet.text
    return make_answer(content_type, pieces, packed=packed)


async def tell_healthy(_request: web.Request) -> web.Response:
    """The process answers."""
    return web.Response(text="ok\n")


async def tell_ready(request: web.Request) -> web.Response:
    """Whether the daemon does its work, and one line why."""
    is_ready, text = request.app[SITE].ready()
    if not tell_reason(request):
        text = "ready" if is_ready else "not ready: with a token this page says why"
    return web.Response(text=f"{text}\n", status=200 if is_ready else 503)


async def api_status(request: web.Request) -> web.Response:
    """The status document."""
    site = request.app[SITE]
    return await write_json(site, await site.status.get())


async def api_faults(request: web.Request) -> web.Response:
    """Every fault with its subject; `?check=NAME` or `?component=NAME` those of one."""
    return await write_json(request.app[SITE], await _faults(request))


async def api_reports(request: web.Request) -> web.Response:
    """Reports, newest first, with the names of their files."""
    site = request.app[SITE]
    return await write_json(site, await _reports(site))


async def _faults(request: web.Request) -> dict[str, Any]:
    site, query = request.app[SITE], request.query
    check, component = query.get("check") or None, query.get("component") or None

    def read() -> dict[str, Any]:
        views = site.store.checks()
        own = next((each.name for each in views if is_asked(check or "", each.name)), None)
        if check is not None and own is None:
            raise web.HTTPNotFound(text="no such check")
        of = next(
            (each.component for each in views if is_asked(component or "", each.component)), None
        )
        if component is not None and of is None:
            raise web.HTTPNotFound(text="no such component, or nothing checks it")
        return faults_document(site.store, site.now(), check and own, component and of)

    found: dict[str, Any] = await site.read(read)
    return found


async def _reports(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await site.read(
        lambda: [_describe_report(site, row) for row in site.store.reports(None, MAX_REPORTS)]
    )
    return found


def _describe_report(site: Site, row: ReportRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "at": to_json(row.at),
        "headline": str(row.facts.get("headline", "")),
        "files": [name for path in row.paths if _is_served(site, name := Path(path).name)],
    }


def _is_served(site: Site, name: str) -> bool:
    return (
        site.reports is not None
        and _REPORT_NAME.fullmatch(name) is not None
        and (site.reports / name).is_file()
    )


# -- the route table ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """One route, with the scope that whoever asks must have."""

    path: str
    handler: Handler
    scope: AccessScope
    method: str = "GET"


OPEN, READ, ACK = AccessScope.OPEN, AccessScope.READ, AccessScope.ACK
ACT, ADMIN = AccessScope.ACT, AccessScope.ADMIN
ROUTES = (
    Route("/", show_status, READ),
    Route("/faults", show_faults, READ),
    Route("/reports/", list_reports, READ),
    Route("/reports/{name}", show_report, READ),
    Route("/static/{name}", serve_static, OPEN),
    Route("/metrics", serve_metrics, READ),
    Route("/-/healthy", tell_healthy, OPEN),
    Route("/-/ready", tell_ready, OPEN),
    Route("/sign-in", signing.show_sign_in, OPEN),
    Route("/sign-in", signing.sign_in, OPEN, "POST"),
    Route("/sign-out", signing.sign_out, OPEN, "POST"),
    Route("/api/v1/caller", signing.tell_caller, READ),
    Route("/api/v1/status", api_status, READ),
    Route(STREAM, follow_status, READ),
    Route("/api/v1/faults", api_faults, READ),
    Route("/api/v1/reports", api_reports, READ),
    *(Route(path, handler, READ) for path, handler in list_view_routes()),
    *(Route(path, handler, scope, "POST") for path, handler, scope in acting.ROUTES),
)
