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
from sentinel.store.folder import DiskSpace

MAX_RISKS = 50
_SERVER = "server"
"""Label that says nothing beside the name of the check."""


DISK, FILES = "disk of sentinel's state", "files on the disk of sentinel's state"
DISK_CLOSE = 0.8
"""So much of a disk is used when a report calls it close to its end."""
NOT_LOOKED_AT = "disks of the servers"
"""No kind can read them: what a server tells over its protocol has no word of its disk."""
SENTINEL = "sentinel itself"


def list_risks(
    kinds: Mapping[str, Kind], checks: Sequence[CheckView], disk: DiskSpace | None = None
) -> RiskTable:
    """What is close to its limit, the nearest first; every margin of a kind is told one way.
    `disk`: that of the state, None where nobody looked.
    """
    close: list[RiskFact] = []
    far: dict[str, None] = {}
    unmeasured: dict[str, None] = {}
    own_disk = list(_read_disk(disk)) if disk is not None else []
    for risk in own_disk:
        if risk.nearness >= 1:
            close.append(risk)
        else:
            far[risk.name] = None
    if not own_disk:
        unmeasured[DISK] = None
    for kind in kinds.values():
        own = [check for check in checks if check.kind == kind.name]
        for margin in kind.margins:
            found = [risk for check in own for risk in _read(margin, check)]
            close += [risk for risk in found if risk.nearness >= 1]
            if not found:
                unmeasured[margin.name] = None
            elif all(risk.nearness < 1 for risk in found):
                far[margin.name] = None
    unmeasured[NOT_LOOKED_AT] = None
    close.sort(key=lambda risk: -risk.nearness)
    return RiskTable(close[:MAX_RISKS], list(far), list(unmeasured))


def _read_disk(disk: DiskSpace) -> Iterator[RiskFact]:
    for name, used, whole, unit in (
        (DISK, disk.used, disk.whole, "bytes"),
        (FILES, disk.files_used, disk.files, ""),
    ):
        if whole > 0:
            share = used / whole
            left = float(whole - used)
            yield RiskFact(name, SENTINEL, "", share / DISK_CLOSE, share, left, unit)


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
