"""Canaries: what is sent, what comes back, and how each one ends.

Every canary ends in exactly one outcome, so that at any instant
sent = ok + orphan_ok + late + lost + corrupt + open (measurement.md §2.2).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Outcome(StrEnum):
    """How a canary ended. `orphan_ok`: delivered, latency not judged (sent before we were up, or we
    stalled).
    """

    OK = "ok"
    LATE = "late"
    LOST = "lost"
    CORRUPT = "corrupt"
    ORPHAN = "orphan_ok"
    PUBLISH_ERROR = "publish_error"


SETTLED = (Outcome.OK, Outcome.LATE, Outcome.LOST, Outcome.CORRUPT, Outcome.ORPHAN)
FAILED = frozenset({Outcome.LATE, Outcome.LOST, Outcome.CORRUPT, Outcome.PUBLISH_ERROR})
EXTRAS = ("duplicates", "resurfaced", "reordered", "foreign")
LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def decide_delivered(
    *, intact: bool, ours: bool, age: float, deadline: float, stalled: float
) -> Outcome:
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

    `since` is the latest of: published, process start, reader connected. `caught_up` is when the
    last read was issued that left nothing unread. So the reader was there all the time, looked, and
    found nothing.
    """
    return caught_up >= since + loss_after


# --- what is sent, and what comes back ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """A canary, or a hop's report of it, as read. `passed`: (hop, its wall clock in ns) of every
    hop so far.
    """

    seq: str
    intact: bool
    final: bool = True
    passed: tuple[tuple[str, int], ...] = ()

    @property
    def reporter(self) -> str:
        """The hop that sent this; "" when it says nothing of hops."""
        return self.passed[-1][0] if self.passed else ""


class Letter(Protocol):
    """How the canaries of one path are written and read. `hops`: the legs through the product, in
    order.
    """

    @property
    def hops(self) -> tuple[str, ...]:
        """Names of the legs through the product."""
        ...

    def write(self, seq: str, traceparent: str, instant: str) -> list[bytes]:
        """Stream fields (name, value, …)."""
        ...

    def read(self, fields: Sequence[bytes]) -> Arrival | None:
        """What stream fields say; None for an entry that is no canary of this path."""
        ...


@dataclass(frozen=True, slots=True)
class OwnLetter:
    """Through a stream of sentinel's own: every byte is ours, and must come back as it was."""

    hops: tuple[str, ...] = ()

    def write(self, seq: str, traceparent: str, instant: str) -> list[bytes]:
        """Stream fields (name, value, …)."""
        del instant
        return encode(seq, traceparent)

    def read(self, fields: Sequence[bytes]) -> Arrival | None:
        """What stream fields say."""
        seq = sequence_of(fields)
        return None if seq is None else Arrival(seq, is_intact(fields))


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
    body = json.dumps(
        {"seq": seq, "vectors": VECTORS}, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    fields = [
        b"seq",
        seq.encode(),
        b"traceparent",
        traceparent.encode(),
        b"body",
        body.encode(),
        b"raw",
        RAW,
    ]
    return [*fields, b"sum", _checksum(fields)]


def sequence_of(fields: Sequence[bytes]) -> str | None:
    """The sequence name that stream fields carry, or None for an entry that is no canary."""
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    return read_sequence(values.get(b"seq", b""))


def read_sequence(value: bytes) -> str | None:
    """A sequence name, `epoch:number`; None for any other text."""
    seq = value.decode("ascii", errors="replace")
    epoch, _, number = seq.partition(":")
    return seq if len(seq) < 100 and epoch.isalnum() and number.isdecimal() else None


def is_intact(fields: Sequence[bytes]) -> bool:
    """Whether the fields arrived byte for byte, and decode to equal values of equal types."""
    if len(fields) < 2 or fields[-2] != b"sum" or fields[-1] != _checksum(fields[:-2]):
        return False
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        body = json.loads(values[b"body"])
    except (KeyError, ValueError, RecursionError):
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
