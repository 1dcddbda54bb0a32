"""The program that lets Apprise send, in a process of its own: it works in threads that nobody can
end, reads answers of any size, and says of a failure that there was one.

Started as a file, without an import of sentinel. It takes one JSON request on its input and writes
a JSON line for each thing that it sees: `missing` without Apprise; what becomes of each target
(`ok`), and before that connections that stand (`connected`) or not (`unreached`) and codes of answers
(`status`, with the header `Retry-After`). So who holds it can tell a target that was never reached
from one that is silent, also when it has to end it.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
from typing import Any

MAX_MEMORY = 2**30
_SPEAK = threading.Lock()
_OUT = 3
"""Where lines go: a plugin that prints must not spoil them."""
_HERE = threading.local()


def tell(**facts: Any) -> None:
    """A line about the target of this thread."""
    with _SPEAK:
        line = json.dumps({"target": getattr(_HERE, "target", None), **facts})
        os.write(_OUT, f"{line}\n".encode())


def listen_to_sockets() -> None:
    """Every connection that a target opens, or fails to."""
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        try:
            connect(self, address)
        except OSError:
            tell(seen="unreached")
            raise
        tell(seen="connected")

    socket.socket.connect = watched  # type: ignore[method-assign, assignment]


def listen_to_http() -> None:
    """The code of every answer, by which and not by words a failure is judged."""
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - it comes with the extra
    from requests.exceptions import ConnectionError, SSLError  # noqa: A004, PLC0415

    send = HTTPAdapter.send

    def watched(self: HTTPAdapter, *arguments: Any, **options: Any) -> Any:
        try:
            answer = send(self, *arguments, **options)
        except SSLError:
            tell(seen="unreached")
            raise
        except ConnectionError as error:
            if _is_name_unknown(error):
                tell(seen="unreached")
            raise
        wait = str(answer.headers.get("Retry-After", ""))[:64]
        tell(seen="status", status=answer.status_code, wait=wait)
        return answer

    HTTPAdapter.send = watched  # type: ignore[method-assign]


def _is_name_unknown(error: Exception) -> bool:
    """A name without an address opens no socket."""
    from urllib3.exceptions import NameResolutionError  # noqa: PLC0415

    return isinstance(getattr(error.args[0], "reason", None), NameResolutionError)


def load(addresses: list[str]) -> list[Any]:
    """A service of Apprise for each address; None where it knows none.

    It keeps nothing, follows no redirect with a notice, and tries once: sentinel tries again. One
    message stays one, so that a failure half-way doubles nothing.
    """
    from apprise import Apprise, AppriseAsset, OverflowMode  # noqa: PLC0415 - an extra

    asset = AppriseAsset(storage_mode="memory", secure_logging=True)
    asset.http_redirects = False
    found = [Apprise.instantiate(address, asset=asset) for address in addresses]
    for service in filter(None, found):
        service.retry, service.redirects = 0, False
        service.overflow_mode = OverflowMode.TRUNCATE
    return found


def send_one(service: Any, number: int, request: dict[str, Any]) -> None:
    """One notice to one target."""
    _HERE.target = number
    service.socket_connect_timeout = service.socket_read_timeout = request["patience"]
    try:
        done = service.notify(
            body=request["body"], title=request["title"], notify_type=request["type"],
            body_format="text",
        )  # fmt: skip
    except Exception:  # noqa: BLE001 - a plugin may raise anything; what it did was seen
        done = False
    tell(ok=bool(done))


def check(services: list[Any]) -> None:
    """Whether each address is one, and of one recipient."""
    for number, service in enumerate(services):
        _HERE.target = number
        tell(ok=service is not None, recipients=len(service) if service is not None else 0)


def send(services: list[Any], request: dict[str, Any]) -> None:
    """To every target, side by side."""
    threads = [
        threading.Thread(target=send_one, args=(service, number, request), daemon=True)
        for number, service in enumerate(services)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """One request."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(1, _OUT)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    try:
        services = load(request["addresses"])
        listen_to_http()
    except ImportError:
        tell(missing=True)
        os._exit(1)
    listen_to_sockets()
    if request["check"]:
        check(services)
    else:
        send(services, request)
    os._exit(0)  # a thread of a plugin may hang


if __name__ == "__main__":
    main()
