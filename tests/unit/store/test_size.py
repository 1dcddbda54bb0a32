"""How large a state gets: measured of some rows, and counted up to ten thousand checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sentinel.config.model import PlatformSettings
from sentinel.core.component.health import FLAP_MEMORY, Health
from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Incident, IncidentState, Transition
from sentinel.store import ROLLED_UP_WITHIN, Changes, CheckView, Retention, Sample
from sentinel.store import retention as retention_module
from sentinel.store.looks import LOOKS, write_looks
from sentinel.store.retention import MAX_SAMPLES
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHECKS = 10_000
LIMIT = 500e6
COUNTING = 0.2
"""Share of `redis_server` and `process`, of which reports read a total of the past; of tcp and http
they read none.
"""
FAILURES = 2
"""Of each check, in the time that is remembered."""


def make_view(n: int) -> CheckView:
    """As a check of HTTP has it, with long names."""
    labels = {"target": f"https://service-{n:05}.example.internal/health", "target_type": "http"}
    times = dict.fromkeys(("connect", "tls", "first_byte", "total", "certificate"), 0.001234)
    return CheckView(
        f"service-{n:05}-answers", "http", f"service-{n:05}", "up", "up", NOW, "status 200 in 3.2 ms",
        ("total", "3.2 ms"), "", {"status": 200, "address": "10.11.12.13", "headers": {}},
        [{"labels": labels, "values": times}], 123_456, 10.0, NOW, 0.0032, "ok", "observed", "0" * 32,
        "http-unreachable", False,
    )  # fmt: skip


def believe(n: int) -> Changes:
    """What is there once for each check."""
    name = make_view(n).name
    window, history = (Status.UP,) * 5, (True,) * (FLAP_MEMORY + 1)
    health = Health(
        Status.UP, NOW, window, NOW, 9999, 0, history, last_observed=NOW, held_since=NOW
    )
    state = {"counts": [1234] * 15, "total": 123_456, "sum": 1234.5}
    return Changes(checks=[make_view(n)], health={name: health}, probe_state={name: state})


def fail(n: int) -> Changes:
    """A failure and its end."""
    name, component, at = f"service-{n:05}-answers", f"service-{n:05}", NOW + timedelta(seconds=n)
    text = f"{component} at https://{component}.example.internal/health does not answer in 5.0 s"
    fault = Fault(
        "unreachable", {}, Status.DOWN, text, guidance="look at it" * 5, cure=("ss -lnt",)
    )
    moves = [
        Transition(subject, scope, before, after, at, text)
        for subject, scope in ((name, "check"), (component, "component"))
        for before, after in ((Status.UP, Status.DOWN), (Status.DOWN, Status.UP))
    ]
    incident = Incident(
        f"{at:%Y%m%dT%H%M%S}-{component}", component, at, IncidentState.CLOSED, Status.DOWN, text
    )
    lines = [(incident.id, at, Event(kind, text), {"detail": text}) for kind in "abcdefgh"]
    standing = StandingFault(name, component, fault, at, Status.DOWN, at)
    return Changes(transitions=moves, incidents=[incident], events=lines, faults=[standing])


def read_total(n: int) -> Changes:
    """One reading of one total."""
    at, labels = NOW + timedelta(seconds=n), {"component": f"service-{n % 97:05}"}
    return Changes(samples=[Sample(at, f"service-{n:05}-process", "restarts_total", labels, 3.0)])


def measure(folder: Path, make: Callable[[int], Changes], count: int = 1500) -> float:
    """Bytes of the file for each of them, indices and half-filled pages with it."""
    folder.mkdir()
    store = SqliteStore(folder)

    def size() -> int:
        ((pages,),) = store.database.query("PRAGMA page_count")
        return 4096 * int(pages)

    before, whole = size(), Changes()
    for n in range(count):
        turn = make(n)
        for name in ("checks", "transitions", "incidents", "events", "faults", "samples"):
            getattr(whole, name).extend(getattr(turn, name))
        whole.health.update(turn.health)
        whole.probe_state.update(turn.probe_state)
    store.commit(whole)
    found = (size() - before) / count
    store.close()
    return found


def test_ten_thousand_checks_at_default_retention(tmp_path: Path) -> None:
    """At rest, with failures now and then; and when totals move all the time, up to their cap."""
    kept = timedelta(seconds=PlatformSettings.model_fields["retention"].default)
    once = measure(tmp_path / "once", believe) * CHECKS
    failures = measure(tmp_path / "failures", fail) * CHECKS * FAILURES
    reading = measure(tmp_path / "readings", read_total)
    looks = len(write_looks(NOW, {make_view(n).name: (NOW, 123_456) for n in range(CHECKS)}))
    at_rest = (kept / ROLLED_UP_WITHIN + 2 * FAILURES) * COUNTING * CHECKS
    assert at_rest < MAX_SAMPLES
    assert once + failures + looks + at_rest * reading < LIMIT / 2
    assert once + failures + looks + MAX_SAMPLES * reading < LIMIT


def test_readings_are_capped(tmp_path: Path, monkeypatch) -> None:
    """The latest stay, whatever the retention is, and as every other row they go in short steps."""
    monkeypatch.setattr(retention_module, "MAX_SAMPLES", 500)
    store = SqliteStore(tmp_path)
    for n in range(800):
        store.commit(read_total(n))
    long_ago = NOW - timedelta(days=900)
    retention = Retention(*[long_ago] * 5)
    steps = 1
    while store.forget(retention).more:
        steps += 1
    left = store.samples(since=long_ago)
    assert [each.at for each in left] == [NOW + timedelta(seconds=n) for n in range(300, 800)]
    assert steps > 1
    store.commit(replace(read_total(800), meta={LOOKS: "{}"}))
    store.forget(retention)
    assert store.samples(since=long_ago)[0].at == NOW + timedelta(seconds=301)
    store.close()
