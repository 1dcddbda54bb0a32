"""A private dbus-daemon, and on it a service of ours with the interface of systemd: units, jobs,
JobRemoved.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.conftest import require_tool

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>{more}
  </policy>
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon on a socket of its own."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self._folder = folder
        self._socket = folder / "bus"
        (folder / "bus.conf").write_text(CONFIGURATION.format(socket=self._socket, more=more))
        self.address = f"unix:path={self._socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [
            require_tool("dbus-daemon"),
            f"--config-file={self._folder / 'bus.conf'}",
            "--nofork",
        ]
        self._socket.unlink(missing_ok=True)
        self.process = subprocess.Popen([*command, "--print-address=1"], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "dbus-daemon did not start"

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


@dataclass
class Double:
    """One unit of systemd. `refuse` names the D-Bus error for what changes something."""

    unit: str = "orders.service"
    active: str = "active"
    sub: str = "running"
    load: str = "loaded"
    invocation: bytes = b"\x01" * 16
    since: int = 1000
    pid: int = 4242
    restarts: int = 0
    result: str = "success"
    job: int = 0
    can_reload: bool = True
    refuse: str = ""
    silent: bool = False
    """Answers nothing at all."""
    job_result: str = "done"
    job_ends: str = "after"
    """When JobRemoved is sent: `before` the reply, `after` it, or `never`; with `lost` the reply is
    not sent either.
    """
    acts: bool = True
    """Whether a job changes anything."""
    asked: list[tuple[str, ...]] = field(default_factory=list)
    subscribed: bool = False
    _jobs: Any = field(default_factory=lambda: itertools.count(7))

    async def serve(self, address: str) -> MessageBus:
        """Be systemd on this bus."""
        self._bus = await MessageBus(bus_address=address).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(NAME)
        return self._bus

    def _answer(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL or message.destination not in {NAME}:
            return False
        if self.silent:
            return True
        answer: Callable[[Message], Message | bool] = getattr(
            self, f"_on_{message.member.lower()}", self._on_job
        )
        return answer(message)

    def _on_subscribe(self, message: Message) -> Message:
        if self.subscribed:
            return Message.new_error(
                message, f"{NAME}.AlreadySubscribed", "Client is already subscribed."
            )
        self.subscribed = True
        return Message.new_method_return(message)

    def _on_loadunit(self, message: Message) -> Message:
        return Message.new_method_return(message, "o", [f"{PATH}/unit/orders_2eservice"])

    def _on_getall(self, message: Message) -> Message:
        values = {
            f"{NAME}.Unit": {
                "LoadState": Variant("s", self.load),
                "ActiveState": Variant("s", self.active),
                "SubState": Variant("s", self.sub),
                "InvocationID": Variant("ay", self.invocation),
                "ActiveEnterTimestampMonotonic": Variant("t", self.since),
                "Job": Variant("(uo)", [self.job, f"{PATH}/job/{self.job}" if self.job else "/"]),
                "CanReload": Variant("b", self.can_reload),
            },
            f"{NAME}.Service": {
                "MainPID": Variant("u", self.pid),
                "NRestarts": Variant("u", self.restarts),
                "Result": Variant("s", self.result),
            },
        }
        return Message.new_method_return(message, "a{sv}", [values[message.body[0]]])

    def _on_job(self, message: Message) -> Message | bool:
        self.asked.append((message.member, *message.body))
        if self.refuse:
            return Message.new_error(message, self.refuse, "Interactive authentication required.")
        number = next(self._jobs)
        if self.acts:
            self._act(message.member)
        if self.job_ends == "lost":
            return True
        path = f"{PATH}/job/{number}"
        end = Message.new_signal(
            PATH,
            f"{NAME}.Manager",
            "JobRemoved",
            "uoss",
            [number, path, message.body[0], self.job_result],
        )
        if self.job_ends == "before":
            self._bus.send(end)
        if self.job_ends == "after":
            asyncio.get_running_loop().call_later(0.05, self._bus.send, end)
        return Message.new_method_return(message, "o", [path])

    def _act(self, method: str) -> None:
        if method == "StopUnit":
            self.active, self.sub, self.pid = "inactive", "dead", 0
        elif method != "ReloadUnit":
            self.active, self.sub, self.pid = "active", "running", self.pid + 1
            self.invocation, self.since = secrets.token_bytes(16), self.since + 1


@asynccontextmanager
async def private_systemd(folder: Path) -> AsyncIterator[tuple[PrivateBus, Double]]:
    """A bus and a service manager with one running unit."""
    bus = PrivateBus(folder)
    bus.start()
    double = Double()
    connection = await double.serve(bus.address)
    try:
        yield bus, double
    finally:
        if connection.connected:
            connection.disconnect()
        bus.stop()
