"""Components: what is up, what sentinel did about what is not, and what holds it back."""

from tools.grafana.board import (
    GREEN,
    RED,
    STATUS_COLORS,
    YELLOW,
    Board,
    Query,
    Row,
    Stat,
    Table,
    Trend,
)

_ATTEMPTS = "sentinel_restart_attempts_total{@component}"

STATS = Row(
    (
        Stat(
            "Not up",
            "Components that are degraded, down or unknown now.",
            (
                Query(
                    'count(sentinel_component_status{@component, status!="up"})'
                    " or 0 * count(sentinel_component_status{@component})"
                ),
            ),
            steps=((1, RED),),
        ),
        Stat(
            "Open incidents",
            "Incidents that are not closed, now.",
            (Query("sum(sentinel_incidents_open{@component})"),),
            steps=((1, RED),),
        ),
        Stat(
            "Restarts that recovered",
            "Share of sentinel's attempts after which the component was healthy, over the range "
            "shown; "
            "nothing where it made none.",
            (
                Query(
                    "sum(increase("
                    'sentinel_restart_attempts_total{@component, outcome="recovered"}[$__range]))'
                    f" / (sum(increase({_ATTEMPTS}[$__range])) > 0)"
                ),
            ),
            unit="percentunit",
            base=RED,
            steps=((0.5, YELLOW), (0.9, GREEN)),
            decimals=0,
        ),
        Stat(
            "Restart budgets spent",
            "Components that sentinel restarts no more, until somebody has repaired and reset "
            "them.",
            (Query("sum(sentinel_component_exhausted{@component})"),),
            runbook="component-exhausted",
            steps=((1, RED),),
        ),
        Stat(
            "May sentinel act?",
            "Held: it only observes, the kill switch is on, the breaker open, or a whole group "
            "fails together.",
            (
                Query(
                    "min(sentinel_actions_enabled{@platform})"
                    " * (1 - max(sentinel_actions_halted{@platform}))"
                    " * (1 - max(sentinel_automation_breaker_open{@platform}))"
                    " * (1 - (max(sentinel_mass_failure_brakes{@platform}) > bool 0))"
                ),
            ),
            runbook="automation-stopped",
            base=YELLOW,
            steps=((1, GREEN),),
            words=(("0", "held", YELLOW), ("1", "acts", GREEN)),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Components by status",
                "How many are up, degraded, down and unknown.",
                (Query("count by (status) (sentinel_component_status{@component})", "{{status}}"),),
                stacked=True,
                colors=tuple(STATUS_COLORS.items()),
            ),
            Trend(
                "Open incidents by component",
                "Incidents that are not closed.",
                (
                    Query(
                        "sum by (component) (sentinel_incidents_open{@component})",
                        "{{component}}",
                    ),
                ),
                stacked=True,
            ),
        ),
        "Health",
    ),
    Row(
        (
            Trend(
                "Attempts to restart",
                "Per interval, by outcome.",
                (
                    Query(
                        f"sum by (outcome) (increase({_ATTEMPTS}[$__rate_interval]))", "{{outcome}}"
                    ),
                ),
                runbook="component-exhausted",
                stacked=True,
                colors=(("recovered", GREEN), ("failed", RED)),
            ),
            Trend(
                "What holds sentinel back",
                "1 while the kill switch is on, or the breaker open; groups that fail together; "
                "budgets spent.",
                (
                    Query("max(sentinel_actions_halted{@platform})", "kill switch"),
                    Query("max(sentinel_automation_breaker_open{@platform})", "breaker"),
                    Query(
                        "max(sentinel_mass_failure_brakes{@platform})", "groups that fail together"
                    ),
                    Query("sum(sentinel_component_exhausted{@component})", "budgets spent"),
                ),
                runbook="automation-stopped",
            ),
        ),
        "Remediation",
    ),
    Row(
        (
            Trend(
                "Memory of processes",
                "Resident memory of all processes of a component.",
                (
                    Query(
                        "sum by (component) (sentinel_process_resident_bytes{@component})",
                        "{{component}}",
                    ),
                ),
                unit="bytes",
                runbook="process-down",
            ),
            Trend(
                "Processor time of processes",
                "Cores used by all processes of a component; 1 is one whole core.",
                (
                    Query(
                        "sum by (component) (sentinel_process_cpu_ratio{@component})",
                        "{{component}}",
                    ),
                ),
                unit="percentunit",
                runbook="process-down",
            ),
        ),
        "Processes",
    ),
    Row(
        (
            Trend(
                "Processes",
                "How many a component has, and those that took the place of others per interval.",
                (
                    Query("sum by (component) (sentinel_processes{@component})", "{{component}}"),
                    Query(
                        "sum by (component)"
                        ""
                        ""
                        " (increase(sentinel_process_restarts_total{@component}[$__rate_interval])) > 0",
                        "new: {{component}}",
                    ),
                ),
                runbook="process-down",
            ),
            Trend(
                "Open files",
                "Highest share of its limit that a process of the component uses.",
                (
                    Query(
                        "max by (component) (sentinel_process_descriptor_limit_ratio{@component})",
                        "{{component}}",
                    ),
                ),
                unit="percentunit",
                runbook="process-down",
            ),
        )
    ),
    Row(
        (
            Trend(
                "Answers over HTTP, p95",
                "Time of whole answers; 95 of 100 were faster.",
                (
                    Query(
                        "histogram_quantile(0.95, sum by (le, target)"
                        " (rate(sentinel_http_duration_seconds_bucket{@check}[$__rate_interval])))",
                        "{{target}}",
                    ),
                ),
                unit="s",
                runbook="api-failing",
            ),
            Trend(
                "Targets that answer",
                "1 while a TCP or HTTP target answers at all.",
                (
                    Query(
                        "min by (target, target_type) (sentinel_target_up{@check})",
                        "{{target_type}} {{target}}",
                    ),
                ),
                runbook="port-unreachable",
                top=1,
            ),
        ),
        "What answers",
    ),
)

TABLES = Row(
    (
        Table(
            "Components",
            "Each with its status and its open incidents, and whether its budget is spent (1).",
            (
                Query(
                    "sum by (component, status) (sentinel_component_status{@component})"
                    " * on (component) group_left () sum by (component) "
                    "(sentinel_incidents_open{@component})",
                    "Open incidents",
                ),
                Query(
                    "sum by (component, status) (sentinel_component_status{@component})"
                    " * on (component) group_left () sum by (component) "
                    "(sentinel_component_exhausted{@component})",
                    "Budget spent",
                ),
            ),
            labels=(("component", "Component"), ("status", "Status")),
        ),
        Table(
            "Attempts",
            "Restarts by component and outcome, over the range shown.",
            (
                Query(
                    f"round(sum by (component, outcome) (increase({_ATTEMPTS}[$__range]))) > 0",
                    "Attempts",
                ),
            ),
            runbook="component-exhausted",
            labels=(("component", "Component"), ("outcome", "Outcome")),
        ),
        Table(
            "Chores",
            "What each chore found at its last look, and what it removed in the range shown.",
            (
                Query("max by (chore) (sentinel_housekeeping_found{@platform})", "Found"),
                Query(
                    "round(sum by (chore)"
                    " (increase(sentinel_housekeeping_removed_total{@platform}[$__range])))",
                    "Removed",
                ),
                Query(
                    "round(sum by (chore)"
                    " (increase(sentinel_housekeeping_runs_total{@platform}[$__range])))",
                    "Runs",
                ),
            ),
            labels=(("chore", "Chore"),),
        ),
    ),
    "Which one?",
)

BOARD = Board(
    "components",
    "Sentinel: components and remediation",
    "What is up, what sentinel did about what is not, what holds it back, and what its chores "
    "clean.",
    (STATS, *TRENDS, TABLES),
    order=9,
)
