"""A status page that somebody left open beside a demo, in a real browser; what it said is kept."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from tools.screenshots.browser import NoBrowser, open_browser
from tools.screenshots.said import Said, read_said
from tools.screenshots.scenario import LIVE

EVERY = 1.0


class PageWatch(threading.Thread):
    """Opens the page at `address` (host:port) once, and reads it every second until it is told to
    stop.
    """

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__(daemon=True)
        self.said: list[Said] = []
        """`after` is the wall clock in epoch seconds."""
        self._address, self._folder = f"http://{address}/", folder
        self._over = threading.Event()

    def run(self) -> None:
        """One browser, one page, one load; nothing where there is no browser."""
        with suppress(NoBrowser):
            asyncio.run(self._follow())

    def stop(self) -> list[Said]:
        """All that it said while it was live."""
        self._over.set()
        self.join(timeout=30)
        return self.said

    async def _follow(self) -> None:
        while not await asyncio.to_thread(self._is_there):
            if await asyncio.to_thread(self._over.wait, 0.2):
                return
        async with open_browser(self._folder) as page:
            await page.open(self._address)
            await page.wait_for(LIVE)
            while not self._over.is_set():
                said = await read_said(page, time.time())
                if said.live == "live":
                    self.said.append(said)
                await asyncio.to_thread(self._over.wait, EVERY)

    def _is_there(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(self._address, timeout=5):
            return True
        return False
