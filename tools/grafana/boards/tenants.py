"""Tenants: may one see the rows of another, in the database or over HTTP?"""

from tools.grafana.board import (
    GREEN,
    NO_FAULT,
    PURPLE,
    RED,
    YELLOW,
    Board,
    Query,
    Row,
    Stat,
    Table,
    Trend,
)

_LEAKS = 'sentinel_tenant_probe_total{@check, result="leak"}'
_TRIES = "sentinel_tenant_probe_total{@check}"

STATS = Row(
    (
        Stat(
            "Leaks",
            "Tries that saw rows of another tenant, over the range shown. One is too many.",
            (Query(f"sum(increase({_LEAKS}[$__range]))"),),
            runbook="tenant-leak",
            steps=((0.5, RED),),
            decimals=0,
        ),
        Stat(
            "Kept apart",
            "Share of tries that saw nothing foreign, of those that could be judged, over the "
            "range shown.",
            (
                Query(
                    'sum(increase(sentinel_tenant_probe_total{@check, result="pass"}[$__range]))'
                    ""
                    ""
                    ' / sum(increase(sentinel_tenant_probe_total{@check, result=~"pass|leak"}[$__range]))'
                ),
            ),
            unit="percentunit",
            runbook="tenant-leak",
            base=RED,
            steps=((1, GREEN),),
            decimals=2,
        ),
        Stat(
            "Could not be tried",
            "Tries that ended in an error, over the range shown: they prove neither.",
            (
                Query(
                    'sum(increase(sentinel_tenant_probe_total{@check, result="error"}[$__range]))'
                ),
            ),
            runbook="sentinel-blind",
            steps=((0.5, PURPLE),),
            decimals=0,
        ),
        Stat(
            "Leaking now",
            "Tables and addresses that leak now, or are not guarded; 0 is told only while a check "
            "has a verdict.",
            (Query(f"sum(sentinel_faults{{@check}}) or {NO_FAULT}"),),
            runbook="tenant-leak",
            steps=((1, RED),),
        ),
        Stat(
            "Since the last verdict",
            "Time since tenants were last tried with a verdict: the oldest of the checks.",
            (Query("max(time() - sentinel_probe_last_success_timestamp_seconds{@check})"),),
            unit="s",
            runbook="sentinel-blind",
            steps=((300, YELLOW),),
        ),
    )
)

CATALOGUE = Row(
    (
        Stat(
            "Holes in the catalogue",
            "Ways past the policies that are open now, of all checks that read a catalogue.",
            (Query('sum(sentinel_tenant_isolation_findings{@check, severity="critical"})'),),
            runbook="tenant-audit",
            steps=((1, RED),),
        ),
        Stat(
            "Weaknesses",
            "What is open after one mistake more, or makes queries fail.",
            (Query('sum(sentinel_tenant_isolation_findings{@check, severity="warning"})'),),
            runbook="tenant-audit",
            steps=((1, YELLOW),),
        ),
        Stat(
            "Tables secured",
            "Share of the tables with a tenant whose row-level security is on.",
            (
                Query(
                    "sum(sentinel_tenant_tables_secured{@check})"
                    " / sum(sentinel_tenant_tables{@check})"
                ),
            ),
            unit="percentunit",
            runbook="tenant-audit",
            base=RED,
            steps=((1, GREEN),),
        ),
        Stat(
            "Not tried",
            "Tables with a tenant, and roles of the application, that no check tries.",
            (
                Query(
                    "sum(sentinel_tenant_tables_untried{@check})"
                    " + sum(sentinel_tenant_roles_untried{@check})"
                ),
            ),
            runbook="tenant-leak",
            steps=((1, PURPLE),),
        ),
    ),
    "What is open, and what is not tried",
)

TRENDS = (
    Row(
        (
            Trend(
                "Tries by result",
                "Per second: pass saw nothing foreign, leak did, error proves neither.",
                (Query(f"sum by (result) (rate({_TRIES}[$__rate_interval]))", "{{result}}"),),
                unit="cps",
                runbook="tenant-leak",
                stacked=True,
                colors=(("pass", GREEN), ("leak", RED), ("error", PURPLE)),
            ),
            Trend(
                "Leaks by probe",
                "Per interval: which way in let rows of another tenant out.",
                (
                    Query(
                        f"sum by (probe) (increase({_LEAKS}[$__rate_interval]))",
                        "{{probe}}",
                    ),
                ),
                runbook="tenant-leak",
            ),
        ),
        "Over time",
    ),
    Row(
        (
            Trend(
                "Faults of tenants",
                "Tables and addresses with each fault. The line at 0 is there while checks have verdicts.",
                (
                    Query("sum by (fault) (sentinel_faults{@check})", "{{fault}}"),
                    Query(NO_FAULT, "no fault"),
                ),
                runbook="tenant-leak",
                stacked=True,
            ),
            Trend(
                "Duration of a check",
                "Of the last run: all tables and addresses, as both tenants and as none.",
                (Query("max by (check) (sentinel_check_duration_seconds{@check})", "{{check}}"),),
                unit="s",
            ),
        )
    ),
)

TABLES = Row(
    (
        Table(
            "Probes",
            "Each way in with its tries and its leaks, over the range shown.",
            (
                Query(f"round(sum by (check, probe) (increase({_TRIES}[$__range])))", "Tries"),
                Query(
                    f"round(sum by (check, probe) (increase({_LEAKS}[$__range])))",
                    "Leaks",
                ),
            ),
            runbook="tenant-leak",
            labels=(("check", "Check"), ("probe", "Probe")),
        ),
        Table(
            "Faults that stand",
            "Which check sees which fault, with how many tables or addresses. `sentinel faults "
            "CHECK` names them.",
            (Query("sum by (check, fault) (sentinel_faults{@check})", "Subjects"),),
            runbook="tenant-leak",
            labels=(("check", "Check"), ("fault", "Fault")),
        ),
    ),
    "Where is it?",
)

RULES = Row(
    (
        Table(
            "Rules that found something",
            "What the catalogue leaves open, by rule. `sentinel faults CHECK` names the objects.",
            (
                Query(
                    "sum by (check, rule, severity) (sentinel_tenant_isolation_rule_findings{@check})",
                    "Findings",
                ),
            ),
            runbook="tenant-audit",
            labels=(("check", "Check"), ("rule", "Rule"), ("severity", "Severity")),
        ),
        Table(
            "Rows of nobody",
            "Rows without a tenant, on a fallback tenant, or of one that does not exist.",
            (
                Query(
                    "sum by (check, why) (sentinel_tenant_orphaned_rows{@check})",
                    "Rows",
                ),
            ),
            runbook="tenant-rows",
            labels=(("check", "Check"), ("why", "Why")),
        ),
    ),
    "What is it?",
)

BOARD = Board(
    "tenants",
    "Sentinel: tenants",
    "May one tenant see the rows of another, in the database or over HTTP?",
    (STATS, CATALOGUE, *TRENDS, TABLES, RULES),
    kinds=("tenant_probe", "tenant_audit", "tenant_http", "tenant_rows"),
    order=7,
)
