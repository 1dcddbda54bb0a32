"""What a service manager is told by way of sd_notify(3): a datagram on the socket that it named."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

_SECOND = 1_000_000


class ServiceManager:
    """systemd, or whoever speaks its protocol; nobody where there is no socket.

    The three variables are taken out of the environment: they are meant for this process alone, not
    for the programs that it starts.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        self.watchdog = int(microseconds) / _SECOND if mine and microseconds.isdigit() else None
        """Seconds within which it wants a sign of life again and again; None: it wants none."""

    def tell(self, *states: str) -> bool:
        """Never waits, raises nothing; whether it was sent."""
        if self._address[:1] not in {"/", "@"}:
            return False
        # The abstract name space is written with an @ in place of its NUL.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as channel:
                channel.sendto("\n".join(states).encode(), address)
        except OSError:
            return False
        return True

    def tell_reloading(self) -> None:
        """A reload begins; `READY=1` ends it. The instant orders the two (`Type=notify-reload`)."""
        microseconds = int(time.clock_gettime(time.CLOCK_MONOTONIC) * _SECOND)
        self.tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")
