"""A sentinel in a process of its own, with one worker, as commands and browsers see it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CONFIGURATION = """
listen: 127.0.0.1:{port}
state: {state}
actions: {{enabled: true, start_grace: 0s}}
components:
  worker:
    driver: process
    command: [sleep, "600"]
    restart: {{startup_grace: 1s, backoff: {{first: 0s, initial: 0s, max: 0s}}}}
checks:
- {{name: port, kind: tcp, component: worker, address: "127.0.0.1:{port}", every: 1s}}
"""


@dataclass
class RealDaemon:
    """On a folder."""

    folder: Path
    state: Path
    """As it is seen from here."""
    prefix: tuple[str, ...] = ()
    """What a command is run by."""
    port: int = 0
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def write(self, state: Path) -> None:
        """Its configuration; the state as sentinel sees it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (self.folder / "checks").mkdir()
        text = CONFIGURATION.format(port=self.port, state=state)
        (self.folder / "checks" / "sentinel.yaml").write_text(text)

    def sentinel(self, *words: str) -> list[str]:
        """A command of sentinel."""
        checks = str(self.folder / "checks")
        return [*self.prefix, sys.executable, "-m", "sentinel", "--config", checks, *words]

    def start(self) -> None:
        """A daemon."""
        with (self.folder / "log").open("ab") as log:
            daemon = subprocess.Popen(self.sentinel("run"), stdout=log, stderr=log)
        self.daemons.append(daemon)
        self.wait(lambda: bool(self.get("/api/v1/status")))

    def kill(self) -> None:
        """It is killed, and its worker, too."""
        worker = self.worker()
        os.kill(self.daemons[-1].pid, signal.SIGKILL)
        self.daemons[-1].wait(30)
        os.kill(worker, signal.SIGKILL)

    def end(self) -> None:
        """Nothing is left."""
        worker = self.worker()
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()
        if worker:
            os.kill(worker, signal.SIGKILL)

    def worker(self) -> int:
        """The worker's process."""
        components = json.loads(self.get("/api/v1/status") or '{"components": []}')["components"]
        return next((each["pid"] or 0 for each in components if each["name"] == "worker"), 0)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a command says."""
        command = self.sentinel(*words)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def get(self, path: str) -> str:
        """Of the page; "" while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as seen:
                return str(seen.read().decode())
        except OSError:
            return ""

    def held(self) -> str:
        """What the page says of what holds actions back."""
        page = json.loads(self.get("/api/v1/status") or '{"held": []}')
        return " ".join(item["text"] for item in page["held"])

    def log(self) -> str:
        """All of its lines."""
        return (self.folder / "log").read_text()

    def wait(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Until it holds."""
        deadline = time.monotonic() + seconds
        while not true():
            daemon = self.daemons[-1]
            assert daemon.poll() is None, f"ended with {daemon.returncode}: {self.log()[-4000:]}"
            assert time.monotonic() < deadline, self.log()[-4000:]
            time.sleep(0.05)
