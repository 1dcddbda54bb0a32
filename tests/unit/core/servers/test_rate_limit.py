"""What servers say of their rate limits, in the forms that are in use."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from sentinel.core.servers.rate_limit import RateLimit, read_rate_limit


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "58"}, RateLimit(60, 58)),
        ({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": " 0"}, RateLimit(100, 0)),
        ({"X-Rate-Limit-Limit": "5", "X-Rate-Limit-Remaining": "5"}, RateLimit(5, 5)),
        (
            {"RateLimit-Policy": '"default";q=100;w=60', "RateLimit": '"default";r=50;t=30'},
            RateLimit(100, 50),
        ),
        ({}, None),
        ({"X-RateLimit-Limit": "60"}, None),
        ({"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0"}, None),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "61"}, None),
        ({"X-RateLimit-Limit": "-1", "X-RateLimit-Remaining": "many"}, None),
        ({"X-RateLimit-Limit": "9" * 400, "X-RateLimit-Remaining": "1"}, None),
        ({"X-RateLimit-Limit": "6.5", "X-RateLimit-Remaining": "١"}, None),
    ],
)
def test_headers(headers: dict[str, str], found: RateLimit | None) -> None:
    """A pair that can't be is none: no figure is better than a wrong one."""
    assert read_rate_limit(CIMultiDict(headers)) == found


def test_used_is_what_is_not_left() -> None:
    """Of sixty, two."""
    assert RateLimit(60, 58).used == 2
