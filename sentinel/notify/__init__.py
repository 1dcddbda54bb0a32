"""One file per channel: how people are told. A channel is a value, as a check kind is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

from sentinel.adapters.http.arrival import may_have_arrived
from sentinel.adapters.http.client import HttpClient, HttpResponse
from sentinel.clock import utcnow
from sentinel.core.foreign.visible import make_visible
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Notice
from sentinel.errors import NotDelivered, TargetError
from sentinel.shelf import LazyShelf
from sentinel.strict.field import refusal

UNREAD = "unknown"
"""Stands for a secret whose file could not be read: that problem is told already."""
PATIENCE = 10.0
"""Seconds for one delivery."""
_SHOWN = 120
"""Characters of a receiver's answer that an error shows."""
_TEMPORARY = frozenset({408, 421, 425, 429})
_GATEWAY_TIMEOUT = 504


_OURS = frozenset({401, 403, 404, 405, 407, 410})
"""What a receiver answers to a wrong address or secret: nothing is wrong with the notice."""
_ADDRESS = re.compile(r"https?://[^\s/?#@]+[^\s#]*")


def _web_address(text: str) -> str:
    if _ADDRESS.fullmatch(text) is None:
        raise refusal("is no web address", "write http:// or https://, a host, a path")
    return text


WebAddress = Annotated[str, AfterValidator(_web_address)]
"""Without user and password: a secret has an option of its own."""


class ChannelOptions(BaseModel):
    """Base of every channel's options: strict, frozen, unknown keys refused. Its fields are YAML
    keys of a channel; a secret `x` may also be given as `x_file`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(slots=True)
class ChannelRoom:
    """What a configured channel works with: its name, a clock, HTTP by the house's client."""

    name: str
    now: Callable[[], datetime] = utcnow
    patience: float = PATIENCE
    reached: dict[str, set[str]] = field(default_factory=dict)
    """Key of a notice → who has it already, where one notice goes to several."""
    _clients: dict[tuple[str, str], HttpClient] = field(default_factory=dict)

    async def ask(
        self,
        method: str,
        address: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: str = "",
    ) -> HttpResponse:
        """Any answer of a server. Raises NotDelivered when there is none."""
        parts = urlsplit(address)
        base = f"{parts.scheme}://{parts.netloc}"
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        client = self._clients.get((base, ca_file))
        if client is None:
            client = HttpClient(self.name, base, ca_file=ca_file)
            self._clients[base, ca_file] = client
        try:
            return await client.request(
                method, path, body=body, headers=headers, timeout=self.patience
            )
        except TargetError as error:
            arrived = may_have_arrived(error)
            raise NotDelivered(error.message, error.guidance, arrived=arrived) from error

    async def deliver(
        self,
        address: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        ca_file: str = "",
    ) -> HttpResponse:
        """POST, and an answer of success. Raises NotDelivered for every other one."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        answer = await self.ask("POST", address, body=body, headers=sent, ca_file=ca_file)
        judge_answer(answer)
        return answer

    async def close(self) -> None:
        """Let go of every session."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def judge_answer(answer: HttpResponse) -> None:
    """Raises NotDelivered for an answer that is no success, by its code: what is wrong with the
    request stays wrong, what is wrong with the server may pass.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    said = make_visible(answer.body[:_SHOWN].decode(errors="replace"))
    text = f"answered {status}{f': {said}' if said.strip() else ''}"
    if status >= 500 or status in _TEMPORARY:
        # Behind a proxy that gave up waiting it may have been taken.
        arrived = status == _GATEWAY_TIMEOUT
        raise NotDelivered(text, retry_after=answer.retry_after, arrived=arrived)
    if status in _OURS or 300 <= status < 400:
        guidance = "correct the address or the secret of this channel, and reload"
        raise NotDelivered(text, guidance, error_class=ErrorClass.OURS)
    guidance = "the receiver does not take what sentinel sends: is it of this kind?"
    raise NotDelivered(text, guidance, error_class=ErrorClass.PERMANENT)


Send = Callable[[Any, ChannelRoom, Notice], Awaitable[None]]
Call = Callable[[Any, ChannelRoom], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to tell people one thing.

    `send(options, room, notice)` delivers, or raises: NotDelivered says whether another try may
    help, every other error counts as temporary. `notice.key` is the same at every repetition.

    `prove(options, room)` shows without a notice that the receiver answers; it is asked before a
    notice is repeated that may have arrived. `beat(options, room)` is called every `options.every`
    seconds while sentinel works.

    `repeatable`: the receiver knows a repetition by its key. `keeps`: it keeps what it is told,
    so it hears of each affair and not of digests; `lease(options)` gives the seconds after which it forgets an
    alert that is not told again.
    """

    name: str
    summary: str
    options: type[ChannelOptions]
    send: Send
    prove: Call | None = None
    beat: Call | None = None
    repeatable: bool = False
    keeps: bool = False
    lease: Callable[[Any], float] | None = None


def load_channels() -> Mapping[str, Channel]:
    """Every channel of this folder by name: a new file is a new channel, nothing else is edited."""
    return LazyShelf(__name__, Channel, "CHANNEL")
