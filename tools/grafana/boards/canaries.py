"""Canaries: messages and tasks of sentinel's own, which cross the platform as real ones do."""

from tools.grafana.board import GREEN, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

_RESULTS = 'sentinel_canary_results_total{@check, result!~"orphan_ok|unknown"}'
_OK = 'sentinel_canary_results_total{@check, result="ok"}'
_OUTCOMES = "sentinel_workflow_canary_outcomes_total{@check}"

STATS = Row(
    (
        Stat(
            "Came through in time",
            "Share of canary messages that arrived whole and in time, over the range shown.",
            (Query(f"sum(increase({_OK}[$__range])) / sum(increase({_RESULTS}[$__range]))"),),
            unit="percentunit",
            runbook="bus-canary-failing",
            base=RED,
            steps=((0.99, YELLOW), (0.995, GREEN)),
            decimals=2,
        ),
        Stat(
            "Proven reliability",
            "The worst path: with 95 % confidence at least this good in the last hour. Few "
            "canaries prove little.",
            (Query('min(sentinel_canary_reliability_lower_bound_ratio{@check, window="1h"})'),),
            unit="percentunit",
            runbook="bus-canary-failing",
            base=YELLOW,
            steps=((0.99, GREEN),),
            decimals=2,
        ),
        Stat(
            "Time observed",
            "Of the path least observed in the last hour: share of the time in which canaries "
            "were sent and seen.",
            (Query('min(sentinel_canary_coverage_ratio{@check, window="1h"})'),),
            unit="percentunit",
            runbook="sentinel-blind",
            base=YELLOW,
            steps=((0.95, GREEN),),
            decimals=1,
        ),
        Stat(
            "On their way",
            "Canary messages and synthetic tasks that have not come to an end yet.",
            (
                Query(
                    "sum(sentinel_canary_outstanding{@check}) + "
                    "sum(sentinel_workflow_canary_open{@check})"
                ),
            ),
            steps=((20, YELLOW),),
        ),
        Stat(
            "Tasks that failed",
            "Synthetic tasks that did not come through the whole platform in time, over the range "
            "shown.",
            (
                Query(
                    "sum(increase("
                    ""
                    'sentinel_workflow_canary_outcomes_total{@check, outcome!~"ok|orphan"}[$__range]))'
                ),
            ),
            runbook="workflow-canary-failing",
            steps=((0.5, YELLOW), (5, RED)),
            decimals=0,
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Canary messages by result",
                "Per second; each canary ends in exactly one.",
                (
                    Query(
                        "sum by (result)"
                        " (rate(sentinel_canary_results_total{@check}[$__rate_interval]))",
                        "{{result}}",
                    ),
                ),
                unit="cps",
                runbook="bus-canary-failing",
                stacked=True,
                colors=(("ok", GREEN), ("lost", RED), ("late", YELLOW), ("corrupt", "dark-red")),
            ),
            Trend(
                "Latency of canary messages, p99",
                "By leg: publish is the reply to XADD, deliver the arrival, total both with all "
                "hops.",
                (
                    Query(
                        "histogram_quantile(0.99, sum by (le, path, leg)"
                        ""
                        ""
                        " (rate(sentinel_canary_latency_seconds_bucket{@check}[$__rate_interval])))",
                        "{{path}} {{leg}}",
                    ),
                ),
                unit="s",
                runbook="bus-canary-failing",
            ),
        ),
        "Messages",
    ),
    Row(
        (
            Trend(
                "Proven reliability by path",
                "Lower 95 % bound of delivery in time over the last hour and the last day.",
                (
                    Query(
                        "min by (path, window) "
                        "(sentinel_canary_reliability_lower_bound_ratio{@check})",
                        "{{path}} {{window}}",
                    ),
                ),
                unit="percentunit",
                runbook="bus-canary-failing",
                top=1,
            ),
            Trend(
                "Failures by hop",
                "Canaries that failed, per interval: the first silent hop of a lost, the slowest "
                "of a late one.",
                (
                    Query(
                        "sum by (path, hop)"
                        " (increase(sentinel_canary_hop_failures_total{@check}[$__rate_interval]))",
                        "{{path}} {{hop}}",
                    ),
                ),
                runbook="bus-canary-failing",
            ),
            Trend(
                "Out of the ordinary",
                "Canaries that came twice, after they were given up, out of order, or are not "
                "ours, per interval.",
                (
                    Query(
                        "sum(increase(sentinel_canary_duplicates_total{@check}[$__rate_interval]))",
                        "twice",
                    ),
                    Query(
                        "sum(increase(sentinel_canary_resurfaced_total{@check}[$__rate_interval]))",
                        "after all",
                    ),
                    Query(
                        "sum(increase(sentinel_canary_reordered_total{@check}[$__rate_interval]))",
                        "out of order",
                    ),
                    Query(
                        "sum(increase(sentinel_canary_foreign_total{@check}[$__rate_interval]))",
                        "not ours",
                    ),
                ),
                runbook="bus-canary-failing",
            ),
        )
    ),
    Row(
        (
            Trend(
                "Synthetic tasks by outcome",
                "How they ended, per interval.",
                (
                    Query(
                        f"sum by (outcome) (increase({_OUTCOMES}[$__rate_interval]))",
                        "{{outcome}}",
                    ),
                ),
                runbook="workflow-canary-failing",
                stacked=True,
                colors=(("ok", GREEN),),
            ),
            Trend(
                "Time of each hop, p95",
                "From one hop to the next, and of all (total), beside the least deadline of a hop.",
                (
                    Query(
                        "histogram_quantile(0.95, sum by (le, hop)"
                        " (rate(sentinel_workflow_hop_seconds_bucket{@check}[$__rate_interval])))",
                        "{{hop}}",
                    ),
                    Query("min(sentinel_workflow_hop_deadline_seconds{@check})", "deadline"),
                ),
                unit="s",
                runbook="workflow-canary-failing",
                colors=(("deadline", RED),),
            ),
        ),
        "Tasks through the whole platform",
    ),
)

TABLES = Row(
    (
        Table(
            "Where synthetic tasks end",
            "By path, outcome and hop, over the range shown. The hop is where it stopped.",
            (
                Query(
                    f"round(sum by (path, outcome, hop) (increase({_OUTCOMES}[$__range]))) > 0",
                    "Tasks",
                ),
            ),
            runbook="workflow-canary-failing",
            labels=(("path", "Path"), ("outcome", "Outcome"), ("hop", "Hop")),
        ),
        Table(
            "Paths",
            "Each path with the canaries sent and those that came through in time, over the range "
            "shown.",
            (
                Query(
                    "round(sum by (check, path)"
                    " (increase(sentinel_canary_sent_total{@check}[$__range])))",
                    "Sent",
                ),
                Query(f"round(sum by (check, path) (increase({_OK}[$__range])))", "In time"),
                Query(
                    'min by (check, path) (sentinel_canary_effective_samples{@check, window="1h"})',
                    "Worth, in independent ones",
                ),
            ),
            runbook="bus-canary-failing",
            labels=(("check", "Check"), ("path", "Path")),
        ),
    ),
    "Which path?",
)

BOARD = Board(
    "canaries",
    "Sentinel: canaries",
    "Messages and tasks of sentinel's own: do they come through, in time, and whole? Where do "
    "they stop?",
    (STATS, *TRENDS, TABLES),
    kinds=("bus_canary", "workflow_canary"),
    order=3,
)
