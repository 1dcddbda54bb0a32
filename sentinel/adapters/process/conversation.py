"""Talks with a short-lived process of ours: a document in, what it writes out, an end at its
deadline. Neither sentinel's environment nor its open files reach it, and nobody of its session is
left.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE

from sentinel.adapters.process.handle import read_start_id


async def converse(
    argv: Sequence[str], document: bytes, env: Mapping[str, str], deadline: float, most: int
) -> tuple[bytes, bool]:
    """(what the process wrote, whether it ended in time), by a deadline in seconds; one that writes
    more than `most` bytes is not listened to any longer. Raises OSError when it can't be started.
    """
    transport, conversation = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Conversation(most), *argv,
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=env, cwd="/", start_new_session=True,
    )  # fmt: skip
    pid = transport.get_pid()
    start_id = read_start_id(pid)
    try:
        async with asyncio.timeout(deadline):
            _write(transport, document)
            await conversation.ended.wait()
        return bytes(conversation.output), True
    except TimeoutError:
        return bytes(conversation.output), False
    finally:
        _end(pid, start_id)
        transport.close()


class _Conversation(asyncio.SubprocessProtocol):
    """Collects the answers until the process closes its side, or writes too much."""

    def __init__(self, most: int) -> None:
        self.output = bytearray()
        self.ended = asyncio.Event()
        self._most = most

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - the base class's signature
        """Take what came."""
        self.output += data
        if len(self.output) > self._most:
            self.ended.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - as above
        """Its side of a pipe is closed."""
        if fd == 1:
            self.ended.set()


def _write(transport: asyncio.SubprocessTransport, document: bytes) -> None:
    stdin = transport.get_pipe_transport(0)
    if isinstance(stdin, asyncio.WriteTransport):
        stdin.write(document)
        stdin.write_eof()


def _end(pid: int, start_id: str | None) -> None:
    """Kill its session, with what it started. A stranger who has its number now shows that nobody
    is left.
    """
    if read_start_id(pid) in {None, start_id}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
