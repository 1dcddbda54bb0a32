"""Exact numbers for reports, out of evidence and minute roll-ups of counters. What nobody measured
stays None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sentinel.reports.facts import Figure, Period
from sentinel.store import CheckView, Reader, Sample

LOOK_BACK = timedelta(minutes=10)
"""A roll-up this much older than the incident still is a baseline for it."""
SINCE_WATCH_BEGAN = "total since the watch began, not of this incident alone"


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter among the roll-ups: the measurement's name, and the labels that its series must
    carry.
    """

    measurement: str
    labels: tuple[tuple[str, str], ...] = ()

    def fits(self, sample: Sample) -> bool:
        """Whether a roll-up belongs to this counter."""
        named = sample.measurement.removesuffix("_total") == self.measurement
        return named and all(sample.labels.get(label) == value for label, value in self.labels)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure comes from: evidence[section][key] holds its total (a number or [low, high]).

    `section` may be a path with slashes; of several `keys` the first that is there counts, or all
    of them when `summed`. `certain` are the counters of the lower bound, `uncertain` what the upper
    bound adds to them.
    """

    name: str
    section: str
    keys: tuple[str, ...]
    certain: tuple[Counter, ...] = ()
    uncertain: tuple[Counter, ...] = ()
    summed: bool = False

    def total(self, check: CheckView) -> tuple[float, float] | None:
        """The total in a check's evidence, or None where it has none."""
        section: Any = check.evidence
        for part in self.section.split("/"):
            section = section.get(part) if isinstance(section, Mapping) else None
        if not isinstance(section, Mapping):
            return None
        found = [read_interval(section[key]) for key in self.keys if key in section]
        if not found or None in found or (self.summed and len(found) < len(self.keys)):
            return None
        known = [interval for interval in found if interval is not None]
        return (
            (sum(low for low, _ in known), sum(high for _, high in known))
            if self.summed
            else known[0]
        )


IMPACT = (
    Source(
        "messages lost before they were read",
        "account",
        ("lost",),
        (Counter("lost_before_read"),),
        (Counter("lost_before_read_uncertain"),),
    ),
    Source("messages redelivered, at least", "redelivered", ("total",), (Counter("redeliveries"),)),
    Source(
        "messages overdue at their deadline",
        "account/settled",
        ("pending", "waiting"),
        (
            Counter("settled", (("outcome", "pending"),)),
            Counter("settled", (("outcome", "waiting"),)),
        ),
        summed=True,
    ),
    Source("canaries lost", "canary", ("lost",), (Counter("results", (("result", "lost"),)),)),
    Source("canaries duplicated", "canary", ("duplicate", "duplicates"), (Counter("duplicates"),)),
    Source("canaries late", "canary", ("late",), (Counter("results", (("result", "late"),)),)),
    Source(
        "canaries corrupt", "canary", ("corrupt",), (Counter("results", (("result", "corrupt"),)),)
    ),
)


def read_number(value: Any) -> float | None:
    """A finite number out of evidence, or None: evidence may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def read_interval(value: Any) -> tuple[float, float] | None:
    """[low, high], or a number as an exact interval, or None."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        low, high = read_number(value[0]), read_number(value[1])
        return None if low is None or high is None else (low, high)
    number = read_number(value)
    return None if number is None else (number, number)


def read_section(check: CheckView, section: str) -> Mapping[str, Any] | None:
    """A part of a check's evidence, when it is there and a mapping."""
    value = check.evidence.get(section)
    return value if isinstance(value, Mapping) else None


def measure_impact(store: Reader, checks: Sequence[CheckView], period: Period) -> list[Figure]:
    """Every figure of IMPACT over an incident: by check that measures it, or once as not measured."""
    samples = store.samples(since=period.began - LOOK_BACK)
    figures = []
    for source in IMPACT:
        found = [
            _measure(source, check, samples, period)
            for check in checks
            if source.total(check) is not None
        ]
        figures += found or [
            Figure(source.name, basis="not measured: no check of this platform counts it")
        ]
    return figures


def _measure(source: Source, check: CheckView, samples: Sequence[Sample], period: Period) -> Figure:
    own = [sample for sample in samples if sample.check == check.name]
    gained = _gain(source, own, period)
    if gained is not None:
        return Figure(source.name, gained[0], gained[1], check=check.name, basis=gained[2])
    low, high = source.total(check) or (None, None)
    return Figure(source.name, low, high, check=check.name, basis=SINCE_WATCH_BEGAN)


def _gain(
    source: Source, samples: Sequence[Sample], period: Period
) -> tuple[float, float, str] | None:
    """What the counters of a source gained over the period: (low, high, basis)."""
    certain = [gain_of(counter, samples, period) for counter in source.certain]
    known = [gain for gain in certain if gain is not None]
    if not known or len(known) < len(certain):
        return None
    low = sum(gain[0] for gain in known)
    high = low + sum(
        gain[0] for counter in source.uncertain if (gain := gain_of(counter, samples, period))
    )
    began, ended = known[0][1], known[0][2]
    return low, high, f"counted from {_clock(began)} to {_clock(ended)}"


def gain_of(
    counter: Counter, samples: Sequence[Sample], period: Period
) -> tuple[float, datetime, datetime] | None:
    """(gain, from, to) of a counter over all its series, between the roll-ups around a period.

    None when there is no roll-up before it or none in it, or when a series went back. A series that
    appears in between began at zero: counters carry totals since the watch began.
    """
    fitting = [sample for sample in samples if counter.fits(sample)]
    instants = sorted({sample.at for sample in fitting})
    before = [at for at in instants if at <= period.began]
    after = [at for at in instants if at > period.began]
    if not before or not after:
        return None
    start, end = before[-1], next((at for at in after if at >= period.ended), after[-1])
    first = {_series(sample): sample.value for sample in fitting if sample.at == start}
    last = {_series(sample): sample.value for sample in fitting if sample.at == end}
    gains = [value - first.get(series, 0.0) for series, value in last.items()]
    if any(gain < 0 for gain in gains) or first.keys() - last.keys():
        return None
    return sum(gains), start, end


def _series(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(sample.labels.items()))


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
