"""How much of its rate limit a server says that we have used, by the headers in use. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 12
"""Digits of a number that is one."""
_NUMBER = re.compile(rf"\s*([0-9]{{1,{LONGEST}}})\s*(?:[,;]|$)")
_QUOTA = re.compile(rf";\s*q=([0-9]{{1,{LONGEST}}})\s*(?:[,;]|$)")
_LEFT = re.compile(rf";\s*r=([0-9]{{1,{LONGEST}}})\s*(?:[,;]|$)")
_SHOWN = 200
"""Characters of a header that are read."""
_PLAIN = ("RateLimit", "X-RateLimit", "X-Rate-Limit")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests of the window: how many may be sent in all, and how many are left."""

    whole: int
    left: int

    @property
    def used(self) -> int:
        """How many are spent."""
        return max(self.whole - self.left, 0)


def read_rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """What `RateLimit-Limit` and `RateLimit-Remaining` say, with or without `X-`, or `RateLimit-Policy`
    and `RateLimit` of the later drafts (the first policy); None where they say nothing that can be.

    Names as `headers` looks them up, without regard to case.
    """
    found = _read(headers, "RateLimit-Policy", _QUOTA), _read(headers, "RateLimit", _LEFT)
    for prefix in _PLAIN:
        if None in found:
            found = (
                _read(headers, f"{prefix}-Limit", _NUMBER),
                _read(headers, f"{prefix}-Remaining", _NUMBER),
            )
    whole, left = found
    if whole is None or left is None or not 0 <= left <= whole or whole == 0:
        return None
    return RateLimit(whole, left)


def _read(headers: Mapping[str, str], name: str, form: re.Pattern[str]) -> int | None:
    text = headers.get(name, "")[:_SHOWN]
    match = form.match(text) if form is _NUMBER else form.search(text)
    return None if match is None else int(match[1])
