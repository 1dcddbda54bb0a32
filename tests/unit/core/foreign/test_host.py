"""Names of hosts: one spelling each, and nothing that only looks like one."""

from __future__ import annotations

import pytest

from sentinel.core.foreign.host import HostName, NoHost, read_host


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("Status.Example.com", "status.example.com", None),
        ("status.example.com.", "status.example.com", None),
        ("status.example.com.:8443", "status.example.com", 8443),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("under_score", "under_score", None),
        ("10.0.0.7:80", "10.0.0.7", 80),
        ("[FD00:0:0::1]", "fd00::1", None),
        ("[::1]:9130", "::1", 9130),
    ],
)
def test_one_spelling(text: str, name: str, port: int | None) -> None:
    """Case, the dot at the end and the zeros of IPv6 make no difference; the port is apart."""
    assert read_host(text) == HostName(name, port)
    assert read_host(str(read_host(text))) == HostName(name, port)


@pytest.mark.parametrize(
    "text",
    ["", ":80", "*", "*.example.com", ".example.com", "a..b", "https://a", "a/b", "a b", "u@a", "a:", "a:b", "a:0",
     "a:65536", "a:+80", "a:٨٠", "a:80:80", "::1", "[::1", "[::1]x", "[::1]80", "[a]", "[fe80::1%eth0]", "[]", "-a",
     "a-", "a" * 64, "a." * 127 + "a", "127.1", "0x7f.1", "0x7f000001", "2130706433", "127.0.0.01", "1.2.3.4.5",
     "bücher.example", "ıa", "a\0", "a\n", "a,b", "a..", "\u202ea", "a%00", "\ud800"],
)  # fmt: skip
def test_what_names_no_host(text: str) -> None:
    """Wildcards, addresses of pages, other spellings of numbers and everything else are refused
    with a remedy.
    """
    with pytest.raises(NoHost) as caught:
        read_host(text)
    assert caught.value.message
    assert caught.value.remedy


def test_the_ascii_form_is_told() -> None:
    """Whoever writes a name as people read it is told how requests write it."""
    with pytest.raises(NoHost) as caught:
        read_host("bücher.example")
    assert caught.value.remedy == "write xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("asked", "is_covered"),
    [("a", True), ("a:80", True), ("a:443", True), ("a:8080", False), ("b", False), ("a.a", False)],
)
def test_usual_ports(asked: str, is_covered: bool) -> None:
    """A name without a port means the usual ports of the web, written or not, and no other."""
    assert HostName("a").covers(read_host(asked)) is is_covered


def test_a_port_is_exact() -> None:
    """A name with a port means that one, written."""
    assert HostName("a", 8443).covers(HostName("a", 8443))
    assert not HostName("a", 8443).covers(HostName("a"))
    assert not HostName("a", 443).covers(HostName("a"))
