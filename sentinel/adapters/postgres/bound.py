"""How much of an answer is read: libpq makes room for whatever length a message announces."""

from __future__ import annotations

import socket
import struct
from typing import TypeVar

from psycopg.abc import PQGen

from sentinel.errors import NotMeasurable

T = TypeVar("T")
MOST = 64 << 20
"""Bytes of one answer. Nothing that sentinel asks is answered with a hundredth of it."""
_RECEIVED = struct.Struct("=Q")
_OFFSET = 128
"""Of `tcpi_bytes_received` in the kernel's `struct tcp_info` (linux/tcp.h, since 4.1)."""


def stop_at_most(gen: PQGen[T], fileno: int) -> PQGen[T]:
    """The same generator of libpq, which ends when more than MOST bytes came over its socket.

    Raises NotMeasurable then. Who listens on a Unix socket is of this machine, and is not counted:
    the kernel doesn't tell.
    """
    try:
        wanted = next(gen)
        # What has come by the first time that anything had come is no more than the kernel held:
        # an ordinary answer ends with it, and needs no counting.
        wanted = gen.send((yield wanted))
        begun = count_received(fileno)
        while True:
            ready = yield wanted
            if count_received(fileno) - begun > MOST:
                text = f"the answer is longer than {MOST >> 20} MiB, and was not read to its end"
                raise NotMeasurable(text, "is this a PostgreSQL?")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


def count_received(fileno: int) -> int:
    """Bytes that came over a TCP socket since it was opened; 0 for one of another kind."""
    try:
        borrowed = socket.socket(fileno=fileno)
    except (OSError, ValueError):
        return 0
    try:
        told = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _OFFSET + 8)
    except OSError:
        return 0
    finally:
        borrowed.detach()
    return int(_RECEIVED.unpack_from(told, _OFFSET)[0]) if len(told) >= _OFFSET + 8 else 0
