"""A real Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import aiohttp

from tests.conftest import require_tool


class CommandRefused(AssertionError):
    """What the browser said against a command."""


class Page:
    """One page of a headless Chromium, driven over the DevTools protocol."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket_
        self._numbers = itertools.count(1)
        self.session = ""
        self.problems: list[str] = []
        self.loads = 0

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its result; console errors are collected on the way."""
        number = next(self._numbers)
        await self._socket.send_json(
            {"id": number, "method": method, "params": params, **self._target()}
        )
        while True:
            message = await self._receive()
            if message.get("id") == number:
                if "error" in message:
                    raise CommandRefused(message)
                result: dict[str, Any] = message["result"]
                return result

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json()
        if message.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.problems.append(json.dumps(message["params"]))
        self.loads += message.get("method") == "Page.loadEventFired"
        return message

    async def open(self, url: str) -> None:
        """Go to an address and wait until it is loaded."""
        before = self.loads
        await self.send("Page.navigate", url=url)
        async with asyncio.timeout(30):
            while self.loads == before:
                await self._receive()

    def _target(self) -> dict[str, str]:
        return {"sessionId": self.session} if self.session else {}

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def wait(self, expression: str) -> Any:
        """The value of a promise in the page."""
        result = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def press(self, key: str, *, shift: bool = False) -> None:
        """One key, as from a keyboard."""
        keys = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code="Space" if key == " " else key, modifiers=8 * shift,
                windowsVirtualKeyCode=keys[key], **more,
            )  # fmt: skip

    async def show(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """A screen of this size, in light or dark."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def take_picture(self, *, whole: bool = True) -> bytes:
        """A PNG of the page."""
        found = await self.send("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        return base64.b64decode(found["data"])

    async def wait_for(self, expression: str) -> None:
        """Wait until an expression is true; a page that goes away meanwhile can't be asked."""
        async with asyncio.timeout(30):
            while not await self._is_true(expression):
                await asyncio.sleep(0.05)

    async def _is_true(self, expression: str) -> bool:
        with suppress(CommandRefused):
            return bool(await self.evaluate(expression))
        return False


@contextmanager
def start_chromium(folder: Path) -> Iterator[str]:
    """The address of a Chromium with a profile of its own; its whole process group is ended
    afterwards.
    """
    profile = folder / "profile"
    chromium = subprocess.Popen(
        (
            require_tool("chromium"),
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
            "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
        ),
        stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield _address(chromium, profile / "DevToolsActivePort")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(chromium.pid, signal.SIGKILL)
        chromium.wait()


def _address(chromium: subprocess.Popen[bytes], file: Path) -> str:
    """It writes its port and its path into a file, when it listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert chromium.poll() is None, "chromium ended without listening"
        lines = file.read_text().split("\n") if file.exists() else []
        if len(lines) == 2 and lines[1]:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    raise AssertionError("chromium does not listen")


@asynccontextmanager
async def open_blank(address: str) -> AsyncIterator[Page]:
    """A blank page of a Chromium that runs, which shares no cookie and no memory with others."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as devtools:
        made = Page(devtools)
        own = await made.send("Target.createBrowserContext", disposeOnDetach=True)
        target = await made.send("Target.createTarget", url="about:blank", **own)
        attached = await made.send(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        made.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await made.send(f"{domain}.enable")
        yield made
