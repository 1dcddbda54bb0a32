"""Walks pages as a browser without JavaScript would, and says what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import aiohttp

from sentinel.web.app import ROUTES

PROGRAMS = ("/metrics", "/-/", "/static/", "/api/")
"""Routes that are no pages."""
SAMPLE = 3
"""Links that are followed of one kind on one page: the bars of a history lead all alike."""


class PageParser(HTMLParser):
    """What a page consists of, as far as it is judged here."""

    def __init__(self) -> None:
        super().__init__()
        self.lang, self.title, self.inline = "", "", list[str]()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.orders: list[str] = []
        """Where forms send to."""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self._in_title = tag == "title" and self.tags["svg"] == 0
        self.lang = given.get("lang", self.lang) if tag == "html" else self.lang
        if given.get("id"):
            self.ids[given["id"]] += 1
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag == "form" and given.get("method") != "post":
            self.links.append(given.get("action", ""))
        self.orders += [given["action"]] if given.get("method") == "post" else []
        self.orders += [given["formaction"]] if "formaction" in given else []
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.title += data if self._in_title else ""

    def handle_endtag(self, tag: str) -> None:
        self._in_title = self._in_title and tag != "title"


def read_page(text: str) -> PageParser:
    """A parsed page."""
    parser = PageParser()
    parser.feed(text)
    parser.close()
    return parser


def judge_page(text: str) -> list[str]:
    """What is wrong with one page, by itself."""
    page = read_page(text)
    wrong = [f"inline {each}" for each in page.inline]
    wrong += [] if page.lang == "en" else ["no lang"]
    wrong += [] if page.title.strip() else ["no title"]
    wrong += [] if page.tags["h1"] == 1 else [f"{page.tags['h1']} h1"]
    wrong += [] if page.tags["main"] == 1 else [f"{page.tags['main']} main"]
    return wrong + [f"id {name} stands {n} times" for name, n in page.ids.items() if n > 1]


def list_paths(names: Mapping[str, Iterable[str]]) -> list[str]:
    """The address of each page; `names` gives what may stand for the name in a route."""
    found = []
    for route in ROUTES:
        if getattr(route, "method", "GET") != "GET" or route.path.startswith(PROGRAMS):
            continue
        if "{" not in route.path:
            found.append(route.path)
        for name in names.get(route.path, ()):
            found.append(re.sub(r"\{\w+\}", lambda _, n=name: quote(n, safe=""), route.path))
    return found


def takes_orders(address: str) -> bool:
    """Whether something may be sent there, whoever may."""
    patterns = (re.sub(r"\{\w+\}", "[^/]+", each.path) for each in ROUTES if each.method == "POST")
    return any(re.fullmatch(pattern, address) for pattern in patterns)


class Walk:
    """Each page once, each link that leads to one of ours once."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self._base = session, base
        self._status: dict[str, tuple[int, str, str]] = {}
        self.problems: list[str] = []

    async def visit(self, path: str) -> str:
        """Judge a page and follow its links; its text."""
        status, kind, text = await self._get(path)
        if status != 200:
            self.problems.append(f"{path} answers {status}: {text[:200]}")
        elif kind == "text/html" and not path.startswith("/reports/r"):
            self.problems += [f"{path}: {each}" for each in judge_page(text)]
            for link in _sample(read_page(text).links):
                await self.follow(path, link)
            for order in _sample(read_page(text).orders):
                if not takes_orders(order):
                    self.problems.append(f"{path} gives orders to {order}, which takes none")
        return text

    async def follow(self, path: str, link: str) -> None:
        """A link that stands on a page."""
        target, fragment = urldefrag(urljoin(self._base + path, link))
        if urlsplit(target).netloc != urlsplit(self._base).netloc:
            self.problems.append(f"{path} leads away: {link}")
            return
        status, _, text = await self._get(target.removeprefix(self._base) or "/")
        if status != 200:
            self.problems.append(f"{path} leads to {link}, which answers {status}")
        elif fragment and fragment not in read_page(text).ids:
            self.problems.append(f"{path} leads to {link}, and there is no such place")

    async def _get(self, path: str) -> tuple[int, str, str]:
        if path not in self._status:
            url = aiohttp.client.URL(self._base + path, encoded=True)
            async with self._session.get(url, headers={"Accept": "text/html"}) as answer:
                text = await answer.text()
                self._status[path] = answer.status, answer.content_type, text
        return self._status[path]


def _sample(links: Iterable[str]) -> list[str]:
    """A few of each kind: by path up to its second part, and the words of its query."""
    seen: Counter[str] = Counter()
    chosen = []
    for link in links:
        parts = urlsplit(link)
        kind = f"{'/'.join(parts.path.split('/')[:2])}?{re.sub(r'=[^&]*', '', parts.query)}"
        kind += "#" + re.sub(r"\d+", "", parts.fragment)
        seen[kind] += 1
        if seen[kind] <= SAMPLE:
            chosen.append(link)
    return chosen
