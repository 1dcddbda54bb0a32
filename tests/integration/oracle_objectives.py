"""Random counts for objectives, and where they must stand by docs/measurement.md §8.1, in fractions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from sentinel.core.objective import Counts, Objective, Slice
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.integration.oracle_history import NOW
from tests.objective_watch import EVERY, Watch

TARGETS = ("0.5", "0.8", "0.9", "0.99", "0.995", "0.999")
HOUR, DAY = 3600, 86_400
SPANS = (HOUR, 6 * HOUR, DAY, 3 * DAY, 30 * DAY)
SHOWN = {
    "5m": 300,
    "30m": 1800,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "6h": 6 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
}
ALERTS = (
    ("page", HOUR, 300, Fraction("14.4"), 5),
    ("page", 6 * HOUR, 1800, Fraction(6), 10),
    ("ticket", DAY, 2 * HOUR, Fraction(3), 10),
    ("ticket", 3 * DAY, 6 * HOUR, Fraction(1), 15),
)
SEEN = 5
"""Seconds of each slice in which somebody looked."""
SOURCE = Objective("x", "tasks", "assignment", "in_deadline", 0.9, HOUR).source


@dataclass(slots=True)
class Hand:
    """A clock in the hand of whoever writes a history."""

    now: float = -400.0
    """Seconds after NOW."""

    def utcnow(self) -> datetime:
        """The wall clock."""
        return NOW.astimezone(UTC) + timedelta(seconds=self.now)

    def monotonic(self) -> float:
        """The other one."""
        return 1e6 + self.now


@dataclass(slots=True)
class Tale:
    """Slices (begin and end in seconds before NOW, good, total), and looks at the end: 0 s before."""

    slices: list[tuple[int, int, int, int]]
    looks: list[tuple[int, int, bool]]
    """Good and late ones that came since the look before; whether the counters began anew."""
    aims: list[tuple[str, int, int]]
    """Target, window, least number of events."""


def write_tale(seed: int) -> Tale:
    """One of a seed: often exactly at a limit."""
    dice = random.Random(seed)
    aims = [(dice.choice(TARGETS), dice.choice(SPANS), dice.choice([1, 20, 100])) for _ in range(5)]
    slices, at = [], dice.choice([500, 4000, 90_000, 2_000_000])
    for _ in range(dice.choice([0, 1, 2, 40])):
        total = dice.choice([0, 10, 100, 1000])
        limit = dice.choice([1, 1, 3, 6, Fraction("14.4")]) * (1 - Fraction(dice.choice(TARGETS)))
        bad = dice.choice([0, 0, total, min(total, round(total * limit))])
        bad = -1 if dice.random() < 0.01 else bad
        slices.append((at + dice.choice([0, 1, 299]), at, total - bad, total))
        at += dice.choice([400, 3000, 50_000])
    looks = [
        (dice.choice([0, 9, 90]), dice.choice([0, 0, 1, 10]), dice.random() < 0.2)
        for _ in range(dice.choice([0, 1, 12]))
    ]
    return Tale(slices, looks, aims)


def live(tale: Tale, store: SqliteStore) -> None:
    """Let the daemon's own book count it."""
    clock = Hand()
    kept = [
        Slice(
            SOURCE,
            NOW - timedelta(seconds=a),
            NOW - timedelta(seconds=b),
            Counts(good, total, SEEN),
        )
        for a, b, good, total in tale.slices
    ]
    store.commit(Changes(slices=kept))
    aims = [
        Objective(
            f"aim-{n}", "tasks", "assignment", "in_deadline", float(target), float(span), least
        )
        for n, (target, span, least) in enumerate(tale.aims)
    ]
    watch = Watch(store, clock, *aims)
    clock.now = -100.0
    for good, late, anew in tale.looks:
        if anew:
            watch.good = watch.late = 0
        watch.look(good, late)
    clock.now = 0.0
    watch.settle(last=True)


def count_looks(tale: Tale) -> tuple[int, int]:
    """Good and all events of the looks, as an increase is counted: each counter by itself, one that
    went back began anew at zero; the first look claims nothing.
    """
    counted, known, stood = [0, 0], None, [0, 0]
    for good, late, anew in tale.looks:
        stood = [good, late] if anew else [stood[0] + good, stood[1] + late]
        for n in range(2) if known is not None else ():
            counted[n] += stood[n] - known[n] if stood[n] >= known[n] else stood[n]
        known = list(stood)
    return counted[0], sum(counted)


def count_window(tale: Tale, span: int) -> tuple[Fraction, Fraction]:
    """Good and all events of a window that ends now; a slice that its edge cuts, in proportion."""
    good, total = map(Fraction, count_looks(tale))
    for part, some, all_of_them in cut_slices(tale, span):
        good, total = good + part * some, total + part * all_of_them
    return good, total


def cut_slices(tale: Tale, span: int) -> Iterator[tuple[Fraction, int, int]]:
    """Which part of each slice lies in a window that ends now, with its good and all events."""
    for began, ended, good, total in tale.slices:
        if ended <= span:
            part = Fraction(1) if began <= span else Fraction(span - ended, began - ended)
            yield part, good, total


def find_observed(tale: Tale, span: int) -> Fraction:
    """The share of a window in which somebody looked: in each slice for SEEN seconds, and from each
    look to the next.
    """
    seen = sum((part * SEEN for part, _, _ in cut_slices(tale, span)), Fraction(0))
    seen += max(len(tale.looks) - 1, 0) * Fraction(EVERY)
    return min(seen / span, Fraction(1))


def judge_tale(tale: Tale, aim: tuple[str, int, int]) -> dict[str, Any]:
    """Where an objective stands."""
    allowed, (good, total) = 1 - Fraction(aim[0]), count_window(tale, aim[1])
    bad = total - good
    state = "missed" if bad > allowed * total else "met"
    if bad < 0:
        state = "invalid"
    elif total == 0:
        state = "no_data"
    elif total < aim[2]:
        state = "insufficient"
    told = state in ("met", "missed")
    left = 1 - bad / (allowed * total) if told else None
    burns = {
        span: find_burn(tale, span, allowed) if span <= aim[1] else None for span in SHOWN.values()
    }
    return {
        "state": state,
        "good": good,
        "events": total,
        "ratio": good / total if told else None,
        "observed": find_observed(tale, aim[1]),
        "budget_left": left,
        "burn": {name: burns[span] for name, span in SHOWN.items()},
        "budget_lasts": find_lasting(left, aim[1], burns),
        "alarm": find_alarm(tale, aim, allowed),
    }


def find_burn(tale: Tale, span: int, allowed: Fraction) -> Fraction | None:
    """Share of bad events ÷ share that may be bad; nothing without events, or of more good ones than there were."""
    good, total = count_window(tale, span)
    return None if total == 0 or good > total else (total - good) / total / allowed


def find_lasting(
    left: Fraction | None, window: int, burns: Mapping[int, Fraction | None]
) -> list[Fraction | None]:
    """The budget that is left at the fastest and at the slowest burn."""
    known = [burn for span in (HOUR, 6 * HOUR, DAY, 3 * DAY) if (burn := burns[span]) is not None]
    if left is not None and left <= 0:
        return [Fraction(0), Fraction(0)]
    if left is None or not known or max(known) <= 0:
        return [None, None]
    slowest = min(known)
    return [left * window / max(known), left * window / slowest if slowest > 0 else None]


def find_alarm(tale: Tale, aim: tuple[str, int, int], allowed: Fraction) -> str | None:
    """The first alert whose both windows burn fast enough."""
    for severity, long, short, factor, least in ALERTS:
        good, total = count_window(tale, long)
        enough = long <= aim[1] and total - good >= least and total >= aim[2]
        limit = min(factor * allowed, Fraction("0.9"))
        shares = [find_burn(tale, span, allowed) for span in (long, short)]
        if enough and all(each is not None and each * allowed > limit for each in shares):
            return severity
    return None


def complain_of_objectives(tale: Tale, told: list[dict[str, Any]]) -> Iterator[str]:
    """Every figure of `sentinel objectives --json` that is another one."""
    found = {each["name"]: each for each in told}
    for n, aim in enumerate(tale.aims):
        document, wanted = found[f"aim-{n}"], judge_tale(tale, aim)
        for word, value in wanted.items():
            if not _is_close(document[word], value):
                yield f"{word} of {aim}: {document[word]}, not {_show(value)} ({wanted['state']})"


def _is_close(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return all(_is_close(found[name], each) for name, each in wanted.items())
    if isinstance(wanted, list):
        return all(map(_is_close, found, wanted))
    if isinstance(wanted, Fraction) and found is not None:
        return abs(found - wanted) <= 1e-9 * max(1, abs(wanted))
    return bool(found == wanted)


def _show(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _show(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_show(each) for each in value]
    return float(value) if isinstance(value, Fraction) else value
