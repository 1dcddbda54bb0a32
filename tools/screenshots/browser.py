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
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
)


_KEYS = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}


class NoBrowser(Exception):
    """There is no Chromium, or it did not start, or it refused a command; the sentence says why."""


class Page:
    """One page of it: an address, at a size, in light or dark."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse) -> None:
        self._line, self._sent, self._session = line, 0, ""
        self.problems: list[str] = []
        """What the console said: violations of the policy, errors of scripts."""
        self.loads = 0

    @property
    def complaints(self) -> list[str]:
        """Problems that are no mere recommendations of the browser."""
        return [each for each in self.problems if '"level": "verbose"' not in each]

    async def attach(self) -> None:
        """Take a blank page."""
        target = await self.send("Target.createTarget", url="about:blank")
        given = {"targetId": target["targetId"], "flatten": True}
        self._session = (await self.send("Target.attachToTarget", **given))["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            await self.send(f"{part}.enable")

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """What one command gives; problems are collected on the way. NoBrowser when it refuses."""
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
        if heard.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.problems.append(json.dumps(heard["params"])[:2000])
        self.loads += heard.get("method") == "Page.loadEventFired"
        return heard

    async def open(self, address: str) -> None:
        """Load an address to its end."""
        before = self.loads
        await self.send("Page.navigate", url=address)
        async with asyncio.timeout(PATIENCE):
            while self.loads == before:
                await self._hear()

    async def show(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """A window of this size, in one of the two colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        word = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": word}]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; None where it fails."""
        return (await self._run(expression))["result"].get("value")

    async def wait(self, expression: str) -> Any:
        """The value of a promise. NoBrowser when it is broken."""
        found = await self._run(expression, awaitPromise=True)
        if "exceptionDetails" in found:
            raise NoBrowser(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    async def _run(self, expression: str, **more: bool) -> dict[str, Any]:
        return await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, **more
        )

    async def wait_for(self, expression: str) -> None:
        """Until an expression is true. TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - a page tells nobody
                await asyncio.sleep(0.05)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """One key, as from a keyboard."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code="Space" if key == " " else key, modifiers=8 * shift,
                windowsVirtualKeyCode=_KEYS[key], **more,
            )  # fmt: skip

    async def photograph(self, most: int = 6000) -> bytes:
        """A PNG of the whole page, at most so many pixels high."""
        width = await self.evaluate("innerWidth")
        height = min(await self.evaluate("document.documentElement.scrollHeight"), most)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        given = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        return base64.b64decode((await self.send("Page.captureScreenshot", **given))["data"])


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Page]:
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
            page = Page(line)
            await page.attach()
            yield page
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
