"""Objectives: which are met, how much of their error budgets is left, how fast they burn."""

from tools.grafana.board import GREEN, PURPLE, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

_STATE = "sentinel_objective_state{@check}"
_EVENTS = "sentinel_objective_events_total{@check}"
_GOOD = "sentinel_objective_good_total{@check}"
_LEFT = "sentinel_objective_error_budget_remaining_ratio{@check}"
_BOTH = "objective, check"

STATS = Row(
    (
        Stat(
            "Met",
            "Objectives that are met, of all. Too few events, or none, is not met.",
            (
                Query(
                    '(count(sentinel_objective_state{@check, state="met"})'
                    f" or 0 * count({_STATE})) / count({_STATE})"
                ),
            ),
            unit="percentunit",
            runbook="objective-burning",
            base=RED,
            steps=((0.999, GREEN),),
            decimals=0,
        ),
        Stat(
            "Missed",
            "Objectives whose error budget is used up.",
            (
                Query(
                    'count(sentinel_objective_state{@check, state="missed"})'
                    f" or 0 * count({_STATE})"
                ),
            ),
            runbook="objective-burning",
            steps=((1, RED),),
        ),
        Stat(
            "Not known",
            "Objectives with too few events, with none, or with more good ones than there are.",
            (
                Query(
                    'count(sentinel_objective_state{@check, state!~"met|missed"})'
                    f" or 0 * count({_STATE})"
                ),
            ),
            runbook="objective-burning",
            steps=((1, PURPLE),),
        ),
        Stat(
            "Least budget left",
            "Of the objective that has the least of its error budget left; below 0 it is overspent.",
            (Query(f"min({_LEFT})"),),
            unit="percentunit",
            runbook="objective-burning",
            base=RED,
            steps=((0, YELLOW), (0.25, GREEN)),
            decimals=1,
        ),
        Stat(
            "Fastest burn",
            "How many times too fast a budget burns over the last hour; at 14.4 somebody is called.",
            (Query('max(sentinel_objective_burn_rate{@check, window="1h"})'),),
            runbook="objective-burning",
            steps=((1, YELLOW), (14.4, RED)),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Error budget left",
                "By objective: 100 % is untouched, below 0 it is overspent.",
                (Query(f"min by (objective) ({_LEFT})", "{{objective}}"),),
                unit="percentunit",
                runbook="objective-burning",
            ),
            Trend(
                "Burn rate of an hour",
                "How many times too fast the budget burns; at 1 it lasts exactly for its window.",
                (
                    Query(
                        'max by (objective) (sentinel_objective_burn_rate{@check, window="1h"})',
                        "{{objective}}",
                    ),
                ),
                runbook="objective-burning",
            ),
        ),
        "Budgets",
    ),
    Row(
        (
            Trend(
                "Good events",
                "Share of events that were good, now, beside the target.",
                (
                    Query(
                        f"sum by (objective) (rate({_GOOD}[$__rate_interval]))"
                        f" / (sum by (objective) (rate({_EVENTS}[$__rate_interval])) > 0)",
                        "{{objective}}",
                    ),
                    Query(
                        "max by (objective) (sentinel_objective_target_ratio{@check})",
                        "target of {{objective}}",
                    ),
                ),
                unit="percentunit",
                runbook="objective-burning",
                top=1,
            ),
            Trend(
                "Events",
                "Events that objectives count, a second: few of them prove little.",
                (
                    Query(
                        f"sum by (objective) (rate({_EVENTS}[$__rate_interval]))", "{{objective}}"
                    ),
                ),
                unit="cps",
                runbook="objective-burning",
            ),
        ),
        "Events",
    ),
    Row(
        (
            Trend(
                "Errors as Prometheus sees them",
                "Share of bad events over five minutes, recorded by the rules, in Sloth's names.",
                (
                    Query(
                        "max by (sloth_service, sloth_slo) (slo:sli_error:ratio_rate5m)",
                        "{{sloth_slo}} of {{sloth_service}}",
                    ),
                ),
                unit="percentunit",
                runbook="objective-burning",
            ),
            Trend(
                "Budget left as Prometheus sees it",
                "Recorded by the rules over the window of each objective; it equals sentinel's own.",
                (
                    Query(
                        "min by (sloth_service, sloth_slo)"
                        " (slo:period_error_budget_remaining:ratio)",
                        "{{sloth_slo}} of {{sloth_service}}",
                    ),
                ),
                unit="percentunit",
                runbook="objective-burning",
            ),
        ),
        "The rules",
    ),
)

TABLES = Row(
    (
        Table(
            "Objectives",
            "Each with its target, the share that was good, what is left of its budget, and for how "
            "much of the window its check looked.",
            (
                Query(
                    f"max by ({_BOTH}) (sentinel_objective_target_ratio{{@check}})",
                    "Target",
                    "percentunit",
                ),
                Query(
                    f"max by ({_BOTH}) (sentinel_objective_ratio{{@check}})", "Good", "percentunit"
                ),
                Query(f"min by ({_BOTH}) ({_LEFT})", "Budget left", "percentunit"),
                Query(
                    f"min by ({_BOTH}) (sentinel_objective_observed_ratio{{@check}})",
                    "Observed",
                    "percentunit",
                ),
            ),
            runbook="objective-burning",
            labels=(("objective", "Objective"), ("check", "Check")),
        ),
        Table(
            "Alerts that fire",
            "Everything that Prometheus alerts of, with how many subjects.",
            (
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                    "Subjects",
                ),
            ),
            labels=(("alertname", "Alert"), ("severity", "Severity")),
        ),
    ),
    "Which one?",
)

BOARD = Board(
    "objectives",
    "Sentinel: objectives",
    "Which objectives are met, how much of their error budgets is left, how fast do they burn?",
    (STATS, *TRENDS, TABLES),
    order=10,
)
