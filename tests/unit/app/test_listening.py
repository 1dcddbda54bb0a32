"""The address of the page: taken whole or not at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from sentinel.app import listening
from sentinel.app.listening import bind, listen
from sentinel.clock import utcnow
from sentinel.config import Configuration, PageAccess
from sentinel.core.access import AccessRules
from sentinel.core.foreign.host import HostName
from sentinel.errors import PortInUse
from sentinel.metrics import Metrics
from sentinel.store.sqlite import SqliteStore
from sentinel.web.door import DoorGuard


def configured(host: str, port: int, **more: Any) -> Configuration:
    more = {"access": PageAccess(), **more}
    return SimpleNamespace(listen=(host, port), listen_place="sentinel.yaml:1", **more)  # type: ignore[return-value]


@pytest.fixture
def taken() -> Iterator[ExitStack]:
    """Sockets that are closed afterwards."""
    with ExitStack() as stack:
        yield stack


def test_localhost_is_both_loopbacks(taken: ExitStack) -> None:
    """Whoever asks for `localhost` gets the page, by IPv4 and by IPv6, on the same port."""
    bound = [taken.enter_context(each) for each in bind(configured("localhost", 0))]
    names = {each.getsockname()[0] for each in bound}
    assert names <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in names
    assert len({each.getsockname()[1] for each in bound}) == 1


@pytest.mark.parametrize("other", ["127.0.0.1", "::1"])
def test_half_an_address_is_none(taken: ExitStack, other: str) -> None:
    """A port that somebody has on one of the two is in use, and nothing is kept of the other."""
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    try:
        held = taken.enter_context(socket.create_server((other, 0), family=family))
    except OSError:
        pytest.skip("no IPv6 here")
    port = held.getsockname()[1]
    with pytest.raises(PortInUse, match=rf"sentinel.yaml:1: listen: .* localhost:{port}"):
        bind(configured("localhost", port))
    free = "127.0.0.1" if ":" in other else "::1"
    family = socket.AF_INET6 if ":" in free else socket.AF_INET
    taken.enter_context(socket.create_server((free, port), family=family))


async def test_any_port_is_served(tmp_path: Path) -> None:
    """With port 0 the page is at the port that it got, and says so; trusted hosts are those of the
    configuration in force.
    """
    store, metrics = SqliteStore(tmp_path), Metrics()
    in_force = [configured("127.0.0.1", 0, state=tmp_path, trusted_hosts=())]
    page = await listen(lambda: in_force[0], store, metrics, lambda: (True, "ready"), utcnow)
    async with aiohttp.ClientSession() as session:

        async def ask(**headers: str) -> int:
            async with session.get(f"{page.url}/-/healthy", headers=headers) as answer:
                return answer.status

        assert await ask() == 200
        assert await ask(Host="status.example.com") == 421
        trusted = (HostName("status.example.com"),)
        in_force[0] = configured("127.0.0.1", 0, state=tmp_path, trusted_hosts=trusted)
        assert await ask(Host="status.example.com") == 200
    assert b'sentinel_page_refused_total{reason="displaced"} 0.0' in metrics.render()
    await page.close()
    with socket.create_server(("127.0.0.1", page.address[1])):
        store.close()


async def test_who_may_connect_follows_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond loopback and without TLS nobody but trusted proxies; a reload changes who they are,
    and never makes the address of the start another one.
    """
    guards: list[DoorGuard] = []

    async def note(*_given: Any, guard: DoorGuard, **_more: Any) -> None:
        guards.append(guard)

    monkeypatch.setattr(listening, "open_page", note)
    monkeypatch.setattr(listening, "bind", lambda _configuration: [socket.socket()])
    rules = AccessRules(exposed=True, proxies=(ip_network("10.1.0.7"),))
    given = [configured("0.0.0.0", 9130, access=PageAccess(rules), state=tmp_path)]
    store = SqliteStore(tmp_path)
    await listen(lambda: given[-1], store, Metrics(), lambda: (True, "ready"), utcnow)
    [guard] = guards
    assert guard.certificate() is None
    assert [guard.may_connect(f"10.1.0.{n}") for n in (7, 8)] == [True, False]
    rules = AccessRules(exposed=False, proxies=(ip_network("10.1.0.8"),))
    given.append(configured("127.0.0.1", 9130, access=PageAccess(rules), state=tmp_path))
    assert [guard.may_connect(f"10.1.0.{n}") for n in (7, 8)] == [False, True]
    store.close()
