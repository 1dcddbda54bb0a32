"""What is close to a limit: everything that runs out and that a kind declares as a margin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentinel.core.fault import describe_subject
from sentinel.core.model import Margin
from sentinel.probes import Kind
from sentinel.reports.figures import RiskFact, RiskTable
from sentinel.reports.figures.measure import read_number
from sentinel.store import CheckView

MAX_RISKS = 50
_SERVER = "server"
"""Label that says nothing beside the name of the check."""


def list_risks(kinds: Mapping[str, Kind], checks: Sequence[CheckView]) -> RiskTable:
    """What is close to its limit, the nearest first; every margin of a kind is told one way."""
    close: list[RiskFact] = []
    far: dict[str, None] = {}
    unmeasured: dict[str, None] = {}
    for kind in kinds.values():
        own = [check for check in checks if check.kind == kind.name]
        for margin in kind.margins:
            found = [risk for check in own for risk in _read(margin, check)]
            close += [risk for risk in found if risk.nearness >= 1]
            if not found:
                unmeasured[margin.name] = None
            elif all(risk.nearness < 1 for risk in found):
                far[margin.name] = None
    close.sort(key=lambda risk: -risk.nearness)
    return RiskTable(close[:MAX_RISKS], list(far), list(unmeasured))


def _read(margin: Margin, check: CheckView) -> Iterator[RiskFact]:
    """One for each row of the check that tells it."""
    for row in check.rows:
        values, labels = row.get("values", {}), row.get("labels", {})
        used, whole = read_number(values.get(margin.used)), _whole(margin, values)
        if used is None or whole == 0 or (margin.whole is not None and whole is None):
            continue
        subject = describe_subject(
            {label: name for label, name in labels.items() if label != _SERVER}
        )
        if whole is None:
            nearness = margin.close / max(used, 1e-9)
            yield RiskFact(margin.name, check.name, subject, nearness, None, used, margin.unit)
        else:
            share = used / whole
            nearness = share / margin.close
            left = whole - used
            yield RiskFact(margin.name, check.name, subject, nearness, share, left, margin.unit)


def _whole(margin: Margin, values: Mapping[str, Any]) -> float | None:
    if isinstance(margin.whole, str):
        return read_number(values.get(margin.whole))
    return margin.whole
