"""What a Redis address says holds, or is refused at its line."""

from __future__ import annotations

import pytest

from sentinel.adapters.redis.address import find_url_fault, plain_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://watch:p%40ss@h:6379/3",
        "rediss://h/0?ssl_cert_reqs=none",
        "valkeys://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_password=x",
        "rediss://h?ssl_check_hostname=false&username=watch&password=x",
        "unix://watch:x@/run/redis.sock?db=2",
    ],
)
def test_what_can_hold_is_taken(url):
    """Users, sockets, databases, and TLS in each of its options."""
    assert find_url_fault(url) == ""


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("rediss://h?ssl_cert_reqs=some", "none of none, optional, required"),
        ("rediss://h?ssl_cert_reqs=", "`ssl_cert_reqs`"),
        ("rediss://h?ssl_check_hostname=perhaps", "`ssl_check_hostname`"),
        ("redis://h?ssl_ca_certs=/ca.pem", "without TLS"),
        ("unix:///s?ssl_certfile=/c.pem", "without TLS"),
        ("rediss://h?ssl_keyfile=/k.pem", "without `ssl_certfile`"),
        ("redis://h?socket_timeout=9", "`socket_timeout`"),
        ("redis://h/zero", "by a word"),
    ],
)
def test_what_can_not_hold_is_refused(url, part):
    """Each with what is wrong."""
    assert part in find_url_fault(url)


def test_schemes_in_any_case():
    """As everywhere in addresses."""
    assert plain_url("VALKEYS://h/0") == "rediss://h/0"
    assert plain_url("Redis://h:1/0") == "redis://h:1/0"
