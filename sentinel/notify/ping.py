"""The dead man's switch, outwards: a service that raises the alarm when sentinel no longer calls.

In the style of Healthchecks: the address as it is says "alive", `/log` below it takes a text. No
call is made while the state can't be written or the checks stand still: then the silence is the
message.
"""

from __future__ import annotations

from pydantic import Field, SecretStr

from sentinel.core.notice import Notice
from sentinel.notify import Channel, ChannelOptions, ChannelRoom
from sentinel.strict.field import Duration


class PingOptions(ChannelOptions):
    """Whom to call, and how often."""

    address: SecretStr = Field(
        description="address to call, from the environment; or address_file",
        examples=['"${PING_ADDRESS}"'],
    )
    every: Duration = Field(60.0, ge=1, description="time between two calls")
    ca_file: str = Field("", description="issuers to trust beside the system's, as PEM")


async def _call(options: PingOptions, room: ChannelRoom, below: str, body: bytes = b"") -> None:
    address = options.address.get_secret_value().rstrip("/") + below
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    await room.deliver(address, body, headers, ca_file=options.ca_file)


async def send(options: PingOptions, room: ChannelRoom, notice: Notice) -> None:
    """A notice becomes a line in the log of the service; it changes no state there."""
    await _call(options, room, "/log", f"{notice.title}\n{notice.text}".encode())


async def beat(options: PingOptions, room: ChannelRoom) -> None:
    """Sentinel is alive."""
    await _call(options, room, "")


async def prove(options: PingOptions, room: ChannelRoom) -> None:
    """Any answer will do."""
    await room.ask("HEAD", options.address.get_secret_value(), ca_file=options.ca_file)


CHANNEL = Channel(
    "ping", "A dead man's switch that sentinel calls while it works", PingOptions, send, prove, beat
)
