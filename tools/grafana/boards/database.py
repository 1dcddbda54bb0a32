"""PostgreSQL: connections, locks, old transactions, wraparound, and what holds VACUUM back."""

from tools.grafana.board import GREEN, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

_USED = "sum(sentinel_pg_connections_used{@check})"
_USABLE = "sum(sentinel_pg_connections_usable{@check})"

STATS = Row(
    (
        Stat(
            "Answers",
            "Share of the servers that answer, now.",
            (Query("avg(sentinel_pg_up{@check})"),),
            unit="percentunit",
            runbook="database-unreachable",
            base=RED,
            steps=((1, GREEN),),
            decimals=0,
        ),
        Stat(
            "Connections in use",
            "Share of the connections that ordinary roles can have.",
            (Query(f"{_USED} / {_USABLE}"),),
            unit="percentunit",
            runbook="database-degraded",
            steps=((0.8, YELLOW), (0.95, RED)),
            decimals=1,
        ),
        Stat(
            "Longest wait for a lock",
            "Of the lock requests that wait now.",
            (Query("max(sentinel_pg_longest_lock_wait_seconds{@check})"),),
            unit="s",
            runbook="database-degraded",
            steps=((5, YELLOW), (60, RED)),
        ),
        Stat(
            "Oldest transaction",
            "Age of the oldest open transaction; VACUUM cleans nothing that is younger.",
            (Query("max(sentinel_pg_longest_transaction_seconds{@check})"),),
            unit="s",
            runbook="database-degraded",
            steps=((300, YELLOW), (3600, RED)),
        ),
        Stat(
            "Age of transaction ids",
            "Oldest unfrozen transaction id. At 2 100 million the server stops taking writes.",
            (Query("max(sentinel_pg_xid_age{@check})"),),
            runbook="database-degraded",
            steps=((1_000_000_000, YELLOW), (1_500_000_000, RED)),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Connections",
                "Client connections in use, and those that ordinary roles can have.",
                (
                    Query("sum by (server) (sentinel_pg_connections_used{@check})", "{{server}}"),
                    Query(
                        "sum by (server) (sentinel_pg_connections_usable{@check})",
                        "usable {{server}}",
                    ),
                ),
                runbook="database-degraded",
            ),
            Trend(
                "Transactions",
                "Committed and rolled back, a second.",
                (
                    Query(
                        "sum(rate(sentinel_pg_commits_total{@check}[$__rate_interval]))",
                        "committed",
                    ),
                    Query(
                        "sum(rate(sentinel_pg_rollbacks_total{@check}[$__rate_interval]))",
                        "rolled back",
                    ),
                ),
                unit="cps",
            ),
        ),
        "Load",
    ),
    Row(
        (
            Trend(
                "Who waits, and who is old",
                "Longest wait for a lock, longest open transaction, longest session idle in a "
                "transaction.",
                (
                    Query("max(sentinel_pg_longest_lock_wait_seconds{@check})", "lock"),
                    Query("max(sentinel_pg_longest_transaction_seconds{@check})", "transaction"),
                    Query(
                        "max(sentinel_pg_longest_idle_in_transaction_seconds{@check})",
                        "idle in transaction",
                    ),
                ),
                unit="s",
                runbook="database-degraded",
            ),
            Trend(
                "Lock requests that wait, and deadlocks",
                "Requests now; deadlocks per interval.",
                (
                    Query("sum(sentinel_pg_lock_waiters{@check})", "waiting"),
                    Query(
                        "sum(increase(sentinel_pg_deadlocks_total{@check}[$__rate_interval]))",
                        "deadlocks",
                    ),
                ),
                runbook="database-degraded",
            ),
        )
    ),
    Row(
        (
            Trend(
                "Held back, by holder",
                "Transactions by which VACUUM is held back: sessions, slots, prepared "
                "transactions, standbys.",
                (Query("max by (holder) (sentinel_pg_xmin_age{@check})", "{{holder}}"),),
                runbook="database-degraded",
            ),
            Trend(
                "Temporary files",
                "Bytes written to temporary files, a second: sorts and joins that do not fit into "
                "memory.",
                (
                    Query(
                        "sum by (server)"
                        " (rate(sentinel_pg_temp_bytes_total{@check}[$__rate_interval]))",
                        "{{server}}",
                    ),
                ),
                unit="Bps",
            ),
        ),
        "Upkeep",
    ),
)

TABLES = Row(
    (
        Table(
            "Databases",
            "Age of the oldest transaction id and multixact of each.",
            (
                Query("max by (server, db) (sentinel_pg_xid_age{@check})", "Transaction ids"),
                Query("max by (server, db) (sentinel_pg_mxid_age{@check})", "Multixacts"),
            ),
            runbook="database-degraded",
            labels=(("server", "Server"), ("db", "Database")),
        ),
        Table(
            "What must be 0",
            "Each server with its invalid indexes, changed collations, wrong checksums, and 1 while "
            "archiving fails.",
            (
                Query("max by (server) (sentinel_pg_invalid_indexes{@check})", "Indexes"),
                Query(
                    "max by (server) (sentinel_pg_collation_mismatches{@check})",
                    "Collations",
                ),
                Query(
                    "max by (server) (sentinel_pg_checksum_failures_total{@check})",
                    "Checksums",
                ),
                Query("max by (server) (sentinel_pg_archiver_failing{@check})", "Archiving"),
            ),
            runbook="database-degraded",
            labels=(("server", "Server"),),
        ),
        Table(
            "Checks of the database",
            "Each with its status, and the time since it last had a verdict.",
            (
                Query(
                    "sum by (check, component, status) (sentinel_check_status{@check})"
                    " * on (check) group_left () max by (check)"
                    " (time() - sentinel_probe_last_success_timestamp_seconds{@check})",
                    "Since a verdict",
                    "s",
                ),
            ),
            runbook="database-unreachable",
            labels=(("check", "Check"), ("component", "Component"), ("status", "Status")),
        ),
    ),
    "Which one?",
)

BOARD = Board(
    "database",
    "Sentinel: PostgreSQL",
    "Connections, locks, old transactions, wraparound, and what holds VACUUM back.",
    (STATS, *TRENDS, TABLES),
    kinds=("postgres",),
    order=8,
)
