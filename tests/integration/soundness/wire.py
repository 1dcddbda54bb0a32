"""A blocking connection to a server: many commands in one write, raw replies kept as they came."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import hiredis
import redis

Command = Sequence[Any]


def encode(command: Command) -> bytes:
    """A command as a RESP array of bulk strings."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def split_commands(payload: bytes) -> list[list[bytes]]:
    """The commands of a payload."""
    reader = hiredis.Reader()
    reader.feed(payload)
    found = []
    while (command := reader.gets()) is not False:
        found.append(command)
    return found


class Wire:
    """Connects on first use, and anew after `drop`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def drop(self) -> None:
        """Close; the server is gone, or about to be."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def exchange(self, payload: bytes, count: int) -> tuple[bytes, list[Any]]:
        """Send, and wait for so many replies: as they came, and parsed; errors are values."""
        line = self._socket or self._connect()
        line.sendall(payload)
        reader = hiredis.Reader()
        raw, replies = b"", []
        while len(replies) < count:
            received = line.recv(2**18)
            if not received:
                self.drop()
                raise redis.ConnectionError("closed by the server")
            raw += received
            reader.feed(received)
            while (reply := reader.gets()) is not False:
                replies.append(reply)
        return raw, replies

    def ask(self, *commands: Command) -> list[Any]:
        """Replies to commands in one write; an error is a value."""
        return self.exchange(b"".join(map(encode, commands)), len(commands))[1]

    def call(self, *command: Any) -> Any:
        """The reply to one command; raises what the server refused."""
        reply = self.ask(command)[0]
        if isinstance(reply, Exception):
            raise redis.ResponseError(f"{command}: {reply}")
        return reply

    def _connect(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = line
        return line
