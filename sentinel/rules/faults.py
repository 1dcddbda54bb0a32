"""One alert for every fault that a kind declares: its severity, its meaning, its runbook."""

from __future__ import annotations

from collections.abc import Iterable

from sentinel.core.fault import FaultKind
from sentinel.probes import Kind
from sentinel.rules.value import Alert, Links, RuleGroup, name_alert, plain

REMEMBERED = 600.0
"""For so many seconds an alert tells of what happened in a moment."""
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


def began_lately(selector: str = "") -> str:
    """Faults that began within REMEMBERED, also where no scrape saw them stand."""
    since = f"time() - {REMEMBERED:.0f}"
    return f"sentinel_fault_last_begun_timestamp_seconds{selector} > {since}"


def _make_alert(kind: Kind, fault: FaultKind, links: Links) -> Alert:
    meaning = plain(fault.meaning)
    finds = f"finds {{{{ $value }}}} with the fault {fault.key}"
    selector = f'{{fault="{fault.key}"}}'
    stands = f"sentinel_faults{selector} > 0"
    if fault.sudden:
        finds = f"found the fault {fault.key}"
        stands = f"({stands} or {began_lately(selector)})"
    return Alert(
        name_alert(kind.name, fault.key),
        f'{stands} and {ON} sentinel_check_status{{kind="{kind.name}"}}',
        fault.severity,
        f"{{{{ $labels.component }}}}: {meaning}",
        f"Check {{{{ $labels.check }}}} ({kind.name}) {finds}: {meaning}."
        " `sentinel faults {{ $labels.check }}` names each, and what cures it.",
        links.runbook(fault.runbook),
        links.board(kind.board, "component", "check"),
        fault.alert_after,
    )
