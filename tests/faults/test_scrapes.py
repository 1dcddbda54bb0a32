"""G3: scrapes while the configuration is read anew, many at once, beside a reader that takes nothing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sentinel.app import Daemon
from sentinel.config import load

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
components: {{web: {{}}}}
checks:
"""
CHECK = '  - {{name: c{n}, kind: tcp, component: web, every: 200ms, address: "127.0.0.1:1"}}\n'
AT_ONCE = 50


def write(folder: Path, count: int, *, broken: bool = False) -> None:
    checks = "".join(CHECK.format(n=n) for n in range(count))
    text = CONFIGURATION.format(folder=folder) + checks
    (folder / "config" / "a.yaml").write_text(text + ("  - {name: [" if broken else ""))


def read(text: str) -> dict[str, set[str]]:
    """The checks by metric, as the parser of prometheus_client reads them."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).add(sample.labels.get("check", ""))
    return found


@pytest.mark.parametrize("times", [3, pytest.param(1000, marks=pytest.mark.nightly)])
async def test_scrapes_during_reloads(tmp_path: Path, times: int) -> None:
    """Every scrape is whole and valid, with the checks of one configuration or the other, whether a
    reload succeeds or is refused; a slow reader holds nobody up, and no check stops.
    """
    (tmp_path / "config").mkdir()
    write(tmp_path, 2)
    daemon = Daemon(load(tmp_path / "config"))
    await daemon.start()
    port = urlsplit(daemon.url).port
    with socket.create_connection(("127.0.0.1", port or 0)) as slow:
        asked = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        slow.sendall(asked.encode())
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as web:

                async def scrape() -> str:
                    async with web.get(f"{daemon.url}/metrics") as answer:
                        assert answer.status == 200
                        return await answer.text()

                async with asyncio.timeout(30):
                    while "sentinel_check_status{" not in await scrape():
                        await asyncio.sleep(0.05)
                for n in range(times):
                    write(tmp_path, 1 + n % 3, broken=n % 3 == 2)
                    reload = asyncio.create_task(daemon.reload())
                    texts = await asyncio.gather(*(scrape() for _ in range(AT_ONCE)))
                    assert await reload is (n % 3 != 2)
                    for text in set(texts):
                        known = read(text)["sentinel_check_status"]
                        assert known in ({"c0"}, {"c0", "c1"}, {"c0", "c1", "c2"}), known
                write(tmp_path, 3)
                assert await daemon.reload()
                runs = {check.name: count for check, *_, count in daemon.results()}
                async with asyncio.timeout(30):
                    while any(count <= runs[check.name] for check, *_, count in daemon.results()):
                        await asyncio.sleep(0.02)
        finally:
            await daemon.stop()
