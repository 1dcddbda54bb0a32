"""Who is told, and what is worked upon, as the page and `sentinel status` show it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sentinel.core.notice.silence import Matchers
from sentinel.core.quantity import format_duration
from sentinel.store import Reader
from sentinel.store.document import read_instant
from sentinel.store.notices import present_maintenance, read_channels, read_silences


def describe_channels(store: Reader, now: datetime) -> list[dict[str, Any]]:
    """Each channel with what became of its notices; those that do not deliver come first."""
    described = [
        {
            "name": each["name"],
            "kind": each["kind"],
            "waiting": each["waiting"],
            "outcome": each["outcome"],
            "error": each["error"],
            "at": each["at"],
            "last_text": _tell_last(each["outcome"], each["at"], now),
        }
        for each in read_channels(store)
    ]
    return sorted(described, key=lambda each: (not each["error"], each["name"]))


def _tell_last(outcome: str, at: str | None, now: datetime) -> str:
    if not at:
        return "nothing was sent yet"
    seconds = max((now - read_instant(at)).total_seconds(), 0.0)
    return f"{outcome} {format_duration(seconds)} ago"


def describe_maintenance(store: Reader, now: datetime) -> list[str]:
    """One sentence for each window that is on."""
    return [
        f"maintenance of {', '.join(each.components)} until {each.until:%Y-%m-%d %H:%M:%S} UTC"
        f" ({each.window}: {each.reason})"
        for each in present_maintenance(store, now)
    ]


def describe_silences(store: Reader, now: datetime) -> list[str]:
    """One sentence for each silence that is on: who looks at night must know that nobody is told."""
    return [
        f"silence of {tell_matchers(each.matchers)} until {each.ends:%Y-%m-%d %H:%M:%S} UTC"
        f" ({each.by}: {each.reason}): nobody is told; `sentinel silence end {each.id}` ends it"
        for each in read_silences(store)
        if each.began <= now < each.ends
    ]


def tell_matchers(matchers: Matchers) -> str:
    """What a silence is of, for people."""
    told = ", ".join(f"{label}={'|'.join(found)}" for label, found in matchers.items())
    return told or "everything"


def describe_undelivered(store: Reader, now: datetime) -> list[str]:
    """One sentence for each channel that did not deliver what it tried last."""
    channels = describe_channels(store, now)
    return [f"channel {each['name']}: {each['error']}" for each in channels if each["error"]]
