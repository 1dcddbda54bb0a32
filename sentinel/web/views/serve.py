"""A view as data, and the two handlers that are made of it: a page, and JSON from the same reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from sentinel.store import Reader
from sentinel.store.document import to_json
from sentinel.web.site import SITE
from sentinel.web.views.ask import Ask
from sentinel.web.views.known import Known
from sentinel.web.written import write_json, write_page

Document = dict[str, Any]
ViewReader = Callable[[Reader, Known, datetime, Ask], Document]
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_WORDS = 20
"""Words that a query may have."""


@dataclass(frozen=True, slots=True)
class PageView:
    """One page and its JSON. `words` are what its query may have; `part` is the key of the document
    that the JSON consists of, "" for all of it.
    """

    path: str
    api: str
    template: str
    read: ViewReader
    words: tuple[str, ...] = ()
    part: str = ""

    async def ask(self, request: web.Request) -> Document:
        """The document that a request asks for; HTTPBadRequest, HTTPNotFound."""
        site, asked = request.app[SITE], make_ask(request, self.words)

        def read() -> Any:
            return to_json(self.read(site.store, site.known, site.now(), asked))

        document: Document = await site.read(read)
        return document

    def make_page(self) -> Serve:
        """The handler of the page."""

        async def show(request: web.Request) -> web.StreamResponse:
            found = await self.ask(request)
            query = f"?{raw}" if (raw := request.rel_url.raw_query_string) else ""
            api = request.rel_url.raw_path.replace(
                self.path.split("{")[0], self.api.split("{")[0], 1
            )
            facts = {"found": found, "here": self.path, "api": api + query}
            return await write_page(request.app[SITE], self.template, **facts)

        return show

    def make_api(self) -> Serve:
        """The handler of the JSON."""

        async def tell(request: web.Request) -> web.StreamResponse:
            found = await self.ask(request)
            return await write_json(request.app[SITE], found[self.part] if self.part else found)

        return tell


def make_ask(request: web.Request, words: tuple[str, ...]) -> Ask:
    """What a request asks; HTTPBadRequest for a word that the view does not know."""
    query = request.query
    if len(query) > MAX_WORDS:
        raise web.HTTPBadRequest(text=f"a query may have {MAX_WORDS} words")
    name = next(iter(request.match_info.values()), "")
    ask = Ask(name, {word: query[word] for word in query})
    ask.refuse_unknown(words)
    ask.conclude()
    return ask
