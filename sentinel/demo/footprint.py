"""What a long run costs: memory, descriptors and tasks of this very process, over time.

A leak is a line that goes up. Faults make each figure jump, so that no two of them can be compared:
the slope between all pairs (Theil and Sen) bears jumps, and tells what a whole run adds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

EVERY = 5.0
"""Seconds between two samples."""
WARM = 0.25
"""Share of a run in which caches fill and windows are not full yet: it is not judged."""
FIGURES = ("resident_bytes", "blocks", "descriptors", "tasks")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure() -> dict[str, float]:
    """Resident memory in bytes, blocks that Python's allocator has given out, open descriptors, and
    tasks of the running loop.
    """
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    return {
        "resident_bytes": resident,
        "blocks": sys.getallocatedblocks(),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1,
        "tasks": len(asyncio.all_tasks()),
    }


@dataclass(slots=True)
class Footprint:
    """Samples of a run, each with its seconds since the beginning."""

    samples: list[dict[str, float]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    async def follow(self) -> None:
        """Sample until it is cancelled."""
        while True:
            at = round(time.monotonic() - self._began, 1)
            self.samples.append({"at": at, **measure()})
            await asyncio.sleep(EVERY)

    def describe(self) -> dict[str, Any]:
        """Every sample, and by how much of its median each figure rises over what is judged."""
        begin = WARM * self.samples[-1]["at"] if self.samples else 0.0
        judged = [each for each in self.samples if each["at"] >= begin]
        return {
            "samples": self.samples,
            "rise": {name: find_rise(judged, name) for name in FIGURES},
        }


def find_rise(samples: Sequence[Mapping[str, float]], name: str) -> float | None:
    """What the slope adds over the time of the samples, as a share of their median; None of fewer
    than ten.
    """
    if len(samples) < 10:
        return None
    slopes = [
        (later[name] - former[name]) / (later["at"] - former["at"])
        for former, later in combinations(samples, 2)
        if later["at"] > former["at"]
    ]
    seconds = samples[-1]["at"] - samples[0]["at"]
    typical = statistics.median(each[name] for each in samples)
    return round(statistics.median(slopes) * seconds / typical, 4)
