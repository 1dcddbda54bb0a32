"""A real Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import require_tool


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
                assert "error" not in message, message
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
        """Wait until an expression is true."""
        async with asyncio.timeout(30):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_chromium(folder: Path) -> AsyncIterator[Page]:
    """A blank page of a Chromium with a profile of its own; its whole process group is ended
    afterwards.
    """
    chromium = await asyncio.create_subprocess_exec(
        require_tool("chromium"),
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", "about:blank",
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(await _address(chromium)) as devtools,
        ):
            made = Page(devtools)
            target = await made.send("Target.createTarget", url="about:blank")
            attached = await made.send(
                "Target.attachToTarget", targetId=target["targetId"], flatten=True
            )
            made.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                await made.send(f"{domain}.enable")
            yield made
    finally:
        with suppress(ProcessLookupError):
            os.killpg(chromium.pid, signal.SIGKILL)
        await chromium.wait()


async def _address(chromium: asyncio.subprocess.Process) -> str:
    assert chromium.stderr is not None
    async with asyncio.timeout(60):
        while line := (await chromium.stderr.readline()).decode(errors="replace"):
            if "DevTools listening on " in line:
                return line.split("DevTools listening on ")[1].strip()
    raise AssertionError("chromium ended without listening")
