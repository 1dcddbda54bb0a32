"""Canaries: what is sent, how each one ends, the conservation law, and what the counts can prove.

Every canary ends in exactly one outcome, so that at any instant
sent = ok + orphan_ok + late + lost + corrupt + open (measurement.md §2.2).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sentinel.core.model import Histogram, Status


class Outcome(StrEnum):
    """How a canary ended. `orphan_ok`: delivered, latency not judged (sent before we were up, or we stalled)."""

    OK = "ok"
    LATE = "late"
    LOST = "lost"
    CORRUPT = "corrupt"
    ORPHAN = "orphan_ok"
    PUBLISH_ERROR = "publish_error"


SETTLED = (Outcome.OK, Outcome.LATE, Outcome.LOST, Outcome.CORRUPT, Outcome.ORPHAN)
FAILED = frozenset({Outcome.LATE, Outcome.LOST, Outcome.CORRUPT, Outcome.PUBLISH_ERROR})
EXTRAS = ("duplicates", "reordered", "foreign")
LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def decide_delivered(*, intact: bool, ours: bool, age: float, deadline: float, stalled: float) -> Outcome:
    """The outcome of a canary that arrived. `age` and `stalled` (our own event loop) in seconds.

    A stall longer than deadline/4 voids a *late* verdict, for it may be the monitor's own fault; it
    never voids delivery, and a canary that was in time in spite of the stall stays ok.
    """
    if not intact:
        return Outcome.CORRUPT
    if not ours:
        return Outcome.ORPHAN
    if age <= deadline:
        return Outcome.OK
    return Outcome.ORPHAN if stalled > deadline / 4 else Outcome.LATE


def is_lost(*, since: float, caught_up: float, loss_after: float) -> bool:
    """Whether an unseen canary is lost. Monotonic seconds.

    `since` is the latest of: published, process start, reader connected. `caught_up` is when the last
    read was issued that left nothing unread. So the reader was there all the time, looked, and found nothing.
    """
    return caught_up >= since + loss_after


# --- what is sent -------------------------------------------------------------------------------

VECTORS: Mapping[str, Any] = {
    "nested": {"a": [1, {"b": [None, {"c": {"d": []}}]}]},
    "empty": [{}, [], "", None],
    "unicode": "Ünïcödé 漢字 🛰️ \u2028 e\u0301 \U0010ffff",
    "control": '\x00\x01\x1f\x7f\t\r\n"\\',
    "bytes": base64.b64encode(bytes(range(256))).decode(),
    "floats": [0.1 + 0.2, -0.0, 1e308, 5e-324],
    "integers": [2**53 + 1, 2**63, -(2**63), 0, 1],
    "booleans": [True, False, 1, 0],
    "instants": ["2026-01-31T23:59:59.999999+00:00", "2026-01-31T23:59:59"],
    "identifier": "6f1c2d3e-0000-4000-8000-0123456789ab",
    "decimal": "1.10",
    "keys": {"1": "one", "": "empty", "a b": "space"},
}
RAW = bytes(range(256))


def encode(seq: str, traceparent: str) -> list[bytes]:
    """Stream fields (name, value, …) of one canary; `sum` is the blake2b of all the others."""
    body = json.dumps({"seq": seq, "vectors": VECTORS}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    fields = [b"seq", seq.encode(), b"traceparent", traceparent.encode(), b"body", body.encode(), b"raw", RAW]
    return [*fields, b"sum", _checksum(fields)]


def sequence_of(fields: Sequence[bytes]) -> str | None:
    """The sequence name that stream fields carry, or None for an entry that is no canary."""
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    seq = values.get(b"seq", b"").decode("ascii", errors="replace")
    epoch, _, number = seq.partition(":")
    return seq if epoch.isalnum() and number.isdigit() else None


def is_intact(fields: Sequence[bytes]) -> bool:
    """Whether the fields arrived byte for byte, and decode to equal values of equal types."""
    if len(fields) < 2 or fields[-2] != b"sum" or fields[-1] != _checksum(fields[:-2]):
        return False
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        body = json.loads(values[b"body"])
    except (KeyError, ValueError):
        return False
    return is_same(body, {"seq": sequence_of(fields), "vectors": VECTORS})


def is_same(left: Any, right: Any) -> bool:
    """Deep equality with types: True is not 1, 1 is not 1.0, -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(is_same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


def _checksum(fields: Sequence[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in fields:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest().encode()


# --- what the counts prove ----------------------------------------------------------------------

ONE_SIDED_95 = 1.6448536269514722


def wilson_lower(n: int, failures: int, z: float = ONE_SIDED_95) -> float:
    """Lower confidence bound of the success ratio (Wilson score; one-sided 95 % by default). 0 for n = 0."""
    return _wilson(n, failures, -z)


def wilson_upper(n: int, failures: int, z: float = ONE_SIDED_95) -> float:
    """Upper confidence bound of the success ratio (Wilson score). 1 for n = 0."""
    return _wilson(n, failures, z)


def _wilson(n: int, failures: int, z: float) -> float:
    if n == 0:
        return 0.0 if z < 0 else 1.0
    p = (n - failures) / n
    centre = p + z * z / (2 * n)
    width = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return min(1.0, max(0.0, (centre + width) / (1 + z * z / n)))


@dataclass(frozen=True, slots=True)
class Confidence:
    """What n judged canaries say of a target: `verdict` is "met", "missed" or "insufficient data"."""

    n: int
    failures: int
    lower: float
    verdict: str


def judge(n: int, failures: int, target: float) -> Confidence:
    """Met when the lower bound reaches the target, missed when the upper one does not, else insufficient.

    "100 %" of ten canaries is insufficient data: without a failure 99.5 % needs 539 (measurement.md §1.11).
    """
    lower = wilson_lower(n, failures)
    verdict = "insufficient data"
    if n and lower >= target:
        verdict = "met"
    elif n and wilson_upper(n, failures) < target:
        verdict = "missed"
    return Confidence(n, failures, lower, verdict)


class Windows:
    """Judged canaries by minute for the last 24 hours. `minute` is the Unix time in whole minutes."""

    SPAN = 24 * 60

    def __init__(self, document: Sequence[Sequence[int]] = ()) -> None:
        self._minutes: dict[int, list[int]] = {minute: [n, failures] for minute, n, failures in document}

    def add(self, minute: int, *, failed: bool) -> None:
        """Count one canary, and forget what is older than a day."""
        bucket = self._minutes.setdefault(minute, [0, 0])
        bucket[0] += 1
        bucket[1] += failed
        if len(self._minutes) > self.SPAN:
            self._minutes = {m: bucket for m, bucket in self._minutes.items() if m > minute - self.SPAN}

    def count(self, minute: int, minutes: int) -> tuple[int, int]:
        """(judged, failed) of the `minutes` up to and with `minute`."""
        inside = [b for m, b in self._minutes.items() if minute - minutes < m <= minute]
        return sum(b[0] for b in inside), sum(b[1] for b in inside)

    def dump(self) -> list[list[int]]:
        """The JSON document that the constructor takes."""
        return [[minute, *bucket] for minute, bucket in sorted(self._minutes.items())]


# --- totals that never go back ------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Totals mirrored from the server. `mirror` is what it said last, `base` what it has forgotten since."""

    mirror: dict[str, int] = field(default_factory=dict)
    base: dict[str, int] = field(default_factory=dict)

    def absorb(self, name: str, value: int, added: int = 0) -> None:
        """Take the server's total after we added `added`. Less than expected means that it forgot (flush, rollback)."""
        forgotten = self.mirror.get(name, 0) + added - value
        if forgotten > 0:
            self.credit(name, forgotten)
        self.mirror[name] = value

    def credit(self, name: str, count: int) -> None:
        """Add to the part of a total that only we know."""
        self.base[name] = self.base.get(name, 0) + count

    def total(self, name: str) -> int:
        """Since sentinel began to watch; never goes back."""
        return self.mirror.get(name, 0) + self.base.get(name, 0)

    def imbalance(self, still_open: int) -> int:
        """sent − settled − open: 0 by the conservation law; positive: ledger entries were wiped from the server;
        negative: a rollback brought settled ones back."""
        return self.total("sent") - sum(self.total(outcome) for outcome in SETTLED) - still_open

    def rebalance(self, still_open: int) -> int:
        """Restore the law: wiped canaries are lost, revived ones count as sent again. Gives `imbalance` as it was."""
        gap = self.imbalance(still_open)
        if gap > 0:
            self.credit(Outcome.LOST, gap)
        elif gap < 0:
            self.credit("sent", -gap)
        return gap


class Latencies:
    """A growing latency histogram with the edges of measurement.md §8; seconds."""

    def __init__(self, document: Sequence[float] = ()) -> None:
        counts = [int(count) for count in document[:-1]]
        self._counts = counts or [0] * (len(LATENCY_BOUNDS) + 1)
        self._sum = float(document[-1]) if document else 0.0

    def add(self, seconds: float) -> None:
        """Count one observation."""
        place = next((i for i, bound in enumerate(LATENCY_BOUNDS) if seconds <= bound), len(LATENCY_BOUNDS))
        self._counts[place] += 1
        self._sum += seconds

    def histogram(self) -> Histogram:
        """The frozen, cumulative value."""
        cumulative = [sum(self._counts[: i + 1]) for i in range(len(self._counts))]
        return Histogram(LATENCY_BOUNDS, tuple(cumulative[:-1]), cumulative[-1], self._sum)

    def dump(self) -> list[float]:
        """The JSON document that the constructor takes."""
        return [*self._counts, self._sum]


LEGS = ("publish", "deliver", "total")
RECENT = 200


class Record:
    """Everything known of one path: totals, latencies by leg, the last outcomes, the windows."""

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        known = document or {}
        self.tally = Tally(dict(known.get("mirror", {})), dict(known.get("base", {})))
        self.windows = Windows(known.get("windows", ()))
        self.recent: deque[str] = deque(known.get("recent", ()), RECENT)
        self.latency = {leg: Latencies(known.get("latency", {}).get(leg, ())) for leg in LEGS}

    def ended(self, outcome: Outcome, minute: int, times: int = 1) -> None:
        """Note ends for the windows and the last-m rule; an orphan was not judged and counts in neither."""
        if outcome is Outcome.ORPHAN:
            return
        for _ in range(min(times, RECENT)):
            self.recent.append(outcome)
            self.windows.add(minute, failed=outcome in FAILED)

    def last(self, count: int) -> list[str]:
        """The last outcomes, oldest first."""
        return list(self.recent)[-count:]

    def dump(self) -> dict[str, Any]:
        """The JSON document that the constructor takes."""
        return {
            "mirror": dict(self.tally.mirror),
            "base": dict(self.tally.base),
            "windows": self.windows.dump(),
            "recent": list(self.recent),
            "latency": {leg: latency.dump() for leg, latency in self.latency.items()},
        }


def judge_recent(recent: Sequence[str], *, failures: int, of: int, down_after: int) -> tuple[Status, str]:
    """The verdict of the last outcomes (oldest first) and its reason: `failures` of the last `of` are degraded,
    `down_after` in a row that were sent and never arrived are down, none at all is unknown. A refused canary is no
    sign of a dead path: the server answers, and a restart would not make room or undo a failover."""
    tail = [outcome for outcome in recent if outcome != Outcome.PUBLISH_ERROR][-down_after:]
    if len(tail) == down_after and all(outcome == Outcome.LOST for outcome in tail):
        return Status.DOWN, f"the last {len(tail)} canaries that were sent were all lost"
    window = recent[-of:]
    failed = [outcome for outcome in window if outcome in FAILED]
    if len(failed) >= failures:
        kinds = ", ".join(f"{failed.count(kind)} {kind}" for kind in sorted(set(failed)))
        return Status.DEGRADED, f"{len(failed)} of the last {len(window)} canaries failed: {kinds}"
    if not window:
        return Status.UNKNOWN, "no canary was judged yet"
    return Status.UP, ""
