"""Incidents as RSS 2.0 (https://www.rssboard.org/rss-specification)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

MAX_TEXT = 1000


def write_feed(platform: str, home: str, items: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """The feed of a platform whose pages are at `home`; each item leads to its incident."""
    head = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<rss version="2.0"><channel>',
        _tag("title", f"Incidents of {platform}"),
        _tag("link", f"{home}/incidents"),
        _tag("description", f"What broke on {platform}, and what works again."),
        _tag("lastBuildDate", format_datetime(now)),
    ]
    return "\n".join([*head, *(_write_item(home, each) for each in items), "</channel></rss>", ""])


def _write_item(home: str, item: Mapping[str, Any]) -> str:
    """Its id changes with its state, so that readers show the recovery as news."""
    link = f"{home}/incident/{quote(item['id'], safe='')}"
    parts = [
        _tag("title", item["title"]),
        _tag("link", link),
        f'<guid isPermaLink="false">{escape(item["id"])} {escape(item["title"])}</guid>',
        _tag("pubDate", format_datetime(item["at"])),
        _tag("description", item["text"]),
    ]
    return f"<item>{''.join(parts)}</item>"


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text[:MAX_TEXT])}</{name}>"
