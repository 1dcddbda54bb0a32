"""Alerts for components: what sentinel believes of each of them, by whichever check."""

from __future__ import annotations

from sentinel.core.fault import Severity
from sentinel.rules.faults import began_lately
from sentinel.rules.value import Alert, Links, RuleGroup

BLOCKED = "SentinelComponentBlocked"
PASSED = "SentinelFaultPassed"
DOWN = "SentinelComponentDown"
MINUTE, HOUR = 60.0, 3600.0
WHO = "{{ $labels.component }}"


def group_components(links: Links) -> RuleGroup:
    """Down, degraded for long, unknown for long, exhausted, flapping, blocked."""
    board = links.board("components", "component")
    unhealthy = links.runbook("component-unhealthy")

    def status(word: str) -> str:
        return f'sentinel_component_status{{status="{word}"}} == 1'

    incident = "`sentinel status` names its worst check, `sentinel incident show` its timeline."
    return RuleGroup(
        "sentinel-components",
        [
            Alert(
                DOWN, status("down"), Severity.PAGE,
                f"{WHO} is down",
                f"{WHO} is down, as sentinel believes. {incident}",
                unhealthy, board, MINUTE,
            ),
            Alert(
                "SentinelComponentDegraded", status("degraded"), Severity.TICKET,
                f"{WHO} has been degraded for an hour",
                f"{WHO} works, and not as it should, for an hour. {incident}",
                unhealthy, board, HOUR,
            ),
            Alert(
                "SentinelComponentUnknown", status("unknown"), Severity.TICKET,
                f"nobody can tell how {WHO} is",
                f"No check of {WHO} could see for 15 minutes: it may be down. {incident}",
                links.runbook("sentinel-blind"), board, 15 * MINUTE,
            ),
            Alert(
                "SentinelComponentExhausted", "sentinel_component_exhausted == 1", Severity.PAGE,
                f"{WHO} has no restarts left",
                f"Restarts of {WHO} are used up: repair it, then `sentinel reset {WHO} --reason …`.",
                links.runbook("component-exhausted"), board,
            ),
            Alert(
                "SentinelComponentFlapping", "sentinel_component_flapping == 1", Severity.TICKET,
                f"{WHO} changes its status again and again",
                f"A check of {WHO} flaps: it is neither well nor ill for long. {incident}",
                unhealthy, board, 5 * MINUTE,
            ),
            Alert(
                BLOCKED, "sentinel_component_blocked == 1", Severity.INFO,
                f"{WHO} waits for {{{{ $labels.by }}}}",
                f"{WHO} is unhealthy because {{{{ $labels.by }}}} is: repair that first.",
                links.runbook("component-blocked"), board,
            ),
            Alert(
                PASSED, _find_passed(), Severity.INFO,
                f"{WHO}: the fault {{{{ $labels.fault }}}} came and went",
                "Check {{ $labels.check }} found it and finds it no more: it was over before its"
                " own alert could call. `sentinel incident list` has what came of it.",
                unhealthy, board,
            ),
        ],
    )  # fmt: skip


def _find_passed() -> str:
    """Faults that began lately, do not stand, and of which no other alert has told."""
    by = "on (instance, check, fault)"
    told = f'max_over_time(ALERTS{{alertstate="firing", fault!="", alertname!="{PASSED}"}}[10m])'
    return f"{began_lately()} unless {by} sentinel_faults > 0 unless {by} {told}"
