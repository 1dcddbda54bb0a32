"""systemd over D-Bus (org.freedesktop.systemd1): what a unit is doing, and jobs that are waited
for.

One connection, made when it is first needed and again after it broke. Times in seconds. Raises
TargetError only. Interface: https://www.freedesktop.org/wiki/Software/systemd/dbus/ and
org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sentinel.core.quantity import format_duration
from sentinel.errors import NotMeasurable, ReplyLost, TargetError, TargetRejected, TargetUnreachable

try:
    from dbus_fast import BusType, Message, MessageType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import DBusFastError
except ImportError:
    UNAVAILABLE = "install its library: pip install 'sentinel-sre[systemd]'"
else:
    UNAVAILABLE = ""

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_JOB_REMOVED = (
    f"type='signal',sender='{_NAME}',path='{_PATH}',interface='{_MANAGER}',member='JobRemoved'"
)
_OUR_RIGHTS = {
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
    "org.freedesktop.DBus.Error.AuthFailed",
}
_NOBODY = {"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"}
_LOST = {"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected"}
_JOBS_KEPT = 1000
_LOOK_EVERY = 0.25
"""Seconds between looks whether the connection still stands while a job is waited for."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit at one moment, in systemd's words.

    `load` loaded, not-found, masked …; `active` active, reloading, inactive, failed, activating,
    deactivating;
    `sub` such as running, exited, auto-restart. `invocation` is new at every start (hex),
    `active_since` its CLOCK_MONOTONIC microseconds. `result` says how a service ended, `restarts`
    how often systemd restarted it.
    """

    load: str
    active: str
    sub: str
    invocation: str
    active_since: int
    main_pid: int
    restarts: int
    result: str
    has_job: bool
    can_reload: bool


class Systemd:
    """The service manager of one bus: "system", "user", or a D-Bus address."""

    def __init__(self, bus: str = "system", seconds: float = 3.0) -> None:
        self._where = bus
        self._seconds = seconds
        self._bus: MessageBus | None = None
        self._opening = asyncio.Lock()
        self._ended: dict[str, str] = {}
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def read(self, unit: str) -> Unit:
        """What the unit is doing; a name that nobody knows has load state not-found."""
        try:
            async with asyncio.timeout(self._seconds):
                (path,) = await self._call("LoadUnit", "s", [unit])
                found = await self._properties(path, f"{_NAME}.Unit")
                more = (
                    await self._properties(path, f"{_NAME}.Service")
                    if unit.endswith(".service")
                    else {}
                )
        except TimeoutError as error:
            text = f"systemd did not answer within {format_duration(self._seconds)}"
            raise TargetUnreachable(text, "is systemd or the bus overloaded?") from error
        return _unit(found, more)

    async def run_job(self, method: str, unit: str, seconds: float) -> str:
        """StartUnit, StopUnit, RestartUnit or ReloadUnit; the result of its job: done, failed,
        canceled, timeout …

        Raises ReplyLost when the job did not end within `seconds` or the bus broke meanwhile.
        """
        try:
            async with asyncio.timeout(seconds):
                bus = await self._opened()
                await self._subscribe(bus)
                (job,) = await self._call(method, "ss", [unit, "replace"])
                return await self._result_of(job, bus)
        except TimeoutError as error:
            text = f"{method} {unit}: its job did not end within {format_duration(seconds)}"
            raise ReplyLost(text, f"systemctl list-jobs; journalctl -u {unit}") from error

    def close(self) -> None:
        """Let go of the connection; jobs go on."""
        bus, self._bus = self._bus, None
        if bus is not None and bus.connected:
            bus.disconnect()

    async def _result_of(self, job: str, bus: MessageBus) -> str:
        """The result of a job; its end may have been told before the reply that named it."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[job] = future
        if job in self._ended:
            future.set_result(self._ended[job])
        try:
            while not future.done():
                if not bus.connected:
                    raise _broken("the wait for the end of a job")
                await asyncio.wait({future}, timeout=_LOOK_EVERY)
            return future.result()
        finally:
            del self._waiting[job]

    def _on_message(self, message: Message) -> None:
        if (
            message.member != "JobRemoved"
            or message.interface != _MANAGER
            or len(message.body) != 4
        ):
            return
        _, job, _, result = message.body
        self._ended[job] = result
        if job in self._waiting and not self._waiting[job].done():
            self._waiting[job].set_result(result)
        while len(self._ended) > _JOBS_KEPT:  # most are jobs of others
            self._ended.pop(next(iter(self._ended)))

    async def _subscribe(self, bus: MessageBus) -> None:
        """Have systemd tell the ends of jobs: again before each, as a restart of systemd forgets
        it.
        """
        try:
            await bus.call(
                Message(_NAME, _PATH, _MANAGER, "Subscribe")
            )  # a second one is an error that says so
        except (OSError, EOFError, DBusFastError) as error:
            raise NotMeasurable("the connection to the bus broke", "was dbus restarted?") from error

    async def _properties(self, path: str, interface: str) -> Mapping[str, Any]:
        (values,) = await self._send(
            _NAME, path, "org.freedesktop.DBus.Properties", "GetAll", "s", [interface]
        )
        return {name: variant.value for name, variant in values.items()}

    async def _call(self, method: str, signature: str = "", body: Sequence[Any] = ()) -> list[Any]:
        return await self._send(_NAME, _PATH, _MANAGER, method, signature, body)

    async def _send(
        self, name: str, path: str, interface: str, method: str, signature: str, body: Sequence[Any]
    ) -> list[Any]:
        bus = await self._opened()
        message = Message(name, path, interface, method, signature=signature, body=list(body))
        try:
            reply = await bus.call(message)
        except (OSError, EOFError, DBusFastError) as error:
            raise _broken(method) from error
        if reply is None:
            raise _broken(method)
        if reply.message_type is MessageType.ERROR:
            raise _refused(method, reply.error_name or "", str(reply.body[0]) if reply.body else "")
        return list(reply.body)

    async def _opened(self) -> MessageBus:
        async with self._opening:
            if self._bus is None or not self._bus.connected:
                self._bus = await self._open()
            return self._bus

    async def _open(self) -> MessageBus:
        """Connect, and have the ends of jobs told."""
        try:
            async with asyncio.timeout(self._seconds):
                bus = await _connect(self._where)
                await bus.call(_add_match())
        except TimeoutError as error:
            text = f"the bus did not answer within {format_duration(self._seconds)}"
            raise NotMeasurable(text, "is dbus-daemon frozen?") from error
        except (OSError, EOFError, DBusFastError, ValueError) as error:
            text = (
                f"can't connect to the {self._where} bus:"
                f" {getattr(error, 'strerror', None) or error}"
            )
            raise NotMeasurable(
                text, "does dbus run here, and may this user open its socket?"
            ) from error
        bus.add_message_handler(self._on_message)
        return bus


async def _connect(where: str) -> MessageBus:
    if where in {"system", "user"}:
        return await MessageBus(
            bus_type=BusType.SYSTEM if where == "system" else BusType.SESSION
        ).connect()
    return await MessageBus(bus_address=where).connect()


def _add_match() -> Message:
    bus = "org.freedesktop.DBus"
    return Message(
        bus, "/org/freedesktop/DBus", bus, "AddMatch", signature="s", body=[_JOB_REMOVED]
    )


def _unit(found: Mapping[str, Any], more: Mapping[str, Any]) -> Unit:
    with suppress(KeyError, TypeError, ValueError):
        return Unit(
            load=str(found["LoadState"]),
            active=str(found["ActiveState"]),
            sub=str(found["SubState"]),
            invocation=bytes(found.get("InvocationID", b"")).hex(),
            active_since=int(found.get("ActiveEnterTimestampMonotonic", 0)),
            main_pid=int(more.get("MainPID", 0)),
            restarts=int(more.get("NRestarts", 0)),
            result=str(more.get("Result", "")),
            has_job=bool(found.get("Job", (0, "/"))[0]),
            can_reload=bool(found.get("CanReload", False)),
        )
    raise NotMeasurable(
        "the answer is not that of systemd", "what owns org.freedesktop.systemd1 on this bus?"
    )


def _broken(method: str) -> TargetError:
    return ReplyLost(f"the connection to the bus broke during {method}", "was dbus restarted?")


def _refused(method: str, name: str, text: str) -> TargetError:
    short = " ".join(text.split())[:200]
    if name in _OUR_RIGHTS:
        remedy = (
            "allow this user org.freedesktop.systemd1.manage-units for the unit in a polkit rule,"
            " or run as root"
        )
        return NotMeasurable(f"systemd refuses {method}: permission denied", remedy, code=name)
    if name in _NOBODY:
        return NotMeasurable(
            "no systemd answers on this bus", "systemd drivers need systemd as service manager"
        )
    if name in _LOST:
        return ReplyLost(f"no reply to {method}: {short}", "is systemd overloaded?", code=name)
    return TargetRejected(
        f"systemd refuses {method}: {short or name}", "systemctl status of the unit says more"
    )
