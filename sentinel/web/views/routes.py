"""Every view with its address, and what is served beside them: badges, the feed, runbooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from sentinel.core.foreign.visible import make_document_visible, make_visible
from sentinel.reports.paper.picture.dependencies import draw_dependencies
from sentinel.reports.paper.picture.trend import draw_trend
from sentinel.reports.paper.picture.uptime import draw_key, draw_uptime
from sentinel.web.access import KEEPER
from sentinel.web.site import SITE
from sentinel.web.views import checks, components, incidents, records, subjects
from sentinel.web.views.badge import badge_check, badge_component, badge_platform, draw_badge
from sentinel.web.views.bar import draw_bar
from sentinel.web.views.books import list_books, show_book
from sentinel.web.views.feed import write_feed
from sentinel.web.views.paper import render_markdown
from sentinel.web.views.serve import PageView, Serve, ViewReader, make_ask

V1 = "/api/v1"
VIEWS = (
    PageView("/checks", f"{V1}/checks", "checks.html.j2", checks.list_checks, checks.LIST_WORDS),
    PageView(
        "/check/{name}", f"{V1}/checks/{{name}}", "check.html.j2",
        checks.show_check, checks.SHOW_WORDS,
    ),
    PageView(
        "/components", f"{V1}/components", "components.html.j2",
        components.list_components, components.LIST_WORDS,
    ),
    PageView(
        "/component/{name}", f"{V1}/components/{{name}}", "component.html.j2",
        components.show_component, components.SHOW_WORDS,
    ),
    PageView(
        "/incidents", f"{V1}/incidents", "incidents.html.j2",
        incidents.list_incidents, incidents.LIST_WORDS, "incidents",
    ),
    PageView(
        "/incident/{id}", f"{V1}/incidents/{{id}}", "incident.html.j2",
        incidents.show_incident,
    ),
    PageView(
        "/objectives", f"{V1}/objectives", "objectives.html.j2",
        records.read_objectives, part="objectives",
    ),
    PageView(
        "/agents", f"{V1}/agents", "subjects.html.j2",
        subjects.list_subjects(subjects.AGENTS), subjects.LIST_WORDS,
    ),
    PageView(
        "/flows", f"{V1}/flows", "subjects.html.j2",
        subjects.list_subjects(subjects.FLOWS), subjects.LIST_WORDS,
    ),
    PageView(
        "/tenants", f"{V1}/tenants", "subjects.html.j2",
        subjects.list_subjects(subjects.TENANTS), subjects.LIST_WORDS,
    ),
    PageView("/maintenance", f"{V1}/maintenance", "maintenance.html.j2", records.read_upkeep),
    PageView("/housekeeping", f"{V1}/housekeeping", "housekeeping.html.j2", records.read_chores),
    PageView("/audit", f"{V1}/audit", "audit.html.j2", records.read_audit, records.AUDIT_WORDS),
    PageView("/runbooks/", f"{V1}/runbooks", "runbooks.html.j2", list_books),
    PageView(
        "/runbooks/{name}", f"{V1}/runbooks/{{name}}", "runbook.html.j2", show_book,
        ("incident",),
    ),
)  # fmt: skip
"""The pages beside the status page."""


def list_view_routes() -> Iterator[tuple[str, Serve]]:
    """Address and handler of everything here; all of it only reads."""
    yield "/runbooks/{name}.md", serve_markdown  # before that of its page, which fits it, too
    for view in VIEWS:
        yield view.path, view.make_page()
        yield view.api, view.make_api()
    yield "/badge/check/{name}.svg", _serve_badge(badge_check)
    yield "/badge/component/{name}.svg", _serve_badge(badge_component)
    yield "/badge/platform.svg", _serve_badge(badge_platform)
    yield "/incidents.rss", serve_feed


def _serve_badge(read: ViewReader) -> Serve:
    async def show(request: web.Request) -> web.StreamResponse:
        site, ask = request.app[SITE], make_ask(request, ())
        badge: dict[str, Any] = await site.read(
            lambda: read(site.store, site.known, site.now(), ask)
        )
        return web.Response(text=draw_badge(badge), content_type="image/svg+xml", charset="utf-8")

    return show


async def serve_feed(request: web.Request) -> web.StreamResponse:
    """The newest incidents as RSS 2.0."""
    site, ask = request.app[SITE], make_ask(request, ())
    scheme = "https" if request.app[KEEPER].is_secure(request) else "http"
    home = str(request.url.origin().with_scheme(scheme))  # a proxy may speak TLS for us

    def read() -> str:
        items = make_document_visible(incidents.list_feed(site.store, site.now()))
        platform = site.store.meta("platform") or "platform"
        return write_feed(make_visible(platform), home, items, site.now())

    ask.conclude()
    text = await site.readers.call(read)
    return web.Response(text=text, content_type="application/rss+xml", charset="utf-8")


async def serve_markdown(request: web.Request) -> web.StreamResponse:
    """One runbook as its Markdown, as it stands on the shelf."""
    site, name = request.app[SITE], request.match_info["name"]
    text = await site.readers.call(lambda: site.runbooks(name))
    if text is None:
        raise web.HTTPNotFound(text="no such runbook")
    return web.Response(text=text, content_type="text/plain", charset="utf-8")


DRAWING = {
    "draw_bar": draw_bar,
    "draw_dependencies": draw_dependencies,
    "draw_key": draw_key,
    "draw_trend": draw_trend,
    "draw_uptime": draw_uptime,
    "render_markdown": render_markdown,
}
"""What templates may call."""
