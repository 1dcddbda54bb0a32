"""A real Chromium, driven over the DevTools protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import require_tool
from tools.screenshots.browser import Page, open_browser

__all__ = ["Page", "open_chromium"]


@asynccontextmanager
async def open_chromium(folder: Path) -> AsyncIterator[Page]:
    """A blank page of a Chromium with a profile of its own."""
    require_tool("chromium")
    async with open_browser(folder / "profile") as page:
        yield page
