"""Alerts for sentinel itself: a monitor that fails must not look like a healthy platform."""

from __future__ import annotations

from collections.abc import Iterator

from sentinel.core.fault import Severity
from sentinel.rules.value import NOBODY, Alert, Links, RuleGroup

WATCHDOG = "SentinelWatchdog"
DOWN = "SentinelDown"
MINUTE = 60.0
PAGE, TICKET, INFO = Severity.PAGE, Severity.TICKET, Severity.INFO
VALUE = "{{ $value }}"
LOOP = "sentinel_event_loop_lag_seconds"


def group_ourselves(links: Links) -> RuleGroup:
    """Not there, blind, late, not able to write, to act or to tell, broken inside."""
    alerts = [
        *_about_sight(links),
        *_about_state(links),
        *_about_acts(links),
        *_about_notices(links),
        *_about_insides(links),
    ]
    return RuleGroup("sentinel-itself", alerts)


def _about_sight(links: Links) -> Iterator[Alert]:
    blind, board = links.runbook("sentinel-blind"), links.board("sentinel")
    check = "{{ $labels.check }}"
    yield Alert(
        DOWN, "absent(sentinel_build_info)", PAGE,
        "sentinel is not scraped: nothing here is watched",
        "No series of sentinel has come for 3 minutes: it does not run, or nobody reaches it.",
        links.runbook("sentinel-down"), board, 3 * MINUTE,
    )  # fmt: skip
    yield Alert(
        WATCHDOG, "vector(1)", NOBODY,
        "always fires: feed it to a dead man's switch",
        "When this one does not come, alerting itself has ended.",
        links.runbook("sentinel-down"), board,
    )  # fmt: skip
    yield Alert(
        "SentinelCheckBlind", "sentinel_check_stale_seconds > 0", PAGE,
        f"check {check} sees nothing",
        f"Check {check} has given no verdict that counts for {{{{ $value | humanizeDuration }}}}.",
        blind, links.board("sentinel", "check"), MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelCoverageLow", "sentinel_coverage_ratio < 0.9", TICKET,
        "sentinel sees less than nine of ten looks",
        "Of the runs that were due within the last hour {{ $value | humanizePercentage }} gave a"
        " verdict.",
        blind, board, 10 * MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelChecksOverdue", "sentinel_checks_overdue > 0", TICKET,
        "sentinel does not keep up with its checks",
        f"{VALUE} checks have not run for more than two intervals.",
        blind, board, 5 * MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelCanariesSilent",
        "sum by (check, path) (increase(sentinel_canary_results_total[5m])) == 0"
        " and sum by (check, path) (increase(sentinel_canary_sent_total[5m])) > 0", PAGE,
        "canaries are sent on {{ $labels.path }} and none comes to an end",
        f"Check {check} sends canaries and settles none: their reader stands still.",
        links.runbook("bus-canary-failing"), links.board("canaries", "check"), 5 * MINUTE,
    )  # fmt: skip


def _about_state(links: Links) -> Iterator[Alert]:
    broken, board = links.runbook("state-damaged"), links.board("sentinel")
    yield Alert(
        "SentinelStateNotWritable", "sentinel_state_writable == 0", PAGE,
        "sentinel can't write its state",
        "The state can't be written: nothing is acted upon, and a crash now would lose what was seen.",
        broken, board, MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelStateOld", "time() - sentinel_state_persisted_timestamp_seconds > 60", PAGE,
        "sentinel has not written its state for a minute",
        "The last commit is {{ $value | humanizeDuration }} old: the disk is blocked, or the daemon is.",
        broken, board, MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelReloadFailed", "sentinel_config_last_reload_successful == 0", TICKET,
        "sentinel refused its new configuration",
        "The former configuration is in force: `sentinel validate` says what is wrong.",
        links.runbook("sentinel-blind"), board, 5 * MINUTE,
    )  # fmt: skip


def _about_acts(links: Links) -> Iterator[Alert]:
    stopped, board = links.runbook("automation-stopped"), links.board("components")
    yield Alert(
        "SentinelHalted", "sentinel_actions_halted == 1", TICKET,
        "sentinel is halted: it acts no more",
        "Somebody has stopped every automatic action: `sentinel resume` allows them again.",
        stopped, board, 15 * MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelBreakerOpen", "sentinel_automation_breaker_open == 1", PAGE,
        "automation has switched itself off",
        "`sentinel status` says why; after the repair: `sentinel breaker close --reason …`.",
        stopped, board,
    )  # fmt: skip
    yield Alert(
        "SentinelFenced", "sentinel_fenced == 1", PAGE,
        "sentinel is fenced: it acts no more",
        "Another member acts for its shards, or its state is in doubt: `sentinel status` says which.",
        links.runbook("state-damaged"), board, MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelMassFailure", "sentinel_mass_failure_brakes > 0", PAGE,
        "so many components fail together that there is one cause",
        f"{VALUE} groups are braked: none of their members is restarted.",
        links.runbook("component-blocked"), board,
    )  # fmt: skip


def _about_notices(links: Links) -> Iterator[Alert]:
    told, board = links.runbook("notices-undelivered"), links.board("sentinel")
    channel = "{{ $labels.channel }}"
    yield Alert(
        "SentinelChannelFails",
        f'{_tries("again", "15m")} > 0 unless {_tries("delivered|renewed", "15m")} > 0', PAGE,
        f"the channel {channel} takes nothing",
        f"{VALUE} tries within 15 minutes failed and none succeeded: nobody hears of anything on it.",
        told, board, 5 * MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelNoticesLost", f'{_tries("refused|expired|unanswered", "1h")} > 0', TICKET,
        f"notices on the channel {channel} are given up",
        f"{VALUE} within an hour: each stands in sentinel's log with its title.",
        told, board,
    )  # fmt: skip


def _tries(outcomes: str, window: str) -> str:
    series = f'sentinel_notifications_total{{outcome=~"{outcomes}"}}'
    return f"sum by (channel) (increase({series}[{window}]))"


def _about_insides(links: Links) -> Iterator[Alert]:
    blind, board = links.runbook("sentinel-blind"), links.board("sentinel")
    slow = links.runbook("sentinel-down")
    yield Alert(
        "SentinelLoopLate",
        f'1 - rate({LOOP}_bucket{{le="0.1"}}[5m]) / ignoring (le) rate({LOOP}_count[5m]) > 0.05',
        TICKET,
        "the loop of sentinel is late",
        "{{ $value | humanizePercentage }} of its heartbeats come more than 0.1 s too late: figures"
        " of latency are not to be trusted.",
        slow, board, 5 * MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelUnobserved", "increase(sentinel_unobserved_seconds_total[1h]) > 60", TICKET,
        "sentinel stood still",
        "For {{ $value | humanizeDuration }} of the last hour it saw nothing.",
        slow, board,
    )  # fmt: skip
    yield Alert(
        "SentinelStandstill", "increase(sentinel_standstills_total[15m]) > 0", PAGE,
        "the loop of sentinel stood still for too long",
        "It wrote down where it stood, in the log of the state folder, and asked to be started anew.",
        slow, board,
    )  # fmt: skip
    yield Alert(
        "SentinelErrors", "increase(sentinel_unclassified_errors_total[15m]) > 0", TICKET,
        "an error of sentinel's own in {{ $labels.place }}",
        f"{VALUE} errors within 15 minutes; its log says what was raised.",
        blind, board,
    )  # fmt: skip
    yield Alert(
        "SentinelSeriesLeftOut", "sentinel_series_left_out > 0", TICKET,
        "{{ $labels.family }} is not exported",
        f"It has {VALUE} series, more than /metrics holds: narrow what its checks count.",
        blind, board, 5 * MINUTE,
    )  # fmt: skip
    yield Alert(
        "SentinelLogDropped", "increase(sentinel_log_lines_dropped_total[15m]) > 0", INFO,
        "lines of sentinel's log are lost",
        f"{VALUE} lines within 15 minutes: nobody takes them in time.",
        blind, board,
    )  # fmt: skip
