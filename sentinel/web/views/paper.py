"""Runbooks for the browser: Markdown as HTML, with what stands in it inert.

Raw HTML is text, no image is loaded, a link leads to a page of the web or of sentinel and nowhere
else, headings stand below those of the page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape

MAX_TEXT = 100_000
"""Characters of one section."""
_LOWEST, _HIGHEST = 3, 6
"""Headings within a section: the page has the first, the section the second."""
BOOKS = "books"
"""Under this word of the environment the renderer finds the names of the runbooks."""


def render_markdown(text: str, books: Collection[str] = ()) -> Markup:
    """HTML of a section. The name of a runbook in code leads to it."""
    cut = text[:MAX_TEXT]
    made = _make_renderer().render(cut, {BOOKS: frozenset(books)})
    if len(text) > MAX_TEXT:
        made += f"<p>{len(text) - MAX_TEXT:,} more characters are not shown.</p>"
    return Markup(made)  # noqa: S704 - of a renderer that escapes raw HTML


@cache
def _make_renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}, renderer_cls=PaperRenderer)
    made.enable("table").disable("image")
    made.validateLink = _is_safe  # type: ignore[method-assign, assignment]
    return made


def _is_safe(address: str) -> bool:
    """A page of the web, or one of sentinel; no `javascript:`, no other host by `//`."""
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in {"http", "https"} and bool(parts.netloc)
    return not parts.netloc and not address.lstrip().startswith(("//", "\\", "/\\"))


class PaperRenderer(RendererHTML):
    """As the library renders, but for headings, links and the names of runbooks."""

    def heading_open(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: Mapping[str, Any]
    ) -> str:
        """Below the headings of the page."""
        return f"<h{_lower(tokens[idx].tag)}>"

    def heading_close(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: Mapping[str, Any]
    ) -> str:
        """As it was opened."""
        return f"</h{_lower(tokens[idx].tag)}>\n"

    def table_open(
        self, _tokens: Sequence[Token], _idx: int, _options: OptionsDict, _env: Mapping[str, Any]
    ) -> str:
        """A wide table scrolls by itself."""
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(
        self, _tokens: Sequence[Token], _idx: int, _options: OptionsDict, _env: Mapping[str, Any]
    ) -> str:
        """As it was opened."""
        return "</table></div>\n"

    def link_open(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Mapping[str, Any]
    ) -> str:
        """To another runbook by its file, else as it is written."""
        address = str(tokens[idx].attrGet("href") or "")
        name = address.rpartition("/")[2].removesuffix(".md")
        target = f"/runbooks/{quote(name, safe='')}" if name in env[BOOKS] else address
        return f'<a href="{escape(target)}" rel="noreferrer">'

    def fence(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: Mapping[str, Any]
    ) -> str:
        """Whatever language it is said to be in."""
        return f'<pre tabindex="0"><code>{escape(tokens[idx].content)}</code></pre>\n'

    def code_inline(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Mapping[str, Any]
    ) -> str:
        """The name of a runbook leads to it."""
        content = tokens[idx].content
        code = f"<code>{escape(content)}</code>"
        if content not in env[BOOKS]:
            return code
        return f'<a href="/runbooks/{quote(content, safe="")}">{code}</a>'


def _lower(tag: str) -> int:
    return min(_HIGHEST, max(_LOWEST, int(tag[1:]) + 1))
