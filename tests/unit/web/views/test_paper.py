"""Runbooks as HTML: nothing of them acts in a browser, whoever wrote them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.web.views import paper
from sentinel.web.views.paper import render_markdown

TAG = re.compile(r"<(/?[a-z0-9]+)([^>]*)>")
KNOWN = {
    "a", "blockquote", "br", "br /", "code", "div", "em", "h3", "h4", "h5", "h6", "hr", "hr /", "li", "ol", "p", "pre",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = re.compile(
    r'( href="(https?://|/|[\w#?.%-])[^"]*"| rel="noreferrer"| class="[\w -]+"| tabindex="0"| start="\d+"| /)*'
)


def judge(html: str) -> list[str]:
    """Tags and attributes that a rendered text must not have."""
    return [
        f"<{tag}{rest}>"
        for tag, rest in TAG.findall(html)
        if tag.removeprefix("/") not in KNOWN or not ATTRIBUTES.fullmatch(rest)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<!-- x --><style>p{}</style>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&#58;alert(1))",
        "[x](data:text/html,<script>)",
        "[x](//evil.example)",
        "[x](\\\\evil.example)",
        "![x](https://evil.example/x.png)",
        "<javascript:alert(1)>",
        '[x](https://a.b "onmouseover=alert(1)")',
        '```"><script>\n</script>\n```',
    ],
)
def test_nothing_of_it_acts(text: str) -> None:
    """Raw HTML is text; no script, no image, no address but of the web and of sentinel."""
    html = render_markdown(text)
    assert judge(html) == []
    assert "javascript:" not in re.sub(r">[^<]*<", "><", html).lower()


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="<>&\"'()[]!`*_#-|\\:/ax \n", max_size=80))
def test_nothing_of_anything_acts(text: str) -> None:
    """Whatever punctuation comes together."""
    assert judge(render_markdown(text)) == []


def test_it_is_readable() -> None:
    """Tables, code and headings below those of the page; names of runbooks lead to them."""
    html = render_markdown(
        "# A\n### B\n\n| a |\n|---|\n| `x` |\n\nsee `other` and [c](other.md)", ["other"]
    )
    assert "<h3>A</h3>" in html
    assert "<h4>B</h4>" in html
    assert "<td><code>x</code></td>" in html
    assert html.count('<a href="/runbooks/other"') == 2


def test_a_long_text_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads it to its end in a browser."""
    monkeypatch.setattr(paper, "MAX_TEXT", 10)
    assert "5 more characters are not shown" in render_markdown("a" * 15)
