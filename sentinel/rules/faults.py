"""One alert for every fault that a kind declares: its severity, its meaning, its runbook."""

from __future__ import annotations

from collections.abc import Iterable

from sentinel.core.fault import FaultKind
from sentinel.probes import Kind
from sentinel.rules.value import Alert, Links, RuleGroup, name_alert, plain

REMEMBERED = "10m"
"""For so long an alert tells of what happened in a moment."""
ON = "on (instance, check)"


def group_faults(kinds: Iterable[Kind], links: Links) -> list[RuleGroup]:
    """A group for each kind. A check has its kind as a label of `sentinel_check_status`."""
    return [
        RuleGroup(
            f"sentinel-faults-{kind.name}",
            [_make_alert(kind, fault, links) for fault in kind.fault_kinds.values()],
        )
        for kind in kinds
    ]


def _make_alert(kind: Kind, fault: FaultKind, links: Links) -> Alert:
    series = f'sentinel_faults{{fault="{fault.key}"}}'
    if fault.sudden:
        series = f"max_over_time({series}[{REMEMBERED}])"
    meaning = plain(fault.meaning)
    return Alert(
        name_alert(kind.name, fault.key),
        f'{series} > 0 and {ON} sentinel_check_status{{kind="{kind.name}"}}',
        fault.severity,
        f"{{{{ $labels.component }}}}: {meaning}",
        f"Check {{{{ $labels.check }}}} ({kind.name}) finds {{{{ $value }}}} with the fault"
        f" {fault.key}: {meaning}. `sentinel faults {{{{ $labels.check }}}}` names each, and what"
        " cures it.",
        links.runbook(fault.runbook),
        links.board(kind.board, "component", "check"),
        fault.alert_after,
    )
