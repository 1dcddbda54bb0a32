"""`python -m tools.screenshots`: pictures of every page at 1400, 390 and 320 pixels, light and dark, from
a demo under chaos, into `var/screenshots`. With `--scenarios` (or `--scenario NAME`): the status page of
each chaos scenario, left open, 2, 10 and 60 s after the fault began and when all is well again, with what
it said, and `index.html` to look through them. What does not fit the width, and what the console of the
browser says, is told.

Exit status: 0 written, 1 a page is wider than the window, violates its policy or did not become calm,
69 Chromium or the demo is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sentinel.demo.chaos import load_scenarios
from tools.screenshots.browser import NoBrowser, Page, open_browser
from tools.screenshots.pages import list_addresses
from tools.screenshots.scenario import WIDER, WIDTHS, play_all
from tools.screenshots.sheet import write_sheet
from tools.screenshots.stage import ROOT, NoDemo, fetch, watch_demo

OUT = ROOT / "var" / "screenshots"
CHAOS = ("crash-loop", "lose-messages", "stuck-flow", "tenant-leak", "slow-assigner")
WAIT = 45.0
"""Seconds after which the chaos has left its traces."""


async def take_pictures(
    base: str, addresses: Mapping[str, str], out: Path, widths: Sequence[int] = WIDTHS
) -> list[str]:
    """Write every picture; what is wrong with a page, in words."""
    out.mkdir(parents=True, exist_ok=True)
    wrong = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with open_browser(Path(profile)) as page:
            for name, address in addresses.items():
                for width in widths:
                    for dark in (False, True):
                        await page.show(width, dark=dark)
                        await page.open(base + address)
                        wrong += await judge(page, f"{name} at {width}")
                        file = out / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                        file.write_bytes(await page.photograph())
            wrong += [each for each in page.complaints if "404" not in each]
    return list(dict.fromkeys(wrong))


async def judge(page: Page, what: str) -> list[str]:
    """Whether a page fits its window."""
    wide = await page.evaluate(WIDER)
    return [f"{what}: {wide} pixels wider than the window"] if wide > 0 else []


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("--into", type=Path, default=OUT, help="folder of the pictures")
    parser.add_argument("--of", metavar="URL", help="a page that runs, instead of a demo")
    names = sorted(load_scenarios())
    parser.add_argument("--scenarios", action="store_true", help="each chaos scenario")
    parser.add_argument("--scenario", action="append", choices=names, help="this one; repeatable")
    parser.add_argument("--beside", type=int, default=1, help="scenarios side by side (default 1)")
    given = parser.parse_args(arguments)
    chosen = names if given.scenarios else given.scenario or []
    try:
        wrong = asyncio.run(photograph(given, chosen))
    except (NoBrowser, NoDemo, OSError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 69
    print(f"pictures are in {given.into}")
    for each in wrong:
        print(f"  {each}", file=sys.stderr)
    return 1 if wrong else 0


async def photograph(given: argparse.Namespace, scenarios: Sequence[str]) -> list[str]:
    """What was asked for; what is wrong with it, in words."""
    if scenarios:
        albums = await play_all(scenarios, given.into, given.beside)
        write_sheet(given.into)
        for album in albums:
            for command in album.typed:
                print(f"{album.scenario}: typed, as the page said: {command}")
        return [f"{each.scenario}: {text}" for each in albums for text in each.wrong]
    if given.of:
        return await photograph_pages(given.of.rstrip("/"), given.into)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        async with watch_demo(Path(folder), CHAOS) as stage:
            await stage.wait_until(lambda found: bool(found["incidents"]))
            await asyncio.sleep(max(0.0, begun + WAIT - time.monotonic()))
            return await photograph_pages(stage.base, given.into)


async def photograph_pages(base: str, out: Path) -> list[str]:
    """Every page of what runs at an address."""
    status = await asyncio.to_thread(fetch, f"{base}/api/v1/status")
    incidents = await asyncio.to_thread(fetch, f"{base}/api/v1/incidents")
    return await take_pictures(base, list_addresses(status, incidents), out)


if __name__ == "__main__":
    sys.exit(main())
