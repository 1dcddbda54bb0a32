"""What a person reads of a socket that could not be connected."""

from __future__ import annotations

import errno
import socket

import pytest

from sentinel.adapters.network.tcp import open_socket, unreachable
from sentinel.demo.servers import free_port


def test_the_cause_is_said_in_the_words_of_the_system() -> None:
    """asyncio says `Connect call failed` for refused, unreachable and every other cause."""
    refused = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 7480)")
    assert unreachable(refused).message == "unreachable: Connection refused (127.0.0.1:7480)"
    away = OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.9', 80)")
    assert unreachable(away).message == "unreachable: No route to host (10.0.0.9:80)"
    six = OSError(errno.ECONNREFUSED, "Connect call failed ('::1', 80, 0, 0)")
    assert unreachable(six).message == "unreachable: Connection refused ([::1]:80)"
    assert unreachable(OSError("odd")).message == "unreachable: odd"


async def test_a_socket_of_ours_says_it_alike() -> None:
    """The address as people write it, not as Python does."""
    port = free_port()
    with pytest.raises(OSError, match="refused") as caught:
        await open_socket((socket.AF_INET, "127.0.0.1", port))
    assert unreachable(caught.value).message == (
        f"unreachable: Connection refused (127.0.0.1:{port})"
    )
