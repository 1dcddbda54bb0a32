"""Where a redirect may lead, and what goes there."""

from __future__ import annotations

import pytest

from sentinel.adapters.http.redirect import is_same_origin, leave_origin, next_hop
from sentinel.errors import TargetRejected


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://host/b", True),
        ("http://HOST:80/", True),
        ("http://user:word@host/", True),
        ("http://host:81/", False),
        ("https://host/", False),
        ("https://host:80/", False),
        ("http://other/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, same):
    """RFC 6454 §4; a default port is the same as none."""
    assert is_same_origin("http://host/a?q=1", url) is same


@pytest.mark.parametrize(
    ("location", "hop"),
    [
        ("/b", "http://user:word@host/b"),
        ("http://host/b", "http://user:word@host/b"),
        ("http://evil:evil@host/b", "http://user:word@host/b"),
        ("http://host:81/b", "http://host:81/b"),
        ("http://evil:evil@host:81/b", "http://host:81/b"),
        ("https://host/b", "https://host/b"),
    ],
)
def test_user_and_password_go_along_within_the_origin_only(location, hop):
    """And nobody whom the redirect names is taken for ours."""
    assert next_hop("http://user:word@host/a", location) == hop


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://host/", "http://agent:hidden@other/?token=hidden#hidden"),
        ("https://host/", "http://agent:hidden@host/?token=hidden"),
    ],
)
def test_a_refused_redirect_shows_no_credential(url, location):
    """The address that the target names may hold one."""
    with pytest.raises(TargetRejected) as caught:
        next_hop(url, location)
    assert "hidden" not in str(caught.value)


def test_a_body_is_not_sent_to_another_origin():
    """It may hold a password; without it the request would be another one."""
    with pytest.raises(TargetRejected, match="with a body to 'http://host:81/', another origin"):
        leave_origin({}, b"word", "http://host:81/?q=hidden")


def test_only_what_says_nothing_of_us_goes_to_another_origin():
    """Any configured header may be a credential."""
    headers = {"User-Agent": "s", "traceparent": "t", "X-Key": "k", "Cookie": "c", "Accept": "a"}
    assert leave_origin(headers, None, "http://host:81/") == {"User-Agent": "s", "traceparent": "t"}


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://host:99999/", "http://host:hidden/", "//host:-1/"]
)
def test_a_location_that_is_no_address_is_called_so(location):
    """And shows nothing of itself: what stands behind its colon may be a password."""
    with pytest.raises(TargetRejected) as caught:
        next_hop("http://host/", location)
    assert (caught.value.code, caught.value.message) == (
        "LOCATION",
        "redirects to what is no address",
    )
