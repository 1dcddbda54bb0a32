"""Flows: do they move through their statuses, how long do they stay, and which are stuck?"""

from tools.grafana.board import RED, YELLOW, Board, Query, Row, Stat, Table, Trend

STATS = Row(
    (
        Stat(
            "Open",
            "Flows that are not finished, now.",
            (Query("sum(sentinel_flow_open{@check})"),),
        ),
        Stat(
            "Stuck",
            "Flows that are stuck now, at least: of all reasons the one that holds the most.",
            (Query("max(sum by (reason) (sentinel_flow_stuck{@check}))"),),
            runbook="flows-stuck",
            steps=((1, YELLOW), (10, RED)),
        ),
        Stat(
            "Longest stay",
            "Longest time that a flow has been in its status, at least.",
            (Query("max(sentinel_flow_oldest_age_seconds{@check})"),),
            unit="s",
            runbook="flows-stuck",
        ),
        Stat(
            "Went backwards",
            "Times that progress, status or phase of a flow went back, over the range shown.",
            (Query("sum(increase(sentinel_flow_regressions_total{@check}[$__range]))"),),
            runbook="flows-stuck",
            steps=((0.5, YELLOW),),
            decimals=0,
        ),
        Stat(
            "Times not comparable",
            "Open flows whose times are of another zone or clock: how long they stay is not known.",
            (Query("sum(sentinel_flow_skewed{@check})"),),
            runbook="sentinel-blind",
            steps=((1, YELLOW),),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Open flows by status",
                "How many flows are in each status.",
                (Query("sum by (status) (sentinel_flow_open{@check})", "{{status}}"),),
                stacked=True,
            ),
            Trend(
                "Stuck flows by reason",
                "A flow that is stuck for two reasons counts for both.",
                (Query("sum by (reason) (sentinel_flow_stuck{@check})", "{{reason}}"),),
                runbook="flows-stuck",
            ),
        ),
        "Where they are",
    ),
    Row(
        (
            Trend(
                "Changes of status",
                "Per second, from one status to another; _new_ is the beginning.",
                (
                    Query(
                        "sum by (from, to)"
                        " (rate(sentinel_flow_transitions_total{@check}[$__rate_interval])) > 0",
                        "{{from}} → {{to}}",
                    ),
                ),
                unit="cps",
                runbook="flows-stuck",
            ),
            Trend(
                "Went backwards, by kind",
                "Per interval: progress, status or phase.",
                (
                    Query(
                        "sum by (kind)"
                        " (increase(sentinel_flow_regressions_total{@check}[$__rate_interval]))",
                        "{{kind}}",
                    ),
                ),
                runbook="flows-stuck",
            ),
        )
    ),
    Row(
        (
            Trend(
                "Longest stay beside its limit",
                "The oldest flow of each status, and the longest stay that is normal there.",
                (
                    Query(
                        "max by (status) (sentinel_flow_oldest_age_seconds{@check})", "{{status}}"
                    ),
                    Query(
                        "min by (status) (sentinel_flow_stuck_threshold_seconds{@check})",
                        "limit of {{status}}",
                    ),
                ),
                unit="s",
                runbook="flows-stuck",
            ),
            Trend(
                "Completed stays, p95",
                "95 of 100 flows left the status sooner.",
                (
                    Query(
                        "histogram_quantile(0.95, sum by (le, status)"
                        " (rate(sentinel_flow_dwell_seconds_bucket{@check}[$__rate_interval])))",
                        "{{status}}",
                    ),
                ),
                unit="s",
                runbook="flows-stuck",
            ),
        ),
        "How long they stay",
    ),
)

TABLES = Row(
    (
        Table(
            "Types and statuses",
            "Open flows of each, their longest stay, its limit, and from how many of the stays "
            "needed it is learned.",
            (
                Query("sum by (flow_type, status) (sentinel_flow_open{@check})", "Open"),
                Query(
                    "max by (flow_type, status) (sentinel_flow_oldest_age_seconds{@check})",
                    "Longest stay",
                    "s",
                ),
                Query(
                    "min by (flow_type, status) (sentinel_flow_stuck_threshold_seconds{@check})",
                    "Limit",
                    "s",
                ),
                Query("sum by (flow_type, status) (sentinel_flow_stays{@check})", "Stays"),
                Query("max by (flow_type, status) (sentinel_flow_stays_needed{@check})", "Needed"),
            ),
            runbook="flows-stuck",
            labels=(("flow_type", "Type"), ("status", "Status")),
        ),
        Table(
            "Faults of flows",
            "Which check sees which fault, with how many flows. `sentinel faults CHECK` names "
            "every one.",
            (Query("sum by (check, fault) (sentinel_faults{@check})", "Flows"),),
            runbook="flows-stuck",
            labels=(("check", "Check"), ("fault", "Fault")),
        ),
    ),
    "Which one?",
)

BOARD = Board(
    "flows",
    "Sentinel: flows",
    "Do flows move through their statuses, how long do they stay, and which are stuck?",
    (STATS, *TRENDS, TABLES),
    kinds=("flows",),
    order=6,
)
