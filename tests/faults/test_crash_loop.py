"""Random SIGKILLs of sentinel while a component crashes again and again: the restart cap holds.

An offline checker reads two independent records: sentinel's journal and the component's own log of
its starts.
"""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.clock import read_moment_now
from sentinel.core.model import Attempt, Incident
from sentinel.core.moment import write_moment
from sentinel.core.order import Order
from sentinel.core.schedule import phase
from sentinel.store.sqlite import SqliteStore

ATTEMPTS = 3
# Its check is due right after a start of sentinel, so that short lives get on with the work.
VICTIM = next(
    name for name in map("victim{}".format, range(999)) if phase(f"{name}.process") < 0.005
)
BASE = next(name for name in map("base{}".format, range(999)) if phase(name) < 0.005)
SHORT_LIFE = 0.7
"""Seconds at most, on a machine on which a start takes less than half of that."""
LONG_LIFE = 2.5
"""Seconds after a start: longer than the interval of the victim's check. The first result changes
no status: a victim that died unseen, or was never started after the intent of its first start, is
found by the second result."""
SEEN_LATE = 1.0
"""Seconds after which an outage of `base` must have been seen: many times the interval of its
check.
"""
CONFIGURATION = """
listen: 127.0.0.1:{page}
state: {folder}/state
actions:
  enabled: true
  start_grace: 0s
  limits: {{per_window: 100000}}
  breaker: {{exhausted: 0, last_attempts: 0, starts: 0, stall: 0s}}   # two hundred crashes are the test
components:
  base: {{}}
  {victim}:
    driver: process
    command: [/bin/sh, {folder}/victim.sh]
    depends_on: [base]
    restart:
      max_attempts: 3
      per_hour: 100000
      per_day: 100000
      backoff: {{first: 0s, initial: 20ms, factor: 2, max: 100ms}}
      startup_grace: 300ms
checks:
  - name: {base}
    kind: tcp
    component: base
    address: "127.0.0.1:{port}"
    every: 100ms
    failures: 1
    of: 1
    recoveries: 1
    recovery_time: 0s
"""
PROGRAM = """
now() {{ date +%s.%N; }}
echo "start $$ $(now)" >> {folder}/victim.log
sleep 0.02
echo "end $$ $(now)" >> {folder}/victim.log
exit 1
"""


class Base:
    """What the victim needs: a port that listens, with outages at times that are written down."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self.outages: list[tuple[float, float]] = []
        self.port = self._listen(0)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def _listen(self, port: int) -> int:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(128)
        return int(self._socket.getsockname()[1])

    def fail_now_and_then(self, seed: int, stretch: float) -> None:
        """Up for about three seconds, away for about two, until `heal`; `stretch` times as long
        where lives are.
        """
        self._thread = threading.Thread(
            target=self._toggle, args=(random.Random(seed), stretch), daemon=True
        )
        self._thread.start()

    def _toggle(self, chance: random.Random, stretch: float) -> None:
        while not self._end.wait(stretch * chance.uniform(2.0, 4.0)):
            assert self._socket is not None
            self._socket.close()
            began = time.time()
            self._end.wait(stretch * chance.uniform(1.5, 2.5))
            self.outages.append((began, time.time()))
            self._listen(self.port)

    def heal(self) -> None:
        """No further outage."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def restore(self) -> None:
        """Ready for another round."""
        self._end.clear()

    def close(self) -> None:
        """Away for good."""
        self.heal()
        if self._socket is not None:
            self._socket.close()


@dataclass
class Run:
    """One crash loop with its folder and its daemon starter."""

    folder: Path
    zygote: subprocess.Popen[str]
    store: SqliteStore
    base: Base
    kills: int = 0
    resets: int = 0
    alive: int = 0

    def start(self) -> int:
        """Start a daemon; its process id."""
        self._say("start")
        self.alive = int(self._hear())
        return self.alive

    def end(self, pid: int, signum: int = signal.SIGKILL) -> None:
        """End a daemon and wait for its end."""
        os.kill(pid, signum)
        assert self._hear() == "ended"
        self.alive = 0
        self.kills += signum == signal.SIGKILL

    def wait_for_its_end(self, seconds: float) -> bool:
        """Whether the daemon was ended by somebody else within this time."""
        assert self.zygote.stdout is not None
        if not select.select([self.zygote.stdout], [], [], seconds)[0]:
            return False
        assert self._hear() == "ended"
        self.alive = 0
        self.kills += 1
        return True

    def exhausted(self) -> bool:
        """Whether the present incident is given up."""
        return any(incident.exhausted for incident in self.store.incidents(open_only=True))

    def reset(self) -> None:
        """What `sentinel reset` does: an order, which a daemon carries out once."""
        self.resets += 1
        payload = {"reason": "test", "given": write_moment(read_moment_now())}
        order = Order("reset", f"reset/{VICTIM}/{self.resets}", VICTIM, payload)
        self.store.add_order(order, datetime.now(UTC))

    def waits_for_reset(self) -> bool:
        """Whether a reset is not carried out yet."""
        return any(order.kind == "reset" for order in self.store.take_orders())

    def wait_for_an_act(self, seconds: float) -> None:
        """Until the component is started once more, at most some seconds."""
        path = self.folder / "victim.log"
        size = path.stat().st_size if path.exists() else 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (not path.exists() or path.stat().st_size == size):
            time.sleep(0.001)

    def wait_until_started(self, pid: int) -> None:
        """Until a daemon watches: that takes some tenths of a second, on a busy machine seconds."""
        path, deadline = self.folder / "sentinel.log", time.monotonic() + 60
        while not path.exists() or f'"process": {pid}' not in path.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def wait_until_settled(self) -> None:
        """Until the last reset is carried out and the incident after it is given up."""
        deadline = time.monotonic() + 30
        while self.waits_for_reset() or not self.exhausted():
            assert time.monotonic() < deadline, (self.folder / "sentinel.log").read_text()[-3000:]
            time.sleep(0.02)

    def _say(self, word: str) -> None:
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(f"{word}\n")
        self.zygote.stdin.flush()

    def _hear(self) -> str:
        assert self.zygote.stdout is not None
        return self.zygote.stdout.readline().strip()


@contextmanager
def crash_loop(folder: Path, mode: str, more: str = "", page: int = 0) -> Iterator[Run]:
    """A folder with a component that always dies, and a starter of daemons; `more` are further
    checks, of a component `bus`, and resources.
    """
    base = Base()
    (folder / "checks").mkdir()
    text = CONFIGURATION.format(folder=folder, victim=VICTIM, base=BASE, port=base.port, page=page)
    if more:
        text = text.replace("components:", "components:\n  bus: {}", 1) + more
    (folder / "checks" / "sentinel.yaml").write_text(text)
    (folder / "victim.sh").write_text(PROGRAM.format(folder=folder))
    (folder / "state").mkdir(mode=0o700)
    command = [sys.executable, str(Path(__file__).with_name("zygote.py")), str(folder), mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zygote:
        run = Run(folder, zygote, SqliteStore(folder / "state"), base)
        assert run._hear() == "ready"
        try:
            yield run
        finally:
            if run.alive:  # a test that failed: the starter waits for it
                os.kill(run.alive, signal.SIGKILL)
            base.close()
            run.store.close()
            assert zygote.stdin is not None
            zygote.stdin.close()


def measure_start(run: Run) -> float:
    """Seconds that a daemon needs until it watches."""
    began, pid = time.monotonic(), run.start()
    run.wait_until_started(pid)
    took = time.monotonic() - began
    run.end(pid)
    return took


def torture(run: Run, kills: int, seed: int) -> None:
    """Kill at random moments, every third time right behind an act; reset what was given up; let a
    few of them live.
    """
    chance = random.Random(seed)
    longest = max(SHORT_LIFE, 2 * measure_start(run))
    run.base.fail_now_and_then(seed, stretch=longest / SHORT_LIFE)
    for i in range(kills):
        pid = run.start()
        patience = chance.uniform(0.0, longest)
        if i % 15 == 7:
            run.wait_until_started(pid)
            time.sleep(LONG_LIFE)
        elif i % 3 == 2:
            run.wait_for_an_act(patience + 0.2)
        else:
            time.sleep(patience)
        run.end(pid)
        if run.exhausted() and not run.waits_for_reset():
            run.reset()
    run.base.heal()
    pid = run.start()
    run.wait_until_settled()
    time.sleep(0.3)  # whatever would start it once more has its chance
    run.end(pid, signal.SIGTERM)


@dataclass
class Verdict:
    """What the two records say together. `violations` is what must be empty."""

    starts: int
    attempts: int
    incidents: int
    per_incident: Counter[str]
    overlaps: int
    violations: list[str]


def check(run: Run) -> Verdict:
    """Compare the journal with the component's own log."""
    store = SqliteStore(run.folder / "state")
    attempts, incidents = store.attempts(), store.incidents(limit=100_000)
    escalations = Counter(
        (incident.id, entry.kind) for incident in incidents for entry in store.timeline(incident.id)
        if entry.kind == "exhausted"
    )  # fmt: skip
    rows = store.database.query(
        "SELECT key FROM orders WHERE kind = 'notify' AND key LIKE '%/exhausted'"
    )
    orders = Counter(key.removesuffix("/exhausted") for (key,) in rows)
    store.close()
    lines = [line.split() for line in (run.folder / "victim.log").read_text().splitlines()]
    starts = sorted(float(at) for word, _, at in lines if word == "start")
    violations, used = _compare(starts, attempts)
    violations += _caps(used, attempts)
    violations += _escalations(incidents, escalations, orders, attempts)
    violations += [
        f"started at {at:.3f} although base was away since {began:.3f}"
        for at in starts
        for began, ended in run.base.outages
        if began + SEEN_LATE < at < ended
    ]
    overlaps = _overlaps(lines)
    if overlaps:
        violations.append(f"{overlaps} times two copies ran at once")
    return Verdict(len(starts), len(attempts), len(incidents), used, overlaps, violations)


def _compare(starts: list[float], attempts: list[Attempt]) -> tuple[list[str], Counter[str]]:
    """Every start but the very first needs a row of its own that was claimed before it."""
    violations, used = [], Counter[str]()
    waiting = sorted(attempts, key=lambda attempt: attempt.intended)
    taken: set[tuple[str, int]] = set()
    for number, at in enumerate(starts[1:], 2):
        before = [
            a for a in waiting if a.intended.timestamp() <= at and (a.incident, a.n) not in taken
        ]
        if not before:
            violations.append(f"start {number} at {at:.3f} has no journaled attempt before it")
            continue
        taken.add((before[-1].incident, before[-1].n))
        used[before[-1].incident] += 1
    return violations, used


def _caps(used: Counter[str], attempts: list[Attempt]) -> list[str]:
    spent = Counter(attempt.incident for attempt in attempts)
    found = [f"{n} starts in incident {name}" for name, n in used.items() if n > ATTEMPTS]
    return found + [f"{n} attempts in incident {name}" for name, n in spent.items() if n > ATTEMPTS]


def _escalations(
    incidents: list[Incident],
    escalations: Counter[tuple[str, str]],
    orders: Counter[str],
    attempts: list[Attempt],
) -> list[str]:
    """Given up once each, never before the third attempt, and told once."""
    spent = Counter(attempt.incident for attempt in attempts)
    found = [f"{name} escalated {n} times" for (name, _), n in escalations.items() if n != 1]
    found += [f"{name} notified {n} times" for name, n in orders.items() if n != 1]
    found += [
        f"{name} given up after {spent[name]}" for name, _ in escalations if spent[name] != ATTEMPTS
    ]
    of_victim = [each for each in incidents if each.component == VICTIM]
    last = max(of_victim, key=lambda incident: incident.opened)
    if not (
        last.exhausted
        and last.escalated
        and escalations[last.id, "exhausted"] == 1
        and orders[last.id] == 1
    ):
        found.append(f"the last incident {last.id} was not escalated exactly once")
    return found


def _overlaps(lines: list[list[str]]) -> int:
    """How often a copy started while another one ran."""
    events = sorted((float(at), word, pid) for word, pid, at in lines)
    running: set[str] = set()
    overlaps = 0
    for _, word, pid in events:
        if word == "start":
            overlaps += bool(running)
            running.add(pid)
        else:
            running.discard(pid)
    return overlaps


def survives(folder: Path, kills: int, seed: int) -> Verdict:
    """Torture and check."""
    with crash_loop(folder, "journal-first") as run:
        torture(run, kills, seed)
        verdict = check(run)
        sys.stdout.write(f"{run.kills} kills, {run.resets} resets: {verdict}\n")
        assert run.resets >= kills // 20, "the loop hardly moved: nothing was tested"
        assert len(run.base.outages) >= kills // 20, "base was hardly ever away: nothing was tested"
    return verdict


@pytest.mark.timeout(400)
def test_random_kills_never_exceed_the_cap(tmp_path):
    """80 SIGKILLs: never a fourth start in an incident, no start without a row before it, no start
    while what it needs is away, no two copies at once, one escalation each."""
    verdict = survives(tmp_path, 80, seed=1)
    assert verdict.violations == []
    assert verdict.starts > ATTEMPTS


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 7))
def test_a_thousand_random_kills_never_exceed_the_cap(tmp_path, seed):
    """200 SIGKILLs, five times with other moments."""
    assert survives(tmp_path, 200, seed).violations == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("mutation", "text"),
    [
        ("act-first", "has no journaled attempt before it"),
        pytest.param("ignore-dependencies", "although base was away", marks=pytest.mark.nightly),
    ],
)
def test_the_checker_notices_a_guard_that_is_missing(tmp_path, mutation, text):
    """Act-then-record leaves starts that no row explains; a sentinel that asks no dependency starts
    in outages.
    """
    with crash_loop(tmp_path, mutation) as run:
        for seed in range(8):
            torture(run, 25, seed)
            run.base.restore()
            if any(text in violation for violation in check(run).violations):
                return
        raise AssertionError("200 kills, and the checker found nothing")
