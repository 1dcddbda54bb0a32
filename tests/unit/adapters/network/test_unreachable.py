"""What a person reads of a socket that could not be connected."""

from __future__ import annotations

import errno
import socket

import pytest

from sentinel.adapters.network.tcp import open_socket, unreachable


def test_the_cause_is_said_in_the_words_of_the_system() -> None:
    """asyncio says `Connect call failed` for refused, unreachable and every other cause."""
    refused = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 7480)")
    assert unreachable(refused).message == "unreachable: Connection refused (127.0.0.1:7480)"
    away = OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.9', 80)")
    assert unreachable(away).message == "unreachable: No route to host (10.0.0.9:80)"
    six = OSError(errno.ECONNREFUSED, "Connect call failed ('::1', 80, 0, 0)")
    assert unreachable(six).message == "unreachable: Connection refused ([::1]:80)"
    assert unreachable(OSError("odd")).message == "unreachable: odd"


@pytest.mark.parametrize(
    ("family", "host", "said"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
async def test_our_own_sockets_say_the_address_as_people_write_it(family, host, said) -> None:
    """No tuple of Python: it is what the page says first about a server that is down."""
    with socket.socket(family) as bound:
        bound.bind((host, 0))
        port = bound.getsockname()[1]
        with pytest.raises(ConnectionRefusedError) as refused:
            await open_socket((family, host, port))
    assert unreachable(refused.value).message == f"unreachable: Connection refused ({said}:{port})"
