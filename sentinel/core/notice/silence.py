"""Silences: what nobody is to be told of for a time, by what it is and not by its incident, so that
one silence holds over every flap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from sentinel.core.notice import NoticeLabels

Matchers = Mapping[str, tuple[str, ...]]
"""Label → glob patterns, one of which has to fit; every label of it has to."""


def fits(matchers: Matchers, labels: NoticeLabels) -> bool:
    """Whether every matcher fits; without any, everything does."""
    return all(
        any(fnmatchcase(labels.get(label, ""), pattern) for pattern in patterns)
        for label, patterns in matchers.items()
    )


@dataclass(frozen=True, slots=True)
class Silence:
    """From `began` until `ends` nobody is told of what fits. Recovery of what was told before is
    told all the same.
    """

    id: str
    matchers: Matchers
    began: datetime
    ends: datetime
    reason: str
    by: str

    def covers(self, labels: NoticeLabels, now: datetime) -> bool:
        """Whether it hides something now."""
        return self.began <= now < self.ends and fits(self.matchers, labels)


def keep_running(silences: Iterable[Silence], now: datetime) -> tuple[Silence, ...]:
    """Those that are not over."""
    return tuple(each for each in silences if now < each.ends)
