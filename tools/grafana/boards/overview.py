"""The first dashboard that somebody on call opens: the five questions, then what is behind them."""

from tools.grafana.board import (
    GREEN,
    NO_FAULT,
    PURPLE,
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

_ACKED = 'sentinel_bus_settled_total{@check, outcome="acked"}'
_SETTLED = "sentinel_bus_settled_total{@check}"
_PUNCTUAL = 'sentinel_task_assignment_settled_total{@check, outcome="in_deadline"}'
_ASSIGNED = "sentinel_task_assignment_settled_total{@check}"

QUESTIONS = Row(
    (
        Stat(
            "Are messages delivered?",
            "Share of messages that were acknowledged within their deadline, over the range "
            "shown. What may have been "
            "lost counts as not delivered.",
            (Query(f"sum(increase({_ACKED}[$__range])) / sum(increase({_SETTLED}[$__range]))"),),
            unit="percentunit",
            runbook="bus-delivery-late",
            base=RED,
            steps=((0.99, YELLOW), (0.995, GREEN)),
            decimals=2,
        ),
        Stat(
            "Are tasks assigned in time?",
            "Share of tasks that had an agent at their deadline, over the range shown.",
            (
                Query(
                    f"sum(increase({_PUNCTUAL}[$__range])) / sum(increase({_ASSIGNED}[$__range]))"
                ),
            ),
            unit="percentunit",
            runbook="assigner-hung",
            base=RED,
            steps=((0.98, YELLOW), (0.99, GREEN)),
            decimals=2,
        ),
        Stat(
            "Do flows move?",
            "Flows that are stuck now, at least: of all reasons the one that holds the most. A "
            "flow may be stuck for "
            "two reasons.",
            (Query("max(sum by (reason) (sentinel_flow_stuck{@check}))"),),
            unit="suffix:stuck",
            runbook="flows-stuck",
            steps=((1, YELLOW), (10, RED)),
        ),
        Stat(
            "Do tenants stay apart?",
            "Tries of the canary tenants that saw rows of another tenant, over the range shown. "
            "One is too many.",
            (Query('sum(increase(sentinel_tenant_probe_total{@check, result="leak"}[$__range]))'),),
            unit="suffix:leaks",
            runbook="tenant-leak",
            steps=((0.5, RED),),
            decimals=0,
        ),
        Stat(
            "What broke?",
            "Incidents that are open now; the first of a cause stands for those that depend on it.",
            (Query("sum(sentinel_incidents_open{@component})"),),
            unit="suffix:open",
            steps=((1, RED),),
        ),
    )
)

BELIEF = Row(
    (
        Stat(
            "Share of time observed",
            "Runs that were due in the last hour and gave a verdict. With less, believe the other "
            "figures less.",
            (Query("min(sentinel_coverage_ratio{@platform})"),),
            unit="percentunit",
            runbook="sentinel-blind",
            base=RED,
            steps=((0.9, YELLOW), (0.95, GREEN)),
            decimals=1,
        ),
        Stat(
            "Checks without a verdict",
            "Checks whose status is unknown now: what they watch is neither up nor down.",
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
            "Components not up",
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
            "Subjects with a fault",
            "Streams, agents, tables, flows and others that have a fault which stands; 0 is told "
            "only while a check "
            "has a verdict.",
            (Query(f"sum(sentinel_faults{{@check}}) or {NO_FAULT}"),),
            steps=((1, YELLOW),),
        ),
        Stat(
            "Restart budgets spent",
            "Components that sentinel restarts no more, until somebody has repaired and reset "
            "them.",
            (Query("sum(sentinel_component_exhausted{@component})"),),
            runbook="component-exhausted",
            steps=((1, RED),),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Components by status",
                "How many components are up, degraded, down and unknown.",
                (Query("count by (status) (sentinel_component_status{@component})", "{{status}}"),),
                stacked=True,
                colors=tuple(STATUS_COLORS.items()),
            ),
            Trend(
                "Faults by kind",
                "Subjects that have each kind of fault. The line at 0 is there while checks have verdicts.",
                (
                    Query("sum by (fault) (sentinel_faults{@check})", "{{fault}}"),
                    Query(NO_FAULT, "no fault"),
                ),
                stacked=True,
            ),
        ),
        "Over time",
    ),
    Row(
        (
            Trend(
                "Delivered and assigned in time",
                "Share of messages acknowledged, and of tasks assigned, within their deadlines.",
                (
                    Query(
                        f"sum(rate({_ACKED}[$__rate_interval]))"
                        f" / sum(rate({_SETTLED}[$__rate_interval]))",
                        "messages",
                    ),
                    Query(
                        f"sum(rate({_PUNCTUAL}[$__rate_interval]))"
                        f" / sum(rate({_ASSIGNED}[$__rate_interval]))",
                        "tasks",
                    ),
                ),
                unit="percentunit",
                runbook="bus-delivery-late",
                top=1,
            ),
            Trend(
                "Open incidents",
                "Incidents that are not closed, by component.",
                (
                    Query(
                        "sum by (component) (sentinel_incidents_open{@component})",
                        "{{component}}",
                    ),
                ),
                stacked=True,
            ),
        )
    ),
)

TABLES = Row(
    (
        Table(
            "Faults that stand",
            "Which check sees which fault, with how many subjects. `sentinel faults CHECK` names "
            "every one.",
            (Query("sum by (component, check, fault) (sentinel_faults{@check})", "Subjects"),),
            labels=(("component", "Component"), ("check", "Check"), ("fault", "Fault")),
        ),
        Table(
            "Components that are not up",
            "Each with its status, and how many of its incidents are open.",
            (
                Query(
                    "sum by (component, status)"
                    ' (sentinel_component_status{@component, status!="up"})'
                    " * on (component) group_left () sum by (component) "
                    "(sentinel_incidents_open{@component})",
                    "Open incidents",
                ),
            ),
            labels=(("component", "Component"), ("status", "Status")),
        ),
    ),
    "Who is it?",
)

BOARD = Board(
    "overview",
    "Sentinel: overview",
    "Are messages delivered, tasks assigned, flows moving, tenants apart? What broke? Start here.",
    (QUESTIONS, BELIEF, *TRENDS, TABLES),
    order=1,
)
