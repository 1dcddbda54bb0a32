"""Sentinel is killed between a result and its commit, and in the middle of commits, again and again:
no attempt without its row, no row without what belongs to it, no figure false.

The kernel ends each life at a random microsecond (`zygote.py`, `ambush`). Three records are compared
afterwards: the state, the component's own log of its starts, and what really happened on a stream.
"""

from __future__ import annotations

import random
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from sentinel.core.quantity import Bounds
from sentinel.demo.servers import ValkeyServer, free_port
from sentinel.store.sqlite import SqliteStore
from tests.exposition import Samples, read_samples
from tests.faults.test_crash_loop import Run, check, crash_loop

STREAM, GROUP = "orders", "workers"
MORE = """
  - name: delivery
    kind: bus_delivery
    component: bus
    resource: bus
    every: 100ms
    streams: {{include: [{stream}]}}
    deadline: 300ms
resources:
  bus: {{redis: "{url}"}}
"""
LONGEST = 3.0
"""Seconds after which a life that met no ambush is killed all the same."""
LOSSES = "sentinel_bus_lost_before_read_total", "sentinel_bus_lost_before_read_uncertain_total"
PUBLISHED = "sentinel_bus_published_total"
COUNTED = re.compile("sentinel_bus_.+_total")
Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Traffic:
    """What happens on a stream, and what is true of it. A thread, until `stop`."""

    client: redis.Redis
    seed: int
    trims: int = 2
    """How often it is trimmed among sixty deeds: each look that finds a loss is written at once."""
    published: int = 0
    lost: int = 0
    waiting: list[bytes] = field(default_factory=list)
    """Ids that the group has not read and that are still there."""
    _kept: list[bytes] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        """Nothing is there yet, and the group is."""
        self.client.delete(STREAM)
        self.client.xgroup_create(STREAM, GROUP, "0", mkstream=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Publish, read and trim at random meanwhile."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _work(self) -> None:
        chance, deeds = random.Random(self.seed), (self._publish, self._read, self._trim)
        while not self._end.wait(chance.uniform(0.0, 0.02)):
            (deed,) = chance.choices(deeds, (20, 40, self.trims))
            deed(chance)

    def _publish(self, chance: random.Random) -> None:
        for _ in range(chance.randint(1, 5)):
            self.published += 1  # before: a look may see it at once
            entry = self.client.xadd(STREAM, {"n": self.published})
            self.waiting.append(entry)
            self._kept.append(entry)

    def _read(self, chance: random.Random) -> None:
        count = chance.randint(1, 8)
        self.client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=count, noack=True)
        del self.waiting[:count]

    def _trim(self, chance: random.Random) -> None:
        self._publish(chance)
        self._publish(chance)
        kept = chance.randint(0, 1)
        gone = self._kept[: max(0, len(self._kept) - kept)]
        lost = [entry for entry in self.waiting if entry in set(gone)]
        self.lost += len(lost)
        self.client.xtrim(STREAM, maxlen=kept, approximate=False)
        del self._kept[: len(gone)]
        del self.waiting[: len(lost)]


@dataclass
class Page:
    """What was shown of the stream, look by look, over all lives."""

    url: str
    traffic: Traffic
    scrapes: int = 0
    violations: list[str] = field(default_factory=list)
    highest: dict[Series, float] = field(default_factory=dict)

    def scrape(self) -> bool:
        """One scrape, compared with the truth; whether there was an answer with figures."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=2) as answer:
                samples = read_samples(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return False
        if add_up(samples, PUBLISHED) is None:
            return False
        self.scrapes += 1
        true = {PUBLISHED: self.traffic.published, LOSSES[0]: self.traffic.lost}
        for name, most in true.items():
            shown = add_up(samples, name) or 0.0
            if shown > most:
                self.violations.append(f"{name} says {shown:g}, and there were {most}")
        self._follow({key: n for key, n in samples.items() if COUNTED.fullmatch(key[0])})
        return True

    def _follow(self, totals: Samples) -> None:
        """What was shown once is never less, whoever counts it from then on."""
        for series, before in self.highest.items():
            now = totals.get(series, 0.0)
            if now < before:
                self.violations.append(f"{series} went back from {before:g} to {now:g}")
        self.highest.update(totals)

    def wait(self, run: Run, pid: int) -> None:
        """Until the daemon has looked at the stream."""
        run.wait_until_started(pid)
        deadline = time.monotonic() + 30
        while not self.scrape():
            assert time.monotonic() < deadline, (run.folder / "sentinel.log").read_text()[-3000:]
            time.sleep(0.01)


def add_up(samples: Samples, name: str) -> float | None:
    """The sum of a figure over its labels, or None."""
    found = [value for (each, _), value in samples.items() if each == name]
    return sum(found) if found else None


def live_and_die(run: Run, page: Page, kills: int) -> None:
    """So many lives, each ended at a random point; what was given up is reset."""
    for _ in range(kills):
        pid, began = run.start(), time.monotonic()
        while not run.wait_for_its_end(0.02):
            page.scrape()
            if time.monotonic() - began > LONGEST:
                run.end(pid)
                break
        if run.exhausted() and not run.waits_for_reset():
            run.reset()


def read_bounds(page: Page) -> tuple[float, Bounds]:
    """What is published, and how many were lost, at the last scrape."""
    with urllib.request.urlopen(f"{page.url}/metrics", timeout=5) as answer:
        samples = read_samples(answer.read().decode())
    lost, unsure = (int(add_up(samples, name) or 0) for name in LOSSES)
    return add_up(samples, PUBLISHED) or 0.0, Bounds(lost, lost + unsure)


def find_torn(folder: Path) -> list[str]:
    """Rows that came without those that were to come with them."""
    store = SqliteStore(folder / "state")
    try:
        incidents = {each.id: each for each in store.incidents(limit=100_000)}
        told = {key.rpartition("/opened")[0] for key in store.order_keys("notify")}
        torn = [
            f"attempt {each.n} of {each.incident} has no incident"
            for each in store.attempts()
            if each.incident not in incidents
        ]
        for each in incidents.values():
            opened = [entry for entry in store.timeline(each.id) if entry.kind == "opened"]
            if len(opened) != 1:
                torn.append(f"{each.id} was opened {len(opened)} times")
            if each.announced and each.id not in told:
                torn.append(f"{each.id} is announced, and nobody is told")
        return torn
    finally:
        store.close()


@contextmanager
def set_out(
    folder: Path, server: ValkeyServer, seed: int, mode: str = "ambush"
) -> Iterator[tuple[Run, Page]]:
    """A stream at which nothing has happened yet, and who will watch it."""
    port = free_port()
    more = MORE.format(stream=STREAM, url=server.url)
    with redis.Redis(port=server.port) as client, crash_loop(folder, mode, more, port) as run:
        traffic = Traffic(client, seed)
        traffic.begin()
        yield run, Page(f"http://127.0.0.1:{port}", traffic)


def survive(folder: Path, server: ValkeyServer, kills: int, seed: int) -> None:
    """So many lives, then a calm one, and everything is true."""
    with set_out(folder, server, seed) as (run, page):
        traffic = page.traffic
        first = run.start()
        page.wait(run, first)
        with traffic.running():
            (folder / "ambush").touch()
            run.base.fail_now_and_then(seed, stretch=1.0)
            run.end(first)
            live_and_die(run, page, kills)
            (folder / "ambush").unlink()
            run.base.heal()
        last = run.start()
        page.wait(run, last)
        run.wait_until_settled()
        published, lost = read_bounds(page)
        run.end(last, signal.SIGTERM)
        sys.stdout.write(f"{run.kills} kills, {page.scrapes} scrapes, {published:g}, {lost}\n")
        assert page.violations == []
        assert published == traffic.published
        assert lost.lo <= traffic.lost <= lost.hi, (lost, traffic.lost)
        assert traffic.lost > 0
        assert find_torn(folder) == []
        assert check(run).violations == []
        assert run.kills > kills // 2


@pytest.mark.timeout(120)
def test_kills_between_result_and_commit(tmp_path: Path, valkey: ValkeyServer) -> None:
    """Some lives, of which a few end before they have begun."""
    survive(tmp_path, valkey, 8, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 6))
def test_hundreds_of_kills_between_result_and_commit(
    tmp_path: Path, valkey: ValkeyServer, seed: int
) -> None:
    """The same for longer, with other moments."""
    survive(tmp_path, valkey, 150, seed)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_what_is_shown_before_it_is_written_is_noticed(
    tmp_path: Path, valkey: ValkeyServer
) -> None:
    """A daemon that lets a total out first shows less in its next life."""
    with set_out(tmp_path, valkey, 9, "show-first") as (run, page):
        page.traffic.trims, first = 0, run.start()
        page.wait(run, first)
        with page.traffic.running():
            (tmp_path / "ambush").touch()
            run.end(first)
            for _ in range(20):
                live_and_die(run, page, 5)
                if any("went back" in each for each in page.violations):
                    return
    raise AssertionError("100 kills, and nothing went back")
