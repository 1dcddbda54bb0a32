"""One Chromium for all tests of a session, and a page of it for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import require_tool
from tools.screenshots.browser import Page, open_page, start_browser


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_tool("chromium")
    with start_browser(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def page(_chromium: str) -> AsyncIterator[Page]:
    """A blank page, without the cookies of others."""
    async with open_page(_chromium) as made:
        yield made
