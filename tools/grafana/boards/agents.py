"""Agents: who is registered, who lives, who can do what, and who lives and gets nowhere."""

from tools.grafana.board import GREEN, RED, YELLOW, Board, Query, Row, Stat, Table, Trend

STATS = Row(
    (
        Stat(
            "Registered",
            "Agents that the registry holds for active, now.",
            (Query('sum(sentinel_agents{@check, source="registry"})'),),
            runbook="registry-mismatch",
        ),
        Stat(
            "Alive",
            "Agents whose heartbeat is young enough, now.",
            (Query('sum(sentinel_agents{@check, source="heartbeat"})'),),
            runbook="registry-mismatch",
            base=RED,
            steps=((1, GREEN),),
        ),
        Stat(
            "At odds",
            "Agents, or tasks, about which registry, heartbeats, bus and tasks do not agree in "
            "two polls.",
            (Query("sum(sentinel_agent_mismatches{@check})"),),
            runbook="registry-mismatch",
            steps=((1, YELLOW),),
        ),
        Stat(
            "Alive and getting nowhere",
            "Agents with open work and no progress, at least: of all reasons the one that holds "
            "the most.",
            (Query("max(sum by (reason) (sentinel_agent_stalled{@check}))"),),
            runbook="agent-no-progress",
            steps=((1, YELLOW),),
        ),
        Stat(
            "Tasks that nobody can take",
            "Waiting tasks that no single live agent has the capabilities for.",
            (Query("sum(sentinel_capability_uncovered_tasks{@check})"),),
            runbook="registry-mismatch",
            steps=((1, RED),),
        ),
    )
)

TRENDS = (
    Row(
        (
            Trend(
                "Agents by source",
                "How many the registry, the heartbeats, the bus and the open tasks know. Lines "
                "apart are a mismatch.",
                (Query("sum by (source) (sentinel_agents{@check})", "{{source}}"),),
                runbook="registry-mismatch",
            ),
            Trend(
                "Mismatches by kind",
                "Ghosts are registered and dead, zombies dead and holding work, deaf ones alive "
                "and not reading.",
                (Query("sum by (kind) (sentinel_agent_mismatches{@check})", "{{kind}}"),),
                runbook="registry-mismatch",
                stacked=True,
            ),
        ),
        "Registry",
    ),
    Row(
        (
            Trend(
                "Oldest heartbeat",
                "Age of the oldest heartbeat of an agent that the registry holds for active.",
                (
                    Query(
                        "max by (check) (sentinel_agent_heartbeat_oldest_age_seconds{@check})",
                        "{{check}}",
                    ),
                ),
                unit="s",
                runbook="registry-mismatch",
            ),
            Trend(
                "Registrations",
                "Registrations per interval: an agent that registers again and again is one that "
                "restarts.",
                (
                    Query(
                        "sum by (check)"
                        " (increase(sentinel_agent_registrations_total{@check}[$__rate_interval]))",
                        "{{check}}",
                    ),
                ),
                runbook="registry-mismatch",
            ),
        )
    ),
    Row(
        (
            Trend(
                "At work, and stalled",
                "Agents that hold open work, and those that get nowhere, by reason.",
                (
                    Query("sum(sentinel_agent_working{@check})", "at work"),
                    Query("sum by (reason) (sentinel_agent_stalled{@check})", "{{reason}}"),
                ),
                runbook="agent-no-progress",
            ),
            Trend(
                "Longest time without progress",
                "Of an agent that holds open work, as far as sentinel has seen.",
                (
                    Query(
                        "max by (check) (sentinel_agent_no_progress_longest_seconds{@check})",
                        "{{check}}",
                    ),
                ),
                unit="s",
                runbook="agent-no-progress",
            ),
        ),
        "Progress",
    ),
)

TABLES = Row(
    (
        Table(
            "Capabilities",
            "How many live agents have each of them. At 0 its tasks wait for ever.",
            (
                Query(
                    "min by (capability) (sentinel_capability_live_agents{@check})", "Live agents"
                ),
            ),
            runbook="registry-mismatch",
            labels=(("capability", "Capability"),),
        ),
        Table(
            "Faults of agents",
            "Which check sees which fault, with how many agents. `sentinel faults CHECK` names "
            "every one.",
            (Query("sum by (check, fault) (sentinel_faults{@check})", "Agents"),),
            runbook="registry-mismatch",
            labels=(("check", "Check"), ("fault", "Fault")),
        ),
    ),
    "Who is it?",
)

BOARD = Board(
    "agents",
    "Sentinel: agents and registry",
    "Who is registered, who lives, who can do what, who lives and gets nowhere?",
    (STATS, *TRENDS, TABLES),
    kinds=("registry", "agent_progress"),
    order=5,
)
