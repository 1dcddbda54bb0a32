"""`python -m tools.screenshots`: pictures of every page at 1400, 390 and 320 pixels, light and dark, from
a demo under chaos, into `var/screenshots`. What does not fit the width, and what the console of the
browser says, is told.

Exit status: 0 written, 1 a page is wider than the window or violates its policy, 69 Chromium or the
demo is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sentinel.demo.servers import free_port
from tools.screenshots.browser import NoBrowser, Screen, open_screen
from tools.screenshots.pages import list_addresses

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "var" / "screenshots"
WIDTHS = (1400, 390, 320)
CHAOS = ("crash-loop", "lose-messages", "stuck-flow", "tenant-leak", "slow-assigner")
WAIT = 45.0
"""Seconds after which the chaos has left its traces."""
PATIENCE = 60.0


class NoDemo(Exception):
    """The demo did not start; the sentence says why."""


@contextmanager
def watch_demo(folder: Path) -> Iterator[str]:
    """A demo under chaos; the address of its page."""
    address = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "sentinel", "demo", "--folder", str(folder), "--listen", address]
    for name in CHAOS:
        argv += ["--chaos", name]
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    process = subprocess.Popen(argv, cwd=ROOT, start_new_session=True, **quiet)  # type: ignore[call-overload]
    try:
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        if process.poll() is None:
            process.kill()


def fetch(address: str) -> Any:
    """A document of the API."""
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        return json.load(answer)


def wait_for(base: str, is_enough: Callable[[Mapping[str, Any]], bool]) -> None:
    """Until the status page says enough. NoDemo when it never does."""
    end = time.monotonic() + WAIT + PATIENCE
    while time.monotonic() < end:
        with suppress(OSError):
            if is_enough(fetch(f"{base}/api/v1/status")):
                return
        time.sleep(0.5)
    raise NoDemo("the demo did not come to where it was to be photographed")


async def take_pictures(
    base: str, addresses: Mapping[str, str], out: Path, widths: Sequence[int] = WIDTHS
) -> list[str]:
    """Write every picture; what is wrong with a page, in words."""
    out.mkdir(parents=True, exist_ok=True)
    wrong = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with open_screen(Path(profile)) as screen:
            for name, address in addresses.items():
                for width in widths:
                    for dark in (False, True):
                        await screen.resize(width, dark=dark)
                        await screen.go(base + address)
                        wrong += await judge(screen, f"{name} at {width}")
                        file = out / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                        file.write_bytes(await screen.photograph())
            wrong += [each for each in screen.complaints if "404" not in each]
    return list(dict.fromkeys(wrong))


async def judge(screen: Screen, what: str) -> list[str]:
    """Whether a page fits its window."""
    wide = await screen.ask(
        "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )
    return [f"{what}: {wide} pixels wider than the window"] if wide > 0 else []


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("--into", type=Path, default=OUT, help="folder of the pictures")
    parser.add_argument("--of", metavar="URL", help="a page that runs, instead of a demo")
    given = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if given.of:
                wrong = photograph(given.of.rstrip("/"), given.into)
            else:
                begun = time.monotonic()
                with watch_demo(Path(folder)) as base:
                    wait_for(base, lambda found: bool(found["incidents"]))
                    time.sleep(max(0.0, begun + WAIT - time.monotonic()))
                    wrong = photograph(base, given.into)
    except (NoBrowser, NoDemo, OSError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 69
    print(f"pictures are in {given.into}")
    for each in wrong:
        print(f"  {each}", file=sys.stderr)
    return 1 if wrong else 0


def photograph(base: str, out: Path) -> list[str]:
    """Every page of what runs at an address."""
    status, incidents = fetch(f"{base}/api/v1/status"), fetch(f"{base}/api/v1/incidents")
    return asyncio.run(take_pictures(base, list_addresses(status, incidents), out))


if __name__ == "__main__":
    sys.exit(main())
