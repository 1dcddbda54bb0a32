"""Real containers without any daemon of the machine: Podman with runc in a folder of its own, its
API on a socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError

from tests.conftest import require_tool

CONTAINERS = """
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE = '[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
IMAGE = "localhost/box"
APPLETS = ("sh", "sleep", "test", "touch", "rm", "trap")
OBEDIENT = "trap 'exit 0' TERM; touch /tmp/ready; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; touch /tmp/ready; while :; do sleep 0.05; done"


class Podman:
    """An engine of the test's own, with an image made of a static busybox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = folder / "engine.sock"
        (folder / "containers.conf").write_text(CONTAINERS)
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        names = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
        self.environment = {
            **os.environ,
            **{name: str(folder / file) for name, file in names.items()},
        }
        self.service: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the image, and have the API served."""
        require_tool("runc")
        self._podman("import", "-", IMAGE, data=_root_filesystem(Path(require_tool("busybox"))))
        self.serve()

    def serve(self) -> None:
        """The API on the socket."""
        self.socket.unlink(missing_ok=True)
        log = (self._folder / "service.log").open("ab")
        command = [require_tool("podman"), "system", "service", "-t", "0", f"unix://{self.socket}"]
        self.service = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        log.close()
        for _ in range(600):
            with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.socket))
                return
            time.sleep(0.05)
        raise AssertionError((self._folder / "service.log").read_text())

    def stop(self) -> None:
        """Remove every container, and end the API."""
        with suppress(subprocess.CalledProcessError):
            self._podman("rm", "--all", "--force", "--time", "0")
        if self.service is not None:
            self.service.kill()
            self.service.wait()

    def _podman(self, *arguments: str, data: bytes = b"") -> None:
        command = [require_tool("podman"), *arguments]
        subprocess.run(
            command, env=self.environment, input=data, capture_output=True, check=True, timeout=120
        )

    async def check_health(self, name: str) -> None:
        """Run the health check of a container once: where no systemd has timers, nobody else does."""
        command = [require_tool("podman"), "healthcheck", "run", name]
        process = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await process.wait()

    @asynccontextmanager
    async def container(
        self,
        name: str,
        script: str = OBEDIENT,
        *,
        started: bool = True,
        host: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> AsyncIterator[Docker]:
        """A container that runs a shell script; gone afterwards. Yields a client of the engine."""
        docker = Docker(f"unix://{self.socket}")
        config = {
            "Image": IMAGE,
            "Cmd": ["/bin/sh", "-c", script],
            "HostConfig": {"NetworkMode": "host", **(host or {})},
        }
        made = await docker.containers.create({**config, **more}, name=name)
        try:
            if started:
                await made.start()
                await self._until_ready(docker, name, script)
            yield docker
        finally:
            with suppress(DockerError):
                await self._remove(docker, name)
            await docker.close()

    async def _remove(self, docker: Docker, name: str) -> None:
        """Killed by hand first: the engine waits for what it was asked to stop without a kill."""
        container = docker.containers.container(name)
        pid = (await container.show())["State"]["Pid"]
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while True:
                try:
                    await container.delete(force=True)
                except DockerError as error:
                    if error.status == 404:
                        return
                await asyncio.sleep(0.05)

    async def _until_ready(self, docker: Docker, name: str, script: str) -> None:
        """Its trap is set: a signal before that would end it."""
        while "/tmp/ready" in script:
            pid = (await docker.containers.container(name).show())["State"]["Pid"]
            if pid and Path(f"/proc/{pid}/root/tmp/ready").exists():
                return
            await asyncio.sleep(0.02)


def _root_filesystem(busybox: Path) -> bytes:
    """A tar archive with busybox, links to it, and nothing else."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("bin", "tmp", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, busybox.stat().st_size
        with busybox.open("rb") as content:
            tar.addfile(program, content)
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()
