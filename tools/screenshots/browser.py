"""A Chromium without a window that shows addresses, over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
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
        """Take a blank page, without the cookies of others."""
        own = await self.send("Target.createBrowserContext", disposeOnDetach=True)
        target = await self.send("Target.createTarget", url="about:blank", **own)
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
        """Until an expression is true; a page that is just going away can't say. TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not await self._is_true(expression):  # noqa: ASYNC110 - a page tells nobody
                await asyncio.sleep(0.05)

    async def _is_true(self, expression: str) -> bool:
        with suppress(NoBrowser):
            return bool(await self.evaluate(expression))
        return False

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


@contextmanager
def start_browser(folder: Path) -> Iterator[str]:
    """Where a Chromium with a profile of its own in `folder` listens; it is ended with all its
    processes. NoBrowser.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise NoBrowser(f"none of {', '.join(NAMES)} is installed")
    argv = (*_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank")
    process = subprocess.Popen(
        (program, *argv), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
    )
    try:
        yield _find_place(process, folder / "DevToolsActivePort")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _find_place(process: subprocess.Popen[bytes], told: Path) -> str:
    """Where it listens: it writes port and path into a file."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lines = told.read_text().split("\n") if told.exists() else []
        if len(lines) == 2 and lines[1]:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None:
            raise NoBrowser("it ended before it listened")
        time.sleep(0.02)
    raise NoBrowser(f"it did not listen within {PATIENCE:g} s")


@asynccontextmanager
async def open_page(place: str) -> AsyncIterator[Page]:
    """A blank page of a Chromium that listens there, without the cookies of other pages."""
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(place, max_msg_size=0) as line,
    ):
        page = Page(line)
        await page.attach()
        yield page


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Page]:
    """A page of a Chromium of its own. NoBrowser."""
    with start_browser(folder) as place:
        async with open_page(place) as page:
            yield page
