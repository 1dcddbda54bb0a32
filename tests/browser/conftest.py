"""One Chromium for all tests of a session, and a page of it for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.chromium import Page, open_blank, start_chromium


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_chromium(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def page(_chromium: str) -> AsyncIterator[Page]:
    """A blank page, without the cookies of others."""
    async with open_blank(_chromium) as made:
        yield made
