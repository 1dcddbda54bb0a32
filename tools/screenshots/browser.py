"""A Chromium without a window that shows addresses, over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30.0
"""Seconds for a start, and for a page to load."""
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
)


class NoBrowser(Exception):
    """There is no Chromium, or it did not start, or it refused a command; the sentence says why."""


class Screen:
    """One page of it: an address, at a size, in light or dark."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse) -> None:
        self._line, self._sent, self._session = line, 0, ""
        self.complaints: list[str] = []
        """What the console said: violations of the policy, errors of scripts."""
        self._loaded = 0

    async def attach(self) -> None:
        """Take a blank page."""
        target = await self.command("Target.createTarget", url="about:blank")
        given = {"targetId": target["targetId"], "flatten": True}
        self._session = (await self.command("Target.attachToTarget", **given))["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            await self.command(f"{part}.enable")

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """What one command gives."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._line.send_json(message)
        while (answer := await self._hear()).get("id") != message["id"]:
            pass
        if "error" in answer:
            raise NoBrowser(f"{method}: {answer['error'].get('message')}")
        found: dict[str, Any] = answer["result"]
        return found

    async def _hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = await self._line.receive_json()
        said = heard.get("params", {})
        is_bad = said.get("entry", {}).get("level") in {"error", "warning"}
        if heard.get("method") == "Runtime.exceptionThrown" or is_bad:
            self.complaints.append(json.dumps(said)[:500])
        self._loaded += heard.get("method") == "Page.loadEventFired"
        return heard

    async def resize(self, width: int, *, dark: bool = False) -> None:
        """A window of this width, in one of the two colours."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await self.command("Emulation.setDeviceMetricsOverride", **size)
        word = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": word}]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def go(self, address: str) -> None:
        """Load an address to its end."""
        before = self._loaded
        await self.command("Page.navigate", url=address)
        async with asyncio.timeout(PATIENCE):
            while self._loaded == before:
                await self._hear()

    async def ask(self, expression: str) -> Any:
        """The value of an expression; of a promise what it came to."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        return (await self.command("Runtime.evaluate", **given))["result"].get("value")

    async def photograph(self, most: int = 6000) -> bytes:
        """A PNG of the whole page, at most so many pixels high."""
        width = await self.ask("innerWidth")
        height = min(await self.ask("document.documentElement.scrollHeight"), most)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        given = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        return base64.b64decode((await self.command("Page.captureScreenshot", **given))["data"])


@asynccontextmanager
async def open_screen(folder: Path) -> AsyncIterator[Screen]:
    """A Chromium with a profile of its own in `folder`, ended with all its processes. NoBrowser."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise NoBrowser(f"none of {', '.join(NAMES)} is installed")
    argv = (*_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank")
    process = await asyncio.create_subprocess_exec(
        program, *argv, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True
    )
    try:
        place = await _find_place(process)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(place, max_msg_size=0) as line,
        ):
            screen = Screen(line)
            await screen.attach()
            yield screen
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _find_place(process: Process) -> str:
    """Where it listens: it says so."""
    if process.stderr is None:
        raise NoBrowser("its stderr can't be read")
    async with asyncio.timeout(PATIENCE):
        async for line in process.stderr:
            _, found, place = line.decode(errors="replace").partition("DevTools listening on ")
            if found:
                return place.strip()
    raise NoBrowser("it ended before it listened")
