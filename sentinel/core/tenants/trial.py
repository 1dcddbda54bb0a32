"""Tries to get at another tenant's rows, and the record that stays of them. Pure.

Every try is in a record: a stretch of looks that all came to the same, with its longest pause. One is
written at the first look, whenever a result changes, and every quarter of an hour: so that it can be
shown for any period what was tried, and what was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.fault import Fault, Status, sort_faults
from sentinel.core.quantity import format_duration

PASS, LEAK, ERROR = "pass", "leak", "error"
RESULTS = (PASS, LEAK, ERROR)
ACTION = "tenant trials"
"""Under this word of the audit log."""
RECORD_EVERY = timedelta(minutes=15)
_WRITTEN = {PASS: "kept_apart"}
"""`pass` sounds like the name of a secret to whoever hides those; older records have it."""
_READ = {written: result for result, written in _WRITTEN.items()}
MAX_PLACES = 1000
"""Places of one way to try that a record names; more are counted."""
MAX_TOLD = 5
"""Tries of one result that are named to people."""
_WORDS = {LEAK: "got at another tenant's", ERROR: "could not be judged", PASS: "kept apart"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One try, and what is wrong; nothing when it passed. `probe` is how it was tried, `place` where,
    `role` as whom.
    """

    probe: str
    place: str
    fault: Fault | None = None
    role: str = ""

    @property
    def result(self) -> str:
        """`pass`, `leak`, or `error` where it could not be judged."""
        if self.fault is None:
            return PASS
        return ERROR if self.fault.status is Status.UNKNOWN else LEAK

    @property
    def way(self) -> str:
        """How and as whom."""
        return f"{self.probe} {self.role}".strip()


def name_result(result: str) -> str:
    """As a result is called where it is written down: in evidence and in the audit log."""
    return _WRITTEN.get(result, result)


def find_faults(trials: Sequence[Trial]) -> list[Fault]:
    """The worst first. Two tries of a table that fail alike are one fault."""
    found = [trial.fault for trial in trials if trial.fault is not None]
    kept: dict[object, Fault] = {}
    for fault in sort_faults(found):
        kept.setdefault(fault.identity, fault)
    return list(kept.values())


def tell_resource(faults: Iterable[Fault], resource: str) -> list[Fault]:
    """The same faults, which also tell their runbook in which resource it is."""
    return [
        replace(fault, parameters={**fault.parameters, "resource": resource}) for fault in faults
    ]


Outcomes = Mapping[str, Mapping[str, Sequence[str]]]
"""Result → way → places."""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A stretch of `looks` that all came to the same, from `began` to `ended`; `pause` is the longest
    time between two of them, in seconds. `cut`: places that are not named.
    """

    began: datetime
    ended: datetime
    looks: int
    pause: float
    outcomes: Outcomes
    cut: int = 0

    def write(self) -> str:
        """As it stands in the audit log."""
        return json.dumps(
            {
                "began": self.began.isoformat(),
                "ended": self.ended.isoformat(),
                "looks": self.looks,
                "pause": round(self.pause, 3),
                "outcomes": {name_result(each): by for each, by in self.outcomes.items()},
                **({"cut": self.cut} if self.cut else {}),
            },
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @classmethod
    def read(cls, text: str) -> TrialRecord:
        """What `write` wrote; ValueError for anything else."""
        try:
            given: dict[str, Any] = json.loads(text)
            outcomes = {
                _READ.get(result, str(result)): {
                    str(way): [str(each) for each in places] for way, places in by.items()
                }
                for result, by in given["outcomes"].items()
            }
            return cls(
                datetime.fromisoformat(given["began"]),
                datetime.fromisoformat(given["ended"]),
                int(given["looks"]),
                float(given["pause"]),
                outcomes,
                int(given.get("cut", 0)),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("this is no record of trials") from error

    def describe(self) -> str:
        """For people: how often what was tried, when, and what came of it; what failed is named."""
        tries = sum(map(self.count, RESULTS))
        looks = f" in {self.looks:,} looks until {self.ended:%H:%M:%S}" if self.looks > 1 else ""
        told = [f"{tries:,} tries from {self.began:%Y-%m-%d %H:%M:%S} UTC on{looks}"]
        for result, words in _WORDS.items():
            if number := self.count(result):
                names = [] if result == PASS else self._list_tries(result)
                told.append(f"{number:,} {words}{': ' if names else ''}{', '.join(names)}")
        if self.looks > 1:
            told.append(f"longest pause {format_duration(self.pause)}")
        if self.cut:
            told.append(f"{self.cut:,} places more that are not named")
        return "; ".join(told)

    def _list_tries(self, result: str) -> list[str]:
        """The first of those that came to this."""
        tries = [f"{way} at {place}" for way, place, each in self.list_places() if each == result]
        more = len(tries) - MAX_TOLD
        return [*tries[:MAX_TOLD], *([f"{more:,} more"] if more > 0 else [])]

    def count(self, result: str) -> int:
        """How many tries had this result."""
        named = sum(len(places) for places in self.outcomes.get(result, {}).values())
        return named * self.looks

    def list_places(self) -> Iterator[tuple[str, str, str]]:
        """(way, place, result) of everything that it names."""
        for result, by in self.outcomes.items():
            for way, places in by.items():
                for place in places:
                    yield way, place, result


@dataclass(slots=True)
class TrialLedger:
    """What was tried since the last record was written."""

    outcomes: Outcomes = field(default_factory=dict)
    cut: int = 0
    began: datetime | None = None
    last: datetime | None = None
    looks: int = 0
    pause: float = 0.0

    def take(self, trials: Iterable[Trial], now: datetime) -> list[TrialRecord]:
        """Take one look in; the records that are to be written now."""
        outcomes, cut = _group(trials)
        if self.last is None or outcomes != self.outcomes or now < self.last:
            done = [self._record(self.last)] if self.last is not None and self.looks else []
            self.outcomes, self.cut = outcomes, cut
            self.began = self.last = now
            self.looks, self.pause = 0, 0.0
            return [*done, TrialRecord(now, now, 1, 0.0, outcomes, cut)]
        self.pause = max(self.pause, (now - self.last).total_seconds())
        self.last, self.looks = now, self.looks + 1
        if self.began is None or now - self.began < RECORD_EVERY:
            return []
        record = self._record(now)
        self.began, self.looks, self.pause = now, 0, 0.0
        return [record]

    def _record(self, ended: datetime) -> TrialRecord:
        return TrialRecord(
            self.began or ended, ended, self.looks, self.pause, self.outcomes, self.cut
        )

    def dump(self) -> dict[str, Any]:
        """As a JSON document."""
        if self.began is None or self.last is None:
            return {}
        return {
            "looks": self.looks,
            "record": self._record(self.last).write(),
            "last": self.last.isoformat(),
        }

    @classmethod
    def load(cls, document: Mapping[str, Any] | None) -> TrialLedger:
        """From what `dump` gave; what can't be read begins anew."""
        try:
            if not document:
                return cls()
            record = TrialRecord.read(document["record"])
            last = datetime.fromisoformat(document["last"])
        except (KeyError, TypeError, ValueError):
            return cls()
        return cls(record.outcomes, record.cut, record.began, last, record.looks, record.pause)


def _group(trials: Iterable[Trial]) -> tuple[Outcomes, int]:
    found: dict[str, dict[str, list[str]]] = {}
    cut = 0
    for trial in sorted(trials, key=lambda each: (each.way, each.place)):
        places = found.setdefault(trial.result, {}).setdefault(trial.way, [])
        if len(places) < MAX_PLACES:
            places.append(trial.place)
        else:
            cut += 1
    return found, cut


def describe_detail(action: str, detail: str) -> str:
    """The detail of a line of the audit log in words; that of other actions is in words as it is."""
    try:
        return TrialRecord.read(detail).describe() if action == ACTION else detail
    except ValueError:
        return detail
