"""Figures that the documents tell are the defaults of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.config.model import RestartSettings
from sentinel.core.bus.delivery.account import MAX_ANCHORS, MAX_COHORTS
from sentinel.core.model import HealthPolicy, RestartPolicy
from sentinel.core.remediation.brake import ActionLimits, BrakePolicy
from sentinel.core.remediation.breaker import BreakerPolicy
from sentinel.core.servers.postgres import PostgresLimits
from sentinel.engine.objectives import SETTLE_EVERY, WRITE_EVERY
from sentinel.metrics import MAX_SERIES

DOCS = Path(__file__).parents[2] / "docs"
RESTART, BACKOFF, HEALTH = RestartPolicy(), RestartSettings().backoff, HealthPolicy()
LIMITS, BRAKE, BREAKER, SERVER = ActionLimits(), BrakePolicy(), BreakerPolicy(), PostgresLimits()


def percent(ratio: float) -> str:
    """As the documents write it."""
    return f"{100 * ratio:g} %"


RELIABILITY = (
    f"{RESTART.max_attempts} an incident, {RESTART.per_hour} an hour, {RESTART.per_day} a day",
    f"{BACKOFF.initial:g} s · {BACKOFF.factor:g}^(n−1), at most {BACKOFF.max:g} s",
    f"± {percent(BACKOFF.jitter)}",
    f"for {RESTART.success_after:g} s and three looks each check is at least as it was before",
    f"after {RESTART.close_after:g} s of *observed* health",
    f"TERM, then {RESTART.stop_timeout:g} s",
    f"{LIMITS.concurrent} action at a time, {LIMITS.per_window} in {LIMITS.window:g} s",
    f"{percent(LIMITS.group_share)} of a group (at least one) in {LIMITS.group_window:g} s",
    f"more than {percent(BRAKE.group_share)} of a group, or {percent(BRAKE.total_share)} of all",
    f"and at least {BRAKE.minimum}",
    f"{BREAKER.exhausted} exhausted in {BREAKER.exhausted_window:g} s",
    f"under {percent(BREAKER.success_share)} of the last {BREAKER.last_attempts} helped",
    f"{BREAKER.starts} crashes of sentinel in {BREAKER.starts_window:g} s",
    f"a stall over {BREAKER.stall:g} s in the last {BREAKER.stall_window:g} s",
    f"`failures` ({HEALTH.failures}) of the last `of` ({HEALTH.of})",
    f"`recoveries` ({HEALTH.recoveries}) passes",
    f"`recovery_time` ({HEALTH.recovery_time:g} s)",
)
MEASUREMENT = (
    f"{MAX_ANCHORS} anchors, {MAX_COHORTS} cohorts",
    f"more than {percent(SERVER.connections_ratio)} of the usable",
    f"a transaction of {SERVER.transaction:g} s, {SERVER.idle_in_transaction:g} s idle",
    f"a wait of more than {SERVER.lock_wait:g} s",
    f"a standby {SERVER.replication_lag:g} s behind",
    f"failing for {SERVER.archiver_failing:g} s",
    f"judged every {SETTLE_EVERY:g} s and have what is not written yet",
    f"within {WRITE_EVERY:g} s: no kill",
)
PROMISED = [
    *(("reliability", figure) for figure in RELIABILITY),
    *(("measurement", figure) for figure in MEASUREMENT),
    ("scale", f"({MAX_SERIES:,} series"),
]


@pytest.mark.parametrize(("document", "figure"), PROMISED)
def test_figures_are_those_of_the_code(document: str, figure: str) -> None:
    """A default that changes in the code changes in its document."""
    assert figure in " ".join((DOCS / f"{document}.md").read_text("utf-8").split())
