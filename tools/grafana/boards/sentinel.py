"""Sentinel itself: does it see, is it in time, and what could it not do?"""

from tools.grafana.board import GREEN, PURPLE, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

_RUNS = "sentinel_probe_runs_total{@platform}"
_TOLD = "sentinel_notifications_total"
_DELIVERED = f'{_TOLD}{{@platform, outcome=~"delivered|renewed"}}[$__rate_interval]'
_FAILED = f'{_TOLD}{{@platform, outcome!~"delivered|renewed"}}[$__rate_interval]'

STATS = Row(
    (
        Stat(
            "Share of time observed",
            "Runs that were due in the last hour and gave a verdict.",
            (Query("min(sentinel_coverage_ratio{@platform})"),),
            unit="percentunit",
            runbook="sentinel-blind",
            base=RED,
            steps=((0.9, YELLOW), (0.95, GREEN)),
            decimals=1,
        ),
        Stat(
            "Checks without a verdict",
            "Checks whose status is unknown now.",
            (
                Query(
                    'count(sentinel_check_status{@check, status="unknown"})'
                    " or 0 * count(sentinel_check_status{@check})"
                ),
            ),
            runbook="sentinel-blind",
            steps=((1, PURPLE),),
        ),
        Stat(
            "Checks overdue",
            "Checks whose last run is older than two of their intervals.",
            (Query("sum(sentinel_checks_overdue{@platform})"),),
            runbook="sentinel-blind",
            steps=((1, YELLOW),),
        ),
        Stat(
            "Own errors",
            "Errors of sentinel's own code, over the range shown.",
            (Query("sum(increase(sentinel_unclassified_errors_total{@platform}[$__range]))"),),
            runbook="sentinel-blind",
            steps=((0.5, RED),),
            decimals=0,
        ),
        Stat(
            "Since the last commit",
            "Time since the state was last written. When it grows, the disk does not take it.",
            (Query("max(time() - sentinel_state_persisted_timestamp_seconds{@platform})"),),
            unit="s",
            runbook="state-damaged",
            steps=((60, YELLOW), (300, RED)),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Runs of checks by outcome",
                "Per second. Skipped ones were due while the one before still ran.",
                (Query(f"sum by (outcome) (rate({_RUNS}[$__rate_interval]))", "{{outcome}}"),),
                unit="cps",
                runbook="sentinel-blind",
                stacked=True,
                colors=(("ok", GREEN), ("error", RED), ("timeout", YELLOW), ("skipped", PURPLE)),
            ),
            Trend(
                "Coverage",
                "Share of due runs that gave a verdict, over the last hour.",
                (Query("min(sentinel_coverage_ratio{@platform})", "coverage"),),
                unit="percentunit",
                runbook="sentinel-blind",
                top=1,
            ),
        ),
        "Does it see?",
    ),
    Row(
        (
            Trend(
                "Duration of runs, p95",
                "By kind; 95 of 100 were faster.",
                (
                    Query(
                        "histogram_quantile(0.95, sum by (le, kind)"
                        ""
                        ""
                        " (rate(sentinel_probe_duration_seconds_bucket{@platform}[$__rate_interval])))",
                        "{{kind}}",
                    ),
                ),
                unit="s",
                runbook="sentinel-blind",
            ),
            Trend(
                "Lateness of runs, and of the event loop",
                "p99: from the slot of a run to its start; and how late the heartbeat of the "
                "event loop was.",
                (
                    Query(
                        "histogram_quantile(0.99, sum by (le)"
                        ""
                        ""
                        " (rate(sentinel_check_lateness_seconds_bucket{@platform}[$__rate_interval])))",
                        "runs",
                    ),
                    Query(
                        "histogram_quantile(0.99, sum by (le)"
                        ""
                        ""
                        " (rate(sentinel_event_loop_lag_seconds_bucket{@platform}[$__rate_interval])))",
                        "event loop",
                    ),
                ),
                unit="s",
                runbook="sentinel-blind",
            ),
        ),
        "Is it in time?",
    ),
    Row(
        (
            Trend(
                "Stalled",
                "Seconds in which sentinel stood still, and lines of its log that nobody took, "
                "per interval.",
                (
                    Query(
                        "sum(increase("
                        "sentinel_unobserved_seconds_total{@platform}[$__rate_interval]))",
                        "seconds stalled",
                    ),
                    Query(
                        "sum(increase(sentinel_standstills_total{@platform}[$__rate_interval]))",
                        "times stalled",
                    ),
                    Query(
                        "sum(increase("
                        "sentinel_log_lines_dropped_total{@platform}[$__rate_interval]))",
                        "lines dropped",
                    ),
                ),
                runbook="sentinel-blind",
            ),
            Trend(
                "Errors and refusals",
                "Own errors by place, connections that the page refused, series that were not "
                "exported, per interval.",
                (
                    Query(
                        "sum by (place)"
                        ""
                        ""
                        " (increase(sentinel_unclassified_errors_total{@platform}[$__rate_interval]))",
                        "{{place}}",
                    ),
                    Query(
                        "sum(increase(sentinel_page_refused_total{@platform}[$__rate_interval]))",
                        "page refused",
                    ),
                    Query(
                        "sum(increase(sentinel_series_dropped_total{@platform}[$__rate_interval]))",
                        "series dropped",
                    ),
                ),
                runbook="sentinel-blind",
            ),
        ),
        "What could it not do?",
    ),
    Row(
        (
            Trend(
                "Notices by channel",
                "Tries to deliver a notice that succeeded, and those that failed or gave up, per "
                "interval.",
                (
                    Query(f"sum by (channel) (increase({_DELIVERED}))", "{{channel}} delivered"),
                    Query(f"sum by (channel) (increase({_FAILED}))", "{{channel}} failed"),
                ),
                runbook="notices-undelivered",
            ),
            Trend(
                "Notices that wait",
                "Not delivered yet, by channel. What can't be delivered is tried again for a day.",
                (
                    Query(
                        "sum by (channel) (sentinel_notifications_waiting{@platform})",
                        "{{channel}}",
                    ),
                ),
                runbook="notices-undelivered",
            ),
        ),
        "Does anybody hear of it?",
    ),
)

TABLES = Row(
    (
        Table(
            "Checks",
            "Each with its kind and status, its last duration, and the time since its last "
            "verdict.",
            (
                Query(
                    "sum by (check, kind, status) (sentinel_check_status{@check})"
                    " * on (check) group_left () max by (check) "
                    "(sentinel_check_duration_seconds{@check})",
                    "Last run",
                    "s",
                ),
                Query(
                    "sum by (check, kind, status) (sentinel_check_status{@check}) * on (check) "
                    "group_left ()"
                    " max by (check) (time() - "
                    "sentinel_probe_last_success_timestamp_seconds{@check})",
                    "Since a verdict",
                    "s",
                ),
            ),
            runbook="sentinel-blind",
            labels=(("check", "Check"), ("kind", "Kind"), ("status", "Status")),
        ),
        Table(
            "Version and configuration",
            "Each sentinel with its version, whether its last reload was good (1), and the time "
            "since.",
            (
                Query(
                    "max by (instance, version) (sentinel_build_info{@platform}) * on (instance) "
                    "group_left ()"
                    " max by (instance) (sentinel_config_last_reload_successful{@platform})",
                    "Reload was good",
                ),
                Query(
                    "max by (instance, version) (sentinel_build_info{@platform}) * on (instance) "
                    "group_left ()"
                    " max by (instance)"
                    " (time() - sentinel_config_last_reload_success_timestamp_seconds{@platform})",
                    "Since",
                    "s",
                ),
            ),
            runbook="sentinel-down",
            labels=(("instance", "Instance"), ("version", "Version")),
        ),
    ),
    "Which one?",
)

BOARD = Board(
    "sentinel",
    "Sentinel: sentinel itself",
    "Does sentinel see, is it in time, and what could it not do?",
    (STATS, *TRENDS, TABLES),
    order=11,
)
