"""Delivery over Redis Streams: of everything published, what arrived, what waits, what was lost."""

from tools.grafana.board import GREEN, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

_ACKED = 'sentinel_bus_settled_total{@check, outcome="acked"}'
_SETTLED = "sentinel_bus_settled_total{@check}"
_DELIVERED = 'sentinel_bus_delivery_settled_total{@check, outcome="delivered"}'
_DELIVERABLE = "sentinel_bus_delivery_settled_total{@check}"

STATS = Row(
    (
        Stat(
            "Acknowledged in time",
            "Delivery reliability over the range shown: acknowledged within the deadline, of "
            "everything published.",
            (Query(f"sum(increase({_ACKED}[$__range])) / sum(increase({_SETTLED}[$__range]))"),),
            unit="percentunit",
            runbook="bus-delivery-late",
            base=RED,
            steps=((0.99, YELLOW), (0.995, GREEN)),
            decimals=2,
        ),
        Stat(
            "Lost for certain",
            "Entries that were removed before their group read them, over the range shown: the "
            "least that was lost.",
            (Query("sum(increase(sentinel_bus_lost_before_read_total{@check}[$__range]))"),),
            runbook="bus-messages-lost",
            steps=((0.5, RED),),
            decimals=0,
        ),
        Stat(
            "Perhaps lost",
            "Entries that may have been removed unread, or dropped unacknowledged: at most so "
            "many more, over the "
            "range shown.",
            (
                Query(
                    "sum(increase(sentinel_bus_lost_before_read_uncertain_total{@check}[$__range]))"
                    " + sum(increase(sentinel_bus_dropped_uncertain_total{@check}[$__range]))"
                ),
            ),
            runbook="bus-messages-lost",
            steps=((0.5, YELLOW),),
            decimals=0,
        ),
        Stat(
            "Waiting",
            "Published, alive, and not delivered to their group yet, now. An upper bound where "
            "the server cannot tell "
            "exactly.",
            (Query("sum(sentinel_bus_waiting_entries{@check})"),),
            runbook="bus-delivery-late",
            steps=((100, YELLOW), (1000, RED)),
        ),
        Stat(
            "Least time to loss",
            "If a group stood still from now on: seconds until trimming takes entries that it has "
            "not read.",
            (Query("min(sentinel_bus_trim_headroom_seconds{@check})"),),
            unit="s",
            runbook="bus-messages-lost",
            base=RED,
            steps=((60, YELLOW), (600, GREEN)),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Published",
                "Entries published a second, by stream pattern.",
                (
                    Query(
                        "sum by (stream)"
                        " (rate(sentinel_bus_published_total{@check}[$__rate_interval]))",
                        "{{stream}}",
                    ),
                ),
                unit="cps",
            ),
            Trend(
                "What became of them",
                "Entries judged at their deadline, a second, by outcome: acked is good, all "
                "others are not.",
                (
                    Query(
                        f"sum by (outcome) (rate({_SETTLED}[$__rate_interval]))",
                        "{{outcome}}",
                    ),
                ),
                unit="cps",
                runbook="bus-delivery-late",
                stacked=True,
                colors=(("acked", GREEN), ("lost", RED), ("waiting", YELLOW)),
            ),
        ),
        "Delivery",
    ),
    Row(
        (
            Trend(
                "Share delivered, and acknowledged",
                "Within the deadlines. When only the second falls, handlers are slow; when both "
                "fall, readers are.",
                (
                    Query(
                        f"sum(rate({_DELIVERED}[$__rate_interval]))"
                        f" / sum(rate({_DELIVERABLE}[$__rate_interval]))",
                        "delivered",
                    ),
                    Query(
                        f"sum(rate({_ACKED}[$__rate_interval]))"
                        f" / sum(rate({_SETTLED}[$__rate_interval]))",
                        "acknowledged",
                    ),
                ),
                unit="percentunit",
                runbook="bus-delivery-late",
                top=1,
            ),
            Trend(
                "Backlog",
                "Entries that wait for their group, and those delivered and not acknowledged yet.",
                (
                    Query(
                        "sum by (group) (sentinel_bus_waiting_entries{@check})", "waiting {{group}}"
                    ),
                    Query(
                        "sum by (group) (sentinel_bus_pending_entries{@check})", "pending {{group}}"
                    ),
                ),
                runbook="bus-pending",
            ),
        )
    ),
    Row(
        (
            Trend(
                "Oldest entry",
                "Age of the oldest entry that waits, and of the oldest that is pending, beside "
                "the deadline.",
                (
                    Query("max(sentinel_bus_oldest_waiting_age_seconds{@check})", "waiting"),
                    Query("max(sentinel_bus_oldest_pending_age_seconds{@check})", "pending"),
                    Query('min(sentinel_bus_deadline_seconds{@check, stage="ack"})', "deadline"),
                ),
                unit="s",
                runbook="bus-delivery-late",
                colors=(("deadline", RED),),
            ),
            Trend(
                "Consumers by sign of life",
                "Active, idle and dead; a dead one holds entries that nobody will acknowledge.",
                (Query("sum by (state) (sentinel_bus_consumers{@check})", "{{state}}"),),
                runbook="bus-pending",
                stacked=True,
                colors=(("active", GREEN), ("idle", YELLOW), ("dead", RED)),
            ),
        )
    ),
    Row(
        (
            Trend(
                "Poison, orphaned and redelivered",
                "Pending entries that were delivered too often, are held by dead consumers, or "
                "came more than once.",
                (
                    Query("sum(sentinel_bus_poison_entries{@check})", "poison"),
                    Query(
                        "sum(sentinel_bus_pending_dead_consumer_entries{@check})",
                        "of dead consumers",
                    ),
                    Query("sum(sentinel_bus_redelivered_entries{@check})", "redelivered"),
                    Query(
                        "sum(sentinel_bus_pending_payload_missing_entries{@check})", "payload gone"
                    ),
                ),
                runbook="poison-messages",
            ),
            Trend(
                "Dead letters",
                "What lies in dead-letter and retry places, and how fast it grows.",
                (
                    Query("sum by (place) (sentinel_bus_ledger_entries{@check})", "{{place}}"),
                    Query(
                        "sum by (place)"
                        " (increase(sentinel_bus_ledger_added_total{@check}[$__rate_interval]))",
                        "new in {{place}}",
                    ),
                ),
                runbook="poison-messages",
            ),
        ),
        "What stays behind",
    ),
    Row(
        (
            Trend(
                "Tasks and messages against each other",
                "Samples per interval: assigned tasks whose message is not on the bus, "
                "acknowledged messages whose task "
                "never moved, samples that could not be judged.",
                (
                    Query(
                        "sum(increase("
                        "sentinel_bus_producer_missing_total{@check}[$__rate_interval]))",
                        "never published",
                    ),
                    Query(
                        "sum(increase("
                        "sentinel_bus_acked_without_effect_total{@check}[$__rate_interval]))",
                        "without effect",
                    ),
                    Query(
                        "sum(increase("
                        "sentinel_bus_crosscheck_not_measurable_total{@check}[$__rate_interval]))",
                        "not judged",
                    ),
                    Query(
                        "sum(increase("
                        "sentinel_bus_crosscheck_samples_total{@check}[$__rate_interval]))",
                        "judged",
                    ),
                ),
                runbook="bus-crosscheck",
            ),
            Trend(
                "Serialization",
                "Test values by what became of them, and sampled entries with a sign of broken "
                "serialization, per interval.",
                (
                    Query(
                        "sum by (result)"
                        " (increase(sentinel_codec_roundtrips_total{@check}[$__rate_interval]))",
                        "{{result}}",
                    ),
                    Query(
                        "sum(increase(sentinel_codec_smells_total{@check}[$__rate_interval]))",
                        "smells",
                    ),
                ),
                runbook="bus-codec",
            ),
        ),
        "What is in them?",
    ),
    Row(
        (
            Trend(
                "Memory of the server",
                "In use, and the limit where there is one (0: none). At the limit the server "
                "refuses writes or evicts.",
                (
                    Query(
                        "max by (server) (sentinel_redis_memory_used_bytes{@check})", "{{server}}"
                    ),
                    Query(
                        "max by (server) (sentinel_redis_memory_limit_bytes{@check})",
                        "limit {{server}}",
                    ),
                ),
                unit="bytes",
                runbook="bus-refuses-writes",
            ),
            Trend(
                "Breaks and evictions",
                "Keys evicted, connections rejected, role changes and breaks of a stream's life, "
                "per interval.",
                (
                    Query(
                        "sum(increase("
                        "sentinel_redis_evicted_keys_total{@check}[$__rate_interval]))",
                        "evicted",
                    ),
                    Query(
                        "sum(increase("
                        "sentinel_redis_rejected_connections_total{@check}[$__rate_interval]))",
                        "rejected",
                    ),
                    Query(
                        "sum(increase("
                        "sentinel_redis_role_changes_total{@check}[$__rate_interval]))",
                        "role changes",
                    ),
                    Query(
                        "sum by (reason)"
                        " (increase(sentinel_bus_stream_resets_total{@check}[$__rate_interval]))",
                        "stream {{reason}}",
                    ),
                ),
                runbook="bus-messages-lost",
            ),
        ),
        "The server",
    ),
)

TABLES = Row(
    (
        Table(
            "Streams and groups",
            "Each group with what waits, what is pending, what is overdue, and what was certainly "
            "lost in the range.",
            (
                Query(
                    "sum by (check, stream, group) (sentinel_bus_waiting_entries{@check})",
                    "Waiting",
                ),
                Query(
                    "sum by (check, stream, group) (sentinel_bus_pending_entries{@check})",
                    "Pending",
                ),
                Query(
                    "sum by (check, stream, group) (sentinel_bus_pending_overdue_entries{@check})",
                    "Overdue",
                ),
                Query(
                    "round(sum by (check, stream, group)"
                    " (increase(sentinel_bus_lost_before_read_total{@check}[$__range])))",
                    "Lost",
                ),
            ),
            labels=(("check", "Check"), ("stream", "Stream"), ("group", "Group")),
        ),
        Table(
            "Faults of the bus",
            "Which check sees which fault, with how many streams, groups or consumers.",
            (Query("sum by (check, fault) (sentinel_faults{@check})", "Subjects"),),
            runbook="bus-delivery-late",
            labels=(("check", "Check"), ("fault", "Fault")),
        ),
    ),
    "Who is it?",
)

BOARD = Board(
    "bus",
    "Sentinel: bus delivery",
    "Redis Streams: of everything published, what was delivered and acknowledged in time, what "
    "waits, what was lost.",
    (STATS, *TRENDS, TABLES),
    kinds=(
        "bus_delivery",
        "bus_pending",
        "bus_ledger",
        "bus_codec",
        "bus_crosscheck",
        "redis_server",
    ),
    order=2,
)
