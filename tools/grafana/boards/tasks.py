"""Tasks: how fast they get an agent, what waits, and whether tenants are served alike."""

from tools.grafana.board import GREEN, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

_PUNCTUAL = 'sentinel_task_assignment_settled_total{@check, outcome="in_deadline"}'
_LATE = 'sentinel_task_assignment_settled_total{@check, outcome="late"}'
_UNASSIGNED = 'sentinel_task_assignment_settled_total{@check, outcome="unassigned"}'
_SETTLED = "sentinel_task_assignment_settled_total{@check}"
_BUCKETS = "sentinel_task_assignment_seconds_bucket{@check}"

STATS = Row(
    (
        Stat(
            "Assigned in time",
            "Share of tasks that had an agent at their deadline, over the range shown.",
            (Query(f"sum(increase({_PUNCTUAL}[$__range])) / sum(increase({_SETTLED}[$__range]))"),),
            unit="percentunit",
            runbook="assigner-hung",
            base=RED,
            steps=((0.98, YELLOW), (0.99, GREEN)),
            decimals=2,
        ),
        Stat(
            "Assignment, p99",
            "99 of 100 tasks were assigned faster, over the range shown. Beyond the last bucket: "
            "that bucket's edge.",
            (Query(f"histogram_quantile(0.99, sum by (le) (increase({_BUCKETS}[$__range])))"),),
            unit="s",
            runbook="assigner-hung",
            steps=((0.1, YELLOW), (1, RED)),
        ),
        Stat(
            "Without an agent",
            "Open tasks that nobody has, now.",
            (Query("sum(sentinel_task_unassigned{@check})"),),
            runbook="assigner-hung",
            steps=((10, YELLOW), (100, RED)),
        ),
        Stat(
            "Oldest without an agent",
            "Age of the oldest open task that nobody has.",
            (Query("max(sentinel_task_oldest_unassigned_age_seconds{@check})"),),
            unit="s",
            runbook="assigner-hung",
            steps=((1, YELLOW), (60, RED)),
        ),
        Stat(
            "Completed in the last hour",
            "Tasks that agents completed in the last hour.",
            (Query('sum(sentinel_task_throughput_per_hour{@check, event="completed"})'),),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Latency of assignment",
                "From creation to assignment: the median, p95 and p99.",
                tuple(
                    Query(
                        f"histogram_quantile({share}, sum by (le)"
                        f" (rate({_BUCKETS}[$__rate_interval])))",
                        name,
                    )
                    for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
                ),
                unit="s",
                runbook="assigner-hung",
            ),
            Trend(
                "What had become of tasks at their deadline",
                "Per second: assigned in time, late, or not at all.",
                (Query(f"sum by (outcome) (rate({_SETTLED}[$__rate_interval]))", "{{outcome}}"),),
                unit="cps",
                runbook="assigner-hung",
                stacked=True,
                colors=(("in_deadline", GREEN), ("late", YELLOW), ("unassigned", RED)),
            ),
        ),
        "Assignment",
    ),
    Row(
        (
            Trend(
                "Tasks without an agent",
                "By queue.",
                (Query("sum by (queue) (sentinel_task_unassigned{@check})", "{{queue}}"),),
                runbook="assigner-hung",
            ),
            Trend(
                "Throughput of an hour",
                "Tasks assigned and completed in the hour before.",
                (Query("sum by (event) (sentinel_task_throughput_per_hour{@check})", "{{event}}"),),
            ),
        )
    ),
    Row(
        (
            Trend(
                "Time of each stage, p95",
                "From creation to assignment (queue_wait), to the start (pickup), to the end "
                "(run); ended stages only.",
                (
                    Query(
                        "histogram_quantile(0.95, sum by (le, stage)"
                        " (rate(sentinel_task_stage_seconds_bucket{@check}[$__rate_interval])))",
                        "{{stage}}",
                    ),
                ),
                unit="s",
                runbook="assigner-hung",
            ),
            Trend(
                "Stages that did not end",
                "Per second: stages that had begun and not ended when they were looked at for the "
                "last time.",
                (
                    Query(
                        "sum by (stage)"
                        " (rate(sentinel_task_stage_unfinished_total{@check}[$__rate_interval]))",
                        "{{stage}}",
                    ),
                ),
                unit="cps",
                runbook="assigner-hung",
            ),
        ),
        "Stages",
    ),
    Row(
        (
            Trend(
                "Are tenants served alike?",
                "Jain's index of the tenants' mean waits: 1 is equal, 1 ÷ tenants is one served "
                "alone.",
                (
                    Query(
                        "min by (check) (sentinel_task_tenant_wait_jain_index{@check})", "{{check}}"
                    ),
                ),
                unit="percentunit",
                top=1,
            ),
            Trend(
                "Largest wait of a tenant ÷ smallest",
                "Of the p90 waits; 1 is equal. How many tenants had enough tasks to be compared "
                "stands beside it.",
                (
                    Query(
                        "max by (check) (sentinel_task_tenant_wait_ratio{@check})",
                        "ratio {{check}}",
                    ),
                    Query(
                        "max by (check) (sentinel_task_tenants_compared{@check})",
                        "tenants {{check}}",
                    ),
                ),
            ),
        ),
        "Fairness",
    ),
    Row(
        (
            Trend(
                "Times that do not fit",
                "Tasks per interval that say nothing about latency: assigned before they were "
                "created or in the future, "
                "without a time, or seen too late.",
                tuple(
                    Query(
                        f"sum(increase(sentinel_task_{name}_total{{@check}}[$__rate_interval]))",
                        legend,
                    )
                    for name, legend in (
                        ("negative_latency", "before they were created"),
                        ("offset_latency", "another time zone"),
                        ("missing_timestamp", "without a time"),
                        ("late_arrivals", "seen too late"),
                    )
                ),
                runbook="sentinel-blind",
            ),
            Trend(
                "How far the figures are behind",
                "Age of the newest task that is settled, and of the oldest transaction, which "
                "holds that back.",
                (
                    Query("max(sentinel_task_watermark_lag_seconds{@check})", "settled"),
                    Query("max(sentinel_task_horizon_hold_seconds{@check})", "transaction"),
                ),
                unit="s",
                runbook="sentinel-blind",
            ),
        ),
        "Are the figures whole?",
    ),
)

TABLES = Row(
    (
        Table(
            "Queues",
            "Each queue with the open tasks that nobody has, and with those late"
            " or unassigned at their deadline "
            "in the range shown.",
            (
                Query(
                    "sum by (check, queue) (sentinel_task_unassigned{@check})", "Without an agent"
                ),
                Query(
                    f"round(sum by (check, queue) (increase({_LATE}[$__range])))",
                    "Late",
                ),
                Query(
                    f"round(sum by (check, queue) (increase({_UNASSIGNED}[$__range])))",
                    "Unassigned",
                ),
            ),
            runbook="assigner-hung",
            labels=(("check", "Check"), ("queue", "Queue")),
        ),
        Table(
            "What could not be measured",
            "Tasks without a latency, over the range shown: closed or deleted unassigned, or too "
            "many to follow.",
            (
                Query(
                    "round(sum by (check, reason)"
                    " (increase(sentinel_task_censored_total{@check}[$__range])))",
                    "Tasks",
                ),
            ),
            runbook="sentinel-blind",
            labels=(("check", "Check"), ("reason", "Reason")),
        ),
        Table(
            "Faults of assignment",
            "Which check sees which fault, with how many queues or tenants.",
            (Query("sum by (check, fault) (sentinel_faults{@check})", "Subjects"),),
            runbook="assigner-hung",
            labels=(("check", "Check"), ("fault", "Fault")),
        ),
    ),
    "Which one?",
)

BOARD = Board(
    "tasks",
    "Sentinel: tasks and assignment",
    "How fast do tasks get an agent, what waits, where does their time go, are tenants served "
    "alike?",
    (STATS, *TRENDS, TABLES),
    kinds=("task_assignment",),
    order=4,
)
