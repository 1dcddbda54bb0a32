"""The docker driver on real containers: Podman and runc, by the Docker Engine API on a socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.adapters.docker import Container, DockerEngine
from sentinel.core.model import Component, RestartPolicy
from sentinel.remediation import DriverContext, OutsideDriver
from sentinel.remediation.docker import DRIVER, DockerOptions, observe
from tests.podman import STUBBORN, Podman


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """An engine, shared by the tests of this file."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-podman-"))
    engine = Podman(folder)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


def make_driver(
    socket: Path, name: str, *, stop_timeout: float = 20.0, kill_safe: bool = False, **keys
) -> OutsideDriver:
    """The driver of one container."""
    component = Component(
        name, restart=RestartPolicy(stop_timeout=stop_timeout, kill_safe=kill_safe)
    )
    options = DockerOptions.model_validate(
        {"container": name, "socket": str(socket), "deadline": "60s", **keys}
    )
    driver = DRIVER.make(component, options, DriverContext(Path("/nowhere")))
    driver._manager._engine._seconds = 30.0
    return driver


async def until(condition) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists."""
    return Path(f"/proc/{pid}").exists()


async def test_a_life(podman):
    """Created, started, restarted, stopped, as the engine itself tells; each start has an id of its
    own.
    """
    driver = make_driver(podman.socket, "life")
    async with podman.container("life", started=False):
        seen = await driver.observe()
        assert (seen.running, seen.detail) == (False, "was created and never started")
        first = await driver.start("1/1")
        assert first.done, first
        pid, seen = driver.pid, await driver.observe()
        assert (seen.running, seen.pid, seen.start_id) == (True, pid, first.start_id)
        assert "/bin/sh" in Path(f"/proc/{pid}/cmdline").read_text()
        assert (await driver.start("1/2")).start_id == first.start_id
        await until(lambda: asyncio.to_thread(Path(f"/proc/{pid}/root/tmp/ready").exists))
        second = await driver.restart("1/3")
        assert (second.done, second.start_id != first.start_id, driver.pid != pid) == (
            True,
            True,
            True,
        )
        assert not is_alive(pid)
        await until(lambda: asyncio.to_thread(Path(f"/proc/{driver.pid}/root/tmp/ready").exists))
        pid = driver.pid
        assert (await driver.stop("1/4")).done
        assert (driver.pid, is_alive(pid), driver.how_ended) == (None, False, "")
        assert (await driver.stop("1/5")).done


async def test_what_ignores_its_stop_signal_is_not_killed(podman):
    """Without `kill_safe`: asked, waited for, left running, nothing started beside it; a hand may
    still kill it.
    """
    driver = make_driver(podman.socket, "stubborn", stop_timeout=0.5)
    async with podman.container("stubborn", STUBBORN):
        await driver.observe()
        pid = driver.pid
        outcome = await driver.restart("2/1")
        assert (
            outcome.detail
            == "did not end within 0.5 s of its stop signal and is not marked kill_safe"
        )
        assert outcome.word == "failed"
        assert is_alive(pid)
        seen = await driver.observe()
        assert (seen.running, seen.busy, seen.pid) == (True, True, pid)
        assert (
            await driver.start()
        ).detail == "refused: has been asked to stop and has not ended yet"
        os.kill(pid, signal.SIGKILL)
        await until(lambda: _is_down(driver))
        assert (await driver.start()).done


async def test_kill_safe_allows_kill(podman):
    """Its stop signal first, then KILL by the engine."""
    driver = make_driver(podman.socket, "safe", stop_timeout=1.0, kill_safe=True)
    async with podman.container("safe", STUBBORN):
        await driver.observe()
        pid = driver.pid
        assert (await driver.restart("3/1")).done
        assert (is_alive(pid), driver.pid != pid) == (False, True)


async def _is_down(driver) -> bool:
    return (await driver.observe()).running is False


async def test_a_death_is_seen_with_its_reason(podman):
    """The exit status is told, once."""
    driver = make_driver(podman.socket, "dies")
    told = []
    driver.watch(told.append)
    async with podman.container(
        "dies", "touch /tmp/ready; while test -e /tmp/ready; do sleep 0.05; done; exit 3"
    ):
        assert (await driver.observe()).running
        Path(f"/proc/{driver.pid}/root/tmp/ready").unlink()
        await until(lambda: _is_down(driver))
        await driver.observe()
        assert told == ["exited with status 3"]
        assert (driver.how_ended, driver.pid) == ("exited with status 3", None)


async def test_a_stop_stays_a_stop(podman):
    """The engine's own restart policy does not bring back what was stopped."""
    driver = make_driver(podman.socket, "always")
    async with podman.container("always", host={"RestartPolicy": {"Name": "always"}}):
        assert (await driver.stop("4/1")).done
        await asyncio.sleep(0.5)
        assert (await driver.observe()).running is False


async def test_its_own_health_check_is_heard(podman):
    """Starting: not healthy yet. Unhealthy: not as it should be. Healthy again: up."""
    driver = make_driver(podman.socket, "health")
    health = {
        "Test": ["CMD", "test", "-e", "/tmp/good"],
        "Interval": 0,
        "Retries": 1,
        "Timeout": 30_000_000_000,
    }
    async with podman.container("health", Healthcheck=health):
        seen = await driver.observe()
        assert (seen.running, seen.busy, seen.healthy) == (True, True, None)
        await podman.check_health("health")
        seen = await driver.observe()
        assert (seen.running, seen.busy, seen.healthy) == (True, False, False)
        assert "its health check failed" in seen.detail
        Path(f"/proc/{seen.pid}/root/tmp/good").touch()
        await podman.check_health("health")
        seen = await driver.observe()
        assert (seen.running, seen.busy, seen.healthy) == (True, False, True)


async def test_what_somebody_has_paused_is_left_paused(podman):
    """Neither up nor down, and not acted upon."""
    driver = make_driver(podman.socket, "paused", reload_signal="HUP")
    async with podman.container("paused") as docker:
        await docker.containers.container("paused").pause()
        seen = await driver.observe()
        assert (seen.running, seen.busy, seen.detail) == (
            True,
            True,
            "paused by somebody: not acted upon",
        )
        for action in (driver.start, driver.restart, driver.reload):
            assert (await action()).detail == "refused: paused by somebody: not acted upon"
        await docker.containers.container("paused").unpause()


async def test_reload_is_a_signal(podman):
    """Only with one configured: any other would end it."""
    driver = make_driver(podman.socket, "reload", reload_signal="HUP")
    script = "trap 'touch /tmp/hup' HUP; touch /tmp/ready; while :; do sleep 0.05; done"
    async with podman.container("reload", script):
        outcome = await driver.reload("5/1")
        assert (outcome.done, outcome.detail) == (True, "sent SIGHUP")
        await until(lambda: asyncio.to_thread(Path(f"/proc/{driver.pid}/root/tmp/hup").exists))
        plain = make_driver(podman.socket, "reload")
        assert (await plain.reload()).detail == "refused: this driver has no reload for it"
        assert "reload" not in plain.actions


async def test_the_version_of_the_interface_is_asked_for_once(podman):
    """The engine tells it, and is asked again only when it refuses that version."""
    engine = DockerEngine(str(podman.socket), 30.0)
    assert await engine.inspect("nobody") is None
    assert engine._version == "v1.41"


async def test_no_such_container(podman):
    """It does not run, that is certain; and nothing can be started."""
    driver = make_driver(podman.socket, "nobody")
    seen = await driver.observe()
    assert (seen.running, seen.detail) == (False, "there is no container nobody")
    for action in (driver.start, driver.stop, driver.restart):
        outcome = await action()
        assert (outcome.word, outcome.detail) == ("failed", "there is no container nobody")


async def test_a_start_that_the_engine_refuses(podman):
    """The engine's words are the reason."""
    driver = make_driver(podman.socket, "broken")
    async with podman.container("broken", started=False, Entrypoint=["/no/such/program"]):
        outcome = await driver.start()
        assert outcome.word == "failed"
        assert "the engine refuses start" in outcome.detail
        assert "/no/such/program" in outcome.detail


async def test_no_engine_is_unknown(tmp_path):
    """Nobody listens: whether the container runs can't be known, and nothing is done."""
    driver = make_driver(tmp_path / "engine.sock", "any")
    seen = await driver.observe()
    assert (seen.running, driver.how_ended) == (None, "")
    assert seen.detail == f"no engine answers on {tmp_path}/engine.sock: No such file or directory"
    assert (await driver.restart()).word == "failed"


async def test_another_server_on_the_socket_is_unknown(tmp_path):
    """Something that is no engine: unknown, with what to look at."""

    async def answer(reader, writer):
        await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "s")
    driver = make_driver(tmp_path / "s", "any")
    seen = await driver.observe()
    assert seen.running is None
    assert "not that of a container engine" in seen.detail
    server.close()


async def _until_stopped(pid: int) -> None:
    """SIGSTOP takes hold of the last thread a little after it was sent."""
    async with asyncio.timeout(10):
        while any(
            stat.read_text().rpartition(")")[2].split()[0] != "T"
            for stat in Path(f"/proc/{pid}/task").glob("*/stat")
        ):
            await asyncio.sleep(0.01)


async def test_a_frozen_engine_is_unknown(podman):
    """Bounded: neither down nor up while the engine does not answer."""
    driver = make_driver(podman.socket, "frozen")
    async with podman.container("frozen"):
        assert (await driver.observe()).running is True
        driver._manager._engine._seconds = 0.2
        podman.service.send_signal(signal.SIGSTOP)
        try:
            await _until_stopped(podman.service.pid)
            seen = await driver.observe()
            assert (seen.running, driver.how_ended) == (None, "")
            assert "did not answer within 200 ms" in seen.detail
            assert (await driver.restart("6/1")).word == "failed"
        finally:
            podman.service.send_signal(signal.SIGCONT)


class Muffler:
    """A socket before the engine's that swallows the replies to what changes something, or the
    requests, too.
    """

    def __init__(self, path: Path, engine: Path, *, deaf: bool) -> None:
        self.path, self._engine, self._deaf = path, engine, deaf
        self.swallowed: list[str] = []

    async def serve(self) -> asyncio.Server:
        """Listen."""
        return await asyncio.start_unix_server(self._talk, self.path)

    async def _talk(self, reader, writer) -> None:
        there, to = await asyncio.open_unix_connection(self._engine)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line = head.split(b"\r\n")[0].decode()
                changes = line.startswith("POST")
                if changes:
                    self.swallowed.append(line.split(" ")[1])
                if not (changes and self._deaf):
                    to.write(head)
                    answer = await there.readuntil(b"\r\n\r\n")
                if changes:
                    return
                writer.write(answer + await there.read(65536))
        except asyncio.IncompleteReadError:
            pass
        finally:
            to.close()
            writer.close()


@pytest.mark.parametrize(("deaf", "word"), [(False, "done"), (True, "unknown")])
async def test_what_became_of_a_lost_reply_is_told_by_the_start_id(podman, tmp_path, deaf, word):
    """F17: the engine hung up on the request. A new start id: it happened. None: nothing is known,
    nothing repeated.
    """
    muffler = Muffler(tmp_path / "muffled", podman.socket, deaf=deaf)
    server = await muffler.serve()
    driver = make_driver(muffler.path, "lost")
    async with podman.container("lost", started=False):
        outcome = await driver.start("7/1")
        assert outcome.word == word, outcome
        assert [path.rpartition("/")[2] for path in muffler.swallowed] == ["start"]
        assert bool(outcome.start_id and outcome.done) is (word == "done")
    server.close()


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x?all=1", "-x"])
def test_names_that_are_no_containers_are_refused(name):
    """A name becomes part of a path of the API: no slash, no query."""
    with pytest.raises(ValueError, match="container"):
        DockerOptions(container=name)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"status": "exited", "exit_code": 137, "out_of_memory": True},
            "exited with status 137: out of memory",
        ),
        ({"status": "dead", "error": "no space left"}, "dead with status 0: no space left"),
        (
            {"status": "restarting", "restarts": 4},
            "the engine restarts it by itself (4 times so far)",
        ),
    ],
)
def test_states_in_our_words(values, text):
    """Why it does not run; what the engine restarts is its own business."""
    plain = {
        "id": "ab",
        "status": "exited",
        "running": False,
        "pid": 0,
        "started_at": "now",
        "exit_code": 0,
    }
    rest = {"out_of_memory": False, "error": "", "health": "", "failing_streak": 0, "restarts": 0}
    seen = observe("x", Container(**{**plain, **rest, **values}))
    assert (seen.running, seen.detail, seen.busy) == (False, text, values["status"] == "restarting")


async def test_nothing_is_left_open(podman):
    """Many looks cost no descriptor."""
    engine = make_driver(podman.socket, "x")._manager._engine
    await engine.inspect("x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(30):
        assert await engine.inspect("x") is None
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_without_its_library_the_driver_says_what_to_install():
    """The extra is named, and everything else works."""
    script = (
        "import sys; sys.modules['aiodocker'] = None\n"
        "from sentinel.remediation import load_drivers\n"
        "print(load_drivers()['docker'].unavailable)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "install its library: pip install 'sentinel-sre[docker]'"


async def test_a_restart_goes_on_when_only_the_reply_to_its_stop_was_lost(podman, tmp_path):
    """It has ended, that can be seen: the start follows, and its own lost reply is settled by the
    start id.
    """
    muffler = Muffler(tmp_path / "muffled", podman.socket, deaf=False)
    server = await muffler.serve()
    driver = make_driver(muffler.path, "again")
    async with podman.container("again"):
        before = await driver.observe()
        outcome = await driver.restart("8/1")
        assert (outcome.word, outcome.start_id != before.start_id) == ("done", True), outcome
        assert [path.rpartition("/")[2].partition("?")[0] for path in muffler.swallowed] == [
            "stop",
            "start",
        ]
    server.close()


async def test_a_stop_that_never_arrived_is_unknown(podman, tmp_path):
    """The engine hung up and it runs on: nothing is known, nothing is started beside it."""
    muffler = Muffler(tmp_path / "muffled", podman.socket, deaf=True)
    server = await muffler.serve()
    driver = make_driver(muffler.path, "on")
    async with podman.container("on"):
        assert (await driver.restart("8/2")).word == "unknown"
        assert len(muffler.swallowed) == 1
    server.close()


async def test_an_engine_that_refuses_the_version_is_asked_for_it_again(tmp_path):
    """Another engine listens there after an upgrade: the next look speaks its version."""
    asked, speaks = [], ["1.41"]

    async def answer(reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        asked.append(path)
        good = path == "/_ping" or path.startswith(f"/v{speaks[0]}/")
        status = (
            "404 Not Found"
            if good and path != "/_ping"
            else "200 OK"
            if good
            else "400 Bad Request"
        )
        body = b'{"message": "client version is too old"}'
        head = f"HTTP/1.1 {status}\r\nApi-Version: {speaks[0]}\r\nContent-Type: application/json\r\nConnection: close\r\n"  # noqa: E501
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "s")
    driver = make_driver(tmp_path / "s", "any")
    assert (await driver.observe()).running is False
    speaks[0] = "1.50"
    seen = await driver.observe()
    assert (seen.running, seen.detail) == (
        None,
        "the engine refuses inspect: client version is too old",
    )
    assert (await driver.observe()).running is False
    paths = [
        "/_ping",
        "/v1.41/containers/any/json",
        "/v1.41/containers/any/json",
        "/_ping",
        "/v1.50/containers/any/json",
    ]
    assert asked == paths
    server.close()
