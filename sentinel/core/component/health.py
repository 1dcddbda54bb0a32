"""From single verdicts to a believable status: soft → hard, recovery hysteresis, flapping,
blindness.

Rules and figures of reliability.md §2. Unknown verdicts never enter the window, the flap score or
an SLO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

from sentinel.core.fault import THRESHOLD, Fault, Status, describe_subject, worst
from sentinel.core.model import HealthPolicy, Level, Quality, Row, Threshold

FLAP_MEMORY = 20
FLAP_START = 30.0
FLAP_STOP = 15.0
FLAP_HOLD = 10
MIN_OBSERVATIONS = 10
STEADY_AFTER, STEADY_LOOKS = 60.0, 3
"""Seconds and looks for which a status is held that counts as that of before a failure."""
BLIND_AFTER = 3
"""More than two intervals of unknown mean that sentinel is blind to the target."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is believed of one check. `status` is the hard status; `window` the latest observed
    verdicts.
    """

    status: Status = Status.UNKNOWN
    since: datetime | None = None
    window: tuple[Status, ...] = ()
    first_pass: datetime | None = None
    passes: int = 0
    blind: int = 0
    history: tuple[bool, ...] = ()
    flapping: bool = False
    flap_hold: int = 0
    last_observed: datetime | None = None
    restored: bool = False
    not_down: int = 0
    """How many verdicts in a row were not down."""
    held: int = 0
    held_since: datetime | None = None
    """Looks, and since when, for which the hard status has not changed, without a gap."""
    steady: Status = Status.UNKNOWN
    """The last status, up or degraded, that was held for long: that of before a failure."""

    @property
    def shown(self) -> Status:
        """The status to show: unknown while sentinel is blind to the target."""
        return Status.UNKNOWN if self.blind >= BLIND_AFTER else self.status

    @property
    def soft(self) -> bool:
        """True while the latest verdicts differ from the hard status: time for faster re-checks."""
        return bool(self.window) and self.window[-1] is not self.status


def step(
    health: Health,
    verdict: Status,
    quality: Quality,
    policy: HealthPolicy,
    interval: float,
    now: datetime,
    steady_after: float = STEADY_AFTER,
) -> Health:
    """Take one verdict in; the new belief. Compare `status` before and after for a transition.

    A status that was held for `steady_after` seconds and three looks is what a component that fails
    later has to come back to.
    """
    if verdict is Status.UNKNOWN or quality is Quality.BLIND:
        return replace(health, blind=health.blind + 1)
    health = _forget_after_gap(health, interval, now)
    if verdict is Status.UP and _is_only_up(health):
        return _go_on(health, policy, now, steady_after)
    health = _observe(health, verdict, policy, now)
    if health.restored:
        return replace(health, restored=False)
    hard = _judge(health, policy, now)
    if hard is not health.status:
        return replace(health, status=hard, since=now, held=1, held_since=now)
    return _hold(health, steady_after, now)


def _is_only_up(health: Health) -> bool:
    """Whether it is up, and nothing that is remembered says otherwise: the usual case, in which no
    rule has anything to decide.
    """
    return (
        health.status is Status.UP
        and not health.restored
        and not (health.flapping or health.flap_hold)
        and health.window.count(Status.UP) == len(health.window)
        and False not in health.history
    )


def _go_on(health: Health, policy: HealthPolicy, now: datetime, steady_after: float) -> Health:
    """One more verdict like all before it. What is the same of all checks is one value."""
    since, held = health.held_since or now, health.held + 1
    long = held >= STEADY_LOOKS and (now - since).total_seconds() >= steady_after
    return Health(
        Status.UP,
        health.since,
        _all_up(min(len(health.window) + 1, policy.of)),
        health.first_pass or now,
        health.passes + 1,
        0,
        _ALL_PASSED[min(len(health.history), FLAP_MEMORY) + 1],
        last_observed=now,
        not_down=health.not_down + 1,
        held=held,
        held_since=since,
        steady=Status.UP if long else health.steady,
    )


@cache
def _all_up(count: int) -> tuple[Status, ...]:
    return (Status.UP,) * count


_ALL_PASSED = [(True,) * count for count in range(FLAP_MEMORY + 2)]


def _hold(health: Health, steady_after: float, now: datetime) -> Health:
    since, held = health.held_since or now, health.held + 1
    long = held >= STEADY_LOOKS and (now - since).total_seconds() >= steady_after
    is_steady = long and health.status in {Status.UP, Status.DEGRADED}
    steady = health.status if is_steady else health.steady
    return replace(health, held=held, held_since=since, steady=steady)


def follow_clock(health: Health, step: timedelta) -> Health:
    """The same belief after the clock was set: everything is as long ago as it was."""
    return replace(
        health,
        since=_move(health.since, step),
        first_pass=_move(health.first_pass, step),
        last_observed=_move(health.last_observed, step),
        held_since=_move(health.held_since, step),
    )


def _move(instant: datetime | None, step: timedelta) -> datetime | None:
    return None if instant is None else instant + step


def _forget_after_gap(health: Health, interval: float, now: datetime) -> Health:
    """A gap of more than three intervals says nothing of what happened in it."""
    if (
        health.last_observed is None
        or (now - health.last_observed).total_seconds() <= 3 * interval + 1
    ):
        return health
    return replace(
        health,
        window=(),
        history=(),
        passes=0,
        first_pass=None,
        flapping=False,
        flap_hold=0,
        not_down=0,
        held=0,
        held_since=None,
    )


def _observe(health: Health, verdict: Status, policy: HealthPolicy, now: datetime) -> Health:
    passed = verdict is Status.UP
    seen = replace(
        health,
        window=(*health.window, verdict)[-policy.of :],
        passes=health.passes + 1 if passed else 0,
        not_down=0 if verdict is Status.DOWN else health.not_down + 1,
        first_pass=(health.first_pass or now) if passed else None,
        history=(*health.history, passed)[-(FLAP_MEMORY + 1) :],
        blind=0,
        last_observed=now,
    )
    return _flap(seen)


def _flap(health: Health) -> Health:
    score = flap_score(health.history)
    hold = max(health.flap_hold - 1, 0)
    if not health.flapping and len(health.history) >= MIN_OBSERVATIONS and score > FLAP_START:
        return replace(health, flapping=True, flap_hold=FLAP_HOLD)
    if health.flapping and hold == 0 and score <= FLAP_STOP:
        return replace(health, flapping=False, flap_hold=0)
    return replace(health, flap_hold=hold)


def flap_score(history: Sequence[bool]) -> float:
    """Weighted share of changes among the last 20: change i weighs 0.8 + 0.02·i (reliability.md
    §2).
    """
    changes = [a != b for a, b in pairwise(history)][-FLAP_MEMORY:]
    offset = FLAP_MEMORY - len(changes)
    # In whole hundredths: a sum of fractions at the edge of the band is one of rounding.
    weights = (80 + 2 * (offset + i) for i, changed in enumerate(changes, 1) if changed)
    return sum(weights) / FLAP_MEMORY


def _judge(health: Health, policy: HealthPolicy, now: datetime) -> Status:
    # Old failures may still stand in the window: a verdict never makes it worse than itself.
    bad = min(_failing(health.window, policy), health.window[-1], key=lambda status: status.rank)
    if bad.rank > health.status.rank or (health.status is Status.UNKNOWN and bad is not Status.UP):
        return bad
    if health.status is Status.UNKNOWN:
        return Status.UP if health.window[-1] is Status.UP else Status.UNKNOWN
    if health.status is Status.UP:
        return Status.UP
    if _recovered(health, policy, now):
        return Status.UP
    latest = health.window[-policy.recoveries :]
    improved = len(latest) == policy.recoveries and worst(latest) is Status.DEGRADED
    return Status.DEGRADED if improved else health.status


def _failing(window: Sequence[Status], policy: HealthPolicy) -> Status:
    """The status that `failures` of the last `of` verdicts justify."""
    if sum(verdict is Status.DOWN for verdict in window) >= policy.failures:
        return Status.DOWN
    if sum(verdict is not Status.UP for verdict in window) >= policy.failures:
        return Status.DEGRADED
    return Status.UP


def _recovered(health: Health, policy: HealthPolicy, now: datetime) -> bool:
    if health.first_pass is None or health.passes < policy.recoveries:
        return False
    return (now - health.first_pass).total_seconds() >= policy.recovery_time


@dataclass(frozen=True, slots=True)
class Crossed:
    """A threshold that is raised: who, by what value, over which limit, to which status."""

    measurement: str
    labels: tuple[tuple[str, str], ...]
    value: float
    status: Status
    limit: float

    def as_fault(self) -> Fault:
        """The fault that this is, of the subject that the row is about."""
        subject = dict(self.labels)
        whom = describe_subject(subject)
        text = f"{self.measurement} is {self.value:g}, the limit is {self.limit:g}"
        return Fault(
            THRESHOLD,
            {**subject, "measurement": self.measurement},
            self.status,
            f"{whom}: {text}" if whom else text,
            parameters=subject,
        )


def cross_thresholds(
    thresholds: Sequence[Threshold], rows: Sequence[Row], raised: frozenset[tuple[object, ...]]
) -> tuple[list[Crossed], frozenset[tuple[object, ...]]]:
    """Apply raise and clear values to every row; `raised` is the memory from the run before."""
    found: list[Crossed] = []
    memory: set[tuple[object, ...]] = set()
    for threshold in thresholds:
        for row in rows:
            value = row.values.get(threshold.measurement)
            if isinstance(value, int | float):
                found += _cross(
                    threshold, tuple(sorted(row.labels.items())), float(value), raised, memory
                )
    return found, frozenset(memory)


def _cross(
    threshold: Threshold,
    labels: tuple[tuple[str, str], ...],
    value: float,
    raised: frozenset[tuple[object, ...]],
    memory: set[tuple[object, ...]],
) -> list[Crossed]:
    found = []
    for status, level in ((Status.DOWN, threshold.down), (Status.DEGRADED, threshold.degraded)):
        key = (threshold.measurement, *labels, status.value)
        if level is not None and _is_raised(level, value, was=key in raised):
            memory.add(key)
            found.append(Crossed(threshold.measurement, labels, value, status, level.raise_at))
    return found[:1]


def _is_raised(level: Level, value: float, *, was: bool) -> bool:
    limit = level.clear_at if was else level.raise_at
    if level.raise_at >= level.clear_at:
        return value >= limit if not was else value > limit
    return value <= limit if not was else value < limit


def compare(shown: Status, before: Status | None) -> Status:
    """How a check is, measured by how it was before a failure: a degradation that was there then is
    no part of it. None: it did not exist then, so nobody can say that the failure degraded it.
    """
    if shown is Status.DEGRADED and before in {Status.DEGRADED, None}:
        return Status.UP
    return shown
