"""The questions of many checks over one connection: all that are asked in one turn of the loop go out
in one write, and the answers come back in their order.

A connection for each would be a thousand, and a pool of eight has the others wait for their turn,
and call that an outage or our own limit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions as rx

from sentinel.adapters.redis.client import (
    Command,
    RedisClient,
    find_refusal,
    unpack_transaction,
)
from sentinel.adapters.redis.gate import TooMuch
from sentinel.adapters.redis.resp import READ_BYTES, encode_all, make_reader
from sentinel.adapters.redis.shape import judge_reply
from sentinel.errors import NotMeasurable, TargetError, TargetUnreachable, name_resource

_ENDLESS = 4
"""An answer that comes for so many times the client's timeout holds up the others no longer."""


async def ask(client: RedisClient, commands: Sequence[Command]) -> list[Any]:
    """The replies to small commands, over the connection that all who ask share. A command that
    failed yields its TargetError.

    Raises TargetError. Who is the first in line and hears nothing knows that the server is silent;
    who stands behind does not, and is told so by how a new connection fares.
    """
    replies = await _exchange(client, commands)
    return [judge_reply(*pair) for pair in zip(commands, replies, strict=True)]


@dataclass(frozen=True, slots=True)
class SharedWire:
    """A client's commands over one connection that all of this `name` share. Raises as the client
    does, and AnswerLost where a command may have been carried out or not.
    """

    client: RedisClient
    name: str

    async def call(self, *command: Any) -> Any:
        """As `RedisClient.call`."""
        (reply,) = await _exchange(self.client, [command], self.name)
        reply = judge_reply(command, reply)
        if isinstance(reply, TargetError):
            with name_resource(self.client.name):
                raise reply
        return reply

    async def transaction(self, commands: Sequence[Command]) -> list[Any]:
        """As `RedisClient.transaction`."""
        if not commands:
            return []
        replies = await _exchange(self.client, [("MULTI",), *commands, ("EXEC",)], self.name)
        refusal = find_refusal(commands, replies)
        if refusal is not None:
            with name_resource(self.client.name):
                raise refusal
        return unpack_transaction(commands, replies)


async def _exchange(client: RedisClient, commands: Sequence[Command], name: str = "") -> list[Any]:
    line = client.lines.get(name)
    if line is None:
        line = client.lines[name] = SharedLine(client)
    with name_resource(client.name):
        return await line.ask(encode_all(commands), len(commands))


@dataclass(slots=True, eq=False)
class _Question:
    """What somebody asked, and what has come of it."""

    payload: bytes
    count: int
    answer: asyncio.Future[list[Any]]
    replies: list[Any] = field(default_factory=list)


class SharedLine:
    """One connection of a client, opened when somebody asks, kept while it lives."""

    __slots__ = (
        "_client",
        "_first_since",
        "_heard",
        "_proven",
        "_sent",
        "_serving",
        "_stream",
        "_unsent",
        "_watch",
        "_writer",
    )

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._unsent: list[_Question] = []
        self._sent: deque[_Question] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._stream: asyncio.StreamReader | None = None
        self._writer: Any = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard = self._first_since = 0.0
        self._proven = False
        """Whether this connection has given an answer."""

    async def ask(self, payload: bytes, count: int) -> list[Any]:
        """The replies to encoded commands. Raises TargetError."""
        loop = asyncio.get_running_loop()
        question = _Question(payload, count, loop.create_future())
        if not self._unsent and self._writer is not None:
            loop.call_soon(self._flush)
        self._unsent.append(question)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve(), name=f"redis {self._client.name}")
        return await question.answer

    async def close(self) -> None:
        """Close the connection; who still waits is told so."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            await asyncio.wait({serving})
        self._fail(self._take_all(), _closed_by_us())

    # -- the connection ---------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Open, send, hand out, until the connection ends; again while somebody waits for it."""
        behind: list[_Question] = []
        try:
            while True:
                opened = False
                try:
                    async with self._client.borrow() as connection:
                        opened = True
                        self._fail(behind, _not_told())
                        behind = []
                        await self._talk(connection)
                except TargetError as error:
                    behind = self._sort_out(error, behind, opened=opened)
                if not behind and not self._unsent:
                    return
                await asyncio.sleep(self._client.wait_for_next_try)
        except asyncio.CancelledError:
            self._fail(behind + self._take_all(), _closed_by_us())
            raise
        finally:
            self._serving = None
            self._fail(behind + self._take_all(), _not_told())

    async def _talk(self, connection: Any) -> None:
        self._stream, self._writer = connection._reader, connection._writer
        self._proven = False
        try:
            self._flush()
            await self._read()
        finally:  # what is asked from now on waits for the next connection
            self._stream = self._writer = None
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None
        await connection.disconnect(nowait=True)

    def _flush(self) -> None:
        """Send all that was asked since the last time, in one write."""
        if self._writer is None or not self._unsent:
            return
        asked, self._unsent = [each for each in self._unsent if not each.answer.done()], []
        now = asyncio.get_running_loop().time()
        if not self._sent:
            self._heard = self._first_since = now
        self._sent.extend(asked)
        self._writer.write(b"".join([each.payload for each in asked]))
        if self._watch is None:
            self._look_later(self._client.timeout)

    async def _read(self) -> None:
        """Hand out what comes. Ends with the connection; raises when somebody was waiting."""
        reader, loop = make_reader(), asyncio.get_running_loop()
        stream = self._stream
        while stream is not None:
            try:
                received = await stream.read(READ_BYTES)
            except OSError:
                if self._sent:
                    raise
                return  # reset while it was idle: no failure, and nothing to wait for after it
            if not received:
                if self._sent:
                    raise rx.ConnectionError("Connection closed by server.")
                return
            self._heard = loop.time()
            reader.feed(received)
            while (reply := reader.gets()) is not False:
                self._hand_out(reply)

    def _hand_out(self, reply: Any) -> None:
        if not self._sent:
            raise rx.InvalidResponse("an answer to nothing")
        first = self._sent[0]
        first.replies.append(reply)
        if len(first.replies) == first.count:
            self._sent.popleft()
            self._proven, self._first_since = True, self._heard
            if not first.answer.done():
                first.answer.set_result(first.replies)

    # -- silence ----------------------------------------------------------------------------------

    def _look_later(self, seconds: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """One timer for all who wait: it counts from the last byte, as each by itself would."""
        self._watch = None
        if not self._sent or self._stream is None:
            return
        now, patience = asyncio.get_running_loop().time(), self._client.timeout
        if now - self._heard >= patience:
            self._stream.set_exception(rx.TimeoutError("Timeout reading from the server"))
        elif now - self._first_since >= _ENDLESS * patience:
            text = f"own limit: an answer that goes on for more than {_ENDLESS * patience:g} s"
            self._stream.set_exception(TooMuch(text))
        else:
            self._look_later(max(self._heard + patience - now, 0.01))

    # -- the end of a connection ------------------------------------------------------------------

    def _sort_out(
        self, error: TargetError, behind: list[_Question], *, opened: bool
    ) -> list[_Question]:
        """Who is told of an error, and who has to wait for what a new connection says.

        Whoever no connection could be opened for has it from the server itself. Of an open one it
        concerns who was the first in line; nobody at all where it had answered before and was only
        closed: a server may close what was idle.
        """
        if not opened:
            self._fail(behind + self._take_all(), error)
            return []
        sent = list(self._sent)
        self._sent.clear()
        if self._proven and _is_closed(error):
            return sent
        self._fail(sent[:1], error)
        return sent[1:]

    def _take_all(self) -> list[_Question]:
        waiting = [*self._sent, *self._unsent]
        self._sent.clear()
        self._unsent.clear()
        return waiting

    def _fail(self, questions: Sequence[_Question], error: TargetError) -> None:
        for each in questions:
            if not each.answer.done():
                each.answer.set_exception(_copy(error))


def _is_closed(error: TargetError) -> bool:
    return isinstance(error, TargetUnreachable) and not isinstance(
        error.__cause__, rx.TimeoutError | TimeoutError
    )


class AnswerLost(NotMeasurable):
    """It was sent, and the connection ended before the answer came: done or not, nobody knows."""


def _closed_by_us() -> NotMeasurable:
    """Of the server it tells nothing."""
    return NotMeasurable("the client was closed meanwhile")


def _not_told() -> NotMeasurable:
    return AnswerLost(
        "the shared connection ended before the answer came, and the server takes a new one",
        "nothing, when it was once: else see what other checks on this resource ask",
    )


def _copy(error: TargetError) -> TargetError:
    """One for each who waits: what is raised keeps the frames that it came through."""
    again = type(error)(error.message, error.guidance, code=error.code)
    again.matter, again.status, again.fault = error.matter, error.status, error.fault
    again.__cause__ = error.__cause__
    return again
