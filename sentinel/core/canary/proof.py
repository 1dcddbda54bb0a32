"""What counts of canaries prove: Wilson bounds on batch means, verdicts on a target, windows and
their coverage.

Failures come in clusters: with outages of a minute, 86 400 canaries a day tell as much as 690
independent ones (measurement.md §1.11). So the bounds are those of n / design effect, estimated
from the spread between blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ONE_SIDED_95 = 1.6448536269514722
_STUDENT_95 = (
    6.314,
    2.920,
    2.353,
    2.132,
    2.015,
    1.943,
    1.895,
    1.860,
    1.833,
    1.812,
    1.796,
    1.782,
    1.771,
    1.761,
    1.753,
)
"""One-sided 95 % quantiles of Student's t for 1 … 15 degrees of freedom."""
BLOCK_MINUTES = 10
MIN_BLOCKS = 3
"""With fewer blocks the spread between them says nothing: then all failures count as one event."""
MIN_COVERAGE = 0.9
MAX_CHANCE = 0.05
TINY = 1e-9
Block = tuple[int, int]
"""(judged canaries, failures) of one block of time."""


def wilson_lower(n: float, failures: float, z: float = ONE_SIDED_95) -> float:
    """Lower confidence bound of the success ratio (Wilson score; one-sided 95 % by default). 0 for
    n = 0.
    """
    if n == 0:
        return 0.0
    p = (n - failures) / n
    centre = p + z * z / (2 * n)
    width = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return min(1.0, max(0.0, (centre - width) / (1 + z * z / n)))


def chance_of(failures: int, n: int, target: float) -> float:
    """How likely `failures` or more of n are while the target is met (exact binomial tail).

    Wilson's upper bound would not do: it calls one failure of 40 a miss of 99.5 %, which has a
    chance of 18 %.
    """
    if failures <= 0:
        return 1.0
    rest = n * math.log(target)  # the logarithm of the probability of 0 failures, then of 1, 2 …
    below = math.exp(rest)
    for i in range(1, failures):
        rest += math.log((n - i + 1) / i * (1 - target) / target)
        below += math.exp(rest)
        if below > 1 - TINY:
            return 0.0
    return max(0.0, 1.0 - below)


def design_effect(blocks: Sequence[Block]) -> float:
    """How many canaries tell as much as one independent one; at least 1.

    The variance of the ratio estimator over blocks (Cochran, Sampling Techniques, §6.3) divided by
    that of n independent canaries. With fewer than three blocks the failures count as one event.
    """
    k, n, failures = len(blocks), sum(b[0] for b in blocks), sum(b[1] for b in blocks)
    if failures in {0, n}:
        return 1.0
    if k < MIN_BLOCKS:
        return float(failures)
    p = failures / n
    spread = sum((f - p * m) ** 2 for m, f in blocks) * k / (k - 1)
    return max(1.0, spread * (n - 1) / (n * n * p * (1 - p)))


def _quantile(blocks: Sequence[Block], failures: int) -> float:
    """z where nothing was estimated; Student's t with k − 1 degrees of freedom where the spread
    was.
    """
    freedom = len(blocks) - 1
    if not failures or len(blocks) < MIN_BLOCKS or freedom > 60:
        return ONE_SIDED_95
    if freedom <= len(_STUDENT_95):
        return _STUDENT_95[freedom - 1]
    z = ONE_SIDED_95
    return z + (z**3 + z) / (4 * freedom)  # Cornish-Fisher, off by less than 0.005 from here on


@dataclass(frozen=True, slots=True)
class Confidence:
    """What n judged canaries say of a target: `verdict` is "met", "missed" or "insufficient data".

    `effective` is the number of independent canaries that would tell as much. `coverage`: see
    Windows.
    """

    n: int
    failures: int
    lower: float
    effective: float
    verdict: str
    coverage: float = 1.0


def judge(blocks: Sequence[Block], target: float, coverage: float = 1.0) -> Confidence:
    """Met when the lower bound reaches the target, missed when so many failures have a chance below
    5 % while it is met, else insufficient. Of clustered failures each cluster counts once.

    "100 %" of ten canaries is insufficient data: without a failure 99.5 % needs 539 (measurement.md
    §1.11). Nothing is met in a time of which less than nine tenths were seen.
    """
    filled = [block for block in blocks if block[0]]
    n, failures = sum(b[0] for b in filled), sum(b[1] for b in filled)
    deff, z = design_effect(filled), _quantile(filled, failures)
    effective = n / deff
    lower = wilson_lower(effective, failures / deff, z)
    verdict = "insufficient data"
    if n and lower >= target and coverage >= MIN_COVERAGE:
        verdict = "met"
    elif (
        n
        and chance_of(int(failures / deff + TINY), math.ceil(effective - TINY), target) < MAX_CHANCE
    ):
        verdict = "missed"
    return Confidence(n, failures, lower, effective, verdict, coverage)


class Windows:
    """Judged canaries, failures and seconds of sight by minute, for the last 24 hours. Instants in
    Unix seconds.
    """

    SPAN = 24 * 60

    def __init__(
        self, document: Sequence[Sequence[float]] = (), since: float | None = None
    ) -> None:
        self._minutes: dict[int, list[float]] = {int(row[0]): list(row[1:]) for row in document}
        self.since = since
        """When sentinel began to watch this path; None: not yet."""

    def add(self, minute: int, *, failed: bool) -> None:
        """Count one canary."""
        bucket = self._bucket(minute)
        bucket[0] += 1
        bucket[1] += failed

    def cover(self, now: float, seconds: float) -> None:
        """Note that the last `seconds` were seen: sent into, read, and not stalled."""
        self.begin(now)
        while seconds > 0:
            minute = math.ceil(now / 60) - 1
            part = min(seconds, now - 60 * minute)
            self._bucket(minute)[2] += part
            now, seconds = 60.0 * minute, seconds - part

    def begin(self, now: float) -> None:
        """Note that the path is watched from now on; what comes later and is not covered was blind."""
        if self.since is None:
            self.since = now

    def _bucket(self, minute: int) -> list[float]:
        """The bucket of a minute; what is older than a day is forgotten."""
        bucket = self._minutes.setdefault(minute, [0, 0, 0.0])
        if len(self._minutes) > self.SPAN:
            self._minutes = {
                m: bucket for m, bucket in self._minutes.items() if m > minute - self.SPAN
            }
        return bucket

    def count(self, minute: int, minutes: int) -> Block:
        """(judged, failed) of the `minutes` up to and with `minute`."""
        blocks = self.blocks(minute, minutes)
        return sum(b[0] for b in blocks), sum(b[1] for b in blocks)

    def blocks(self, minute: int, minutes: int) -> list[Block]:
        """The same by blocks of ten minutes, oldest first; blocks in which nothing was judged are
        left out.
        """
        blocks: dict[int, list[int]] = {}
        for at, (judged, failed, _) in sorted(self._minutes.items()):
            if minute - minutes < at <= minute and judged:
                block = blocks.setdefault(at // BLOCK_MINUTES, [0, 0])
                block[0] += int(judged)
                block[1] += int(failed)
        return [(judged, failed) for judged, failed in blocks.values()]

    def coverage(self, now: float, minutes: int) -> float:
        """Share of the time since `minutes` ago (or since the path is watched) that was seen; 0 of
        no time.
        """
        oldest = int(now // 60) - minutes + 1
        span = now - max(60.0 * oldest, self.since if self.since is not None else now)
        seen = sum(bucket[2] for minute, bucket in self._minutes.items() if minute >= oldest)
        return min(1.0, seen / span) if span > 0 else 0.0

    def dump(self) -> list[list[float]]:
        """The JSON document that the constructor takes."""
        return [[minute, *bucket] for minute, bucket in sorted(self._minutes.items())]
