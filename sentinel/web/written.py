"""Answers of a page: HTML of a template, JSON for programs. Both are made in threads of the page."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from aiohttp import web

from sentinel.web.access import present_caller
from sentinel.web.site import Site


async def write_page(site: Site, template: str, **facts: Any) -> web.Response:
    """A page of a template, for who asks: `may` says what they may do."""
    make = partial(site.templates.get_template(template).render, may=present_caller(), **facts)
    return web.Response(text=await site.readers.call(make), content_type="text/html")


async def write_json(site: Site, document: Any) -> web.Response:
    """Printable ASCII: whatever shows the bytes of an answer shows nothing else."""
    text = await site.readers.call(lambda: json.dumps(document))
    return web.Response(text=text, content_type="application/json")
