"""What a service manager is told, on both kinds of sockets; nobody waits for one that hangs."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from sentinel.adapters.own_process.service_manager import ServiceManager


@pytest.mark.parametrize("abstract", [False, True])
def test_a_datagram_for_each_word(tmp_path: Path, abstract: bool) -> None:
    """Lines of one datagram belong together. The variables are for this process alone."""
    address = f"@sentinel-{os.getpid()}-x" if abstract else str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000", "PATH": "/bin"}
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        told = ServiceManager(environment)
        assert environment == {"PATH": "/bin"}
        assert told.watchdog == 60.0
        assert told.tell("READY=1", "STATUS=watches")
        assert manager.recv(100) == b"READY=1\nSTATUS=watches"
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        told.tell_reloading()
        word, instant = manager.recv(100).decode().splitlines()
        assert word == "RELOADING=1"
        assert before <= int(instant.removeprefix("MONOTONIC_USEC=")) <= before + 10**6


def test_a_manager_that_reads_nothing(tmp_path: Path) -> None:
    """Its queue is full: the word is lost, and nobody waits."""
    address = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(address)
        told = ServiceManager({"NOTIFY_SOCKET": address})
        assert False in {told.tell("WATCHDOG=1") for _ in range(10_000)}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "/nowhere/notify"},
        {"NOTIFY_SOCKET": "/" + "x" * 200},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
    ],
)
def test_nobody_is_there(environment: dict[str, str]) -> None:
    """Nothing is raised."""
    told = ServiceManager(environment)
    assert not told.tell("READY=1")
    assert told.watchdog is None


@pytest.mark.parametrize(
    ("pid", "microseconds", "watchdog"),
    [
        pytest.param(str(os.getpid()), "2000000", 2.0, id="ours"),
        ("1", "2000000", None),
        ("", "no number", None),
        ("", "", None),
    ],
)
def test_whose_watchdog_it_is(pid: str, microseconds: str, watchdog: float | None) -> None:
    """Another process may have been meant."""
    told = ServiceManager({"WATCHDOG_PID": pid, "WATCHDOG_USEC": microseconds})
    assert told.watchdog == watchdog
