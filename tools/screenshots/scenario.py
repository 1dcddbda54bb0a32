"""One chaos scenario as a person sees it who left the status page open: pictures and what it said
at some seconds after the fault began, and when all is well again.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sentinel.demo.chaos import find_scenario
from tools.screenshots.browser import Page, open_browser
from tools.screenshots.said import Said, judge_channel, read_said, write_json
from tools.screenshots.stage import DemoStage, NoDemo, watch_demo

WIDTHS = (1400, 390, 320)
MARKS = (2, 10, 60)
"""Seconds after the fault began."""
LASTS, STARTS = "70s", "25s"
"""A fault that lasts stands at every mark; it begins when what the start itself brought is over."""
EVERY = 0.5
"""Seconds between two looks."""
HEALED_WITHIN = 180.0
"""Seconds after the fault ended in which the page must be calm again."""
LIVE = "document.querySelector('#fresh')?.dataset.state === 'live'"
CALM = "after"
HIGHEST = 6000
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""What came into view is told so with a frame."""
WIDER = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(slots=True)
class ScenarioAlbum:
    """What a scenario left: its folder, what the page said by moment, what was wrong in words."""

    scenario: str
    folder: Path
    said: dict[str, Said] = field(default_factory=dict)
    looks: list[Said] = field(default_factory=list)
    """Also between the pictures."""
    typed: list[str] = field(default_factory=list)
    """Commands that the page asked for when the fault was over."""
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Photographer:
    """Looks at the one open page."""

    page: Page
    album: ScenarioAlbum
    began: float

    async def look(self) -> Said:
        """What it says now."""
        said = await read_said(self.page, time.time() - self.began)
        self.album.looks.append(said)
        return said

    async def look_until(self, second: float) -> None:
        """Look on until so many seconds after the fault began."""
        while (left := self.began + second - time.time()) > 0:
            await self.look()
            await asyncio.sleep(min(left, EVERY))

    async def take(self, moment: str) -> None:
        """What it says, and its picture at each width in both colours."""
        await self._unroll(WIDTHS[0])
        said = await self.look()
        self.album.said[moment] = said
        folder = self.album.folder
        (folder / f"{moment}.txt").write_text(said.describe())
        for width in WIDTHS:
            for colour in ("light", "dark"):
                await self._unroll(width, dark=colour == "dark")
                picture = await self.page.photograph()
                (folder / f"{moment}-{width}-{colour}.png").write_bytes(picture)
            if (wider := await self.page.evaluate(WIDER)) > 0:
                self.album.wrong.append(
                    f"{moment} at {width}: {wider} pixels wider than the window"
                )
        await self.page.show(WIDTHS[0])

    async def _unroll(self, width: int, *, dark: bool = False) -> None:
        """A window as high as the page, so that all is in view: what is not need not grow older."""
        await self.page.show(width, dark=dark)
        height = await self.page.evaluate("document.documentElement.scrollHeight")
        await self.page.show(width, min(height, HIGHEST), dark=dark)
        await self.page.wait(DRAWN)


async def play(name: str, out: Path, folder: Path) -> ScenarioAlbum:
    """Run a demo with the scenario, its state in `folder`, its pictures into `out`/`name`. NoDemo,
    NoBrowser, UsageError.
    """
    album = ScenarioAlbum(name, out / name)
    album.folder.mkdir(parents=True, exist_ok=True)
    async with _follow_demo(name, folder) as (stage, page):
        photographer = Photographer(page, album, await stage.wait_for_phase(name, "begin"))
        for mark in MARKS:
            await photographer.look_until(mark)
            await photographer.take(f"{mark:02d}s")
        await stage.wait_for_phase(name, "end")
        await _wait_for_calm(photographer, stage)
        await photographer.take(CALM)
        album.wrong += page.complaints
    album.wrong += judge_channel(album.looks)
    (album.folder / "said.json").write_text(write_json(album.said))
    return album


@asynccontextmanager
async def _follow_demo(name: str, folder: Path) -> AsyncIterator[tuple[DemoStage, Page]]:
    """The page is open, and live, before the fault begins."""
    word = (f"{name}:{LASTS}" if find_scenario(name).duration else name) + f"@{STARTS}"
    profile = folder / "profile"
    async with open_browser(profile) as page, watch_demo(folder / "demo", [word]) as stage:
        await stage.wait_until(lambda found: bool(found["checks"]))
        await page.show(WIDTHS[0])
        await page.open(f"{stage.base}/")
        await page.wait_for(LIVE)
        yield stage, page


async def _wait_for_calm(photographer: Photographer, stage: DemoStage) -> None:
    """Do what the page asks for, and look until nothing is left."""
    album, end = photographer.album, time.monotonic() + HEALED_WITHIN
    while not (said := await photographer.look()).is_calm:
        if time.monotonic() > end:
            left = [card.component for card in said.cards if card.status != "up"]
            text = ", ".join([*left, *said.notices, *said.rows]) or f"overall {said.overall}"
            album.wrong.append(f"{HEALED_WITHIN:g} s after its end is left: {text}")
            return
        await stage.clear_letters()
        asked_for = said.asked_for | await stage.list_acceptances()
        for command in sorted(asked_for - set(album.typed)):
            album.typed.append(command)
            if code := await stage.type(command):
                album.wrong.append(f"what the page asked for ended with {code}: {command}")
        await asyncio.sleep(EVERY)


async def play_all(names: Sequence[str], out: Path, beside: int = 1) -> list[ScenarioAlbum]:
    """Each of them, at most so many side by side; one that can't be played is told."""
    room = asyncio.Semaphore(beside)

    async def play_one(name: str) -> ScenarioAlbum:
        async with room:
            try:
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                    return await play(name, out, Path(folder))
            except (NoDemo, TimeoutError) as error:
                return ScenarioAlbum(name, out / name, wrong=[repr(error)])

    return await asyncio.gather(*map(play_one, names))
