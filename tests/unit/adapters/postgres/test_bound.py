"""An answer without end is not kept in memory to its end."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sentinel.adapters.postgres import bound
from sentinel.adapters.postgres.bound import count_received, stop_at_most
from sentinel.errors import NotMeasurable


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        with one, other:
            yield one, other


def take(one: socket.socket, other: socket.socket, size: int) -> None:
    other.sendall(b"x" * size)
    while size:
        size -= len(one.recv(size))


def test_what_came_is_counted_since_the_question(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before it is of another answer, what came at once no more than the kernel held; the
    first byte too many after that ends it.
    """
    monkeypatch.setattr(bound, "MOST", 1000)
    one, other = pair
    take(one, other, 5000)
    assert count_received(one.fileno()) == 5000

    def ask():
        got = 0
        while got < 3:
            got += yield 1
        return got

    answer = stop_at_most(ask(), one.fileno())
    next(answer)
    take(one, other, 1000)
    answer.send(1)
    with pytest.raises(StopIteration) as ended:
        answer.send(2)
    assert ended.value.value == 3
    endless = stop_at_most(ask(), one.fileno())
    next(endless)
    endless.send(1)
    take(one, other, 1001)
    with pytest.raises(NotMeasurable, match="longer than"):
        endless.send(1)


def test_who_can_not_be_counted_is_not() -> None:
    """A socket of another kind, and none."""
    one, other = socket.socketpair()
    with one, other:
        assert count_received(one.fileno()) == 0
    assert count_received(-1) == 0
