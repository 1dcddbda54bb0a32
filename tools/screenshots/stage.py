"""A demo that is photographed: started as a user starts it, ended in order."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
import time
import urllib.request
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import yaml

from sentinel.demo.ledger import Record, read_ledgers
from sentinel.demo.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds for a start, an end and an answer."""


class NoDemo(Exception):
    """The demo did not come to where it was to be photographed; the sentence says why."""


@dataclass(frozen=True, slots=True)
class DemoStage:
    """A running demo: the address of its page, and the folder of its runs."""

    base: str
    folder: Path

    async def wait_until(self, is_enough: Callable[[Mapping[str, Any]], bool]) -> None:
        """Until the status document says enough. NoDemo when it never does."""
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            with suppress(OSError):
                if is_enough(await asyncio.to_thread(fetch, f"{self.base}/api/v1/status")):
                    return
            await asyncio.sleep(0.2)
        raise NoDemo("the demo did not come to where it was to be photographed")

    async def wait_for_phase(self, scenario: str, phase: str) -> float:
        """When the chaos began or ended, in epoch seconds, from its own journal. NoDemo."""
        end = time.monotonic() + 4 * PATIENCE
        while time.monotonic() < end:
            for line in self._read_journal():
                if (line.get("scenario"), line.get("phase")) == (scenario, phase):
                    return float(line["t"])
            await asyncio.sleep(0.05)
        raise NoDemo(f"the chaos {scenario} did not {phase}")

    async def list_acceptances(self) -> set[str]:
        """What is to be typed so that losses that stand until somebody accepts them stand no more."""
        found = await asyncio.to_thread(fetch, f"{self.base}/api/v1/faults")
        lasting = [each for each in found["faults"] if each["lasts_until"] and not each["accepted"]]
        cures = {line for each in lasting for line in each["cure"]}
        return {line for line in cures if line.startswith("sentinel faults accept ")}

    async def type(self, command: str) -> int:
        """Do as the page says: `sentinel …` beside this demo, and answer yes; its exit code."""
        config = str(self.folder / "latest" / "config")
        words = ["-m", "sentinel", "--config", config, *shlex.split(command)[1:], "--yes"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=ROOT, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
        return await process.wait()

    async def clear_letters(self) -> None:
        """Take away the dead letters that a fault is about, as its guidance asks."""
        found = await asyncio.to_thread(fetch, f"{self.base}/api/v1/faults")
        keys = {each["parameters"].get("dead_letters", "") for each in found["faults"]}
        with redis.Redis.from_url(self._read_environment()["DEMO_REDIS_URL"]) as client:
            for key in sorted(keys - {""}):
                client.xtrim(key, maxlen=0, approximate=False)

    def _read_journal(self) -> Sequence[Record]:
        return read_ledgers(Path(self._read_environment()["DEMO_FOLDER"]), "chaos")

    def _read_environment(self) -> Mapping[str, str]:
        """What its components are told."""
        parts = yaml.safe_load((self.folder / "latest" / "config" / "sentinel.yaml").read_text())
        told: Mapping[str, str] = parts["components"]["orchestrator"]["env"]
        return told


def fetch(address: str) -> Any:
    """A document of the API."""
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        return json.load(answer)


@asynccontextmanager
async def watch_demo(folder: Path, chaos: Sequence[str]) -> AsyncIterator[DemoStage]:
    """A demo under chaos, with its runs in `folder`."""
    address = f"127.0.0.1:{free_port()}"
    argv = ["-m", "sentinel", "demo", "--folder", str(folder), "--listen", address]
    for name in chaos:
        argv += ["--chaos", name]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, cwd=ROOT,
        stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield DemoStage(f"http://{address}", folder)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), PATIENCE)
        if process.returncode is None:
            process.kill()
            await process.wait()
